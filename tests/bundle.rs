//! A script and its modules in one file: it runs where nothing else is, and says when it was changed or has fallen behind.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{NETWRIGHT, Ran};

fn netwright(folder: &Path, args: &[&str]) -> Ran {
    Command::new(NETWRIGHT)
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("netwright")
        .into()
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder"))
        .and_then(|()| std::fs::write(path, text))
        .expect("written");
}

const MAIN: &str = "#!/usr/bin/env -S netwright run\nimport \"lib/mine\" as mine;\nimport \"std/lab\" as lab;\nprint(mine::greet(\"x\"));\nmine::fail(arg(\"fail\", false));\n";
const MINE: &str = "import \"other\" as other;\n\nfn greet(who) { other::word() + who }\nfn fail(now) {\n    if now { throw \"as asked\"; }\n}\n";

#[test]
fn one_file_runs_alone_and_its_errors_point_into_the_modules() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    write(here, "src/main.rhai", MAIN);
    write(here, "src/lib/mine.rhai", MINE);
    write(here, "src/lib/other.rhai", "fn word() { \"hello \" }");
    let made = netwright(here, &["bundle", "-o", "one.rhai", "src/main.rhai"]);
    assert_eq!(made.code, 0, "{made:#?}");
    assert!(made.stderr.contains("the script and 3 modules"), "{made:#?}");
    let alone = tempfile::tempdir().expect("a folder");
    std::fs::copy(here.join("one.rhai"), alone.path().join("one.rhai")).expect("copied");
    let there = alone.path();
    let check = netwright(there, &["check", "one.rhai"]);
    assert_eq!(check.code, 0, "{check:#?}");
    let ran = netwright(there, &["run", "one.rhai"]);
    if ran.code == 4 {
        // A machine without user namespaces, and no root.
        return;
    }
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "hello x\n"), "{ran:#?}");
    let failed = netwright(there, &["run", "one.rhai", "--fail", "true"]);
    assert_eq!(failed.code, 3, "{failed:#?}");
    assert!(failed.stderr.contains("--> lib/mine.rhai:5:") && failed.stderr.contains("if now { throw"), "{failed:#?}");
    assert!(failed.stderr.contains("one.rhai:5:"), "the script's own line: {failed:#?}");
    let plan = netwright(there, &["plan", "one.rhai"]);
    assert_eq!(plan.code, 0, "{plan:#?}");

    let text = std::fs::read_to_string(there.join("one.rhai")).expect("text");
    write(there, "changed.rhai", &text.replace("\"hello \"", "\"howdy \""));
    for command in ["run", "plan", "check"] {
        let changed = netwright(there, &[command, "changed.rhai"]);
        assert_ne!(changed.code, 0, "{command}: {changed:#?}");
        let said = format!("{}{}", changed.stdout, changed.stderr);
        assert!(said.contains("the module `lib/other.rhai` is not what was bundled"), "{command}: {said}");
    }
    write(there, "own.rhai", &text.replace("print(mine", "print( mine"));
    let own = netwright(there, &["run", "own.rhai"]);
    assert!(own.code == 3 && own.stderr.contains("the script itself is not what was bundled"), "{own:#?}");
    write(there, "cut.rhai", &text[..text.len() - 9]);
    let cut = netwright(there, &["run", "cut.rhai"]);
    assert!(cut.code == 3 && cut.stderr.contains("is cut off"), "{cut:#?}");
}

#[test]
fn what_has_moved_on_is_said_and_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    write(here, "src/main.rhai", MAIN);
    write(here, "src/lib/mine.rhai", MINE);
    write(here, "src/lib/other.rhai", "fn word() { \"hello \" }\n");
    assert_eq!(netwright(here, &["bundle", "-o", "one.rhai", "src/main.rhai"]).code, 0);
    let again = netwright(here, &["bundle", "-o", "one.rhai", "src/main.rhai"]);
    assert!(again.code == 3 && again.stderr.contains("is there already"), "{again:#?}");
    let same = netwright(here, &["bundle", "--check", "one.rhai"]);
    assert!(same.code == 0 && same.stderr.contains("nothing has moved on"), "{same:#?}");
    let list = netwright(here, &["bundle", "--list", "one.rhai"]);
    for name in ["src/main.rhai (netwright ", "  lib/mine.rhai\n", "  lib/other.rhai\n", "  std/lab\n"] {
        assert!(list.stdout.contains(name), "{name}: {list:#?}");
    }
    write(here, "src/lib/other.rhai", "fn word() { \"howdy \" }\n");
    let moved = netwright(here, &["bundle", "--check", "one.rhai"]);
    assert_eq!((moved.code, moved.stdout.as_str()), (1, "lib/other.rhai has changed\n"), "{moved:#?}");
    let update = netwright(here, &["bundle", "--update", "one.rhai"]);
    assert_eq!(update.code, 0, "{update:#?}");
    assert!(update.stdout.contains("  -fn word() { \"hello \" }\n  +fn word() { \"howdy \" }\n"), "{update:#?}");
    assert_eq!(netwright(here, &["bundle", "--check", "one.rhai"]).code, 0);
    let nested = netwright(here, &["bundle", "-o", "two.rhai", "one.rhai"]);
    assert!(nested.code == 3 && nested.stderr.contains("is a bundle already"), "{nested:#?}");
    std::fs::remove_dir_all(here.join("src")).expect("removed");
    let without = netwright(here, &["bundle", "--check", "one.rhai"]);
    assert!(
        without.code == 0 && without.stderr.contains("only the modules of netwright were compared"),
        "{without:#?}"
    );
    let none = netwright(here, &["bundle", "--list", "nothing.rhai"]);
    assert!(none.code == 3 && none.stderr.contains("cannot read `nothing.rhai`"), "{none:#?}");
}
