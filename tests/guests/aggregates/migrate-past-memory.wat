;; Returns columns from `migrate` that end past its memory.
;; => migrate fails: trap: list pointer/length out of bounds of memory
;; after-migrate:
(i32.store (i32.const 136) (i32.const -4))
