//! The scripts that people run and vendor, the README, and the plan: all of it runs on the real kernel in sandboxes.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, ScriptFile, Who, everyone, fenced, golden, missing_functions, netwright, on_threads, root, scripts};

/// Runs a script as it is meant to be run: those named `…_test.rhai` by `netwright test`.
fn run_script(who: Who, path: &str) -> Ran {
    if path.ends_with("_test.rhai") {
        return netwright(who, &["test", path]);
    }
    netwright(who, &["run", "--timeout", "120s", path])
}

#[test]
fn every_script_runs_as_root_and_as_a_plain_user() {
    let mut jobs = Vec::new();
    for path in scripts() {
        let text = fs::read_to_string(root().join(&path)).expect("a script");
        let missing = missing_functions(&text);
        if missing.is_empty() {
            jobs.extend(everyone().into_iter().map(|who| (who, path.to_str().expect("UTF-8").to_owned())));
        } else {
            println!("skipped: {}: netwright has no `{}` yet", path.display(), missing.join("`, `"));
        }
    }
    for must in ["01-two-namespaces", "02-container-network", "05-runbook", "06-errors"] {
        assert!(jobs.iter().any(|(_, path)| path.contains(must)), "{must} was not run");
    }
    let results = on_threads(&jobs, |(who, path)| run_script(*who, path));
    let mut problems = String::new();
    for ((who, path), ran) in jobs.iter().zip(results) {
        if ran.code != 0 {
            let _ = writeln!(problems, "{path} as {who:?}: exit {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
        }
    }
    println!("{} runs", jobs.len());
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn the_contract_scripts_are_the_contract() {
    let contract = root().parent().expect("a parent").join("shared/contract");
    let contract = if contract.is_dir() { contract } else { Path::new("/work/shared/contract").to_path_buf() };
    let Ok(entries) = fs::read_dir(&contract) else {
        println!("skipped: there is no {}", contract.display());
        return;
    };
    let mut compared = 0;
    for entry in entries.flatten() {
        let ours = root().join("scripts").join(entry.file_name());
        let theirs = fs::read_to_string(entry.path()).expect("a contract script");
        assert_eq!(fs::read_to_string(&ours).unwrap_or_default(), theirs, "{}", ours.display());
        compared += 1;
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn every_script_says_what_it_is_and_draws_it() {
    for path in scripts() {
        let text = fs::read_to_string(root().join(&path)).expect("a script");
        let head: Vec<&str> = text.lines().skip_while(|line| line.starts_with("#!")).collect();
        let sentence = head.first().is_some_and(|line| line.starts_with("//! ") && line.len() > 20);
        assert!(sentence, "{}: the first line says what the script is: `//! …`", path.display());
    }
}

#[test]
fn the_readme_knows_every_script() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for path in scripts() {
        assert!(readme.contains(&format!("({})", path.display())), "README.md does not link {}", path.display());
    }
}

#[test]
fn every_rhai_block_of_the_readme_runs() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let blocks = fenced(&readme, "rhai");
    assert!(!blocks.is_empty());
    for (line, block) in blocks {
        let missing = missing_functions(&block);
        if !missing.is_empty() {
            println!("skipped: README.md:{line}: netwright has no `{}` yet", missing.join("`, `"));
            continue;
        }
        let script = ScriptFile::new(&block);
        let ran = netwright(Who::Me, &["run", "--timeout", "60s", script.path()]);
        assert_eq!(ran.code, 0, "README.md:{line}\n{block}\n{}", ran.stderr);
    }
}

/// What the shell blocks call runs for real, but for cargo and the package manager: `cargo run` is this program, the others are only looked at.
#[test]
fn every_shell_block_of_the_readme_runs() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let blocks = fenced(&readme, "sh");
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    fs::create_dir(&home).expect("a home");
    let shim = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a shim");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    };
    shim("netwright", &format!("#!/bin/sh\nexec {} \"$@\"\n", common::NETWRIGHT));
    shim("sudo", "#!/bin/sh\nexec \"$@\"\n");
    shim(
        "cargo",
        "#!/bin/sh\necho \"cargo $*\" >>\"$HOME/ran\"\ncase \"$*\" in 'run --release -- '*) shift 3; exec netwright \"$@\";;\n\
         test) test -d tests;; 'install --path .') grep -q '^name = \"netwright\"' Cargo.toml && test -f src/main.rs;; *) exit 64;; esac\n",
    );
    // It would install packages where some are missing: it is there, can be run, and is a script.
    let script = "scripts/bootstrap.sh";
    let checked = Command::new("sh").args(["-n", script]).current_dir(root()).status().expect("sh");
    assert!(checked.success());
    let mode = fs::metadata(root().join(script)).expect("the script");
    assert_ne!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o111, 0, "{script} cannot be run");
    for (line, block) in blocks {
        let man = home.join("man1");
        let block = block.replace("/usr/local/share/man/man1", man.to_str().expect("UTF-8")).replace(script, "true");
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", &block]).env("PATH", path).env("HOME", &home).current_dir(root());
        let ran: Ran = command.stdin(Stdio::null()).output().expect("sh").into();
        assert_eq!(ran.code, 0, "README.md:{line}\n{block}\n{}", ran.stderr);
    }
    let ran = fs::read_to_string(home.join("ran")).expect("cargo was called");
    for part in ["cargo run --release -- run ", "cargo test", "cargo install"] {
        assert!(ran.contains(part), "{part}: {ran}");
    }
    let completions = home.join(".local/share/bash-completion/completions/netwright");
    assert!(fs::read_to_string(&completions).expect("completions").contains("netwright"), "{}", completions.display());
    assert!(home.join("man1/netwright.1").exists());
}

