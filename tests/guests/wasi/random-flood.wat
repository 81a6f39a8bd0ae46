;; Asks for a GiB of random bytes at once.
;; => fails: trap: the plugin asked for 1073741824 random bytes at once
;; imports:
(import "wasi:random/random@0.2.0" (instance $random (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
(core func $bytes (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
(core instance $core-wasi (export "bytes" (func $bytes)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "bytes" (func $bytes (param i64 i32)))
;; in-apply:
(call $bytes (i64.const 1073741824) (i32.const 256))
