;; Rejects a row that is not there.
;; => update fails: plugin returned a rejection of row 1, and the batch has 1 rows
;; after-update:
(i32.store (i32.const 1024) (local.get $rows))
(i32.store (i32.const 1028) (i32.const 512))
(i32.store (i32.const 1032) (i32.const 8))
(i32.store (i32.const 144) (i32.const 1024))
(i32.store (i32.const 148) (i32.const 1))
