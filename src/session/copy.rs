//! A session that acts on the copy of a machine, or only looks at the machine itself.

use std::net::IpAddr;

use super::{Event, Session};
use crate::error::{Error, Kind, Place, Result};
use crate::op::{Op, Where};

/// What is known of the machine that a sandbox is a copy of.
#[derive(Debug)]
pub(super) struct Copy {
    /// Its name.
    machine: String,
    /// The other ends of stand-ins: nothing there is the machine's.
    world: Vec<Where>,
    /// Whether a probe whose answer nobody here knows is passed over, and named in the end.
    passes_over: bool,
    /// The probes that were passed over.
    passed_over: Vec<(Option<Place>, String)>,
}

impl Session {
    /// Says that this sandbox is the copy of a machine, and where stand-ins lead to.
    pub fn is_copy_of(&self, machine: &str, world: Vec<Where>) {
        let machine = machine.to_owned();
        *self.copy.borrow_mut() = Some(Copy { machine, world, passes_over: false, passed_over: Vec::new() });
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

    /// Why nobody here knows who answers at an address: it is not one of the machine that this is a copy of.
    ///
    /// # Errors
    ///
    /// When the addresses cannot be read.
    pub(crate) fn lies_beyond(&self, addr: IpAddr) -> Result<Option<String>> {
        let (machine, world) = match self.copy.borrow().as_ref() {
            Some(copy) => (copy.machine.clone(), copy.world.clone()),
            None => return Ok(None),
        };
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

    /// Whether nothing may be changed.
    #[must_use]
    pub fn reads_only(&self) -> bool {
        self.reads_only.get()
    }

    pub(super) fn may_change(&self, op: &Op) -> Result<()> {
        if !self.reads_only.get() {
            return Ok(());
        }
        self.emit(&Event::Warning(&format!("would run: {}", op.command.line())));
        Err(Error::new(Kind::CheckFailed, format!("the machine is not so: `{}` would run", op.command.line())))
    }

    pub(super) fn may_start(&self, words: &[String]) -> Result<()> {
        self.may_serve(words.first().map_or("?", String::as_str))
    }

    /// Whether a program or a listener may be started here.
    ///
    /// # Errors
    ///
    /// `Unsupported` while nothing may be changed.
    pub fn may_serve(&self, what: &str) -> Result<()> {
        if !self.reads_only.get() {
            return Ok(());
        }
        Err(Error::new(Kind::Unsupported, format!("`{what}` is not started on the machine: a check changes nothing")))
    }
}
