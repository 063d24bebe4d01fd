//! A packet on its way through chains of rules, when not every match can be judged: the ways it may leave are kept apart.
//!
//! iptables and nft agree in this: a rule surely matches, surely does not, or may. Where it may, the packet both leaves and goes on.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::packet::{Asked, Ct, Nat, Packet, RuleRef, Spot, Step, Tri};

/// How deep chains may call each other: nft's `NFT_JUMP_STACK_SIZE` is 16, iptables takes what memory there is.
pub(super) const DEPTH: usize = 64;

/// How many rules are looked at before a packet's fate is given up: chains that call chains may double the work at each step.
const FUEL: u32 = 2_000_000;

/// A packet within the rules, and what they have done to it.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The packet as the next rule sees it.
    pub packet: Packet,
    /// Its translation.
    pub nat: Option<(Nat, RuleRef)>,
    /// Whether that is only one of several translations, one of them perhaps none.
    pub guess: bool,
    /// The rule that accepted it.
    pub accepted: Option<RuleRef>,
}

impl State {
    /// A packet that no rule has seen.
    #[must_use]
    pub(super) fn new(packet: &Packet) -> Self {
        Self { packet: packet.clone(), nat: None, guess: false, accepted: None }
    }

    /// The packet came here by one of two ways: what differs between them is not known.
    fn or(self, other: Self) -> Self {
        let mut packet = other.packet;
        let first = self.packet;
        packet.mark = packet.mark.filter(|_| packet.mark == first.mark);
        packet.tos = packet.tos.filter(|_| packet.tos == first.tos);
        packet.track.mark = packet.track.mark.filter(|_| packet.track.mark == first.track.mark);
        if packet.ttl != first.ttl {
            packet.ttl = None;
        }
        let translated = |nat: &Option<(Nat, RuleRef)>| nat.as_ref().map(|(nat, _)| nat.clone());
        let guess = self.guess || other.guess || translated(&self.nat) != translated(&other.nat);
        if packet.ct != first.ct {
            packet.ct = Ct::Unknown;
        }
        packet.past.untracked = packet.past.untracked.or(first.past.untracked);
        packet.past.proxied = packet.past.proxied.or(first.past.proxied);
        packet.past.zoned = packet.past.zoned.or(first.past.zoned);
        packet.track.zone = packet.track.zone.filter(|_| packet.track.zone == first.track.zone);
        let accepted = self.accepted.filter(|rule| other.accepted.as_ref() == Some(rule));
        Self { packet, nat: other.nat.or(self.nat), guess, accepted }
    }

    /// A rule tells it not to be tracked: its state is `UNTRACKED` from there on. What is tracked already stays so (`xt_CT.c`, `nft_ct.c`).
    /// So does what was put into a zone, which has the template of a connection.
    pub(super) fn untrack(&mut self, rule: RuleRef) {
        if tracked(&self.packet) != Tri::Yes && self.packet.past.zoned.is_none() {
            self.packet.ct = Ct::Untracked;
            self.packet.past.untracked = Some(Arc::new(rule));
        }
    }

    /// A rule puts it into a zone of connection tracking. What is tracked, or in a zone, stays so; what is not to be tracked is put into one by
    /// nft (`nft_ct_set_zone_eval`), not by iptables (`xt_ct_target`).
    pub(super) fn zone(&mut self, zone: Option<u16>, rule: RuleRef) {
        let packet = &mut self.packet;
        let kept = packet.ct == Ct::Untracked && rule.tool != "nft";
        if tracked(packet) == Tri::Yes || packet.past.zoned.is_some() || kept {
            return;
        }
        if packet.ct == Ct::Untracked {
            (packet.ct, packet.past.untracked) = (Ct::Invalid, None);
        }
        packet.track.zone = zone;
        packet.past.zoned = Some(Arc::new(rule));
    }
}

fn join(first: Option<State>, second: Option<State>) -> Option<State> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.or(second)),
        (one, other) => one.or(other),
    }
}

/// The ways out of a chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    accepted: Option<State>,
    returned: Option<State>,
    drops: Vec<RuleRef>,
}

