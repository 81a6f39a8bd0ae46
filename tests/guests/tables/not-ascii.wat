;; Announces a table whose name is not ASCII.
;; => refused: announces tables that can't be: table `café`: its name is not 1 to 64 letters, digits, `_` and `-` that begin with a letter
;; code:
(data (i32.const 1024) "caf\c3\a9")
;; in-open:
(i32.store (i32.const 40) (i32.const 2))
(i32.store (i32.const 80) (i32.const 1024))
(i32.store (i32.const 84) (i32.const 5))
