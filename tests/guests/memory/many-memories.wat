;; Declares 33 memories.
;; => refused: failed to open: trap: resource limit exceeded: memory count too high at 33
;; code:
(;repeat 32;)(memory 1 1)
(;end;)
