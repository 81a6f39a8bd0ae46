;; Asks for the network.
;; => fails: trap: the plugin called wasi:sockets/instance-network#instance-network: plugins have no network, files or environment
;; imports:
(import "wasi:sockets/instance-network@0.2.3" (instance $net
  (export "network" (type $network (sub resource)))
  (export "instance-network" (func (result (own $network))))))
(core func $network (canon lower (func $net "instance-network")))
(core instance $core-wasi (export "network" (func $network)))
;; with:
(with "wasi" (instance $core-wasi))
;; code:
(import "wasi" "network" (func $network (result i32)))
;; in-apply:
(drop (call $network))
