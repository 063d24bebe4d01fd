#!/usr/bin/env bash
# After a restart of systemd-networkd the default gateway is unreachable (systemd/systemd#41350).
# Cause: it removed foreign policy rules, the kernel's own for the tables main and default among them.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=203.0.113.1
build() {
  new host gw; wire host eth0 gw lan; addr host eth0 10.3.0.10/24; addr gw lan 10.3.0.1/24; addr gw lo 203.0.113.1/32; route host default via 10.3.0.1
  ip -n pc-host rule del pref 32766; ip -n pc-host rule del pref 32767
}
fix() { ip -n pc-host rule add pref 32766 lookup main; ip -n pc-host rule add pref 32767 lookup default; }

play "$@"
