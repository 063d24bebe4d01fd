#!/usr/bin/env bash
# record.sh FOLDER: lets the real programs write their rules on a machine of its own, with the links and addresses of the lab (lab.rs: c0 is
# the uplink, s0 has the containers and guests, br0 a segment that is only bridged), and writes into FOLDER what iptables-save and nft print.
# Needs root and Debian's ufw, firewalld (with dbus-daemon), netavark, libvirt-daemon-system, docker.io (with a C compiler, for something static to run in its containers); what is not installed is left out.
# Nothing of this machine is changed: the programs' folders of /etc and /var are copies.
set -u
[ "${INSIDE:-}" ] || { mkdir -p "$1"; INSIDE=1 exec unshare -m -n -p -f --ipc --uts --cgroup --kill-child bash "$0" "$(realpath "$1")"; }
out=$1
mount --make-rprivate /; mount -t tmpfs t /run; mkdir -p /run/netns /run/lock /run/dbus /run/copies; mount -t sysfs s /sys; mount -t proc p /proc
ip link set lo up
copy() { for d; do [ -d "$d" ] || continue; cp -a "$d" "/run/copies/$(tr / _ <<<"$d")"; mount --bind "/run/copies/$(tr / _ <<<"$d")" "$d"; done; }
copy /etc/ufw /etc/firewalld /etc/libvirt /var/lib/libvirt /etc/default
links() { # as in lab.rs; s0 is left out where the program makes it
  for d in c0 s0 br0; do ip link del "$d" 2>/dev/null; done
  ip link add c0 type veth peer name cx; ip link set cx up; ip addr add 10.1.0.1/24 dev c0; ip addr add fd01::1/64 dev c0; ip link set c0 up
  ip link add br0 type bridge; ip addr add 10.3.0.1/24 dev br0; ip link set br0 up
  [ "${1:-}" ] || { ip link add s0 type veth peer name sx; ip link set sx up; ip addr add 10.2.0.1/24 dev s0; ip addr add fd02::1/64 dev s0; ip link set s0 up; }
}
clear_() { nft flush ruleset; iptables-legacy-restore </dev/null 2>/dev/null; }
# Counters, dates and the handles of other runs tell nothing.
save4() { iptables-save | sed 's/^\(:.*\) \[.*\]/\1 [0:0]/; /^#/d' >"$out/$1"; }
save6() { ip6tables-save | sed 's/^\(:.*\) \[.*\]/\1 [0:0]/; /^#/d' >"$out/$1"; }
has() { command -v "$1" >/dev/null || { echo "left out: $1"; return 1; }; }

if has ufw; then
  links
  sed -i 's/^IPV6=.*/IPV6=yes/; s/^DEFAULT_FORWARD_POLICY=.*/DEFAULT_FORWARD_POLICY="DROP"/' /etc/default/ufw
  for r in "allow 22/tcp" "limit 80/tcp" "allow in on c0 to any port 443 proto tcp" "reject 9000" "deny from 10.3.0.0/24" "allow from 10.2.0.0/24 to any port 53" \
    "route allow in on c0 out on s0 to any port 443 proto tcp" "route allow in on c0 out on s0 to 10.2.0.3 port 8080 proto tcp" "route reject to any port 22"; do ufw $r >/dev/null; done
  ufw --force enable >/dev/null; save4 ufw-0.36.rules; save6 ufw-0.36.rules6; ufw --force disable >/dev/null
  clear_
fi
if has firewalld; then
  links
  dbus-daemon --system --fork >/dev/null 2>&1; sleep 0.5
  firewalld --nofork --nopid >/run/firewalld.log 2>&1 & daemon=$!
  for _ in $(seq 100); do firewall-cmd --state >/dev/null 2>&1 && break; sleep 0.2; done
  f() { firewall-cmd -q "$@"; }
  f --zone=public --change-interface=c0; f --zone=internal --change-interface=s0; f --zone=work --change-interface=br0
  f --zone=public --add-service=http; f --zone=public --add-masquerade; f --zone=public --add-port=8080/tcp
  f --zone=public --add-forward-port=port=443:proto=tcp:toport=80:toaddr=10.2.0.3
  f --zone=public --add-rich-rule='rule family=ipv4 source address=10.1.0.2 port port=9000 protocol=tcp reject'
  f --zone=public --add-rich-rule='rule family=ipv4 source address=10.1.0.0/24 port port=53 protocol=udp accept limit value=100/s'
  f --zone=internal --add-forward; f --zone=internal --add-icmp-block=echo-request; f --zone=work --set-target=DROP 2>/dev/null
  nft list ruleset >"$out/firewalld-1.3.nft"
  kill $daemon; wait $daemon 2>/dev/null; clear_
