//! No room for the journal.

use std::process::Command;

use crate::Case;
use crate::faults::{SCRIPTS, chosen, thin};
use crate::machine::{Machine, Snapshot, finish, outcome};

/// How far apart the positions are, in bytes: several per line.
const STEP_BYTES: u64 = 61;

/// The journal can grow to exactly N bytes, for N over its whole length: the write that crosses the limit is cut short, the next fails, as on
/// a full disk. And a `/run/netwright` with room for so many pages or files only.
pub(crate) fn positions(machine: &Machine, full: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for script in chosen(&SCRIPTS) {
        for limit in (0..=length(machine, script) + STEP_BYTES).step_by(usize::try_from(STEP_BYTES).unwrap_or(1)) {
            cases.push(Case::new(format!("{script}, a journal of at most {limit} bytes"), move |machine| {
                let before = Snapshot::take();
                let run = machine.run(script, false, &[]);
                let mut limited = Command::new("prlimit");
                limited.arg(format!("--fsize={limit}")).args(["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
                limited.arg(run.get_program()).args(run.get_args());
                check(machine, &before, &outcome(&finish(&mut limited)))
            }));
        }
        for options in
            (1..12).map(|pages| format!("size={pages}p")).chain((1..14).map(|files| format!("nr_inodes={files}")))
        {
            cases.push(Case::new(format!("{script}, /run/netwright with {options}"), move |machine| {
                sh(&format!("mkdir -p /run/netwright; mount -t tmpfs -o {options} tmpfs /run/netwright"));
                let before = Snapshot::take();
                let ended = outcome(&finish(&mut machine.run(script, false, &[])));
                let result = check(machine, &before, &ended);
                sh("umount /run/netwright; rmdir /run/netwright");
                result
            }));
        }
    }
    thin(cases, full, 53)
}

use crate::machine::sh;

/// The length of the journal of a run that nothing disturbs.
fn length(machine: &Machine, script: &str) -> u64 {
    let (code, said) = outcome(&finish(&mut machine.run(script, false, &[])));
    assert_eq!(code, 0, "{said}");
    let folders = std::fs::read_dir("/run/netwright/runs").expect("a kept run");
    let length = folders
        .filter_map(|entry| Some(std::fs::metadata(entry.ok()?.path().join("journal")).ok()?.len()))
        .max()
        .expect("a journal");
    machine.down_all();
    length
}

fn check(machine: &Machine, before: &Snapshot, (code, said): &(i32, String)) -> Result<(), String> {
    match code {
        0 => {
            let (_, ps) = machine.call(&["ps"]);
            if !ps.contains("kept") {
                return Err(format!("it says that it succeeded, and is not kept:\n{ps}{said}"));
            }
            let (code, said) = machine.down_all();
            if code != 0 {
                return Err(format!("down: exit {code}\n{said}"));
            }
        }
        3 | 4 => {}
        _ => return Err(format!("exit {code}\n{said}")),
    }
    match Machine::differs(before) {
        None => Ok(()),
        Some(difference) => Err(format!("exit {code}, and the machine is not as it was:\n{difference}{said}")),
    }
}
