//! Pictures of networks, from documents as `netwright show --json` prints them: contract 02, a chain of routers, a star of 40.
//!
//! `UPDATE_GOLDEN=1 cargo test --test draw` rewrites them; look at the SVG in a browser before it is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use netwright::draw::{End, Link, Namespace, Role, State, Topology};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/draw")
}

fn topology(name: &str) -> Topology {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn golden(file: &str, found: &str) {
    let path = folder().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{file} differs");
}

#[test]
fn every_format_of_every_network() {
    for name in ["container-network", "three-routers", "star-40"] {
        let topology = topology(name);
        golden(&format!("{name}.txt"), &(topology.text() + "\n"));
        golden(&format!("{name}.dot"), &topology.dot());
        golden(&format!("{name}.mmd"), &topology.mermaid());
        golden(&format!("{name}.svg"), &topology.svg());
        let again: Topology = serde_json::from_value(topology.document()).unwrap();
        assert_eq!(again, topology, "the document says everything");
    }
}

#[test]
fn a_terminal_of_80_columns_is_enough() {
    for name in ["container-network", "three-routers", "star-40"] {
        for line in topology(name).text().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

fn pods(count: usize) -> Topology {
    let end = |netns: &str, link: String| Some(End { netns: netns.to_owned(), link });
    let mut host = Namespace { name: "host".into(), role: Role::Host, count: 1, ..Namespace::default() };
    host.links.push(Link { name: "br0".into(), kind: Some("bridge".into()), count: 1, ..Link::default() });
    let mut all = Vec::new();
    for n in 1..=count {
        let veth = Link { kind: Some("veth".into()), count: 1, ..Link::default() };
        let outer = Link {
            name: format!("v{n}"),
            master: Some("br0".into()),
            peer: end(&format!("pod-{n}"), "eth0".into()),
            ..veth.clone()
        };
        host.links.push(outer);
        let inner = Link {
            name: "eth0".into(),
            addrs: vec![format!("10.0.0.{n}/24")],
            peer: end("host", format!("v{n}")),
            ..veth
        };
        all.push(Namespace { name: format!("pod-{n}"), count: 1, links: vec![inner], ..Namespace::default() });
    }
    all.insert(0, host);
    Topology { namespaces: all }
}

#[test]
fn hundreds_that_are_alike_are_one_and_the_odd_one_stays() {
    let mut many = pods(300);
    many.namespaces[7].links[0].state = State::Down;
    let folded = many.folded(12);
    let names: Vec<&str> = folded.namespaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["host", "pod-1 … pod-300", "pod-7"]);
    assert_eq!(folded.namespaces[1].count, 299);
    let text = many.text();
    assert!(
        text.contains("pod-1 … pod-300  (299 alike)") && text.contains("eth0 10.0.0.7/24 down ── host/v7"),
        "{text}"
    );
    assert!(text.lines().count() < 20, "{text}");
    assert_eq!(pods(5).folded(12), pods(5), "a few are left alone");
}

#[test]
fn what_names_hold_cannot_break_a_picture() {
    let mut odd = pods(1);
    odd.namespaces[1].name = "a<b>&\"c\"\u{1b}".into();
    odd.namespaces[0].links[1].peer = Some(End { netns: odd.namespaces[1].name.clone(), link: "eth0".into() });
    let svg = odd.svg();
    assert!(svg.contains("a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}") && !svg.contains('\u{1b}'), "{svg}");
    assert!(odd.dot().contains("a<b>&\\\"c\\\""));
    assert!(odd.mermaid().contains("a&lt;b>&amp;&quot;c&quot;"));
    assert_eq!(Topology::default().text(), "");
    assert!(Topology::default().svg().starts_with("<svg"));
}

#[test]
fn show_reads_the_machine_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("show.rhai");
    let program = env!("CARGO_BIN_EXE_netwright");
    // Two cables whose ends have the same indices: only the ids of the namespaces tell which belong together.
    std::fs::write(
        &script,
        format!(
            "veth(netns(\"a\"), \"x\", netns(\"b\"), \"x\"); veth(netns(\"c\"), \"x\", netns(\"d\"), \"x\");\n\
             let settled = topology();\nlet before = run().commands;\nlet shown = host().exec([\"{program}\", \"show\", \"--json\"]);\nprint(shown.stdout);\n\
             let ends = topology().namespaces.filter(|ns| ns.name.len() == 1).map(|ns| ns.name + ns.links[1].peer.netns);\n\
             assert_eq(ends, [\"ab\", \"ba\", \"cd\", \"dc\"]);\nassert_eq(run().commands, before);\n"
        ),
    )
    .unwrap();
    let output = Command::new(program).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Topology = serde_json::from_slice(&output.stdout).unwrap();
    let peers: Vec<String> = shown.namespaces[1..].iter().map(|one| one.links[1].peer.clone().unwrap().netns).collect();
    assert_eq!(peers, ["b", "a", "d", "c"]);
}

#[test]
fn completions_and_man_pages_are_made() {
    let program = env!("CARGO_BIN_EXE_netwright");
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(program).args(["generate", "completions", shell]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("netwright") && text.contains("repl") && text.contains("show"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program).arg("generate").arg("man").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(folder.path().join("netwright-repl.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("Examples"), "{page}");
}

#[test]
fn the_help_of_each_command_fits_a_screen_and_ends_with_examples() {
    let program = env!("CARGO_BIN_EXE_netwright");
    for command in ["run", "repl", "show", "check"] {
        let output = Command::new(program).args([command, "-h"]).env("COLUMNS", "100").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().count() <= 40, "{command}: {} lines", text.lines().count());
        let (_, examples) = text.split_once("Examples:").unwrap_or_else(|| panic!("{command} has no examples"));
        assert!(examples.lines().skip(1).all(|line| line.contains("netwright")), "{command}: {examples}");
    }
}
