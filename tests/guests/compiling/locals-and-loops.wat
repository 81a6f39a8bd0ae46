;; Has 4,000 loops, one in another, and 500 variables: up to two million values for a compiler, in 30 KB.
;; => refused: can't be loaded: its function … has 501 variables in 4000 loops and 4000 blocks: too many to compile
;; code:
(func $bomb (param $x i32) (local (;repeat 500;)i32 (;end;))
(;repeat 4000;)loop
(;end;)(local.set 1 (i32.add (local.get 1) (local.get 0)))
(;repeat 4000;)(br_if 0 (local.get 0)) end
(;end;))
