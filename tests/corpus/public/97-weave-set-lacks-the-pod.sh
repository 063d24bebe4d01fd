#!/usr/bin/env bash
# A connection that a policy allows is blocked by Weave NPC (weaveworks/weave#3829, #3764).
# Cause: the set of the allowed sources does not have the pod; the sets have names that a shell takes apart.
. "$(dirname "$0")/lab.sh"

FROM=pc-apim; TO=tcp/10.244.0.3:27017
build() {
  new node apim mongo; bridge_ node weave; addr node weave 10.244.0.1/24; sy node net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  for k in apim:11 mongo:3; do s=${k%:*}; wire $s eth0 node vethwe-$s; port node vethwe-$s weave; addr $s eth0 10.244.0.${k#*:}/24; route $s default via 10.244.0.1; done
  n node ipset create 'weave-|LSW_{T;OT2F@p!~fygG.)/*f' hash:ip comment; n node ipset create 'weave-tOJqtq[!|VUp_6aFowu*[qv{L' hash:ip comment
  n node ipset add 'weave-|LSW_{T;OT2F@p!~fygG.)/*f' 10.244.0.99 comment 'namespace: r3, pod: apim-1'; n node ipset add 'weave-tOJqtq[!|VUp_6aFowu*[qv{L' 10.244.0.3
  n node ipset create weave-local-pods hash:ip; n node ipset add weave-local-pods 10.244.0.3; n node ipset add weave-local-pods 10.244.0.11
  n node iptables -N WEAVE-NPC; n node iptables -N WEAVE-NPC-INGRESS; n node iptables -N WEAVE-NPC-DEFAULT
  n node iptables -A FORWARD -o weave -m comment --comment "NOTE: this must go before '-j KUBE-FORWARD'" -j WEAVE-NPC
  n node iptables -A FORWARD -o weave -m state --state NEW -j NFLOG --nflog-group 86
  n node iptables -A FORWARD -o weave -j DROP
  n node iptables -A WEAVE-NPC -m state --state RELATED,ESTABLISHED -j ACCEPT
  n node iptables -A WEAVE-NPC -m physdev --physdev-is-bridged --physdev-out vethwe-bridge -j ACCEPT
  n node iptables -A WEAVE-NPC -m set ! --match-set weave-local-pods dst -j ACCEPT
  n node iptables -A WEAVE-NPC -m state --state NEW -j WEAVE-NPC-DEFAULT
  n node iptables -A WEAVE-NPC -m state --state NEW -j WEAVE-NPC-INGRESS
  n node iptables -A WEAVE-NPC-INGRESS -p tcp -m set --match-set 'weave-|LSW_{T;OT2F@p!~fygG.)/*f' src -m set --match-set 'weave-tOJqtq[!|VUp_6aFowu*[qv{L' dst -m tcp --dport 27017 -m comment --comment "namespaces: selector: role=apim -> pods: namespace: r3, selector: app=mongodb (ingress)" -j ACCEPT
  listen mongo tcp 27017
}
fix() { n node ipset add 'weave-|LSW_{T;OT2F@p!~fygG.)/*f' 10.244.0.11; }

play "$@"
