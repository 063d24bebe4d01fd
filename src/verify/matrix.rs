//! Who reaches whom, or which of its services: every pair of some namespaces at once, and what was expected of each.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Outcome, WITNESS, shared};
use crate::error::{Error, Kind, Result};
use crate::exec::netns::NetnsFile;
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{ASKED, ConnectOptions, PingOptions, Proto, Target, Token, Verdict, Witness, connect, ping_many};
use crate::session::Session;
use crate::session::mutant::Look;
use crate::text;

/// How long each probe is waited for; what stays unanswered is asked twice more.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);
/// How many namespaces probe at the same time.
const AT_ONCE: usize = 32;
/// How many ports are tried at the same time.
const PORTS_AT_ONCE: usize = 256;

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
    /// What decided; `None` where there was nothing to ask.
    pub target: Option<Target>,
    /// How long the answer took, the longest of several families; `None` without one.
    pub rtt: Option<Duration>,
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

/// A port that is asked for: `tcp/443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// TCP or UDP.
    pub proto: Proto,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.proto, self.port)
    }
}

/// What is probed of one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The namespace, by its place in the list.
    pub node: usize,
    /// The port; `None`: it is pinged.
    pub service: Option<Service>,
}

/// Every pair; row by row the one that probes, column by column what is probed.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The namespaces.
    pub nodes: Vec<Where>,
    /// What is probed of them.
    pub columns: Vec<Column>,
    cells: Vec<Vec<Option<Cell>>>,
}

/// What one namespace found about a column: the one that probed, the one that was probed, the column's name, what was found.
pub(crate) type Pair<'a> = (&'a Where, &'a Where, String, &'a Cell);

impl Matrix {
    /// What `from` found about a column, by their places; `None` for the same namespace twice.
    #[must_use]
    pub fn cell(&self, from: usize, column: usize) -> Option<&Cell> {
        self.cells.get(from)?.get(column)?.as_ref()
    }

    /// The name of a column: `web`, `web tcp/443`.
    #[must_use]
    pub fn name(&self, column: &Column) -> String {
        let node = self.nodes.get(column.node).map(Where::to_string).unwrap_or_default();
        column.service.map_or(node.clone(), |service| format!("{node} {service}"))
    }

    /// Says what is expected of each pair of a namespace and a column.
    pub fn set_expected(&mut self, expected: impl Fn(usize, &Column) -> Option<bool>) {
        for (from, row) in self.cells.iter_mut().enumerate() {
            for (column, cell) in self.columns.iter().zip(row) {
                if let Some(cell) = cell {
                    cell.expected = expected(from, column);
                }
            }
        }
    }

