//! Completion, hints and descriptions, from signatures and from what is there now. Nothing here runs a script.

use std::rc::Rc;

use rhai::{Dynamic, Scope};

use super::api::{Link, Netns};
use super::reference::tail;
use super::resolver::Resolver;
use super::signature::{Signature, netwright_words, type_word};
use crate::op::Where;
use crate::session::Session;

/// Words of the language that begin a statement or stand for a value.
const KEYWORDS: &[&str] = &[
    "break", "catch", "const", "continue", "do", "else", "false", "fn", "for", "if", "import", "in", "let", "loop",
    "return", "switch", "throw", "true", "try", "until", "while",
];

/// What completion looks at.
pub(super) struct View<'a> {
    pub(super) signatures: Rc<Vec<Signature>>,
    pub(super) scope: &'a Scope<'static>,
    pub(super) session: &'a Rc<Session>,
}

/// What can stand at the end of `before`: the byte at which the word starts, and the words.
pub(super) fn complete(view: &View<'_>, before: &str) -> (usize, Vec<String>) {
    if let Some((start, call)) = open_string(before) {
        let given = &before[start..];
        return (start, view.strings(call, given).into_iter().filter(|word| word.starts_with(given)).collect());
    }
    let start = before.len() - trailing_name(before).len();
    let (head, word) = before.split_at(start);
    let mut words = if let Some(receiver) = head.strip_suffix("?.").or_else(|| head.strip_suffix('.')) {
        view.members(receiver)
    } else if let Some(module) = head.strip_suffix("::") {
        view.of_module(trailing_name(module))
    } else if word.is_empty() && !head.trim_end().is_empty() && !head.trim_end().ends_with(['(', ',', '=', ';', '{']) {
        Vec::new()
    } else {
        view.free()
    };
    words.retain(|name| name.starts_with(word));
    words.sort();
    words.dedup();
    // `link` and `link(`: one candidate is enough.
    let calls: Vec<String> = words.iter().filter_map(|word| word.strip_suffix('(').map(str::to_owned)).collect();
    words.retain(|word| word.ends_with('(') || !calls.contains(word));
    (start, words)
}

/// What the call that the cursor is in expects, and what it returns.
pub(super) fn hint(view: &View<'_>, before: &str) -> Option<String> {
    let (name, receiver, module, given) = open_call(before)?;
    let ty = receiver.map(|receiver| view.type_of(receiver));
    let mut shapes: Vec<String> = Vec::new();
    let mut all: Vec<&Signature> = view.signatures.iter().filter(|signature| signature.name == name).collect();
    all.sort_by_key(|signature| signature.params.len());
    for signature in all {
        let fits = match (&ty, module) {
            (Some(Some(ty)), _) => is_method_of(signature, ty),
            (Some(None), _) => signature.this_type.is_some() && is_ours(signature),
            (None, Some(module)) => signature.module.as_deref() == Some(module),
            (None, None) => signature.module.is_none() && signature.this_type.is_none(),
        };
        let params = signature.params.get(usize::from(ty.is_some())..).unwrap_or_default();
        if !fits || params.len() <= given && !(params.is_empty() && given == 0) {
            continue;
        }
        let shape = tail(signature, params.get(given..).unwrap_or_default());
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes.truncate(3);
    (!shapes.is_empty()).then(|| shapes.join("  or  "))
}

/// Something that netwright or a script of the user offers, and not Rhai itself: only that has doc comments with examples.
fn is_ours(signature: &Signature) -> bool {
    signature.scripted || signature.docs.contains("```rhai")
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic()) && !name.contains('$')
}

fn is_method_of(signature: &Signature, ty: &str) -> bool {
    match &signature.this_type {
        Some(this) => this == ty,
        None => {
            !signature.scripted
                && signature.module.is_none()
                && signature.params.first().is_some_and(|param| param.ty == ty)
        }
    }
}

