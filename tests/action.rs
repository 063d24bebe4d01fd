//! The bash of the composite action, taken out of `action.yml`, and of the recipes in `docs/CI.md`, run here with a stub of the runner's environment.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{NETWRIGHT, root};

/// The script of a step, by the step's name: the lines of its `run: |` without their indentation.
fn step(name: &str) -> String {
    let text = fs::read_to_string(root().join(".github/actions/netwright/action.yml")).unwrap();
    let (_, rest) = text.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("no step {name}"));
    let (_, script) = rest.split_once("      run: |\n").unwrap();
    let lines = script.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
    let script: Vec<&str> = lines.map(|line| line.get(8..).unwrap_or_default()).collect();
    assert!(script.len() > 5, "{script:?}");
    script.join("\n")
}

struct Runner(tempfile::TempDir);

impl Runner {
    /// A runner with a `sudo` that runs what it is given, and a `curl` that takes files out of a folder.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("site")).unwrap();
        let runner = Self(folder);
        runner.program("sudo", "#!/bin/bash\nexec \"$@\"\n");
        runner.program(
            "curl",
            "#!/bin/bash\nwhile (($#)); do case $1 in --output|-o) out=$2; shift ;; http*) url=$1 ;; esac; shift; done\n\
             echo \"$url\" >>\"$SITE/asked\"\ncp \"$SITE/${url##*/}\" \"$out\"\n",
        );
        runner
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a step: its exit code, its outputs, all that it printed.
    fn run(&self, name: &str, env: &[(&str, &str)]) -> (i32, BTreeMap<String, String>, String) {
        let (output, summary) = (self.path().join("output"), self.path().join("summary"));
        fs::write(&output, "").unwrap();
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap());
        let ran = Command::new("bash")
            .args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", &step(name)])
            .current_dir(self.path())
            .env("PATH", path)
            .env("SITE", self.path().join("site"))
            .env("GITHUB_OUTPUT", &output)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_ACTION_PATH", root().join(".github/actions/netwright"))
            .env("RUNNER_TEMP", self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = fs::read_to_string(output).unwrap();
        let outputs = text.lines().filter_map(|line| line.split_once('='));
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        (ran.status.code().unwrap_or(-1), outputs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), said)
    }
}

#[test]
fn the_test_step_passes_on_counts_reports_and_the_exit_code() {
    let runner = Runner::new();
    fs::write(
        runner.path().join("a_test.rhai"),
        "test(\"good\", || assert(true));\ntest(\"bad, $(x)\", || assert(false));",
    )
    .unwrap();
    let env = |mode| {
        [("PATHS", "a_test.rhai"), ("MODE", mode), ("NETWRIGHT", NETWRIGHT), ("ARGS", ""), ("REPORTS", "out dir")]
    };
    let (code, outputs, said) = runner.run("Test", &env("sudo"));
    assert_eq!(code, 1, "{said}");
    assert_eq!((outputs["passed"].as_str(), outputs["failed"].as_str()), ("1", "1"), "{outputs:?} {said}");
    for report in ["junit", "json", "html"] {
        assert!(Path::new(&outputs[report]).is_file(), "{report}: {outputs:?}");
    }
    assert!(said.contains("::error file=a_test.rhai,line=2"), "{said}");
    assert!(fs::read_to_string(runner.path().join("summary")).unwrap().contains("## netwright: failed"));
    let (code, _, said) = runner.run("Test", &env("other"));
    assert!(code == 2 && said.contains("::error::mode is sudo or rootless, not other"), "{code} {said}");
    let mut fine = env("sudo");
    fine[3] = ("ARGS", "--filter good");
    let (code, outputs, said) = runner.run("Test", &fine);
    assert_eq!((code, outputs["failed"].as_str()), (0, "0"), "{said}");
}

