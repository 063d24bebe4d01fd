//! The rules of the house, read off the sources: the invariants of `src/lib.rs`, what is forbidden where, and that lists are complete.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::root;

/// A source file: its path from the top, and its code without comments, texts and tests, with every line in its place.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| {
            self.path.starts_with(&format!("src/{room}/"))
                || self.path == format!("src/{room}.rs")
                || self.path == *room
        })
    }
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|it| it == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The files of modules that are there for tests only: `#[cfg(test)] mod fake;`.
fn of_tests() -> BTreeSet<PathBuf> {
    let declared = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        let folder = path.parent().expect("a folder").to_owned();
        let name = |pair: &[&str]| {
            let [attribute, module] = pair else { return None };
            let name = module.strip_prefix("mod ")?.strip_suffix(';')?;
            (*attribute == "#[cfg(test)]").then(|| folder.join(format!("{name}.rs")))
        };
        lines.windows(2).filter_map(name).collect::<Vec<_>>()
    };
    files(&root().join("src"), "rs").into_iter().filter(|path| path.ends_with("mod.rs")).flat_map(declared).collect()
}

fn sources() -> Vec<Source> {
    let of_tests = of_tests();
    assert!(!of_tests.is_empty(), "no module is for tests only");
    let sources: Vec<Source> = files(&root().join("src"), "rs")
        .into_iter()
        .filter(|path| !of_tests.contains(path))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let path = path.strip_prefix(root()).expect("below").to_str().expect("UTF-8").to_owned();
            Source { code: without_tests(&code_of(&text)), path, text }
        })
        .collect();
    assert!(sources.len() > 50, "{}", sources.len());
    sources
}

/// The text with spaces for comments and for what is between quotes; lines and columns stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let hashes_from = |from: usize| chars.iter().skip(from).take_while(|c| **c == '#').count();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let blank = |out: &mut String, c: char| out.push(if c == '\n' { '\n' } else { ' ' });
    while i < chars.len() {
        let (c, next) = (at(i), at(i + 1));
        let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        if c == '/' && next == '/' {
            while i < chars.len() && at(i) != '\n' {
                blank(&mut out, ' ');
                i += 1;
            }
        } else if c == '/' && next == '*' {
            let mut depth = 0;
            while i < chars.len() {
                let step = match (at(i), at(i + 1)) {
                    ('/', '*') => {
                        depth += 1;
                        2
                    }
                    ('*', '/') => {
                        depth -= 1;
                        2
                    }
                    _ => 1,
                };
                for k in 0..step {
                    blank(&mut out, at(i + k));
                }
                i += step;
                if depth == 0 {
                    break;
                }
            }
        } else if !word_before && (c == 'r' || (c == 'b' && next == 'r')) && {
            let from = i + 1 + usize::from(c == 'b');
            let hashes = hashes_from(from);
            at(from + hashes) == '"'
        } {
            let from = i + 1 + usize::from(c == 'b');
            let hashes = hashes_from(from);
            let mut end = from + hashes + 1;
            while end < chars.len() && !(at(end) == '"' && (1..=hashes).all(|k| at(end + k) == '#')) {
                end += 1;
            }
            for k in i..=(end + hashes).min(chars.len() - 1) {
                blank(&mut out, at(k));
            }
            i = end + hashes + 1;
        } else if c == '"' {
            blank(&mut out, c);
            i += 1;
            while i < chars.len() && at(i) != '"' {
                if at(i) == '\\' {
                    blank(&mut out, at(i));
                    i += 1;
                }
                blank(&mut out, at(i));
                i += 1;
            }
            blank(&mut out, ' ');
            i += 1;
        } else if c == '\'' && (next == '\\' || at(i + 2) == '\'') {
            // A character, not a lifetime.
            let mut end = i + 2 + usize::from(next == '\\');
            while end < chars.len() && at(end) != '\'' {
                end += 1;
            }
            for k in i..=end {
                blank(&mut out, at(k));
            }
            i = end + 1;
        } else {
            out.push(c);
            i += 1;
        }
    }
    out
}

