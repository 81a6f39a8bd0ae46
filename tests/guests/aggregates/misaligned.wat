;; Returns numbers from each function that lie where numbers don't.
;; => update fails: trap: list pointer is not aligned
;; => merge fails: trap: list pointer is not aligned
;; => finish fails: trap: list pointer is not aligned
;; in-update:
(i32.store offset=4 (local.get $columns) (i32.const 4097))
;; in-merge:
(i32.store offset=4 (local.get $columns) (i32.const 4097))
;; in-finish:
(i32.store offset=4 (local.get $columns) (i32.const 4097))
