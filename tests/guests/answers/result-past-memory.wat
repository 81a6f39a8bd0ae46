;; Returns an address past its memory.
;; => fails: trap: pointer out of bounds of memory
;; after-apply:
(return (i32.const -16))
