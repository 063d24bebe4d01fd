//! Between script values and types: JSON to maps, maps to options, durations, words; and the small helpers that Rhai lacks.

use std::time::Duration;

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, ImmutableString, Map};
use serde_json::Value;

use super::options;
use super::{Out, reject};
use crate::error::{Error, Kind, Result};
use crate::model::Cidr;
use crate::patience::scaled;
use crate::script::signature::{netwright_words, type_word, with_article};

/// JSON as a script sees it. Numbers beyond 63 bits become floats.
pub(crate) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| number.as_f64().unwrap_or(f64::NAN).into(), Dynamic::from_int)
        }
        Value::String(text) => text.clone().into(),
        Value::Array(values) => values.iter().map(to_dynamic).collect::<Array>().into(),
        Value::Object(map) => to_map(map).into(),
    }
}

/// A JSON object as a map.
#[must_use]
pub(crate) fn to_map(map: &serde_json::Map<String, Value>) -> Map {
    map.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value))).collect()
}

/// A type as script authors call it, with its article.
#[must_use]
pub(crate) fn type_of(value: &Dynamic) -> String {
    with_article(&type_word(value.type_name(), &netwright_words))
}

/// One value, or an array of them, each read by `one`.
pub(super) fn each<T>(value: &Dynamic, one: impl Fn(&Dynamic) -> Result<T>) -> Result<Vec<T>> {
    match value.as_array_ref() {
        Ok(all) => all.iter().map(one).collect(),
        Err(_) => one(value).map(|one| vec![one]),
    }
}

/// The options of a call: a map whose keys are known.
pub(crate) struct Options {
    map: Map,
    of: &'static str,
}

impl Options {
    /// Takes a map and refuses keys that mean nothing, with the nearest that does.
    pub(crate) fn new(map: Map, of: &'static str) -> Result<Self> {
        let unknown = map.keys().find_map(|key| options::unknown(of, key));
        unknown.map_or(Ok(Self { map, of }), Err)
    }

    fn get(&self, key: &str) -> Option<&Dynamic> {
        self.map.get(key).filter(|value| !value.is_unit())
    }

    fn wrong(&self, key: &str, wants: &str, value: &Dynamic) -> Error {
        Error::new(Kind::InvalidArgument, format!("`{key}` of `{}` is {wants}, you gave {}", self.of, type_of(value)))
    }

    /// Text, or anything that reads as one word (a number, a cidr, a link).
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|value| word(value).ok_or_else(|| self.wrong(key, "a string", value))).transpose()
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, key: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_int().map_err(|_| self.wrong(key, "an integer", value))?;
        if bounds.contains(&number) {
            return Ok(Some(number));
        }
        Err(Error::new(
            Kind::InvalidArgument,
            format!("`{key}` of `{}` is between {} and {}, not {number}", self.of, bounds.start(), bounds.end()),
        ))
    }

    /// Yes or no.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|value| value.as_bool().map_err(|_| self.wrong(key, "true or false", value))).transpose()
    }

    /// A time.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Duration>> {
        let time = self.get(key).map(duration).transpose()?;
        Ok(if key == "timeout" { time.map(scaled) } else { time })
    }

    /// Any value.
    pub(crate) fn value(&self, key: &str) -> Option<&Dynamic> {
        self.get(key)
    }
}

/// One word of a command: text, numbers, truth as `1` and `0`, a cidr, the name of a link or namespace.
pub(crate) fn word(value: &Dynamic) -> Option<String> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(text.to_string());
    }
    if let Ok(number) = value.as_int() {
        return Some(number.to_string());
    }
    if let Ok(truth) = value.as_bool() {
        return Some(if truth { "1" } else { "0" }.to_owned());
    }
    if let Ok(number) = value.as_float() {
        return Some(number.to_string());
    }
    if let Some(secret) = value.read_lock::<super::secret::Secret>() {
        return Some(secret.0.clone());
    }
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Some(cidr.to_string());
    }
    if let Some(link) = value.read_lock::<super::Link>() {
        return Some(link.name.clone());
    }
    value.read_lock::<super::Netns>().map(|netns| netns.at.name())
}

/// An options map of a link as pairs of words, in the order of their names.
pub(crate) fn pairs(map: &Map, of: &str) -> Result<Vec<(String, String)>> {
    map.iter()
        .filter(|(_, value)| !value.is_unit())
        .map(|(key, value)| {
            let text = word(value).ok_or_else(|| {
                Error::new(Kind::InvalidArgument, format!("`{key}` of `{of}` cannot be {}", type_of(value)))
            })?;
            Ok((key.to_string(), text))
        })
        .collect()
}

