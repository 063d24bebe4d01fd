//! netwright: write a Linux network as a small Rhai script.

pub mod error;
pub mod report;
pub mod script;

pub use error::{Error, Kind, Result};
