//! Why a call, property, index or operator did not work, told from the signatures: pure data in, words out.
//!
//! Rhai says `Function not found: bridge (Netns, i64)` for an unknown name, a wrong type and a wrong number of arguments alike.
//! Here the three become three different sentences.

use super::signature::{Param, Signature, Words, type_word, with_article};
use crate::model::suggest::nearest;
use crate::{Error, Kind};

/// As many alternatives of an overloaded function are listed.
const ALTERNATIVES: usize = 4;
/// As many names are listed where a list helps.
const NAMES: usize = 12;
/// Names that other languages and other tools use.
const FOREIGN: &[(&str, &[&str])] = &[
    ("netns", &["namespace", "ns", "node", "container", "network_namespace"]),
    ("veth", &["veth_pair", "vethpair", "cable", "pair"]),
    ("addr", &["address", "ip", "ip_address", "ipaddr", "ip_addr", "inet", "assign"]),
    ("mac", &["hwaddr", "hw_addr", "mac_address", "mac_addr", "lladdr", "ether"]),
    ("move", &["netns", "move_to", "set_netns", "to_netns"]),
    ("master", &["enslave", "bridge", "add_to_bridge"]),
    ("plug", &["attach", "connect_to", "join", "plug_in"]),
    ("delete", &["remove", "del", "destroy", "rm", "drop"]),
    ("up", &["enable", "bring_up", "ifup"]),
    ("down", &["disable", "bring_down", "ifdown"]),
    ("masquerade", &["nat", "snat", "source_nat"]),
    ("port_forward", &["dnat", "publish", "expose", "forward_port", "map_port", "destination_nat"]),
    ("iptables", &["firewall", "add_rule", "filter"]),
    ("shape", &["delay", "latency", "loss", "netem", "limit", "bandwidth", "rate", "impair"]),
    ("serve", &["server", "http_server", "httpd"]),
    ("reaches", &["can_reach", "pings", "can_ping", "reachable", "can_connect", "connects"]),
    ("cannot_reach", &["not_reaches", "unreachable", "cannot", "blocked", "does_not_reach", "not_reach"]),
    ("expect", &["assert_reachable", "assert_reaches", "assert_ping", "should"]),
    ("sleep", &["wait", "pause"]),
    ("print", &["println", "printf", "echo", "puts", "log"]),
    ("len", &["length", "size", "count"]),
    ("push", &["append", "add"]),
    ("exec", &["system", "sh", "shell", "bash", "cmd", "command", "popen"]),
    ("contains", &["includes", "has", "contains_key"]),
    ("index_of", &["indexOf", "find_index"]),
    ("to_upper", &["upper", "toUpperCase", "to_uppercase"]),
    ("to_lower", &["lower", "toLowerCase", "to_lowercase"]),
    ("sub_string", &["substr", "substring"]),
];

/// How the call is written in the script, as far as its text tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// A dot stands before the name.
    pub method: bool,
    /// The name before the dot, when it is a plain one.
    pub receiver: Option<String>,
    /// What the module alias before the name stands for: the path that was imported.
    pub module: Option<String>,
}

/// Looks things up in the signatures.
#[derive(Clone, Copy)]
pub(crate) struct Explainer<'a> {
    /// All that scripts can call.
    pub all: &'a [Signature],
    /// The author's words for types.
    pub words: &'a Words,
}