/// What a base chain does to a packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    /// It is dropped, and if by no suspect then by this.
    pub drop: Option<RuleRef>,
    /// Rules that may drop it.
    pub suspects: Vec<RuleRef>,
    /// What becomes of it if it passes.
    pub after: Option<State>,
    /// The named sets that were asked on the way.
    pub asked: Vec<Asked>,
    /// What the packet would pass without: why it is dropped, beyond the rule that does it.
    pub cause: Vec<Cause>,
}

/// What a packet would pass without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// What a named set holds, or lacks.
    Set(Asked),
    /// Its mark, which a rule gave it.
    Mark(RuleRef),
    /// That it is not tracked, as this rule said: with a connection it would pass.
    Untracked(RuleRef),
    /// Its source, which was this before it was translated.
    Source(std::net::IpAddr),
    /// The zone of connection tracking: the request was tracked in another one.
    Zone(super::walk::Zoned),
    /// Its time to live, which was this when it was sent: routers on the way took from it.
    Hops(u8),
    /// Nothing: a rule of another base chain accepts it, which does not help.
    Elsewhere(RuleRef),
}

impl Ends {
    /// What the chain does, with its policy when that drops.
    #[must_use]
    pub(super) fn effect(mut self, policy: Option<RuleRef>) -> Effect {
        match (self.returned.take(), policy) {
            (Some(_), Some(policy)) => self.drops.push(policy),
            (returned, _) => self.accepted = join(self.accepted.take(), returned),
        }
        // Rules are gone through until nothing is left, so the last of the drops is the one that is sure.
        let drop = if self.accepted.is_none() { self.drops.pop() } else { None };
        Effect { drop, suspects: self.drops, after: self.accepted, ..Effect::default() }
    }
}

/// A chain as it is gone through.
#[derive(Debug)]
pub(super) struct Trail {
    /// The packet, while it may still be here.
    pub here: Option<State>,
    ends: Ends,
}

impl Trail {
    /// The packet comes in.
    #[must_use]
    pub(super) fn new(state: State) -> Self {
        Self { here: Some(state), ends: Ends::default() }
    }

    /// It leaves, or a copy does when it only may.
    fn leave(&mut self, when: Tri) -> Option<State> {
        match when {
            Tri::Yes => self.here.take(),
            Tri::Maybe => self.here.clone(),
            Tri::No => None,
        }
    }

    /// It is accepted by this base chain.
    pub(super) fn accept(&mut self, when: Tri) {
        let left = self.leave(when);
        self.ends.accepted = join(self.ends.accepted.take(), left);
    }

    /// It is accepted by a rule of this base chain.
    pub(super) fn accept_by(&mut self, when: Tri, rule: RuleRef) {
        let left = self.leave(when).map(|state| State { accepted: Some(rule), ..state });
        self.ends.accepted = join(self.ends.accepted.take(), left);
    }

    /// It is dropped or refused.
    pub(super) fn drop(&mut self, when: Tri, rule: RuleRef) {
        if self.leave(when).is_some() {
            self.ends.drops.push(rule);
        }
    }

    /// It goes back to where the chain was called.
    pub(super) fn ret(&mut self, when: Tri) {
        let left = self.leave(when);
        self.ends.returned = join(self.ends.returned.take(), left);
    }

    /// It is changed.
    pub(super) fn change(&mut self, when: Tri, change: impl FnOnce(&mut State)) {
        let left = self.leave(when);
        if let Some(mut state) = left {
            change(&mut state);
            self.here = join(self.here.take(), Some(state));
        }
    }

    /// It is translated, and with that accepted.
    pub(super) fn translate(&mut self, when: Tri, nat: Nat, rule: RuleRef) {
        let Some(mut state) = self.leave(when) else { return };
        (state.nat, state.guess) = (Some((nat, rule)), false);
        self.ends.accepted = join(self.ends.accepted.take(), Some(state));
    }

    /// It goes through another chain, and comes back unless that was a `goto`.
    pub(super) fn call(&mut self, when: Tri, goto: bool, chain: impl FnOnce(State) -> Ends) {
        let Some(state) = self.leave(when) else { return };
        let ends = chain(state);
        self.ends.accepted = join(self.ends.accepted.take(), ends.accepted);
        self.ends.drops.extend(ends.drops);
        if goto {
            self.ends.returned = join(self.ends.returned.take(), ends.returned);
        } else {
            self.here = join(self.here.take(), ends.returned);
        }
    }

