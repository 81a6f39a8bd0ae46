;; Makes a table of a hundred million elements.
;; => fails: trap: memory limit of 16 MiB exceeded
;; code:
(table $t 1 funcref)
;; in-apply:
(drop (table.grow $t (ref.null func) (i32.const 100000000)))
