//! `netwright doctor`
use clap::Args;

/// `netwright doctor`
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(arguments: &DoctorArgs) -> u8 {
    let _ = arguments.json;
    0
}
