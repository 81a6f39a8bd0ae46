;; Opens a file by a handle that it made up.
;; => fails: trap: unknown handle index 3
;; imports:
(import "wasi:filesystem/types@0.2.0" (instance $types
  (export "descriptor" (type $descriptor (sub resource)))
  (export "[method]descriptor.sync" (func (param "self" (borrow $descriptor)) (result u32)))))
(core func $sync (canon lower (func $types "[method]descriptor.sync")))
(core instance $core-wasi (export "sync" (func $sync)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "sync" (func $sync (param i32) (result i32)))
;; in-apply:
(drop (call $sync (i32.const 3)))
