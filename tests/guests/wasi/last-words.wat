;; Writes what would steer a terminal, and traps: its last words are the reason.
;; => fails: trap: panicked at  [31m forged …
;; imports:
(import "wasi:io/error@0.2.6" (instance $errors (export "error" (type (sub resource)))))
(alias export $errors "error" (type $io-error))
(import "wasi:io/streams@0.2.6" (instance $streams
  (export "error" (type $e (eq $io-error)))
  (export "output-stream" (type $stream (sub resource)))
  (type $stream-error-0 (variant (case "last-operation-failed" (own $e)) (case "closed")))
  (export "stream-error" (type $stream-error (eq $stream-error-0)))
  (export "[method]output-stream.blocking-write-and-flush" (func
    (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
(alias export $streams "output-stream" (type $output-stream))
(import "wasi:cli/stdout@0.2.6" (instance $stdout
  (export "output-stream" (type $s (eq $output-stream)))
  (export "get-stdout" (func (result (own $s))))))
(core func $stdout (canon lower (func $stdout "get-stdout")))
(core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
(core instance $core-wasi (export "stdout" (func $stdout)) (export "write" (func $write)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "stdout" (func $stdout (result i32)))
(import "wasi" "write" (func $write (param i32 i32 i32 i32)))
(global $out (mut i32) (i32.const 0))
(data (i32.const 1024) "panicked at \1b[31m\0aforged\07")
;; in-apply:
(global.set $out (call $stdout))
(call $write (global.get $out) (i32.const 1024) (i32.const 25) (i32.const 256))
unreachable
