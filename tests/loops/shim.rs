//! The fault shim: stands in the place of `ip`, `iptables`, `sysctl` … and does one fault at chosen commands.
//!
//! It counts the commands that change something, over all tools, in the file `count` beside it; `plan` beside it says at which numbers what
//! happens. A warm `ip -batch -` is passed through line by line, so that a fault hits one line of a process that is long open.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It says no and does nothing.
    FailsBefore,
    /// It does it and says no.
    FailsAfter,
    /// It is killed first.
    KilledBefore,
    /// It does it and is killed.
    KilledAfter,
    /// It prints garbage, does nothing, and says yes.
    Garbage,
    /// It never ends, and ignores TERM.
    Hangs,
    /// It does it and then never ends.
    HangsAfter,
    /// The program is gone.
    Missing,
    /// The program may not be executed.
    Denied,
    /// It does nothing and says yes.
    Lies,
    /// It kills netwright and does nothing.
    KillsRunBefore,
    /// It does it and kills netwright.
    KillsRunAfter,
    /// It waits with acting until netwright is dead and some time has passed: an orphan that acts late.
    KillsRunActsLate,
}

impl Fault {
    /// The eight of the promise.
    pub(crate) const EIGHT: [Self; 8] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Garbage,
        Self::Hangs,
        Self::Missing,
        Self::Denied,
    ];

    const ALL: [Self; 13] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Garbage,
        Self::Hangs,
        Self::HangsAfter,
        Self::Missing,
        Self::Denied,
        Self::Lies,
        Self::KillsRunBefore,
        Self::KillsRunAfter,
        Self::KillsRunActsLate,
    ];

    fn acts(self) -> bool {
        matches!(self, Self::FailsAfter | Self::KilledAfter | Self::HangsAfter | Self::KillsRunAfter)
    }
}

/// The tools that are replaced.
pub(crate) const TOOLS: [&str; 9] =
    ["ip", "tc", "bridge", "nft", "sysctl", "iptables", "ip6tables", "iptables-save", "ip6tables-save"];
/// What netwright finds by the backend of the `iptables` that it was given, beside it.
const RESTORERS: [&str; 4] =
    ["iptables-nft-restore", "ip6tables-nft-restore", "iptables-legacy-restore", "ip6tables-legacy-restore"];

/// Whether this program is the shim when it is called by this name.
pub(crate) fn plays(name: &str) -> bool {
    TOOLS.contains(&name) || RESTORERS.contains(&name)
}

/// Puts the shim in the place of all tools: a folder of links to a copy of this program, which has the name of the real `iptables`, by which its backend is told.
pub(crate) fn install(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder for the shim");
    let real = std::fs::canonicalize("/usr/sbin/iptables").expect("iptables");
    let multi = folder.join(real.file_name().expect("a name"));
    if !multi.exists() {
        std::fs::copy(std::env::current_exe().expect("my path"), &multi).expect("a copy of the shim");
    }
    for tool in TOOLS.into_iter().chain(RESTORERS) {
        let link = folder.join(tool);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&multi, link).expect("a link to the shim");
    }
}

/// Says what is to happen: at the `n`th changing command this fault; with `again`, also whenever the same command comes again.
pub(crate) fn plan(folder: &Path, faults: &[(usize, Fault)], again: bool) {
    let lines: Vec<String> = faults.iter().map(|(n, fault)| format!("{n} {fault:?}")).collect();
    std::fs::write(folder.join("plan"), format!("{}\n{}\n", u8::from(again), lines.join("\n"))).expect("the plan");
    std::fs::write(folder.join("count"), "").expect("the count");
}