/// The code without the items under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(from) = out.find("#[cfg(test)]") {
        let rest = &out[from..];
        let end = rest.find(['{', ';']).unwrap_or(rest.len());
        let mut end = from + end;
        if out[end..].starts_with('{') {
            let mut depth = 0;
            for (at, c) in out[end..].char_indices() {
                depth += i32::from(c == '{') - i32::from(c == '}');
                if depth == 0 {
                    end += at;
                    break;
                }
            }
        }
        let blank: String =
            out[from..=end.min(out.len() - 1)].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(from..=end.min(out.len() - 1), &blank);
    }
    out
}

/// Whether `word` stands in the line as a word of its own; it may end in `(`, `!` or `::`.
fn has(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = |end: Option<char>, edge: Option<char>| !(edge.is_some_and(is_word) && end.is_some_and(is_word));
        open(word.chars().next(), before) && open(word.chars().next_back(), after)
    })
}

/// Fails for each line with one of the words in a file that may not have it.
#[track_caller]
fn forbid(words: &[&str], why: &str, applies: impl Fn(&Source) -> bool) {
    let mut problems = String::new();
    for source in sources().iter().filter(|source| applies(source)) {
        for (at, line) in source.code.lines().enumerate() {
            for word in words.iter().filter(|word| has(line, word)) {
                let _ = writeln!(problems, "{}:{}: `{word}`: {}", source.path, at + 1, line.trim());
            }
        }
    }
    assert!(problems.is_empty(), "{why}\n{problems}");
}

/// Fails unless one of the words is found where it belongs: a rule about something that is nowhere proves nothing.
#[track_caller]
fn require(words: &[&str], rooms: &[&str]) {
    let found = sources()
        .iter()
        .filter(|source| source.is_in(rooms))
        .any(|source| source.code.lines().any(|line| words.iter().any(|word| has(line, word))));
    assert!(found, "{words:?} is nowhere in {rooms:?}");
}

#[test]
fn comments_texts_and_tests_are_not_code() {
    let text = "let a = \"x.unwrap()\"; // .expect(\nlet b = r#\"panic!\"#; /* a /* b */ todo!() */ let c = '\"'; d('\\'');\nlet e: &'static str = x;\n#[cfg(test)]\nmod tests { fn f() { y.unwrap() } }\nfn g() {}";
    let code = without_tests(&code_of(text));
    for word in ["unwrap", "expect", "panic", "todo", "tests"] {
        assert!(!code.contains(word), "{word} in {code}");
    }
    for word in ["let c =", "d(", "&'static str", "fn g() {}"] {
        assert!(code.contains(word), "{word} not in {code}");
    }
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(has("use duct::cmd;", "duct") && !has("product()", "duct") && has("a.unwrap();", ".unwrap()"));
}

#[test]
fn only_exec_names_duct_and_nothing_else_starts_a_process() {
    require(&["duct::", "duct"], &["exec"]);
    forbid(
        &["duct", "CommandExt", "process::Command", "posix_spawn", "fork"],
        "only exec starts processes",
        |source| !source.is_in(&["exec"]),
    );
}

#[test]
fn only_script_names_rhai() {
    require(&["rhai::"], &["script"]);
    forbid(&["rhai", "rhai_fn"], "only script knows Rhai", |source| !source.is_in(&["script"]));
    let made: usize = sources().iter().map(|source| source.code.matches("Engine::new").count()).sum();
    assert_eq!(made, 1, "engines are made in one place");
}

#[test]
fn only_report_and_cli_print() {
    const PRINTS: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"];
    require(PRINTS, &["report"]);
    // The probe child of the sandbox is a process of its own, and its standard output is the pipe to its parent.
    forbid(PRINTS, "only report and cli print", |source| !source.is_in(&["report", "cli", "src/sandbox/probe.rs"]));
    forbid(&["println!", "eprintln!", "print!", "eprint!", "dbg!"], "a broken pipe would panic", |_| true);
}

