//! netwright: write a Linux network as a small Rhai script. Rehearse it without root. Run it. Get a clean machine back.
//!
//! This page is the map of the code. A call goes down the list and its answer comes up again:
//!
//! | room | what lives there | what may not |
//! |---|---|---|
//! | [`cli`] | one file per subcommand: arguments in, exit code out | knowing Rhai or a tool's words |
//! | [`script`] | the Rhai side: the engine, `import`, all that scripts can call, errors in a script author's words | nobody else names `rhai` |
//! | [`testing`] | test files: which there are, a process and a sandbox for each, what came of every test, as events | printing, knowing Rhai |
//! | [`verify`] | expectations about reachability: what a probe means, who answered, whether silence proves anything | processes |
//! | [`session`] | what this run did: each verb looks first, acts if it must, records the inverse, counts | starting processes |
//! | [`op`] | facts, commands and ops as values: what can be so, what shows it, what makes it so; one file per object | any I/O |
//! | [`exec`] | the only place that starts processes: duct, warm tools, deadlines, output caps | knowing what a command means |
//! | [`files`] | the only place that makes or opens files for writing: no links, new files, folders that are root's alone | deciding what is in them |
//! | [`features`] | what this kernel and its tools can do, tried out in throw-away namespaces | starting processes; touching any other network |
//! | [`doctor`] | what this machine has, lacks, and hides: tools, privileges, features, traps | changing anything |
//! | [`model`] | what tools print and users write, as types: parsers and validators | any I/O |
//! | [`probe`] | netwright's own packets and listeners, in the calling thread's namespace | processes, printing |
//! | [`sandbox`] | the namespaces that play the host, and the pretended internet behind its uplink | |
//! | [`snapshot`] | a machine's network as one document: read, compared, built again in a sandbox | changing the machine |
//! | [`why`] | why a packet dies: reads the state, walks the way, names what stops it | changing anything |
//! | [`draw`] | the live network as a picture | |
//! | [`emit`] | a rehearsed run as plain shell scripts: text in, text out | knowing Rhai |
//! | [`report`] | what people and programs get to see; beside `cli` the only room that prints | deciding what happened |
//! | [`text`] | how things are put into words: diagnostics, spans, line breaks; text in, text out | any I/O, any other room but `error` |
//! | [`patience`] | how much slower than usual this machine is: every deadline is so much longer | anything else |
//! | [`error`] | the one error type: kind, message, what ran, hints, place in the script | |
//!
//! Flow: cli → script engine → api function (thin: arguments to types) → session verb → a fact and its op → session (converge, record, prove) →
//! exec → model → handle or map back to the script. Everything visible leaves as an event to report.
//!
//! # Invariants, each held by a test (`tests/tidy.rs`)
//!
//! - `op`, `model` and `text` do no I/O.
//! - No arrow between rooms runs up, so there is no ring of rooms.
//! - Only `exec` names duct; nothing else starts a process.
//! - Only `script` names rhai.
//! - Only `files` makes, writes, renames or gives away files; a sandbox arranges its own mounts.
//! - Only `report` and `cli` print.
//! - Every mutating op has an inverse or says that it has none ([`op::Undo`]).
//! - What a command is for is a value ([`op::Fact`]); nobody reads it out of its words.
//! - JSON is read wherever a tool offers it, through the one tolerant reader [`model::json`].
//! - Nothing a user, a tool or the kernel can influence panics.
//! - Every script function has a doc comment with an example that runs.

pub mod cli;
mod doctor;
pub mod draw;
mod emit;
mod error;
pub mod exec;
mod features;
mod files;
pub mod model;
pub mod op;
pub mod patience;
pub mod probe;
pub mod report;
pub mod sandbox;
pub mod script;
mod session;
mod snapshot;
mod testing;
mod text;
mod verify;
pub mod why;

pub use error::{Error, Kind, Result};