/// The changing commands that the shim saw, in order.
pub(crate) fn seen(folder: &Path) -> Vec<String> {
    std::fs::read_to_string(folder.join("count")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Plays the tool `name` that was called as `path`.
pub(crate) fn main(path: &Path, name: &str) -> ExitCode {
    let way = std::fs::read_to_string(path.with_file_name("play")).ok();
    if let Some(way) = &way {
        let ended = crate::deadlines::play(way);
        if way != crate::deadlines::WORKS {
            return ended;
        }
    }
    let shim = Shim {
        folder: path.parent().expect("called by its path").to_path_buf(),
        real: ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .map(|folder| Path::new(folder).join(name))
            .into_iter()
            .find(|path| path.exists())
            .expect("the real tool"),
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    if way.is_none() && args.iter().any(|arg| arg == "-batch") {
        return shim.batch(&args);
    }
    // What nft and the restorers are told by standard input is what they do.
    let is_told = RESTORERS.contains(&name) || name == "nft" && args.iter().any(|arg| arg == "-f");
    let text = (way.is_none() && is_told).then(|| {
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text);
        text
    });
    let fault = if way.is_none() && changes(name, &args) && !in_copy() {
        let told = text.as_deref().unwrap_or_default().replace('\n', " ");
        shim.fault(format!("{name} {} {told}", words(&args).join(" ")).trim_end())
    } else {
        None
    };
    match fault {
        None if text.is_some() => shim.told(&args, text.as_deref().unwrap_or_default()),
        None => {
            let error = Command::new(&shim.real).args(&args).exec();
            panic!("{error}");
        }
        Some(fault) => {
            if let Some(text) = text.as_deref().filter(|_| fault.acts()) {
                let _ = shim.told(&args, text);
            } else if fault.acts() {
                let _ = Command::new(&shim.real).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
            if fault == Fault::KillsRunActsLate {
                kill_run();
                std::thread::sleep(Duration::from_millis(150));
                if let Some(text) = &text {
                    return shim.told(&args, text);
                }
                let _ = Command::new(&shim.real).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).status();
                return ExitCode::SUCCESS;
            }
            shim.end(fault)
        }
    }
}

/// Whether this is a throw-away namespace, where netwright tries something out: neither the machine's own nor one with a name.
fn in_copy() -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|file| file.ino());
    let named = std::fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|entry| entry.path());
    let here = inode(Path::new("/proc/self/ns/net"));
    !named.chain(["/proc/1/ns/net".into()]).any(|path| inode(&path) == here)
}

struct Shim {
    folder: PathBuf,
    real: PathBuf,
}

impl Shim {
    /// The real tool with a text for its standard input.
    fn told(&self, args: &[String], text: &str) -> ExitCode {
        let mut real = Command::new(&self.real).args(args).stdin(Stdio::piped()).spawn().expect("the real tool");
        let _ = real.stdin.take().expect("piped").write_all(text.as_bytes());
        let status = real.wait().expect("waited");
        ExitCode::from(u8::try_from(status.code().unwrap_or(255)).unwrap_or(255))
    }