/// The words of a command: a string split as a shell splits it (and never given to one), or an array of words.
pub(crate) fn words(value: &Dynamic, of: &str) -> Result<Vec<String>> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return shlex::split(&text).ok_or_else(|| {
            Error::new(Kind::InvalidArgument, format!("the quotes of `{}` do not match", &*text))
                .hint(format!("give `{of}` an array of words instead: [\"a\", \"b c\"]"))
        });
    }
    if let Ok(array) = value.as_array_ref() {
        return array
            .iter()
            .map(|item| {
                word(item).ok_or_else(|| {
                    Error::new(Kind::InvalidArgument, format!("a word of `{of}` cannot be {}", type_of(item)))
                })
            })
            .collect();
    }
    Err(Error::new(
        Kind::InvalidArgument,
        format!("`{of}` expects a string or an array of words, you gave {}", type_of(value)),
    ))
}

/// A time: `"200ms"`, `"5s"`, `"1m 30s"`, or a number of seconds.
pub(crate) fn duration(value: &Dynamic) -> Result<Duration> {
    let bad = |text: &str| {
        Error::new(Kind::InvalidArgument, format!("`{text}` is not a time"))
            .hint("write \"200ms\", \"5s\", \"1m 30s\", or a number of seconds")
    };
    if let Ok(text) = value.as_immutable_string_ref() {
        return humantime::parse_duration(&text).map_err(|_| bad(&text));
    }
    let seconds = value.as_float().ok().or_else(|| {
        #[expect(clippy::cast_precision_loss, reason = "a time of 2^53 s is refused below")]
        value.as_int().ok().map(|seconds| seconds as f64)
    });
    match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| bad(&seconds.to_string())),
        None => {
            Err(Error::new(Kind::InvalidArgument, format!("a time is a string or a number, not {}", type_of(value)))
                .hint("write \"200ms\", \"5s\", \"1m 30s\", or a number of seconds"))
        }
    }
}

/// An address with its prefix length: text or a cidr.
pub(crate) fn interface_addr(value: &Dynamic) -> Result<ipnet::IpNet> {
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok(cidr.0);
    }
    match value.as_immutable_string_ref() {
        Ok(text) => crate::model::addr::interface_addr(&text),
        Err(_) => Err(Error::new(
            Kind::InvalidArgument,
            format!("an address is a string such as \"10.0.0.1/24\" or a cidr, not {}", type_of(value)),
        )),
    }
}

