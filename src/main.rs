//! Parse, call, exit code; nothing else.
fn main() {}
