//! What is asked of many namespaces at a time, and how those that have nothing to tell are known without starting a program in each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::{Ran, Result};
use crate::exec::asker::{Asker, inside};
use crate::exec::interrupt::Interrupt;
use crate::exec::netns::NetnsFile;
use crate::op::Where;
use crate::probe;

/// Whether a namespace may have rules of nftables, those of `iptables-nft` among them: `false` only where the kernel says that it has no table.
#[must_use]
pub(crate) fn may_have_nft(at: &Where, file: &NetnsFile) -> bool {
    !matches!(inside(at, file, probe::has_nft_tables), Ok(Ok(false)))
}

/// Whether a namespace may have rules of the older kind of iptables: `false` only where the kernel names no table of it.
#[must_use]
pub(crate) fn may_have_legacy(at: &Where, file: &NetnsFile) -> bool {
    !matches!(inside(at, file, probe::has_legacy_tables), Ok(Ok(false)))
}

/// Reads namespaces, from several threads.
#[derive(Debug)]
pub(crate) struct Reading {
    asker: Asker,
    /// What `ip` printed of policy rules of IPv6, by its words and what the kernel told: rules name links, not their numbers, so that the same told
    /// is the same printed, in whichever namespace.
    rules_v6: Mutex<HashMap<(String, Vec<u8>), Ran>>,
}

impl Reading {
    /// One that ends what it runs when `interrupt` is set.
    #[must_use]
    pub(crate) fn new(interrupt: &Interrupt) -> Self {
        Self { asker: Asker::new(interrupt), rules_v6: Mutex::default() }
    }

    /// Who starts the programs.
    #[must_use]
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// What `ip` prints of the policy rules of IPv6: `words` ask for them and for nothing else.
    ///
    /// # Errors
    ///
    /// As [`Asker::ask`].
    pub(crate) fn policy_rules_v6(&self, at: &Where, file: &NetnsFile, ip: &Path, words: &[&str]) -> Result<Ran> {
        let told = || inside(at, file, probe::policy_rules_v6).ok().and_then(std::result::Result::ok);
        let key = told().map(|told| (words.join(" "), told));
        if let Some(key) = &key
            && let Some(known) = self.rules_v6.lock().unwrap_or_else(PoisonError::into_inner).get(key)
        {
            return Ok(known.clone());
        }
        let said = self.asker.ask(at, file, ip, words, None)?;
        // Only what was so before and after is what was printed.
        if let Some(key) = key.filter(|(_, before)| said.status == Some(0) && told().as_ref() == Some(before)) {
            self.rules_v6.lock().unwrap_or_else(PoisonError::into_inner).insert(key, said.clone());
        }
        Ok(said)
    }
}
