//! A script and its modules in one file, so that it is the same in two years: `netwright bundle`.
//!
//! The file reads like the script: its own lines come first and keep their numbers, the modules stand behind them as comments, each with its SHA-256.
//! A changed byte is an error that names the part. What is imported then comes from the file and from nowhere else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::check;
use super::resolver::{Resolver, STD};
use super::source::{self, Sources};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::text::sha256;

/// The line with which the modules begin. The number is that of the format.
const MARK: &str = "//@ netwright-bundle ";
/// The format that this netwright writes and reads.
const VERSION: &str = "1";
/// What stands before each line of a module.
const LINE: &str = "//|";

/// A file with a script and its modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// Which netwright made it.
    pub netwright: String,
    /// Where the script was, as it was named.
    pub origin: String,
    /// The script.
    pub script: Part,
    /// The modules by the path that the script's folder gives them: `std/container`, `lib/mine.rhai`.
    pub modules: BTreeMap<String, Part>,
}

/// A text and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The text, which ends with a line end.
    pub text: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

impl Part {
    fn new(text: &str) -> Self {
        let mut text = text.to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self { sha256: sha256(text.as_bytes()), text }
    }
}

impl Bundle {
    /// Reads a script and all modules that it imports.
    ///
    /// # Errors
    ///
    /// What is wrong with one of the files; `InvalidArgument` for a script that is a bundle already.
    pub(crate) fn of(script: &Path) -> Result<Self> {
        let text = source::read(script, &Interrupt::default())?;
        if is_bundle(&text) {
            return Err(Error::new(Kind::InvalidArgument, format!("`{}` is a bundle already", script.display()))
                .hint("`netwright bundle --update FILE` takes over what has moved on"));
        }
        let root = script.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default();
        let resolver = Resolver::new(Sources::default(), root, Interrupt::default());
        let folder = folder_of(script);
        let mut modules = BTreeMap::new();
        let mut waiting = vec![(script.display().to_string(), text.clone())];
        while let Some((name, text)) = waiting.pop() {
            for path in check::imports(&name, &text, &resolver)? {
                let (found, text) = resolver.find(Some(&name), &path)?;
                let key = key_of(&folder, &found);
                if modules.insert(key, Part::new(&text)).is_none() {
                    waiting.push((found, text));
                }
            }
        }
        Ok(Self {
            netwright: env!("CARGO_PKG_VERSION").to_owned(),
            origin: script.display().to_string(),
            script: Part::new(&text),
            modules,
        })
    }

