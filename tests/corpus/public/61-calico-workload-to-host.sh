#!/usr/bin/env bash
# A pod cannot reach the API server on its own node (projectcalico/calicoctl#1639, #1389).
# Cause: DefaultEndpointToHostAction is DROP: the last rule of cali-wl-to-host.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=tcp/10.0.0.10:6443
build() {
  new node pod; wire pod eth0 node cali1; addr pod eth0 192.168.5.37/32; route pod 169.254.1.1 dev eth0 scope link; route pod default via 169.254.1.1
  addr node cali1 169.254.1.1/32; route node 192.168.5.37 dev cali1 scope link; addr node lo 10.0.0.10/32; sy node net.ipv4.ip_forward=1
  n node iptables-restore <<'R'
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-INPUT - [0:0]
:cali-wl-to-host - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-cali1 - [0:0]
-A INPUT -j cali-INPUT
-A cali-INPUT -i cali+ -g cali-wl-to-host
-A cali-INPUT -m mark --mark 0x1000000/0x1000000 -j ACCEPT
-A cali-wl-to-host -p udp -m multiport --sports 68 -m multiport --dports 67 -j ACCEPT
-A cali-wl-to-host -j cali-from-wl-dispatch
-A cali-wl-to-host -m comment --comment "Configured DefaultEndpointToHostAction" -j DROP
-A cali-from-wl-dispatch -i cali1 -g cali-fw-cali1
-A cali-from-wl-dispatch -m comment --comment "Unknown interface" -j DROP
-A cali-fw-cali1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-fw-cali1 -m conntrack --ctstate INVALID -j DROP
-A cali-fw-cali1 -j MARK --set-xmark 0x0/0x1000000
-A cali-fw-cali1 -m comment --comment "Profile accepts" -j MARK --set-xmark 0x1000000/0x1000000
-A cali-fw-cali1 -m mark --mark 0x1000000/0x1000000 -j RETURN
COMMIT
R
  listen node tcp 6443
}
fix() { n node iptables -I cali-wl-to-host 3 -j ACCEPT; }

play "$@"
