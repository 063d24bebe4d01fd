//! `netwright check`: mistakes found without running anything.
//!
//! The syntax tree is walked once with the types that literals, handles and signatures give. What the types do not tell is left alone: a
//! finding is a mistake, never a guess.

mod literals;
mod walk;

use std::collections::HashSet;
use std::path::Path;

use rhai::{AST, Engine, Expr, ScriptFuncDef, Shared, Stmt};

use super::engine::bare_engine;
use super::error::{Context, from_parse, place};
use super::explain::Explainer;
use super::resolver::Resolver;
use super::signature::{self, Signature, netwright_words};
use super::source::{self, Sources};
use crate::error::{Error, Kind};
use crate::exec::interrupt::Interrupt;
use crate::model::suggest::with_nearest;
use crate::text::diagnostic;

/// A mistake.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What kind of mistake: `syntax`, `call`, `option`, `value`, `import`, `shadow`, `unused`, `test`, `file`.
    pub rule: &'static str,
    /// What is wrong, where, and what helps.
    pub error: Error,
}

/// The findings in some scripts, and the texts they speak of.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// In the order of the scripts and of their lines.
    pub findings: Vec<Finding>,
    sources: Sources,
    seen: HashSet<String>,
}

impl Checked {
    /// The texts that the findings speak of.
    #[must_use]
    pub(crate) fn sources(&self) -> &dyn diagnostic::Sources {
        &self.sources
    }

    /// Checks a script and the modules that it imports from its own folder.
    pub(crate) fn check(&mut self, path: &Path) {
        let name = path.display().to_string();
        let text = match source::read(path, &Interrupt::default()) {
            Ok(text) => text,
            Err(error) => {
                self.findings.push(Finding { rule: "file", error });
                return;
            }
        };
        if let Err(error) = super::bundle::open(path, &text, &self.sources) {
            self.findings.push(Finding { rule: "file", error });
            return;
        }
        let root = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default();
        self.check_text(&name, &text, &Resolver::new(self.sources.clone(), root, Interrupt::default()));
    }

    /// Checks one text; what is imported from beside it, too.
    fn check_text(&mut self, name: &str, text: &str, resolver: &Resolver) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        self.sources.add(name, text);
        let engine = bare_engine(resolver.clone());
        let first = self.findings.len();
        let ast = match engine.compile(source::without_shebang(text)) {
            Ok(ast) => ast,
            Err(error) => {
                let error = with_context(&engine, name, &self.sources, |context| from_parse(&error, name, context));
                self.findings.push(Finding { rule: "syntax", error });
                return;
            }
        };
        let tree = Tree::of(&ast);
        let mut all = signature::of_engine(&engine, &netwright_words);
        all.extend(signature::of_ast(&ast, None));
        let mut nested = Vec::new();
        let mut keys = HashSet::new();
        for (path, at) in tree.imports() {
            match resolver.find(Some(name), &path) {
                Err(error) => self.findings.push(Finding { rule: "import", error: error.at(place(name, at)) }),
                Ok((found, text)) => {
                    // A module that does not parse is a finding of its own.
                    if let Ok(module) = engine.compile(source::without_shebang(&text)) {
                        all.extend(signature::of_ast(&module, Some(&path)));
                        keys.extend(Tree::of(&module).keys());
                    }
                    if !found.starts_with("std/") {
                        nested.push((found, text));
                    }
                }
            }
        }
        self.findings.extend(shadows(name, &tree, &all));
        let explainer = Explainer { all: &all, words: &netwright_words };
        let mut walker = walk::Walker::new(name, explainer, &tree, text, keys);
        walker.walk();
        self.findings.append(&mut walker.findings);
        for at in tree.unlooked() {
            let error = Error::new(
                Kind::InvalidArgument,
                "nobody looks at what `exec` returns: when the program fails, nobody knows",
            )
            .hint("`run` must succeed; or look at the `.ok` of what `exec` returns");
            self.findings.push(Finding { rule: "unused", error: error.at(place(name, at)) });
        }
        let mut own = self.findings.split_off(first);
        own.sort_by_key(|finding| finding.error.parts().place.as_ref().map(|place| (place.line, place.column)));
        let mut known = HashSet::new();
        own.retain(|finding| {
            let place = finding.error.parts().place.as_ref().map(|place| (place.line, place.column));
            known.insert((place, finding.error.to_string()))
        });
        self.findings.extend(own);
        for (name, text) in nested {
            self.check_text(&name, &text, resolver);
        }
    }
}

/// The modules that a text imports by name.
///
/// # Errors
///
/// When it does not parse.
pub(super) fn imports(name: &str, text: &str, resolver: &Resolver) -> crate::Result<Vec<String>> {
    let engine = bare_engine(resolver.clone());
    let ast = engine.compile(source::without_shebang(text)).map_err(|error| {
        with_context(&engine, name, resolver.sources(), |context| from_parse(&error, name, context))
    })?;
    Ok(Tree::of(&ast).imports().into_iter().map(|(path, _)| path).collect())
}

