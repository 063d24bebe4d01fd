//! `import`: `std/…` is embedded, every other path is relative to the importing file.
//!
//! Rhai's own resolver leaves its base by `../`, resolves nested imports from the wrong place and overflows the stack on a cycle (KNOWLEDGE.md).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::error::throw;
use super::signature::{self, Signature};
use super::source::{self, Sources};
use crate::error::{Error, Kind};
use crate::exec::interrupt::Interrupt;
use crate::model::suggest;

/// The modules that are part of netwright, by the path that scripts import.
pub const STD: &[(&str, &str)] = &[
    ("std/container", include_str!("../../stdlib/container.rhai")),
    ("std/dhcp", include_str!("../../stdlib/dhcp.rhai")),
    ("std/dns", include_str!("../../stdlib/dns.rhai")),
    ("std/faults", include_str!("../../stdlib/faults.rhai")),
    ("std/firewall", include_str!("../../stdlib/firewall.rhai")),
    ("std/lab", include_str!("../../stdlib/lab.rhai")),
    ("std/nat", include_str!("../../stdlib/nat.rhai")),
    ("std/router", include_str!("../../stdlib/router.rhai")),
    ("std/vpn", include_str!("../../stdlib/vpn.rhai")),
];

/// Finds, compiles and keeps modules. Cloning shares.
#[derive(Clone)]
pub(crate) struct Resolver(Rc<State>);

struct State {
    sources: Sources,
    /// The real folder of the main script: modules stay below it.
    root: PathBuf,
    interrupt: Interrupt,
    loaded: RefCell<HashMap<String, Shared<Module>>>,
    loading: RefCell<Vec<String>>,
    signatures: RefCell<Vec<Signature>>,
}

impl Resolver {
    /// A resolver for scripts in and below `root`.
    pub(crate) fn new(sources: Sources, root: PathBuf, interrupt: Interrupt) -> Self {
        Self(Rc::new(State {
            sources,
            root,
            interrupt,
            loaded: RefCell::default(),
            loading: RefCell::default(),
            signatures: RefCell::default(),
        }))
    }

    /// What the loaded modules offer.
    pub(crate) fn signatures(&self) -> Vec<Signature> {
        self.0.signatures.borrow().clone()
    }

    /// The modules that are always there.
    pub(crate) fn std_paths() -> Vec<String> {
        STD.iter().map(|(path, _)| (*path).to_owned()).collect()
    }

