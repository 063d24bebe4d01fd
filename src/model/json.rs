//! The one tolerant reader of the JSON that iproute2 prints, and the frame of its typed views.

use std::fmt::Write as _;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Error, Kind, Result};

/// The records that a tool printed as JSON; `what` names them in errors, for example ``links of `red` ``.
///
/// iproute2 has its own ideas of JSON, all of them seen in 6.1.0:
///
/// - nothing at all instead of `[]` (`ip -j netns list` where `/run/netns` never existed): no records;
/// - a lone `[` with exit status 2 (`ip -j route show table 4242` of a missing table): no records;
/// - `[{}]` for what a filter left out (`ip -j link show type vxlan dev br0`): dropped;
/// - one object where a list is usual: one record;
/// - several documents one after the other (a batch of several commands): the records of all of them;
/// - a key twice in one object (the route and the encapsulation of `encap ip` and `encap mpls` both have a `dst`): the first is the record's own, a
///   later one is called `encap_dst`;
/// - control characters in names and aliases as they are (its `jsonw_puts` escapes tab, line feed, carriage return, form feed and
///   backspace only), which JSON forbids: read as what they are.
///
/// # Errors
///
/// [`Kind::ToolOutput`] for anything else.
pub fn records(stdout: &str, what: &str) -> Result<Vec<Value>> {
    let text = &*escaped(stdout.trim());
    if text.is_empty() || text == "[" {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Once>() {
        let document = document.map(|Once(value)| value).map_err(|error| {
            let place = if error.line() == 0 {
                String::new()
            } else {
                format!(" at line {} column {}", error.line(), error.column())
            };
            garbage(what, &format!("is not JSON{place}: {}", reason(&error)), text)
        })?;
        let items = match document {
            Value::Array(items) => items,
            object @ Value::Object(_) => vec![object],
            other => return Err(garbage(what, "is JSON but not a list of records", &other.to_string())),
        };
        for item in items {
            match item {
                Value::Object(map) if map.is_empty() => {}
                Value::Object(_) => records.push(item),
                other => {
                    let number = records.len() + 1;
                    return Err(garbage(
                        what,
                        &format!("has a record {number} that is not an object"),
                        &other.to_string(),
                    ));
                }
            }
        }
    }
    Ok(records)
}

/// A value in whose objects no key is lost.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> std::result::Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = all.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> std::result::Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Once(value))) = all.next_entry::<String, _>()? {
            if map.contains_key(&key) {
                map.entry(format!("encap_{key}")).or_insert(value);
            } else {
                map.insert(key, value);
            }
        }
        Ok(map.into())
    }
}

