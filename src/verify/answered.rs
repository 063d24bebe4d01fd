//! What more is to be so of an answer than that it came: how soon, and for how large a packet.

use std::net::IpAddr;
use std::time::Duration;

use super::{Aim, Finding, Manner, Outcome, Session};
use crate::error::{Error, Kind, Result};
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{Proto, Target};

/// As many packets are timed at most. What is slow at first, while neighbours are asked for, is not what the way takes.
pub(crate) const TIMED: usize = 5;
/// The bytes of the headers of a ping: IP and ICMP.
const HEADERS: (u32, u32) = (20 + 8, 40 + 8);
/// What an MTU may be: the least of IPv4 (RFC 791), the longest packet of either family.
pub(crate) const MTUS: std::ops::RangeInclusive<i64> = 68..=65_535;

/// What a packet of some size showed.
#[derive(Clone, Debug)]
pub enum Fits {
    /// It was answered.
    Yes,
    /// It was not.
    No {
        /// What was found of it.
        found: Finding,
        /// How it was sent.
        manner: Manner,
        /// Whether a small one was tried, and answered. Where somebody says that the packet is too big, none is.
        small: bool,
    },
    /// No ping of any size is answered, so size cannot be told.
    Unknown(Finding),
}

impl Session {
    /// Round trips of further packets, up to [`TIMED`] with the one that was answered already; until one takes no longer than `limit`.
    ///
    /// # Errors
    ///
    /// When the probe cannot be made.
    pub fn timed(&self, from: &Where, of: &Finding, manner: &Manner, limit: Duration) -> Result<Vec<Duration>> {
        let mut times: Vec<Duration> = of.rtt.into_iter().collect();
        // Who has just left a port may not use it again at once.
        let sport = manner.sport.filter(|_| of.target.proto != Proto::Tcp);
        let manner = Manner { sport, port: None, ..manner.clone() };
        let patience = limit.max(scaled(super::REACH_TIMEOUT));
        while times.len() < TIMED && !times.iter().any(|time| *time <= limit) {
            let finding = self.reach(from, &Aim::Target(of.target.clone()), &manner, patience)?;
            match finding.rtt {
                Some(rtt) => times.push(rtt),
                None => break,
            }
        }
        Ok(times)
    }

    /// Whether a packet of `mtu` bytes, its IP header among them, arrives without being fragmented and is answered: a ping, whatever the target was.
    ///
    /// # Errors
    ///
    /// When the probe cannot be made.
    pub fn fits(&self, from: &Where, of: &Target, manner: &Manner, mtu: u32, timeout: Duration) -> Result<Fits> {
        let target = Target { proto: Proto::Icmp, port: 0, ..of.clone() };
        let headers = if matches!(of.addr, IpAddr::V4(_)) { HEADERS.0 } else { HEADERS.1 };
        let size = mtu
            .checked_sub(headers)
            .filter(|size| *size >= SMALL)
            .ok_or_else(|| Error::new(Kind::InvalidArgument, format!("no ping has only {mtu} bytes")))?;
        let sized = |size| Manner { size: Some(size), port: None, udp: false, sport: None, ..manner.clone() };
        let reach = |manner: &Manner| self.reach(from, &Aim::Target(target.clone()), manner, timeout);
        let large = sized(size);
        let found = reach(&large)?;
        if found.outcome == Outcome::Reached {
            return Ok(Fits::Yes);
        }
        let small = found.word != "too-big";
        if small && reach(&sized(SMALL))?.outcome != Outcome::Reached {
            return Ok(Fits::Unknown(found));
        }
        Ok(Fits::No { found, manner: large, small })
    }
}

/// The payload of the smallest ping: its token.
const SMALL: u32 = 16;
