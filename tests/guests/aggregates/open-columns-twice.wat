;; Announces states with two columns of one name.
;; => refused: announces tables that can't be: table `state`: there are two columns `id`
;; in-open:
(i64.store (local.get $fields) (i64.load offset=12 (local.get $fields)))
