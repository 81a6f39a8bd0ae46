;; Returns the same column a thousand times, each time to be copied.
;; => fails: plugin returned more than its output limit of 1 MiB
;; in-apply:
(drop (memory.grow (i32.const 4)))
(local.set $count (i32.const 0))
(i32.store offset=4 (local.get $columns) (i32.const 0))
(i32.store offset=8 (local.get $columns) (i32.const 8192))
(i32.store8 offset=20 (local.get $columns) (i32.const 0))
(loop
  (memory.copy (i32.add (i32.const 131072) (i32.mul (local.get $count) (i32.const 32))) (local.get $columns) (i32.const 32))
  (br_if 0 (i32.lt_u (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 1000))))
(local.set $columns (i32.const 131072))
