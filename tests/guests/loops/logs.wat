;; Writes to the log for ever.
;; => fails: {time}
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
;; in-apply:
(loop (call $log (i32.const 3) (i32.const 512) (i32.const 8)) (br 0))
