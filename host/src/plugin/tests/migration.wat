;; What `shell.wat` has of an aggregate that migrates states, beside what `aggregate.wat` says.
;; lifted:
  (alias core export $main "migrate" (core func $core-migrate))
  (func $migrate (param "older" $schema) (param "states" $batch) (result (result $batch (error $error)))
    (canon lift (core func $core-migrate) (memory $memory) (realloc $realloc) (post-return $post)))
;; exported:
    (import "import-func-migrate" (func $migrate (param "older" $schema) (param "states" $batch)
      (result (result $batch (error $error)))))
    (export $schema-x "schema" (type $schema))
    (export $batch-x "batch" (type $batch))
    (export $error-x "error" (type $error))
    (export "migrate" (func $migrate) (func (param "older" $schema-x) (param "states" $batch-x)
      (result (result $batch-x (error $error-x)))))
;; given:
    (with "import-func-migrate" (func $migrate))
