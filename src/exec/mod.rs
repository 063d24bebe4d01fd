//! The only place that starts processes, and the only one that names duct.

pub mod reexec;
