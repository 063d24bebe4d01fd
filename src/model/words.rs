//! The words of iptables: which options take free text, and how `iptables-save` quotes.

use std::ops::Range;

/// Options whose value is free text, so that it may look like an option (`--comment "-j DROP"`).
const FREE_TEXT: &[&str] = &[
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--ulog-prefix",
    "--string",
    "--hex-string",
    "--bytecode",
    "--path",
    "--name",
    "--helper",
    "--u32",
    "--label",
    "--suffix",
    "--domain",
];

/// Whether the word after `option` is its value, whatever it looks like.
pub(crate) fn takes_text(option: &str) -> bool {
    FREE_TEXT.contains(&option)
}

/// Splits a line as `iptables-restore` does (`add_param_to_argv` in iptables' `xshared.c`): words end at blanks and at a closing quote; a backslash
/// escapes the next character inside quotes only. Each word comes with its place in the line. `None` when a quote is left open.
pub(super) fn split(line: &str) -> Option<Vec<(String, Range<usize>)>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut start = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let from = *start.get_or_insert(at);
                loop {
                    match chars.next()? {
                        (_, '\\') => word.push(chars.next()?.1),
                        (end, '"') => {
                            words.push((std::mem::take(&mut word), from..end + 1));
                            start = None;
                            break;
                        }
                        (_, other) => word.push(other),
                    }
                }
            }
            ' ' | '\t' | '\n' => {
                if let Some(from) = start.take() {
                    words.push((std::mem::take(&mut word), from..at));
                }
            }
            other => {
                start.get_or_insert(at);
                word.push(other);
            }
        }
    }
    if let Some(from) = start {
        words.push((word, from..line.len()));
    }
    Some(words)
}

/// A word as `iptables-save` writes it: bare when it has only letters, digits, `_` and `-`, else in double quotes with `\`, `"` and `'` escaped.
/// Addresses, ports and the like are bare too; iptables knows them by their option, this by their characters.
pub(super) fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.,:/!+=[]@%".contains(c)) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        if matches!(c, '\\' | '"' | '\'') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
