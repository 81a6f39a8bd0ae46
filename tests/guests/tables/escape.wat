;; Announces a table whose name would clear a terminal.
;; => refused: announces tables that can't be: table `x [2Jy`: its name is not 1 to 64 letters, digits, `_` and `-` that begin with a letter
;; code:
(data (i32.const 1024) "x\1b[2Jy")
;; in-open:
(i32.store (i32.const 40) (i32.const 2))
(i32.store (i32.const 80) (i32.const 1024))
(i32.store (i32.const 84) (i32.const 6))
