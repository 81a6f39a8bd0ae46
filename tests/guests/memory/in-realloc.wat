;; Takes a thousand times the room that the host asks it for.
;; => fails: trap: memory limit of 16 MiB exceeded
;; in-realloc:
(if (i32.load (i32.const 8)) (then (drop (memory.grow (i32.const 1000)))))
;; in-open:
(i32.store (i32.const 8) (i32.const 1))
