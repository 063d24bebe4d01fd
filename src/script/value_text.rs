//! A value in one line, as a message shows it.

use rhai::Dynamic;

/// As much of a value stands in a message.
const MAX_CHARS: usize = 300;

/// A value as a message shows it: a string in quotes.
pub(super) fn show(value: &Dynamic) -> String {
    if value.is_string() { format!("{value:?}") } else { value.to_string() }
}

/// A value in one line: a string in quotes, too long a one cut.
pub(super) fn shown(value: &Dynamic) -> String {
    let text = show(value);
    if text.chars().count() <= MAX_CHARS {
        return text;
    }
    text.chars().take(MAX_CHARS).collect::<String>() + " …"
}
