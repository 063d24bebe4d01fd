//! Who reaches whom: every pair of some namespaces at once, and what was expected of each.

use std::net::IpAddr;
use std::time::Duration;

use super::{DAD, Outcome, WITNESS, shared};
use crate::error::{Error, Kind, Result};
use crate::exec::netns::NetnsFile;
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{PingOptions, Target, Token, Verdict, Witness, ping_many, wait_dad};
use crate::session::Session;
use crate::session::mutant::Look;

/// How long each probe is waited for; what stays unanswered is asked twice more.
pub const TIMEOUT: Duration = Duration::from_millis(500);
/// How many namespaces probe at the same time.
const AT_ONCE: usize = 32;

/// What one namespace found about another.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The three-valued answer.
    pub outcome: Outcome,
    /// The word for it.
    pub word: &'static str,
    /// What was seen, as a sentence.
    pub detail: String,
    /// What was expected; `None` when nobody said.
    pub expected: Option<bool>,
    /// The address that decided; `None` where there was none to ask.
    pub addr: Option<IpAddr>,
}

impl Cell {
    /// Whether it is as expected; without an expectation, whether it was reached.
    #[must_use]
    pub fn ok(&self) -> bool {
        match self.expected {
            Some(false) => self.outcome == Outcome::NotReached,
            Some(true) | None => self.outcome == Outcome::Reached,
        }
    }
}

/// Every pair; row by row the one that probes, column by column the one that is probed.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The namespaces.
    pub nodes: Vec<Where>,
    cells: Vec<Vec<Option<Cell>>>,
}

impl Matrix {
    /// What `from` found about `to`, by their places in `nodes`; `None` for the same one twice.
    #[must_use]
    pub fn cell(&self, from: usize, to: usize) -> Option<&Cell> {
        self.cells.get(from)?.get(to)?.as_ref()
    }

    /// Says what is expected of each pair.
    pub fn set_expected(&mut self, expected: impl Fn(usize, usize) -> Option<bool>) {
        for (from, row) in self.cells.iter_mut().enumerate() {
            for (to, cell) in row.iter_mut().enumerate() {
                if let Some(cell) = cell {
                    cell.expected = expected(from, to);
                }
            }
        }
    }

    /// Asks for proof where silence was expected and nobody could say what it means: `forbids` tells whether something on the way from the
    /// first to the address forbids it.
    ///
    /// # Errors
    ///
    /// What `forbids` fails with.
    pub fn prove(&mut self, mut forbids: impl FnMut(&Where, IpAddr) -> Result<bool>) -> Result<()> {
        for (from, row) in self.nodes.iter().zip(&mut self.cells) {
            for cell in row.iter_mut().flatten() {
                if cell.expected == Some(false)
                    && cell.outcome == Outcome::Inconclusive
                    && let Some(addr) = cell.addr
                    && forbids(from, addr)?
                {
                    cell.outcome = Outcome::NotReached;
                    cell.detail = format!("{}, and something on the way forbids it", cell.detail);
                }
            }
        }
        Ok(())
    }

    /// Whether every pair is as expected.
    #[must_use]
    pub fn all_ok(&self) -> bool {
        self.cells.iter().flatten().flatten().all(Cell::ok)
    }

    /// The pairs that are not as expected.
    pub fn differences(&self) -> impl Iterator<Item = (&Where, &Where, &Cell)> {
        let pairs = self.cells.iter().enumerate().flat_map(|(from, row)| {
            row.iter().enumerate().filter_map(move |(to, cell)| Some((from, to, cell.as_ref()?)))
        });
        pairs.filter(|(_, _, cell)| !cell.ok()).map(|(from, to, cell)| (&self.nodes[from], &self.nodes[to], cell))
    }
}

