//! Annotated scripts: each says on its own lines what error it expects, and a golden file beside it holds the whole rendering.
//!
//! `tests/diagnostics/*.rhai` hold one or more scripts, divided by `//---- title` lines and run one by one by the real program, each in
//! a sandbox of its own. In them `//~ ERROR text` expects an error on this line whose message contains the text, `//~^ ERROR text` one
//! on the line above, `//~ HELP text` a hint, `//~ CALLED` the call that led to an error in a module of `tests/diagnostics/lib/`, which
//! carries the annotation there. The renderings are rewritten by `UPDATE_GOLDEN=1 cargo test --test diagnostics`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

/// One script of a file, with all lines outside of it left empty so that its lines keep their numbers.
struct Case {
    title: String,
    text: String,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("//---- ") {
            cases.push(Case { title: title.trim().to_owned(), text: "\n".repeat(at) });
        } else if cases.is_empty() && !line.trim().is_empty() && !line.starts_with("//") {
            cases.push(Case { title: "the script".to_owned(), text: "\n".repeat(at) });
        }
        if let Some(case) = cases.last_mut() {
            case.text.push_str(line);
            case.text.push('\n');
        }
    }
    cases
}

/// `(what, line, text)` of each annotation.
fn annotations(text: &str) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for mark in line.split("//~").skip(1) {
            let (mark, line) = mark.strip_prefix('^').map_or((mark, at + 1), |mark| (mark, at));
            let (what, text) = mark.trim().split_once(' ').unwrap_or((mark.trim(), ""));
            found.push((what.to_owned(), line, text.trim().to_owned()));
        }
    }
    found
}

/// What the program said about a script: the first error of its document, and the rendering.
struct Failed {
    error: Value,
    shown: String,
    code: i32,
}

