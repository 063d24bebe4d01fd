//! `WireGuard`: a link's key, port and peers. What is secret is read and written beside the reporter, and told to `wg` by standard input.

use super::link::At;
use super::{Did, Session, failure};
use crate::error::{Error, Kind, Result};
use crate::model::wireguard::{self as model, PeerState, State};
use crate::op::wg::{self as ops, Peer};
use crate::op::{Command, secret};

/// What a link is to be. What is left out is left as it is.
#[derive(Clone, Debug, Default)]
pub struct Wireguard {
    /// Its private key.
    pub key: Option<String>,
    /// The UDP port that it listens on.
    pub port: Option<u16>,
    /// Its peers, all of them, each with its preshared key.
    pub peers: Option<Vec<(Peer, Option<String>)>>,
}

impl Session {
    /// A new pair of keys: the private and the public one.
    ///
    /// # Errors
    ///
    /// `ToolMissing` without `wg`; what `wg` says.
    pub fn wg_key(&self) -> Result<(String, String)> {
        let private = self.wg_secretly(&ops::genkey())?.trim().to_owned();
        secret::remember(&private);
        let public = self.wg_public(&private)?;
        Ok((private, public))
    }

    fn wg_public(&self, private: &str) -> Result<String> {
        Ok(self.wg_secretly(&ops::pubkey(private))?.trim().to_owned())
    }

    /// A question whose answer is nobody's business.
    fn wg_secretly(&self, command: &Command) -> Result<String> {
        self.settle_for(&command.netns)?;
        let output = self.exec.run_fresh(command)?;
        if output.ok { Ok(output.ran.stdout) } else { Err(failure(command, output.ran)) }
    }

    fn wg_state(&self, (netns, link): At<'_>) -> Result<State> {
        let state = model::parse_dump(&self.wg_secretly(&ops::dump(netns, link))?)?;
        for key in state.secrets() {
            secret::remember(key);
        }
        Ok(state)
    }

    /// Gives a `WireGuard` link its key, port and peers.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what is no key; `AlreadyExists` where somebody else's secret would have to give way, for it could not be put back;
    /// what `wg` says.
    pub fn wireguard(&self, at: At<'_>, wanted: &Wireguard) -> Result<Did> {
        let (netns, link) = at;
        for key in wanted.key.iter().chain(wanted.peers.iter().flatten().filter_map(|(_, psk)| psk.as_ref())) {
            secret::remember(key);
            model::check_key(key, true)?;
        }
        for (peer, _) in wanted.peers.iter().flatten() {
            model::check_key(&peer.key, false)?;
        }
        let before = self.wg_state(at)?;
        let mut did = Did::Nothing;
        let hidden = self.wg_is_copied(at);
        if hidden {
            self.pass_by(&format!("the keys of `{link}` are not in a snapshot"));
        }
        if let Some(key) = &wanted.key
            && !hidden
            && before.private.as_deref() != Some(key)
        {
            if before.private.is_some() && !self.wg_is_ours(at) {
                return Err(self.wg_kept(at, "another private key"));
            }
            self.apply(ops::private_key(netns, link, key))?;
            let holds = self.wg_state(at)?.private.as_deref() == Some(key);
            self.read_back(netns, holds, || format!("`{link}` has not its key"))?;
            did = Did::Something;
        }
        if let Some(port) = wanted.port
            && before.port != port
        {
            self.apply(ops::option(netns, link, "listen-port", &port.to_string(), &before.port.to_string()))?;
            let holds = self.wg_state(at)?.port == port;
            self.read_back(netns, holds, || format!("`{link}` does not listen on port {port}"))?;
            did = Did::Something;
        }
        if let Some(peers) = &wanted.peers {
            did = did.or(self.wg_peers(at, &before, peers)?);
        }
        Ok(did)
    }

    fn wg_peers(&self, at: At<'_>, before: &State, peers: &[(Peer, Option<String>)]) -> Result<Did> {
        let (netns, link) = at;
        let mut did = Did::Nothing;
        for (peer, psk) in peers {
            let former = before.peers.iter().find(|had| had.key == peer.key);
            // What a copy cannot know is taken for so.
            let same = |had: &PeerState, psk: Option<&str>| {
                is(had, peer, if self.wg_is_copied(at) { had.psk.as_deref() } else { psk })
            };
            if former.is_some_and(|had| same(had, psk.as_deref())) {
                continue;
            }
            let other_psk = former.is_some_and(|had| had.psk.is_some() && had.psk != *psk);
            if other_psk && !self.wg_is_ours(at) {
                return Err(self.wg_kept(at, &format!("another preshared key for the peer {}", peer.key)));
            }
            // To have none is a key of zeros (wg(8)).
            let psk_now = psk.as_deref().or(other_psk.then_some(model::NO_KEY));
            self.apply(ops::peer(netns, link, peer, psk_now, former.map(plain).as_ref()))?;
            let now = self.wg_state(at)?;
            let holds = now.peers.iter().any(|have| have.key == peer.key && is(have, peer, psk.as_deref()));
            self.read_back(netns, holds, || format!("`{link}` has not the peer {} as it should be", peer.key))?;
            did = Did::Something;
        }
        for had in before.peers.iter().filter(|had| !peers.iter().any(|(peer, _)| peer.key == had.key)) {
            if had.psk.is_some() && !self.wg_is_ours(at) {
                return Err(self.wg_kept(at, &format!("the peer {} with a preshared key", had.key)));
            }
            self.apply(ops::drop_peer(netns, link, &plain(had)))?;
            let gone = !self.wg_state(at)?.peers.iter().any(|have| have.key == had.key);
            self.read_back(netns, gone, || format!("`{link}` still has the peer {}", had.key))?;
            did = Did::Something;
        }
        Ok(did)
    }

    /// Whether the link is the copy of one of another machine: then its keys are not there.
    fn wg_is_copied(&self, (netns, link): At<'_>) -> bool {
        self.is_copy() && !self.is_made(netns) && !self.made_links.borrow().has(netns, link)
    }

    fn wg_kept(&self, (netns, link): At<'_>, what: &str) -> Error {
        // Where only a question is asked, it is the answer.
        let kind = if self.only_reads() { Kind::CheckFailed } else { Kind::AlreadyExists };
        Error::new(kind, format!("`{link}` in `{netns}` has {what}, which could not be put back"))
            .hint(format!("secrets are not written down: `ns.link(\"{link}\").delete()` first, or take another name"))
            .netns(netns.name())
    }

    /// Whether what the link holds goes with this run: then no secret of others is lost.
    fn wg_is_ours(&self, (netns, link): At<'_>) -> bool {
        self.is_made(netns) || self.made_links.borrow().has(netns, link) || self.mode == super::Mode::Sandbox
    }
}

/// A peer that is there, as it is set again.
fn plain(had: &PeerState) -> Peer {
    Peer {
        key: had.key.clone(),
        endpoint: had.endpoint.clone(),
        allowed: had.allowed.clone(),
        keepalive: Some(had.keepalive),
    }
}

/// Whether a peer is as it should be. Where it is may have changed since: `WireGuard` follows whoever has the key.
fn is(had: &PeerState, peer: &Peer, psk: Option<&str>) -> bool {
    (peer.endpoint.is_none() || had.endpoint == peer.endpoint)
        && model::same_networks(&had.allowed, &peer.allowed)
        && peer.keepalive.is_none_or(|keepalive| keepalive == had.keepalive)
        && had.psk.as_deref() == psk
}
