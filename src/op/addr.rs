//! `ip address`: the addresses of links.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::link::Seen;
use super::{Command, Fact, Op, Undo, Where};

/// An address of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addr {
    /// The link.
    pub link: String,
    /// Address and prefix length.
    pub addr: IpNet,
    /// Whether it is there.
    pub there: bool,
    /// What else it has, in the words of `ip`: `scope global label eth0:1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
}

impl Addr {
    pub(super) fn words(&self) -> Vec<String> {
        let verb = if self.there { "add" } else { "delete" };
        let words = ["address", verb, &self.addr.to_string(), "dev", &self.link].map(String::from);
        words.into_iter().chain(self.more.iter().cloned()).collect()
    }

    /// A link that is gone has no address.
    pub(super) fn holds(&self, link: Option<&Seen>) -> bool {
        self.there == link.is_some_and(|link| link.has(self.addr))
    }
}

fn command(netns: &Where, link: &str, addr: IpNet, there: bool, more: &[String]) -> Command {
    Fact::Addr(Addr { link: link.to_owned(), addr, there, more: more.to_vec() }).command(netns)
}

/// Adds an address: `ip address add ADDR dev NAME`.
#[must_use]
pub(crate) fn add(netns: &Where, link: &str, addr: IpNet) -> Op {
    Op::new(command(netns, link, addr, true, &[]), Undo::by(command(netns, link, addr, false, &[])))
}

/// Removes an address: `ip address delete ADDR dev NAME`; undone by adding it with `words`, what else it had.
#[must_use]
pub(crate) fn delete(netns: &Where, link: &str, addr: IpNet, words: &[String]) -> Op {
    Op::new(command(netns, link, addr, false, &[]), Undo::by(command(netns, link, addr, true, words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::{check, words};

    #[test]
    fn argv() {
        let (red, address) = (Where::Named("red".into()), "10.0.0.1/24".parse().unwrap());
        check(
            &add(&red, "x", address),
            "ip -n red address add 10.0.0.1/24 dev x",
            "ip -n red address delete 10.0.0.1/24 dev x",
        );
        check(
            &delete(&red, "x", address, &words("scope global label x:1")),
            "ip -n red address delete 10.0.0.1/24 dev x",
            "ip -n red address add 10.0.0.1/24 dev x scope global label x:1",
        );
    }
}
