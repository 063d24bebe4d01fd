//! netwright: write a Linux network as a small Rhai script.

pub mod error;
pub mod exec;
pub mod sandbox;

pub use error::{Error, Kind, Result};
