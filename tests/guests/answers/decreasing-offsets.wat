;; Returns three texts of which one ends before it begins.
;; => fails: plugin returned offsets of column `id` of `main` that decrease after row 1
;; code:
(data (i32.const 1024) "\00\00\00\00\04\00\00\00\02\00\00\00\04\00\00\00")
;; in-apply:
(local.set $rows (i32.const 3))
(i32.store offset=8 (local.get $columns) (i32.const 3))
(i32.store offset=36 (local.get $columns) (i32.const 1024))
(i32.store offset=40 (local.get $columns) (i32.const 4))
(i32.store offset=72 (local.get $columns) (i32.const 3))
(i32.store8 offset=84 (local.get $columns) (i32.const 0))
