//! The faults of `std/faults`: each is injected into a lab of its own, and `why` names its code.

use std::path::Path;
use std::process::Command;

const LAB: &str = include_str!("faults/lab.rhai");
const TESTS: &str = include_str!("faults/tests.rhai");
const MODULE: &str = include_str!("../stdlib/faults.rhai");

/// The tests of `tests.rhai`, each with its name.
fn tests() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in TESTS.lines().filter(|line| !line.starts_with("//")) {
        if let Some(rest) = line.strip_prefix("test(\"") {
            found.push((rest.split('"').next().unwrap().to_owned(), String::new()));
        }
        if let Some((_, text)) = found.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

#[test]
fn every_fault_is_named_by_why() {
    let folder = tempfile::tempdir().unwrap();
    let tests = tests();
    for (name, text) in &tests {
        let file = folder.path().join(format!("{}_test.rhai", name.replace(' ', "-")));
        std::fs::write(file, format!("{LAB}\n{text}")).unwrap();
    }
    let junit = folder.path().join("junit.xml");
    let output = Command::new(env!("CARGO_BIN_EXE_netwright"))
        // They mostly wait.
        .args([Path::new("test"), folder.path(), Path::new("--jobs"), Path::new("4"), Path::new("--report")])
        .arg(format!("junit={}", junit.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let passed = std::fs::read_to_string(junit).unwrap().matches("<testcase").count();
    assert_eq!(passed, tests.len(), "{said}");
}

/// No fault without a test, and no code in the documentation that no test asks for.
#[test]
fn every_fault_has_a_test() {
    for line in MODULE.lines().filter_map(|line| line.strip_prefix("fn ")) {
        let name = line.split('(').next().unwrap();
        assert!(TESTS.contains(&format!("faults::{name}(")), "nothing tests `{name}`");
    }
    for code in MODULE.split(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())) {
        if netwright::why::codes::find(code).is_some_and(|known| known.name() == code) {
            assert!(TESTS.contains(&format!("\"{code}\"")), "nothing tests that `why` says {code}");
        }
    }
}
