;; Asks for a page more, again and again.
;; => fails: trap: memory limit of 16 MiB exceeded
;; in-apply:
(loop (drop (memory.grow (i32.const 1))) (br 0))
