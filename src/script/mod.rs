//! The Rhai side of netwright, and the only room that knows Rhai.

pub mod error;
pub mod explain;
pub mod parse;
pub mod signature;
