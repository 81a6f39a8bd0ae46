;; Returns values from each function that lie past its memory.
;; => update fails: trap: list pointer/length out of bounds of memory
;; => merge fails: trap: list pointer/length out of bounds of memory
;; => finish fails: trap: list pointer/length out of bounds of memory
;; in-update:
(i32.store offset=4 (local.get $columns) (i32.const 0x7ffffff8))
;; in-merge:
(i32.store offset=4 (local.get $columns) (i32.const 0x7ffffff8))
;; in-finish:
(i32.store offset=4 (local.get $columns) (i32.const 0x7ffffff8))
