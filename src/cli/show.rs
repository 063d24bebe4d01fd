//! `netwright show`: the live network of this machine as a picture. Read only.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::inside::looking;
use super::serve::Server;
use super::{copy, fail, signal_code};
use crate::draw::{Blame, Topology, Watch, Woken};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::op::Where;
use crate::report::{human, json};
use crate::session::Session;
use crate::why;

/// Moves the cursor home and clears the screen; what scrolled off it stays.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// `netwright show`
#[derive(Args, Debug)]
#[command(after_help = "\
Changes nothing. Without root only this namespace can be read.
--watch hears of changes from the kernel; what is not announced there
(rules of iptables-legacy) is seen within 5 s.

Examples:
  sudo netwright show --format svg > network.svg
  sudo netwright show --format html > network.html   to search, zoom and ask
  netwright show --on machine.json             somebody else's, from a snapshot
  sudo netwright show --format mermaid         for a README or a pull request
  sudo netwright show --why ns-blue 10.0.0.2   what stops that packet, in red
  sudo netwright show --watch                  again whenever it changes
  sudo netwright show --serve                  the page, live, read only")]
pub(super) struct ShowArgs {
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Draw again whenever something changes
    #[arg(long)]
    watch: bool,
    /// In a sandbox that stays: run --keep NAME
    #[arg(long = "in", value_name = "NAME", conflicts_with = "on")]
    pub(super) inside: Option<String>,
    /// As a live page, at 127.0.0.1:8080 or there
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080",
          conflicts_with_all = ["watch", "json", "format", "on", "inside"])]
    serve: Option<SocketAddr>,
    /// Draw the machine of a snapshot
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "watch")]
    on: Option<OsString>,
    /// Mark in red what `netwright why` blames
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    why: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Svg,
    Html,
    Json,
}

/// Runs `netwright show`; the exit code.
pub(super) fn show(arguments: &ShowArgs) -> u8 {
    if let Some(word) = &arguments.on {
        return copy::within(&copy::Source::of(word), &[], |session| {
            draw(&read(session, arguments)?, arguments);
            Ok(0)
        });
    }
    super::run::raise_open_files();
    let result = match arguments.serve {
        Some(at) => serve(at, arguments),
        None if arguments.watch => {
            let mut drawn = |topology: &Topology| draw(topology, arguments);
            follow(arguments, std::io::stdout().as_fd(), &mut drawn)
        }
        None => once(arguments).map(|()| 0),
    };
    result.unwrap_or_else(|error| fail(&error))
}

fn once(arguments: &ShowArgs) -> Result<()> {
    let topology = read(&session()?, arguments)?;
    draw(&topology, arguments);
    Ok(())
}

/// Serves the page to browsers, the newest whenever something changed, until a signal.
fn serve(at: SocketAddr, arguments: &ShowArgs) -> Result<u8> {
    // What cannot be read is told before anybody can ask.
    read(&session()?, arguments)?;
    end_at_a_signal()?;
    let server = Server::open(at)?;
    let who = if server.at().ip().is_loopback() { "this machine" } else { "every machine that can reach it" };
    human::line(&format!("http://{}/ shows this network, to {who}; Ctrl-C ends it", server.at()));
    let mut publish = |topology: &Topology| server.publish(|number| topology.live_html(&title(arguments), number));
    follow(arguments, server.as_fd(), &mut publish)
}

/// Ends this process at the first signal, whichever of its threads waits: nothing is to be cleaned up.
fn end_at_a_signal() -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            std::process::exit(left(signal_code(signal)).into());
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop).map_err(cannot)
}

/// Does something with the network, now and whenever it changed, until a signal or until nobody reads `output` any more.
fn follow(arguments: &ShowArgs, output: BorrowedFd<'_>, drawn: &mut dyn FnMut(&Topology)) -> Result<u8> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).unwrap_or(0);
        signal_hook::flag::register_usize(number, Arc::clone(&signal), value)
            .map_err(|error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}")))?;
    }
    let code = || i32::try_from(signal.load(Ordering::SeqCst)).ok().filter(|number| *number != 0).map(signal_code);
    let (mut heard, mut last, mut told) = (Watch::default(), None, false);
    loop {
        // Each look is a session of its own: none keeps a namespace alive that somebody deletes.
        let looked = session().and_then(|session| {
            heard.follow(&session);
            read(&session, arguments)
        });
        if let Some(code) = code() {
            return Ok(left(code));
        }
        let topology = looked?;
        if let (Some(why), false) = (heard.deaf(), told) {
            human::line(&format!("{why}: looking twice a second instead"));
            told = true;
        }
        if last.as_ref() != Some(&topology) {
            drawn(&topology);
            last = Some(topology);
        }
        match (heard.wait(output)?, code()) {
            (_, Some(code)) => return Ok(left(code)),
            (Woken::Unread, _) => return Ok(0),
            (Woken::Changed | Woken::Waited | Woken::Signal, None) => {}
        }
    }
}

/// The shell's prompt begins on a line of its own.
fn left(code: u8) -> u8 {
    if std::io::stderr().is_terminal() {
        human::line("");
    }
    code
}

/// A session that is only asked: no verb of it is called.
fn session() -> Result<Session> {
    let exec = Exec::new(super::tools(&[])?, Interrupt::default())?;
    Ok(looking(exec))
}

fn read(session: &Session, arguments: &ShowArgs) -> Result<Topology> {
    let culprit = match arguments.why.as_deref() {
        Some([from, to]) => Blame::of(&why::why(session, &super::why::question(session, from, to)?)?),
        _ => None,
    };
    session.know_containers();
    let topology = Topology::read(session).map_err(|error| match error.kind() {
        Kind::PermissionDenied => error.hint("sudo netwright show"),
        _ => error,
    });
    let topology = topology?.with_culprit(culprit);
    let places: Vec<Where> = topology
        .namespaces
        .iter()
        .filter(|netns| netns.name.starts_with("/proc/"))
        .map(|netns| Where::Path(netns.name.clone().into()))
        .collect();
    Ok(topology.renamed(&session.container_names(&places)))
}

fn draw(topology: &Topology, arguments: &ShowArgs) {
    let terminal = std::io::stdout().is_terminal();
    if arguments.watch && terminal {
        human::print(CLEAR);
    }
    let colour = human::colour(&std::io::stdout());
    match if arguments.json { Format::Json } else { arguments.format } {
        Format::Text => human::print(&format!("{}\n", topology.draw_text(colour))),
        Format::Dot => human::print(&topology.dot()),
        Format::Mermaid => human::print(&topology.mermaid()),
        Format::Svg => human::print(&topology.svg()),
        Format::Html => human::print(&topology.html(&title(arguments))),
        Format::Json => json::print(&topology.document()),
    }
}

/// Of what a page is, and when: `vm, 2026-11-29T20:56:41Z`; of a snapshot the file.
fn title(arguments: &ShowArgs) -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    match (&arguments.on, &arguments.inside) {
        (Some(word), _) if copy::Source::of(word) != copy::Source::This => word.to_string_lossy().into_owned(),
        (_, Some(sandbox)) => format!("{sandbox}, {now}"),
        _ => format!("{}, {now}", super::run::hostname()),
    }
}
