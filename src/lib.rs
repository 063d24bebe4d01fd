//! netwright: write a Linux network as a small Rhai script.

pub mod error;
pub mod probe;

pub use error::{Error, Kind, Result};
