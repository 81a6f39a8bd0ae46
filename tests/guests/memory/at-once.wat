;; Asks for all the memory there is.
;; => fails: trap: memory limit of 16 MiB exceeded
;; in-apply:
(drop (memory.grow (i32.const 65000)))