impl View<'_> {
    fn free(&self) -> Vec<String> {
        let mut words: Vec<String> = KEYWORDS.iter().map(|word| (*word).to_owned()).collect();
        words.extend(self.scope.iter().map(|(name, ..)| name.to_owned()));
        for signature in self.signatures.iter().filter(|signature| is_word(&signature.name)) {
            match &signature.module {
                Some(module) => words.push(format!("{module}::")),
                None if signature.this_type.is_none() && is_ours(signature) => words.push(call(signature, 0)),
                None => {}
            }
        }
        words.extend(["print(".to_owned()]);
        words
    }

    fn of_module(&self, module: &str) -> Vec<String> {
        let of = self.signatures.iter().filter(|signature| signature.module.as_deref() == Some(module));
        of.filter(|signature| is_word(&signature.name)).map(|signature| call(signature, 0)).collect()
    }

    /// What can stand behind the dot of an expression: by the value at hand, or by the type that it will have.
    fn members(&self, receiver: &str) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(value) = self.value(chain(receiver))
            && let Ok(map) = value.as_map_ref()
        {
            let is_name = |key: &&str| key.chars().all(|c| c.is_alphanumeric() || c == '_');
            words.extend(map.keys().map(rhai::Identifier::as_str).filter(is_name).map(str::to_owned));
        }
        let ty = self.type_of(receiver);
        for signature in self.signatures.iter().filter(|signature| signature.module.is_none()) {
            let fits = match &ty {
                Some(ty) => is_method_of(signature, ty),
                None => signature.this_type.is_some() && is_ours(signature),
            };
            if !fits {
                continue;
            }
            if let Some(property) = signature.name.strip_prefix("get$") {
                words.push(property.to_owned());
            } else if is_word(&signature.name) {
                words.push(call(signature, 1));
            }
        }
        words
    }

    /// The value of a variable, or of keys of a map in a variable: `star`, `star.hub`.
    fn value(&self, expression: &str) -> Option<Dynamic> {
        let mut parts = expression.split('.');
        let mut value = self.scope.get_value::<Dynamic>(parts.next()?.trim())?;
        for key in parts {
            let next = value.as_map_ref().ok()?.get(key.trim())?.clone();
            value = next;
        }
        Some(value)
    }

    /// The type of an expression in the author's words, as far as signatures tell.
    fn type_of(&self, expression: &str) -> Option<String> {
        let expression = chain(expression);
        if let Some(value) = self.value(expression) {
            return Some(type_word(value.type_name(), &netwright_words));
        }
        let parts = split_chain(expression);
        let (first, rest) = parts.split_first()?;
        let mut ty = self.type_of_first(first)?;
        for part in rest {
            let (name, is_call) = part.split_once('(').map_or((*part, false), |(name, _)| (name, true));
            let name = if is_call { name.trim().to_owned() } else { format!("get${}", name.trim()) };
            let step = self
                .signatures
                .iter()
                .find(|step| step.module.is_none() && step.name == name && is_method_of(step, &ty));
            ty.clone_from(&step?.returns);
        }
        (ty != "any value").then_some(ty)
    }

    fn type_of_first(&self, part: &str) -> Option<String> {
        if part.starts_with(['"', '`']) {
            return Some("string".to_owned());
        }
        if part.starts_with("#{") {
            return Some("map".to_owned());
        }
        if let Some((name, _)) = part.split_once('(') {
            let free =
                |step: &&Signature| step.module.is_none() && step.this_type.is_none() && step.name == name.trim();
            return self.signatures.iter().find(free).map(|step| step.returns.clone());
        }
        if part.starts_with('[') {
            return Some("array".to_owned());
        }
        if let Some((name, index)) = part.split_once('[') {
            let value = self.value(name)?;
            let index: usize = index.trim_end_matches(']').trim().parse().ok()?;
            let item = value.as_array_ref().ok()?.get(index)?.type_name();
            return Some(type_word(item, &netwright_words));
        }
        self.value(part).map(|value| type_word(value.type_name(), &netwright_words))
    }

    /// What can stand in a string, by the call that it is in.
    fn strings(&self, call: &str, given: &str) -> Vec<String> {
        let name = trailing_name(call);
        if name == "import" {
            let mut paths = Resolver::std_paths();
            paths.extend(script_paths(given));
            return paths;
        }
        let receiver = call[..call.len() - name.len()].trim_end().strip_suffix('.');
        match (name, receiver) {
            ("netns", None) => self.netns_names(),
            ("link", Some(receiver)) => self.links_of(receiver),
            ("netns_path", None) => self.netns_names().iter().map(|name| format!("/run/netns/{name}")).collect(),
            _ => {
                let mut names = self.netns_names();
                names.extend(self.session.links(&Where::Host).unwrap_or_default().into_iter().map(|link| link.ifname));
                names
            }
        }
    }

    fn netns_names(&self) -> Vec<String> {
        self.session.netns_names().unwrap_or_default()
    }

    /// The links that are there now in the namespace of an expression; it is not run, only looked up.
    fn links_of(&self, receiver: &str) -> Vec<String> {
        let expression = chain(receiver);
        let at = match self.value(expression) {
            Some(value) => match (value.read_lock::<Netns>(), value.read_lock::<Link>()) {
                (Some(netns), _) => Some(netns.at.clone()),
                (_, Some(link)) => Some(link.netns.at.clone()),
                _ => None,
            },
            None if expression == "host()" => Some(Where::Host),
            None => expression
                .strip_prefix("netns(\"")
                .and_then(|rest| rest.strip_suffix("\")"))
                .map(|name| Where::Named(name.to_owned())),
        };
        let Some(at) = at.filter(|at| self.session.netns_exists(at)) else { return Vec::new() };
        self.session.links(&at).unwrap_or_default().into_iter().map(|link| link.ifname).collect()
    }
}