    /// Counts one changing command and says what is to happen at it.
    fn fault(&self, line: &str) -> Option<Fault> {
        let plan = std::fs::read_to_string(self.folder.join("plan")).ok()?;
        let mut file = OpenOptions::new().read(true).append(true).open(self.folder.join("count")).ok()?;
        flock(&file, FlockOperation::LockExclusive).ok()?;
        let mut seen = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut seen)).ok()?;
        writeln!(file, "{line}").ok()?;
        let mut plan = plan.lines();
        let again = plan.next() == Some("1");
        let seen: Vec<&str> = seen.lines().collect();
        let number = seen.len() + 1;
        plan.find_map(|entry| {
            let (n, fault) = entry.split_once(' ')?;
            let n: usize = n.parse().ok()?;
            let same = again && n < number && seen[n - 1] == line;
            let fault = Fault::ALL.into_iter().find(|known| format!("{known:?}") == fault)?;
            // What did it before cannot do it again: it only says no.
            (n == number || same).then_some(if same && fault == Fault::FailsAfter { Fault::FailsBefore } else { fault })
        })
    }

    /// Ends this process as the fault says; the acting is done.
    fn end(&self, fault: Fault) -> ExitCode {
        match fault {
            Fault::FailsBefore | Fault::FailsAfter => {
                eprintln!("the shim says no");
                ExitCode::from(2)
            }
            Fault::KilledBefore | Fault::KilledAfter => die(),
            Fault::Garbage => {
                let _ = std::io::stdout().write_all(&garbage());
                let _ = std::io::stderr().write_all(&garbage());
                ExitCode::SUCCESS
            }
            Fault::Hangs | Fault::HangsAfter => hang(),
            Fault::Missing => {
                for tool in TOOLS.into_iter().chain(RESTORERS) {
                    let _ = std::fs::remove_file(self.folder.join(tool));
                }
                die()
            }
            Fault::Denied => {
                for tool in TOOLS.into_iter().chain(RESTORERS) {
                    let _ = std::fs::remove_file(self.folder.join(tool));
                    let _ = File::create(self.folder.join(tool));
                }
                die()
            }
            Fault::Lies => ExitCode::SUCCESS,
            Fault::KillsRunBefore | Fault::KillsRunAfter | Fault::KillsRunActsLate => {
                kill_run();
                ExitCode::FAILURE
            }
        }
    }

    /// A warm `ip`: lines in, lines out, and a fault at one of them.
    fn batch(&self, args: &[String]) -> ExitCode {
        let mut real = Command::new(&self.real).args(args).stdin(Stdio::piped()).spawn().expect("the real ip");
        let pid = Pid::from_child(&real);
        let mut to = real.stdin.take().expect("piped");
        // Some failures end a real `ip`, even with `-force`; then this ends too.
        let faulty = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let meant = std::sync::Arc::clone(&faulty);
        std::thread::spawn(move || {
            use rustix::process::{WaitId, WaitIdOptions, waitid};
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            if !meant.load(std::sync::atomic::Ordering::SeqCst) {
                std::process::exit(2);
            }
        });
        let v6 = args.iter().any(|arg| arg == "-6");
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let fault = if changes("ip", &argv) { self.fault(&format!("ip {line}")) } else { None };
            let act = || {
                let mut command = Command::new(&self.real);
                let family = if v6 { &["-6"][..] } else { &[] };
                command.args(family).args(&argv).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let _ = command.status();
            };
            if fault.is_some_and(Fault::acts) {
                act();
            }
            let instead = match fault {
                None => line,
                Some(Fault::FailsBefore | Fault::FailsAfter) => "shim-says-no".into(),
                Some(Fault::Lies) => "# nothing".into(),
                Some(Fault::Garbage) => {
                    let _ = std::io::stdout().write_all(&garbage());
                    let _ = std::io::stdout().flush();
                    "# nothing".into()
                }
                Some(Fault::KillsRunActsLate) => {
                    kill_run();
                    std::thread::sleep(Duration::from_millis(150));
                    act();
                    break;
                }
                Some(fault) => {
                    faulty.store(true, std::sync::atomic::Ordering::SeqCst);
                    let _ = kill_process(pid, Signal::KILL);
                    let _ = real.wait();
                    return self.end(fault);
                }
            };
            if writeln!(to, "{instead}").is_err() {
                break;
            }
        }
        drop(to);
        let status = real.wait().expect("waited");
        ExitCode::from(u8::try_from(status.code().unwrap_or(128 + status.signal().unwrap_or(0))).unwrap_or(255))
    }
}

/// The words without the flags before them, as a line of a batch has them: `-4` too, which only a fresh process is given.
fn words(args: &[String]) -> &[String] {
    let flags = args.iter().take_while(|arg| ["-j", "-d", "-4", "-6"].contains(&arg.as_str())).count();
    &args[flags..]
}

/// Whether a call changes anything.
fn changes(tool: &str, args: &[String]) -> bool {
    let has = |words: &[&str]| args.iter().any(|arg| words.contains(&arg.as_str()));
    match tool {
        "nft" => {
            let verb =
                args.iter().find(|arg| !arg.starts_with('-')).map_or("", |arg| arg.split(' ').next().unwrap_or(""));
            !has(&["-c"]) && (has(&["-f"]) || ["add", "create", "insert", "delete", "flush"].contains(&verb))
        }
        "ip" | "tc" | "bridge" => {
            let action = words(args).get(1).map(String::as_str);
            matches!(action, Some("add" | "delete" | "del" | "set" | "replace" | "change" | "append" | "flush"))
        }
        "sysctl" => has(&["-w"]) || args.iter().any(|arg| arg.contains('=')),
        "iptables" | "ip6tables" => !has(&["-C", "-S", "-L"]),
        _ => RESTORERS.contains(&tool),
    }
}

fn die() -> ! {
    let _ = kill_process(rustix::process::getpid(), Signal::KILL);
    std::process::exit(137)
}

fn kill_run() {
    if let Some(parent) = i32::try_from(parent_id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(parent, Signal::KILL);
    }
}

/// Never ends by itself, and takes no notice of TERM.
fn hang() -> ! {
    let taken = signal_hook::flag::register(signal_hook::consts::SIGTERM, std::sync::Arc::default());
    drop(taken);
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn garbage() -> Vec<u8> {
    (0..3000_u32).map(|n| u8::try_from((n.wrapping_mul(2_654_435_761) >> 13) & 0xff).unwrap_or(0)).collect()
}
