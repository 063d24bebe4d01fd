//! `wg`: keys by standard input only, never among its words.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, STDIN, Tool, Undo, Where};
use crate::model::wireguard::State;

/// Settings of a peer that are no secrets, in `wg`'s own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its public key.
    pub key: String,
    /// Where it is: `192.0.2.1:51820`.
    pub endpoint: Option<String>,
    /// The networks behind it.
    pub allowed: Vec<String>,
    /// Every how many seconds it hears of us; 0: never.
    pub keepalive: Option<u16>,
}

fn wg(netns: &Where, words: impl IntoIterator<Item = String>) -> Command {
    Command::new(Tool::Wg, netns, words)
}

/// What is set of a link. Secrets are never in it: they go by standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wireguard {
    /// The link.
    pub link: String,
    /// What is set.
    pub set: Set,
}

/// What is set of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// It has the private key that stands on standard input, or none.
    PrivateKey(bool),
    /// `listen-port` or `fwmark`, and its value.
    Option(String, String),
    /// A peer, and whether its preshared key stands on standard input.
    Peer(Peer, bool),
    /// The peer with this public key is not there.
    NoPeer(String),
}

impl Wireguard {
    pub(super) fn words(&self) -> Vec<String> {
        let words = match &self.set {
            Set::PrivateKey(_) => ["private-key", STDIN].map(String::from).into(),
            Set::Option(name, value) => vec![name.clone(), value.clone()],
            Set::Peer(peer, psk) => peer_words(peer, *psk),
            Set::NoPeer(key) => ["peer", key, "remove"].map(String::from).into(),
        };
        ["set".to_owned(), self.link.clone()].into_iter().chain(words).collect()
    }

    /// `private-key`, `listen-port`, `peer KEY`.
    pub(super) fn said(&self) -> String {
        match &self.set {
            Set::PrivateKey(_) => "private-key".to_owned(),
            Set::Option(name, _) => name.clone(),
            Set::Peer(Peer { key, .. }, _) | Set::NoPeer(key) => format!("peer {key}"),
        }
    }

    /// The same, by a name that is the same whoever sets it.
    #[must_use]
    pub fn option(&self) -> String {
        format!("wireguard {}", self.said())
    }

    /// Whether `wg show` tells of it.
    pub(super) fn is_shown(&self) -> bool {
        match &self.set {
            Set::PrivateKey(there) => !there,
            Set::Option(name, _) => name == "listen-port",
            Set::Peer(..) | Set::NoPeer(_) => true,
        }
    }

    pub(super) fn holds(&self, now: &State) -> Option<bool> {
        let has = |key: &str| now.peers.iter().any(|have| have.key == key);
        match &self.set {
            Set::NoPeer(key) => Some(!has(key)),
            Set::Peer(peer, _) => Some(has(&peer.key)),
            Set::Option(name, port) if name == "listen-port" => Some(port.parse() == Ok(now.port)),
            Set::PrivateKey(false) => Some(now.private.is_none()),
            Set::Option(..) | Set::PrivateKey(true) => None,
        }
    }
}

fn set(netns: &Where, link: &str, set: Set, stdin: Option<String>) -> Command {
    Command { stdin, ..Fact::Wireguard(Wireguard { link: link.to_owned(), set }).command(netns) }
}

/// A new private key: `wg genkey`.
#[must_use]
pub(crate) fn genkey() -> Command {
    wg(&Where::Host, ["genkey".to_owned()])
}

/// The public key of a private one, which is told by standard input: `wg pubkey`.
#[must_use]
pub(crate) fn pubkey(private: &str) -> Command {
    Command { stdin: Some(format!("{private}\n")), ..wg(&Where::Host, ["pubkey".to_owned()]) }
}

/// All of a link, secrets too: `wg show LINK dump`. For netwright's own eyes.
#[must_use]
pub(crate) fn dump(netns: &Where, link: &str) -> Command {
    wg(netns, ["show", link, "dump"].map(String::from))
}

/// The private key of a link that has none; undone by none.
#[must_use]
pub(crate) fn private_key(netns: &Where, link: &str, key: &str) -> Op {
    let without = set(netns, link, Set::PrivateKey(false), Some(String::new()));
    Op::new(set(netns, link, Set::PrivateKey(true), Some(format!("{key}\n"))), Undo::by(without))
}

