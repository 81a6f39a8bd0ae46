;; Has 9,000 variables in 4,000 blocks: thirty million entries for a compiler, in 30 KB.
;; => refused: can't be loaded: its function … has 9001 variables in 4000 blocks: too many to compile
;; code:
(func $bomb (local (;repeat 9000;)i32 (;end;))
(;repeat 4000;)block
(;end;)(;repeat 4000;)end
(;end;))
