//! A folder of its own with test files, and netwright in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with test files, and netwright in it.
pub(crate) struct Lab(tempfile::TempDir);

impl Lab {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut command = netwright();
        command.current_dir(self.0.path()).env("XDG_CACHE_HOME", self.path("cache")).args(args);
        Ran::new(&command.output().unwrap())
    }

    /// Runs it for a JSON report; that, too.
    pub(crate) fn json(&self, args: &[&str]) -> (Ran, Value) {
        let ran = self.run(&[args, &["--json"]].concat());
        // Annotations of GitHub stand beside it.
        let text = ran.out.lines().filter(|line| !line.starts_with("::")).collect::<Vec<_>>().join("\n");
        let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{}{}", ran.out, ran.err));
        (ran, report)
    }

    /// Runs the tests and reads the JSON report: exit code, standard error, outcome by test.
    pub(crate) fn test(&self, args: &[&str]) -> (i32, String, BTreeMap<String, String>) {
        let (ran, report) = self.json(&[&["test"], args].concat());
        assert_eq!(report["schema"], 1);
        let mut outcomes = BTreeMap::new();
        for (file, all) in report["files"].as_object().unwrap() {
            for test in all["tests"].as_array().unwrap() {
                let name = format!("{file}: {}", test["test"].as_str().unwrap());
                assert!(outcomes.insert(name, test["outcome"].as_str().unwrap().to_owned()).is_none(), "{test}");
            }
        }
        (ran.code, ran.err, outcomes)
    }
}

/// netwright, without what a runner or sudo would tell it.
pub(crate) fn netwright() -> Command {
    let mut command = Command::new(super::NETWRIGHT);
    for name in ["GITHUB_STEP_SUMMARY", "SUDO_UID", "SUDO_GID"] {
        command.env_remove(name);
    }
    command
}

/// What a run of it came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}
