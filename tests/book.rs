//! The book that `scripts/book.py` puts together: every link leads somewhere, every command and every finding has its place.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{NETWRIGHT, root};

/// Puts the pages together, by the script below a folder; `None` without Python.
fn book(top: &Path, out: &Path) -> Option<Output> {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: python3 is not installed");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(top.join("scripts/book.py")).args(["--sources", "--netwright", NETWRIGHT]).arg(out);
    Some(command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap())
}

fn said(args: &[&str]) -> String {
    String::from_utf8(Command::new(NETWRIGHT).args(args).output().unwrap().stdout).unwrap()
}

#[test]
fn every_link_command_and_finding_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let Some(made) = book(root(), folder.path()) else { return };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let page =
        |name: &str| fs::read_to_string(folder.path().join("src").join(name)).unwrap_or_else(|_| panic!("{name}"));
    let summary = page("SUMMARY.md");
    let codes = said(&["why", "--explain", "all"]);
    assert!(codes.lines().count() > 50);
    for code in codes.lines().filter_map(|line| line.split_whitespace().next()) {
        let text = page(&format!("findings/{code}.md"));
        assert!(text.contains("**seen**") && text.contains("**mended**"), "{text}");
        assert!(summary.contains(&format!("(findings/{code}.md)")), "{code}");
    }
    let (commands, help) = (page("commands.md"), said(&["--help"]));
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        assert!(commands.contains(&format!("## `netwright {name}`\n")), "{name}");
    }
    // Text of the repository, with its links turned round.
    assert!(
        page("index.md").contains("](scripts/02-container-network.md)") && page("index.md").contains("](security.md)")
    );
    assert!(page("ci.md").contains("](index.md#in-ci)") && page("promises.md").contains("| `faults` |"));
    assert!(folder.path().join("src/files/tests/draw/container-network.svg").is_file());
}

#[test]
fn a_link_that_leads_nowhere_is_an_error() {
    let (top, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(top.path().join("scripts")).unwrap();
    for entry in fs::read_dir(root().join("scripts")).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), top.path().join("scripts").join(entry.file_name())).unwrap();
    }
    for name in ["src", "docs", "tests", "benches", "CHANGELOG.md"] {
        std::os::unix::fs::symlink(root().join(name), top.path().join(name)).unwrap();
    }
    let readme = "# netwright\n\n## In CI\n\n## Install\n\n[a](nowhere.md) [`b`](docs/CI.md#no-such-heading) `[c](code.md)` [d](docs/CI.md#gitlab)\n\n\
                  ```text\n[e](block.md)\n```\n";
    fs::write(top.path().join("README.md"), readme).unwrap();
    let Some(made) = book(top.path(), out.path()) else { return };
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(!made.status.success(), "{said}");
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let wanted =
        ["README.md: docs/CI.md#no-such-heading: there is no such heading", "README.md: nowhere.md leads nowhere"];
    assert_eq!(lines, wanted, "{said}");
}
