//! Kernel modules: what is loaded, and what could be. Reading only.

use std::collections::HashSet;
use std::path::Path;

/// The modules of the running kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modules {
    loadable: HashSet<String>,
}

impl Modules {
    /// As `/lib/modules` and `/sys/module` say; empty where there is no `/lib/modules` (a container, a kernel without modules).
    #[must_use]
    pub(crate) fn of_this_machine() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(Path::new("/lib/modules").join(release).join("modules.dep"));
        Self::parse(&text.unwrap_or_default(), |name| Path::new("/sys/module").join(name).exists())
    }

    /// Reads `modules.dep`: `kernel/net/8021q/8021q.ko.xz: kernel/net/802/mrp.ko.xz`.
    fn parse(text: &str, loaded: impl Fn(&str) -> bool) -> Self {
        let names = text.lines().filter_map(|line| {
            let file = line.split(':').next()?.rsplit('/').next()?;
            // The kernel writes `-` in a file's name as `_` in the module's.
            Some(file.split(".ko").next()?.replace('-', "_"))
        });
        Self { loadable: names.filter(|name| !name.is_empty() && !loaded(name)).collect() }
    }

    /// Whether a module is there and not loaded: to use it would load it.
    #[must_use]
    pub(crate) fn would_load(&self, name: &str) -> bool {
        self.loadable.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_is_not_loadable() {
        let text = "kernel/net/8021q/8021q.ko.xz: kernel/net/802/mrp.ko.xz\nkernel/drivers/net/dummy.ko:\nkernel/a/nf-tables.ko.zst:\n\n:\n";
        let modules = Modules::parse(text, |name| name == "dummy");
        assert!(modules.would_load("8021q") && modules.would_load("nf_tables"));
        assert!(!modules.would_load("dummy") && !modules.would_load("mrp") && !modules.would_load(""));
    }
}