/// A table that shows what was found, marks what is not as expected, and says below what was wrong with it.
impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.nodes.iter().map(Where::to_string).collect();
        let word = |cell: Option<&Cell>| -> String {
            let Some(cell) = cell else { return "-".into() };
            let found = match cell.outcome {
                Outcome::Reached => "yes",
                Outcome::NotReached => "no",
                Outcome::Inconclusive => "?",
            };
            if cell.ok() { found.into() } else { format!("{found} !") }
        };
        let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("from \\ to".len());
        write!(f, "{:<first$}", "from \\ to")?;
        for name in &names {
            write!(f, "  {name:<5}")?;
        }
        for (from, name) in names.iter().enumerate() {
            write!(f, "\n{name:<first$}")?;
            for (to, other) in names.iter().enumerate() {
                let width = other.chars().count().max(5);
                write!(f, "  {:<width$}", word(self.cell(from, to)))?;
            }
        }
        for (from, to, cell) in self.differences() {
            let expected = if cell.expected == Some(false) { "not to reach" } else { "to reach" };
            let found = if cell.outcome == Outcome::Inconclusive { "inconclusive: " } else { "" };
            write!(f, "\n! `{from}` was expected {expected} `{to}`: {found}{}", cell.detail)?;
        }
        Ok(())
    }
}

/// What one namespace is to ask, and what it heard.
struct Row {
    /// Index of the asked one, and its address.
    asks: Vec<(usize, IpAddr)>,
    token: Token,
    verdicts: Vec<Verdict>,
}

impl Session {
    /// Pings every pair of `nodes` at once, over every family that both sides have. Only the right one's answer counts.
    ///
    /// # Errors
    ///
    /// When a namespace is named twice or cannot be entered, or a probe cannot be made.
    pub fn reachability(&self, nodes: &[Where], timeout: Duration) -> Result<Matrix> {
        self.about_to_look(Look::Expectation)?;
        if let Some(twice) = nodes.iter().enumerate().find(|(n, node)| nodes[..*n].contains(node)) {
            return Err(Error::new(Kind::InvalidArgument, format!("`{}` is in the list twice", twice.1)));
        }
        // Of no pair everything can be said.
        if nodes.len() < 2 {
            let message = format!(
                "a table of {} proves nothing",
                if nodes.is_empty() { "no namespace" } else { "one namespace" }
            );
            return Err(Error::new(Kind::InvalidArgument, message).hint("reachability([netns(\"a\"), netns(\"b\")])"));
        }
        let mut nets = Vec::with_capacity(nodes.len());
        let mut files = Vec::with_capacity(nodes.len());
        for node in nodes {
            self.settle(node)?;
            nets.push(self.usable_nets(node)?);
            files.push(self.exec().netns(node)?);
        }
        let mut rows = Vec::with_capacity(nodes.len());
        for from in 0..nodes.len() {
            let targets = (0..nodes.len()).filter(|to| *to != from);
            let asks = targets.flat_map(|to| shared(&nets[from], &nets[to]).into_iter().map(move |addr| (to, addr)));
            rows.push(Row { asks: asks.collect(), token: Token::random()?, verdicts: Vec::new() });
        }
        let interrupt = self.exec().interrupt();
        let stop = || interrupt.is_set();
        if rows.iter().flat_map(|row| &row.asks).any(|(_, addr)| addr.is_ipv6()) {
            for file in &files {
                file.within(|| wait_dad(scaled(DAD), &stop))??;
            }
        }
        let mut witnesses = Vec::with_capacity(nodes.len());
        for chunk in files.chunks(AT_ONCE) {
            let opened: Vec<Result<Witness>> = std::thread::scope(|scope| {
                let threads: Vec<_> = chunk.iter().map(|file| scope.spawn(|| file.within(Witness::open)?)).collect();
                threads.into_iter().map(joined).collect()
            });
            witnesses.extend(opened);
        }
        let mut witnesses = witnesses.into_iter().collect::<Result<Vec<_>>>()?;
        for (rows, files) in rows.chunks_mut(AT_ONCE).zip(files.chunks(AT_ONCE)) {
            let one = |row: &mut Row, file: &NetnsFile| -> Result<()> {
                let addrs: Vec<IpAddr> = row.asks.iter().map(|(_, addr)| *addr).collect();
                let options = PingOptions { timeout, token: Some(row.token), ..PingOptions::default() };
                if !addrs.is_empty() {
                    row.verdicts = file.within(|| ping_many(&addrs, &options, &stop))??;
                    if row.verdicts.iter().any(Verdict::is_older) {
                        // Of an earlier search for a neighbour: it says nothing of now.
                        row.verdicts = file.within(|| ping_many(&addrs, &options, &stop))??;
                    }
                }
                Ok(())
            };
            let one = &one;
            std::thread::scope(|scope| {
                let pairs = rows.iter_mut().zip(files);
                let threads: Vec<_> = pairs.map(|(row, file)| scope.spawn(move || one(row, file))).collect();
                threads.into_iter().try_for_each(joined)
            })?;
        }
        interrupt.check()?;
        self.judge(nodes, &rows, &mut witnesses)
    }

