//! The indexes of the links that a run makes on a machine: each is chosen before the link is made, so that what it is is known before it is there.
//!
//! They count up from a place that the name of the run tells, far beyond those that the kernel hands out one by one. One that is taken in its
//! namespace is passed over: the kernel then says `File exists`, as it does of a taken name, and only a look tells which of the two it was.

use std::cell::Cell;

use super::Session;
use super::journal::Identity;
use crate::error::{Kind, Result};
use crate::exec::Output;
use crate::model::messages;
use crate::op::{self, Where};

/// The first index that is ever chosen.
const FIRST: u32 = 1 << 24;
/// How many there are: an index is a positive `int`.
const COUNT: u64 = (1 << 31) - (FIRST as u64);
/// How often another index is chosen for one link.
const TRIES: usize = 16;

/// Where a run is in the row of indexes.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// How often it went elsewhere, because one was taken.
    moves: Cell<u32>,
    /// How many it has chosen since.
    chosen: Cell<u64>,
}

impl Indexes {
    /// The next index for the run `id`.
    fn next(&self, id: &str) -> u32 {
        let chosen = self.chosen.get();
        self.chosen.set(chosen + 1);
        // FNV-1a: stable, and no two names of runs are near each other.
        let bytes = id.bytes().chain(self.moves.get().to_le_bytes());
        let start =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // The low bits of the hash of names that differ in their last letters are not far apart.
        let offset = ((start ^ (start >> 32)) % COUNT + chosen) % COUNT;
        FIRST + u32::try_from(offset).unwrap_or(0)
    }

    /// Goes on elsewhere: where one is taken, others are taken behind it.
    fn elsewhere(&self) {
        self.moves.set(self.moves.get() + 1);
        self.chosen.set(0);
    }
}

impl Session {
    /// The index of the next link that this run makes.
    pub(super) fn next_index(&self) -> u32 {
        self.indexes.next(&self.id)
    }

    /// The output of a command that was begun; when it made no link because its index is taken, that of the same with another index.
    pub(super) fn with_free_index(&self, number: usize, mut output: Result<Output>) -> Result<Output> {
        for _ in 0..TRIES {
            let failed = match output {
                Ok(failed) if self.may_have_taken_index(number, &failed) && self.names_are_free(number) => failed,
                other => return other,
            };
            self.emit(&super::Event::Ran { ran: &failed.ran, changes: true, ok: false, place: self.place().as_ref() });
            self.indexes.elsewhere();
            let index = self.next_index();
            let command = {
                let mut log = self.log.borrow_mut();
                let Some(record) = log.get_mut(number) else { return Ok(failed) };
                op::link::choose_index(&mut record.op, index);
                record.identity = Some(Identity::Link(index));
                if let Some(journal) = self.journal.borrow_mut().as_mut() {
                    journal.intent(number, record)?;
                }
                record.op.command.clone()
            };
            // Not by a warm process: it may have been given more already.
            output = self.exec.run_fresh(&command);
        }
        output
    }

    /// Whether a command failed as it does when the index that was chosen for its link is taken.
    fn may_have_taken_index(&self, number: usize, output: &Output) -> bool {
        let log = self.log.borrow();
        let chose = log.get(number).is_some_and(|record| {
            record.op.makes_link().is_some() && matches!(record.identity, Some(Identity::Link(_)))
        });
        let exists = || messages::recognise(&output.ran.stderr).is_some_and(|said| said.kind == Kind::AlreadyExists);
        chose && !output.ok && !output.unsure && exists()
    }

    /// Whether nobody has the names that a command gives to the ends of a link.
    fn names_are_free(&self, number: usize) -> bool {
        let ends: Vec<(Where, String)> = {
            let log = self.log.borrow();
            let Some(op) = log.get(number).map(|record| &record.op) else { return false };
            let Some(link) = op.makes_link() else { return false };
            std::iter::once((op.command.netns.clone(), link.name.clone())).chain(link.peer.clone()).collect()
        };
        ends.iter().all(|(netns, name)| {
            let output = self.exec.run_fresh(&op::link::show(netns, name));
            let missing = |output: Output| {
                !output.ok && messages::recognise(&output.ran.stderr).is_some_and(|said| said.kind == Kind::NotFound)
            };
            output.is_ok_and(missing)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_index_comes_twice_in_a_run_however_many_links_it_makes() {
        let indexes = Indexes::default();
        let mut seen = HashSet::new();
        for n in 0..20_000 {
            if n % 5000 == 4999 {
                indexes.elsewhere();
            }
            let index = indexes.next("261129-012257-10");
            assert!((FIRST..=i32::MAX.unsigned_abs()).contains(&index), "{index}");
            assert!(seen.insert(index), "{index} came twice");
        }
    }

    #[test]
    fn runs_of_one_second_are_far_apart() {
        let mut all: Vec<u32> = (1..2000).map(|pid| Indexes::default().next(&format!("261129-012257-{pid}"))).collect();
        all.sort_unstable();
        let near = all.windows(2).filter(|pair| pair[1] - pair[0] < 500).count();
        // As many as chance makes of 2000 in 2^31.
        assert!(near < 10, "{near}");
    }

    #[test]
    fn the_row_goes_on_at_its_beginning() {
        let indexes = Indexes::default();
        let first = indexes.next("x");
        indexes.chosen.set(COUNT);
        assert_eq!(indexes.next("x"), first);
        indexes.chosen.set(COUNT - u64::from(first - FIRST));
        assert_eq!(indexes.next("x"), FIRST, "after the largest comes the first");
    }
}