    /// Reads a file that may be a bundle; `name` is for messages. `None`: it is an ordinary script.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a part that is not what was bundled, and for a format that is newer.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Option<Self>> {
        let Some((script, rest)) = split(text) else { return Ok(None) };
        let broken = |why: String| {
            Error::new(Kind::InvalidArgument, format!("the bundle `{name}` {why}"))
                .hint("`netwright bundle` with the script makes it anew")
        };
        let mut lines = rest.lines();
        let version = lines.next().and_then(|line| line.strip_prefix(MARK)).unwrap_or_default().trim();
        if version != VERSION {
            return Err(broken(format!("is of format {version}, and this netwright reads {VERSION}")));
        }
        let mut bundle = Self {
            netwright: String::new(),
            origin: String::new(),
            script: Part { text: script.to_owned(), sha256: String::new() },
            modules: BTreeMap::new(),
        };
        let mut open: Option<String> = None;
        let mut ended = false;
        for line in lines {
            if let Some(words) = line.strip_prefix("//@ ") {
                if words == "end" {
                    ended = true;
                    break;
                }
                let (what, rest) = words.split_once(' ').unwrap_or((words, ""));
                match what {
                    "made-by" => rest.clone_into(&mut bundle.netwright),
                    "script" | "module" => {
                        let (name, sha256) =
                            named(rest).ok_or_else(|| broken(format!("has a line that says nothing: `{line}`")))?;
                        if what == "script" {
                            (bundle.origin, bundle.script.sha256) = (name, sha256);
                        } else {
                            bundle.modules.insert(name.clone(), Part { text: String::new(), sha256 });
                            open = Some(name);
                        }
                    }
                    _ => return Err(broken(format!("has a line that means nothing: `{line}`"))),
                }
            } else if let (Some(line), Some(part)) =
                (line.strip_prefix(LINE), open.as_ref().and_then(|name| bundle.modules.get_mut(name)))
            {
                part.text.push_str(line.strip_prefix(' ').unwrap_or(line));
                part.text.push('\n');
            } else {
                return Err(broken(format!("has a line that belongs to nothing: `{line}`")));
            }
        }
        if !ended {
            return Err(broken("is cut off".into()));
        }
        let parts = std::iter::once(("script", &bundle.script))
            .chain(bundle.modules.iter().map(|(name, part)| (name.as_str(), part)));
        for (what, part) in parts {
            if sha256(part.text.as_bytes()) != part.sha256 {
                let what =
                    if what == "script" { "the script itself".to_owned() } else { format!("the module `{what}`") };
                return Err(broken(format!("was changed: {what} is not what was bundled"))
                    .hint("to change it, change the script that it was made of"));
            }
        }
        Ok(Some(bundle))
    }

    /// The file.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut out = self.script.text.clone();
        let _ = writeln!(out, "{MARK}{VERSION}");
        let _ = writeln!(out, "//@ made-by {}", self.netwright);
        let _ = writeln!(out, "//@ script {:?} sha256 {}", self.origin, self.script.sha256);
        for (name, part) in &self.modules {
            let _ = writeln!(out, "//@ module {name:?} sha256 {}", part.sha256);
            for line in part.text.lines() {
                let _ = writeln!(out, "{LINE}{}{line}", if line.is_empty() { "" } else { " " });
            }
        }
        out.push_str("//@ end\n");
        out
    }

    /// What is otherwise in another one of the same script: `script`, or the name of a module, and how.
    #[must_use]
    pub(crate) fn differences(&self, now: &Self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        if self.script.sha256 != now.script.sha256 {
            found.push((now.origin.clone(), "has changed"));
        }
        for (name, part) in &now.modules {
            match self.modules.get(name) {
                None => found.push((name.clone(), "is new")),
                Some(old) if old.sha256 != part.sha256 => found.push((name.clone(), "has changed")),
                Some(_) => {}
            }
        }
        let gone = self.modules.keys().filter(|name| !now.modules.contains_key(*name));
        found.extend(gone.map(|name| (name.clone(), "is no longer imported")));
        found
    }

    /// The texts of a part of this one and of another: what a difference is about.
    #[must_use]
    pub(crate) fn texts<'a>(&'a self, now: &'a Self, name: &str) -> (&'a str, &'a str) {
        let of = |bundle: &'a Self| -> &'a str {
            if name == now.origin {
                &bundle.script.text
            } else {
                bundle.modules.get(name).map_or("", |part| &part.text)
            }
        };
        (of(self), of(now))
    }
}

/// The modules of a bundle that is being run, with the folder in which its script seems to be.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    folder: PathBuf,
    modules: BTreeMap<String, Part>,
}

impl Carried {
    /// A module by the name under which it would be found beside the script.
    pub(super) fn find(&self, named: &str) -> Option<&str> {
        self.modules.get(&key_of(&self.folder, named)).map(|part| part.text.as_str())
    }
}

/// Reads a script that may be a bundle: what it carries is then where its imports are found.
///
/// # Errors
///
/// As [`Bundle::parse`].
pub(crate) fn open(path: &Path, text: &str, sources: &Sources) -> Result<()> {
    let bundle = Bundle::parse(&path.display().to_string(), text)?;
    sources.carry(bundle.map(|bundle| Carried { folder: folder_of(path), modules: bundle.modules }));
    Ok(())
}

fn is_bundle(text: &str) -> bool {
    split(text).is_some()
}

