//! What the two sides of a comparison were, for `assert`, `check` and `eventually`, which only get to see whether it holds.
//!
//! While a script is read, the comparisons between the parentheses of these calls become operators of ours: they compare as Rhai does, and
//! remember the last comparison that did not hold. Of `a == 1 && b == 2` that is the one that decided.

use std::cell::{Cell, RefCell};

use rhai::{Dynamic, Engine, EvalAltResult, LexError, NativeCallContext, Position, Token};

use super::value_text::shown;

/// The calls between whose parentheses comparisons are watched.
const WATCHED: &[&str] = &["assert", "check", "eventually"];
/// Rhai's operator, ours, and how tightly both bind (`Token::precedence`). No name of a script begins with two underscores by chance.
const OPERATORS: &[(&str, &str, u8)] = &[
    ("==", "__equal", 90),
    ("!=", "__unequal", 90),
    ("<", "__less", 110),
    ("<=", "__at_most", 110),
    (">", "__more", 110),
    (">=", "__at_least", 110),
];

/// A comparison that did not hold, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sides {
    /// The value on the left.
    pub(super) left: String,
    /// `==`, `<`, …
    pub(super) operator: &'static str,
    /// The value on the right.
    pub(super) right: String,
}

impl Sides {
    /// What was expected of the left side.
    pub(super) fn expected(&self) -> String {
        match self.operator {
            "==" => self.right.clone(),
            "!=" => format!("anything but {}", self.right),
            other => format!("{other} {}", self.right),
        }
    }
}

thread_local! {
    static LAST: RefCell<Option<Sides>> = const { RefCell::new(None) };
}

/// The last comparison that did not hold since this was asked before.
pub(super) fn take() -> Option<Sides> {
    LAST.take()
}

/// How many variables a text may have at a time. Rhai's parser looks through all of them for each new one: 20,000 take seconds, these a fifth of one.
pub(super) const VARIABLES_MAX: usize = 4000;

/// Where the parser is: how many parentheses of a watched call are open, and how many variables each open block has.
#[derive(Default)]
struct Watch {
    last: Cell<Option<Position>>,
    variables: RefCell<Vec<usize>>,
    announced: Cell<bool>,
    depth: Cell<usize>,
}

/// What Rhai is told of a text with more; `parse` says it in a script author's words.
pub(super) const TOO_MANY: &str = "too many variables";

impl Watch {
    /// Counts the variables that a token brings or takes away; whether there are too many.
    fn counts_too_many(&self, token: &Token) -> bool {
        let mut variables = self.variables.borrow_mut();
        match token {
            Token::LeftBrace | Token::MapStart => variables.push(0),
            Token::RightBrace => drop(variables.pop()),
            Token::Let | Token::Const => {
                if variables.is_empty() {
                    variables.push(0);
                }
                if let Some(last) = variables.last_mut() {
                    *last += 1;
                }
                return variables.iter().sum::<usize>() > VARIABLES_MAX;
            }
            _ => {}
        }
        false
    }

    fn see(&self, token: Token, at: Position) -> Token {
        // Another text is read from its beginning. Some tokens of a text between backticks have no place, or one before the last.
        let begins = |last: Position| {
            at.line().is_some() && (at.line() < last.line() || (at.line() == last.line() && at.position() == Some(1)))
        };
        let last = if at.is_none() { self.last.get() } else { self.last.replace(Some(at)) };
        if last.is_some_and(begins) {
            self.announced.set(false);
            self.depth.set(0);
            self.variables.borrow_mut().clear();
        }
        if self.counts_too_many(&token) {
            return Token::LexError(Box::new(LexError::Runtime(TOO_MANY.to_owned())));
        }
        let announced = self.announced.replace(false);
        match (&token, self.depth.get()) {
            (Token::LeftParen, 0) if announced => self.depth.set(1),
            (Token::LeftParen, 1..) => self.depth.set(self.depth.get() + 1),
            (Token::RightParen, depth @ 1..) => self.depth.set(depth - 1),
            (Token::Identifier(name), 0) => self.announced.set(WATCHED.contains(&name.as_str())),
            (_, 1..) => {
                let literal = token.is_standard_symbol().then(|| token.literal_syntax());
                if let Some((_, ours, _)) = OPERATORS.iter().find(|(theirs, ..)| Some(*theirs) == literal) {
                    return Token::Custom(Box::new((*ours).into()));
                }
            }
            _ => {}
        }
        token
    }
}

