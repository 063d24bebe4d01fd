//! `WireGuard`'s verb on a machine whose `ip` and `wg` are played (tests/fixtures/wireguard): this kernel may lack it. What the kernel would do with
//! the keys is not proven here; that none is shown or written down, and that everything comes back, is.

use std::process::{Command, Stdio};

const RUN: &str = r#"
set -u
mount -t tmpfs none /run; mkdir /run/netns; mount -t tmpfs none /usr/local/sbin
cp "$FIXTURES/ip" "$FIXTURES/wg" /usr/local/sbin/
PATH=/usr/local/sbin:$PATH
/sbin/ip link set lo up; /sbin/ip link add other type bridge
wg genkey > /run/key
wg set other private-key /run/key listen-port 3 peer QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY= allowed-ips 10.7.0.0/16
before=$(wg show other dump); : > /run/fakewg/argv
"$NETWRIGHT" run --host --trace --audit /run/audit "$FIXTURES/keys.rhai" > /run/said 2>&1 || { echo "it failed"; cat /run/said; }
grep -q "8 changed, 6 already so" /run/said || { echo "counts:"; grep changed /run/said; }
grep -q "has another private key, which could not be put back" /run/said || echo "a key of others gave way"
grep -q hunter2 /run/said && echo "a wrong key is told"
secrets=$(find /run/fakewg \( -name key -o -name psk \) | wc -l)
[ "$secrets" = 4 ] || echo "$secrets secrets"
for file in $(find /run/fakewg \( -name key -o -name psk \)); do
    grep -rlF -- "$(cat "$file")" /run/said /run/netwright /run/audit /run/fakewg/argv && echo "shown: $file"
done
for run in $(ls /run/netwright/runs); do "$NETWRIGHT" down "$run" > /run/down 2>&1 || cat /run/down; done
[ "$before" = "$(wg show other dump)" ] || { echo "not as it was:"; echo "$before"; wg show other dump; }
/sbin/ip -o link show | grep -e wgh && echo "a link is left"
ls /run/netns
echo end
"#;

/// A runbook with a tunnel: its copy has all but the keys, which are asked of the machine; drift of a peer is named; its plain shell does the same, and
/// only `up.sh` holds the keys.
const RUNBOOK: &str = r#"
set -u
mount -t tmpfs none /run; mkdir /run/netns; mount -t tmpfs none /usr/local/sbin
cp "$FIXTURES/ip" "$FIXTURES/wg" /usr/local/sbin/
PATH=/usr/local/sbin:$PATH
/sbin/ip link set lo up; cd "$(mktemp -d)"; key=$(wg genkey); psk=$(wg genkey); peer=$(wg genkey | wg pubkey)
cat >tunnel.rhai <<R
let ns = netns("wg-a");
ns.wireguard("wg0", #{ key: secret("$key"), port: 51820, peers: [
    #{ key: "$peer", endpoint: "192.0.2.1:51820", allowed: ["10.9.0.2", "fd00::/64"], keepalive: 25, psk: secret("$psk") },
] }).addr("10.9.0.1/24").up();
R
inside() { ip netns exec wg-a wg set wg0 "$@"; }
check() { "$NETWRIGHT" run --host --check tunnel.rhai >said 2>&1; echo "check $?"; grep -qF -e "$key" -e "$psk" said && echo "a key is shown"; grep -oE 'has another|psk|^  wg-a: .* (there|not there)|(allowed-ips|listen-port) .*' said; }
"$NETWRIGHT" run --host tunnel.rhai >said 2>&1 || cat said; check
inside peer "$peer" allowed-ips 10.9.0.3/32; echo "== allowed"; check | sed "s|$peer|PEER|g"
"$NETWRIGHT" run --host tunnel.rhai >said 2>&1 || cat said; check
inside listen-port 9; echo "== port"; check | grep check; inside listen-port 51820
inside peer "$peer" remove; echo "== gone"; check | grep check
"$NETWRIGHT" run --host tunnel.rhai >said 2>&1 || cat said; check
wg genkey >other; inside private-key other; echo "== key"; check
inside private-key /dev/stdin <<<"$key"; check
"$NETWRIGHT" snapshot -o all.json 2>/dev/null; grep -cF -e "$key" -e "$psk" all.json
for run in $(ls -r /run/netwright/runs); do "$NETWRIGHT" down "$run" >said 2>&1 || cat said; done
echo "== shell"; "$NETWRIGHT" emit -o out tunnel.rhai 2>said || cat said; grep -lF -e "$key" -e "$psk" out/*; stat -c %a out/*.sh | sort -u
"$NETWRIGHT" snapshot -o before.json 2>/dev/null
sh out/up.sh 2>&1; sh out/up.sh 2>&1; sh out/up.sh -n 2>&1 | grep -cF -e "$key" -e "$psk"; sh out/verify.sh | grep -c "^ok"
for breakage in "peer $peer allowed-ips 10.9.0.3/32" "peer $peer remove" "listen-port 9"; do
    inside $breakage; sh out/verify.sh | grep -c "^not ok"; sh out/up.sh 2>&1; sh out/verify.sh | grep -c "^not ok"
done
sh out/down.sh 2>&1; "$NETWRIGHT" diff before.json this; echo "diff $?"
"#;

fn run(flags: &str, script: &str) -> String {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wireguard");
    let output = Command::new("unshare")
        .args(flags.split(' '))
        .args(["--propagation", "private", "bash", "-c", script])
        .env("FIXTURES", fixtures)
        .env("NETWRIGHT", env!("CARGO_BIN_EXE_netwright"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn no_key_is_shown_and_all_comes_back() {
    let flags = if rustix::process::geteuid().is_root() { "-nm" } else { "-Urnm" };
    assert_eq!(run(flags, RUN), "end\n");
}

#[test]
fn a_runbook_with_a_tunnel_is_checked_without_its_keys_and_handed_on_as_plain_shell() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    assert_eq!(run("-nmpf --mount-proc", RUNBOOK), include_str!("fixtures/wireguard/runbook.txt"));
}