/// The script, and the rest from the mark on.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = if text.starts_with(MARK) { 0 } else { text.rfind(&format!("\n{MARK}"))? + 1 };
    text.split_at_checked(at)
}

/// `"NAME" sha256 HEX`
fn named(rest: &str) -> Option<(String, String)> {
    let (name, sha256) = rest.rsplit_once(" sha256 ")?;
    let name: String = serde_json::from_str(name).ok()?;
    Some((name, sha256.trim().to_owned()))
}

fn folder_of(script: &Path) -> PathBuf {
    script.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The name of a module in a bundle: below the folder of the script.
fn key_of(folder: &Path, named: &str) -> String {
    Path::new(named).strip_prefix(folder).map_or_else(|_| named.to_owned(), |path| path.display().to_string())
}

/// Whether a module of netwright's own is another one by now.
#[must_use]
pub(crate) fn std_moved(bundle: &Bundle) -> Vec<String> {
    let moved = |(name, text): &&(&str, &str)| {
        bundle.modules.get(*name).is_some_and(|part| part.sha256 != Part::new(text).sha256)
    };
    STD.iter().filter(moved).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let modules = [("lib/a.rhai", "fn a() { 1 }\n\n// x"), ("std/container", "fn b() {}\n")];
        Bundle {
            netwright: "0.1.0".into(),
            origin: "dir/x \"y\".rhai".into(),
            script: Part::new("#!/usr/bin/env netwright\nimport \"lib/a\" as a;"),
            modules: modules.into_iter().map(|(name, text)| (name.to_owned(), Part::new(text))).collect(),
        }
    }

    #[test]
    fn a_bundle_is_read_back_and_every_changed_byte_is_found() {
        let (bundle, text) = (bundle(), bundle().to_text());
        assert_eq!(Bundle::parse("f", &text).unwrap().as_ref(), Some(&bundle));
        assert_eq!(Bundle::parse("f", "print(1);\n").unwrap(), None);
        let mut found = 0;
        for (at, byte) in text.bytes().enumerate() {
            // The names of who made it and where the script was are no part of what is run.
            let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let head = &text[line..];
            if byte == b'\n'
                || head.starts_with("//@ made-by")
                || head.starts_with("//@ script")
                || head.starts_with("//@ netwright")
            {
                continue;
            }
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let parsed = Bundle::parse("f", &changed);
            assert!(!matches!(&parsed, Ok(Some(same)) if *same == bundle), "byte {at} of {text}");
            found += usize::from(parsed.is_err());
        }
        assert!(found > 200, "{found}");
        let error = Bundle::parse("f", &text.replace("fn a()", "fn c()")).unwrap_err();
        assert!(error.to_string().contains("the module `lib/a.rhai` is not what was bundled"), "{error}");
        let error = Bundle::parse("f", &text.replace("as a;", "as b;")).unwrap_err();
        assert!(error.to_string().contains("the script itself is not what was bundled"), "{error}");
        for cut in [text.len() - 4, text.len() / 2 + 40] {
            assert!(Bundle::parse("f", &text[..cut]).is_err(), "{cut}");
        }
        let newer = text.replace("//@ netwright-bundle 1", "//@ netwright-bundle 2");
        assert!(Bundle::parse("f", &newer).unwrap_err().to_string().contains("is of format 2"));
    }

    #[test]
    fn what_has_moved_on_is_named() {
        let (old, mut new) = (bundle(), bundle());
        assert_eq!(old.differences(&new), []);
        new.script = Part::new("other");
        new.modules.remove("std/container");
        new.modules.insert("lib/a.rhai".into(), Part::new("fn a() { 2 }"));
        new.modules.insert("lib/new.rhai".into(), Part::new(""));
        let told: Vec<String> = old.differences(&new).into_iter().map(|(name, how)| format!("{name} {how}")).collect();
        assert_eq!(
            told,
            [
                "dir/x \"y\".rhai has changed",
                "lib/a.rhai has changed",
                "lib/new.rhai is new",
                "std/container is no longer imported"
            ]
        );
    }
}
