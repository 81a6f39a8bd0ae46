;; Says it returns a row more from `finish` than it does.
;; => finish fails: plugin returned … rows but column `n` of `output` has too few or too many values: … are needed, it has …
;; in-finish:
(local.set $rows (i32.add (local.get $rows) (i32.const 1)))
