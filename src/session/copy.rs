//! A session that acts on the copy of a machine, or only looks at the machine itself.

use std::net::IpAddr;

use super::Session;
use crate::error::{Error, Kind, Place, Result};
use crate::op::{Op, Where};

/// What is known of the machine that a sandbox is a copy of.
#[derive(Debug)]
pub(super) struct Copy {
    /// Its name.
    machine: String,
    /// The other ends of stand-ins: nothing there is the machine's.
    world: Vec<Where>,
    /// What could not be read of the machine, by the namespace of the copy that lacks it.
    unread: Vec<(Where, String)>,
    /// Whether a probe whose answer nobody here knows is passed over, and named in the end.
    passes_over: bool,
    /// The probes that were passed over.
    passed_over: Vec<(Option<Place>, String)>,
}

/// Something that a session which only reads did not do.
#[derive(Clone, Debug)]
pub struct HeldBack {
    /// Whether it was a command that changes the machine; otherwise it is a program or a listener of the script's own.
    pub changes: bool,
    /// What was said of it.
    pub text: String,
    /// Where in the script.
    pub place: Option<Place>,
}

impl Session {
    /// Says that this sandbox is the copy of a machine, where stand-ins lead to, and what of the machine could not be read.
    pub fn is_copy_of(&self, machine: &str, world: Vec<Where>, unread: Vec<(Where, String)>) {
        let machine = machine.to_owned();
        let copy = Copy { machine, world, unread, passes_over: false, passed_over: Vec::new() };
        *self.copy.borrow_mut() = Some(copy);
    }

    /// What the copy lacks because it could not be read of the machine.
    #[must_use]
    pub fn copy_lacks(&self) -> Vec<(Where, String)> {
        self.copy.borrow().as_ref().map(|copy| copy.unread.clone()).unwrap_or_default()
    }

    /// Whether this sandbox is the copy of a machine.
    pub(super) fn is_copy(&self) -> bool {
        self.copy.borrow().is_some()
    }

    /// Says that the line of the script that runs is not judged in this copy, and why.
    pub(super) fn pass_by(&self, why: &str) {
        let place = self.place();
        if let Some(copy) = self.copy.borrow_mut().as_mut() {
            let one = (place, why.to_owned());
            if !copy.passed_over.contains(&one) {
                copy.passed_over.push(one);
            }
        }
    }

    /// Passes over probes whose answer nobody here knows, so that the rest of the script is seen.
    pub fn pass_over(&self) {
        if let Some(copy) = self.copy.borrow_mut().as_mut() {
            copy.passes_over = true;
        }
    }

    /// The probes that were passed over, each with its place in the script.
    #[must_use]
    pub fn passed_over(&self) -> Vec<(Option<Place>, String)> {
        self.copy.borrow().as_ref().map(|copy| copy.passed_over.clone()).unwrap_or_default()
    }

    /// Why nobody here knows who answers at an address: it is not one of the machine that this is a copy of, or not all of that could be read.
    ///
    /// # Errors
    ///
    /// When the addresses cannot be read.
    pub(crate) fn not_known(&self, addr: IpAddr) -> Result<Option<String>> {
        let (machine, world) = match self.copy.borrow().as_ref() {
            Some(copy) => (copy.machine.clone(), copy.world.clone()),
            None => return Ok(None),
        };
        if let Some((netns, why)) = self.copy_lacks().first() {
            return Ok(Some(format!(
                "not all of `{machine}` could be read ({netns}: {why}): what happens in a copy of it proves nothing"
            )));
        }
        if addr.is_loopback() {
            return Ok(None);
        }
        for netns in self.everywhere().into_iter().filter(|netns| !world.contains(netns)) {
            let owns =
                self.addrs(&netns)?.iter().flat_map(crate::model::net_addr::Addr::ipnets).any(|net| net.addr() == addr);
            if owns {
                return Ok(None);
            }
        }
        Ok(Some(format!(
            "{addr} is none of `{machine}`: this is a copy of that machine, and what lies beyond it is not known here"
        )))
    }

    /// Whether such a probe is passed over; then it is written down.
    pub(crate) fn passes_over(&self, why: &str) -> bool {
        let place = self.place();
        let mut copy = self.copy.borrow_mut();
        let Some(copy) = copy.as_mut().filter(|copy| copy.passes_over) else { return false };
        copy.passed_over.push((place, why.to_owned()));
        true
    }

    /// From now on nothing is changed and none of the user's programs is started: what would be is an error.
    pub fn only_read(&self) {
        self.reads_only.set(true);
    }

    /// Whether that is so.
    pub(super) fn only_reads(&self) -> bool {
        self.reads_only.get()
    }

    /// What was held back since then, whether or not the script caught the error.
    #[must_use]
    pub fn held_back(&self) -> Vec<HeldBack> {
        self.held_back.borrow().clone()
    }

    pub(super) fn may_change(&self, op: &Op) -> Result<()> {
        let text = format!("the machine is not so: `{}` would run", op.command.line());
        self.hold_back(true, Kind::CheckFailed, text)
    }

    /// Whether a program or a listener may be started here.
    ///
    /// # Errors
    ///
    /// `Unsupported` while nothing may be changed.
    pub fn may_start(&self, what: &str) -> Result<()> {
        let text = format!("`{what}` is not started on the machine: a check changes nothing");
        self.hold_back(false, Kind::Unsupported, text)
    }

    fn hold_back(&self, changes: bool, kind: Kind, text: String) -> Result<()> {
        if !self.reads_only.get() {
            return Ok(());
        }
        self.held_back.borrow_mut().push(HeldBack { changes, text: text.clone(), place: self.place() });
        Err(Error::new(kind, text))
    }
}
