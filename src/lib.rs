//! netwright: write a Linux network as a small Rhai script.

pub mod error;
pub mod exec;
pub mod model;
pub mod op;
pub mod probe;
pub mod report;
pub mod sandbox;
pub mod script;
pub mod session;
pub mod verify;

pub use error::{Error, Kind, Result};