    /// The texts of what was read.
    pub(super) fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// The name under which a module is known, and its text.
    pub(super) fn find(&self, importer: Option<&str>, path: &str) -> crate::Result<(String, String)> {
        if path.starts_with("std/") {
            if self.0.sources.carries() {
                let carried = self.0.sources.carried(path);
                return carried.map(|text| (path.to_owned(), text)).ok_or_else(|| not_carried(path));
            }
            if let Some((_, text)) = STD.iter().find(|(name, _)| *name == path) {
                return Ok((path.to_owned(), (*text).to_owned()));
            }
            let mut error = Error::new(Kind::NotFound, format!("no module `{path}`"));
            if let Some(near) = suggest::nearest(path, STD.iter().map(|(name, _)| *name)) {
                error = error.hint(format!("did you mean `{near}`?"));
            }
            return Err(error.hint(format!("modules of netwright: {}", Self::std_paths().join(", "))));
        }
        if path.is_empty() {
            return Err(Error::new(Kind::InvalidArgument, "the path of a module is empty")
                .hint("a module is imported relative to the importing file: import \"lib/mine\" as mine"));
        }
        if Path::new(path).is_absolute() {
            return Err(Error::new(Kind::InvalidArgument, format!("`{path}` is not a relative path"))
                .hint("a module is imported relative to the importing file: import \"lib/mine\" as mine"));
        }
        let folder = match importer {
            Some(name) if name.starts_with("std/") => {
                return Err(Error::new(Kind::InvalidArgument, format!("`{name}` may only import `std/` modules")));
            }
            Some(name) => Path::new(name).parent().unwrap_or(Path::new("")).to_path_buf(),
            None => PathBuf::new(),
        };
        let with_ending = if Path::new(path).extension().is_some_and(|ending| ending == "rhai") {
            path.to_owned()
        } else {
            format!("{path}.rhai")
        };
        let named = tidy(&folder.join(with_ending));
        let shown = named.display().to_string();
        if self.0.sources.carries() {
            return self.0.sources.carried(&shown).map(|text| (shown, text)).ok_or_else(|| not_carried(path));
        }
        let not_found = |why: String| {
            let error = Error::new(Kind::NotFound, format!("no module `{path}`"));
            let near = STD.iter().map(|(name, _)| *name).find(|name| name.strip_prefix("std/") == Some(path));
            let near = near.map(str::to_owned).or_else(|| source::nearest_file(&named));
            let error = match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            };
            error
                .hint(format!("looked for `{}`: {why}", named.display()))
                .hint("modules of netwright begin with `std/`")
        };
        let real = named.canonicalize().map_err(|error| not_found(source::plain(&error)))?;
        if !real.starts_with(&self.0.root) {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("the module `{path}` lies outside `{}`", self.0.root.display()),
            )
            .hint("modules stay below the folder of the main script, so that a script can be vendored with them"));
        }
        Ok((named.display().to_string(), source::read(&named, &self.0.interrupt)?))
    }

    fn load(&self, engine: &Engine, importer: Option<&str>, path: &str) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let (name, text) = self.find(importer, path).map_err(throw)?;
        if let Some(module) = self.0.loaded.borrow().get(&name) {
            return Ok(Shared::clone(module));
        }
        let cycle = self.0.loading.borrow().iter().position(|loading| *loading == name);
        if let Some(from) = cycle {
            let mut chain = self.0.loading.borrow()[from..].to_vec();
            chain.push(name);
            return Err(throw(
                Error::new(
                    Kind::InvalidArgument,
                    format!("modules import each other in a circle: {}", chain.join(" → ")),
                )
                .hint("move what both need into a third module"),
            ));
        }
        self.0.sources.add(&name, &text);
        self.0.loading.borrow_mut().push(name.clone());
        let module = self.compile(engine, &name, &text, path);
        self.0.loading.borrow_mut().pop();
        // Rhai then knows in which file the position is.
        let module = module.map_err(|error| EvalAltResult::ErrorInModule(name.clone(), error, Position::NONE))?;
        self.0.loaded.borrow_mut().insert(name, Shared::clone(&module));
        Ok(module)
    }

    fn compile(
        &self,
        engine: &Engine,
        name: &str,
        text: &str,
        path: &str,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let mut ast = engine.compile(source::without_shebang(text))?;
        ast.set_source(name);
        super::caught::remember(&ast);
        self.0.signatures.borrow_mut().extend(signature::of_ast(&ast, Some(path)));
        Module::eval_ast_as_new(Scope::new(), &ast, engine).map(Into::into)
    }
}

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        self.load(engine, source, path).map_err(|mut error| {
            if error.position().is_none() || matches!(*error, EvalAltResult::ErrorInModule(..)) {
                error.set_position(position);
            }
            error
        })
    }
}

fn not_carried(path: &str) -> Error {
    Error::new(Kind::NotFound, format!("the bundle carries no module `{path}`")).hint(
        "`netwright bundle` with the script makes it anew; a path that is put together at run time cannot be bundled",
    )
}

/// A path without `.` and inner `..`, as a person would write it.
fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_of_the_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| Some(format!("std/{}", entry.ok()?.path().file_stem()?.to_str()?)))
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, Resolver::std_paths());
    }

    #[test]
    fn paths_are_tidied() {
        assert_eq!(tidy(Path::new("a/./b/../c.rhai")), Path::new("a/c.rhai"));
        assert_eq!(tidy(Path::new("../x.rhai")), Path::new("../x.rhai"));
    }
}