/// The port or the mark of a link; undone by the former one.
#[must_use]
pub(crate) fn option(netns: &Where, link: &str, name: &str, value: &str, former: &str) -> Op {
    let with = |value: &str| set(netns, link, Set::Option(name.to_owned(), value.to_owned()), None);
    Op::new(with(value), Undo::by(with(former)))
}

fn peer_words(peer: &Peer, psk: bool) -> Vec<String> {
    let mut words = vec!["peer".to_owned(), peer.key.clone()];
    if psk {
        words.extend(["preshared-key".to_owned(), STDIN.to_owned()]);
    }
    if let Some(endpoint) = &peer.endpoint {
        words.extend(["endpoint".to_owned(), endpoint.clone()]);
    }
    if let Some(keepalive) = peer.keepalive {
        let every = if keepalive == 0 { "off".to_owned() } else { keepalive.to_string() };
        words.extend(["persistent-keepalive".to_owned(), every]);
    }
    words.extend(["allowed-ips".to_owned(), peer.allowed.join(",")]);
    words
}

/// Removes a peer.
#[must_use]
pub(crate) fn remove(netns: &Where, link: &str, key: &str) -> Command {
    set(netns, link, Set::NoPeer(key.to_owned()), None)
}

/// Sets a peer, with a preshared key if one is given; undone by what it was, or by removing it.
#[must_use]
pub(crate) fn peer(netns: &Where, link: &str, peer: &Peer, psk: Option<&str>, former: Option<&Peer>) -> Op {
    let command = set(netns, link, Set::Peer(peer.clone(), psk.is_some()), psk.map(|psk| format!("{psk}\n")));
    let undo = match former {
        Some(former) => set(netns, link, Set::Peer(former.clone(), false), None),
        None => remove(netns, link, &peer.key),
    };
    Op::new(command, Undo::by(undo))
}

/// Removes a peer that has no preshared key; undone by setting it again.
#[must_use]
pub(crate) fn drop_peer(netns: &Where, link: &str, former: &Peer) -> Op {
    let undo = Undo::by(set(netns, link, Set::Peer(former.clone(), false), None));
    Op::new(remove(netns, link, &former.key), undo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::secret::HIDDEN;
    use crate::op::told::{check, lines};

    #[test]
    fn no_key_stands_in_any_line() {
        let red = Where::Named("red".into());
        let op = private_key(&red, "wg0", "cHJpdmF0ZQ==");
        assert_eq!(
            op.command.line(),
            format!("printf %s '{HIDDEN}' | ip netns exec red wg set wg0 private-key /proc/self/fd/0")
        );
        assert!(op.command.line_with_keys().contains("cHJpdmF0ZQ=="), "what runs has it");
        let shown = op.command.without_keys().unwrap();
        assert!(!format!("{shown:?}").contains("cHJpdmF0ZQ=="));
        let one = Peer {
            key: "PUB=".into(),
            endpoint: Some("192.0.2.1:51820".into()),
            allowed: vec!["10.0.0.0/24".into(), "fd00::/64".into()],
            keepalive: Some(25),
        };
        let op = peer(&Where::Host, "wg0", &one, Some("c2hhcmVk"), None);
        assert_eq!(
            op.command.argv.join(" "),
            "set wg0 peer PUB= preshared-key /proc/self/fd/0 endpoint 192.0.2.1:51820 persistent-keepalive 25 allowed-ips 10.0.0.0/24,fd00::/64"
        );
        assert!(!op.command.line().contains("c2hhcmVk"));
        assert_eq!(lines(&op).1, "wg set wg0 peer PUB= remove");
        check(
            &option(&red, "wg0", "listen-port", "51820", "0"),
            "ip netns exec red wg set wg0 listen-port 51820",
            "ip netns exec red wg set wg0 listen-port 0",
        );
        assert!(lines(&drop_peer(&Where::Host, "wg0", &one)).1.contains("allowed-ips 10.0.0.0/24,fd00::/64"));
    }
}