/// Makes the engine watch.
pub(super) fn register(engine: &mut Engine) {
    for (theirs, ours, precedence) in OPERATORS {
        let known = engine.register_custom_operator(ours, *precedence).is_ok();
        debug_assert!(known, "{ours} is no operator");
        let compare =
            |context: NativeCallContext<'_>, left: Dynamic, right: Dynamic| compare(&context, theirs, &left, &right);
        engine.register_fn(*ours, compare);
    }
    let watch = Watch::default();
    #[expect(deprecated, reason = "Rhai calls it volatile; Cargo.lock holds the version")]
    engine.on_parse_token(move |token, at, _| watch.see(token, at));
}

/// Whether a name is one of ours, which nobody writes.
pub(super) fn is_ours(name: &str) -> bool {
    OPERATORS.iter().any(|(_, ours, _)| *ours == name)
}

fn compare(
    context: &NativeCallContext<'_>,
    operator: &'static str,
    left: &Dynamic,
    right: &Dynamic,
) -> Result<bool, Box<EvalAltResult>> {
    let (mut first, mut second) = (left.clone(), right.clone());
    let holds = context.call_native_fn_raw(operator, false, &mut [&mut first, &mut second])?.as_bool().unwrap_or(false);
    if !holds {
        LAST.set(Some(Sides { left: shown(left), operator, right: shown(right) }));
    }
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(script: &str) -> Option<(String, &'static str, String)> {
        let mut engine = Engine::new();
        register(&mut engine);
        for name in WATCHED {
            engine.register_fn(*name, |_: bool| {});
        }
        drop(take());
        engine.run(script).unwrap();
        take().map(|sides| (sides.left, sides.operator, sides.right))
    }

    #[test]
    fn variables_are_counted_where_they_live() {
        let mut engine = Engine::new();
        register(&mut engine);
        let lets = |count: usize| (0..count).map(|n| format!("let v{n} = {n};")).collect::<Vec<_>>().join("\n");
        assert!(engine.compile(lets(VARIABLES_MAX)).is_ok());
        let error = engine.compile(lets(VARIABLES_MAX + 1)).unwrap_err();
        assert_eq!(error.1.line(), Some(VARIABLES_MAX + 1), "{error}");
        let blocks =
            format!("{{ {} }} let m = #{{ a: 1 }}; {{ {} }}", lets(VARIABLES_MAX - 1), lets(VARIABLES_MAX - 1));
        assert!(engine.compile(blocks).is_ok(), "those of a block go with it");
        assert!(engine.compile(lets(VARIABLES_MAX)).is_ok(), "another text begins anew");
    }

    #[test]
    fn the_comparison_that_decided_is_remembered() {
        let some = |left: &str, operator, right: &str| Some((left.to_owned(), operator, right.to_owned()));
        assert_eq!(last("assert(1 + 1 == 3)"), some("2", "==", "3"));
        assert_eq!(last("assert(1 == 1)"), None);
        assert_eq!(last("assert(1 == 1 && \"a\" == \"b\")"), some("\"a\"", "==", "\"b\""));
        assert_eq!(last("assert(1 == 2 || (3 + 1) * 2 < 8)"), some("8", "<", "8"));
        assert_eq!(last("check(!(2 != 2) && [1, 2].len() >= 3)"), some("2", ">=", "3"));
        assert_eq!(last("let a = 1; let b = 2; assert(1 == 1); a == b;"), None);
        assert_eq!(last("assert(`${1 + 1}` == \"3\" == true)"), some("false", "==", "true"));
    }

    #[test]
    fn they_bind_as_rhais_own() {
        let mut engine = Engine::new();
        register(&mut engine);
        engine.register_fn("assert", |value: bool| value);
        for text in [
            "1 + 2 == 3 && 2 < 3",
            "1 < 2 == true",
            "!(1 > 2) != false || 1 >= 1 && 2 <= 1",
            "(1 | 2) == 3",
            "3 - 1 > 1 == true",
        ] {
            let plain = engine.eval::<Dynamic>(text).unwrap().as_bool();
            let watched =
                engine.eval::<Dynamic>(&format!("assert({text})")).ok().and_then(|value| value.as_bool().ok());
            assert_eq!(plain.ok(), watched, "{text}");
        }
    }
}
