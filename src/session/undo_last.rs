//! Taking back the end of what a run did, while the run goes on: `:undo` of the REPL.

use std::ops::Range;

use super::{Record, Session, Undone};
use crate::error::Kind;
use crate::exec::netns::{id_at, path_of};
use crate::model::said;
use crate::op::{Object, Undo, Where};

impl Session {
    /// Whether any of these commands changed the kernel and is not undone yet.
    #[must_use]
    pub fn has_changes(&self, commands: Range<usize>) -> bool {
        let log = self.log.borrow();
        log.get(commands).is_some_and(|records| records.iter().any(|record| record.ok && !record.undone.get()))
    }

    /// How many commands changed the kernel and are not undone.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.log.borrow().iter().filter(|record| record.ok && !record.undone.get()).count()
    }

    /// Undoes the commands from `first` on, last first. What lies inside a namespace that is among them goes with it.
    pub fn undo_from(&self, first: usize) -> Undone {
        let mut undone = Undone::default();
        self.set_place(None);
        let log = self.log.take();
        let tail = log.get(first..).unwrap_or_default();
        let made: Vec<&str> = tail.iter().filter_map(|record| made_netns(record)).collect();
        for record in tail.iter().rev().filter(|record| record.ok && !record.undone.get()) {
            undone.steps += 1;
            let inside = matches!(&record.op.command.netns, Where::Named(name) if made.contains(&name.as_str()));
            let result = if inside { Ok(()) } else { self.take_back(record) };
            match result {
                Ok(()) => {
                    record.undone.set(true);
                    undone.done += 1;
                }
                Err(why) => undone.left.push((record.op.command.line(), why)),
            }
        }
        for name in made {
            self.made.borrow_mut().remove(name);
        }
        *self.log.borrow_mut() = log;
        undone
    }

    fn take_back(&self, record: &Record) -> Result<(), String> {
        let commands = match &record.op.undo {
            Undo::None(why) => return Err(why.clone()),
            Undo::Commands(commands) => commands,
        };
        if let Some(name) = made_netns(record) {
            let netns = Where::Named(name.to_owned());
            self.exec.forget(&netns);
            let now = path_of(&netns).as_deref().and_then(id_at);
            if now != self.made.borrow().get(name).copied() {
                return Ok(()); // gone already, or made again by somebody else: not ours
            }
        }
        let mut failed = None;
        for command in commands {
            match self.exec.run(command) {
                Ok(output) if output.ok => {}
                Ok(output) if said::recognise(&output.ran.stderr).is_some_and(|said| said.kind == Kind::NotFound) => {}
                Ok(output) => failed = Some(output.ran.stderr.trim().to_owned()),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => failed = Some(error.to_string()),
            }
        }
        self.exec.retire_warm();
        failed.map_or(Ok(()), Err)
    }
}

/// The namespace that a command made.
fn made_netns(record: &Record) -> Option<&str> {
    match (&record.op.changes, &record.op.undo) {
        (Object::Netns { name }, Undo::Commands(_)) if record.ok => Some(name),
        _ => None,
    }
}
