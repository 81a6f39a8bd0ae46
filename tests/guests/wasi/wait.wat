;; Waits for a clock.
;; => fails: trap: the plugin called wasi:clocks/monotonic-clock#subscribe-duration: plugins can't wait
;; imports:
(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
  (export "pollable" (type $p (eq $pollable)))
  (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
(core func $subscribe (canon lower (func $clock "subscribe-duration")))
(core instance $core-wasi (export "subscribe" (func $subscribe)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "subscribe" (func $subscribe (param i64) (result i32)))
;; in-apply:
(drop (call $subscribe (i64.const 1000)))
