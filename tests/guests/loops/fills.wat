;; Fills its memory for ever: an instruction that takes long by itself.
;; => fails: {time}
;; in-apply:
(drop (memory.grow (i32.const 200)))
(loop (memory.fill (i32.const 4096) (i32.const 7) (i32.const 13000000)) (br 0))
