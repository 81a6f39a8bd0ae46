;; Rejects with bytes that are no text.
;; => fails: trap: invalid utf-8 sequence of 1 bytes from index 0
;; code:
(data (i32.const 1000) "\ff\fe")
;; after-apply:
(i32.store (i32.const 1024) (i32.const 0))
(i32.store (i32.const 1028) (i32.const 1000))
(i32.store (i32.const 1032) (i32.const 2))
(i32.store (i32.const 140) (i32.const 1024))
(i32.store (i32.const 144) (i32.const 1))
