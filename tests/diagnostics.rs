//! Annotated scripts: each says on its own lines what error it expects, and a golden file beside it holds the whole rendering.
//!
//! `tests/diagnostics/*.rhai` hold one or more scripts, divided by `//---- title` lines and run one by one. In them
//! `//~ ERROR text` expects an error on this line whose message contains the text, `//~^ ERROR text` one on the line above,
//! `//~ HELP text` a hint, `//~ CALLED` the call that led to an error in a module of `tests/diagnostics/lib/`, which carries the
//! annotation there. The renderings are rewritten by `UPDATE_GOLDEN=1 cargo test --test diagnostics`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use netwright::Error;
use netwright::report::diagnostic::render;

/// One script of a file, with all lines outside of it left empty so that its lines keep their numbers.
struct Case {
    title: String,
    text: String,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("//---- ") {
            cases.push(Case { title: title.trim().to_owned(), text: "\n".repeat(at) });
        } else if cases.is_empty() && !line.trim().is_empty() && !line.starts_with("//") {
            cases.push(Case { title: "the script".to_owned(), text: "\n".repeat(at) });
        }
        if let Some(case) = cases.last_mut() {
            case.text.push_str(line);
            case.text.push('\n');
        }
    }
    cases
}

/// `(what, line, text)` of each annotation.
fn annotations(text: &str) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for mark in line.split("//~").skip(1) {
            let (mark, line) = mark.strip_prefix('^').map_or((mark, at + 1), |mark| (mark, at));
            let (what, text) = mark.trim().split_once(' ').unwrap_or((mark.trim(), ""));
            found.push((what.to_owned(), line, text.trim().to_owned()));
        }
    }
    found
}

fn check(name: &str, case: &Case, error: &Error, sources: &HashMap<String, String>, problems: &mut String) {
    let parts = error.parts();
    let place = parts.place.clone().unwrap_or_default();
    let source = place.source.clone().unwrap_or_default();
    let mut expected = annotations(&case.text);
    if source != name {
        let called = expected.iter().filter(|(what, ..)| what == "CALLED");
        for (_, line, _) in called {
            let known =
                parts.calls.iter().any(|call| call.place.line == *line && call.place.source.as_deref() == Some(name));
            if !known {
                let _ = writeln!(problems, "{name}:{line}: no such call in {:?}", parts.calls);
            }
        }
        expected = sources.get(&source).map(|text| annotations(text)).unwrap_or_default();
        expected.retain(|(_, line, _)| *line == place.line);
    }
    expected.retain(|(what, ..)| what != "CALLED");
    if !expected.iter().any(|(what, ..)| what == "ERROR") {
        let _ = writeln!(problems, "{name} ({}): unexpected error at {place:?}: {error}", case.title);
    }
    for (what, line, text) in &expected {
        let holds = match what.as_str() {
            "ERROR" => *line == place.line && parts.message.contains(text.as_str()),
            "HELP" => parts.hints.iter().any(|hint| hint.contains(text.as_str())),
            _ => false,
        };
        if !holds {
            let _ =
                writeln!(problems, "{name}:{line}: expected {what} {text}\n  got {place:?} {error} {:?}", parts.hints);
        }
    }
}

