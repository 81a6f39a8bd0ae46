;; Shares its memory with threads.
;; => refused: can't be loaded: it is no valid component: … threads must be enabled for shared memories …
;; code:
(memory $own 1 1 shared)
