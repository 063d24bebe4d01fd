//! What only a shell would understand in a command that no shell gets to see.

/// What a shell would do with a part of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// `|`
    Pipe,
    /// `>`, `2>&1`, `<`
    Redirection,
    /// `&&`, `||`, `;`
    List,
    /// `&` at the end
    Background,
    /// `$HOME`, `$(…)`, backticks
    Expansion,
    /// `*.log`, `~/x`
    Glob,
}

impl Shell {
    fn what(self) -> &'static str {
        match self {
            Self::Pipe => "a pipe",
            Self::Redirection => "a redirection",
            Self::List => "a list of commands",
            Self::Background => "a command in the background",
            Self::Expansion => "an expansion",
            Self::Glob => "a pattern of file names",
        }
    }
}

/// The first part of a command that only means something to a shell; quotes protect it, as they would there.
#[must_use]
pub(crate) fn only_for_a_shell(command: &str) -> Option<(Shell, String)> {
    let mut word = String::new();
    let (mut quote, mut quoted) = (None, false);
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => (quote, quoted) = (Some(c), true),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => {
                quoted = true;
                chars.next();
            }
            (None | Some('"'), '`') => return Some((Shell::Expansion, "`".to_owned())),
            (None | Some('"'), '$') => {
                let name: String = chars.clone().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let next = chars.peek().copied();
                if matches!(next, Some('(' | '{')) {
                    return Some((Shell::Expansion, format!("${}", next.unwrap_or_default())));
                }
                if name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    return Some((Shell::Expansion, format!("${name}")));
                }
                word.push(c);
            }
            (None, c) if c.is_whitespace() => {
                if let Some(found) = whole(&word, quoted) {
                    return Some((found, word));
                }
                (word, quoted) = (String::new(), false);
            }
            _ => word.push(c),
        }
    }
    whole(&word, quoted).map(|found| (found, word))
}

/// What a word means to a shell.
fn whole(word: &str, quoted: bool) -> Option<Shell> {
    if quoted {
        return None;
    }
    let operator = word.trim_start_matches(|c: char| c.is_ascii_digit());
    Some(match word {
        "|" | "|&" => Shell::Pipe,
        "&&" | "||" | ";" => Shell::List,
        "&" => Shell::Background,
        _ if matches!(operator.as_bytes(), [b'>' | b'<', ..]) && operator.len() + 1 >= word.len() => Shell::Redirection,
        _ if word.starts_with("&>") => Shell::Redirection,
        _ if word.len() > 1 && word.ends_with(';') => Shell::List,
        _ if word.starts_with("~/") => Shell::Glob,
        _ if word.contains('*') && (word.contains('/') || word.starts_with("*.")) && !word.contains("://") => {
            Shell::Glob
        }
        _ => return None,
    })
}

/// What is wrong with such a command, given to `verb`.
#[must_use]
pub(crate) fn message(verb: &str, (found, part): (Shell, String)) -> String {
    format!("`{verb}` asks no shell: `{part}` is a plain word to the program, not {}", found.what())
}

/// What to write instead.
#[must_use]
pub(crate) fn hint(verb: &str, command: &str) -> String {
    format!("write `{verb}([\"sh\", \"-c\", {command:?}])`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_only_a_shell_understands_is_found() {
        for (command, found) in [
            ("ip -o link | wc -l", Some((Shell::Pipe, "|"))),
            ("echo x > /tmp/x", Some((Shell::Redirection, ">"))),
            ("echo x >/tmp/x", Some((Shell::Redirection, ">/tmp/x"))),
            ("ls 2>&1", Some((Shell::Redirection, "2>&1"))),
            ("cat < f", Some((Shell::Redirection, "<"))),
            ("a && b", Some((Shell::List, "&&"))),
            ("a; b", Some((Shell::List, "a;"))),
            ("sleep 5 &", Some((Shell::Background, "&"))),
            ("echo $HOME", Some((Shell::Expansion, "$HOME"))),
            ("echo \"$HOME\"", Some((Shell::Expansion, "$HOME"))),
            ("echo $(date)", Some((Shell::Expansion, "$("))),
            ("echo `date`", Some((Shell::Expansion, "`"))),
            ("rm /tmp/*.log", Some((Shell::Glob, "/tmp/*.log"))),
            ("cat ~/x", Some((Shell::Glob, "~/x"))),
            // Nothing of it:
            ("echo '$HOME' 'a | b' \"x > y\"", None),
            ("sh -c 'ip -o link | wc -l > /tmp/x'", None),
            ("awk '{ print $1 }'", None),
            ("grep -c ^a$ f", None),
            ("echo \\$HOME \\| \\*.x", None),
            ("iptables -A INPUT -i eth+ -j ACCEPT", None),
            ("curl http://10.0.0.1/?a=1&b=*", None),
            ("tc filter add dev eth0 match u32 0 0", None),
            ("tcpdump -i eth0 dst 10.0.0.1 and tcp[13] & 2 != 0", Some((Shell::Background, "&"))),
            ("echo 5$", None),
            ("", None),
        ] {
            let found = found.map(|(what, part)| (what, part.to_owned()));
            assert_eq!(only_for_a_shell(command), found, "{command}");
        }
    }

    proptest! {
        #[test]
        fn no_command_panics(command in ".{0,40}") {
            let _ = only_for_a_shell(&command);
        }
    }
}
