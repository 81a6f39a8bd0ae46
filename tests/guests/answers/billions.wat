;; Returns a list of four billion batches.
;; => fails: trap: list pointer/length out of bounds of memory
;; after-apply:
(i32.store (i32.const 136) (i32.const -1))
