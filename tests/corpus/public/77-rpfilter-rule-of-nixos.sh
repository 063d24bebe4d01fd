#!/usr/bin/env bash
# With cilium in place of kube-proxy nodes do not reach pods of each other (cilium/cilium#31565, a comment).
# Cause: the firewall of NixOS has the reverse path filter as a rule (mangle, -m rpfilter): answers leave by another link than requests come in.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.9.0.2
build() {
  new node client r0 r1; wire client up r0 lan; addr client up 10.8.0.9/24; addr r0 lan 10.8.0.1/24; wire r0 wan node eth0; addr r0 wan 10.9.1.1/24; addr node eth0 10.9.1.2/24
  wire client down r1 lan; addr client down 10.8.1.9/24; addr r1 lan 10.8.1.1/24; wire r1 wan node eth1; addr r1 wan 10.9.2.1/24; addr node eth1 10.9.2.2/24; addr node lo 10.9.0.2/32
  route client 10.9.0.2 via 10.8.0.1 src 10.8.0.9; route r0 10.9.0.2 via 10.9.1.2; route node 10.8.0.0/24 via 10.9.2.1; route r1 10.8.0.0/24 via 10.8.1.9; for k in r0 r1; do sy $k net.ipv4.ip_forward=1; done
  n node iptables -t mangle -N nixos-fw-rpfilter; n node iptables -t mangle -A nixos-fw-rpfilter -m rpfilter --validmark -j RETURN
  n node iptables -t mangle -A nixos-fw-rpfilter -p udp --sport 67 --dport 68 -j RETURN; n node iptables -t mangle -A nixos-fw-rpfilter -j DROP; n node iptables -t mangle -A PREROUTING -j nixos-fw-rpfilter
}
fix() { n node iptables -t mangle -D nixos-fw-rpfilter -j DROP; }

play "$@"
