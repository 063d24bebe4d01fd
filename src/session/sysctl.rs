//! Kernel settings.

use std::io;
use std::path::Path;

use super::{Did, Mode, Session};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::model::suggest;
use crate::model::sysctl::{Name, parse_value, values_equal};
use crate::op::{self, Where, secret};

impl Session {
    /// Reads a setting.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a name that can be none, `NotFound` when the kernel has none of that name.
    pub fn sysctl_get(&self, netns: &Where, name: &str) -> Result<String> {
        let valid = self.sysctl_name(netns, name)?;
        let command = op::sysctl::get(netns, &word(&valid));
        let output = self.ask(&command)?;
        if output.ok {
            return Ok(parse_value(&output.ran.stdout));
        }
        if output.ran.stderr.contains("No such file or directory") {
            return Err(self.no_sysctl(netns, name, &valid)?.ran(output.ran));
        }
        Err(super::failure(&command, output.ran))
    }

    /// The error of a name that the kernel does not have, with the nearest of the deepest folder that it has.
    fn no_sysctl(&self, netns: &Where, name: &str, valid: &Name) -> Result<Error> {
        let parts: Vec<&str> = valid.slashed().split('/').collect();
        let near = self.within(netns, || nearest_setting(&parts))?;
        let mut error = Error::new(Kind::NotFound, format!("no sysctl `{name}` in `{netns}`")).netns(netns.name());
        if let Some(near) = near {
            error = error.hint(format!("did you mean `{}`?", Name::parse(&near).map_or(near, |name| name.dotted())));
        }
        let folder = parts.get(..parts.len().saturating_sub(1)).unwrap_or_default().join("/");
        Ok(error.hint(format!("`ls /proc/sys/{folder}` shows what there is; some come with a kernel module")))
    }

    /// Sets a setting and reads it back: `sysctl -w` returns 0 for values that the kernel does not keep (KNOWLEDGE.md).
    ///
    /// # Errors
    ///
    /// As [`Session::sysctl_get`]; `CommandFailed` when the kernel keeps another value.
    pub fn sysctl_set(&self, netns: &Where, name: &str, value: &str) -> Result<Did> {
        let valid = self.sysctl_name(netns, name)?;
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(Error::new(Kind::InvalidArgument, format!("{value:?} cannot be the value of a sysctl")));
        }
        if is_key(&valid) {
            secret::remember(value);
        }
        let former = self.sysctl_now(netns, name, &valid)?;
        let op = op::sysctl::set(netns, &word(&valid), value, &former);
        if values_equal(&former, value) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.apply(op).map_err(|error| match error.kind() {
            Kind::InvalidArgument => error.hint(format!("it reads `{former}` now")),
            _ => error,
        })?;
        let kept = self.sysctl_now(netns, name, &valid)?;
        if !values_equal(&kept, value) {
            return Err(Error::new(Kind::CommandFailed, format!("`{name}` is `{kept}` after it was set to `{value}`"))
                .hint("the kernel keeps another value, or something else sets it too")
                .netns(netns.name()));
        }
        Ok(self.count(Did::Something))
    }

    /// The value now. What cannot be read from the kernel is asked of `sysctl`, whose words say why.
    fn sysctl_now(&self, netns: &Where, name: &str, valid: &Name) -> Result<String> {
        self.settle_all()?;
        match read(&self.exec, netns, valid)? {
            Ok(value) => Ok(value),
            Err(_) => self.sysctl_get(netns, name),
        }
    }

    /// A valid name, and one that belongs to a namespace: others would change the whole machine.
    fn sysctl_name(&self, netns: &Where, name: &str) -> Result<Name> {
        let parsed = Name::parse(name)?;
        let of_net = parsed.slashed().starts_with("net.") || parsed.slashed().starts_with("net/");
        if of_net || (self.mode == Mode::Host && *netns == Where::Host) {
            return Ok(parsed);
        }
        let error = Error::new(Kind::Unsupported, format!("`{name}` belongs to the machine, not to a namespace"))
            .netns(netns.name());
        Err(match self.mode {
            Mode::Sandbox => error.hint("a sandbox changes only `net.` settings; `--host` changes the machine's"),
            Mode::Host => error.hint(format!("set it with `host().sysctl(\"{name}\", …)`")),
        })
    }
}

/// Reads a setting where the kernel shows it, `/proc/sys` of a thread inside: no process for a look, and no tool that could be wrong.
pub(super) fn read(exec: &Exec, netns: &Where, name: &Name) -> Result<io::Result<String>> {
    let path = Path::new("/proc/sys").join(name.slashed());
    let value = exec.within(netns, || std::fs::read_to_string(path))?.map(|text| parse_value(&text));
    if let Ok(value) = &value
        && is_key(name)
    {
        secret::remember(value);
    }
    Ok(value)
}

/// Whether a setting is a key, which is shown nowhere.
fn is_key(name: &Name) -> bool {
    secret::is_setting(name.slashed())
}

/// A name as `sysctl` takes it: dotted, except where a link's name holds a dot.
fn word(name: &Name) -> String {
    if name.slashed().contains('.') { name.slashed().to_owned() } else { name.dotted() }
}

/// The setting nearest to one that is not there, in slashes: the first part that does not exist is replaced. Looks at the `/proc/sys/net` of
/// the calling thread's namespace.
fn nearest_setting(parts: &[&str]) -> Option<String> {
    let mut path = std::path::PathBuf::from("/proc/sys");
    for (at, part) in parts.iter().enumerate() {
        let next = path.join(part);
        if next.exists() {
            path = next;
            continue;
        }
        let names: Vec<String> =
            std::fs::read_dir(&path).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let near = suggest::nearest(part, names.iter().map(String::as_str))?;
        let mut found: Vec<&str> = parts.to_vec();
        *found.get_mut(at)? = near;
        let found = found.join("/");
        return std::path::Path::new("/proc/sys").join(&found).exists().then_some(found);
    }
    None
}
