//! Files of a namespace: what its programs find in `/etc` in the place of the machine's.

use std::path::Path;

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::op::{self, Answer, Ask, Where};

impl Session {
    /// Gives the programs of a namespace a file of their own in `/etc`, as `ip netns exec` lays it there.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a path that is not directly in `/etc`, `Unsupported` for what has no name, what keeps the file from being written.
    pub fn netns_file(&self, netns: &Where, path: &str, text: &str) -> Result<Did> {
        let file = name_in_etc(path)?;
        let Where::Named(name) = netns else {
            let message = format!(
                "`{netns}` has no files of its own: `ip netns exec` lays those of named namespaces over `/etc`"
            );
            return Err(Error::new(Kind::Unsupported, message)
                .netns(netns.name())
                .hint("`host().exec` changes what belongs to the machine"));
        };
        self.settle_all()?;
        self.exec.netns(netns)?;
        self.claim("netns", name)?;
        let below = format!("/etc/{file}");
        // Nothing can be laid over what is not there.
        if self.file_now(&below)?.is_none() {
            self.write_file(&below, "")?;
        }
        Ok(self.count(self.write_file(&op::file::of_netns(name, file), text)?))
    }

    fn file_now(&self, path: &str) -> Result<Option<String>> {
        match self.answer(&Where::Host, &Ask::File(path.to_owned()))? {
            Answer::File(text) => Ok(text),
            _ => Ok(None),
        }
    }

    fn write_file(&self, path: &str, text: &str) -> Result<Did> {
        // Who writes through a link writes another file, perhaps one of the machine's.
        if let Some(sort) = self.exec.in_user_files(|| other_than_a_file(path))? {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("`{path}` is {sort}, and no file of this namespace alone"),
            )
            .hint(format!("take it away first: rm {path}")));
        }
        let former = self.file_now(path)?;
        let folders = self.exec.in_user_files(|| missing_above(path))?;
        let op = op::file::write(path, text, former.as_deref(), &folders);
        if former.as_deref() == Some(text) {
            self.need(&op)?;
            return Ok(Did::Nothing);
        }
        self.act_and_look(op)?;
        Ok(Did::Something)
    }

    /// The addresses that a program of the namespace gets for a name, in the order that it gets them; none when nobody knows the name.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what can be no name; when `getent` cannot run.
    pub fn resolve(&self, netns: &Where, name: &str) -> Result<Vec<String>> {
        if name.is_empty() || name.starts_with('-') || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::new(Kind::InvalidArgument, format!("`{name}` cannot be the name of a host")));
        }
        let words = ["getent", "ahosts", name].map(str::to_owned);
        let output = self.ask_user(netns, &words)?;
        let mut found: Vec<String> = Vec::new();
        for addr in output.ran.stdout.lines().filter_map(|line| line.split_whitespace().next()) {
            if !found.iter().any(|known| known == addr) {
                found.push(addr.to_owned());
            }
        }
        // getent(1): 2 is "not found", the others are its own trouble.
        match output.ran.status {
            Some(0 | 2) => Ok(found),
            _ => Err(super::failure(&op::program::command(netns, &words), output.ran)),
        }
    }
}

/// The name of a file that `ip netns exec` can lay over the machine's.
fn name_in_etc(path: &str) -> Result<&str> {
    let bad = |why: &str| Error::new(Kind::InvalidArgument, format!("`{path}` cannot be a file of a namespace: {why}"));
    let name = path
        .strip_prefix("/etc/")
        .ok_or_else(|| bad("`ip netns exec` lays over `/etc` only").hint("ns.file(\"/etc/dnsmasq.conf\", \"…\")"))?;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(
            bad("it must lie directly in `/etc`").hint("a program's option often names another place for its file")
        );
    }
    Ok(name)
}

/// Whether a path can be that of a namespace's file.
///
/// # Errors
///
/// `InvalidArgument`, with the reason.
pub(crate) fn checked(path: &str) -> Result<()> {
    name_in_etc(path).map(drop)
}

/// What stands at a path, where that is no ordinary file.
fn other_than_a_file(path: &str) -> Option<&'static str> {
    let sort = std::fs::symlink_metadata(path).ok()?.file_type();
    match sort {
        _ if sort.is_file() => None,
        _ if sort.is_symlink() => Some("a symbolic link"),
        _ if sort.is_dir() => Some("a folder"),
        _ => Some("a device, pipe or socket"),
    }
}

/// The folders above a path that are not there, the deepest first.
fn missing_above(path: &str) -> Vec<String> {
    Path::new(path)
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.exists())
        .map(|folder| folder.display().to_string())
        .collect()
}

/// The text of `/etc/hosts`: this machine's own names, then `entries`, an address and a name each.
#[must_use]
pub(crate) fn hosts(entries: &[(String, String)]) -> String {
    let own = ["127.0.0.1 localhost\n", "::1 localhost ip6-localhost ip6-loopback\n"].map(str::to_owned);
    own.into_iter().chain(entries.iter().map(|(addr, name)| format!("{addr} {name}\n"))).collect()
}

/// What a resolver is told, in the words of resolv.conf(5).
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    /// Whom it asks.
    pub servers: Vec<std::net::IpAddr>,
    /// The domains in which it looks for short names.
    pub search: Vec<String>,
    /// Its options: `ndots:2`, `timeout:1`.
    pub options: Vec<String>,
}

/// As many servers are asked by the C library (MAXNS of resolv.h).
const SERVERS_MAX: usize = 3;

impl Resolver {
    /// The text of `/etc/resolv.conf`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for more servers than anybody asks.
    pub(crate) fn text(&self) -> Result<String> {
        if self.servers.len() > SERVERS_MAX {
            let message = format!("a resolver asks {SERVERS_MAX} servers, not {}", self.servers.len());
            return Err(Error::new(Kind::InvalidArgument, message).hint("man 5 resolv.conf: MAXNS"));
        }
        let servers = self.servers.iter().map(|addr| ("nameserver", addr.to_string()));
        let lists = [("search", self.search.join(" ")), ("options", self.options.join(" "))];
        let lines = servers.chain(lists.into_iter().filter(|(_, list)| !list.is_empty()));
        Ok(lines.fold(String::new(), |text, (word, value)| text + word + " " + value.as_str() + "\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ip_lays_over_etc_is_a_file_of_a_namespace() {
        assert_eq!(name_in_etc("/etc/hosts").unwrap(), "hosts");
        for wrong in ["hosts", "/etc/", "/etc/..", "/etc/dnsmasq.d/x.conf", "/usr/etc/x", "/etc/a\0b"] {
            assert_eq!(name_in_etc(wrong).unwrap_err().kind(), Kind::InvalidArgument, "{wrong:?}");
        }
    }

    #[test]
    fn texts() {
        let entry = ("10.0.0.2".to_owned(), "app.test".to_owned());
        assert!(hosts(&[entry]).ends_with("ip6-loopback\n10.0.0.2 app.test\n"));
        let resolver = Resolver {
            servers: vec!["10.0.0.1".parse().unwrap()],
            search: vec!["a.test".into(), "b.test".into()],
            options: Vec::new(),
        };
        assert_eq!(resolver.text().unwrap(), "nameserver 10.0.0.1\nsearch a.test b.test\n");
        let many = Resolver { servers: vec!["10.0.0.1".parse().unwrap(); 4], ..Resolver::default() };
        assert!(many.text().is_err());
    }
}
