//! Playing the inverses back, last first.

use std::time::{Duration, Instant};

use super::{Record, Session};
use crate::error::Kind;
use crate::exec::netns::{id_at, path_of};
use crate::model::said;
use crate::op::{Object, Undo, Where};

/// How long what was deleted may take to vanish: `ip netns delete` returns before the kernel has cleaned up (12–19 ms measured).
const VANISH: Duration = Duration::from_secs(5);

/// What an undo came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// How many ops had to be undone.
    pub steps: usize,
    /// How many of them are undone.
    pub done: usize,
    /// What is left, and why: the op's own line and the reason.
    pub left: Vec<(String, String)>,
}

impl Undone {
    /// `11 of 11 steps, nothing left behind`.
    #[must_use]
    pub fn summary(&self) -> String {
        let end =
            if self.left.is_empty() { "nothing left behind".to_owned() } else { format!("{} left", self.left.len()) };
        format!("{} of {} steps, {end}", self.done, self.steps)
    }
}

impl Session {
    /// Undoes everything that this run did: processes, then ops from the last to the first. A failing step never stops the others.
    ///
    /// What lies inside a namespace that this run made is gone with it and counts as undone. Namespaces go last, together.
    pub fn undo_all(&self) -> Undone {
        let mut undone = Undone::default();
        for line in self.stop_background() {
            undone.left.push((line, "the process does not end".into()));
        }
        self.deferred.borrow_mut().clear();
        self.set_place(None);
        let log = self.log.take();
        let (namespaces, rest): (Vec<&Record>, Vec<&Record>) =
            log.iter().rev().filter(|record| !record.undone.get()).partition(|record| self.makes_netns(record));
        for record in rest {
            let touched = record.ok || !record.took.is_zero();
            if !touched || record.inside_made {
                // Never started, or gone with its namespace.
                undone.steps += usize::from(record.ok);
                undone.done += usize::from(record.ok);
                continue;
            }
            self.undo_one(record, &mut undone);
        }
        for record in &namespaces {
            self.undo_one(record, &mut undone);
        }
        self.await_gone(&namespaces, &mut undone);
        *self.log.borrow_mut() = log;
        undone
    }

    fn makes_netns(&self, record: &Record) -> bool {
        matches!(&record.op.changes, Object::Netns { name } if self.made.borrow().contains_key(name))
            && matches!(record.op.undo, Undo::Commands(_))
    }

    fn undo_one(&self, record: &Record, undone: &mut Undone) {
        let line = || record.op.command.line();
        match &record.op.undo {
            Undo::None(_) if !record.ok => {}
            Undo::None(why) => {
                undone.steps += 1;
                undone.left.push((line(), why.clone()));
            }
            Undo::Commands(commands) => {
                undone.steps += usize::from(record.ok);
                if let Object::Netns { name } = &record.op.changes {
                    let netns = Where::Named(name.clone());
                    self.exec.forget(&netns);
                    let made = self.made.borrow().get(name).copied();
                    let now = path_of(&netns).as_deref().and_then(id_at);
                    if now != made {
                        // Gone already, or made again by somebody else: not ours.
                        undone.done += usize::from(record.ok);
                        record.undone.set(true);
                        return;
                    }
                }
                let mut failed = None;
                for command in commands {
                    match self.exec.run(command) {
                        Ok(output) if output.ok => {}
                        Ok(output) => {
                            let known = said::recognise(&output.ran.stderr).map(|said| said.kind);
                            // Already gone is success; and what never succeeded need not be there.
                            if known != Some(Kind::NotFound) && record.ok {
                                failed = Some(output.ran.stderr.trim().to_owned());
                            }
                        }
                        Err(error) if error.kind() == Kind::NotFound => {}
                        Err(error) => failed = Some(error.to_string()),
                    }
                }
                self.exec.retire_warm();
                match failed {
                    Some(why) => undone.left.push((line(), why)),
                    None => {
                        undone.done += usize::from(record.ok);
                        record.undone.set(true);
                    }
                }
            }
        }
    }

    /// Waits until the namespaces are gone, and with them their ends of veth pairs.
    fn await_gone(&self, namespaces: &[&Record], undone: &mut Undone) {
        let deadline = Instant::now() + VANISH;
        for record in namespaces {
            let Object::Netns { name } = &record.op.changes else { continue };
            let Some(path) = path_of(&Where::Named(name.clone())) else { continue };
            let made = self.made.borrow().get(name).copied();
            while made.is_some() && id_at(&path) == made {
                if Instant::now() >= deadline {
                    undone.left.push((record.op.command.line(), "the namespace is still there".into()));
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.made.borrow_mut().clear();
    }
}
