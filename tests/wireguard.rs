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

#[test]
fn no_key_is_shown_and_all_comes_back() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wireguard");
    let flags = if rustix::process::geteuid().is_root() { "-nm" } else { "-Urnm" };
    let output = Command::new("unshare")
        .args([flags, "--propagation", "private", "bash", "-c", RUN])
        .env("FIXTURES", fixtures)
        .env("NETWRIGHT", env!("CARGO_BIN_EXE_netwright"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "end\n");
}
