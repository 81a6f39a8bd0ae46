;; Returns from each function what lies past its memory.
;; => update fails: trap: pointer out of bounds of memory
;; => merge fails: trap: pointer out of bounds of memory
;; => finish fails: trap: pointer out of bounds of memory
;; in-update:
(return (i32.const 0x7ffffff0))
;; in-merge:
(return (i32.const 0x7ffffff0))
;; in-finish:
(return (i32.const 0x7ffffff0))
