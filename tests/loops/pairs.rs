//! Two runs at once, and a run beside `gc`.

use std::io::Write;
use std::process::{Child, Command, Stdio};

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
    let (crowds, size) = if full { (5, 20) } else { (1, 8) };
    for n in 0..crowds {
        let name = format!("crowd {n} of {size} with other names, gc and repl among them, then down all at once");
        cases.push(Case::new(name, move |machine| crowd(machine, size)));
        let name = format!("crowd {n} of {size} with the same names");
        cases.push(Case::new(name, move |machine| crowd_of_twins(machine, size)));
    }
    cases
}

/// Many runs with names of their own, `gc` and a `repl --host` among them; then `down` of all at once.
fn crowd(machine: &Machine, size: usize) -> Result<(), String> {
    let before = Snapshot::take();
    let piped =
        |command: &mut Command| command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netwright");
    let runs: Vec<Child> = (0..size).map(|n| begin(machine, &format!("c{n}"))).collect();
    let mut repl = piped(machine.netwright(&["repl", "--host"]).stdin(Stdio::piped()));
    let lines = "host().bridge(\"lp-repl\").up()\nsleep(\"300ms\")\n:undo 2\n";
    repl.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    let mut wrong = Vec::new();
    let (gc, text) = machine.call(&["gc"]);
    if gc != 0 || text.contains("undone") {
        wrong.push(format!("gc: exit {gc}\n{text}"));
    }
    let ended = runs.into_iter().chain([repl]).map(end).collect::<Vec<_>>();
    let downs: Vec<Child> = Machine::kept().iter().map(|id| piped(&mut machine.netwright(&["down", id]))).collect();
    let all = ended.into_iter().chain(downs.into_iter().map(end));
    wrong.extend(all.filter(|(code, _)| *code != 0).map(|(code, said)| format!("exit {code}\n{said}")));
    if wrong.is_empty() { after(machine, &before) } else { Err(wrong.join("\n")) }
}

/// Many runs with the same names: one works, and the others say so.
fn crowd_of_twins(machine: &Machine, size: usize) -> Result<(), String> {
    let before = Snapshot::take();
    let runs: Vec<Child> = (0..size).map(|_| begin(machine, "p")).collect();
    let ended: Vec<(i32, String)> = runs.into_iter().map(end).collect();
    let count = |wanted: i32| ended.iter().filter(|(code, _)| *code == wanted).count();
    if (count(0), count(7)) != (1, size - 1) {
        return Err(format!("{ended:?}"));
    }
    after(machine, &before)
}

fn after(machine: &Machine, before: &Snapshot) -> Result<(), String> {
    let (code, said) = machine.down_all();
    match Machine::differs(before) {
        None if code == 0 => Ok(()),
        difference => Err(format!("down: exit {code}\n{said}{}", difference.unwrap_or_default())),
    }
}
