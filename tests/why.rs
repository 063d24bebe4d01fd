//! `netwright why` against real faults: the shared corpus, in a private network namespace. The short form has one fault of each sort;
//! `NETWRIGHT_FULL=1` runs all of it.

use std::process::Command;

/// Faults of the short form, and the codes they must be named with.
const SHORT: [(&str, &str); 14] = [
    ("port_isolated", "PORT_ISOLATED"),
    ("host_port_down", "LINK_ADMIN_DOWN"),
    ("ebtables_drop", "L2_FILTER_DROP"),
    ("dst_prefix_host32", "PREFIX_MISMATCH"),
    ("wrong_gateway_dead", "ROUTE_GATEWAY_DEAD"),
    ("dst_no_return_route", "RETURN_ROUTE_MISSING"),
    ("rp_filter_strict", "RP_FILTER"),
    ("ip_forward_off", "FORWARDING_DISABLED"),
    ("forward_rule_drop", "NF_DROP"),
    ("nft_only_forward_drop", "NF_DROP"),
    ("legacy_forward_drop", "NF_POLICY_DROP"),
    ("masq_missing", "NAT_MISSING"),
    ("dnat_hairpin_no_snat", "HAIRPIN_NO_SNAT"),
    ("v6_nd_blocked", "V6_ND_BLOCKED"),
];
const DECOYS: [&str; 3] = ["decoy:healthy_nat", "decoy:forward_drop_but_bridged", "decoy:drop_rule_other_source"];

/// Builds the lab, injects the fault, asks, and takes the lab down. `$1` is the corpus, `$2` the program, the rest are names.
const LOOP: &str = r#"
set -u
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && ip link set lo up
corpus=$1; netwright=$2; shift 2
for name in "$@"; do
  "$corpus" setup >/dev/null 2>&1
  "$corpus" inject "$name" >/dev/null 2>&1
  read -r from proto to more <<<"$("$corpus" flow "$name")"
  size=; port=
  for word in $more; do case $word in size=*) size="--size ${word#*=}";; *=*) ;; *) port=$word;; esac; done
  [ "$proto" = icmp ] || to="$proto/$to:$port"
  text=$("$netwright" why "$from" "$to" $size 2>&1)
  code=$(head -n 1 <<<"$text" | sed -n 's/^[a-z]*\[\([A-Z0-9_]*\)\].*/\1/p')
  case $text in ok:*) code=reachable;; esac
  graded=yes
  case $name in decoy:*) ;; *) "$corpus" grade "$name" <<<"$text" >/dev/null || graded=no;; esac
  echo "RESULT $name $code $graded"
  "$corpus" teardown >/dev/null 2>&1
done
"#;

fn ask(names: &[&str]) -> Option<String> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/faults.sh");
    let netwright = env!("CARGO_BIN_EXE_netwright");
    let run = tempfile::tempdir().unwrap();
    let possible =
        Command::new("unshare").args(["-n", "-m", "true"]).output().is_ok_and(|output| output.status.success());
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !possible || !python {
        eprintln!("skipped: it needs root (unshare -n -m) and python3");
        return None;
    }
    let output = Command::new("unshare")
        .args(["-n", "-m", "bash", "-c", LOOP, "loop", corpus, netwright])
        .args(names)
        .env("DX_RUN", run.path().join("dx"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn faults_are_named_and_decoys_are_not_blamed() {
    let names: Vec<&str> = SHORT.iter().map(|(name, _)| *name).chain(DECOYS).collect();
    let Some(said) = ask(&names) else { return };
    for (name, code) in SHORT {
        assert!(said.contains(&format!("RESULT {name} {code} yes")), "{name} should be {code}:\n{said}");
    }
    for name in DECOYS {
        assert!(said.contains(&format!("RESULT {name} reachable yes")), "{name} should be reachable:\n{said}");
    }
}

#[test]
fn the_whole_corpus_is_named() {
    if std::env::var_os("NETWRIGHT_FULL").is_none() {
        return;
    }
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/faults.sh");
    let list = Command::new(corpus).arg("list").output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    // The fault of a full connection table is loaded by the tool `conntrack`.
    let conntrack = Command::new("conntrack").arg("--version").output().is_ok();
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| conntrack || *name != "conntrack_full")
        .collect();
    let Some(said) = ask(&names) else { return };
    let wrong: Vec<&str> = said
        .lines()
        .filter(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["RESULT", name, code, graded] = words.as_slice() else { return false };
            let want = Command::new(corpus).args(["expect", name]).output().unwrap();
            let want = String::from_utf8_lossy(&want.stdout).split_whitespace().next().unwrap_or_default().to_owned();
            if name.starts_with("decoy:") { *code != "reachable" } else { *code != want || *graded != "yes" }
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(said.matches("RESULT ").count(), names.len());
}

#[test]
fn every_code_is_explained() {
    for code in netwright::why::codes::ALL {
        let output =
            Command::new(env!("CARGO_BIN_EXE_netwright")).args(["why", "--explain", code.name]).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(code.means));
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_netwright")).args(["why", "--explain", "RP_FILTRE"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("RP_FILTER"));
}