    /// Every pair, row by row.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        self.nodes.iter().zip(&self.cells).flat_map(move |(from, row)| {
            self.columns.iter().zip(row).filter_map(move |(column, cell)| {
                Some((from, self.nodes.get(column.node)?, self.name(column), cell.as_ref()?))
            })
        })
    }

    /// The same as a table of Markdown, with how long each answer took.
    #[must_use]
    pub fn markdown(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| text::cell(&self.name(column))).collect();
        let mut out = format!("| from \\ to | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for (from, row) in self.nodes.iter().zip(&self.cells) {
            let cells: Vec<String> = row.iter().map(|cell| cell.as_ref().map_or("–".to_owned(), marked)).collect();
            let _ = writeln!(out, "| **{}** | {} |", text::cell(&from.to_string()), cells.join(" | "));
        }
        out
    }

    /// The same as a picture: green where it is reached, grey where it is not, and what is not as expected with a red frame. The time that an answer
    /// took stands in its field.
    #[must_use]
    pub fn svg(&self) -> String {
        const SIDE: usize = 64;
        const LEFT: usize = 160;
        const TOP: usize = 120;
        let (width, height) = (LEFT + SIDE * self.columns.len() + 20, TOP + 32 * self.nodes.len() + 20);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>who reaches whom</title>\n"
        );
        for (at, column) in self.columns.iter().enumerate() {
            let (x, name) = (LEFT + SIDE * at + SIDE / 2, text::markup(&self.name(column)));
            let y = TOP - 8;
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-35 {x} {y})\">{name}</text>");
        }
        for (row, from) in self.nodes.iter().enumerate() {
            let y = TOP + 32 * row;
            let name = text::markup(&from.to_string());
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 8, y + 20);
            for (at, column) in self.columns.iter().enumerate() {
                let Some(cell) = self.cell(row, at) else { continue };
                let x = LEFT + SIDE * at;
                let fill = match cell.outcome {
                    Outcome::Reached => "#8fd19e",
                    Outcome::NotReached => "#d5d8dc",
                    Outcome::Inconclusive => "#f7dc6f",
                };
                let frame = if cell.ok() { "#ffffff" } else { "#c0392b" };
                let title = text::markup(&format!("{from} to {}: {}", self.name(column), cell.detail));
                let _ = writeln!(
                    out,
                    "<g><title>{title}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"28\" fill=\"{fill}\" stroke=\"{frame}\" \
                     stroke-width=\"3\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                    x + 2,
                    y + 2,
                    SIDE - 4,
                    x + SIDE / 2,
                    y + 20,
                    cell.rtt.map_or(found(cell).to_owned(), millis),
                );
            }
        }
        out + "</svg>\n"
    }

    /// Asks for proof where silence was expected and nobody could say what it means: `forbids` tells whether something on the way from the
    /// first to the address forbids it.
    ///
    /// # Errors
    ///
    /// What `forbids` fails with.
    pub fn prove(&mut self, mut forbids: impl FnMut(&Where, &Target) -> Result<bool>) -> Result<()> {
        for (from, row) in self.nodes.iter().zip(&mut self.cells) {
            for cell in row.iter_mut().flatten() {
                if cell.expected == Some(false)
                    && cell.outcome == Outcome::Inconclusive
                    && let Some(target) = &cell.target
                    && forbids(from, target)?
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
    pub fn differences(&self) -> impl Iterator<Item = Pair<'_>> {
        self.pairs().filter(|(_, _, _, cell)| !cell.ok())
    }
}

fn found(cell: &Cell) -> &'static str {
    match cell.outcome {
        Outcome::Reached => "yes",
        Outcome::NotReached => "no",
        Outcome::Inconclusive => "?",
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// What was found as a cell of Markdown.
fn marked(cell: &Cell) -> String {
    let time = cell.rtt.map(|rtt| format!(" {}", millis(rtt))).unwrap_or_default();
    let wrong = if cell.ok() { "" } else { " ❌" };
    format!("{}{time}{wrong}", found(cell))
}

/// A table that shows what was found, marks what is not as expected, and says below what was wrong with it.
impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.nodes.iter().map(Where::to_string).collect();
        let heads: Vec<String> = self.columns.iter().map(|column| self.name(column)).collect();
        let word = |cell: Option<&Cell>| -> String {
            let Some(cell) = cell else { return "-".into() };
            if cell.ok() { found(cell).into() } else { format!("{} !", found(cell)) }
        };
        let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("from \\ to".len());
        write!(f, "{:<first$}", "from \\ to")?;
        for head in &heads {
            write!(f, "  {head:<5}")?;
        }
        for (from, name) in names.iter().enumerate() {
            write!(f, "\n{name:<first$}")?;
            for (column, head) in heads.iter().enumerate() {
                let width = head.chars().count().max(5);
                write!(f, "  {:<width$}", word(self.cell(from, column)))?;
            }
        }
        for (from, _, to, cell) in self.differences() {
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
    /// Pings every pair of `nodes` at once, or tries the ports of `services`, over every family that both sides have. Of a ping only the right one's
    /// answer counts.
    ///
    /// # Errors
    ///
    /// When a namespace is named twice or cannot be entered, or a probe cannot be made.
    pub fn reachability(&self, nodes: &[Where], services: &[Column], timeout: Duration) -> Result<Matrix> {
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
            // Of routers between them, too.
            self.wait_for_all_dad(&nodes[0])?;
        }
        if !services.is_empty() {
            return self.try_ports(nodes, services, &nets, &files, timeout);
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

    /// Tries each port from each namespace, and from the one that it belongs to: that it answers there is what makes silence elsewhere a proof. All at
    /// once: what stays silent costs one time-out, not one for each.
    fn try_ports(
        &self,
        nodes: &[Where],
        columns: &[Column],
        nets: &[Vec<IpNet>],
        files: &[NetnsFile],
        timeout: Duration,
    ) -> Result<Matrix> {
        let mut asks = Vec::new();
        for from in 0..nodes.len() {
            for (at, column) in columns.iter().enumerate() {
                let Some(service) = column.service else { continue };
                let addrs = match column.node {
                    node if node == from => {
                        let mine = nets[node].iter().map(IpNet::addr);
                        mine.filter(|addr| {
                            (0..nodes.len())
                                .any(|other| other != node && shared(&nets[other], &nets[node]).contains(addr))
                        })
                        .collect()
                    }
                    node => shared(&nets[from], &nets[node]),
                };
                asks.extend(
                    addrs
                        .into_iter()
                        .map(|addr| (from, at, Target { proto: service.proto, addr, port: service.port, zone: None })),
                );
            }
        }
        let interrupt = self.exec().interrupt();
        let options = ConnectOptions { timeout, ..ConnectOptions::default() };
        let one = |(from, _, target): &(usize, usize, Target)| -> Result<Verdict> {
            let stop = || interrupt.is_set();
            let try_it = || Ok(connect(target, &options, &stop)?.into_verdict());
            let verdict = files[*from].within(try_it)??;
            // Of an earlier search for a neighbour: it says nothing of now.
            if verdict.is_older() { files[*from].within(try_it)? } else { Ok(verdict) }
        };
        let all = |which: &[usize]| -> Result<Vec<Verdict>> {
            let mut verdicts = Vec::with_capacity(which.len());
            for chunk in which.chunks(PORTS_AT_ONCE) {
                let heard: Vec<Result<Verdict>> = std::thread::scope(|scope| {
                    let asks = chunk.iter().filter_map(|at| asks.get(*at));
                    let threads: Vec<_> = asks.map(|ask| scope.spawn(|| one(ask))).collect();
                    threads.into_iter().map(joined).collect()
                });
                interrupt.check()?;
                verdicts.extend(heard);
            }
            verdicts.into_iter().collect()
        };
        let mut verdicts = all(&(0..asks.len()).collect::<Vec<_>>())?;
        // TCP sends again after a second only: what stays silent is asked again.
        for _ in 1..ASKED {
            let silent: Vec<usize> =
                (0..asks.len()).filter(|at| matches!(verdicts.get(*at), Some(Verdict::Inconclusive(_)))).collect();
            for (at, verdict) in silent.iter().zip(all(&silent)?) {
                verdicts[*at] = verdict;
            }
        }
        let answering: Vec<(&Target, usize)> = asks
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| verdict.is_reached())
            .map(|((from, _, target), _)| (target, *from))
            .collect();
        let mut cells: Vec<Vec<Option<Cell>>> = (0..nodes.len())
            .map(|from| columns.iter().map(|column| blank(nodes, from, column.node)).collect())
            .collect();
        for ((from, at, target), verdict) in asks.iter().zip(&verdicts) {
            if columns[*at].node == *from {
                continue;
            }
            let (outcome, detail) = match verdict {
                Verdict::Reached(_) => (Outcome::Reached, format!("{target}: {}", verdict.detail())),
                Verdict::NotReached(_) => (Outcome::NotReached, format!("{target}: {}", verdict.detail())),
                Verdict::Inconclusive(_) => match answering.iter().find(|(known, _)| *known == target) {
                    Some((_, other)) => {
                        let other = &nodes[*other];
                        (Outcome::NotReached, format!("{target}: {}, while `{other}` is answered", verdict.detail()))
                    }
                    None => (Outcome::Inconclusive, format!("{target}: {}", verdict.detail())),
                },
            };
            let (word, rtt, target) = (verdict.word(), verdict.rtt(), Some(target.clone()));
            decide(&mut cells[*from][*at], Cell { outcome, word, detail, expected: None, target, rtt });
        }
        Ok(Matrix { nodes: nodes.to_vec(), columns: columns.to_vec(), cells })
    }

    fn judge(&self, nodes: &[Where], rows: &[Row], witnesses: &mut [Witness]) -> Result<Matrix> {
        let mut cells: Vec<Vec<Option<Cell>>> =
            (0..nodes.len()).map(|from| (0..nodes.len()).map(|to| blank(nodes, from, to)).collect()).collect();
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
                let (rtt, target) = (verdict.rtt().filter(|_| outcome == Outcome::Reached), Some(Target::icmp(*addr)));
                decide(&mut cells[from][*to], Cell { outcome, word, detail, expected: None, target, rtt });
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
        let columns = (0..nodes.len()).map(|node| Column { node, service: None }).collect();
        Ok(Matrix { nodes: nodes.to_vec(), columns, cells })
    }
}

/// Takes what was found by one more family: of several the one that does not work decides, and the slowest answer.
fn decide(cell: &mut Option<Cell>, found: Cell) {
    if cell.as_ref().is_none_or(|cell| cell.word == "no-address" || cell.outcome == Outcome::Reached) {
        let before = cell.as_ref().and_then(|cell| cell.rtt);
        let rtt = found.rtt.map(|rtt| before.map_or(rtt, |before| before.max(rtt)));
        *cell = Some(Cell { rtt, ..found });
    }
}

/// What is found where there is nothing to ask; `None` for the same namespace twice.
fn blank(nodes: &[Where], from: usize, to: usize) -> Option<Cell> {
    (from != to).then(|| Cell {
        outcome: Outcome::NotReached,
        word: "no-address",
        detail: format!("`{}` has no address that could be reached", nodes[to]),
        expected: None,
        target: None,
        rtt: None,
    })
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker thread panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Matrix {
        let cell = |outcome, expected, rtt| {
            let (word, detail) = ("timeout", "<silence> | \"x\"".to_owned());
            Some(Cell { outcome, word, detail, expected, target: None, rtt })
        };
        let service = Some(Service { proto: Proto::Tcp, port: 443 });
        let columns = vec![Column { node: 0, service }, Column { node: 1, service }];
        let reached = cell(Outcome::Reached, Some(true), Some(Duration::from_micros(1500)));
        let cells = vec![vec![None, reached], vec![cell(Outcome::NotReached, Some(true), None), None]];
        Matrix { nodes: vec![Where::Named("a".into()), Where::Named("b".into())], columns, cells }
    }

    #[test]
    fn a_matrix_of_services_reads_as_a_table_in_every_form() {
        let matrix = matrix();
        assert_eq!(
            matrix.to_string(),
            "from \\ to  a tcp/443  b tcp/443\na          -          yes      \nb          no !       -        \n\
             ! `b` was expected to reach `a tcp/443`: <silence> | \"x\""
        );
        assert_eq!(
            matrix.markdown(),
            "| from \\ to | a tcp/443 | b tcp/443 |\n|---|---|---|\n| **a** | – | yes 1.5 ms |\n| **b** | no ❌ | – |\n"
        );
        let svg = matrix.svg();
        assert!(svg.contains(">1.5 ms<") && svg.contains("#c0392b") && svg.contains("&lt;silence&gt;"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
    }
}