/// Small helpers that Rhai lacks.
#[export_module]
pub mod api {
    /// The address and its network, of either family: `cidr("10.0.0.0/24")`.
    ///
    /// ```rhai
    /// let lan = cidr("10.0.0.0/24");
    /// assert_eq(lan.host(1).to_string(), "10.0.0.1/24");
    /// assert_eq(lan.host(1).ip, "10.0.0.1");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn cidr(context: NativeCallContext, text: &str) -> Out<Cidr> {
        reject(&context, text.parse::<Cidr>())
    }

    /// The `index`th address of the network, with its prefix length; 0 is the network itself.
    ///
    /// ```rhai
    /// assert_eq(cidr("2001:db8::/64").host(0x10).to_string(), "2001:db8::10/64");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn host(context: NativeCallContext, cidr: &mut Cidr, index: i64) -> Out<Cidr> {
        reject(&context, cidr.host(index.into()))
    }

    /// The first address of the network.
    ///
    /// ```rhai
    /// assert_eq(cidr("10.0.0.7/24").network, "10.0.0.0");
    /// ```
    #[rhai_fn(get = "network", pure)]
    pub fn network(cidr: &mut Cidr) -> String {
        cidr.network().ip().to_string()
    }

    /// The prefix length.
    ///
    /// ```rhai
    /// assert_eq(cidr("10.0.0.0/24").prefix, 24);
    /// ```
    #[rhai_fn(get = "prefix", pure)]
    pub fn prefix(cidr: &mut Cidr) -> i64 {
        cidr.prefix().into()
    }

    /// The address without its prefix length.
    ///
    /// ```rhai
    /// assert_eq(cidr("10.0.0.7/24").ip, "10.0.0.7");
    /// ```
    #[rhai_fn(get = "ip", pure)]
    pub fn ip(cidr: &mut Cidr) -> String {
        cidr.ip().to_string()
    }

    /// Whether an address or a smaller network lies in the network.
    ///
    /// ```rhai
    /// assert(cidr("10.0.0.0/24").contains("10.0.0.9"));
    /// ```
    #[rhai_fn(name = "contains", return_raw, pure)]
    pub fn cidr_contains(context: NativeCallContext, cidr: &mut Cidr, other: &str) -> Out<bool> {
        reject(&context, cidr.contains(other))
    }

    /// The networks with a longer prefix that make up this one.
    ///
    /// ```rhai
    /// assert_eq(cidr("10.0.0.0/24").subnets(26).len(), 4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn subnets(context: NativeCallContext, cidr: &mut Cidr, prefix: i64) -> Out<Array> {
        let subnets = reject(&context, cidr.subnets(prefix))?;
        Ok(subnets.into_iter().map(Dynamic::from).collect())
    }

    /// The cidr as text.
    ///
    /// ```rhai
    /// assert_eq(cidr("10.0.0.7/24").to_string(), "10.0.0.7/24");
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn cidr_to_string(cidr: &mut Cidr) -> String {
        cidr.to_string()
    }

    /// Whether two cidrs are the same address with the same prefix length.
    ///
    /// ```rhai
    /// assert(cidr("10.0.0.1/24") == cidr("10.0.0.0/24").host(1));
    /// ```
    #[rhai_fn(name = "==")]
    pub fn cidr_equals(a: Cidr, b: Cidr) -> bool {
        a == b
    }

    /// Whether two cidrs are different addresses, or have different prefix lengths.
    ///
    /// ```rhai
    /// assert(cidr("10.0.0.1/24") != cidr("10.0.0.1/16"));
    /// ```
    #[rhai_fn(name = "!=")]
    pub fn cidr_differs(a: Cidr, b: Cidr) -> bool {
        a != b
    }

    /// The items as text with `separator` between them.
    ///
    /// ```rhai
    /// assert_eq(["a", "b"].join(", "), "a, b");
    /// ```
    #[rhai_fn(pure)]
    pub fn join(items: &mut Array, separator: &str) -> String {
        items.iter().map(|item| word(item).unwrap_or_else(|| item.to_string())).collect::<Vec<_>>().join(separator)
    }

    /// Whether a map has a key.
    ///
    /// ```rhai
    /// assert(#{ a: 1 }.contains_key("a"));
    /// ```
    #[rhai_fn(pure)]
    pub fn contains_key(map: &mut Map, key: &str) -> bool {
        map.contains_key(key)
    }

    /// Takes the white space from the ends of the text, and returns it. (Rhai's own `trim` returns nothing.)
    ///
    /// ```rhai
    /// let key = netns("ns-blue").exec("echo abc").stdout.trim();
    /// assert_eq(key, "abc");
    /// ```
    #[rhai_fn(name = "trim")]
    pub fn trim(text: &mut ImmutableString) -> ImmutableString {
        *text = text.trim().into();
        text.clone()
    }

    /// Replaces every `from` in the text by `to`, and returns it.
    ///
    /// ```rhai
    /// assert_eq("a-b".replace("-", "_"), "a_b");
    /// ```
    #[rhai_fn(name = "replace")]
    pub fn replace(text: &mut ImmutableString, from: &str, to: &str) -> ImmutableString {
        *text = text.replace(from, to).into();
        text.clone()
    }

    /// Puts the text into capital letters, and returns it.
    ///
    /// ```rhai
    /// let shout = "lo";
    /// assert_eq(shout.make_upper(), "LO");
    /// ```
    #[rhai_fn(name = "make_upper")]
    pub fn make_upper(text: &mut ImmutableString) -> ImmutableString {
        *text = text.to_uppercase().into();
        text.clone()
    }

    /// Puts the text into small letters, and returns it.
    ///
    /// ```rhai
    /// let mac = "02:AB:CD:00:00:01";
    /// assert_eq(mac.make_lower(), "02:ab:cd:00:00:01");
    /// ```
    #[rhai_fn(name = "make_lower")]
    pub fn make_lower(text: &mut ImmutableString) -> ImmutableString {
        *text = text.to_lowercase().into();
        text.clone()
    }

    /// The text without white space at its ends, as a new string: the variable stays as it is.
    ///
    /// ```rhai
    /// assert_eq("  a ".trimmed(), "a");
    /// ```
    #[rhai_fn(pure)]
    pub fn trimmed(text: &mut ImmutableString) -> String {
        text.trim().to_owned()
    }

    /// The text with every `from` replaced by `to`, as a new string.
    ///
    /// ```rhai
    /// assert_eq("a-b".replaced("-", "_"), "a_b");
    /// ```
    #[rhai_fn(pure)]
    pub fn replaced(text: &mut ImmutableString, from: &str, to: &str) -> String {
        text.replace(from, to)
    }
}
