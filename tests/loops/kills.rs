//! Sudden death and signals.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::faults::{SCRIPTS, chosen, commands, thin};
use crate::machine::{Machine, Snapshot, finish, outcome, processes};
use crate::shim::{self, Fault};
use crate::{Case, Dice};

/// The scripts that are killed: those that are broken elsewhere, and a runbook as users write it.
const KILLED: [&str; 9] =
    [SCRIPTS[0], SCRIPTS[1], SCRIPTS[2], SCRIPTS[3], SCRIPTS[4], SCRIPTS[5], SCRIPTS[6], SCRIPTS[7], "05-runbook"];

/// `gc` twice: after the first nothing is left, and the second has nothing to do.
fn gc_twice(machine: &Machine, before: &Snapshot) -> Result<(), String> {
    let (code, first) = machine.call(&["gc"]);
    if code != 0 {
        return Err(format!("gc: exit {code}\n{first}"));
    }
    let (code, second) = machine.call(&["gc"]);
    if code != 0 || !second.contains("nothing to clean up") {
        return Err(format!("the second gc: exit {code}\n{second}after the first:\n{first}"));
    }
    match Machine::differs(before) {
        None => Ok(()),
        Some(difference) => Err(format!("after gc the machine is not as it was:\n{difference}\ngc said:\n{first}")),
    }
}