/// The workflow that the README shows is YAML, calls an action that is here, and gives it inputs that it has.
#[test]
fn the_workflow_of_the_readme_is_one() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let blocks = fenced(&readme, "yaml");
    assert!(!blocks.is_empty());
    for (line, block) in blocks {
        assert!(!block.contains('\t'), "README.md:{line}: YAML has no tabs");
        let uses: Vec<&str> =
            block.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")).collect();
        let ours: Vec<&str> =
            uses.iter().filter_map(|uses| uses.strip_prefix("OWNER/netwright/")?.split('@').next()).collect();
        assert!(!ours.is_empty(), "README.md:{line}: {uses:?}");
        let workflows = fs::read_to_string(root().join(".github/workflows/ci.yml")).expect("ci.yml");
        for other in uses.iter().filter(|uses| !uses.starts_with("OWNER/")) {
            assert!(
                workflows.contains(&format!("uses: {other}")),
                "README.md:{line}: our own workflow uses another {other}"
            );
        }
        let action = fs::read_to_string(root().join(ours[0]).join("action.yml")).expect("the action");
        let inputs =
            action.split("\ninputs:\n").nth(1).and_then(|rest| rest.split("\noutputs:").next()).expect("inputs");
        let with = block.lines().skip_while(|line| line.trim() != "with:").skip(1);
        let given: Vec<&str> = with.filter_map(|line| line.trim().split_once(':').map(|(key, _)| key)).collect();
        assert!(!given.is_empty(), "README.md:{line}");
        for key in given {
            assert!(
                inputs.contains(&format!("\n  {key}:\n")) || inputs.starts_with(&format!("  {key}:\n")),
                "README.md:{line}: the action has no input `{key}`"
            );
        }
        // A parser of somebody else's, where there is one.
        let mut python = Command::new("python3");
        python.args(["-c", "import sys\ntry: import yaml\nexcept ImportError: sys.exit(77)\nd = yaml.safe_load(sys.argv[1]); assert d['jobs'], d", &block]);
        match python.output() {
            Ok(output) if output.status.code() != Some(77) => {
                assert!(output.status.success(), "README.md:{line}: {}", String::from_utf8_lossy(&output.stderr));
            }
            _ => println!("not parsed by others: no PyYAML here"),
        }
    }
}