impl<'a> Explainer<'a> {
    /// Explains Rhai's `name (type, type)` of a function that was not found.
    #[must_use]
    pub(crate) fn function(&self, not_found: &str, site: &Site) -> Error {
        let (path, given) = self.spelled(not_found);
        let (module, name) = match path.rsplit_once("::") {
            Some((module, name)) => (Some(module), name),
            None => (None, path),
        };
        if name.starts_with("anon$") {
            return self.closure(name, &given);
        }
        if let Some(module) = module {
            return self.in_module(module, name, &given, site);
        }
        if name == "contains"
            && !site.method
            && let [container, item] = given.as_slice()
        {
            return Error::new(
                Kind::InvalidArgument,
                format!("{} cannot be searched with `in`", with_article(container)),
            )
            .label(format!("looks for {} in {}", with_article(item), with_article(container)));
        }
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return operator(name, &given);
        }
        match given.first() {
            Some(receiver) if site.method => self.method(name, receiver, &given, site),
            _ => self.free(name, &given),
        }
    }

    /// Splits `name (type, type)` and puts the types into the author's words.
    fn spelled<'t>(&self, not_found: &'t str) -> (&'t str, Vec<String>) {
        let Some((name, types)) = not_found.split_once(" (") else {
            return (not_found.trim(), Vec::new());
        };
        let types = types.strip_suffix(')').unwrap_or(types);
        let mut given = Vec::new();
        let (mut depth, mut from) = (0i32, 0);
        for (at, c) in types.char_indices() {
            match c {
                '<' | '(' | '[' => depth += 1,
                '>' | ')' | ']' => depth -= 1,
                ',' if depth <= 0 => {
                    given.push(type_word(&types[from..at], self.words));
                    from = at + 1;
                }
                _ => {}
            }
        }
        if !types.trim().is_empty() {
            given.push(type_word(&types[from..], self.words));
        }
        (name.trim(), given)
    }

    /// The functions called `name` that need no module.
    fn named(&self, name: &str) -> Vec<&'a Signature> {
        self.all.iter().filter(|signature| signature.module.is_none() && signature.name == name).collect()
    }

    fn method(&self, name: &str, receiver: &str, given: &[String], site: &Site) -> Error {
        let on = with_article(receiver);
        let written = site.receiver.as_deref().unwrap_or("…");
        let named = self.named(name);
        let mine: Vec<_> = named.iter().copied().filter(|signature| is_method_of(signature, receiver)).collect();
        if !mine.is_empty() {
            return mismatch(&format!("`{name}` of {on}"), &mine, given, 1);
        }
        if receiver == "nothing" {
            return Error::new(
                Kind::InvalidArgument,
                format!("nothing to call `{name}` on: the value before the dot is `()`"),
            )
            .label("this value is `()`")
            .hint("a function that returns nothing, or a key that the map does not have, gives `()`");
        }
        if self.named(&format!("get${name}")).iter().any(|getter| is_method_of(getter, receiver)) {
            return Error::new(Kind::InvalidArgument, format!("`{name}` is a property of {on}, not a function"))
                .label("has no parentheses")
                .hint(format!("write `{written}.{name}`"));
        }
        let own = self.methods_of(receiver);
        let other = named.iter().find(|signature| signature.this_type.is_some());
        let is_ours = meant(name, &own).is_some();
        if let Some(other) = other.filter(|_| !is_ours) {
            return self.of_another(name, receiver, written, other);
        }
        if let Some(free) = named.first().filter(|_| !is_ours) {
            return Error::new(Kind::InvalidArgument, format!("`{name}` is not called on {on}"))
                .hint(format!("write `{name}({})`", names_of(&free.params)));
        }
        let error = Error::new(Kind::NotFound, format!("no function `{name}` on {on}"));
        let error = match suggest(name, &own) {
            _ if idiom(name).is_some() => error.hint(idiom(name).unwrap_or_default()),
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => match self.of_what_it_gives(name, receiver) {
                Some((near, owner, way)) => error.hint(format!(
                    "did you mean `{near}` of {}? write `{written}.{way}(…).{near}(…)`",
                    with_article(owner)
                )),
                None => error,
            },
        };
        if self.is_standard(receiver) { error } else { listed(error, "functions", receiver, &own) }
    }

    /// A method of nearly that name, of something that a method of the receiver of the same name gives: a namespace has `link`, a link has `addr`.
    fn of_what_it_gives(&self, name: &str, receiver: &str) -> Option<(&str, &str, &str)> {
        let steps = self.all.iter().filter(|step| step.module.is_none() && is_method_of(step, receiver));
        steps.filter(|step| step.name == step.returns).find_map(|step| {
            let methods = self.methods_of(&step.returns);
            suggest(name, &methods).map(|near| (near, step.returns.as_str(), step.name.as_str()))
        })
    }

    /// The method exists, on another type than the receiver's.
    fn of_another(&self, name: &str, receiver: &str, written: &str, other: &Signature) -> Error {
        let owner = other.this_type.as_deref().unwrap_or("any value");
        let error = Error::new(
            Kind::InvalidArgument,
            format!("`{name}` is a function of {}, this is {}", with_article(owner), with_article(receiver)),
        );
        let way = self
            .all
            .iter()
            .filter(|step| step.module.is_none() && step.returns == owner && is_method_of(step, receiver))
            .filter(|step| step.name != name && !step.name.contains('$'))
            .min_by_key(|step| (step.name != owner, step.params.len(), step.name.len()));
        let arguments = if other.params.len() > 1 { "…" } else { "" };
        match way {
            Some(step) if step.params.len() > 1 => {
                error.hint(format!("write `{written}.{}(…).{name}({arguments})`", step.name))
            }
            Some(step) => error.hint(format!("write `{written}.{}().{name}({arguments})`", step.name)),
            None => error,
        }
    }

    fn free(&self, name: &str, given: &[String]) -> Error {
        let named = self.named(name);
        let is_mine =
            |signature: &Signature| signature.this_type.is_some() && signature.this_type.as_ref() == given.first();
        if let Some(first) = given.first().filter(|_| named.iter().any(|signature| is_mine(signature))) {
            // `bridge(ns, 5)` is `ns.bridge(5)`.
            let mine: Vec<_> = named.into_iter().filter(|signature| is_mine(signature)).collect();
            return mismatch(&format!("`{name}` of {}", with_article(first)), &mine, given, 1);
        }
        let (methods, free): (Vec<_>, Vec<_>) = named.into_iter().partition(|signature| signature.this_type.is_some());
        if !free.is_empty() {
            return mismatch(&format!("`{name}`"), &free, given, 0);
        }
        if let Some(method) = methods.first() {
            let owner = method.this_type.as_deref().unwrap_or("any value");
            let short = if owner == "namespace" { "ns" } else { owner };
            return Error::new(Kind::NotFound, format!("`{name}` is a function of {}", with_article(owner)))
                .label("stands alone here")
                .hint(format!("write `{short}.{name}({})`", names_of(method.params.get(1..).unwrap_or_default())));
        }
        let error = Error::new(Kind::NotFound, format!("no function `{name}`"));
        let known: Vec<_> = self
            .all
            .iter()
            .filter(|signature| signature.module.is_none() && signature.this_type.is_none())
            .map(|signature| signature.name.as_str())
            .filter(|name| is_word(name))
            .chain(["print", "debug", "type_of"])
            .collect();
        if let Some(near) = suggest(name, &known) {
            return error.hint(format!("did you mean `{near}`?"));
        }
        let of_ours =
            |ours| self.named(ours).into_iter().find(|signature| signature.this_type.as_deref() == Some("namespace"));
        if let Some(method) = foreign(name).find_map(of_ours) {
            let params = names_of(method.params.get(1..).unwrap_or_default());
            return error.hint(format!("write `ns.{}({params})`", method.name));
        }
        match self.all.iter().find(|signature| signature.name == name && signature.module.is_some()) {
            Some(Signature { module: Some(module), .. }) => {
                error.hint(format!("it is in a module: `import \"{module}\" as m;`, then `m::{name}(…)`"))
            }
            _ => error,
        }
    }

    fn in_module(&self, alias: &str, name: &str, given: &[String], site: &Site) -> Error {
        let path = site.module.as_deref().unwrap_or(alias);
        let of_module: Vec<_> = self
            .all
            .iter()
            .filter(|signature| signature.module.as_deref() == Some(path) && is_word(&signature.name))
            .collect();
        let named: Vec<_> = of_module.iter().copied().filter(|signature| signature.name == name).collect();
        if !named.is_empty() {
            return mismatch(&format!("`{alias}::{name}`"), &named, given, 0);
        }
        let error = Error::new(Kind::NotFound, format!("no function `{name}` in module `{path}`"));
        let mut known: Vec<_> = of_module.iter().map(|signature| signature.name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let error = match suggest(name, &known) {
            Some(near) => error.hint(format!("did you mean `{alias}::{near}`?")),
            None => error,
        };
        if known.is_empty() { error } else { error.label(format!("functions of `{path}`: {}", some_of(&known))) }
    }

    fn closure(&self, name: &str, given: &[String]) -> Error {
        let named: Vec<_> = self.all.iter().filter(|signature| signature.name == name).collect();
        if named.is_empty() {
            let count = count_of(given.len(), "argument");
            return Error::new(Kind::InvalidArgument, format!("this closure does not take {count}")).hint(
                "a closure from an imported module cannot be called by its importer: wrap it in a function there",
            );
        }
        mismatch("this closure", &named, given, 0)
    }

    /// Explains a property that cannot be read, or with `value` (its type) cannot be set.
    #[must_use]
    pub(crate) fn property(&self, name: &str, rust_type: &str, value: Option<&str>, site: &Site) -> Error {
        let ty = type_word(rust_type, self.words);
        let (on, written) = (with_article(&ty), site.receiver.as_deref().unwrap_or("…"));
        if ty == "nothing" {
            return Error::new(
                Kind::InvalidArgument,
                format!("nothing to read `{name}` of: the value before the dot is `()`"),
            )
            .hint("a function that returns nothing, or a key that the map does not have, gives `()`");
        }
        let has = |prefix: &str| {
            self.named(&format!("{prefix}{name}")).into_iter().find(|signature| is_method_of(signature, &ty))
        };
        if let (Some(setter), Some(value)) = (has("set$"), value) {
            let wants = setter.params.get(1).map_or("any value", |param| &param.ty);
            let gave = with_article(&type_word(value, self.words));
            let message = format!("`{name}` of {on} takes {}, you gave {gave}", with_article(wants));
            return Error::new(Kind::InvalidArgument, message);
        }
        let method = self.named(name).into_iter().find(|signature| is_method_of(signature, &ty));
        if value.is_some() && has("get$").is_some() {
            let error = Error::new(Kind::InvalidArgument, format!("`{name}` of {on} can only be read"));
            return match method.filter(|method| method.params.len() > 1) {
                Some(_) => error.hint(format!("write `{written}.{name}(…)` to change it")),
                None => error,
            };
        }
        if let Some(method) = method {
            let arguments = names_of(method.params.get(1..).unwrap_or_default());
            return Error::new(Kind::InvalidArgument, format!("`{name}` of {on} is a function, not a property"))
                .label("needs parentheses")
                .hint(format!("write `{written}.{name}({arguments})`"));
        }
        let mut names: Vec<_> = self
            .all
            .iter()
            .filter(|signature| is_method_of(signature, &ty))
            .filter_map(|signature| signature.name.strip_prefix("get$"))
            .collect();
        names.sort_unstable();
        names.dedup();
        let error = Error::new(Kind::NotFound, format!("no property `{name}` on {on}"));
        let mut candidates = names.clone();
        if value.is_none() {
            candidates.extend(self.methods_of(&ty));
        }
        let error = match suggest(name, &candidates) {
            Some(near) if names.contains(&near) => error.hint(format!("did you mean `{near}`?")),
            Some(near) => error.hint(format!("did you mean `{near}(…)`?")),
            None => error,
        };
        listed(error, "properties", &ty, &names)
    }

    /// Explains Rhai's `type [type]` or `type [type] = type` of an index that does not work.
    #[must_use]
    pub(crate) fn index(&self, text: &str) -> Error {
        let (container, rest) = text.split_once(" [").unwrap_or((text, ""));
        let container = type_word(container, self.words);
        let index = type_word(rest.split(']').next().unwrap_or_default(), self.words);
        let verb = if rest.contains("] = ") { "set" } else { "read" };
        let message = match container.as_str() {
            "nothing" => format!("nothing to index: the value before the bracket is `()`, so nothing can be {verb}"),
            _ => format!("{} cannot be indexed by {}", with_article(&container), with_article(&index)),
        };
        let mut names: Vec<_> = self
            .all
            .iter()
            .filter(|signature| is_method_of(signature, &container))
            .filter_map(|signature| signature.name.strip_prefix("get$"))
            .collect();
        names.sort_unstable();
        names.dedup();
        listed(Error::new(Kind::InvalidArgument, message), "properties", &container, &names)
    }

    /// The names of all methods of a type, sorted.
    fn methods_of(&self, ty: &str) -> Vec<&'a str> {
        let mut names: Vec<_> = self
            .all
            .iter()
            .filter(|signature| signature.module.is_none() && is_word(&signature.name) && is_method_of(signature, ty))
            .map(|signature| signature.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Rhai's own types have too many functions to list.
    fn is_standard(&self, ty: &str) -> bool {
        let own =
            ["string", "integer", "float", "array", "map", "blob", "function", "bool", "char", "range", "timestamp"];
        own.contains(&ty) || self.methods_of(ty).is_empty()
    }
}

/// Something can be called as a method of `ty`.
fn is_method_of(signature: &Signature, ty: &str) -> bool {
    match &signature.this_type {
        Some(this) => this == ty,
        // Rhai registers some methods of plain values by value: `"x".len()`, `5.abs()`.
        None => !signature.scripted && signature.params.first().is_some_and(|param| param.ty == ty),
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic()) && !name.contains('$')
}

fn suggest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    meant(name, names).or_else(|| nearest(name, names.iter().copied()))
}

