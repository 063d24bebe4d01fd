//! netwright: write a Linux network as a small Rhai script.

pub mod error;
pub mod model;

pub use error::{Error, Kind, Result};
