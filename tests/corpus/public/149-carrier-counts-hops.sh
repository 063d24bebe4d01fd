#!/usr/bin/env bash
# Devices behind a phone have no internet, the phone itself has (martin-ger/esp32_nat_router#198, wl500g/wl500g#191).
# Cause: the carrier drops what has been forwarded already, which it sees at the time to live.
. "$(dirname "$0")/lab.sh"

FROM=pc-lap; TO=tcp/203.0.113.9:80
build() {
  new lap phone tower web; wire lap wlan0 phone ap0; addr lap wlan0 192.168.43.20/24; addr phone ap0 192.168.43.1/24; route lap default via 192.168.43.1; wire phone rmnet0 tower ran; addr phone rmnet0 100.70.1.2/24; addr tower ran 100.70.1.1/24; route phone default via 100.70.1.1
  wire tower net web eth0; addr tower net 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; for s in phone tower; do sy $s net.ipv4.ip_forward=1; done; listen web tcp 80
  n phone iptables -t nat -A POSTROUTING -o rmnet0 -j MASQUERADE; n tower iptables -t mangle -A PREROUTING -i ran -m ttl ! --ttl-eq 64 -j DROP
}
fix() { n phone iptables -t mangle -A POSTROUTING -o rmnet0 -j TTL --ttl-set 64; }

play "$@"
