#!/bin/sh
# Installs what netwright calls and what its build needs, where it is missing: Debian and Ubuntu.
# Idempotent: when everything is there it changes nothing and says so.
set -eu

# Where the tools live; a plain user's PATH on Debian has no sbin.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

packages=
# want PROGRAM PACKAGE...: note the packages when the program is missing
want() {
    program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return
    echo "bootstrap: $program is missing" >&2
    for package in "$@"; do
        case " $packages " in
        *" $package "*) ;;
        *) packages="$packages $package" ;;
        esac
    done
}

for program in ip bridge tc; do want $program iproute2; done
for program in iptables ip6tables iptables-save ip6tables-save; do want $program iptables; done
# `why` reads the rules of nftables with it, also those of ebtables.
want nft nftables
want sysctl procps
want nsenter util-linux
want cc gcc libc6-dev

if [ -z "$packages" ]; then
    echo "bootstrap: everything is there, nothing to do" >&2
elif ! command -v apt-get >/dev/null 2>&1; then
    echo "bootstrap: this is no Debian or Ubuntu; install by hand what is missing above" >&2
    exit 4
else
    root=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "bootstrap: run as root: apt-get install$packages" >&2
            exit 4
        fi
        root=sudo
    fi
    echo "bootstrap: installing$packages" >&2
    # Words on purpose: $root is empty or sudo, $packages a list.
    # shellcheck disable=SC2086
    $root apt-get update -q >&2
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >&2
fi

# The Rust that Cargo.toml asks for; a distribution's own may be older (Debian 12 has 1.63).
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
if ! command -v cargo >/dev/null 2>&1; then
    echo "bootstrap: cargo is missing; install Rust $needed or later from https://rustup.rs" >&2
    exit 4
fi
# `cargo 1.88.0 (873a06493 2025-05-10)`
found=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    if command -v rustup >/dev/null 2>&1; then
        echo "bootstrap: Rust $found is too old, netwright needs $needed: rustup update stable" >&2
    else
        echo "bootstrap: Rust $found is too old, netwright needs $needed: install it from https://rustup.rs" >&2
    fi
    exit 4
fi
