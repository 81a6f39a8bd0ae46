;; Makes objects that the host collects, and keeps them all.
;; => fails: trap: GC heap out of memory: no capacity …
;; code:
(rec (type $list (struct (field (ref null $list)) (field i64 i64 i64 i64))))
(global $all (mut (ref null $list)) (ref.null $list))
;; in-apply:
(loop (global.set $all (struct.new $list (global.get $all) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))) (br 0))
