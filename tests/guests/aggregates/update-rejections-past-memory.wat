;; Rejects rows for reasons that lie past its memory.
;; => update fails: trap: list pointer/length out of bounds of memory
;; after-update:
(i32.store (i32.const 144) (i32.const -4))
(i32.store (i32.const 148) (i32.const 1))
