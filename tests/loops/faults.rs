//! A fault at one command, at two, and a tool that lies.

use crate::machine::{Machine, Snapshot, finish, outcome};
use crate::shim::{self, Fault};
use crate::{Case, Dice};

/// The scripts that are broken: a NAT lab, a six-host bridge, a chain of three routers, dual stack with a firewall, background servers, what is
/// said in the words of nft, tc and bridge, what goes together (rules by `iptables-restore`, addresses and routes), and links that move.
pub(crate) const SCRIPTS: [&str; 8] = ["nat", "bridge6", "routers", "dual", "background", "words", "together", "moves"];

/// These scripts, or the one that `NETWRIGHT_SCRIPT` names.
pub(crate) fn chosen(scripts: &[&'static str]) -> Vec<&'static str> {
    let one = std::env::var("NETWRIGHT_SCRIPT").ok();
    scripts.iter().copied().filter(|script| one.as_deref().is_none_or(|one| one == *script)).collect()
}

/// The changing commands of a script that nothing disturbs; it is undone again.
pub(crate) fn commands(machine: &Machine, script: &str) -> Vec<String> {
    let before = Snapshot::take();
    let mut run = machine.run(script, true, &[]);
    shim::plan(&machine.shim, &[], false);
    let (code, said) = outcome(&finish(&mut run));
    assert_eq!(code, 0, "{script} does not run undisturbed:\n{said}");
    let seen = shim::seen(&machine.shim);
    let together =
        seen.iter().any(|line| line.starts_with("ip") && line.contains("tables-") && line.contains("-restore "));
    assert!(script != "together" || together, "no rules went together: {seen:?}");
    let (code, said) = machine.down_all();
    assert_eq!(code, 0, "{script} cannot be undone:\n{said}");
    if let Some(difference) = Machine::differs(&before) {
        panic!("{script}, kept and undone, leaves:\n{difference}");
    }
    seen
}

/// Every command × every fault, once and whenever the command comes again; the short form takes some of them.
pub(crate) fn single(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for script in chosen(&SCRIPTS) {
        for (n, line) in commands(machine, script).into_iter().enumerate() {
            for fault in Fault::EIGHT {
                for again in [true, false] {
                    let name = format!(
                        "{script}, command {} `{line}`, {fault:?}{}",
                        n + 1,
                        if again { ", again" } else { "" }
                    );
                    cases.push(Case::new(name, move |machine| one(machine, script, &[(n + 1, fault)], again)));
                }
            }
        }
    }
    thin(cases, full, 61)
}

/// Two faults: one while building, one while undoing.
pub(crate) fn double(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut dice = Dice::new(2);
    for script in chosen(&SCRIPTS) {
        let count = commands(machine, script).len();
        for n in 2..=count {
            for build in [Fault::FailsBefore, Fault::FailsAfter, Fault::Hangs] {
                // The undo has at most as many commands as were run.
                let m = n + 1 + usize::try_from(dice.below(n as u64)).unwrap_or(0);
                let undo = [Fault::FailsBefore, Fault::KilledBefore, Fault::Hangs, Fault::Lies]
                    [usize::try_from(dice.below(4)).unwrap_or(0)];
                let name = format!("{script}, {build:?} at {n}, {undo:?} at {m}");
                cases.push(Case::new(name, move |machine| one(machine, script, &[(n, build), (m, undo)], true)));
            }
        }
    }
    thin(cases, full, 19)
}

/// At every command the tool says yes and does nothing: while building, and while undoing after the last command has failed.
pub(crate) fn lies(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for script in chosen(&SCRIPTS) {
        let built = commands(machine, script);
        let last = built.len();
        let undo = undoing(machine, script, last);
        for (n, line) in built.into_iter().chain(undo).enumerate() {
            let faults = if n < last {
                vec![(n + 1, Fault::Lies)]
            } else {
                vec![(last, Fault::FailsBefore), (n + 1, Fault::Lies)]
            };
            let name = format!("{script}, command {} `{line}`", n + 1);
            cases.push(Case::new(name, move |machine| one(machine, script, &faults, true)));
        }
    }
    thin(cases, full, 11)
}

/// The commands that undo a script whose last command fails.
fn undoing(machine: &Machine, script: &str, last: usize) -> Vec<String> {
    let mut run = machine.run(script, true, &[]);
    shim::plan(&machine.shim, &[(last, Fault::FailsBefore)], true);
    let (code, said) = outcome(&finish(&mut run));
    assert!(matches!(code, 1 | 3 | 4), "{script}: exit {code}\n{said}");
    shim::seen(&machine.shim).split_off(last)
}

/// Every `step`th case in the short form: a step that has no divisor in common with the faults of one command comes to each of them.
pub(crate) fn thin(cases: Vec<Case>, full: bool, step: usize) -> Vec<Case> {
    if full { cases } else { cases.into_iter().step_by(step).collect() }
}

/// One run with faults. Whatever comes of it, the machine ends as it was: at once, or after what netwright said to do.
fn one(machine: &Machine, script: &str, faults: &[(usize, Fault)], again: bool) -> Result<(), String> {
    let before = Snapshot::take();
    // What hangs must not take long, and what works must have the time that a busy machine takes.
    let hangs = faults.iter().any(|(_, fault)| matches!(fault, Fault::Hangs | Fault::HangsAfter));
    let mut run = machine.run(script, true, &["--command-timeout", if hangs { "600ms" } else { "10s" }]);
    shim::plan(&machine.shim, faults, again);
    let (code, said) = outcome(&finish(&mut run));
    let seen = shim::seen(&machine.shim).len();
    // An undo that has fewer commands than a fault waits for is no worse for it.
    let hit = faults.first().is_some_and(|(first, _)| seen >= *first);
    let fail = |why: &str| Err(format!("{why}\nexit {code}\n{said}"));
    if !hit {
        return fail("the fault was never reached");
    }
    match code {
        0 => {
            let dropped = faults.iter().any(|(_, fault)| matches!(fault, Fault::Lies | Fault::Garbage));
            if dropped && again {
                return fail("what was not done was not noticed");
            }
            let (code, said) = machine.down_all();
            if code != 0 {
                return Err(format!("down: exit {code}\n{said}"));
            }
        }
        5 => {
            // It says what is left; and that is the truth: with good tools, gc leaves nothing.
            let gone = faults.iter().any(|(_, fault)| matches!(fault, Fault::Missing | Fault::Denied));
            if !gone && faults.len() < 2 {
                return fail("one fault must not keep the undo from its end");
            }
            if !said.contains("left:") || !said.contains("netwright gc") {
                return fail("it does not say what is left");
            }
            let (ps_code, ps) = machine.call(&["ps"]);
            if ps_code != 0 || !ps.contains("left") {
                return Err(format!("ps does not explain it: {ps}"));
            }
            let (code, said) = machine.call(&["gc"]);
            if code != 0 {
                return Err(format!("gc: exit {code}\n{said}"));
            }
        }
        3 | 4 | 1 | 6 => {}
        _ => return fail("an unexpected exit code"),
    }
    match Machine::differs(&before) {
        None => Ok(()),
        Some(difference) => fail(&format!("the machine is not as it was:\n{difference}")),
    }
}
