//! Keys among the words of a command: hidden wherever the command is shown. What runs has them, and what undoes has them, for it could not undo else.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What stands for a key.
pub(crate) const HIDDEN: &str = "(hidden)";

/// What nobody may read, wherever it would be shown. A process has one run, or several that keep the same secrets.
static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What is shorter would hide half of what is said.
const LEAST: usize = 4;

/// Remembers that a text is secret: from now on it is shown as [`HIDDEN`].
pub(crate) fn remember(secret: &str) {
    let secret = secret.trim();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if secret.len() >= LEAST && !known.iter().any(|have| have == secret) {
        known.push(secret.to_owned());
        // A longer one first: another may be a part of it.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }
}

/// A text without the secrets that are known.
#[must_use]
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Cow::Borrowed(text);
    for secret in known.iter() {
        if shown.contains(secret.as_str()) {
            shown = Cow::Owned(shown.replace(secret.as_str(), HIDDEN));
        }
    }
    shown
}

/// The same of all texts in a value; `None` where there are none.
#[must_use]
pub(crate) fn redact_value<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    if KNOWN.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        return None;
    }
    let mut json = serde_json::to_value(value).ok()?;
    redact_json(&mut json).then(|| serde_json::from_value(json).ok()).flatten()
}

/// Whether any text of it was hidden.
fn redact_json(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match redact(text) {
            Cow::Owned(shown) => {
                *text = shown;
                true
            }
            Cow::Borrowed(_) => false,
        },
        Value::Array(all) => all.iter_mut().fold(false, |any, one| redact_json(one) | any),
        Value::Object(map) => map.values_mut().fold(false, |any, one| redact_json(one) | any),
        _ => false,
    }
}

/// Words of any program behind which a secret stands (`wg set … private-key`, `wpa_cli … psk`, `curl --password`).
const NAMES: [&str; 12] = [
    "private-key",
    "preshared-key",
    "psk",
    "wpa-psk",
    "sae_password",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "wep-key",
    "authkey",
];

/// Settings of the kernel that are keys: only root may read them. Of `net.ipv4.tcp_fastopen_key` the cookies are made (RFC 7413), of `stable_secret`
/// addresses (RFC 7217).
pub(crate) const SETTINGS: [&str; 2] = ["tcp_fastopen_key", "stable_secret"];

/// Whether a setting, by its dotted or slashed name, is a key.
#[must_use]
pub(crate) fn is_setting(name: &str) -> bool {
    name.rsplit(['.', '/']).next().is_some_and(|last| SETTINGS.contains(&last))
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// What netwright gives to a tool of its own: its words are known.
    Tool,
    /// A program of the user's, which may be any.
    User,
}

fn is_name(word: &str) -> bool {
    NAMES.contains(&word.trim_start_matches('-').to_ascii_lowercase().as_str())
}

/// The positions of the keys among words that a program is given, the program's own name first or not.
fn positions(words: &[String], of: Of) -> Vec<usize> {
    let mut found = Vec::new();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    // iproute2 takes any beginning of an object's name; `x` is xfrm, and of those with `m` only macsec has `mac`.
    let (xfrm, macsec) = (has_object(words, "xfrm", 1), has_object(words, "macsec", 3));
    for at in 0..words.len() {
        match word(at) {
            // ip-xfrm(8): ALGO-TYPE ALGO-NAME ALGO-KEYMAT.
            "enc" | "auth" | "auth-trunc" | "aead" if xfrm => found.push(at + 2),
            // ip-macsec(8): key ID KEY.
            "key" if macsec => found.push(at + 2),
            // wpa_supplicant's own, `wg`'s, and what a script calls its own.
            name if of == Of::User && at > 0 && is_name(name) => found.push(at + 1),
            _ => {}
        }
    }
    if let Some(at) = words.iter().position(|word| word == "wpa_passphrase").filter(|_| of == Of::User) {
        found.push(at + 2);
    }
    found.retain(|at| *at < words.len());
    found
}

/// Whether the first word of `ip`'s that is no option and no option's value is (a beginning of) this object.
fn has_object(words: &[String], object: &str, least: usize) -> bool {
    words.iter().take(10).any(|word| word.len() >= least && object.starts_with(word.as_str()))
}

/// The secret that a word has behind a `=`, as in `--password=x` of the user's programs, or in a setting: where it begins.
fn assigned(word: &str, of: Of) -> Option<usize> {
    let (name, value) = word.split_once('=')?;
    let is_key = of == Of::User && is_name(name) || is_setting(name);
    (is_key && !value.is_empty()).then(|| word.len() - value.len())
}

