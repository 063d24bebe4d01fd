#!/usr/bin/env bash
# Installs the package in clean roots of Debian, runs the README's example there as root and as a plain user, and purges it: nothing is left.
#   tests/packages/run.sh FOLDER [SUITE…]     FOLDER is that of scripts/package.sh; ROOTS=FOLDER keeps the roots, MIRROR=URL is where they come from
# Needs root, debootstrap and lintian. Each root is copied before it is used.
set -euo pipefail
packages=$(realpath "${1:?the folder of scripts/package.sh}")
shift
suites=("$@")
if ((${#suites[@]} == 0)); then suites=(bullseye bookworm trixie); fi
deb=$(ls "$packages"/netwright_*.deb)
mirror=${MIRROR:-http://deb.debian.org/debian}
roots=${ROOTS:-$(mktemp -d)}
failed=0

(cd "$packages" && sha256sum --check --quiet SHA256SUMS)
if ! lintian --fail-on error,warning,info --suppress-tags bad-distribution-in-changes-file "$deb"; then
  echo "not ok - lintian"
  failed=1
else
  echo "ok - lintian has nothing to say"
fi

inside() { # ROOT: reads what to run there; mounts of its own, gone afterwards
  unshare --mount --propagation private bash -euc '
    root=$1
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    exec chroot "$root" /bin/bash -eu' - "$1"
}

for suite in "${suites[@]}"; do
  base=$roots/$suite
  if [[ ! -x $base/bin/bash ]]; then
    rm -rf "$base"
    if ! debootstrap --variant=minbase "$suite" "$base" "$mirror" >"$roots/$suite.log" 2>&1; then
      echo "not ok - $suite: no root could be made, see $roots/$suite.log"
      failed=1
      continue
    fi
  fi
  root=$(mktemp -d "$roots/$suite.XXXXXX")
  cp -a "$base/." "$root/"
  cp "$deb" "$root/root/netwright.deb"
  if inside "$root" >"$root.log" 2>&1 <<'END'
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
listing() { find / -xdev \( -path /var -o -path /root -o -path /tmp -o -path /run -o -path /proc -o -path /sys -o -path /dev \) -prune -o -print | grep -vE '^/etc/(ld\.so\.cache|resolv\.conf)' | sort; }
apt-get update -q
# What it needs comes first, so that the listings differ by the package alone.
apt-get install -qy --no-install-recommends iproute2 iptables procps
listing >/root/before
apt-get install -qy --no-install-recommends /root/netwright.deb
netwright --version
netwright man | head -1 | grep -q .
test -s /usr/share/man/man1/netwright-run.1.gz
bash -n /usr/share/bash-completion/completions/netwright
grep -q 'ExecStart=/usr/bin/netwright' /usr/lib/systemd/system/netwright-check@.service
cd /usr/share/doc/netwright/examples
netwright run 02-container-network.rhai
netwright test 04-policy_test.rhai --artefacts /tmp/artefacts
useradd --create-home someone
if unshare --user true 2>/dev/null; then
  su someone -c 'cd /usr/share/doc/netwright/examples && netwright run 02-container-network.rhai'
fi
userdel --remove someone 2>/dev/null || true
apt-get purge -qy netwright
listing >/root/after
# dpkg and useradd keep copies of their own files.
diff <(grep -vE '^/etc/(passwd|shadow|group|gshadow|subuid|subgid)' /root/before) <(grep -vE '^/etc/(passwd|shadow|group|gshadow|subuid|subgid)' /root/after)
END
  then
    echo "ok - $suite: installed, the README's example ran as root and as a plain user, purged without a trace ($(grep -m1 '^netwright ' "$root.log"))"
    rm -rf "$root" "$root.log"
  else
    echo "not ok - $suite: see $root.log"
    tail -20 "$root.log" | sed 's/^/# /'
    failed=1
  fi
done
exit "$failed"
