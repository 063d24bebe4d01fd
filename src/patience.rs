//! How much slower than usual this machine is: every deadline of netwright's, and every `timeout` in a script, is that many times as long.
//!
//! Emulated and overloaded machines start a process 35 times as slowly as others do. A time that stands on the command line is taken as it is: who
//! wrote it knows the machine. The factor only ever makes waits longer, and is bounded, so that whoever sets it for a program of root's gains nothing.

use std::sync::OnceLock;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// The variable that says how slow this machine is.
pub const ENV: &str = "NETWRIGHT_SLOW";
/// The largest factor: 10 s become a quarter of an hour.
const MOST: u32 = 100;

/// What the variable says; 1 when it is not set or empty.
///
/// # Errors
///
/// `InvalidArgument` when it is anything but a whole number from 1 to 100.
pub fn check() -> Result<u32> {
    std::env::var_os(ENV).filter(|text| !text.is_empty()).map_or(Ok(1), |text| parse(&text.to_string_lossy()))
}

fn parse(text: &str) -> Result<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|factor| digits && (1..=MOST).contains(factor)).ok_or_else(|| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        Error::new(Kind::InvalidArgument, format!("`{ENV}` is `{shown}`, which is no whole number from 1 to {MOST}"))
            .hint(format!("`{ENV}=20` gives every deadline 20 times as long, for a machine that is as much slower; unset it otherwise"))
    })
}

/// A time that is enough on a usual machine, as long as it must be on this one.
#[must_use]
pub fn scaled(usual: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    usual.saturating_mul(*FACTOR.get_or_init(|| check().unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_a_whole_number_within_bounds() {
        assert_eq!(["1", "20", "100", "007"].map(|text| parse(text).unwrap()), [1, 20, 100, 7]);
        for text in ["", "0", "101", "-1", "+2", "2.5", "20x", " 20", "fast", "4294967297"] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("whole number from 1 to 100"), "{text}: {error}");
        }
    }
}
