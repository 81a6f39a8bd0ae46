;; Writes 64 MiB to stdout. Nothing of it is kept but the last 4 KiB.
;; => passes
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
(global $left (mut i32) (i32.const 0))
;; in-apply:
(global.set $out (call $stdout))
(global.set $left (i32.const 1000))
(loop (call $write (global.get $out) (i32.const 0) (i32.const 65536) (i32.const 256))
  (global.set $left (i32.sub (global.get $left) (i32.const 1)))
  (br_if 0 (global.get $left)))
