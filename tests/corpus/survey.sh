#!/usr/bin/env bash
# survey.sh NETWRIGHT: a machine with two stations on a bridge and one behind a router; for each trap sets it, asks `doctor --network`, and takes
# it away. Prints `RESULT trap code…`. Run it in network and mount namespaces of its own.
set -u
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys && ip link set lo up
netwright=$1
at() { ip netns exec "$@"; }
ask() { # NAME: the codes that are found, each once
  echo "RESULT $1 $("$netwright" doctor --network --json | python3 -c '
import json, sys
print(*sorted({finding["code"] for finding in json.load(sys.stdin)["findings"]}))')"
}
for n in a b c; do ip netns add $n; ip -n $n link set lo up; done
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
ip link add br0 address 02:77:00:00:00:01 type bridge; ip addr add 10.77.0.1/24 dev br0; ip link set br0 up
leg() { # NS PEER: a veth pair
  ip link add "$2" type veth peer name eth0 netns "$1"; ip link set "$2" up; ip -n "$1" link set eth0 up
}
leg a va; leg b vb; leg c vc
ip link set va master br0; ip link set vb master br0
ip -n a addr add 10.77.0.2/24 dev eth0; ip -n b addr add 10.77.0.3/24 dev eth0
ip addr add 10.78.0.1/24 dev vc; ip -n c addr add 10.78.0.2/24 dev eth0
for n in a b; do ip -n $n route add default via 10.77.0.1; done; ip -n c route add default via 10.78.0.1
sleep 2   # until the link-local addresses are there

ask clean
sysctl -qw net.ipv4.conf.all.rp_filter=1; ask clean-strict; sysctl -qw net.ipv4.conf.all.rp_filter=0
iptables -A FORWARD -i br0 -j ACCEPT; iptables -P FORWARD DROP; ask clean-forward-drop-not-bridged
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
  sysctl -qw net.bridge.bridge-nf-call-iptables=1
  ask clean-forward-drop-accepted
  iptables -F FORWARD; ask forward-drop-bridged
  sysctl -qw net.bridge.bridge-nf-call-iptables=0
fi
iptables -P FORWARD ACCEPT; iptables -F FORWARD

# a has an address of its own that the machine does not route to it, and sends from it
ip -n a addr add 10.79.0.2/32 dev lo; ip -n a route add 10.99.0.0/24 via 10.77.0.1 src 10.79.0.2; ip route add 10.79.0.0/24 via 10.78.0.2
sysctl -qw net.ipv4.conf.all.rp_filter=1; ask rp-filter; sysctl -qw net.ipv4.conf.all.rp_filter=0
ip route del 10.79.0.0/24; ip -n a route del 10.99.0.0/24; ip -n a addr del 10.79.0.2/32 dev lo

if command -v iptables-legacy >/dev/null && iptables-legacy -A INPUT -i nowhere -j ACCEPT 2>/dev/null; then
  iptables -A INPUT -i nowhere -j ACCEPT; ask both-backends
  iptables -F INPUT; iptables-legacy -F INPUT
fi
ip addr add 10.78.0.129/25 dev br0; ask overlap; ip addr del 10.78.0.129/25 dev br0
ip -n b addr add 10.77.0.2/24 dev eth0; ask duplicate; ip -n b addr del 10.77.0.2/24 dev eth0
ip -n c link set eth0 mtu 1400; ask mtu-step; ip -n c link set eth0 mtu 1500
at a sysctl -qw net.ipv6.conf.eth0.dad_transmits=60; ip -n a -6 addr add fd77::2/64 dev eth0; ask tentative
ip -n a -6 addr del fd77::2/64 dev eth0
# a bridge with the address of its port: in a namespace, and on the machine, where somebody has given it that one
bridge9() { ip -n "$1" link add br9 type bridge; ip -n "$1" link add v9 type veth peer name w9; ip -n "$1" link set v9 master br9 up
  ip -n "$1" link set w9 up; ip -n "$1" addr add 10.80.0.1/24 dev br9; ip -n "$1" link set br9 up; sleep 0.2; }
bridge9 c; ask clean-mac-not-known; ip -n c link del br9; ip -n c link del v9
ip link add br9 type bridge; ip link add v9 type veth peer name w9; ip link set v9 master br9 up; ip link set w9 up; ip addr add 10.80.0.1/24 dev br9
ip link set br9 up; ask mac-floats-here; ip link set br9 address "$(ip -j link show br9 | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])')"
ask clean-mac-fixed; ip link del br9; ip link del v9
ask clean-again
