//! What this machine has, what it lacks, and what on it will surprise: read only, with a way out for each finding.
//!
//! | file | what |
//! |---|---|
//! | [`tools`] | the programs: where they are, their versions |
//! | [`machine`] | the user, the kernel's switches for user namespaces, the sandboxes |
//! | [`ability`] | features of the kernel, tried out in a sandbox that a child process makes |
//! | [`traps`] | what the machine's own network is set to |
//!
//! Nothing is changed, and no kernel module is loaded for it: a feature that lies in a module that is not loaded yet is reported as such
//! and not tried. What may not be read is unknown, never fine.

pub(crate) mod ability;
pub(crate) mod machine;
pub(crate) mod modules;
pub(crate) mod tools;
pub(crate) mod traps;

use std::path::PathBuf;

use crate::error::Result;
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;

/// Everything that was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// The programs.
    pub tools: Vec<tools::Found>,
    /// The user, and what the kernel lets users do.
    pub machine: machine::Machine,
    /// What the kernel can do.
    pub abilities: Vec<ability::Ability>,
    /// What will surprise.
    pub traps: Vec<traps::Trap>,
}

/// Something without which netwright cannot work here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// A sentence.
    pub what: String,
    /// What to do.
    pub advice: Vec<String>,
}

impl Report {
    /// What is needed and missing; empty when netwright can work.
    #[must_use]
    pub(crate) fn lacks(&self) -> Vec<Lack> {
        let tools = self.tools.iter().filter_map(tools::Found::lack);
        let abilities = self.abilities.iter().filter_map(ability::Ability::lack);
        tools.chain(self.machine.lack()).chain(abilities).collect()
    }
}

/// Examines this machine.
///
/// # Errors
///
/// `InvalidArgument` for a tool that does not exist; `Unsupported` without `/proc`. What is missing is a finding, not an error.
pub(crate) fn examine(chosen: &[(String, PathBuf)]) -> Result<Report> {
    let exec = Exec::new(Tools::new(chosen)?, Interrupt::default())?;
    let found = tools::find(&exec);
    let modules = modules::Modules::of_this_machine();
    let backend = found.iter().find_map(|tool| tool.backend);
    Ok(Report {
        abilities: ability::survey(chosen, &modules, &found),
        machine: machine::examine(),
        traps: traps::look(&exec, backend, &modules),
        tools: found,
    })
}
