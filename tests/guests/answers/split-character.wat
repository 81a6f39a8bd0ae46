;; Ends a text within a character, and begins the next with the rest of it.
;; => fails: plugin returned text in row 0 of column `id` of `main` that is not UTF-8
;; code:
(data (i32.const 1024) "\00\00\00\00\02\00\00\00\04\00\00\00")
;; in-apply:
(local.set $rows (i32.const 2))
(i32.store offset=8 (local.get $columns) (i32.const 2))
(i32.store offset=36 (local.get $columns) (i32.const 1024))
(i32.store offset=40 (local.get $columns) (i32.const 3))
(i32.store offset=72 (local.get $columns) (i32.const 2))
(i32.store8 offset=84 (local.get $columns) (i32.const 0))
