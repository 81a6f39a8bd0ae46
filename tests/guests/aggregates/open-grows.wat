;; Takes memory in `open` until there is none.
;; => refused: failed to open: trap: memory limit of 16 MiB exceeded
;; in-open:
(loop (drop (memory.grow (i32.const 1))) (br 0))
