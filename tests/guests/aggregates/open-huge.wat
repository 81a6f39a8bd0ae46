;; Announces more than it may return: a thousand columns with names of 64 KiB, all the same.
;; => refused: failed to open: plugin returned more than its output limit of 1 MiB
;; in-open:
(drop (memory.grow (i32.const 3)))
(local.set $count (i32.const 0))
(loop
  (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $count) (i32.const 12))) (i32.const 131072))
  (i32.store offset=4 (i32.add (i32.const 65536) (i32.mul (local.get $count) (i32.const 12))) (i32.const 65536))
  (br_if 0 (i32.lt_u (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 1000))))
(i32.store (i32.const 36) (i32.const 65536))
(i32.store (i32.const 40) (i32.const 1000))