/// The words with their keys hidden.
#[must_use]
pub(crate) fn hide(words: &[String], of: Of) -> Vec<String> {
    let hidden = positions(words, of);
    let one = |(at, word): (usize, &String)| match assigned(word, of) {
        _ if hidden.contains(&at) => HIDDEN.to_owned(),
        Some(from) => format!("{}{HIDDEN}", &word[..from]),
        None => redact(word).into_owned(),
    };
    words.iter().enumerate().map(one).collect()
}

/// A text, such as what a tool complained, with the keys of these words hidden in it.
#[must_use]
pub(crate) fn hide_in(text: String, words: &[String]) -> String {
    let at = positions(words, Of::User);
    let keys = at.iter().filter_map(|at| words.get(*at)).map(String::as_str);
    let keys = keys.chain(words.iter().filter_map(|word| assigned(word, Of::User).map(|from| &word[from..])));
    let text = keys.filter(|key| key.len() >= LEAST).fold(text, |text, key| text.replace(key, HIDDEN));
    redact(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::words;

    #[test]
    fn keys_are_hidden_where_the_tools_have_them() {
        for (given, shown) in [
            (
                "xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1 enc cbc(aes) 0x0011 auth hmac(sha1) 0xfeed",
                "xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1 enc cbc(aes) (hidden) auth hmac(sha1) (hidden)",
            ),
            ("x s add aead rfc4106(gcm(aes)) 0xdead 128", "x s add aead rfc4106(gcm(aes)) (hidden) 128"),
            (
                "ip -n red xfrm state add auth-trunc hmac(sha256) 0xaa 96",
                "ip -n red xfrm state add auth-trunc hmac(sha256) (hidden) 96",
            ),
            (
                "macsec add macsec0 tx sa 0 pn 1 on key 01 0011223344",
                "macsec add macsec0 tx sa 0 pn 1 on key 01 (hidden)",
            ),
            (
                "ip netns exec a wg set wg0 private-key /k peer X preshared-key /p",
                "ip netns exec a wg set wg0 private-key (hidden) peer X preshared-key (hidden)",
            ),
            ("wpa_cli set_network 0 psk hunter22", "wpa_cli set_network 0 psk (hidden)"),
            ("wpa_passphrase home hunter22", "wpa_passphrase home (hidden)"),
            ("curl --password=hunter22 x", "curl --password=(hidden) x"),
            ("tool --psk hunter22", "tool --psk (hidden)"),
            ("sysctl -w net.ipv4.tcp_fastopen_key=01-23-45-67", "sysctl -w net.ipv4.tcp_fastopen_key=(hidden)"),
            (
                "sysctl -w net/ipv6/conf/a.1/stable_secret=2001:db8::1",
                "sysctl -w net/ipv6/conf/a.1/stable_secret=(hidden)",
            ),
        ] {
            assert_eq!(hide(&words(given), Of::User), words(shown), "{given}");
        }
    }

    #[test]
    fn what_is_remembered_is_shown_nowhere() {
        remember("c2VjcmV0LW9mLXRoaXMtdGVzdA==");
        remember("abc");
        assert_eq!(redact("key c2VjcmV0LW9mLXRoaXMtdGVzdA== abc"), "key (hidden) abc");
        assert_eq!(hide(&words("tool x=c2VjcmV0LW9mLXRoaXMtdGVzdA=="), Of::Tool), words("tool x=(hidden)"));
    }

    #[test]
    fn what_is_no_key_is_shown() {
        for given in [
            "link add name gre1 type gre key 5 remote 10.0.0.1",
            "link set dev enc up",
            "route add default via 10.0.0.1",
            "tunnel add t mode vti key 7",
            "iptables -A INPUT -m comment --comment secret -j DROP",
            "psk",
            "-w net.ipv4.tcp_fastopen=3",
        ] {
            let shown = hide(&words(given), Of::Tool);
            assert_eq!(shown, words(given), "{given}");
        }
    }

    #[test]
    fn a_tool_that_repeats_a_key_does_not_tell_it() {
        let said = "Error: argument \"0xfeedface\" is wrong: key too short".to_owned();
        let shown = hide_in(said, &words("xfrm state add auth hmac(sha1) 0xfeedface"));
        assert_eq!(shown, "Error: argument \"(hidden)\" is wrong: key too short");
    }
}
