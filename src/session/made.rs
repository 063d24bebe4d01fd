//! What this run made itself: settings of it are gone with it, and who deletes it leaves nothing to undo.

use std::collections::HashMap;

use super::journal::Identity;
use super::{Record, Session};
use crate::exec::netns::{NetnsStamp, path_of};
use crate::model::link::{Link, Peer};
use crate::op::link::Moved;
use crate::op::netns::Netns;
use crate::op::{Fact, Op, Where};

/// An end of a link that this run made.
#[derive(Clone, Debug)]
struct End {
    /// The number of the record that made it.
    record: usize,
    /// The index that was chosen, which the first end has; 0 where none is chosen.
    index: u32,
    /// The name of the first end, on its other end.
    first: Option<String>,
}

/// The links that this run made, and those that it moved, by where they are now.
#[derive(Debug, Default)]
pub(super) struct Links {
    made: HashMap<(Where, String), End>,
    /// Links of others that it moved, with where they are at home: what it sets of one goes home with that.
    guests: HashMap<(Where, String), Where>,
}

impl Links {
    /// Whether the run made this link.
    pub(super) fn has(&self, netns: &Where, name: &str) -> bool {
        self.end(netns, name).is_some()
    }

    /// Whether it is a link of others that the run moved there.
    pub(super) fn has_guest(&self, netns: &Where, name: &str) -> bool {
        self.guests.contains_key(&(netns.clone(), name.to_owned()))
    }

    /// A link of others that the run moved into a namespace, and where it is at home.
    pub(super) fn guest_of(&self, netns: &Where) -> Option<(&str, &Where)> {
        self.guests.iter().find(|((at, _), _)| at == netns).map(|((_, name), home)| (name.as_str(), home))
    }

    fn end(&self, netns: &Where, name: &str) -> Option<&End> {
        self.made.get(&(netns.clone(), name.to_owned()))
    }

    fn insert(&mut self, record: usize, index: u32, netns: &Where, name: &str, peer: Option<&(Where, String)>) {
        self.made.insert((netns.clone(), name.to_owned()), End { record, index, first: None });
        if let Some(peer) = peer {
            self.made.insert(peer.clone(), End { record, index, first: Some(name.to_owned()) });
        }
    }

    /// A link was deleted, and its other end with it.
    pub(super) fn remove(&mut self, netns: &Where, name: &str) {
        let at = (netns.clone(), name.to_owned());
        self.guests.remove(&at);
        if let Some(End { record, .. }) = self.made.remove(&at) {
            self.made.retain(|_, end| end.record != record);
        }
    }

    /// A namespace was deleted, and all links in it.
    fn remove_netns(&mut self, netns: &Where) {
        let gone: Vec<usize> = self.made.iter().filter(|((at, _), _)| at == netns).map(|(_, end)| end.record).collect();
        self.made.retain(|_, end| !gone.contains(&end.record));
        self.guests.retain(|(at, _), _| at != netns);
    }

    /// What an op did is undone; the later ones are already.
    pub(super) fn undone(&mut self, op: &Op) {
        let netns = &op.command.netns;
        match op.fact() {
            Some(Fact::Link(link)) => self.remove(netns, &link.name),
            Some(Fact::Moved(one)) => self.moved(&one.back(), None),
            Some(Fact::Settings(settings)) => {
                if let Some(new) = settings.new_name() {
                    self.rename(netns, new, &settings.link);
                }
            }
            _ => {}
        }
    }

    fn rename(&mut self, netns: &Where, name: &str, new: &str) {
        let (from, to) = ((netns.clone(), name.to_owned()), (netns.clone(), new.to_owned()));
        if let Some(home) = self.guests.remove(&from) {
            self.guests.insert(to.clone(), home);
        }
        let Some(end) = self.made.remove(&from) else { return };
        for other in self.made.values_mut().filter(|other| other.record == end.record && other.first.is_some()) {
            other.first = Some(new.to_owned());
        }
        self.made.insert(to, end);
    }

