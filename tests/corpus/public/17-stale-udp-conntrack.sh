#!/usr/bin/env bash
# A client that sends UDP all the time never reaches the service's new pod (kubernetes/kubernetes#106274, containernetworking/plugins#123).
# Cause: its connection was tracked while the service had no endpoint; the entry is refreshed by every packet, so the DNAT rule is never asked.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=udp/10.96.0.53:8125
build() {
  new node client sink inet; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1
  for k in client:4 sink:5; do wire "${k%:*}" eth0 node "v-${k%:*}"; port node "v-${k%:*}" cni0; addr "${k%:*}" eth0 10.244.0.${k#*:}/24; route "${k%:*}" default via 10.244.0.1; done
  wire node eth0 inet eth0; addr node eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; route node default via 198.51.100.1
  n node iptables -t nat -A POSTROUTING -o eth0 -s 10.244.0.0/24 -j MASQUERADE
  n inet iptables -A FORWARD -j DROP; n inet iptables -A OUTPUT -p icmp -j DROP; sy inet net.ipv4.ip_forward=1
  setsid ip netns exec pc-client python3 -c '
import socket,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("10.244.0.4",40000))
while True: s.sendto(b"hi",("10.96.0.53",8125)); time.sleep(0.2)' >/dev/null 2>&1 &
  sleep 1; n node iptables -t nat -A PREROUTING -d 10.96.0.53/32 -p udp --dport 8125 -j DNAT --to-destination 10.244.0.5:8125
  setsid ip netns exec pc-sink socat -u UDP-RECVFROM:8125,fork OPEN:${TMPDIR:-/tmp}/pc-sink.log,creat,append >/dev/null 2>&1 & sleep 0.5
}
check() { : > "${TMPDIR:-/tmp}/pc-sink.log"; sleep 1.5; [ -s "${TMPDIR:-/tmp}/pc-sink.log" ]; }
fix() { n node conntrack -D -p udp --orig-dst 10.96.0.53 >/dev/null 2>&1; }

play "$@"
