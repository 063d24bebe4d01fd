//! The user, what the kernel lets users do, and whether a sandbox really works.

use std::path::PathBuf;

use rustix::thread::{CapabilitySet, capabilities};

use super::Lack;
use crate::error::Error;
use crate::exec::tools;
use crate::sandbox::{self, Facts, Mode};

/// What was found.
#[derive(Debug)]
pub(crate) struct Machine {
    /// `6.18.44`.
    pub kernel: String,
    /// Effective user id.
    pub uid: u32,
    /// The capabilities that networks need: name, and whether this process has it.
    pub capabilities: Vec<(&'static str, bool)>,
    /// Where `sudo` is; whether this user may use it is not tried, because sudo writes that down.
    pub sudo: Option<PathBuf>,
    /// What the kernel says about namespaces.
    pub facts: Facts,
    /// The sandboxes that were tried.
    pub sandboxes: Vec<SandboxFact>,
}

/// A sandbox that was tried.
#[derive(Debug)]
pub(crate) struct SandboxFact {
    /// Which one.
    pub mode: Mode,
    /// Whether `netwright run` takes this one here.
    pub used: bool,
    /// Why it does not work.
    pub error: Option<Error>,
}

impl Machine {
    /// Whether `--host` is open to this process.
    #[must_use]
    pub(crate) fn may_host(&self) -> bool {
        self.uid == 0 && self.capabilities.iter().all(|(_, has)| *has)
    }

    pub(super) fn lack(&self) -> Option<Lack> {
        let broken = self.sandboxes.iter().find(|sandbox| sandbox.used)?;
        let error = broken.error.as_ref()?;
        Some(Lack { what: format!("no sandbox: {error}"), advice: error.parts().hints.clone() })
    }
}

/// Looks, and tries the sandboxes in child processes.
#[must_use]
pub(crate) fn examine() -> Machine {
    let uid = rustix::process::geteuid().as_raw();
    let has = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let capabilities = [
        ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
        ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
        ("CAP_NET_RAW", CapabilitySet::NET_RAW),
    ];
    let here = Mode::here();
    let modes: &[Mode] = if uid == 0 { &[Mode::Root, Mode::Rootless] } else { &[Mode::Rootless] };
    let try_one = |mode: &Mode| SandboxFact { mode: *mode, used: *mode == here, error: sandbox::probe(*mode).err() };
    Machine {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        uid,
        capabilities: capabilities.map(|(name, capability)| (name, has.contains(capability))).into(),
        sudo: tools::find("sudo"),
        facts: Facts::read(uid),
        sandboxes: modes.iter().map(try_one).collect(),
    }
}
