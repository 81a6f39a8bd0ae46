;; Reads the clock twice, with work in between. It stands still.
;; => passes
;; imports:
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
(core func $now (canon lower (func $clock "now")))
(core instance $core-wasi (export "now" (func $now)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "now" (func $now (result i64)))
(global $first (mut i64) (i64.const 0))
;; in-apply:
(global.set $first (call $now))
(memory.fill (i32.const 4096) (i32.const 0) (i32.const 0))
(if (i64.ne (global.get $first) (call $now)) (then unreachable))