fi
if [ -x /usr/lib/podman/netavark ]; then
  links no; ip netns add box
  cat >/run/netavark.json <<'J'
{ "container_id": "0123456789abcdef", "container_name": "web", "port_mappings": [
    { "container_ip": "", "container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1 },
    { "container_ip": "", "container_port": 53, "host_ip": "", "host_port": 53, "protocol": "udp", "range": 1 } ],
  "networks": { "home": { "interface_name": "eth0", "static_ips": ["10.2.0.2"] } },
  "network_info": { "home": { "name": "home", "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9", "driver": "bridge",
    "network_interface": "s0", "subnets": [ { "subnet": "10.2.0.0/24", "gateway": "10.2.0.1" } ], "ipv6_enabled": false, "internal": false,
    "dns_enabled": false, "ipam_options": { "driver": "host-local" }, "options": { "isolate": "true" } } } }
J
  /usr/lib/podman/netavark --config /run/netavark --file /run/netavark.json setup /run/netns/box >/run/netavark.out 2>&1 || cat /run/netavark.out
  save4 netavark-1.4.rules; ip netns del box; clear_
fi
if has libvirtd; then
  links no
  libvirtd -d 2>/dev/null; for _ in $(seq 50); do virsh -c qemu:///system net-list >/dev/null 2>&1 && break; sleep 0.2; done
  cat >/run/net.xml <<'X'
<network><name>lab</name><forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward><bridge name='s0'/><dns enable='no'/><ip address='10.2.0.1' netmask='255.255.255.0'/></network>
X
  virsh -q -c qemu:///system net-create /run/net.xml >/run/virsh.out 2>&1 || cat /run/virsh.out
  save4 libvirt-9.0.rules; clear_
fi
if has dockerd && has containerd && has docker && has cc; then
  links no; ip addr add 10.1.0.2/32 dev cx 2>/dev/null; ip link add s0 type bridge; ip addr add 10.2.0.1/24 dev s0; ip link set s0 up
  mkdir -p /run/cg /run/img/bin; mount -t cgroup2 c /sys/fs/cgroup 2>/dev/null; echo "int pause(void); int main(void) { for (;;) pause(); }" | cc -static -x c -o /run/img/bin/wait -
  containerd --root /run/c/root --state /run/c/state --address /run/c/containerd.sock >/run/containerd.log 2>&1 & sleep 2
  dockerd --data-root /run/dock --exec-root /run/dockx --host unix:///run/docker.sock --containerd /run/c/containerd.sock --bridge s0 --storage-driver vfs \
    --pidfile /run/d.pid --userland-proxy=false --icc=false >/run/dockerd.log 2>&1 & daemon=$!
  d() { docker -H unix:///run/docker.sock "$@"; }
  for _ in $(seq 100); do d info >/dev/null 2>&1 && break; sleep 0.3; done
  tar -C /run/img -c . | d import - lab:1 >/dev/null
  d network create -o com.docker.network.bridge.name=s9 --subnet 10.9.0.0/24 other >/dev/null
  # The first one gets 10.2.0.2.
  d run -d --name web -p 8080:80 -p 53:53/udp lab:1 /bin/wait >/dev/null; d run -d --name db -p 9000:443 lab:1 /bin/wait >/dev/null
  d run -d --name far -p 5432:5432 --network other lab:1 /bin/wait >/dev/null
  save4 docker-20.10.rules; d rm -f web db far >/dev/null; kill $daemon; wait $daemon 2>/dev/null; clear_
fi
wc -l "$out"/*
