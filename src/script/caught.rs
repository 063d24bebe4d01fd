//! What Rhai itself raises and a script catches, told in our words.
//!
//! Rhai hands such an error to `catch` as a map of its own (other keys, names of Rust's types), and has no hook there. It has one where a
//! variable is looked up: the variable of a `catch` then gets the map that every other caught error is.

use std::cell::RefCell;
use std::collections::HashSet;

use rhai::{AST, ASTNode, Engine, Expr, Map, Stmt};

use super::error::{Context, of_rhai, to_thrown};
use super::resolver::Resolver;
use super::signature::netwright_words;

thread_local! {
    /// The names of the variables of all `catch`es that were read on this thread.
    static NAMES: RefCell<HashSet<String>> = RefCell::default();
}

/// Remembers the variables of the `catch`es of a script; whether it has any `try`.
pub(super) fn remember(ast: &AST) -> bool {
    let mut found = false;
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::TryCatch(flow, _))) = path.last() {
            found = true;
            if let Expr::Variable(variable, ..) = &flow.expr {
                NAMES.with_borrow_mut(|names| names.insert(variable.1.to_string()));
            }
        }
        true
    });
    found
}

/// Makes the engine translate.
pub(super) fn register(engine: &mut Engine, resolver: Resolver) {
    #[expect(deprecated, reason = "Rhai calls it volatile; Cargo.lock holds the version")]
    engine.on_var(move |name, _, mut at| {
        if !NAMES.with_borrow(|names| names.contains(name)) {
            return Ok(None);
        }
        let engine = at.engine();
        let source = at.source().map(str::to_owned);
        let Some(value) = at.scope_mut().get_mut(name) else { return Ok(None) };
        let Some(map) = value.read_lock::<Map>().filter(|map| !map.contains_key("hint")).map(|map| map.clone()) else {
            return Ok(None);
        };
        let context = Context {
            engine,
            // No source is the main one: the functions of the text where it happened are read from there.
            main: "",
            scripts: &[],
            modules: &resolver.signatures(),
            importable: &Resolver::std_paths(),
            variables: &[],
            sources: resolver.sources(),
            words: &netwright_words,
        };
        if let Some(error) = of_rhai(&map, source.as_deref(), &context) {
            let thrown = to_thrown(error);
            let tag = thrown.tag();
            if let (Some(mut map), Some(ours)) = (value.write_lock::<Map>(), thrown.try_cast::<Map>()) {
                *map = ours;
            }
            value.set_tag(tag);
        }
        Ok(None)
    });
}
