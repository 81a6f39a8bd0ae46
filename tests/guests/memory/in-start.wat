;; Asks for memory while it is instantiated until there is no more.
;; => refused: failed to open: trap: memory limit of 16 MiB exceeded
;; code:
(func $eat (loop (drop (memory.grow (i32.const 1))) (br 0)))
(start $eat)
