;; Writes 10,000 lines for each batch. The host writes a hundred, then ten a second.
;; => passes
;; imports:
(import "rillgate:plugin/log@0.1.0" (instance $log
  (type $level-0 (enum "debug" "info" "warn" "error"))
  (export "level" (type $level (eq $level-0)))
  (export "log" (func (param "level" $level) (param "message" string)))))
(core func $log (canon lower (func $log "log") (memory $memory)))
(core instance $core-log (export "log" (func $log)))
;; with:
(with "log" (instance $core-log))
;; code:
(import "log" "log" (func $log (param i32 i32 i32)))
(global $left (mut i32) (i32.const 0))
;; in-apply:
(global.set $left (i32.const 10000))
(loop (call $log (i32.const 3) (i32.const 512) (i32.const 8))
  (global.set $left (i32.sub (global.get $left) (i32.const 1)))
  (br_if 0 (global.get $left)))