fn with_context<T>(engine: &Engine, name: &str, sources: &Sources, work: impl FnOnce(&Context<'_>) -> T) -> T {
    work(&Context {
        engine,
        main: name,
        scripts: &[],
        modules: &[],
        importable: &Resolver::std_paths(),
        variables: &[],
        sources,
        words: &netwright_words,
    })
}

/// The statements of a script, and of each function and closure in it.
struct Tree {
    main: Vec<Stmt>,
    functions: Vec<Function>,
}

struct Function {
    def: Shared<ScriptFuncDef>,
    body: Vec<Stmt>,
}

impl Function {
    fn is_closure(&self) -> bool {
        self.def.name.starts_with("anon$")
    }
}

impl Tree {
    fn of(ast: &AST) -> Self {
        let count = ast.statements().len();
        let mut functions: Vec<Function> = ast
            .shared_lib()
            .iter_script_fn_info()
            .map(|(.., def)| Function { def: Shared::clone(def), body: Vec::new() })
            .collect();
        let mut root = 0;
        // Rhai hands out the bodies of functions only while it walks; whose a statement is, its place tells.
        ast.walk(&mut |path| {
            let [rhai::ASTNode::Stmt(statement)] = path else { return true };
            root += 1;
            if root > count {
                let at = statement.position();
                let inside = |function: &&mut Function| {
                    let (start, end) = (function.def.body.start_position(), function.def.body.end_position());
                    // A closure that is one expression has no end, and no other statement.
                    at.is_none() || start == at || (start <= at && !end.is_none() && at <= end)
                };
                // The innermost is the one that starts last.
                let owner = functions.iter_mut().filter(inside).max_by_key(|one| one.def.body.start_position());
                if let Some(owner) = owner {
                    owner.body.push((*statement).clone());
                }
            }
            true
        });
        Self { main: ast.statements().to_vec(), functions }
    }

    /// Every `import` of a literal path, wherever it stands.
    fn imports(&self) -> Vec<(String, rhai::Position)> {
        let mut found = Vec::new();
        for statement in self.statements() {
            statement.walk(&mut Vec::new(), &mut |path: &[rhai::ASTNode<'_>]| {
                if let Some(rhai::ASTNode::Stmt(Stmt::Import(import, _))) = path.last()
                    && let Expr::StringConstant(path, at) = &import.0
                {
                    found.push((path.to_string(), *at));
                }
                true
            });
        }
        found
    }

    /// The calls of `exec` whose result nobody looks at.
    fn unlooked(&self) -> Vec<rhai::Position> {
        let mut found = Vec::new();
        find_unlooked(&self.main, false, &mut found);
        self.functions.iter().for_each(|function| find_unlooked(&function.body, true, &mut found));
        found
    }

    /// The keys of all literal maps.
    fn keys(&self) -> HashSet<String> {
        let mut keys = HashSet::new();
        for statement in self.statements() {
            statement.walk(&mut Vec::new(), &mut |path: &[rhai::ASTNode<'_>]| {
                if let Some(rhai::ASTNode::Expr(Expr::Map(map, _))) = path.last() {
                    keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
                }
                true
            });
        }
        keys
    }

    fn statements(&self) -> impl Iterator<Item = &Stmt> {
        self.main.iter().chain(self.functions.iter().flat_map(|function| &function.body))
    }
}

/// The calls of `exec` whose result nobody looks at.
pub(super) fn unlooked(ast: &AST) -> Vec<rhai::Position> {
    Tree::of(ast).unlooked()
}

/// The name and place of the last call of `a.b().c()`.
fn last_call(expr: &Expr) -> Option<(&str, rhai::Position)> {
    match expr {
        Expr::Dot(dot, ..) => last_call(&dot.rhs),
        Expr::MethodCall(call, at) => Some((&call.name, *at)),
        _ => None,
    }
}

/// Looks for such calls among statements; the value of the last one may be `used`.
fn find_unlooked(statements: &[Stmt], used: bool, found: &mut Vec<rhai::Position>) {
    for (index, statement) in statements.iter().enumerate() {
        let used = used && index + 1 == statements.len();
        match statement {
            Stmt::If(flow, _) | Stmt::TryCatch(flow, _) => {
                find_unlooked(flow.body.statements(), used, found);
                find_unlooked(flow.branch.statements(), used, found);
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => find_unlooked(flow.body.statements(), false, found),
            Stmt::For(parts, _) => find_unlooked(parts.2.body.statements(), false, found),
            Stmt::Block(block) => find_unlooked(block.statements(), used, found),
            Stmt::Expr(expr) if !used => {
                found.extend(last_call(expr).filter(|(name, _)| *name == "exec").map(|(_, at)| at));
            }
            _ => {}
        }
    }
}

/// Functions of the script that stand in the way of netwright's own.
fn shadows(name: &str, tree: &Tree, all: &[Signature]) -> Vec<Finding> {
    let mut found = Vec::new();
    for function in tree.functions.iter().filter(|function| !function.is_closure()) {
        let (own, count) = (function.def.name.as_str(), function.def.params.len());
        let is_hidden = |signature: &&Signature| {
            let ours = !signature.scripted && signature.module.is_none() && signature.docs.contains("```rhai");
            // `ns.route(a, b)` finds a script's `fn route(a, b)`: the value before the dot is its `this`, not a parameter.
            let taken = usize::from(signature.this_type.is_some());
            let this = function.def.this_type.as_ref().map(|ty| signature::type_word(ty, &netwright_words));
            let same = this.is_none() || this == signature.this_type;
            ours && same && signature.name == own && signature.params.len() == count + taken
        };
        if let Some(hidden) = all.iter().find(is_hidden) {
            let of = hidden.this_type.as_ref().map_or(String::new(), |this| format!(" of a {this}"));
            let error =
                Error::new(Kind::InvalidArgument, format!("the function `{own}` hides netwright's own `{own}`{of}"))
                    .hint(format!("give it another name, for example `my_{own}`"));
            let at = function.def.body.start_position();
            found.push(Finding { rule: "shadow", error: error.at(place(name, at)) });
        }
    }
    found
}

/// An error with the nearest of some names as its hint.
fn unknown(message: String, given: &str, names: &[&str]) -> Error {
    with_nearest(Error::new(Kind::NotFound, message), given, names.iter().copied())
}