/// The names of the subcommands, as `netwright help` lists them.
fn subcommands() -> BTreeSet<String> {
    let help = netwright(Who::Me, &["help"]).stdout;
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    list.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn every_command_that_the_readme_shows_exists() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let known = subcommands();
    assert!(known.contains("run") && known.contains("plan"), "{known:?}");
    let mut problems = String::new();
    let mut seen = 0;
    for (at, line) in readme.lines().enumerate() {
        // `netwright …` at the beginning of a line of code, after `--` of cargo, or between backticks.
        let quoted = line.split("`netwright ").skip(1).map(|rest| rest.split('`').next().unwrap_or(rest));
        let parts = line.trim_start().strip_prefix("netwright ").into_iter().chain(quoted);
        let cargo = line.split("cargo run").skip(1).filter_map(|rest| rest.split_once("-- ").map(|(_, words)| words));
        for words in parts.chain(cargo) {
            let words: Vec<&str> = words.split_whitespace().map(|word| word.trim_matches(['[', ']', ','])).collect();
            let Some(command) = words.first().filter(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            seen += 1;
            if !known.contains(*command) {
                let _ = writeln!(problems, "README.md:{}: there is no `netwright {command}`", at + 1);
                continue;
            }
            let help = netwright(Who::Me, &[command, "--help"]).stdout;
            // What follows the script is the script's own.
            let own = words.iter().take_while(|word| **word != "SCRIPT" && !word.contains(".rhai"));
            for flag in own.filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split('=').next().unwrap_or(flag);
                if !help.contains(flag) {
                    let _ = writeln!(problems, "README.md:{}: `netwright {command}` has no {flag}", at + 1);
                }
            }
        }
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(seen >= 3, "{seen}");
}

#[test]
fn the_readme_has_the_exit_codes_of_the_help() {
    let help = netwright(Who::Me, &["--help"]).stdout;
    for code in ["129", "130", "143", "70"] {
        assert!(help.contains(code), "{code}");
    }
}

/// What is planned is what runs, so a plan shows the same from run to run.
#[test]
fn plans_are_golden_files() {
    let plans = [
        ("plan-01.txt", "scripts/01-two-namespaces.rhai"),
        ("plan-02.txt", "scripts/02-container-network.rhai"),
        ("plan-05.txt", "scripts/05-runbook.rhai"),
        ("plan-dual-stack.txt", "scripts/dual-stack.rhai"),
        ("plan-port-forward.txt", "scripts/port-forward.rhai"),
    ];
    let results = on_threads(&plans, |(_, script)| {
        everyone().into_iter().map(|who| netwright(who, &["plan", script])).collect::<Vec<_>>()
    });
    for ((name, script), runs) in plans.into_iter().zip(results) {
        for ran in runs {
            assert_eq!(ran.code, 0, "{script}: {}", ran.stderr);
            golden(name, &ran.stdout);
        }
    }
}

/// A namespace that plays a machine, entered without touching this one: as root, or as root of a user namespace.
fn machine(script: &str, args: &[&str]) -> Ran {
    let flags = if common::is_root() { "-nm" } else { "-Urnm" };
    let prelude = "set -e; mount -t tmpfs none /run; mkdir /run/netns; ip link set lo up; ";
    let mut command = Command::new("unshare");
    command.args([flags, "bash", "-c", &format!("{prelude}{script}"), "machine"]).args(args);
    command.current_dir(root()).stdin(Stdio::null()).output().expect("unshare").into()
}

#[test]
fn a_plan_pasted_into_a_shell_builds_the_network() {
    let plan = netwright(Who::Me, &["plan", "scripts/01-two-namespaces.rhai"]).stdout;
    let file = ScriptFile::new(&plan);
    // Afterwards there is nothing left for the script to change, and its expectations hold.
    let ran = machine(
        "bash -e \"$1\"; \"$2\" run --json --host scripts/01-two-namespaces.rhai",
        &[file.path(), common::NETWRIGHT],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(document["run"]["changed"], 0, "{document}");
    // And without the plan there is.
    let ran = machine("\"$1\" run --json --host scripts/01-two-namespaces.rhai", &[common::NETWRIGHT]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_ne!(document["run"]["changed"], 0, "{document}");
}

/// Ends of cables between fresh namespaces have the same indices everywhere; the other end is still the right one.
#[test]
fn cables_with_the_same_indices_are_told_apart() {
    let script = ScriptFile::new(
        r#"
        for pair in [["blue", "green"], ["red", "grey"]] {
            let ends = veth(netns(pair[0]), "eth0", netns(pair[1]), "eth0");
            assert_eq(ends[0].peer.netns.name, pair[1]);
            assert_eq(ends[1].peer.netns.name, pair[0]);
        }
        host().ip("link set dev lo up"); // what was known is to be looked at again
        veth(netns("blue"), "eth0", netns("green"), "eth0");
        let caught = ();
        try { veth(netns("blue"), "eth0", netns("grey"), "eth0"); } catch (e) { caught = e.error; }
        assert_eq(caught, "AlreadyExists");
        "#,
    );
    let ran = netwright(Who::Me, &["run", script.path()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// Verbs in a new namespace may wait for each other; a script that looks, prints or catches cannot tell.
#[test]
fn what_was_put_off_fails_where_it_stands() {
    let told = |text: &str| {
        let script = ScriptFile::new(text);
        let ran = netwright(Who::Me, &["run", script.path()]);
        (ran.code, ran.stdout, ran.stderr)
    };
    // The gateway is on no network of the namespace, and only the kernel says so.
    let bad = r#"netns("blue").route("default", "10.9.9.9");"#;
    for after in [
        "print(\"never\");",
        "sleep(1);",
        "throw \"later\";",
        "exit(10);",
        "check(\"x\", || false);",
        "netns(\"red\");",
        "",
    ] {
        let (code, out, err) = told(&format!("netns(\"blue\");\n{bad}\n{after}\nprint(\"never\");\n"));
        assert_eq!((code, out.as_str()), (3, ""), "{after}: {err}");
        assert!(err.contains(":2:15"), "{after}: {err}");
        assert!(err.contains("10.9.9.9") && !err.contains("called from"), "{after}: {err}");
    }
    // What is caught is caught where it stands.
    let (code, out, err) = told(&format!(
        "let at = 0;\ntry {{ {bad} print(\"never\"); }} catch (e) {{ at = e.line; }}\nassert_eq(at, 2);"
    ));
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    // In a function the way there is told.
    let (code, _, err) = told(&format!("fn f() {{ {bad} }}\nf();\nprint(\"never\");"));
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("called from") && err.contains(":2:1"), "{err}");
    // And when all is well, what is looked at is there.
    let (code, _, err) = told(
        r#"
        let br = host().bridge("br0").addr("10.0.0.254/24").up();
        for i in 1..=60 { netns(`n${i}`).plug("eth0", br).addr(`10.0.0.${i}/24`); }
        assert(netns("n7").link("eth0").info.operstate == "UP");
        assert(host().link("n60-eth0").info.operstate == "UP");
        expect(netns("n1")).reaches("10.0.0.60");
        "#,
    );
    assert_eq!(code, 0, "{err}");
}

/// The host's `ip` works while the script goes on; a command that fails is still reported where it stands, before anything that could tell.
#[test]
fn what_was_given_ahead_fails_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let ip = which::which_in("ip", Some("/usr/sbin:/sbin:/usr/bin:/bin"), "/").expect("ip");
    let shim = |name: &str, line: &str| {
        let path = folder.path().join(name);
        let ip = ip.display();
        // In a batch the line becomes one that `ip` refuses, and by itself the command fails likewise.
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n*\"{line}\"*) echo 'RTNETLINK answers: No buffer space available' >&2; exit 2;;\n\
             *\"-batch -\") sed -u 's/^{line}/no-such-object &/' | exec {ip} \"$@\";;\n*) exec {ip} \"$@\";;\nesac\n"
        );
        fs::write(&path, text).expect("a shim");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
        format!("ip={}", path.display())
    };
    let netns_fails = shim("netns", "netns add n2");
    let link_fails = shim("link", "link add name n2-eth0");
    let build = "let br = host().bridge(\"br0\").up();\n\
                 netns(\"n1\").plug(\"eth0\", br);\n\
                 let n2 = netns(\"n2\");\n\
                 n2.plug(\"eth0\", br).addr(\"10.0.0.2/24\");\n";
    for after in [
        "print(\"never\");",
        "netns(\"n3\").plug(\"eth0\", br);",
        "throw \"later\";",
        "n2.exists;",
        "netns_list();",
        "",
    ] {
        for (tool, place) in [(&netns_fails, ":3:10"), (&link_fails, ":4:4")] {
            let script = ScriptFile::new(&format!("{build}{after}\nprint(\"never\");\n"));
            let ran = netwright(Who::Me, &["run", "--tool", tool, script.path()]);
            assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{after}: {}", ran.stderr);
            assert!(ran.stderr.contains("No buffer space available"), "{after}: {}", ran.stderr);
            assert!(ran.stderr.contains(place), "{after}: not at {place}: {}", ran.stderr);
        }
    }
    // Those that came before are there, and what comes after is not put into what is not there.
    let script = ScriptFile::new(&format!("defer(|| print(netns_list()));\n{build}print(\"never\");\n"));
    let ran = netwright(Who::Me, &["run", "--tool", &link_fails, script.path()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "[\"n1\", \"n2\"]\n"), "{}", ran.stderr);
}