/// What is called otherwise elsewhere, and what is written with a verb: `set_mtu`, `add_addr`, `remove_addr`.
fn meant<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let here = |ours: &str| names.iter().copied().find(|name| *name == ours);
    let sets = || ["set_", "add_", "get_", "make_", "create_", "new_"].iter().find_map(|verb| name.strip_prefix(verb));
    let deletes = || ["del_", "delete_", "remove_", "rm_"].iter().find_map(|verb| name.strip_prefix(verb));
    foreign(name)
        .find_map(here)
        .or_else(|| sets().and_then(|rest| here(rest).or_else(|| foreign(rest).find_map(here))))
        .or_else(|| deletes().and_then(|rest| here(&format!("{rest}_delete"))))
}

/// What a name of others may be here.
fn foreign(name: &str) -> impl Iterator<Item = &'static str> {
    FOREIGN.iter().filter(move |(_, foreign)| foreign.contains(&name)).map(|(ours, _)| *ours)
}

/// What is no function of its own here.
fn idiom(name: &str) -> Option<&'static str> {
    Some(match name {
        "forward" | "forwarding" | "ip_forward" | "enable_forwarding" | "enable_ip_forward" | "router" => {
            "write `ns.sysctl(\"net.ipv4.ip_forward\", 1)`"
        }
        "gateway" | "gw" | "default_route" | "default_gateway" | "default_gw" => {
            "write `ns.route(\"default\", \"10.0.0.1\")`"
        }
        _ => return None,
    })
}

