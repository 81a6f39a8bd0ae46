;; Returns all of its memory as text, and the same memory as its offsets.
;; => fails: plugin returned more than its output limit of 1 MiB
;; in-apply:
(drop (memory.grow (i32.const 60)))
(i32.store offset=36 (local.get $columns) (i32.const 0))
(i32.store offset=40 (local.get $columns) (i32.const 900000))
(i32.store offset=44 (local.get $columns) (i32.const 0))
(i32.store offset=48 (local.get $columns) (i32.const 3600000))
