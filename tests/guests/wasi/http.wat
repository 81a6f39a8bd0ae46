;; Asks for an HTTP request, which is of WASI but of no standard library.
;; => fails: trap: the plugin called wasi:http/types#[constructor]fields: plugins have no network, files or environment
;; imports:
(import "wasi:http/types@0.2.0" (instance $http
  (export "fields" (type $fields (sub resource)))
  (export "[constructor]fields" (func (result (own $fields))))))
(core func $new (canon lower (func $http "[constructor]fields")))
(core instance $core-wasi (export "new" (func $new)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "new" (func $new (result i32)))
;; in-apply:
(drop (call $new))