fn listed(error: Error, what: &str, ty: &str, names: &[&str]) -> Error {
    if names.is_empty() { error } else { error.label(format!("{what} of {}: {}", with_article(ty), some_of(names))) }
}

fn some_of(names: &[&str]) -> String {
    let mut text = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES {
        text.push_str(", …");
    }
    text
}

fn count_of(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn names_of(params: &[Param]) -> String {
    params
        .iter()
        .map(|param| if param.name.is_empty() { param.ty.as_str() } else { param.name.as_str() })
        .collect::<Vec<_>>()
        .join(", ")
}

/// `(name: string, options: map)`.
fn shape(params: &[Param]) -> String {
    let shown: Vec<_> = params
        .iter()
        .map(|param| match (param.name.as_str(), param.ty.as_str()) {
            ("", ty) => ty.to_owned(),
            (name, "any value") => name.to_owned(),
            (name, ty) => format!("{name}: {ty}"),
        })
        .collect();
    if shown.is_empty() { "no arguments".to_owned() } else { format!("({})", shown.join(", ")) }
}

/// The functions are right, the arguments are not. `skip` leaves out the receiver.
fn mismatch(what: &str, functions: &[&Signature], given: &[String], skip: usize) -> Error {
    let given = given.get(skip..).unwrap_or_default();
    let mut candidates: Vec<&[Param]> =
        functions.iter().map(|function| function.params.get(skip..).unwrap_or_default()).collect();
    // Rhai lists overloads in no particular order.
    candidates.sort_by_cached_key(|params| (params.len(), shape(params)));
    let mut shapes: Vec<String> = Vec::new();
    for params in &candidates {
        let shape = shape(params);
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let hidden = shapes.len().saturating_sub(ALTERNATIVES);
    shapes.truncate(ALTERNATIVES);
    if hidden > 0 {
        shapes.push("…".to_owned());
    }
    let untyped = candidates.iter().all(|params| params.iter().all(|param| param.ty == "any value"));
    let gave = match given {
        [] => "nothing".to_owned(),
        _ if untyped => count_of(given.len(), "argument"),
        _ => format!("({})", given.join(", ")),
    };
    let error = Error::new(Kind::InvalidArgument, format!("{what} expects {}, you gave {gave}", shapes.join(" or ")));
    let error = match candidates.iter().filter(|params| params.len() == given.len()).collect::<Vec<_>>().as_slice() {
        [params] => {
            match params.iter().zip(given).find(|(param, gave)| param.ty != "any value" && param.ty != **gave) {
                Some((param, gave)) if gave == "string" && param.ty == "link" => {
                    error.hint("a link is what `ns.link(\"…\")` and the verbs that make one return")
                }
                Some((param, gave)) if gave == "string" && param.ty == "namespace" => {
                    error.hint("a namespace is what `netns(\"…\")` returns")
                }
                _ => error,
            }
        }
        _ => error,
    };
    match label(&candidates, given) {
        Some(label) => error.label(label),
        None => error,
    }
}

/// Which argument is wrong, when there is one answer.
fn label(candidates: &[&[Param]], given: &[String]) -> Option<String> {
    let fitting: Vec<_> = candidates.iter().filter(|params| params.len() == given.len()).collect();
    let [params] = fitting.as_slice() else {
        let (least, most) = (candidates.first()?.len(), candidates.last()?.len());
        return match given.len() {
            few if few < least && candidates.iter().filter(|params| params.len() == least).count() == 1 => {
                let names = &candidates.first()?[few..];
                let missing: Vec<_> = names.iter().map(|param| format!("`{}`", param.name)).collect();
                names.iter().all(|param| !param.name.is_empty()).then(|| format!("{} missing", missing.join(" and ")))
            }
            many if many > most => Some(format!("{} too many", count_of(many - most, "argument"))),
            _ => None,
        };
    };
    let (param, gave) = params.iter().zip(given).find(|(param, gave)| param.ty != "any value" && param.ty != **gave)?;
    let name = if param.name.is_empty() { "it".to_owned() } else { format!("`{}`", param.name) };
    match (gave.as_str(), param.ty.as_str()) {
        ("nothing", wants) => Some(format!("{name} must be {}, this is `()`", with_article(wants))),
        (gave, wants) => Some(format!("{name} must be {}, this is {}", with_article(wants), with_article(gave))),
    }
}

fn operator(name: &str, given: &[String]) -> Error {
    let kind = Kind::InvalidArgument;
    match given {
        [one] => {
            let error = Error::new(kind, format!("`{name}` does not work on {}", with_article(one)));
            if name == "!" && one == "map" { error.hint("`.ok` tells whether it worked") } else { error }
        }
        [left, right] => {
            let error = Error::new(
                kind,
                format!("`{name}` does not work between {} and {}", with_article(left), with_article(right)),
            );
            match name {
                "+" if left == "string" || right == "string" => {
                    error.hint("put values into text with back-ticks: `text ${value}`")
                }
                ".." | "..=" => error.hint("a range goes from an integer to an integer"),
                _ => error,
            }
        }
        _ => Error::new(kind, format!("`{name}` does not work here")),
    }
}
