#!/usr/bin/env bash
# engine.sh NETWRIGHT: a real dockerd with two containers on a machine of its own; asks about them by their names and draws them.
# Needs root, Debian's docker.io with containerd, and a C compiler for something static to run in the containers. One line per question.
set -u
nw=$(realpath "$1"); [ "${INSIDE:-}" ] || { INSIDE=1 exec unshare -m -n -p -f --ipc --uts --cgroup --kill-child bash "$0" "$nw"; }
mount --make-rprivate /; mount -t tmpfs t /run; mkdir -p /run/netns /run/lock /run/img/bin; mount -t sysfs s /sys; mount -t proc p /proc; mount -t cgroup2 c /sys/fs/cgroup 2>/dev/null
ip link set lo up
containerd --root /run/c/root --state /run/c/state --address /run/c/containerd.sock >/run/containerd.log 2>&1 & sleep 2
dockerd --data-root /run/dock --exec-root /run/dockx --host unix:///run/docker.sock --containerd /run/c/containerd.sock --storage-driver vfs \
  --pidfile /run/d.pid --bip 172.30.0.1/24 --icc=false >/run/dockerd.log 2>&1 &
d() { docker -H unix:///run/docker.sock "$@"; }
for _ in $(seq 100); do d info >/dev/null 2>&1 && break; sleep 0.3; done
echo "int pause(void); int main(void) { for (;;) pause(); }" | cc -static -x c -o /run/img/bin/wait - && tar -C /run/img -c . | d import - lab:1 >/dev/null
d run -d --name web lab:1 /bin/wait >/dev/null; d run -d --name db lab:1 /bin/wait >/dev/null
say() { echo "== $*"; "$nw" "$@" 2>&1; echo "exit $?"; }
say why docker:web 172.30.0.1
say why docker:web docker:db
say why docker:web docker:db --json
say why host docker:db
say why "docker:$(d inspect --format '{{.Id}}' web | cut -c1-12)" 172.30.0.1
say why docker:nobody 172.30.0.1
say show
