//! What the tests that run the real program share.

#![allow(dead_code, reason = "each test program uses some of it")]

pub(crate) mod lab;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The program under test.
pub(crate) const NETWRIGHT: &str = env!("CARGO_BIN_EXE_netwright");

/// The top of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whom a test runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The user who runs the tests.
    Me,
    /// uid 65534, which only root can become.
    Nobody,
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root tests as root and as a plain user; a plain user only as himself.
pub(crate) fn everyone() -> Vec<Who> {
    if is_root() { vec![Who::Me, Who::Nobody] } else { vec![Who::Me] }
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// What it printed between `== NAME` and the next such line.
    #[track_caller]
    pub(crate) fn part(&self, name: &str) -> &str {
        let text = self.stdout.split_once(&format!("== {name}\n"));
        let text = text.unwrap_or_else(|| panic!("no part {name}: {self:#?}")).1;
        text.split("\n== ").next().unwrap_or_default().trim_end()
    }
}

/// netwright, to be started as somebody.
pub(crate) fn command(who: Who) -> Command {
    match who {
        Who::Me => Command::new(NETWRIGHT),
        Who::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", NETWRIGHT]);
            command
        }
    }
}

/// Runs netwright at the top of the checkout, so that scripts have short names.
pub(crate) fn netwright(who: Who, args: &[&str]) -> Ran {
    let mut command = command(who);
    let timeout = |at: usize| at > 0 && args[at - 1] == "--timeout";
    let words = args.iter().enumerate().map(|(at, word)| if timeout(at) { slow(word) } else { (*word).to_owned() });
    command.args(words).current_dir(root()).stdin(Stdio::null());
    command.output().expect("netwright starts").into()
}

/// Runs a shell script as root on a machine of its own, with processes of its own; `$NETWRIGHT` is the program and `$TOP` the checkout.
pub(crate) fn on_a_machine_of_its_own(script: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("unshare");
    command.args(["-mnpf", "--mount-proc", "--propagation", "private", "bash", "-c", script, "test"]).args(args);
    command.env("NETWRIGHT", NETWRIGHT).env("TOP", root()).env("NO_COLOR", "1");
    command.current_dir(root()).stdin(Stdio::null()).output().expect("unshare").into()
}

/// A time on a command line, as long as `NETWRIGHT_SLOW` says that this machine needs.
fn slow(time: &str) -> String {
    let time = humantime::parse_duration(time).expect("a time");
    humantime::format_duration(netwright::patience::scaled(time)).to_string().replace(' ', "")
}

/// A script in a file of its own, readable by everyone, gone with the value.
pub(crate) struct ScriptFile(tempfile::NamedTempFile);

impl ScriptFile {
    pub(crate) fn new(text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::Builder::new().prefix("test-").suffix(".rhai").tempfile().expect("a file");
        fs::write(file.path(), text).expect("written");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("readable");
        Self(file)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }
}

/// Does the work for each item on a few threads, and gives the results in order. More threads than processors: the work mostly waits.
pub(crate) fn on_threads<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let threads = (2 * std::thread::available_parallelism().map_or(1, usize::from)).clamp(2, 8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((item, result)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| items.get(at).zip(results.get(at)))
                {
                    *result.lock().expect("a lock") = Some(work(item));
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().expect("a lock").expect("done")).collect()
}

/// Compares with `tests/golden/NAME`; `UPDATE_GOLDEN=1` rewrites it.
pub(crate) fn golden(name: &str, text: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).expect("written");
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept == text {
        return;
    }
    let line = kept.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
    panic!(
        "tests/golden/{name} differs from line {} on:\n  kept: {}\n  now:  {}\nUPDATE_GOLDEN=1 cargo test rewrites it; review the diff",
        line + 1,
        kept.lines().nth(line).unwrap_or("(the end)"),
        text.lines().nth(line).unwrap_or("(the end)"),
    );
}

/// The fenced blocks of a language in a markdown text, each with the line that it begins in.
pub(crate) fn fenced(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut block: Option<(usize, Vec<&str>, bool)> = None;
    for (at, line) in text.lines().enumerate() {
        block = match (block, line.trim_end().strip_prefix("```")) {
            (Some((from, lines, wanted)), Some("")) => {
                if wanted {
                    blocks.push((from, lines.join("\n")));
                }
                None
            }
            (Some((from, mut lines, wanted)), _) => {
                lines.push(line);
                Some((from, lines, wanted))
            }
            (None, Some(given)) => Some((at + 1, Vec::new(), given == language)),
            (None, None) => None,
        };
    }
    blocks
}

/// The scripts in `scripts/`, by their path from the top.
pub(crate) fn scripts() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(root().join("scripts"))
        .expect("scripts/")
        .filter_map(|entry| Some(Path::new("scripts").join(entry.ok()?.file_name())))
        .filter(|path| path.extension().is_some_and(|ending| ending == "rhai"))
        .collect();
    all.sort();
    all
}

/// Functions of later parts that a script needs and that this netwright does not have.
pub(crate) fn missing_functions(text: &str) -> Vec<&'static str> {
    let reference = netwright::script::reference::Reference::new();
    let calls = |name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].trim_start().chars().next();
            after == Some('(') && !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    };
    ["why", "test", "needs", "skip", "topology"]
        .into_iter()
        .filter(|name| calls(name) && !reference.entries.iter().any(|entry| entry.name == *name))
        .collect()
}
