//! Every way in which a tool may not end.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::Case;
use crate::machine::{Machine, Snapshot, finish, outcome, processes};
use crate::shim;

/// What the runs give each command.
const DEADLINE: Duration = Duration::from_millis(300);
/// How much later everything must be over; on a busy machine netwright itself needs some of it.
const GRACE: Duration = Duration::from_millis(2500);

const WAYS: [&str; 6] = ["sleeps", "ignores-term", "child-keeps-output", "daemonises", "floods", "stops"];

/// The tool does what it should and leaves a daemon behind, in a session of its own.
pub(crate) const WORKS: &str = "works-and-daemonises";

/// The tool that is played, and whether the whole run then cannot succeed.
const TOOLS: [&str; 3] = ["sysctl", "iptables", "ip"];

pub(crate) fn ways(_: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for tool in TOOLS {
        for way in WAYS {
            for _ in 0..if full { 5 } else { 1 } {
                cases.push(Case::new(format!("`{tool}` {way}"), move |machine| one(machine, tool, way)));
            }
        }
        cases.push(Case::new(format!("`{tool}` {WORKS}"), move |machine| leaves_a_daemon(machine, tool)));
    }
    cases.push(Case::new(format!("`sysctl` {WORKS}, killed"), killed_beside_a_daemon));
    cases
}

/// The run of a tool that plays.
fn playing(machine: &Machine, tool: &str, way: &str, timeout: &str) -> Command {
    let folder = machine.shim.with_file_name("play");
    shim::install(&folder);
    std::fs::write(folder.join("play"), way).expect("the way");
    let script = "/run/play/one.rhai";
    let call = match tool {
        "sysctl" => "host().sysctl(\"net.ipv4.ip_forward\", 1);",
        "iptables" => "host().iptables(\"-A FORWARD -j ACCEPT\");",
        _ => "host().bridge(\"lp-br\");",
    };
    std::fs::write(script, call).expect("a script");
    let mut run = machine.netwright(&["run", "--host", "--command-timeout", timeout]);
    run.arg("--tool").arg(format!("{tool}={}", folder.join(tool).display())).arg(script);
    run
}

/// Ends the daemons that a tool has left: they are out of netwright's reach, and nobody's promise.
fn end_daemons() {
    for (pid, line) in processes() {
        if line.contains("--play") {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// A daemon that a tool has left does not keep the run: it is kept and can be undone while the daemon lives.
fn leaves_a_daemon(machine: &Machine, tool: &str) -> Result<(), String> {
    let before = Snapshot::take();
    let (code, said) = outcome(&finish(&mut playing(machine, tool, WORKS, "10s")));
    let (down, more) = machine.down_all();
    let daemons = processes().iter().filter(|(_, line)| line.contains("--play")).count();
    end_daemons();
    if (code, down) != (0, 0) || daemons == 0 {
        return Err(format!("exit {code}, then {down}, beside {daemons} daemons\n{said}{more}"));
    }
    Machine::differs(&before).map_or(Ok(()), |difference| Err(format!("the machine is not as it was:\n{difference}")))
}

/// After `kill -9`, a daemon cannot be told from a tool that still acts: `gc` waits, names it, and does nothing until it is ended.
fn killed_beside_a_daemon(machine: &Machine) -> Result<(), String> {
    let before = Snapshot::take();
    let (code, said) = outcome(&finish(playing(machine, "sysctl", WORKS, "10s").env("NETWRIGHT_TEST_KILL", "after:4")));
    if code != 137 {
        return Err(format!("it was not killed: exit {code}\n{said}"));
    }
    let (code, said) = machine.call(&["gc"]);
    let daemons: Vec<_> = processes().into_iter().filter(|(_, line)| line.contains("--play")).collect();
    end_daemons();
    if code != 5 || !daemons.iter().all(|(pid, _)| said.contains(&pid.to_string())) || daemons.is_empty() {
        return Err(format!("gc does not name {daemons:?}: exit {code}\n{said}"));
    }
    let (code, said) = machine.call(&["gc"]);
    match Machine::differs(&before) {
        None if code == 0 => Ok(()),
        difference => Err(format!("then gc: exit {code}\n{said}{}", difference.unwrap_or_default())),
    }
}

fn one(machine: &Machine, tool: &str, way: &str) -> Result<(), String> {
    let before = Snapshot::take();
    let mut run = playing(machine, tool, way, "300ms");
    let begun = Instant::now();
    let (code, said) = outcome(&finish(&mut run));
    let took = begun.elapsed();
    if way == "daemonises" {
        end_daemons();
    }
    if took > DEADLINE + GRACE {
        return Err(format!("it took {took:?}\n{said}"));
    }
    if code == 0 {
        return Err(format!("a tool that does nothing was taken for one that works\n{said}"));
    }
    match Machine::differs(&before) {
        None => Ok(()),
        Some(difference) => Err(format!("exit {code}, and the machine is not as it was:\n{difference}{said}")),
    }
}

/// Plays a tool that does nothing and does not end as it should.
pub(crate) fn play(way: &str) -> ExitCode {
    let child = |setsid: bool| {
        let me = std::env::current_exe().expect("my path");
        let mut command = if setsid { Command::new("setsid") } else { Command::new(&me) };
        if setsid {
            command.arg(&me);
        }
        let _ = command.args(["--play", "sleeps"]).stdin(Stdio::null()).spawn();
        ExitCode::SUCCESS
    };
    match way {
        "child-keeps-output" => child(false),
        "daemonises" | WORKS => child(true),
        "ignores-term" => {
            let taken = signal_hook::flag::register(signal_hook::consts::SIGTERM, std::sync::Arc::default());
            drop(taken);
            sleep()
        }
        "floods" => loop {
            if std::io::stdout().write_all(&[b'x'; 4096]).is_err() {
                return ExitCode::FAILURE;
            }
        },
        "stops" => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            sleep()
        }
        _ => sleep(),
    }
}

fn sleep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}
