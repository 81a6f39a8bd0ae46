;; Returns no batch for the table that it announced.
;; => fails: plugin returned 0 batches, and `open` announced 1 tables
;; after-apply:
(i32.store (i32.const 136) (i32.const 0))
