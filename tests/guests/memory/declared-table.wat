;; Declares a table of four billion elements.
;; => refused: failed to open: trap: memory limit of 16 MiB exceeded
;; code:
(table $own 4000000000 funcref)
