;; Is an empty file.
;; => refused: can't be loaded: the file is empty
;; cut: 0
;; in-apply:

