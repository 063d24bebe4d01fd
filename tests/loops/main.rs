//! "Nothing is ever left behind", proven on machines that are made for it: each loop runs netwright on one, breaks something, and compares
//! the machine with what it was.
//!
//! `cargo test --test loops` runs short forms; `NETWRIGHT_FULL=1` runs all of them. Words select loops: `cargo test --test loops -- faults`.
//! `NETWRIGHT_PART=3/50` runs one portion of many, `NETWRIGHT_SCRIPT=words` one script of the loops that have several. Each loop prints its counts;
//! when none could run, the whole has failed. This program is the test runner, the machine (in namespaces of its own, started by `unshare`), and the fault shim
//! (called by the name of a tool).

mod deadlines;
mod decoys;
mod faults;
mod kills;
mod machine;
mod pairs;
mod shim;
mod space;
mod verbs;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use machine::Machine;

/// How many machines work on a loop side by side.
const SHARDS: usize = 2;

/// One loop: its name, what it says, and what makes its cases.
struct Loop {
    name: &'static str,
    promise: &'static str,
    cases: fn(&Machine, bool) -> Vec<Case>,
}

/// One case: its name, and what tells whether the promise was kept.
struct Case {
    name: String,
    check: Box<Check>,
}

/// Runs a case; the error says what was broken.
type Check = dyn Fn(&Machine) -> Result<(), String>;

impl Case {
    fn new(name: impl Into<String>, check: impl Fn(&Machine) -> Result<(), String> + 'static) -> Self {
        Self { name: name.into(), check: Box::new(check) }
    }
}

const LOOPS: [Loop; 16] = [
    Loop {
        name: "verbs",
        promise: "each verb on what others built: all that the kernel took is back",
        cases: verbs::verbs,
    },
    Loop {
        name: "settings",
        promise: "what several runs need stays until the last is gone; what others set since is theirs",
        cases: verbs::settings,
    },
    Loop { name: "faults", promise: "every command × every fault: the machine is as it was", cases: faults::single },
    Loop { name: "lies", promise: "a tool that says yes and does nothing is noticed", cases: faults::lies },
    Loop {
        name: "double",
        promise: "build and undo fail: exit 5, the journal names what is left, gc leaves nothing",
        cases: faults::double,
    },
    Loop {
        name: "kill-lines",
        promise: "kill -9 between every two journal writes, then gc twice: nothing left",
        cases: kills::lines,
    },
    Loop {
        name: "kill-commands",
        promise: "kill -9 before, after and amid every command, then gc twice: nothing left",
        cases: kills::commands_loop,
    },
    Loop {
        name: "kill-random",
        promise: "kill -9 at random moments, then gc twice: nothing left",
        cases: kills::random,
    },
    Loop {
        name: "kill-undo",
        promise: "kill -9 of down, up to three times, then down and gc: nothing left",
        cases: kills::undo,
    },
    Loop {
        name: "kill-tree",
        promise: "kill -9 of a run and all its tools at once, then gc twice: nothing left",
        cases: kills::tree,
    },
    Loop {
        name: "signals",
        promise: "INT, TERM, HUP, single and double, at random moments: nothing left",
        cases: kills::signals,
    },
    Loop { name: "decoys", promise: "what others made is never touched", cases: decoys::all },
    Loop {
        name: "pairs",
        promise: "two at once: other names both succeed, the same names one wins and the other exits 7",
        cases: pairs::pairs,
    },
    Loop {
        name: "space",
        promise: "the disk is full at every position of the journal: nothing left",
        cases: space::positions,
    },
    Loop { name: "deadlines", promise: "every way to hang ends within the deadline + 2.5 s", cases: deadlines::ways },
    Loop { name: ROOTLESS, promise: "all of the above on machines that a plain user makes", cases: rootless },
];

/// The loop whose machines are made by a plain user, in user namespaces.
const ROOTLESS: &str = "rootless";
/// Every how manieth case of the other loops' short forms its short form takes; its full form takes all of them.
const ROOTLESS_STEP: usize = 6;

/// The short forms of the other loops.
fn rootless(machine: &Machine, full: bool) -> Vec<Case> {
    let others = LOOPS.iter().filter(|one| one.name != ROOTLESS);
    faults::thin(others.flat_map(|one| (one.cases)(machine, false)).collect(), full, ROOTLESS_STEP)
}

fn main() -> ExitCode {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if shim::plays(&name) {
        return shim::main(Path::new(&path), &name);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    match args.first().map(String::as_str) {
        Some("--machine") => work(&args[1], args[2].parse().expect("a shard"), full),
        Some("--play") => deadlines::play(&args[1]),
        _ => run(&args),
    }
}

/// Runs the loops that the words select.
fn run(args: &[String]) -> ExitCode {
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    if args.iter().any(|arg| arg == "--list") {
        for one in &LOOPS {
            println!("{}: test", one.name);
        }
        return ExitCode::SUCCESS;
    }
    let (mut all_held, mut ran) = (true, 0);
    for one in LOOPS.iter().filter(|one| words.is_empty() || words.iter().any(|word| one.name.contains(word.as_str())))
    {
        if let Err(why) = namespaces(one) {
            println!("{:<14} skipped: {why}", one.name);
            continue;
        }
        ran += 1;
        let begun = Instant::now();
        let workers: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let me = std::env::current_exe().expect("my path");
                let mut worker = unshare(one);
                worker.arg(me).arg("--machine").arg(one.name).arg(shard.to_string());
                worker.stdout(Stdio::piped()).spawn().expect("unshare")
            })
            .collect();
        let (mut held, mut cases, mut whole) = (0, 0, true);
        for worker in workers {
            let output = worker.wait_with_output().expect("waited");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            whole &= output.status.success();
            for line in text.lines() {
                match line.strip_prefix("counts ").and_then(|counts| counts.split_once(' ')) {
                    Some((h, c)) => {
                        held += h.parse::<usize>().expect("a count");
                        cases += c.parse::<usize>().expect("a count");
                    }
                    None => println!("{line}"),
                }
            }
        }
        let took = begun.elapsed().as_secs_f64();
        println!("{:<14} {held} of {cases}  ({took:.1} s)  {}", one.name, one.promise);
        all_held &= whole && held == cases && cases > 0;
    }
    if ran == 0 {
        println!("no loop ran: nothing is proven");
    }
    if all_held && ran > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `unshare` with all that makes a machine: network, mounts, processes; as a plain user, a user namespace.
fn unshare(of: &Loop) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = if root && of.name == ROOTLESS {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare"]);
        command
    } else {
        Command::new("unshare")
    };
    if !root || of.name == ROOTLESS {
        command.args(["-U", "-r"]);
    }
    command.args(["-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"]);
    command
}

/// Whether this machine lets us make those of a loop, and whether this program can run there.
fn namespaces(of: &Loop) -> Result<(), String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    match unshare(of).arg(me).arg("--list").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// `NETWRIGHT_PART=3/50`: the fourth of fifty portions of each loop, from 0; a long one need not run in one go. All otherwise.
fn portion() -> (usize, usize) {
    let text = std::env::var("NETWRIGHT_PART").unwrap_or_default();
    let numbers = text.split_once('/').map(|(part, parts)| (part.parse(), parts.parse()));
    match numbers {
        Some((Ok(part), Ok(parts))) if part < parts => (part, parts),
        None if text.is_empty() => (0, 1),
        _ => panic!("NETWRIGHT_PART={text}: say it as 3/50"),
    }
}

/// Inside the machine: every case of the loop that belongs to this shard.
fn work(name: &str, shard: usize, full: bool) -> ExitCode {
    let one = LOOPS.iter().find(|one| one.name == name).expect("a loop");
    let machine = Machine::build();
    let (mut held, mut cases) = (0, 0);
    let (part, parts) = portion();
    let mine = (one.cases)(&machine, full).into_iter().skip(part).step_by(parts);
    for case in mine.skip(shard).step_by(SHARDS) {
        cases += 1;
        match (case.check)(&machine) {
            Ok(()) => held += 1,
            Err(why) => {
                println!("{name}: FAILED: {}\n{}", case.name, why.trim_end());
                machine.reset();
            }
        }
    }
    println!("counts {held} {cases}");
    if held == cases { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Pseudo-random numbers that are the same in every run: a case that fails can be run again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}
