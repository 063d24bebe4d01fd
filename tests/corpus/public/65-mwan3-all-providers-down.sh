#!/usr/bin/env bash
# The router itself is unreachable from the LAN once its only provider is offline (openwrt/packages#20779).
# Cause: mwan3_connected_ipv4 lacks the LAN: answers get the mark of "unreachable", and the policy rule refuses them.
. "$(dirname "$0")/lab.sh"

FROM=pc-pc; TO=192.168.1.1
build() {
  new rtr pc; wire pc eth0 rtr br-lan; addr pc eth0 192.168.1.20/24; addr rtr br-lan 192.168.1.1/24
  n rtr ipset create mwan3_connected_ipv4 hash:net; n rtr ipset add mwan3_connected_ipv4 224.0.0.0/3
  n rtr iptables-restore <<'R'
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:mwan3_hook - [0:0]
:mwan3_connected - [0:0]
:mwan3_policy_default - [0:0]
-A PREROUTING -j mwan3_hook
-A OUTPUT -j mwan3_hook
-A mwan3_hook -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00
-A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_connected
-A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_policy_default
-A mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00
-A mwan3_connected -m set --match-set mwan3_connected_ipv4 dst -j MARK --set-xmark 0x3f00/0x3f00
-A mwan3_policy_default -m comment --comment unreachable -j MARK --set-xmark 0x3e00/0x3f00
COMMIT
R
  ip -n pc-rtr rule add fwmark 0x3d00/0x3f00 pref 2061 blackhole; ip -n pc-rtr rule add fwmark 0x3e00/0x3f00 pref 2062 unreachable
}
fix() { n rtr ipset add mwan3_connected_ipv4 192.168.1.0/24; n rtr conntrack -F 2>/dev/null || :; }

play "$@"
