;; A component that exports rillgate:plugin/transform or rillgate:plugin/aggregate, around core code that tests supply, as wit-component
;; would make it. What stands between at signs is replaced: IMPORTS, WITH and CODE by the tests, as is what stands at the start of
;; `realloc` and `reset`; LIFTED, EXPORTED and GIVEN by the parts of `transform.wat`, `aggregate.wat` or `migration.wat`, INTERFACE by what
;; each of them is called. What follows on LIFTED is there for each interface that is exported.
(component
  (type $table-type (instance
    (type (enum "boolean" "int32" "int64" "float32" "float64" "utf8" "binary" "date" "timestamp"))
    (export "data-type" (type (eq 0)))
    (type (record (field "name" string) (field "data-type" 1) (field "nullable" bool)))
    (export "field" (type (eq 2)))
    (type (list 3))
    (export "schema" (type (eq 4)))
    (type (list u8))
    (export "bitmap" (type (eq 6)))
    (type (list u32))
    (type (list u8))
    (type (record (field "offsets" 8) (field "bytes" 9)))
    (export "varlen" (type (eq 10)))
    (type (list s32))
    (type (list s64))
    (type (list f32))
    (type (list f64))
    (type (variant (case "boolean" 7) (case "int32" 12) (case "int64" 13) (case "float32" 14) (case "float64" 15)
      (case "utf8" 11) (case "binary" 11) (case "date" 12) (case "timestamp" 13)))
    (export "values" (type (eq 16)))
    (type (option 7))
    (type (record (field "values" 17) (field "validity" 18)))
    (export "column" (type (eq 19)))
    (type (list 20))
    (type (record (field "rows" u32) (field "columns" 21)))
    (export "batch" (type (eq 22)))))
  (import "rillgate:plugin/table@0.1.0" (instance $table (type $table-type)))
  (type $common-type (instance
    (type (tuple string string))
    (export "setting" (type (eq 0)))
    (type (variant (case "invalid-setting" string) (case "unsupported-schema" string) (case "other" string)))
    (export "error" (type (eq 2)))
    (type (record (field "row" u32) (field "reason" string)))
    (export "rejection" (type (eq 4)))))
  (import "rillgate:plugin/common@0.1.0" (instance $common (type $common-type)))

  ;; Memory that starts anew after each call. What is below 4096 is for the code.
  (core module $heap-module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      @IN-REALLOC@
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.lt_s
          (memory.grow (i32.add (i32.shr_u (i32.sub (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (i32.const 16)) (i32.const 1)))
          (i32.const 0)) (then unreachable))))
      (local.get $at))
    (func (export "reset") @IN-RESET@ (global.set $next (i32.const 4096))))
  (core instance $heap (instantiate $heap-module))
  (alias core export $heap "memory" (core memory $memory))
  (alias core export $heap "realloc" (core func $realloc))

  @IMPORTS@

  (core module $main-module
    (import "heap" "memory" (memory 1))
    (import "heap" "reset" (func $reset))
    @CODE@
    (func (export "post") (param i32) (call $reset)))
  (core instance $main (instantiate $main-module (with "heap" (instance $heap)) @WITH@))
  (alias core export $main "post" (core func $post))

  (alias export $table "data-type" (type $data-type))
  (alias export $table "field" (type $field))
  (alias export $table "schema" (type $schema))
  (alias export $table "bitmap" (type $bitmap))
  (alias export $table "varlen" (type $varlen))
  (alias export $table "values" (type $values))
  (alias export $table "column" (type $column))
  (alias export $table "batch" (type $batch))
  (alias export $common "setting" (type $setting))
  (alias export $common "error" (type $error))
  (alias export $common "rejection" (type $rejection))
  @LIFTED@
  ;; exports:
  ;; Gives the types of the exported functions the names that the interface exports.
  (component $@INTERFACE@-component
    (type $data-type-0 (enum "boolean" "int32" "int64" "float32" "float64" "utf8" "binary" "date" "timestamp"))
    (import "import-type-data-type" (type $data-type (eq $data-type-0)))
    (type $field-0 (record (field "name" string) (field "data-type" $data-type) (field "nullable" bool)))
    (import "import-type-field" (type $field (eq $field-0)))
    (type $schema-0 (list $field))
    (import "import-type-schema" (type $schema (eq $schema-0)))
    (type $bitmap-0 (list u8))
    (import "import-type-bitmap" (type $bitmap (eq $bitmap-0)))
    (type $varlen-0 (record (field "offsets" (list u32)) (field "bytes" (list u8))))
    (import "import-type-varlen" (type $varlen (eq $varlen-0)))
    (type $values-0 (variant (case "boolean" $bitmap) (case "int32" (list s32)) (case "int64" (list s64))
      (case "float32" (list f32)) (case "float64" (list f64)) (case "utf8" $varlen) (case "binary" $varlen)
      (case "date" (list s32)) (case "timestamp" (list s64))))
    (import "import-type-values" (type $values (eq $values-0)))
    (type $column-0 (record (field "values" $values) (field "validity" (option $bitmap))))
    (import "import-type-column" (type $column (eq $column-0)))
    (type $batch-0 (record (field "rows" u32) (field "columns" (list $column))))
    (import "import-type-batch" (type $batch (eq $batch-0)))
    (type $setting-0 (tuple string string))
    (import "import-type-setting" (type $setting (eq $setting-0)))
    (type $error-0 (variant (case "invalid-setting" string) (case "unsupported-schema" string) (case "other" string)))
    (import "import-type-error" (type $error (eq $error-0)))
    (type $rejection-0 (record (field "row" u32) (field "reason" string)))
    (import "import-type-rejection" (type $rejection (eq $rejection-0)))
    @EXPORTED@)
  (instance $@INTERFACE@ (instantiate $@INTERFACE@-component
    (with "import-type-data-type" (type $data-type))
    (with "import-type-field" (type $field))
    (with "import-type-schema" (type $schema))
    (with "import-type-bitmap" (type $bitmap))
    (with "import-type-varlen" (type $varlen))
    (with "import-type-values" (type $values))
    (with "import-type-column" (type $column))
    (with "import-type-batch" (type $batch))
    (with "import-type-setting" (type $setting))
    (with "import-type-error" (type $error))
    (with "import-type-rejection" (type $rejection))
    @GIVEN@))
  (export "rillgate:plugin/@INTERFACE@@0.1.0" (instance $@INTERFACE@))
  ;; end
)
