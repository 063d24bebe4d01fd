//! The network that plays the host: fresh namespaces, made before anything else happens and gone when the run ends however it ends.
//!
//! ```text
//!  machine's namespaces │ new user (rootless) and pid namespace │
//!                       │ own network, mounts, /run, /sys, /proc│
//!    P0 supervisor ─────┼──▶ P1 init, pid 1 ──▶ P2 runtime, pid 2 ──▶ ip, iptables, the script's programs
//!    signals ═══════════╪═ lifeline (socket) ═▶ kill(P2)
//! ```
//!
//! All three are this program with the same arguments, told apart by one environment variable ([`ENV`]); all three call
//! [`enter_or_supervise`] and only P2 returns [`Entered::Inside`].
//!
//! - P0 is single threaded, makes the user and the pid namespace, starts P1, forwards signals and job control, and ends as P1 ends.
//! - P1 makes the network and mount namespace *itself* (so no setting of the variable can make it act on the machine), mounts, starts
//!   P2, reaps orphans and nothing else. A separate init keeps statuses of P2's children P2's own, and leaves P2 a normal process:
//!   default signal actions, core dumps and Ctrl-Z work, which pid 1 does not have.
//! - P0 killed by `kill -9` takes P1 along (`PR_SET_PDEATHSIG`, and end of file on the lifeline for the time before that), and the
//!   kernel takes every process of the pid namespace along with P1.
//!
//! Nothing here prints and nothing here knows scripts. Processes are started by `exec::reexec` or by the caller's closure.

mod enter;
mod explain;
mod init;
mod layer;
mod lifeline;
mod loopback;
mod mounts;
mod probe;
mod settings;
pub mod stay;
mod supervisor;
mod uplink;

pub use enter::{Ended, Entered, Mode, Pack, Sandbox, Stay, enter_or_supervise, enter_with};
pub use explain::{Facts, Failure, Step, explain};
pub use layer::{files, keepable};
pub use mounts::{below_run, goes_with_sandbox};
pub use probe::{probe, run_probe_child};
pub use settings::{Setting, put_as_booted, unlike_booted};
pub use uplink::{INTERNET, Side, Uplink, build_uplink, make_namespace, set, uplink};

/// The variable by which the three processes know which one they are. It never reaches P2's children.
pub const ENV: &str = "NETWRIGHT_SANDBOX";