/// Whether a run that was killed is kept: its last line was written. Its tools may live a moment longer, and until then so does the run.
fn is_kept(machine: &Machine) -> bool {
    for _ in 0..250 {
        let (_, said) = machine.call(&["ps"]);
        if !said.contains("live") {
            return said.contains("kept");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// How many lines the journal of a run has that nothing disturbs.
fn journal_lines(machine: &Machine, script: &str) -> usize {
    let (code, said) = outcome(&finish(&mut machine.run(script, false, &[])));
    assert_eq!(code, 0, "{script}: {said}");
    let journals = Machine::kept().into_iter().map(|id| format!("/run/netwright/runs/{id}/journal"));
    let count = journals.map(|path| std::fs::read_to_string(path).expect("a journal").lines().count()).max();
    machine.down_all();
    count.expect("a kept run")
}

/// Death right before the nth line of the journal, in its middle, and right after it.
pub(crate) fn lines(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for script in chosen(&KILLED) {
        let count = journal_lines(machine, script);
        for n in 1..=count {
            for at in ["before", "amid", "after"] {
                let point = format!("{at}:{n}");
                cases.push(Case::new(format!("{script}, killed {at} line {n} of the journal"), move |machine| {
                    let before = Snapshot::take();
                    let (code, said) =
                        outcome(&finish(machine.run(script, false, &[]).env("NETWRIGHT_TEST_KILL", &point)));
                    match code {
                        // After its last line it is kept, which is no death in its midst.
                        137 if at == "after" && is_kept(machine) => drop(machine.down_all()),
                        137 => {}
                        _ => return Err(format!("it was not killed: exit {code}\n{said}")),
                    }
                    gc_twice(machine, &before)
                }));
            }
        }
    }
    thin(cases, full, 23)
}

/// Death by the hand of the tool: before it acts, after it, and while it acts late, as an orphan.
pub(crate) fn commands_loop(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for script in chosen(&KILLED) {
        for (n, line) in commands(machine, script).into_iter().enumerate() {
            for fault in [Fault::KillsRunBefore, Fault::KillsRunAfter, Fault::KillsRunActsLate] {
                cases.push(Case::new(format!("{script}, command {} `{line}`, {fault:?}", n + 1), move |machine| {
                    let before = Snapshot::take();
                    let mut run = machine.run(script, true, &[]);
                    shim::plan(&machine.shim, &[(n + 1, fault)], false);
                    let (code, said) = outcome(&finish(&mut run));
                    if code != 137 {
                        return Err(format!("it was not killed: exit {code}\n{said}"));
                    }
                    gc_twice(machine, &before)
                }));
            }
        }
    }
    thin(cases, full, 11)
}

/// Death at a random moment of a run.
pub(crate) fn random(_: &Machine, full: bool) -> Vec<Case> {
    (0..if full { 3000 } else { 60 })
        .map(|seed| {
            let mut dice = Dice::new(seed + 1000);
            let script = KILLED[usize::try_from(dice.below(SCRIPTS.len() as u64)).unwrap_or(0)];
            let after = Duration::from_micros(dice.below(160_000));
            Case::new(format!("{script}, killed after {after:?}"), move |machine| {
                let before = Snapshot::take();
                let mut child = machine
                    .run(script, false, &[])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("netwright");
                std::thread::sleep(after);
                let _ = child.kill();
                let status = child.wait().expect("waited");
                if status.code() == Some(0) {
                    // It was faster, and is kept.
                    machine.down_all();
                } else if is_kept(machine) {
                    // Killed after its last line.
                    machine.down_all();
                }
                gc_twice(machine, &before)
            })
        })
        .collect()
}

/// Death of `down` at random moments, up to three times; then `gc` and `down` finish what was begun.
pub(crate) fn undo(_: &Machine, full: bool) -> Vec<Case> {
    let one = |seed: u64| {
        let mut dice = Dice::new(seed + 20_000);
        let script = KILLED[usize::try_from(dice.below(SCRIPTS.len() as u64)).unwrap_or(0)];
        let kills: Vec<Duration> =
            (0..=dice.below(3)).map(|_| Duration::from_micros(2000 + dice.below(150_000))).collect();
        Case::new(format!("{script}, down killed after {kills:?}"), move |machine| {
            let before = Snapshot::take();
            let (code, said) = outcome(&finish(&mut machine.run(script, false, &[])));
            if code != 0 {
                return Err(format!("exit {code}\n{said}"));
            }
            let path = machine.script(script).to_string_lossy().into_owned();
            for after in &kills {
                let mut down = machine.netwright(&["down", &path]);
                let mut child = down.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("netwright");
                std::thread::sleep(*after);
                let _ = child.kill();
                let _ = child.wait();
            }
            // What was killed in its undoing is kept or left: both are taken down, and then nothing is there for gc. Tools may live a moment longer.
            is_kept(machine);
            let (code, said) = machine.down_all();
            if code != 0 {
                return Err(format!("down: exit {code}\n{said}"));
            }
            gc_twice(machine, &before)
        })
    };
    (0..if full { 1000 } else { 12 }).map(one).collect()
}

/// Death of a run with all that it started at once, at random moments: no tool acts a moment longer, none is waited for.
pub(crate) fn tree(_: &Machine, full: bool) -> Vec<Case> {
    let one = |seed: u64| {
        let mut dice = Dice::new(seed + 30_000);
        let script = KILLED[usize::try_from(dice.below(SCRIPTS.len() as u64)).unwrap_or(0)];
        let after = Duration::from_micros(dice.below(170_000));
        Case::new(format!("{script}, killed with its tools after {after:?}"), move |machine| {
            let before = Snapshot::take();
            let run = machine.run(script, false, &[]);
            let mut tree = std::process::Command::new("unshare");
            // The first process of its namespace takes all others with it.
            tree.args(["-p", "-f", "--kill-child=KILL"]).arg(run.get_program()).args(run.get_args());
            tree.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/").stdin(Stdio::null());
            let mut child = tree.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("unshare");
            std::thread::sleep(after);
            let _ = child.kill();
            let _ = child.wait();
            // `unshare` may have died before its child asked to die with it.
            let runs = || processes().into_iter().filter(|(_, line)| line.contains(" run --host "));
            while let Some(pid) = runs().find_map(|(pid, _)| Pid::from_raw(pid)) {
                let _ = kill_process(pid, Signal::KILL);
                std::thread::sleep(Duration::from_millis(2));
            }
            if is_kept(machine) {
                machine.down_all();
            }
            gc_twice(machine, &before)
        })
    };
    (0..if full { 1000 } else { 12 }).map(one).collect()
}

/// One signal or two, at random moments.
pub(crate) fn signals(_: &Machine, full: bool) -> Vec<Case> {
    (0..if full { 600 } else { 48 })
        .map(|seed| {
            let mut dice = Dice::new(seed + 5000);
            let script = SCRIPTS[usize::try_from(dice.below(SCRIPTS.len() as u64)).unwrap_or(0)];
            let (signal, number) =
                [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)][usize::try_from(seed % 3).unwrap_or(0)];
            let twice = seed % 2 == 1;
            let after = Duration::from_micros(10_000 + dice.below(150_000));
            let between = Duration::from_micros(dice.below(60_000));
            let name = format!(
                "{script}, {signal:?} after {after:?}{}",
                if twice { format!(" and after {between:?} again") } else { String::new() }
            );
            Case::new(name, move |machine| {
                let before = Snapshot::take();
                let child = machine
                    .run(script, false, &[])
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("netwright");
                let pid = Pid::from_child(&child);
                std::thread::sleep(after);
                let _ = kill_process(pid, signal);
                if twice {
                    std::thread::sleep(between);
                    let _ = kill_process(pid, signal);
                }
                let (code, said) = outcome(&child.wait_with_output().expect("waited"));
                if code == 0 {
                    machine.down_all();
                } else if code != 128 + number {
                    return Err(format!("exit {code}\n{said}"));
                }
                if twice && code != 0 {
                    if said.contains("at once") && !said.contains("netwright gc") {
                        return Err(format!("it does not say how to clean up:\n{said}"));
                    }
                    return gc_twice(machine, &before);
                }
                match Machine::differs(&before) {
                    None => Ok(()),
                    Some(difference) => {
                        Err(format!("exit {code}, and the machine is not as it was:\n{difference}{said}"))
                    }
                }
            })
        })
        .collect()
}