#[test]
fn a_release_is_taken_by_its_checksum_only() {
    let runner = Runner::new();
    let site = runner.path().join("site");
    let machine = String::from_utf8(Command::new("uname").arg("-m").output().unwrap().stdout).unwrap();
    let name = format!("netwright-1.2.3-{}", machine.trim());
    fs::write(site.join(&name), format!("#!/bin/bash\nexec {NETWRIGHT} \"$@\"\n")).unwrap();
    let sums = Command::new("sha256sum").arg(&name).current_dir(&site).output().unwrap().stdout;
    fs::write(site.join("SHA256SUMS"), &sums).unwrap();
    let env = |version| {
        [("NETWRIGHT", ""), ("VERSION", version), ("REPOSITORY", "o/netwright"), ("SERVER", "https://example.invalid")]
    };
    let (code, outputs, said) = runner.run("Install netwright", &env("1.2.3"));
    assert_eq!(code, 0, "{said}");
    assert!(outputs["netwright"].ends_with(&name), "{outputs:?}");
    let asked = fs::read_to_string(site.join("asked")).unwrap();
    assert!(asked.contains("https://example.invalid/o/netwright/releases/download/v1.2.3/SHA256SUMS"), "{asked}");

    fs::write(site.join(&name), "#!/bin/bash\necho evil\n").unwrap();
    let (code, outputs, said) = runner.run("Install netwright", &env("latest"));
    assert!(
        code == 1 && outputs.is_empty() && said.contains("is not what SHA256SUMS says"),
        "{code} {outputs:?} {said}"
    );
    assert!(!said.contains("evil"), "it ran: {said}");
    fs::write(site.join("SHA256SUMS"), "0000  other\n").unwrap();
    let (code, _, said) = runner.run("Install netwright", &env("1.2.3"));
    assert!(code == 4 && said.contains("has no program for"), "{code} {said}");
    let (code, _, said) = runner.run("Install netwright", &env("1/../../x"));
    assert!(code == 2 && said.contains("version is like"), "{code} {said}");
}

#[test]
fn one_that_is_there_is_used() {
    let runner = Runner::new();
    let env =
        [("NETWRIGHT", NETWRIGHT), ("VERSION", "1.2.3"), ("REPOSITORY", "o/n"), ("SERVER", "https://example.invalid")];
    let (code, outputs, said) = runner.run("Install netwright", &env);
    assert_eq!(code, 0, "{said}");
    assert!(outputs["netwright"].ends_with("netwright") && !runner.path().join("site/asked").exists(), "{outputs:?}");
}

/// An input is data: it comes by the environment, and no script has it in its text.
#[test]
fn no_script_has_an_expression_in_it() {
    for name in ["Install netwright", "Load kernel modules", "Test"] {
        assert!(!step(name).contains("${{"), "{name}");
    }
}

