//! What `wg show LINK dump` prints (wg(8)), and what a key looks like.

use crate::error::{Error, Kind, Result};

/// What `wg` takes and prints for no preshared key.
pub(crate) const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A peer without its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// Its public key.
    pub key: String,
    /// Where it was heard last, or is to be.
    pub endpoint: Option<String>,
    /// The networks behind it.
    pub allowed: Vec<String>,
    /// Every how many seconds it hears of us; 0: never.
    pub keepalive: u16,
    /// What only both know.
    pub psk: Option<String>,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Its private key.
    pub private: Option<String>,
    /// The port that it listens on; 0 for none.
    pub port: u16,
    /// Its peers.
    pub peers: Vec<PeerState>,
}

impl State {
    /// All that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.private.iter().chain(self.peers.iter().filter_map(|peer| peer.psk.as_ref())).map(String::as_str)
    }
}

/// Whether two lists of networks are the same, in whatever order and writing.
#[must_use]
pub(crate) fn same_networks(some: &[String], others: &[String]) -> bool {
    let read = |texts: &[String]| {
        let mut all: Vec<String> = texts
            .iter()
            .map(|text| match text.parse::<ipnet::IpNet>() {
                Ok(net) => net.trunc().to_string(),
                Err(_) => {
                    text.parse::<std::net::IpAddr>().map_or(text.clone(), |ip| ipnet::IpNet::from(ip).to_string())
                }
            })
            .collect();
        all.sort();
        all
    };
    read(some) == read(others)
}

/// Reads the dump of one link.
///
/// # Errors
///
/// `ToolOutput` for anything else; what was printed is not repeated, for it holds keys.
pub(crate) fn parse_dump(text: &str) -> Result<State> {
    let garbage = || Error::new(Kind::ToolOutput, "`wg show … dump` did not print what wg(8) says");
    let some = |word: &str| (word != "(none)").then(|| word.to_owned());
    let mut lines = text.lines();
    let first: Vec<&str> = lines.next().ok_or_else(garbage)?.split('\t').collect();
    let [private, _public, port, _mark] = first[..] else { return Err(garbage()) };
    let mut state = State { private: some(private), port: port.parse().map_err(|_| garbage())?, peers: Vec::new() };
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split('\t').collect();
        let [key, psk, endpoint, allowed, _handshake, _rx, _tx, keepalive] = words[..] else { return Err(garbage()) };
        state.peers.push(PeerState {
            key: key.to_owned(),
            endpoint: some(endpoint),
            allowed: some(allowed).map(|all| all.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            keepalive: keepalive.parse().unwrap_or(0),
            psk: some(psk).filter(|psk| psk != NO_KEY),
        });
    }
    Ok(state)
}

/// The error of what is no key: 32 bytes in Base64. A secret one is not repeated.
///
/// # Errors
///
/// `InvalidArgument`.
pub(crate) fn check_key(key: &str, is_secret: bool) -> Result<()> {
    let body = key.strip_suffix('=').unwrap_or_default();
    if body.len() == 43 && body.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/') {
        return Ok(());
    }
    let what = if is_secret { "a private or preshared key".to_owned() } else { format!("`{key}`") };
    Err(Error::new(Kind::InvalidArgument, format!("{what} is no key of WireGuard: 44 characters of Base64"))
        .hint("`wg_key()` makes a pair: `.private_key` and `.public_key`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read() {
        let text = "PRIV=\tPUB=\t51820\toff\nPEER=\t(none)\t192.0.2.1:51820\t10.0.0.0/24,fd00::/64\t0\t0\t0\t25\nOTHER=\tPSK=\t(none)\t(none)\t0\t0\t0\toff\n";
        let state = parse_dump(text).unwrap();
        assert_eq!((state.private.as_deref(), state.port, state.peers.len()), (Some("PRIV="), 51820, 2));
        assert_eq!(state.peers[0].keepalive, 25);
        assert_eq!(state.peers[1].allowed, Vec::<String>::new());
        assert_eq!(state.secrets().collect::<Vec<_>>(), ["PRIV=", "PSK="]);
        assert_eq!(parse_dump("(none)\t(none)\t0\toff\n").unwrap(), State::default());
        for bad in ["", "x", "a\tb\tc\td", "(none)\t(none)\t0\toff\nPEER"] {
            let error = parse_dump(bad).unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn keys_and_networks() {
        assert!(check_key("G8T2fz0BZqQbG5ZN1C075WxgWwXjL3AU35vOFQJEYRs=", true).is_ok());
        let error = check_key("hunter2hunter2", true).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(check_key("hunter2", false).unwrap_err().to_string().contains("hunter2"));
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert!(same_networks(&texts(&["10.0.0.7/24", "fd00::1"]), &texts(&["fd00::1/128", "10.0.0.0/24"])));
        assert!(!same_networks(&texts(&["10.0.0.0/24"]), &texts(&[])));
    }
}
