//! Secrets and the keys of `WireGuard`: values that no message, trace or report shows.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::options;
use super::value::{Options, type_of, word, words};
use super::{Out, act_global, reject};
use crate::error::{Error, Kind, Result};
use crate::op::secret as hidden;
use crate::op::wg::Peer;
use crate::session::Wireguard;

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(pub(super) String);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        hidden::remember(text);
        Self(text.to_owned())
    }
}

fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

/// A key that was given as a secret or as text; from now on it is one.
fn key(map: &Map, name: &str) -> Result<Option<String>> {
    let Some(value) = map.get(name).filter(|value| !value.is_unit()) else { return Ok(None) };
    let text = value.read_lock::<Secret>().map(|secret| secret.0.clone());
    let text = text.or_else(|| value.as_immutable_string_ref().ok().map(|text| text.trim().to_owned()));
    let text = text.ok_or_else(|| {
        invalid(format!("`{name}` is a key of WireGuard, not {}", type_of(value)))
            .hint("`wg_key().private_key`, or `secret(…)`")
    })?;
    hidden::remember(&text);
    Ok(Some(text))
}

fn peer(value: &Dynamic) -> Result<(Peer, Option<String>)> {
    let map = value.as_map_ref().map_err(|_| {
        invalid(format!("a peer of WireGuard is a map, not {}", type_of(value)))
            .hint("peers: [#{ key: other.public_key, endpoint: \"192.0.2.1:51820\", allowed: [\"10.0.0.0/24\"] }]")
    })?;
    if let Some(error) = map.keys().find_map(|key| options::unknown("peer", key)) {
        return Err(error);
    }
    let psk = key(&map, "psk")?;
    let given = Options::new(
        map.iter().filter(|(name, _)| *name != "psk").map(|(k, v)| (k.clone(), v.clone())).collect(),
        "peer",
    )?;
    let public = given.text("key")?.ok_or_else(|| invalid("a peer of WireGuard needs its public `key`".into()))?;
    let endpoint = given.text("endpoint")?;
    if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| endpoint.parse::<std::net::SocketAddr>().is_err()) {
        return Err(invalid(format!("`{endpoint}` is no endpoint: an address with a port"))
            .hint("\"192.0.2.1:51820\" or \"[2001:db8::1]:51820\""));
    }
    let allowed = match given.value("allowed") {
        Some(value) if value.is_array() => words(value, "allowed")?,
        Some(value) => word(value).into_iter().collect(),
        None => Vec::new(),
    };
    for network in &allowed {
        if network.parse::<ipnet::IpNet>().is_err() && network.parse::<std::net::IpAddr>().is_err() {
            return Err(invalid(format!("`{network}` is no network")).hint("allowed: [\"10.0.0.0/24\", \"fd00::/64\"]"));
        }
    }
    let keepalive = given.number("keepalive", 0..=0xffff)?;
    let keepalive = keepalive.and_then(|seconds| u16::try_from(seconds).ok());
    Ok((Peer { key: public, endpoint, allowed, keepalive }, psk))
}

/// What `wg` sets of a link's options; the others are `ip`'s.
pub(super) fn wireguard(options: &mut Map) -> Result<Wireguard> {
    let key = key(options, "key")?;
    options.remove("key");
    let port = match options.remove("port") {
        None => None,
        Some(value) => Some(
            value
                .as_int()
                .ok()
                .and_then(|port| u16::try_from(port).ok())
                .ok_or_else(|| invalid(format!("`{value}` is no port")).hint("port: 51820"))?,
        ),
    };
    let peers = match options.remove("peers") {
        None => None,
        Some(value) => {
            let all: Array = value
                .clone()
                .into_array()
                .map_err(|_| invalid(format!("`peers` is an array of maps, not {}", type_of(&value))))?;
            Some(all.iter().map(peer).collect::<Result<Vec<_>>>()?)
        }
    };
    Ok(Wireguard { key, port, peers })
}

#[export_module]
pub mod api {
    /// A pair of keys for `WireGuard`: `private_key`, a secret, and `public_key`, a text (`private` and `public` are words of Rhai itself).
    ///
    /// ```rhai
    /// needs("tool:wg");
    /// let key = wg_key();
    /// assert_eq(key.public_key.len(), 44);
    /// assert_eq(`${key.private_key}`, "(hidden)");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn wg_key(context: NativeCallContext) -> Out<Map> {
        let (private, public) = act_global(&context, crate::session::Session::wg_key)?;
        Ok(Map::from_iter([
            ("private_key".into(), Dynamic::from(Secret::new(&private))),
            ("public_key".into(), public.into()),
        ]))
    }

    /// A text that nothing shows: wherever it would be printed, in messages, traces, reports and journals, stands `(hidden)`. It can be given as a key
    /// and as a word or the `stdin` of a program.
    ///
    /// ```rhai
    /// let password = secret("hunter22");
    /// assert_eq(`the password is ${password}`, "the password is (hidden)");
    /// netns("ns-blue").run("cat", #{ stdin: password });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn secret(context: NativeCallContext, text: &str) -> Out<Secret> {
        if text.trim().len() < 4 {
            return reject(&context, Err(invalid("a secret of fewer than 4 characters cannot be hidden".into())));
        }
        Ok(Secret::new(text))
    }

    /// The secret as it is shown: `(hidden)`.
    ///
    /// ```rhai
    /// assert_eq(secret("hunter22").to_string(), "(hidden)");
    /// ```
    #[rhai_fn(name = "to_string", pure)]
    pub fn secret_to_string(_secret: &mut Secret) -> String {
        hidden::HIDDEN.to_owned()
    }

    /// The same for the inspector.
    ///
    /// ```rhai
    /// assert_eq(secret("hunter22").to_debug(), "(hidden)");
    /// ```
    #[rhai_fn(name = "to_debug", pure)]
    pub fn secret_to_debug(_secret: &mut Secret) -> String {
        hidden::HIDDEN.to_owned()
    }
}
