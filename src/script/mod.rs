//! The Rhai side of netwright, and the only room that knows Rhai.
//!
//! | file | what |
//! |---|---|
//! | [`engine`] | the only `Engine::new`: limits, hooks, the API; running scripts in order |
//! | `resolver` | `import` |
//! | `source` | texts of scripts |
//! | `arguments` | `--var` and the words after the script |
//! | [`usage`] | what a script says of itself |
//! | `api` | all that scripts can call |
//! | [`reference`] | the documentation of all that scripts can call, as data |
//! | `caught` | what Rhai raises itself, as a script catches it |
//! | `sides`, `value_text` | both sides of a comparison that did not hold; values in messages |
//! | [`check`] | mistakes found without running |
//! | [`repl`], `complete`, `pretty` | input by input: what persists, completion and hints, values for people |
//! | [`error`], [`explain`], [`parse`], [`signature`] | what went wrong, in the words of a script author |

mod api;
mod arguments;
pub(crate) mod bundle;
mod caught;
pub(crate) mod check;
mod complete;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod parse;
mod pretty;
pub mod reference;
pub(crate) mod reference_text;
pub(crate) mod repl;
mod resolver;
mod sides;
pub(crate) mod signature;
mod source;
pub(crate) mod usage;
mod value_text;

pub use resolver::STD;
