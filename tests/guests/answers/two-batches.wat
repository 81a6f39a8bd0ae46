;; Returns a batch for a table that it did not announce.
;; => fails: plugin returned 2 batches, and `open` announced 1 tables
;; after-apply:
(memory.copy (i32.const 108) (i32.const 96) (i32.const 12))
(i32.store (i32.const 136) (i32.const 2))
