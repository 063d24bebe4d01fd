//! Two runs at once, and a run beside `gc`.

use std::process::{Child, Stdio};

use crate::Case;
use crate::machine::{Machine, Snapshot, outcome};

fn begin(machine: &Machine, name: &str) -> Child {
    let mut run = machine.run("pair", false, &[]);
    run.args(["--p", name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netwright")
}

fn end(child: Child) -> (i32, String) {
    outcome(&child.wait_with_output().expect("waited"))
}

/// Pairs of runs: other names, the same names; and runs beside `gc`.
pub(crate) fn pairs(_: &Machine, full: bool) -> Vec<Case> {
    let many = if full { 100 } else { 8 };
    let mut cases = Vec::new();
    for n in 0..many {
        cases.push(Case::new(format!("pair {n} with other names"), |machine| {
            let before = Snapshot::take();
            let (one, two) = (begin(machine, "p"), begin(machine, "q"));
            let (one, two) = (end(one), end(two));
            if (one.0, two.0) != (0, 0) {
                return Err(format!("{}: {}\n{}: {}", one.0, one.1, two.0, two.1));
            }
            after(machine, &before)
        }));
        cases.push(Case::new(format!("pair {n} with the same names"), |machine| {
            let before = Snapshot::take();
            let (one, two) = (begin(machine, "p"), begin(machine, "p"));
            let (one, two) = (end(one), end(two));
            let loser = match (one.0, two.0) {
                (0, 7) => two,
                (7, 0) => one,
                _ => return Err(format!("{}: {}\n{}: {}", one.0, one.1, two.0, two.1)),
            };
            if !loser.1.contains("undone: 0 of 0 steps") {
                return Err(format!("the loser changed something:\n{}", loser.1));
            }
            let there = Snapshot::take();
            // Whoever comes later finds it all as it should be.
            let (code, said) = end(begin(machine, "p"));
            if code != 0 {
                return Err(format!("afterwards: exit {code}\n{said}"));
            }
            if let Some(difference) = Machine::differs(&there) {
                return Err(format!("a second run of the same script changed:\n{difference}"));
            }
            after(machine, &before)
        }));
        cases.push(Case::new(format!("run {n} beside gc"), |machine| {
            let before = Snapshot::take();
            let run = begin(machine, "p");
            let mut said = String::new();
            for _ in 0..8 {
                let (code, text) = machine.call(&["gc"]);
                said += &text;
                if code != 0 {
                    said += "gc failed\n";
                }
            }
            let (code, text) = end(run);
            if code != 0 || said.contains("undone") || said.contains("failed") {
                return Err(format!("exit {code}\n{text}\ngc said:\n{said}"));
            }
            after(machine, &before)
        }));
    }
    cases
}

fn after(machine: &Machine, before: &Snapshot) -> Result<(), String> {
    let (code, said) = machine.down_all();
    match Machine::differs(before) {
        None if code == 0 => Ok(()),
        difference => Err(format!("down: exit {code}\n{said}{}", difference.unwrap_or_default())),
    }
}