/// Where a link leads, who may read a file and whose it is, is decided in one place. What is read, and what a sandbox arranges in its own mounts and
/// the kernel in its own file systems, is nobody's to redirect.
#[test]
fn only_files_makes_writes_and_gives_away_files() {
    const WRITES: &[&str] = &[
        "File::create",
        "File::create_new",
        "File::options",
        "fs::write",
        "OpenOptions",
        "OpenOptionsExt",
        "create_dir",
        "create_dir_all",
        "DirBuilder",
        "fs::rename",
        "renameat",
        "fs::copy",
        "hard_link",
        "symlink",
        "symlinkat",
        "mkdirat",
        "fs::mkdir",
        "openat",
        "openat2",
        "chown",
        "fchown",
        "chownat",
        "lchown",
        "chmod",
        "fchmod",
        "set_permissions",
        "NamedTempFile",
        "tempfile::Builder",
        "tempdir",
    ];
    require(WRITES, &["files"]);
    let exempt = [
        // Mount points, links and settings inside the mount and network namespaces that it has just made.
        "sandbox",
        // Instances of tracefs, held by descriptor.
        "src/why/recorder/tracefs.rs",
        // Reads a script that may be a pipe, without blocking.
        "src/script/source.rs",
    ];
    forbid(WRITES, "only files makes, writes, renames and gives away files", |source| {
        !source.is_in(&["files"]) && !source.is_in(&exempt)
    });
}

#[test]
fn op_model_and_text_do_no_io() {
    const IO: &[&str] = &[
        "std::fs",
        "std::process",
        "std::io",
        "std::env",
        "std::thread",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "File::",
        "rustix",
        "libc",
        "socket2",
        "tempfile",
        "which",
        "SystemTime",
        "Instant",
    ];
    require(&["Command::new"], &["op"]);
    forbid(IO, "op, model and text are pure", |source| source.is_in(&["op", "model", "text"]));
}

/// The rooms from the ground up; a room knows only rooms of the floors below its own, and its own inside.
const FLOORS: &[&[&str]] = &[
    &["error", "files"],
    &["patience"],
    &["text", "model", "probe"],
    &["op"],
    &["exec"],
    &["features", "sandbox", "testing"],
    &["session"],
    &["verify", "doctor", "snapshot"],
    &["why"],
    &["draw", "emit"],
    &["report"],
    &["script"],
    &["cli"],
];

#[test]
fn no_arrow_between_rooms_runs_up() {
    let floor = |room: &str| FLOORS.iter().position(|floor| floor.contains(&room));
    let mut wrong = String::new();
    let mut arrows = 0;
    for source in sources() {
        let room = source.path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let here = floor(&room).unwrap_or_else(|| panic!("the room `{room}` has no floor in FLOORS"));
        for (number, line) in source.code.lines().enumerate() {
            for (_, rest) in line.match_indices("crate::").map(|(at, found)| line.split_at(at + found.len())) {
                let other: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let Some(there) = floor(&other).filter(|_| other != room) else { continue };
                arrows += 1;
                if there >= here {
                    let _ = writeln!(wrong, "{}:{}: {room} knows {other}", source.path, number + 1);
                }
            }
        }
    }
    assert!(arrows > 300, "the test sees {arrows} arrows only: it reads the sources wrongly");
    assert!(wrong.is_empty(), "arrows that run up (FLOORS in tests/tidy.rs):\n{wrong}");
}

/// What a command is for is a value ([`netwright::op::Fact`]).
#[test]
fn nobody_reads_out_of_words_what_a_command_was_for() {
    forbid(&["command.argv", ".argv.iter()", "&command.argv"], "the fact of a command says what it is for", |source| {
        source.is_in(&["session", "emit", "verify", "why", "script"])
    });
}

#[test]
fn nothing_panics_on_purpose() {
    forbid(
        &[
            ".unwrap()",
            ".expect(",
            ".unwrap_err()",
            ".expect_err(",
            "panic!",
            "todo!",
            "unimplemented!",
            "unreachable!",
            "assert_eq!",
            "assert_ne!",
            "unwrap_unchecked",
            "process::abort",
        ],
        "what a user, a tool or the kernel can influence is an error, not a panic",
        |_| true,
    );
}

