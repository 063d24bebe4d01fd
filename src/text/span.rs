//! Which part of a script line a diagnostic underlines. Pure text, no I/O, and total: any position yields a range.
//!
//! Rhai gives a point: the name of the function in a method call, the start of an expression, an operator. The carets want
//! the whole call or token.

use std::ops::Range;

/// The byte range to underline for the 1-based `line` and `column` (in characters, as Rhai counts).
///
/// A name takes its balanced parentheses with it; anything else is one token. The range never leaves its line: a call over
/// several lines is cut where its first line ends. A column of 0 means the whole line, and a position outside of the text is
/// moved to the nearest end, with an empty range.
#[must_use]
pub(crate) fn span_at(source: &str, line: usize, column: usize) -> Range<usize> {
    let Some(Range { start, end }) = line_range(source, line) else {
        return source.len()..source.len();
    };
    let text = &source[start..end];
    if column == 0 {
        let body = text.trim_end();
        let indent = body.len() - body.trim_start().len();
        return start + indent..start + body.len();
    }
    let Some((from, _)) = text.char_indices().nth(column - 1) else {
        return end..end;
    };
    start + from..start + from + token_len(&text[from..])
}

/// The byte range of a 1-based line, without its line break; `None` past the end. Line 0 is taken for line 1.
#[must_use]
pub(crate) fn line_range(source: &str, line: usize) -> Option<Range<usize>> {
    let mut start = 0;
    for _ in 1..line.max(1) {
        start += source[start..].find('\n')? + 1;
    }
    let end = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let end = if source[start..end].ends_with('\r') { end - 1 } else { end };
    Some(start..end)
}

/// How many bytes of `text`, which is the rest of one line, belong to the token or call at its start.
fn token_len(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    match first {
        '"' | '`' | '\'' => literal_len(text),
        '(' | '[' => balanced_len(text),
        '#' if text.starts_with("#{") => balanced_len(text),
        '0'..='9' => number_len(text),
        _ if first.is_alphabetic() || first == '_' => call_len(text),
        _ if is_operator(first) => text.find(|c| !is_operator(c)).unwrap_or(text.len()),
        _ => first.len_utf8(),
    }
}

fn is_operator(c: char) -> bool {
    "+-*/%=<>!&|^~?.:@".contains(c)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn number_len(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let fraction = c == '.' && chars.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        if !is_name(c) && !fraction {
            return at;
        }
    }
    text.len()
}

/// A name, a path (`lab::star`), or a call of either; a statement for the keywords that start one.
fn call_len(text: &str) -> usize {
    let mut end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    if matches!(&text[..end], "throw" | "import") {
        return statement_len(text);
    }
    while let Some(rest) = text[end..].strip_prefix("::") {
        end += 2 + rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    }
    if matches!(&text[..end], "if" | "while" | "until" | "for" | "switch" | "in" | "return" | "let" | "const" | "fn") {
        return end;
    }
    let rest = text[end..].strip_prefix('!').unwrap_or(&text[end..]);
    let rest = rest.trim_start_matches(' ');
    if rest.starts_with('(') {
        let open = text.len() - rest.len();
        return open + balanced_len(rest);
    }
    end
}

fn statement_len(text: &str) -> usize {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c == ';' || c == '}' || rest.starts_with("//") {
            break;
        }
        at += match c {
            '"' | '`' | '\'' => literal_len(rest),
            '(' | '[' | '{' => balanced_len(rest),
            _ if rest.starts_with("/*") => comment_len(rest),
            _ => c.len_utf8(),
        };
    }
    text[..at].trim_end().len()
}

/// From an opening bracket (or `#{`) to the one that closes it; to the end of the code on this line when none does.
fn balanced_len(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            return text[..at].trim_end().len();
        }
        at += match c {
            '"' | '`' | '\'' => literal_len(rest),
            _ if rest.starts_with("/*") => comment_len(rest),
            _ => c.len_utf8(),
        };
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.trim_end().len()
}

fn comment_len(text: &str) -> usize {
    text.find("*/").map_or(text.len(), |at| at + 2)
}

/// A string, character or back-tick literal with its quotes; to the end of the line when it is not closed there.
fn literal_len(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return 0 };
    let mut depth = 0usize; // inside `${…}` of a back-tick string
    let mut before = quote;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => {
                chars.next();
            }
            '{' if quote == '`' && (depth > 0 || before == '$') => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ if c == quote && depth == 0 => return at + c.len_utf8(),
            _ => {}
        }
        before = c;
    }
    text.trim_end().len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn underlined(source: &str, line: usize, column: usize) -> &str {
        &source[span_at(source, line, column)]
    }

    #[test]
    fn a_name_takes_its_parentheses_with_it() {
        assert_eq!(underlined("red.link(\"veth9\").up();", 1, 5), "link(\"veth9\")");
        assert_eq!(underlined("a();\nlab::star(3, [1, 2]) ;", 2, 1), "lab::star(3, [1, 2])");
        assert_eq!(
            underlined("f(\")\", ')', `${g(\")\")}`, /* ) */ 1) + 2", 1, 1),
            "f(\")\", ')', `${g(\")\")}`, /* ) */ 1)"
        );
        assert_eq!(underlined("if (x) {}", 1, 1), "if");
        assert_eq!(underlined("a.name + 1", 1, 3), "name");
    }

    #[test]
    fn anything_else_is_one_token() {
        assert_eq!(underlined("let x = \"a b\";", 1, 9), "\"a b\"");
        assert_eq!(underlined("x += 12.5e3;", 1, 3), "+=");
        assert_eq!(underlined("x += 12.5e3;", 1, 6), "12.5e3");
        assert_eq!(underlined("for i in 0..9 {}", 1, 10), "0");
        assert_eq!(underlined("a[b[1]] = 2", 1, 2), "[b[1]]");
        assert_eq!(underlined("  throw \"a;b\" ; x", 1, 3), "throw \"a;b\"");
        assert_eq!(underlined("let s = \"open", 1, 9), "\"open");
    }

    #[test]
    fn a_call_over_several_lines_is_cut_at_its_first() {
        assert_eq!(underlined("net(  // why\n  1)", 1, 1), "net(");
        assert_eq!(underlined("net(a,\r\n  1)", 1, 1), "net(a,");
    }

    #[test]
    fn columns_are_characters() {
        assert_eq!(underlined("\"日本é\" + f(1)", 1, 9), "f(1)");
        assert_eq!(underlined("\t\tf(1)", 1, 3), "f(1)");
    }

    #[test]
    fn outside_is_the_nearest_end() {
        assert_eq!(span_at("", 0, 0), 0..0);
        assert_eq!(span_at("ab\n", 1, 99), 2..2);
        assert_eq!(span_at("ab\n", 99, 1), 3..3);
        assert_eq!(underlined("  ab \nc", 1, 0), "ab");
    }

    proptest! {
        #[test]
        fn every_position_has_a_range_within_its_line(source in "(?s)[\\PC\n\r\t\"'`(){}\\[\\]$#/*\\\\;.]{0,80}", line in 0usize..12, column in 0usize..90) {
            let span = span_at(&source, line, column);
            prop_assert!(source.get(span.clone()).is_some());
            prop_assert_eq!(source[span].matches('\n').count(), 0);
        }
    }
}
