;; Takes memory in each function until there is none.
;; => update fails: trap: memory limit of 16 MiB exceeded
;; => merge fails: trap: memory limit of 16 MiB exceeded
;; => finish fails: trap: memory limit of 16 MiB exceeded
;; in-update:
(loop (drop (memory.grow (i32.const 1))) (br 0))
;; in-merge:
(loop (drop (memory.grow (i32.const 1))) (br 0))
;; in-finish:
(loop (drop (memory.grow (i32.const 1))) (br 0))
