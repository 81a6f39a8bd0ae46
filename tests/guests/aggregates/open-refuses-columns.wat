;; Can't work with its columns.
;; => refused: can't work with these columns: a reason; it was offered n int64, id utf8, x float64, and groups of n int64…
;; in-open:
(return (call $error (i32.const 1)))
