;; Returns two MiB of text from each function for one row.
;; => update fails: plugin returned more than its output limit of 1 MiB
;; => merge fails: plugin returned more than its output limit of 1 MiB
;; => finish fails: plugin returned more than its output limit of 1 MiB
;; in-update:
(drop (memory.grow (i32.const 40)))
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 2097152))
(i32.store offset=44 (local.get $columns) (i32.const 65536))
(i32.store offset=48 (local.get $columns) (i32.const 2097152))
;; in-merge:
(drop (memory.grow (i32.const 40)))
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 2097152))
(i32.store offset=44 (local.get $columns) (i32.const 65536))
(i32.store offset=48 (local.get $columns) (i32.const 2097152))
;; in-finish:
(drop (memory.grow (i32.const 40)))
(i32.store offset=4 (i32.load offset=36 (local.get $columns)) (i32.const 2097152))
(i32.store offset=44 (local.get $columns) (i32.const 65536))
(i32.store offset=48 (local.get $columns) (i32.const 2097152))