/// On a machine that is twenty times slower every wait is so much longer (`NETWRIGHT_SLOW`): a limit of a second and more that is not scaled is one
/// that was forgotten. Where a constant says why it is not, it is no limit.
#[test]
fn every_long_wait_is_scaled() {
    let limit = regex::Regex::new(r"const ([A-Z_]+): Duration = Duration::from_(?:secs|mins)\(").expect("a pattern");
    let (mut wrong, mut seen) = (String::new(), 0);
    for source in sources() {
        for found in limit.captures_iter(&source.code) {
            let name = &found[1];
            let line = source.code[..found.get(0).expect("whole").start()].matches('\n').count();
            let said = source.text.lines().take(line).collect::<Vec<_>>().into_iter().rev();
            let excused =
                said.take_while(|line| line.trim_start().starts_with("///")).any(|line| line.contains("not scaled"));
            seen += 1;
            let scaled = sources().iter().any(|other| {
                other
                    .code
                    .match_indices(name)
                    .any(|(at, _)| other.code[..at].trim_end_matches("Self::").ends_with("scaled("))
            });
            if !scaled && !excused {
                let _ = writeln!(wrong, "{}:{line}: {name}", source.path);
            }
        }
    }
    assert!(seen > 15, "{seen}");
    assert!(wrong.is_empty(), "limits that NETWRIGHT_SLOW does not make longer:\n{wrong}");
}

/// The heads of functions: name and what stands between it and the body, each on one line.
fn functions(code: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (at, all) in code.match_indices("pub fn ").chain(code.match_indices("pub(crate) fn ")) {
        let rest = &code[at + all.len()..];
        let head = &rest[..rest.find('{').unwrap_or(rest.len())];
        let name = head.split(['(', '<']).next().unwrap_or_default().to_owned();
        let body = &rest[head.len()..];
        let body = &body[..body.find("\n}").unwrap_or(body.len())];
        found.push((name, head.split_whitespace().collect::<Vec<_>>().join(" "), body.to_owned()));
    }
    found
}

#[test]
fn every_op_has_an_inverse_or_says_that_it_has_none_and_a_test_of_its_words() {
    let mut problems = String::new();
    let mut count = 0;
    for source in sources().iter().filter(|source| source.is_in(&["op"]) && source.path != "src/op/mod.rs") {
        let tests = source.text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests);
        for (name, head, body) in functions(&source.code) {
            if !head.ends_with("-> Op") {
                continue;
            }
            count += 1;
            // Through a helper of the same file, `Op::new` still wants an `Undo`.
            let undo = body.contains("Undo::") || head.contains("undo: Undo") || !body.contains("Op::new");
            if !undo {
                let _ = writeln!(problems, "{}: `{name}` says nothing about undoing", source.path);
            }
            if !has(tests, &name) {
                let _ = writeln!(problems, "{}: `{name}` has no test of its argv", source.path);
            }
        }
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let nothing =
                ["Undo::None(String::new()", "Undo::None(\"\"", "Undo::Commands(vec![])", "Undo::Commands(Vec::new())"];
            // Nothing to do is an answer where the doc comment says with what the change goes away.
            let mut above = lines.iter().take(at).rev().take_while(|line| **line != "}");
            let said = above.any(|line| line.starts_with("///") && line.contains(" with the "));
            if nothing.iter().any(|empty| line.contains(empty)) && !said {
                let _ = writeln!(problems, "{}:{}: an undo that does nothing and gives no reason", source.path, at + 1);
            }
        }
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(count > 20, "{count}");
}

#[test]
fn the_map_in_lib_rs_is_true() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let map: BTreeSet<&str> = lib.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split('`').next()).collect();
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let on_disk: BTreeSet<String> = fs::read_dir(root().join("src"))
        .expect("src")
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "lib" && name != "main")
        .collect();
    assert_eq!(map, declared, "the map and the modules of src/lib.rs");
    assert_eq!(map, on_disk.iter().map(String::as_str).collect(), "the map of src/lib.rs and the rooms in src/");
}

#[test]
fn every_file_says_first_what_lives_in_it() {
    let mut problems = String::new();
    for path in files(&root().join("src"), "rs").into_iter().chain(files(&root().join("tests"), "rs")) {
        let text = fs::read_to_string(&path).expect("UTF-8");
        if !text.starts_with("//! ") {
            let _ = writeln!(problems, "{}", path.display());
        }
    }
    assert!(problems.is_empty(), "no `//! …` in the first line:\n{problems}");
}

#[test]
fn every_module_of_stdlib_is_embedded_and_nothing_else() {
    let embedded: Vec<String> = netwright::script::STD.iter().map(|(path, _)| path.replacen("std/", "", 1)).collect();
    let on_disk: Vec<String> = files(&root().join("stdlib"), "rhai")
        .iter()
        .map(|path| path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned())
        .collect();
    assert_eq!(embedded, on_disk);
    for (path, text) in netwright::script::STD {
        assert!(text.starts_with("//! "), "{path}: the first line says what it is");
    }
}

