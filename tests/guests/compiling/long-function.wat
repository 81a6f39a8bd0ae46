;; Has a function of 4 MiB: compilers take longer than in proportion.
;; => refused: can't be loaded: its function … has … bytes of code; 2097152 are the most
;; code:
(func $long (result i32) (i32.const 1)
(;repeat 700000;)(i32.xor (i32.const 1234567))
(;end;))