    /// Something happens that nobody can judge: it may be accepted, dropped, or go on.
    pub(super) fn anything(&mut self, rule: RuleRef) {
        self.accept(Tri::Maybe);
        self.drop(Tri::Maybe, rule);
    }

    /// The end of the chain.
    #[must_use]
    pub(super) fn end(mut self) -> Ends {
        self.ret(Tri::Yes);
        self.ends
    }
}

/// One base chain's run: where it looks, and how much longer.
pub(super) struct Run<'a> {
    /// Where.
    pub spot: &'a Spot<'a>,
    /// The base chain's name.
    pub base: &'a str,
    fuel: Cell<u32>,
    /// A set whose answer is turned round, to see whether it decides.
    assume: Option<&'a Asked>,
    /// A match that is left out, to see whether it decides: the handle of its rule, and its place in that.
    less: Option<(u64, usize)>,
    /// The rules that led here.
    calls: RefCell<Vec<Step>>,
    /// What of a map the verdict comes from that is being looked at.
    element: RefCell<Option<String>>,
    asked: RefCell<Vec<Asked>>,
}

impl<'a> Run<'a> {
    /// A run that has looked at nothing.
    #[must_use]
    pub(super) fn new(spot: &'a Spot<'a>, base: &'a str, assume: Option<&'a Asked>) -> Self {
        Self {
            spot,
            base,
            fuel: Cell::new(FUEL),
            assume,
            less: None,
            calls: RefCell::default(),
            element: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// The same without one match of a rule.
    #[must_use]
    pub(super) fn less(self, handle: u64, place: usize) -> Self {
        Self { less: Some((handle, place)), ..self }
    }

    /// Whether a match is left out.
    #[must_use]
    pub(super) fn leaves_out(&self, handle: u64, place: usize) -> bool {
        self.less == Some((handle, place))
    }

    /// The rules that led here, and what of a named set or map the verdict that is being looked at comes from.
    #[must_use]
    pub(super) fn way(&self) -> (Vec<Step>, Option<String>) {
        (self.calls.borrow().clone(), self.element.borrow().clone())
    }

    /// Goes through another chain, to which this rule leads.
    pub(super) fn within<T>(&self, text: String, delete: Vec<String>, chain: impl FnOnce() -> T) -> T {
        let element = self.element.take();
        self.calls.borrow_mut().push(Step { text, delete, element });
        let value = chain();
        let step = self.calls.borrow_mut().pop();
        self.element.replace(step.and_then(|step| step.element));
        value
    }

    /// Says from which element of a map, or set, the next verdict comes.
    pub(super) fn comes_from(&self, element: Option<String>) {
        self.element.replace(element);
    }

    /// Notes what a named set said. Returns what is to be taken for its answer.
    pub(super) fn ask(&self, asked: Asked) -> bool {
        let same =
            |other: &Asked| (&other.tool, &other.set, &other.element) == (&asked.tool, &asked.set, &asked.element);
        let held = if self.assume.is_some_and(same) { !asked.held } else { asked.held };
        let mut all = self.asked.borrow_mut();
        if !all.contains(&asked) {
            all.push(asked);
        }
        held
    }

    /// The named sets that were asked.
    #[must_use]
    pub(super) fn all_asked(self) -> Vec<Asked> {
        self.asked.into_inner()
    }

    /// Whether another rule may be looked at.
    #[must_use]
    pub(super) fn step(&self) -> bool {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(1));
        left > 0
    }
}

/// Yes if any is; no if none may be.
#[must_use]
pub(super) fn any(all: impl IntoIterator<Item = Tri>) -> Tri {
    all.into_iter().fold(Tri::No, Tri::or)
}

/// A number as the tools print it: decimal or with `0x`.
#[must_use]
pub(super) fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}

/// Whether a packet is tracked as a connection: one that is not has neither state, mark, direction nor addresses of a connection.
#[must_use]
pub(super) fn tracked(packet: &Packet) -> Tri {
    match packet.ct {
        Ct::New | Ct::Established | Ct::Related => Tri::Yes,
        Ct::Invalid | Ct::Untracked => Tri::No,
        Ct::Unknown => Tri::Maybe,
    }
}
