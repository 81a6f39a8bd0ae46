;; Takes the row that comes for a group as its state, joins two states by taking the right one, and returns states as they are. What
;; stands between at signs is replaced by tests that want something else.
;;
;; In memory as in `identity.wat`. A result of `open` has two lists of fields from 4: of the state, of the output. Those of the others
;; have a batch from 4: rows, columns, count; and that of `update` then a list of rejections, from 16.
(data (i32.const 512) "a reason")

(func $trap unreachable)
(func $spin (loop (br 0)))
(func $recurse (call $recurse) (call $trap))

;; The error of a case, with the text at 512.
(func $error (param $case i32) (result i32)
  (i32.store8 (i32.const 32) (i32.const 1))
  (i32.store8 (i32.const 36) (local.get $case))
  (i32.store (i32.const 40) (i32.const 512))
  (i32.store (i32.const 44) (i32.const 8))
  (i32.const 32))

;; At 32: ok, with the columns of rows as those of the state and of the output.
(func (export "open")
  (param $fields i32) (param $count i32) (param $group-fields i32) (param $group-fields-count i32) (param i32 i32) (result i32)
  (i32.store8 (i32.const 32) (i32.const 0))
  (i32.store (i32.const 36) (local.get $fields))
  (i32.store (i32.const 40) (local.get $count))
  (i32.store (i32.const 44) (local.get $fields))
  (i32.store (i32.const 48) (local.get $count))
  @IN-OPEN@
  (i32.const 32))

;; At 128: ok, with the rows as states.
(func (export "update")
  (param $rows i32) (param $columns i32) (param $count i32) (param $group-of-row i32) (param $group-of-row-count i32)
  (param $groups i32) (param $states i32) (param $state-columns i32) (param $state-columns-count i32) (result i32)
  @IN-UPDATE@
  (i32.store8 (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (local.get $rows))
  (i32.store (i32.const 136) (local.get $columns))
  (i32.store (i32.const 140) (local.get $count))
  (i32.store (i32.const 144) (i32.const 0))
  (i32.store (i32.const 148) (i32.const 0))
  @AFTER-UPDATE@
  (i32.const 128))

;; At 128: ok, with the right states.
(func (export "merge")
  (param $left i32) (param $left-columns i32) (param $left-columns-count i32)
  (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  @IN-MERGE@
  (i32.store8 (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (local.get $rows))
  (i32.store (i32.const 136) (local.get $columns))
  (i32.store (i32.const 140) (local.get $count))
  @AFTER-MERGE@
  (i32.const 128))

;; At 128: ok, with the states.
(func (export "finish")
  (param $groups i32) (param $group-columns i32) (param $group-columns-count i32)
  (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  @IN-FINISH@
  (i32.store8 (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (local.get $rows))
  (i32.store (i32.const 136) (local.get $columns))
  (i32.store (i32.const 140) (local.get $count))
  @AFTER-FINISH@
  (i32.const 128))

;; At 128: ok, with the older states as they are.
(func (export "migrate")
  (param $fields i32) (param $field-count i32) (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  @IN-MIGRATE@
  (i32.store8 (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (local.get $rows))
  (i32.store (i32.const 136) (local.get $columns))
  (i32.store (i32.const 140) (local.get $count))
  @AFTER-MIGRATE@
  (i32.const 128))
