#!/bin/bash
# getkernel.sh KERNEL...   fetches Debian kernels for run.sh and prints the name of each: 6.12 (the newest 6.12 for clouds, run by vm.sh under qemu),
# uml-6.12 (run by uml.sh, a process), newest, or the exact release of either. Nothing is installed: apt gets a folder of its own, with the lists of
# Debian 11 to 13, their backports and sid.   KERNELS=folder
set -eu
: "${KERNELS:=${XDG_CACHE_HOME:-$HOME/.cache}/netwright/kernels}"; A=$KERNELS/.apt; T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
mkdir -p "$A"/state/lists/partial "$A"/cache/archives/partial
key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]' url=http://deb.debian.org/debian
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || { echo "getkernel: apt-get install debian-archive-keyring first" >&2; exit 1; }
for suite in bullseye bookworm bookworm-backports trixie trixie-backports sid; do echo "deb $key $url $suite main"; done >"$A/sources.list"
for suite in bullseye bookworm trixie; do echo "deb $key $url-security $suite-security main"; done >>"$A/sources.list"
apt() { local tool=$1; shift; "$tool" -qq -o "Dir::Etc::sourcelist=$A/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$A/state" -o Acquire::Languages=none \
  -o "Dir::State::status=$A/status" -o "Dir::Cache=$A/cache" -o APT::Architecture=amd64 -o APT::Sandbox::User=root "$@"; }
touch "$A/status"
[ -n "$(find "$A/updated" -mtime -1 2>/dev/null)" ] || { apt apt-get update >&2; touch "$A/updated"; }
fetch() { rm -rf "$T/x" "$T"/*.deb; (cd "$T" && apt apt-get download "$@" >/dev/null && for f in *.deb; do dpkg-deb -x "$f" x; done); }
# Kernels before 6.19 are one package, later ones three.
cloud() { apt apt-cache pkgnames linux-image- | grep -E "^linux-image-$1[.0-9-]*(\+deb[0-9]*)?[.0-9]*-cloud-amd64$" | sort -V | tail -1 | sed 's/^linux-image-//'; }
for want; do
  case $want in uml-*) have=$(ls "$KERNELS" 2>/dev/null | grep -E "^$want([.]|$)" | tail -1) ;; newest) have= ;;
    *) have=$(ls "$KERNELS" 2>/dev/null | grep -E "^$want([.+-]|$)" | tail -1) ;; esac
  [ -n "$have" ] && { echo "$have"; continue; }
  if [[ $want == uml-* ]]; then
    version=$(apt apt-cache madison user-mode-linux | awk '{print $3}' | grep -E "^${want#uml-}um" | head -1)
    [ -n "$version" ] || { echo "getkernel: Debian has no user-mode-linux ${want#uml-}" >&2; exit 1; }
    fetch "user-mode-linux=$version"; rel=$(ls "$T/x/usr/lib/uml/modules"); D=$KERNELS/uml-$rel; rm -rf "$D"; mkdir -p "$D/modules/lib/modules"
    mv "$T/x/usr/bin/linux.uml" "$D/"; mv "$T/x/usr/lib/uml/modules/$rel" "$D/modules/lib/modules/"
    if ! "$D/linux.uml" --version >/dev/null 2>&1; then
      # Built for a newer libc than this machine's: it gets one of its own.
      command -v patchelf >/dev/null || { echo "getkernel: $want needs a newer libc than this machine's: apt-get install patchelf" >&2; exit 1; }
      libc=$(apt apt-cache madison libc6 | awk '{print $3}' | sort -V | tail -1); fetch "libc6=$libc"
      mv "$T/x/usr/lib/x86_64-linux-gnu" "$D/libc"; patchelf --set-interpreter "$D/libc/ld-linux-x86-64.so.2" --set-rpath "$D/libc" "$D/linux.uml"
    fi
    depmod -b "$D/modules" "$rel"; echo "uml-$rel"; continue
  fi
  rel=$(cloud "$([ "$want" = newest ] || echo "$want" | sed 's/[+.]/[&]/g; s/-cloud-amd64$//')")
  [ -n "$rel" ] || { echo "getkernel: Debian has no cloud kernel $want" >&2; exit 1; }
  D=$KERNELS/$rel; [ -e "$D/vmlinuz-$rel" ] && { echo "$rel"; continue; }
  if apt apt-cache pkgnames linux-modules- | grep -qx "linux-modules-$rel"; then fetch "linux-binary-$rel" "linux-modules-$rel" "linux-base-$rel"; else fetch "linux-image-$rel"; fi
  md=; for m in "$T"/x/lib/modules/* "$T"/x/usr/lib/modules/*; do [ -d "$m/kernel" ] && md=$m; done
  rm -rf "$D"; mkdir -p "$D/modules/lib/modules"
  for f in vmlinuz config; do if [ -e "$T/x/boot/$f-$rel" ]; then mv "$T/x/boot/$f-$rel" "$D/"; else mv "$md/$f" "$D/$f-$rel"; fi; done
  mv "$md" "$D/modules/lib/modules/"; depmod -b "$D/modules" "$rel"; echo "$rel"
done
