#!/usr/bin/env bash
# Builds what is shipped, into a folder: the static program, a Debian package with man pages, completions, systemd units and the AppArmor
# profile that Ubuntu needs for rootless sandboxes, and SHA256SUMS. Two runs of one commit give the same bytes.
#   scripts/package.sh [FOLDER]       NETWRIGHT_BINARY=FILE packs a program that is built already
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-dist}
mkdir -p "$out"
out=$(realpath "$out")

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
machine=$(uname -m)
case $machine in
  x86_64) debian=amd64 ;;
  aarch64) debian=arm64 ;;
  *) echo "no package for $machine: x86_64 and aarch64 only" >&2; exit 2 ;;
esac
# Every time stamp is that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

if [[ -n ${NETWRIGHT_BINARY:-} ]]; then
  built=$NETWRIGHT_BINARY
else
  target=$machine-unknown-linux-gnu
  # No path of this machine is in the program.
  # Relocations packed: 0.6 MB less; the C library that is linked in must be 2.36 or newer.
  flags="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C force-unwind-tables=no"
  flags+=" --remap-path-prefix=$PWD=/netwright --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  RUSTFLAGS=$flags cargo build --profile dist --locked --target "$target"
  built=${CARGO_TARGET_DIR:-target}/$target/dist/netwright
fi
binary=$out/netwright-$version-$machine
install -m 755 "$built" "$binary"
# Tables for unwinding (1.4 MB) come with Rust's own library, whatever the flag above says; a program that aborts when it panics reads none.
objcopy --remove-section .eh_frame --remove-section .eh_frame_hdr "$binary"
if readelf -d "$binary" | grep -q NEEDED; then echo "$binary is not static" >&2; exit 1; fi
size=$(stat -c %s "$binary")
if ((size > 10 * 1000 * 1000)); then echo "$binary has $size bytes, more than 10 MB" >&2; exit 1; fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
put() { # MODE FILE PLACE
  install -D -m "$1" "$2" "$stage/$3"
}
put 755 "$binary" usr/bin/netwright
mkdir -p "$stage"/usr/share/{man/man1,bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$binary" man "$stage/usr/share/man/man1" 2>/dev/null
gzip -9n "$stage"/usr/share/man/man1/*.1
"$binary" completions bash >"$stage/usr/share/bash-completion/completions/netwright"
"$binary" completions zsh >"$stage/usr/share/zsh/vendor-completions/_netwright"
"$binary" completions fish >"$stage/usr/share/fish/vendor_completions.d/netwright.fish"
mkdir -p "$stage/usr/lib/systemd/system"
for unit in scripts/systemd/netwright-*; do
  sed 's|/usr/local/bin/netwright|/usr/bin/netwright|; /^#   cp /d' "$unit" >"$stage/usr/lib/systemd/system/$(basename "$unit")"
done
put 644 scripts/apparmor/netwright usr/share/netwright/apparmor/netwright
for script in scripts/*.rhai; do put 644 "$script" "usr/share/doc/netwright/examples/$(basename "$script")"; done

doc=$stage/usr/share/doc/netwright
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: netwright\n\n'
  printf 'Files: *\nCopyright: 2026 the authors of netwright\nLicense: MIT or Apache-2.0\n\nLicense: MIT\n'
  sed 's/^$/./; s/^/ /' LICENSE-MIT
  printf '\nLicense: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
date=$(date -R -d "@$SOURCE_DATE_EPOCH")
printf 'netwright (%s-1) stable; urgency=medium\n\n  * Release %s.\n\n -- netwright <netwright@users.noreply.github.com>  %s\n' \
  "$version" "$version" "$date" | gzip -9nc >"$doc/changelog.Debian.gz"
mkdir -p "$stage/usr/share/lintian/overrides"
cat >"$stage/usr/share/lintian/overrides/netwright" <<'END'
# On purpose: one program for every release, whatever C library it has; it looks up no host names.
netwright: statically-linked-binary [usr/bin/netwright]
# A static program at no fixed place looks like a library to lintian.
netwright: shared-library-lacks-prerequisites [usr/bin/netwright]
# A first package of a project that is no part of Debian closes none of its bugs.
netwright: initial-upload-closes-no-bugs [usr/share/doc/netwright/changelog.Debian.gz:1]
END

mkdir "$stage/DEBIAN"
installed=$(du -sk --apparent-size --exclude=DEBIAN "$stage" | cut -f1)
cat >"$stage/DEBIAN/control" <<END
Package: netwright
Version: $version-1
Architecture: $debian
Maintainer: netwright <netwright@users.noreply.github.com>
Installed-Size: $installed
Depends: iproute2, iptables, procps
Recommends: nftables
Suggests: tcpdump
Section: net
Priority: optional
Description: network labs, runbooks and tests as small scripts
 A Linux network (namespaces, bridges, routes, firewalls) is written as a small
 Rhai script, rehearsed in a sandbox without root, and run on the machine. Every
 change is journalled and can be undone. A packet that does not arrive is
 followed through the live kernel, and the hop that stops it is named.
END
cat >"$stage/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    # Ubuntu from 23.10 lets only programs with such a profile make user namespaces. Older parsers do not know the words.
    if [ -e /etc/apparmor.d/abi/4.0 ] && [ ! -e /etc/apparmor.d/netwright ]; then
        cp /usr/share/netwright/apparmor/netwright /etc/apparmor.d/netwright
        if [ -d /sys/module/apparmor ] && command -v apparmor_parser >/dev/null 2>&1; then
            apparmor_parser -r -T -W /etc/apparmor.d/netwright || true
        fi
    fi
    if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
fi
END
cat >"$stage/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
if [ "$1" = purge ]; then rm -f /etc/apparmor.d/netwright; fi
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
END
chmod 755 "$stage/DEBIAN/postinst" "$stage/DEBIAN/postrm"
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
deb=$out/netwright_$version-1_$debian.deb
dpkg-deb --root-owner-group -Zxz --build "$stage" "$deb" >/dev/null
(cd "$out" && sha256sum "$(basename "$binary")" "$(basename "$deb")" >SHA256SUMS)
echo "$binary ($size bytes), $deb"