/// A block of `docs/CI.md`, by its language.
fn recipe(language: &str) -> String {
    let page = fs::read_to_string(root().join("docs/CI.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no block of {language}"));
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// The scripts for GitLab, Docker and Jenkins, on a stub of a runner: `apt-get` does nothing, `docker` runs what it is given right here, `install`
/// installs into the runner's own folder.
#[test]
fn the_recipes_for_other_runners_pass_on_the_exit_code_and_the_reports() {
    let gitlab = recipe("yaml");
    let lines = gitlab.lines().skip_while(|line| *line != "  script:").skip(1);
    let in_gitlab: Vec<&str> = lines.map_while(|line| line.strip_prefix("    - ")).collect();
    let jenkins = recipe("groovy");
    let in_jenkins = jenkins.split("'''").nth(1).unwrap();
    for recipe in [&gitlab, &jenkins] {
        assert!(recipe.contains(env!("CARGO_PKG_VERSION")), "the version of this release: {recipe}");
    }
    let machine = String::from_utf8(Command::new("uname").arg("-m").output().unwrap().stdout).unwrap();
    for (name, script, fetched) in [
        ("GitLab", in_gitlab.join("\n"), true),
        ("Jenkins", in_jenkins.to_owned(), true),
        ("Docker", recipe("sh"), false),
    ] {
        assert!(script.lines().count() >= 3, "{name}: {script}");
        let runner = Runner::new();
        let (top, bin, site) = (runner.path(), runner.path().join("bin"), runner.path().join("site"));
        let program = format!("netwright-{}-{}", env!("CARGO_PKG_VERSION"), machine.trim());
        let sum = || {
            let sums = Command::new("sha256sum").arg(&program).current_dir(&site).output().unwrap().stdout;
            fs::write(site.join("SHA256SUMS"), format!("{}0000  other\n", String::from_utf8(sums).unwrap())).unwrap();
        };
        fs::write(site.join(&program), format!("#!/bin/bash\nexec {NETWRIGHT} \"$@\"\n")).unwrap();
        sum();
        runner.program("apt-get", "#!/bin/bash\necho apt-get \"$@\" >>\"$SITE/apt\"\n");
        runner.program("install", "#!/bin/bash\n[[ $1 == -m && $4 == /usr/local/bin/netwright ]] && cp \"$3\" \"$BIN/netwright\" && chmod \"$2\" \"$BIN/netwright\"\n");
        runner.program(
            "docker",
            "#!/bin/bash\necho \"$@\" >\"$SITE/docker\"\nwhile [[ $1 != debian* ]]; do shift; done\nshift\nexec \"$@\"\n",
        );
        if !fetched {
            runner.program("netwright", &format!("#!/bin/bash\nexec {NETWRIGHT} \"$@\"\n"));
        }
        fs::create_dir(top.join("tests")).unwrap();
        let run = |test: &str| {
            fs::write(top.join("tests/a_test.rhai"), format!("test(\"a\", || assert({test}));\n")).unwrap();
            let _ = fs::remove_dir_all(top.join("reports"));
            let ran = Command::new("sh")
                .args(["-e", "-c", &script])
                .current_dir(top)
                .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
                .env("SITE", &site)
                .env("BIN", &bin)
                .env("NETWRIGHT_VERSION", env!("CARGO_PKG_VERSION"))
                .env("NETWRIGHT_FROM", "https://example.invalid/releases/download")
                .env("XDG_CACHE_HOME", top.join("cache"))
                .output()
                .unwrap();
            let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            (ran.status.code(), said)
        };
        for (test, code) in [("true", 0), ("false", 1)] {
            let (found, said) = run(test);
            assert_eq!(found, Some(code), "{name}: {said}");
            for report in ["junit.xml", "report.html"] {
                assert!(top.join("reports").join(report).is_file(), "{name}: {report}: {said}");
            }
        }
        assert!(fs::read_to_string(site.join("apt")).unwrap().contains("iproute2 iptables nftables procps"), "{name}");
        if !fetched {
            assert!(fs::read_to_string(site.join("docker")).unwrap().contains("--privileged"), "{name}");
            continue;
        }
        let asked = fs::read_to_string(site.join("asked")).unwrap();
        assert!(asked.contains(&format!("/download/v{}/{program}", env!("CARGO_PKG_VERSION"))), "{name}: {asked}");
        // Somebody else's program, and one that no list names.
        fs::write(site.join(&program), "#!/bin/bash\necho evil\n").unwrap();
        let (found, said) = run("true");
        assert!(found != Some(0) && !said.contains("evil"), "{name}: {said}");
        fs::write(site.join("SHA256SUMS"), "0000  other\n").unwrap();
        let (found, said) = run("true");
        assert!(found != Some(0) && !said.contains("evil"), "{name}: {said}");
    }
}

#[test]
fn the_workflows_are_as_github_reads_them() {
    let Ok(linted) = Command::new("actionlint").current_dir(root()).output() else {
        println!("skipped: actionlint is not installed");
        return;
    };
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
}