/// `netns(`, or `host()` for what takes nothing.
fn call(signature: &Signature, receiver: usize) -> String {
    if signature.params.len() <= receiver { format!("{}()", signature.name) } else { format!("{}(", signature.name) }
}

/// Scripts and folders that begin with what is given, without the ending that `import` adds.
fn script_paths(given: &str) -> Vec<String> {
    let folder = given.rsplit_once('/').map_or("", |(folder, _)| folder);
    let Ok(entries) = std::fs::read_dir(if folder.is_empty() { "." } else { folder }) else { return Vec::new() };
    let mut paths: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            let name = match name.strip_suffix(".rhai") {
                Some(stem) => stem.to_owned(),
                None if entry.path().is_dir() => format!("{name}/"),
                None => return None,
            };
            Some(if folder.is_empty() { name } else { format!("{folder}/{name}") })
        })
        .collect();
    paths.sort();
    paths
}

/// The name at the end of a text.
fn trailing_name(text: &str) -> &str {
    &text[text.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len()..]
}

/// A text with its strings blanked (same bytes), and where a string that is still open begins.
fn blank(text: &str) -> (String, Option<usize>) {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<(char, usize)> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match open {
            Some((quote, _)) if c == quote && !escaped => {
                open = None;
                out.push(c);
                continue;
            }
            Some((quote, _)) => {
                escaped = c == '\\' && !escaped && quote == '"';
                out.extend(std::iter::repeat_n('_', c.len_utf8()));
                continue;
            }
            None if matches!(c, '"' | '`') => open = Some((c, at + 1)),
            None => {}
        }
        out.push(c);
    }
    (out, open.map(|(_, at)| at))
}

/// The start of the string that the cursor is in, and the call or word before it.
fn open_string(before: &str) -> Option<(usize, &str)> {
    let start = blank(before).1?;
    let head = before[..start - 1].trim_end();
    let head = head.strip_suffix('(').unwrap_or(head).trim_end();
    Some((start, head))
}

