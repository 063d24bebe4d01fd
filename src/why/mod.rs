//! Why a packet dies.
//!
//! | file | what |
//! |---|---|
//! | `recorder` | the flight recorder: what the kernel did with one probe, hop by hop |

pub mod recorder;
