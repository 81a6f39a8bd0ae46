;; Says it returns a row more from `finish` than it does.
;; => finish fails: plugin returned 2 rows but column `n` of `output` has too few or too many values: 2 are needed, it has 1
;; in-finish:
(local.set $rows (i32.add (local.get $rows) (i32.const 1)))