    /// A link has moved, and may have another index there.
    fn moved(&mut self, one: &Moved, index: Option<u32>) {
        let (from, to) = ((one.from.clone(), one.link.clone()), (one.to.clone(), one.link.clone()));
        let Some(mut end) = self.made.remove(&from) else {
            let home = self.guests.remove(&from).unwrap_or(from.0);
            if home != to.0 {
                self.guests.insert(to, home);
            }
            return;
        };
        if let Some(index) = index.filter(|_| end.index != 0 && end.first.is_none()) {
            for other in self.made.values_mut().filter(|other| other.record == end.record) {
                other.index = index;
            }
            end.index = index;
        }
        self.made.insert(to, end);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl End {
    /// Whether a link of its name is still this end.
    fn is(&self, link: &Link) -> bool {
        match (&self.first, link.peer()) {
            _ if self.index == 0 => true,
            (None, _) => link.ifindex == self.index,
            (Some(first), Some(Peer::Here(name))) => *first == name,
            (Some(_), Some(Peer::Elsewhere { ifindex, .. })) => ifindex == self.index,
            (Some(_), None) => false,
        }
    }
}

impl Session {
    /// Whether this run made the namespace.
    pub(super) fn is_made(&self, netns: &Where) -> bool {
        matches!(netns, Where::Named(name) if self.made.borrow().contains_key(name))
    }

    /// The number of the record that made what an op deletes; `None` when it deletes nothing, or what somebody else made.
    pub(super) fn maker_of(&self, op: &Op) -> Option<usize> {
        match op.fact()? {
            Fact::Netns(Netns { name, there: false }) => {
                let made = *self.made.borrow().get(name)?;
                let now = path_of(&Where::Named(name.clone())).as_deref().and_then(NetnsStamp::at_mount)?;
                let is_maker = |record: &Record| {
                    let made = matches!(record.op.fact(), Some(Fact::Netns(one)) if one.there && one.name == *name);
                    made && record.succeeded()
                };
                (made.same(&now) != Some(false)).then(|| self.log.borrow().iter().rposition(is_maker)).flatten()
            }
            Fact::Link(link) if !link.there => {
                let netns = &op.command.netns;
                let end = self.made_links.borrow().end(netns, &link.name).cloned()?;
                let is_it = end.index == 0 || self.link_now(netns, &link.name).is_some_and(|link| end.is(&link));
                is_it.then_some(end.record)
            }
            _ => None,
        }
    }

    /// What is known of an op after it ran: what it made.
    pub(super) fn learn(&self, number: usize, op: &Op, ok: bool, identity: Option<Identity>) -> Option<Identity> {
        if !ok {
            return None;
        }
        let netns = &op.command.netns;
        match op.fact()? {
            Fact::Netns(Netns { name, there: true }) => {
                let made = path_of(&Where::Named(name.clone())).as_deref().and_then(NetnsStamp::at_mount)?;
                self.made.borrow_mut().insert(name.clone(), made);
                return Some(Identity::Netns(made));
            }
            Fact::Netns(Netns { name, there: false }) => {
                self.made_links.borrow_mut().remove_netns(&Where::Named(name.clone()));
            }
            Fact::Link(link) if link.there => {
                let index = if let Some(Identity::Link(index)) = identity { index } else { 0 };
                self.made_links.borrow_mut().insert(number, index, netns, &link.name, link.peer.as_ref());
            }
            Fact::Link(link) => self.made_links.borrow_mut().remove(netns, &link.name),
            Fact::Settings(settings) => {
                if let Some(new) = settings.new_name() {
                    self.made_links.borrow_mut().rename(netns, &settings.link, new);
                }
            }
            Fact::Moved(one) => {
                let index = self.link_now(&one.to, &one.link).map(|link| link.ifindex);
                self.made_links.borrow_mut().moved(one, index);
                return index.filter(|_| identity.is_some()).map(Identity::Link);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;

    #[test]
    fn both_ends_of_a_link_are_the_runs_own_wherever_they_go() {
        let red = Where::Named("red".into());
        let mut links = Links::default();
        links.insert(3, 7, &Where::Host, "a", Some(&(red.clone(), "b".into())));
        links.insert(4, 8, &Where::Host, "br0", None);
        assert!(links.has(&Where::Host, "a") && links.has(&red, "b") && !links.has(&Where::Host, "b"));
        links.rename(&Where::Host, "a", "c");
        assert!(links.has(&Where::Host, "c") && !links.has(&Where::Host, "a"));
        links.remove(&red, "b");
        assert!(!links.has(&Where::Host, "c"), "one end takes the other");
        assert!(links.has(&Where::Host, "br0"));
        links.insert(5, 9, &Where::Host, "d", Some(&(red.clone(), "e".into())));
        let blue = Where::Named("blue".into());
        links.moved(&Moved { link: "d".into(), from: Where::Host, to: blue.clone() }, Some(3));
        assert!(links.has(&blue, "d") && !links.has(&Where::Host, "d"));
        assert_eq!(
            links.end(&red, "e").map(|end| end.index),
            Some(3),
            "the other end knows it by the index that it has now"
        );
        links.moved(&Moved { link: "d".into(), from: blue.clone(), to: Where::Host }, None);
        links.moved(&Moved { link: "theirs".into(), from: Where::Host, to: blue.clone() }, Some(8));
        links.rename(&blue, "theirs", "eth0");
        assert!(links.has_guest(&blue, "eth0") && !links.has(&blue, "eth0") && !links.has_guest(&blue, "theirs"));
        links.undone(&op::link::rename(&blue, "theirs", "eth0"));
        assert!(links.has_guest(&blue, "theirs") && !links.has_guest(&blue, "eth0"));
        links.undone(&op::link::moved(&Where::Host, "theirs", &blue));
        assert!(links.guests.is_empty(), "at home it is no guest");
        for goes in [
            |links: &mut Links, at: &Where| links.remove(at, "theirs"),
            |links: &mut Links, at: &Where| links.remove_netns(at),
        ] {
            links.moved(&Moved { link: "theirs".into(), from: Where::Host, to: blue.clone() }, None);
            assert!(links.guest_of(&blue).is_some());
            goes(&mut links, &blue);
            assert!(links.guest_of(&blue).is_none(), "what is gone holds no namespace");
        }
        links.remove_netns(&red);
        assert!(!links.has(&Where::Host, "d") && links.has(&Where::Host, "br0"));
    }
}