    fn judge(&self, nodes: &[Where], rows: &[Row], witnesses: &mut [Witness]) -> Result<Matrix> {
        let blank = |from: usize, to: usize| {
            (from != to).then(|| Cell {
                outcome: Outcome::NotReached,
                word: "no-address",
                detail: format!("`{}` has no address that could be reached", nodes[to]),
                expected: None,
                addr: None,
            })
        };
        let mut cells: Vec<Vec<Option<Cell>>> =
            (0..nodes.len()).map(|from| (0..nodes.len()).map(|to| blank(from, to)).collect()).collect();
        // The addresses that answered the right way to anybody: silence to others is then proof.
        let mut answering: Vec<(usize, IpAddr)> = Vec::new();
        let mut silent = Vec::new();
        for (from, row) in rows.iter().enumerate() {
            for (n, ((to, addr), verdict)) in (0..).zip(row.asks.iter().zip(&row.verdicts)) {
                let (outcome, word) = match verdict {
                    Verdict::Reached(_) if witnesses[*to].saw(row.token.nth(n), scaled(WITNESS))? => {
                        answering.push((*to, *addr));
                        (Outcome::Reached, verdict.word())
                    }
                    Verdict::Reached(_) => (Outcome::NotReached, "wrong-answerer"),
                    Verdict::NotReached(_) => (Outcome::NotReached, verdict.word()),
                    Verdict::Inconclusive(_) => {
                        silent.push((from, *to, *addr));
                        (Outcome::Inconclusive, verdict.word())
                    }
                };
                let detail = match word {
                    "wrong-answerer" => format!("somebody answers for {addr}, but not `{}`", nodes[*to]),
                    _ => format!("{addr}: {}", verdict.detail()),
                };
                let cell = &mut cells[from][*to];
                // Of several families the one that does not work decides.
                if cell.as_ref().is_none_or(|cell| cell.word == "no-address" || cell.outcome == Outcome::Reached) {
                    *cell = Some(Cell { outcome, word, detail, expected: None, addr: Some(*addr) });
                }
            }
        }
        for (from, to, addr) in silent {
            let other = match answering.iter().find(|known| **known == (to, addr)) {
                Some(_) => Some("another in the list".to_owned()),
                None => {
                    self.control(&nodes[from], &Target::icmp(addr), scaled(TIMEOUT))?.map(|other| format!("`{other}`"))
                }
            };
            if let (Some(other), Some(cell)) = (other, &mut cells[from][to])
                && cell.outcome == Outcome::Inconclusive
            {
                answering.push((to, addr));
                cell.outcome = Outcome::NotReached;
                cell.detail = format!("{}, while {other} is answered", cell.detail);
            }
        }
        Ok(Matrix { nodes: nodes.to_vec(), cells })
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker thread panicked")))
}