#[test]
fn the_top_folder_holds_what_belongs_there() {
    const ALLOWED: &[&str] = &[
        ".ci",
        ".git",
        ".github",
        ".gitignore",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "action.yml",
        "benches",
        "docs",
        "rustfmt.toml",
        "scripts",
        "src",
        "stdlib",
        "tests",
    ];
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let names: BTreeSet<String> = match listed {
        // Of an unpacked crate below another repository it lists nothing.
        Ok(output) if output.status.success() && !output.stdout.is_empty() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter_map(|path| path.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned))
            .collect(),
        _ => {
            println!("skipped: git does not list the files of {}", root().display());
            return;
        }
    };
    let strangers: Vec<&String> = names.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    assert!(names.contains("src"), "{names:?}");
    assert!(strangers.is_empty(), "not expected at the top: {strangers:?}");
}

/// Links of the pages to files of the repository, and pages that comments cite: all are there.
#[test]
fn every_page_that_is_linked_or_cited_is_there() {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern");
    let mut pages: Vec<PathBuf> = ["README.md", "CHANGELOG.md"].iter().map(|page| root().join(page)).collect();
    pages.extend(files(&root().join("docs"), "md"));
    pages.extend(
        ["tests/rhai", "tests/kernels", "tests/loops"].iter().flat_map(|folder| files(&root().join(folder), "md")),
    );
    let (mut wrong, mut seen) = (String::new(), 0);
    for page in pages {
        let text = fs::read_to_string(&page).expect("UTF-8");
        let folder = page.parent().expect("a folder");
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            seen += 1;
            let file = target.split('#').next().unwrap_or_default();
            if !folder.join(file).exists() {
                let _ = writeln!(wrong, "{}: {target}", page.display());
            }
        }
    }
    assert!(seen > 40, "{seen}");
    let cited = regex::Regex::new(r"\b([A-Z]{3,}\.md)\b").expect("a pattern");
    for source in sources() {
        for name in cited.captures_iter(&source.text).map(|found| found[1].to_owned()) {
            let there =
                ["", "docs/", "tests/loops/", "tests/kernels/"].iter().any(|at| root().join(at).join(&name).exists());
            if !there {
                let _ = writeln!(wrong, "{}: cites {name}, which is not in the repository", source.path);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_text_that_was_to_be_replaced_is_left() {
    for path in files(&root().join("src"), "rs").into_iter().chain(files(&root().join("stdlib"), "rhai")) {
        let text = fs::read_to_string(&path).expect("UTF-8");
        for word in ["TODO", "FIXME", "XXX", "HACK"] {
            assert!(!text.lines().any(|line| has(line, word)), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    // In a packed crate the manifest is written anew, without remarks; this is the author's.
    let own = fs::read_to_string(root().join("Cargo.toml.orig"));
    let manifest = own.or_else(|_| fs::read_to_string(root().join("Cargo.toml"))).expect("Cargo.toml");
    let chosen =
        manifest.split("# Chosen beside them").nth(1).and_then(|rest| rest.split("\n[").next()).expect("the list");
    for line in chosen.lines().skip(1).filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        assert!(line.contains(" # "), "no reason: {line}");
    }
}

/// Runs a component of cargo, unless it is not installed or cargo's folders are not ours to write.
fn cargo(component: &str, args: &[&str], hint: &str) {
    let there = Command::new("cargo").args([component, "--version"]).current_dir(root()).output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("skipped: `cargo {component}` is not installed");
        return;
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    if component == "clippy" && tempfile::tempfile_in(&target).is_err() {
        println!("skipped: {} cannot be written", target.display());
        return;
    }
    let mut command = Command::new("cargo");
    command.arg(component).args(args).current_dir(root());
    let output = command.output().expect("cargo");
    assert!(
        output.status.success(),
        "{hint}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_code_is_formatted() {
    cargo("fmt", &["--check"], "`cargo fmt` mends it");
}

#[test]
fn clippy_has_nothing_to_say() {
    cargo("clippy", &["--all-targets", "--quiet", "--", "-D", "warnings"], "`cargo clippy --all-targets` shows it");
}
