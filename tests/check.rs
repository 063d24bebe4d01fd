//! `netwright check` finds the seeded mistakes of `tests/check/`, each on its line, and nothing else; and nothing in what the project ships.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn check(arguments: &[&str], paths: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    command.arg("check").args(arguments).args(paths).output().unwrap()
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join(folder)).unwrap();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "rhai"))
        .map(|path| path.strip_prefix(root).unwrap().to_path_buf())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no scripts in {folder}");
    found
}

/// What `//~ text` says about its line.
fn seeded(path: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| Some((index as u64 + 1, line.split_once("//~")?.1.trim().to_owned()))).collect()
}

#[test]
fn every_seeded_mistake_is_found_on_its_line_and_nothing_else() {
    let mut wrong = Vec::new();
    let mut total = 0;
    for path in scripts("tests/check").into_iter().chain(scripts("tests/check/syntax")) {
        let mut expected = seeded(&path);
        total += expected.len();
        let output = check(&["--json"], std::slice::from_ref(&path));
        let code = if expected.is_empty() { 0 } else { 3 };
        if output.status.code() != Some(code) {
            wrong.push(format!("{}: exit {:?}, not {code}", path.display(), output.status.code()));
        }
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["schema"], 1);
        for finding in document["findings"].as_array().unwrap() {
            let line = finding["line"].as_u64().unwrap_or(0);
            let message = finding["message"].as_str().unwrap();
            match expected.remove(&line) {
                Some(text) if message.contains(&text) || finding["hints"].to_string().contains(&text) => {}
                Some(text) => wrong.push(format!("{}:{line}: `{message}` instead of `{text}`", path.display())),
                None => wrong.push(format!("{}:{line}: false alarm: {message}", path.display())),
            }
        }
        wrong.extend(expected.iter().map(|(line, text)| format!("{}:{line}: not found: {text}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(total >= 180, "only {total} mistakes are seeded");
}

#[test]
fn what_the_project_ships_has_no_mistakes() {
    let folders = ["scripts", "stdlib", "tests/rhai", "tests/loops"];
    let shipped: Vec<PathBuf> = folders.into_iter().flat_map(scripts).collect();
    let output = check(&["--json"], &shipped);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<String> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| format!("{}:{} {}", finding["source"], finding["line"], finding["message"]))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn people_get_the_line_and_github_an_annotation() {
    let path = [PathBuf::from("tests/check/syntax/variable.rhai")];
    let human = check(&[], &path);
    let text = String::from_utf8_lossy(&human.stderr).into_owned();
    assert_eq!(human.status.code(), Some(3));
    assert!(
        text.contains("--> tests/check/syntax/variable.rhai:2:7") && text.contains("did you mean `blue`?"),
        "{text}"
    );
    let github = check(&["--format", "github"], &path);
    assert_eq!(
        String::from_utf8_lossy(&github.stdout),
        "::error file=tests/check/syntax/variable.rhai,line=2,col=7,title=netwright syntax::no variable `bleu`%0Adid you mean `blue`?\n"
    );
}

#[test]
fn a_missing_file_is_a_finding() {
    let output = check(&["--json"], &[PathBuf::from("tests/check/no-such.rhai")]);
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["findings"][0]["rule"], "file");
}
