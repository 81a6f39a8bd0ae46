;; Returns what it is given. @IN-OPEN@, @IN-APPLY@ and @AFTER-APPLY@ are replaced by tests that want something else.
;;
;; In memory, by the canonical ABI: field = name, length, type u8, nullable u8 (12 bytes); output-table = name, length, fields,
;; count (16); column = case u8, then from 4: list, count [, list, count], then at 20 is-some u8, bitmap, length (32);
;; batch = rows, columns, count (12); output = batches, count, rejections, count; rejection = row, reason, length (12).
;; A result begins with 0 for ok, 1 for an error, and has its content from 4.
(data (i32.const 16) "main")
(data (i32.const 24) "late")
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

;; At 64: the tables `main` and `late`, of which one is announced; at 32: ok.
(func (export "open") (param $fields i32) (param $count i32) (param $settings i32) (param $setting-count i32) (result i32)
  (i32.store (i32.const 64) (i32.const 16))
  (i32.store (i32.const 68) (i32.const 4))
  (i32.store (i32.const 72) (local.get $fields))
  (i32.store (i32.const 76) (local.get $count))
  (i32.store (i32.const 80) (i32.const 24))
  (i32.store (i32.const 84) (i32.const 4))
  (i32.store (i32.const 88) (local.get $fields))
  (i32.store (i32.const 92) (local.get $count))
  (i32.store8 (i32.const 32) (i32.const 0))
  (i32.store (i32.const 36) (i32.const 64))
  (i32.store (i32.const 40) (i32.const 1))
  @IN-OPEN@
  (i32.const 32))

;; At 96: the batches for `main` and `late`; at 128: ok.
(func (export "apply") (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  @IN-APPLY@
  (i32.store (i32.const 96) (local.get $rows))
  (i32.store (i32.const 100) (local.get $columns))
  (i32.store (i32.const 104) (local.get $count))
  (i32.store8 (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (i32.const 96))
  (i32.store (i32.const 136) (i32.const 1))
  (i32.store (i32.const 140) (i32.const 0))
  (i32.store (i32.const 144) (i32.const 0))
  @AFTER-APPLY@
  (i32.const 128))