#[test]
fn scripts_fail_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rhai"));
    files.sort();
    assert!(!files.is_empty());
    let mut problems = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mut golden = String::new();
        for case in cases(&text) {
            let (error, mut sources) = match engine::run(&name, &case.text, &folder) {
                Ok(()) => {
                    let _ = writeln!(problems, "{name} ({}): no error", case.title);
                    continue;
                }
                Err(failed) => failed,
            };
            sources.insert(name.clone(), case.text.clone());
            check(&name, &case, &error, &sources, &mut problems);
            // The annotations say nothing new in the rendering.
            let bare: HashMap<String, String> = sources.iter().map(|(name, text)| (name.clone(), bare(text))).collect();
            let _ = writeln!(golden, "---- {}\n{}", case.title, render(&error, &bare, false, 120));
        }
        let path = file.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &golden).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != golden {
            let _ = writeln!(problems, "{} is out of date, now:\n{golden}", path.display());
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

fn bare(text: &str) -> String {
    text.lines().map(|line| line.split("//~").next().unwrap_or_default().trim_end().to_owned() + "\n").collect()
}

/// The engine under test. Only this module changes when the scripts are to run on the real one.
mod engine {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};
    use std::rc::Rc;

    use netwright::script::error::{Context, Ended, from_parse, from_rhai, place_of};
    use netwright::script::signature::{self, Signature};
    use netwright::{Error, Kind};
    use rhai::plugin::*;
    use rhai::{Array, Engine, INT, Map, Module, ModuleResolver, Scope};

    /// A namespace of the stub.
    #[derive(Clone, Debug)]
    pub(crate) struct Netns {
        name: String,
    }

    /// A link of the stub.
    #[derive(Clone, Debug)]
    pub(crate) struct Link {
        name: String,
    }

    type Fails<T> = Result<T, Box<EvalAltResult>>;

    #[export_module]
    mod api {
        /// The namespace of that name.
        pub(crate) fn netns(name: &str) -> Netns {
            Netns { name: name.to_owned() }
        }
        /// The namespace that plays the host.
        pub(crate) fn host() -> Netns {
            netns("host")
        }
        /// An existing link.
        #[rhai_fn(return_raw)]
        pub(crate) fn link(ctx: NativeCallContext, ns: &mut Netns, name: &str) -> Fails<Link> {
            if name == "lo" || name == "veth0" {
                return Ok(Link { name: name.to_owned() });
            }
            let error = Error::new(Kind::NotFound, format!("no link `{name}` in `{}`", ns.name))
                .label(format!("links in `{}`: lo, veth0", ns.name))
                .hint("did you mean `veth0`?")
                .netns(&ns.name)
                .at(place_of(&ctx));
            Err(error.into())
        }
        /// Makes a bridge.
        pub(crate) fn bridge(ns: &mut Netns, name: &str) -> Link {
            Link { name: format!("{}-{name}", ns.name) }
        }
        /// Makes a bridge with options.
        #[rhai_fn(name = "bridge")]
        pub(crate) fn bridge_with(ns: &mut Netns, name: &str, _options: Map) -> Link {
            bridge(ns, name)
        }
        /// Adds a route.
        pub(crate) fn route(_ns: &mut Netns, _to: &str, _via: &str) {}
        /// The name.
        #[rhai_fn(get = "name")]
        pub(crate) fn name_of_netns(ns: &mut Netns) -> String {
            ns.name.clone()
        }
        /// The links.
        #[rhai_fn(get = "links")]
        pub(crate) fn links(_ns: &mut Netns) -> Array {
            Array::new()
        }
        /// The name.
        #[rhai_fn(get = "name")]
        pub(crate) fn name_of_link(link: &mut Link) -> String {
            link.name.clone()
        }
        /// The MTU.
        #[rhai_fn(get = "mtu")]
        pub(crate) fn mtu(_link: &mut Link) -> INT {
            1500
        }
        /// Sets the MTU.
        #[rhai_fn(name = "mtu")]
        pub(crate) fn set_mtu(link: &mut Link, _mtu: INT) -> Link {
            link.clone()
        }
        /// A property that can be set.
        #[rhai_fn(set = "alias")]
        pub(crate) fn set_alias(_link: &mut Link, _alias: &str) {}
        /// Sets it up.
        pub(crate) fn up(link: &mut Link) -> Link {
            link.clone()
        }
        /// Adds an address.
        pub(crate) fn addr(link: &mut Link, _address: &str) -> Link {
            link.clone()
        }
    }

    /// Texts by source name, and what they offer.
    type Read = Rc<RefCell<(HashMap<String, String>, Vec<Signature>)>>;

    /// Resolves `lib/x` to `tests/diagnostics/lib/x.rhai` and remembers what it read.
    struct Resolver {
        folder: PathBuf,
        read: Read,
    }

    impl ModuleResolver for Resolver {
        fn resolve(&self, engine: &Engine, _from: Option<&str>, path: &str, at: rhai::Position) -> Fails<Rc<Module>> {
            let source = format!("{path}.rhai");
            let Ok(text) = std::fs::read_to_string(self.folder.join(&source)) else {
                return Err(EvalAltResult::ErrorModuleNotFound(path.to_owned(), at).into());
            };
            self.read.borrow_mut().0.insert(source.clone(), text.clone());
            let within = |error: Box<EvalAltResult>| Box::new(EvalAltResult::ErrorInModule(source.clone(), error, at));
            let mut ast = engine.compile(text).map_err(|error| within(error.into()))?;
            ast.set_source(&source);
            self.read.borrow_mut().1.extend(signature::of_ast(&ast, Some(path)));
            Module::eval_ast_as_new(Scope::new(), &ast, engine).map(Rc::new).map_err(within)
        }
    }

    /// Runs a script; what failed comes with the modules that were read.
    pub(crate) fn run(name: &str, text: &str, folder: &Path) -> Result<(), (Error, HashMap<String, String>)> {
        let mut engine = Engine::new();
        engine.set_strict_variables(true);
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        engine.set_max_call_levels(64);
        engine.set_max_expr_depths(256, 128);
        engine.set_max_string_size(10_000);
        engine.set_fail_on_invalid_map_property(true);
        engine.register_type_with_name::<Netns>("Netns").register_type_with_name::<Link>("Link");
        engine.register_global_module(rhai::exported_module!(api).into());
        let read: Read = Rc::new(RefCell::new((HashMap::new(), Vec::new())));
        read.borrow_mut().0.insert(name.to_owned(), text.to_owned());
        engine.set_module_resolver(Resolver { folder: folder.to_owned(), read: Rc::clone(&read) });

        let compiled = engine.compile(text).map(|mut ast| {
            ast.set_source(name);
            ast
        });
        let result = match &compiled {
            Ok(ast) => engine.run_ast(ast).map_err(Some),
            Err(_) => Err(None),
        };
        let Err(result) = result else { return Ok(()) };
        let scripts: Vec<_> = compiled.iter().collect();
        let (sources, modules) = read.borrow().clone();
        let context = Context {
            engine: &engine,
            main: name,
            scripts: &scripts,
            modules: &modules,
            importable: &["std/lab".to_owned(), "std/container".to_owned(), "lib/shapes".to_owned()],
            variables: &[],
            sources: &sources,
            words: &signature::netwright_words,
        };
        let error = match (result, &compiled) {
            (Some(error), _) => match from_rhai(error, &context) {
                Ended::Error(error) => error,
                other => panic!("{other:?}"),
            },
            (None, Err(error)) => from_parse(error, name, &context),
            (None, Ok(_)) => unreachable!(),
        };
        Err((error, sources.clone()))
    }
}
