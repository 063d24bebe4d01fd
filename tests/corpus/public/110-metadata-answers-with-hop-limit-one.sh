#!/usr/bin/env bash
# Containers get no answer from the cloud's metadata service, the machine itself does (kubernetes/kops#10702, buildkite/elastic-ci-stack-for-aws#857).
# Cause: its answers have a time to live of 1 (put-response-hop-limit), and the container is one hop further.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=tcp/169.254.169.254:80
build() {
  new imds ec2 c1; wire ec2 eth0 imds eth0; addr ec2 eth0 10.0.4.20/24; addr imds eth0 10.0.4.1/24 169.254.169.254/32; route ec2 default via 10.0.4.1
  bridge_ ec2 docker0; addr ec2 docker0 172.17.0.1/16; wire c1 eth0 ec2 veth1; port ec2 veth1 docker0; addr c1 eth0 172.17.0.2/16; route c1 default via 172.17.0.1
  sy ec2 net.ipv4.ip_forward=1; n ec2 iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
  sy imds net.ipv4.ip_default_ttl=1; listen imds tcp 80
}
fix() { sy imds net.ipv4.ip_default_ttl=2; }

play "$@"