/// Runs a script with the modules beside it; `None` when it does not fail.
fn run(folder: &Path, name: &str, text: &str) -> Option<Failed> {
    fs::write(folder.join(name), bare(text)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(["run", "--json", name])
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{name}: {error}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    let error = document["errors"].get(0)?.clone();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(Failed { error, shown: steady(&shown), code: output.status.code().unwrap_or(-1) })
}

/// The rendering without what differs from run to run and from machine to machine: times, `PATH`.
fn steady(text: &str) -> String {
    let took = regex::Regex::new(r"(exit \d+|killed), [\d.]+ m?s\)").unwrap();
    let after = regex::Regex::new(r"\(after \d+ ms\)").unwrap();
    let looked = regex::Regex::new(r"looked: (\d+ times|once)").unwrap();
    let fastest = regex::Regex::new(r"found: [\d.]+ ms, the fastest of .*").unwrap();
    let changed = regex::Regex::new(r"(found|changed): \d.*").unwrap();
    let text = took.replace_all(text, "$1)");
    let text = after.replace_all(&text, "(after … ms)");
    let text = looked.replace_all(&text, "looked: … times");
    let text = fastest.replace_all(&text, "found: … ms, the fastest of …");
    // How far a counter gets before its deadline is the machine's business.
    let text = if text.contains("let n = 0;") || text.contains("n += 1") {
        changed.replace_all(&text, "$1: …")
    } else {
        text
    };
    regex::Regex::new(r"searched in \S+").unwrap().replace_all(&text, "searched in …").into_owned()
}

fn check(name: &str, case: &Case, failed: &Failed, problems: &mut String) {
    let error = &failed.error;
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let source = text("source");
    let line = error["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(0);
    let hints: Vec<&str> = error["hints"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut expected = annotations(&case.text);
    if source != name {
        for (_, line, _) in expected.iter().filter(|(what, ..)| what == "CALLED") {
            if !failed.shown.contains(&format!(" from {name}:{line}:")) {
                let _ = writeln!(problems, "{name}:{line}: no such call in\n{}", failed.shown);
            }
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
        let module = fs::read_to_string(folder.join(source)).unwrap_or_default();
        expected = annotations(&module);
        expected.retain(|(_, at, _)| *at == line);
    }
    expected.retain(|(what, ..)| what != "CALLED");
    if !expected.iter().any(|(what, ..)| what == "ERROR") {
        let _ = writeln!(problems, "{name} ({}): unexpected error\n{}", case.title, failed.shown);
    }
    for (what, at, wanted) in &expected {
        let holds = match what.as_str() {
            "ERROR" => *at == line && text("message").contains(wanted.as_str()),
            "HELP" => hints.iter().any(|hint| hint.contains(wanted.as_str())),
            "KIND" => text("error") == wanted,
            "EXIT" => failed.code.to_string() == *wanted,
            _ => false,
        };
        if !holds {
            let _ = writeln!(problems, "{name}:{at}: expected {what} {wanted}\n  got {}", failed.shown);
        }
    }
    for word in ["panicked", "RUST_BACKTRACE", "(os error"] {
        if failed.shown.contains(word) {
            let _ = writeln!(problems, "{name} ({}): {word} in\n{}", case.title, failed.shown);
        }
    }
}

/// `Some(reason)` where no sandbox can be made.
fn no_sandbox(folder: &Path) -> Option<String> {
    fs::write(folder.join("empty.rhai"), "").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_netwright")).args(["run", "empty.rhai"]).current_dir(folder).output().unwrap();
    (output.status.code() == Some(4)).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs the cases of a file; the rendering of all.
fn run_file(folder: &Path, name: &str, text: &str, problems: &mut String) -> String {
    let mut golden = String::new();
    for case in cases(text) {
        let Some(failed) = run(folder, name, &case.text) else {
            let _ = writeln!(problems, "{name} ({}): no error", case.title);
            continue;
        };
        check(name, &case, &failed, problems);
        let _ = writeln!(golden, "---- {}\n{}", case.title, failed.shown);
    }
    golden
}

/// What a plain user is told, too: what the kernel's recorder says of a probe, it says to root alone.
fn seen_by_all(text: &str) -> String {
    if rustix::process::geteuid().is_root() {
        return text.to_owned();
    }
    text.lines().filter(|line| !line.starts_with("  = probe:")).fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn scripts_fail_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let files = |folder: &Path| -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "rhai"));
        files.sort();
        files
    };
    let problems = Mutex::new(String::new());
    let run_one = |file: &Path| {
        // A copy without annotations: they say nothing new in a rendering.
        let temporary = tempfile::tempdir().unwrap();
        // A folder of its own around the scripts: `import "../x"` is answered with the names that are
        // there, and the machine's own temporary files are none of this test's business.
        let place = temporary.path().join("scripts");
        fs::create_dir_all(place.join("lib")).unwrap();
        for module in files(&folder.join("lib")) {
            let text = fs::read_to_string(&module).unwrap();
            fs::write(place.join("lib").join(module.file_name().unwrap()), bare(&text)).unwrap();
        }
        if let Some(reason) = no_sandbox(&place) {
            println!("skipped: {reason}");
            return;
        }
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut said = String::new();
        let golden = run_file(&place, name, &fs::read_to_string(file).unwrap(), &mut said);
        let path = file.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &golden).unwrap();
        } else if seen_by_all(&fs::read_to_string(&path).unwrap_or_default()) != seen_by_all(&golden) {
            let _ = writeln!(said, "{} is out of date, now:\n{golden}", path.display());
        }
        problems.lock().unwrap().push_str(&said);
    };
    let all = files(&folder);
    assert!(!all.is_empty());
    std::thread::scope(|scope| {
        for file in &all {
            scope.spawn(|| run_one(file));
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{problems}");
}

fn bare(text: &str) -> String {
    text.lines().map(|line| line.split("//~").next().unwrap_or_default().trim_end().to_owned() + "\n").collect()
}
