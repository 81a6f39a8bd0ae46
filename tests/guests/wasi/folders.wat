;; Looks for folders that it may open. There are none.
;; => passes
;; imports:
(import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
(alias export $types "descriptor" (type $descriptor))
(import "wasi:filesystem/preopens@0.2.0" (instance $preopens
  (export "descriptor" (type $d (eq $descriptor)))
  (export "get-directories" (func (result (list (tuple (own $d) string)))))))
(core func $folders (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
(core instance $core-wasi (export "folders" (func $folders)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "folders" (func $folders (param i32)))
;; in-apply:
(call $folders (i32.const 256))
(if (i32.load (i32.const 260)) (then unreachable))
