//! Where features are tried out.

use std::cell::OnceCell;
use std::path::Path;

use crate::error::Result;
use crate::exec::scratch::Scratch;
use crate::exec::{Exec, Output, tools};
use crate::op::{Command, Tool};

/// A place apart from every other network. A fake one answers in tests.
pub(crate) trait Lab {
    /// Runs a command there; its own namespace is ignored.
    ///
    /// # Errors
    ///
    /// When it could not be run to its end; a command that failed is an [`Output`].
    fn run(&self, command: &Command) -> Result<Output>;

    /// Whether a file is there as seen from inside.
    ///
    /// # Errors
    ///
    /// When there is no way in.
    fn has_file(&self, path: &Path) -> Result<bool>;

    /// Whether a program is installed.
    fn has_program(&self, name: &str) -> bool;
}

/// A throw-away namespace, made when it is first needed.
pub(crate) struct ApartLab<'a> {
    exec: &'a Exec,
    apart: OnceCell<Scratch>,
}

impl<'a> ApartLab<'a> {
    /// Costs nothing yet.
    #[must_use]
    pub(crate) fn new(exec: &'a Exec) -> Self {
        Self { exec, apart: OnceCell::new() }
    }

    fn apart(&self) -> Result<&Scratch> {
        if self.apart.get().is_none() {
            let _ = self.apart.set(Scratch::new()?);
        }
        self.apart.get().ok_or_else(|| crate::Error::new(crate::Kind::Internal, "the namespace is gone"))
    }
}

impl Lab for ApartLab<'_> {
    fn run(&self, command: &Command) -> Result<Output> {
        let command = Command { netns: self.apart()?.netns(), ..command.clone() };
        self.exec.run_fresh(&command)
    }

    fn has_file(&self, path: &Path) -> Result<bool> {
        self.apart()?.has_file(path)
    }

    fn has_program(&self, name: &str) -> bool {
        // One that netwright starts itself is looked for as it would be then.
        if let Some(tool) = Tool::ALL.into_iter().find(|tool| tool.program() == name) {
            return self.exec.tools().path(tool).is_ok();
        }
        tools::find(name).is_some() && !(name == "tcpdump" && tools::groups_are_fixed())
    }
}

impl Drop for ApartLab<'_> {
    fn drop(&mut self) {
        if let Some(apart) = self.apart.get() {
            // The executor keeps namespaces open: this one would outlive its name in `/proc`.
            self.exec.forget(&apart.netns());
        }
    }
}