/// The text with its raw control characters spelled as JSON wants them. Between two tokens there are none but blanks and line ends.
fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    let raw = |c: char| c < ' ' && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(raw) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if raw(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// A typed view of one record, which keeps the record beside it: scripts see iproute2's own keys, also those that netwright does not know.
pub trait View: DeserializeOwned {
    /// Takes the record that the view was made from.
    fn keep(&mut self, raw: Map<String, Value>);
    /// The record with iproute2's own keys.
    fn raw(&self) -> &Map<String, Value>;
}

/// [`records`], each as a `T`.
///
/// # Errors
///
/// [`Kind::ToolOutput`] as [`records`], and when a known key holds another type than it has in any known version.
pub fn views<T: View>(stdout: &str, what: &str) -> Result<Vec<T>> {
    records(stdout, what)?.into_iter().enumerate().map(|(index, record)| view_at(record, what, index + 1)).collect()
}

/// [`records`], each as a `T` that keeps nothing else: for whoever looks at a few keys of many records.
///
/// # Errors
///
/// As [`views`].
pub fn brief<T: DeserializeOwned>(stdout: &str, what: &str) -> Result<Vec<T>> {
    // iproute2's own ideas of JSON are rare; where one is met, the tolerant reader takes over.
    if let Some(all) = serde_json::from_str(&escaped(stdout)).ok().filter(|_| !stdout.contains("{}")) {
        return Ok(all);
    }
    records(stdout, what)?.iter().enumerate().map(|(index, record)| typed(record, what, index + 1)).collect()
}

/// One record as a `T`.
///
/// # Errors
///
/// [`Kind::ToolOutput`] when it is not an object, or a known key holds another type.
pub fn view<T: View>(record: Value, what: &str) -> Result<T> {
    view_at(record, what, 1)
}

fn view_at<T: View>(record: Value, what: &str, number: usize) -> Result<T> {
    let mut view: T = typed(&record, what, number)?;
    match record {
        Value::Object(map) => view.keep(map),
        other => {
            return Err(garbage(what, &format!("has a record {number} that is not an object"), &other.to_string()));
        }
    }
    Ok(view)
}

fn typed<T: DeserializeOwned>(record: &Value, what: &str, number: usize) -> Result<T> {
    T::deserialize(record)
        .map_err(|error| garbage(what, &format!("has an unexpected record {number}: {error}"), &record.to_string()))
}

/// An error about what a tool printed: what was read, how it broke, and its first 80 characters.
pub(crate) fn garbage(what: &str, broken: &str, text: &str) -> Error {
    Error::new(Kind::ToolOutput, format!("the output for {what} {broken}")).note("said", snippet(text))
}

/// The first 80 characters of `text`, with control characters escaped.
pub(crate) fn snippet(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for character in rest.by_ref().take(80) {
        if character.is_control() {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// serde's reason without its own position.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// A key whose presence means yes: iproute2 prints `"router":null`, `"not":null`, and elsewhere `"tentative":true`.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Presence {
        Said(bool),
        There(IgnoredAny),
    }
    Ok(match Option::<Presence>::deserialize(deserializer)? {
        Some(Presence::Said(value)) => value,
        Some(Presence::There(_)) | None => true,
    })
}

/// A word that some version may print as a number (`"table":"100"`, `"fwmark":"0x1"`).
pub(crate) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Word {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(Option::<Word>::deserialize(deserializer)?.map(|word| match word {
        Word::Text(text) => text,
        Word::Number(number) => number.to_string(),
    }))
}

/// Implements [`View`] for a struct with a `raw` field.
macro_rules! keeps_raw {
    ($type:ty) => {
        impl $crate::model::json::View for $type {
            fn keep(&mut self, raw: serde_json::Map<String, serde_json::Value>) {
                self.raw = raw;
            }
            fn raw(&self) -> &serde_json::Map<String, serde_json::Value> {
                &self.raw
            }
        }
    };
}
pub(crate) use keeps_raw;

#[cfg(test)]
mod tests {
    use super::*;

    /// iproute2 6.1.0 of `ip route add 10.9.0.0/16 encap ip id 5 dst 10.0.0.9 via 10.0.0.2`: the route was taken for one to 10.0.0.9.
    #[test]
    fn of_a_key_that_comes_twice_the_first_is_the_records_own() {
        let text = r#"[{"dst":"10.9.0.0/16","encap":"ip","id":5,"dst":"10.0.0.9","gateway":"10.0.0.2","dev":"v0","flags":[]}]"#;
        let read = records(text, "routes").unwrap();
        assert_eq!((read[0]["dst"].as_str(), read[0]["encap_dst"].as_str()), (Some("10.9.0.0/16"), Some("10.0.0.9")));
        let route = &crate::model::route::parse(text, "routes").unwrap()[0];
        assert_eq!((route.dst.as_deref(), route.encap.as_deref()), (Some("10.9.0.0/16"), Some("ip")));
        let mut all = records("[{\"a\":[1,-2,0.5,null,true,\"x\"]}]", "values").unwrap();
        assert_eq!(all.pop(), Some(serde_json::json!({ "a": [1, -2, 0.5, null, true, "x"] })));
    }

    #[test]
    fn control_characters_in_a_name_are_read_as_they_are() {
        let text = "[{\"ifname\":\"e\u{1b}[31m\u{7}x\",\"mtu\":1500},{\n\t\"ifname\":\"lo\"}]";
        let read = records(text, "links").unwrap();
        assert_eq!(read[0]["ifname"], "e\u{1b}[31m\u{7}x");
        assert_eq!(read.len(), 2);
    }
}
