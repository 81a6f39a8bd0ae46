;; Returns more columns from each function than announced.
;; => update fails: plugin returned 4 columns for `state`, which has 3
;; => merge fails: plugin returned 4 columns for `state`, which has 3
;; => finish fails: plugin returned 4 columns for `output`, which has 3
;; in-update:
(memory.copy (i32.const 2048) (local.get $columns) (i32.const 96))
(memory.copy (i32.const 2144) (local.get $columns) (i32.const 32))
(local.set $columns (i32.const 2048))
(local.set $count (i32.const 4))
;; in-merge:
(memory.copy (i32.const 2048) (local.get $columns) (i32.const 96))
(memory.copy (i32.const 2144) (local.get $columns) (i32.const 32))
(local.set $columns (i32.const 2048))
(local.set $count (i32.const 4))
;; in-finish:
(memory.copy (i32.const 2048) (local.get $columns) (i32.const 96))
(memory.copy (i32.const 2144) (local.get $columns) (i32.const 32))
(local.set $columns (i32.const 2048))
(local.set $count (i32.const 4))