/// The call that the cursor is in: its name, the text before its dot, its module, how many arguments are complete.
fn open_call(before: &str) -> Option<(&str, Option<&str>, Option<&str>, usize)> {
    let (text, _) = blank(before);
    let (mut depth, mut commas) = (0usize, 0usize);
    let open = text.char_indices().rev().find_map(|(at, c)| {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' if depth == 0 => return Some(at),
            '(' | '[' | '{' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => commas += 1,
            _ => {}
        }
        None
    })?;
    let name = trailing_name(&before[..open]);
    if name.is_empty() {
        return None;
    }
    let head = &before[..open - name.len()];
    let receiver = head.strip_suffix('.');
    let module = head.strip_suffix("::").map(trailing_name);
    Some((name, receiver, module, commas))
}

/// The expression of names, dots, calls and indices that a text ends with: `x = blue.link("eth0")` has `blue.link("eth0")`.
fn chain(text: &str) -> &str {
    let text = text.trim_end();
    let (blanked, _) = blank(text);
    let mut depth = 0usize;
    let mut start = text.len();
    for (at, c) in blanked.char_indices().rev() {
        let inside = match c {
            ')' | ']' => {
                depth += 1;
                true
            }
            '(' | '[' if depth > 0 => {
                depth -= 1;
                true
            }
            _ => depth > 0 || c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '`'),
        };
        if !inside {
            break;
        }
        start = at;
    }
    &text[start..]
}

/// The parts between the dots of a chain.
fn split_chain(chain: &str) -> Vec<&str> {
    let (blanked, _) = blank(chain);
    let (mut depth, mut from) = (0usize, 0usize);
    let mut parts = Vec::new();
    for (at, c) in blanked.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => {
                parts.push(&chain[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&chain[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hints_say_what_the_reference_says() {
        use crate::exec::{Exec, interrupt::Interrupt, tools::Tools};
        use crate::script::reference::{Reference, Use};
        use crate::script::repl::Console;
        use crate::session::Mode;

        let exec = Exec::new(Tools::new(&[]).unwrap(), Interrupt::default()).unwrap();
        let console = Console::new(&Rc::new(Session::new(exec, Mode::Sandbox, Box::new(|_| {}))), None);
        let mut seen = 0;
        for entry in Reference::new().entries {
            let call = match (entry.used, entry.receiver.as_deref()) {
                (Use::Function, None) if entry.module.is_none() => format!("let x = {}(", entry.name),
                (Use::Method, Some("namespace")) => format!("host().{}(", entry.name),
                (Use::Method, Some("link")) => format!("host().link(\"eth0\").{}(", entry.name),
                (Use::Method, Some("cidr")) => format!("cidr(\"10.0.0.0/24\").{}(", entry.name),
                _ => continue,
            };
            let (_, tail) = entry.signature.split_once('(').unwrap();
            let hint = console.hint(&call).unwrap_or_default();
            assert!(hint.split("  or  ").any(|form| form == tail), "{call}: `{hint}` lacks `{tail}`");
            seen += 1;
        }
        assert!(seen > 80, "only {seen} calls");
    }

    #[test]
    fn the_expression_before_a_dot() {
        assert_eq!(chain("let x = blue.link(\"a b\")"), "blue.link(\"a b\")");
        assert_eq!(chain("f(host()"), "host()");
        assert_eq!(chain("a + b[0]"), "b[0]");
        assert_eq!(split_chain("host().link(\"eth0.10\").peer"), ["host()", "link(\"eth0.10\")", "peer"]);
    }

    #[test]
    fn the_call_around_the_cursor() {
        assert_eq!(open_call("blue.plug(\"e(\", f(1, 2), "), Some(("plug", Some("blue"), None, 2)));
        assert_eq!(open_call("lab::star("), Some(("star", None, Some("lab"), 0)));
        assert_eq!(open_call("f(1)"), None);
        assert_eq!(open_call("if ("), None);
    }

    #[test]
    fn the_string_around_the_cursor() {
        assert_eq!(open_string("blue.link(\"et"), Some((11, "blue.link")));
        assert_eq!(open_string("import \"std/"), Some((8, "import")));
        assert_eq!(open_string("f(\"a\""), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z.:(){}\\[\\],\"`\\\\ é#$]{0,40}") {
            let _ = (open_call(&text), open_string(&text), split_chain(chain(&text)));
        }
    }
}
