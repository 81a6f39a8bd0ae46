;; Declares 4 GiB of memory.
;; => refused: failed to open: trap: memory limit of 16 MiB exceeded
;; code:
(memory $own 65536)
