;; Takes all memory in `migrate`.
;; => migrate fails: trap: memory limit of 16 MiB exceeded
;; in-migrate:
(loop (drop (memory.grow (i32.const 1))) (br 0))
