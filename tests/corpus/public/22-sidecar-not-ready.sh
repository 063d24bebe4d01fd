#!/usr/bin/env bash
# An application is refused by its database while it starts; a second later all is well (istio/istio#16067, #4341).
# Cause: everything is redirected to port 15001 of the sidecar, and the sidecar does not listen yet.
. "$(dirname "$0")/lab.sh"

FROM=pc-app; TO=tcp/10.0.0.9:5432
build() {
  new app db; wire app eth0 db eth0; addr app eth0 10.0.0.8/24; addr db eth0 10.0.0.9/24
  n app iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:ISTIO_OUTPUT -
:ISTIO_REDIRECT -
:ISTIO_INBOUND -
:ISTIO_IN_REDIRECT -
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp -m tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
R
  listen db tcp 5432
}
fix() { listen app tcp 15001; }

play "$@"
