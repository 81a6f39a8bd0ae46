;; Asks the host for random bytes for ever, which is time spent in the host.
;; => fails: {time}
;; imports:
(import "wasi:random/random@0.2.0" (instance $random (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
(core func $bytes (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
(core func $reset-heap (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
(core instance $core-random (export "bytes" (func $bytes)))
;; with:
(with "random" (instance $core-random))
;; code:
(import "random" "bytes" (func $bytes (param i64 i32)))
;; in-apply:
(loop (call $reset) (call $bytes (i64.const 65536) (i32.const 256)) (br 0))
