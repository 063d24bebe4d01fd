#!/usr/bin/env bash
# In the office the machine reaches nothing of one office network (kubernetes/minikube#11479).
# Cause: the bridge cni-podman1 of the cluster that was made at home still owns 192.168.49.0/24, which is a network of the office.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=tcp/192.168.49.20:443
build() {
  new host gw srv; wire host eth0 gw lan; addr host eth0 192.168.1.114/24; addr gw lan 192.168.1.1/24; route host default via 192.168.1.1
  wire gw dmz srv eth0; addr gw dmz 192.168.49.254/24; addr srv eth0 192.168.49.20/24; route srv default via 192.168.49.254; sy gw net.ipv4.ip_forward=1
  bridge_ host cni-podman1; addr host cni-podman1 192.168.49.1/24
  listen srv tcp 443
}
fix() { ip -n pc-host link del cni-podman1; }

play "$@"
