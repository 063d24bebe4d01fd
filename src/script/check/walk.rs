//! The walk over the tree, with the types that are known.

use std::collections::{HashMap, HashSet};

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::super::api::record;
use super::super::error::place;
use super::super::explain::{Explainer, Site};
use super::super::parse;
use super::super::signature::{Signature, netwright_words, type_word, with_article};
use super::literals::{self, Value};
use super::{Finding, Tree, unknown};
use crate::error::{Error, Kind};

/// The type of an expression in the author's words; `None` when it is not known.
type Ty = Option<String>;
/// The same, borrowed.
type Known<'t> = Option<&'t str>;

/// Types that netwright brings.
const OURS: &[&str] = &[
    "namespace",
    "link",
    "cidr",
    "process",
    "listener",
    "expectation",
    "answer",
    "finding",
    "reachability",
    "capture",
];
/// Rhai's own types whose functions are all known, too, so that what fits none of them is a mistake.
const PLAIN: &[&str] = &["string", "integer", "float", "bool", "array", "map", "function"];

/// Whether all functions of a type are known.
fn is_known(ty: &str) -> bool {
    OURS.contains(&ty) || PLAIN.contains(&ty)
}

/// Calls that Rhai's parser or engine answers itself.
const SPECIAL: &[&str] = &[
    "print",
    "debug",
    "type_of",
    "Fn",
    "call",
    "curry",
    "is_def_var",
    "is_def_fn",
    "is_shared",
    "eval",
    "to_string",
    "to_debug",
];
/// What stands behind the type of a map whose keys are known: `map of ping`.
const OF: &str = " of ";
/// Calls that show or send their text as it is, so that `\\n` between back-ticks reaches people or programs as two letters.
const LITERAL: &[&str] = &["print", "debug", "http", "listen"];
/// Calls that split or join text.
const SPLITS: &[&str] = &["split", "join"];
/// Calls that can fail a test.
const EXPECTS: &[&str] = &["expect", "assert", "assert_eq", "check", "eventually", "skip", "needs"];

pub(super) struct Walker<'a> {
    name: &'a str,
    explainer: Explainer<'a>,
    tree: &'a Tree,
    imports: Vec<(String, String)>,
    text: &'a str,
    /// Keys of literal maps: what they hold may be called like a method.
    keys: HashSet<String>,
    /// Variables that are assigned to after they were declared.
    assigned: HashSet<String>,
    scopes: Vec<HashMap<String, Ty>>,
    /// Closures that were walked where they stand.
    walked: HashSet<String>,
    /// How many `try` bodies stand around: what fails in one may be meant to.
    tries: usize,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Walker<'a> {
    /// `keys` are those of maps that imported modules may return.
    pub(super) fn new(
        name: &'a str,
        explainer: Explainer<'a>,
        tree: &'a Tree,
        text: &'a str,
        mut keys: HashSet<String>,
    ) -> Self {
        let mut assigned = HashSet::new();
        keys.extend(tree.keys());
        for statement in tree.statements() {
            statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
                if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last() {
                    if let Expr::Variable(variable, ..) = &assignment.1.lhs {
                        assigned.insert(variable.1.to_string());
                    } else if let Expr::Dot(dot, ..) = &assignment.1.lhs
                        && let Expr::Property(property, _) = &dot.rhs
                    {
                        keys.insert(property.2.to_string());
                    }
                }
                true
            });
        }
        Self {
            name,
            explainer,
            tree,
            imports: parse::imports(text),
            text,
            keys,
            assigned,
            scopes: vec![HashMap::new()],
            walked: HashSet::new(),
            tries: 0,
            findings: Vec::new(),
        }
    }

    pub(super) fn walk(&mut self) {
        let tree = self.tree;
        self.statements(&tree.main, true);
        self.scopes = vec![HashMap::new()];
        for function in tree.functions.iter().filter(|function| !function.is_closure()) {
            self.function(&function.body, &function.def.params, &[]);
        }
        for function in tree.functions.iter().filter(|function| function.is_closure()) {
            if !self.walked.contains(function.def.name.as_str()) {
                self.function(&function.body, &function.def.params, &[]);
            }
        }
    }

    /// A body with its parameters; the first of them may have known types (captured variables).
    fn function(&mut self, body: &'a [Stmt], params: &[rhai::ImmutableString], types: &[Ty]) {
        let outer = std::mem::replace(&mut self.scopes, vec![HashMap::new()]);
        for (index, param) in params.iter().enumerate() {
            self.declare(param, types.get(index).cloned().flatten());
        }
        self.statements(body, false);
        self.scopes = outer;
    }

    fn declare(&mut self, name: &str, ty: Ty) {
        let ty = ty.filter(|_| !self.assigned.contains(name));
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), ty);
        }
    }

    fn variable(&self, name: &str) -> Ty {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).cloned().flatten()
    }

    fn report(&mut self, rule: &'static str, error: Error, at: Position) {
        if self.tries > 0 && matches!(rule, "value" | "option" | "call") {
            return;
        }
        let error = error.at(place(self.name, at));
        self.findings.push(Finding { rule, error });
    }

    /// Statements of one block. `main` is the script itself, whose last value nobody takes.
    fn statements(&mut self, statements: &'a [Stmt], main: bool) {
        for (index, statement) in statements.iter().enumerate() {
            self.statement(statement);
            if main || index + 1 < statements.len() {
                self.unused(statement);
            }
        }
    }

    fn block(&mut self, statements: &'a [Stmt]) {
        self.scopes.push(HashMap::new());
        self.statements(statements, false);
        self.scopes.pop();
    }

    /// A value that nobody looks at, of a call that has no other use.
    fn unused(&mut self, statement: &Stmt) {
        let (call, at) = match statement {
            Stmt::FnCall(call, at) => (call, *at),
            Stmt::Expr(expr) => match &**expr {
                Expr::FnCall(call, at) => (call, *at),
                Expr::Dot(dot, ..) => match &dot.rhs {
                    Expr::MethodCall(call, at) if call.name == "why" => (call, *at),
                    _ => return,
                },
                _ => return,
            },
            _ => return,
        };
        match call.name.as_str() {
            "why" => {
                let error = Error::new(Kind::InvalidArgument, "nobody looks at what `why` found");
                self.report("unused", error.hint("print(why(…)), or look at its `.verdict`"), at);
            }
            "expect" => {
                let error = Error::new(Kind::InvalidArgument, "`expect` alone expects nothing");
                self.report("unused", error.hint("say what: `.reaches(…)`, `.equals(…)`, `.is_true()`"), at);
            }
            "cidr" | "topology" | "netns_list" | "reachability" | "run" | "env" => {
                let error = Error::new(Kind::InvalidArgument, format!("nobody looks at what `{}` returns", call.name));
                self.report("unused", error, at);
            }
            _ => {}
        }
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::If(flow, _) => {
                self.condition(&flow.expr);
                self.block(flow.body.statements());
                self.block(flow.branch.statements());
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.condition(&flow.expr);
                self.block(flow.body.statements());
            }
            Stmt::For(parts, _) => {
                self.expr(&parts.2.expr);
                self.scopes.push(HashMap::new());
                self.declare(&parts.0.name, None);
                if let Some(counter) = &parts.1 {
                    self.declare(&counter.name, Some("integer".to_owned()));
                }
                self.statements(parts.2.body.statements(), false);
                self.scopes.pop();
            }
            Stmt::Switch(parts, _) => {
                self.expr(&parts.0);
                for case in &parts.1.expressions {
                    self.expr(&case.lhs);
                    self.expr(&case.rhs);
                }
            }
            Stmt::Var(parts, ..) => {
                let ty = self.expr(&parts.1);
                self.declare(&parts.0.name, ty);
            }
            Stmt::Assignment(parts) => {
                self.expr(&parts.1.lhs);
                self.expr(&parts.1.rhs);
            }
            Stmt::FnCall(call, at) => drop(self.call(call, *at, None)),
            Stmt::Block(block) => self.block(block.statements()),
            Stmt::TryCatch(flow, _) => {
                self.tries += 1;
                self.block(flow.body.statements());
                self.tries -= 1;
                self.scopes.push(HashMap::new());
                if let Expr::Variable(variable, ..) = &flow.expr {
                    // A script may throw anything.
                    self.declare(&variable.1, None);
                }
                self.statements(flow.branch.statements(), false);
                self.scopes.pop();
            }
            Stmt::Expr(expr) | Stmt::BreakLoop(Some(expr), ..) | Stmt::Return(Some(expr), ..) => {
                drop(self.expr(expr));
            }
            _ => {}
        }
    }

    /// An expression that must be true or false.
    fn condition(&mut self, expr: &'a Expr) {
        let ty = self.expr(expr);
        // `while` without a condition is `loop`.
        if !matches!(expr, Expr::Unit(_)) {
            self.must_be_truth("a condition", ty.as_deref(), expr.position());
        }
    }

    /// What is neither true nor false where one of them is needed.
    fn must_be_truth(&mut self, what: &str, ty: Option<&str>, at: Position) {
        let ty = ty.map(base).filter(|ty| !matches!(*ty, "bool" | "nothing") && is_known(ty));
        let Some(ty) = ty else { return };
        let message = format!("{what} is true or false, this is {}", with_article(ty));
        let error = Error::new(Kind::InvalidArgument, message);
        let error = error.hint(match ty {
            "map" => "`.ok` tells whether it worked",
            "answer" => "`expect` fails by itself; `ns.ping(…).ok` tells without failing",
            _ => "compare it: `x == …`",
        });
        self.report("call", error, at);
    }

    fn expr(&mut self, expr: &'a Expr) -> Ty {
        let known = |word: &str| Some(word.to_owned());
        match expr {
            Expr::DynamicConstant(value, _) => {
                if let Some(pointer) = value.read_lock::<rhai::FnPtr>() {
                    self.closure(pointer.fn_name(), &[]);
                }
                known(&type_word(value.type_name(), &netwright_words))
            }
            Expr::BoolConstant(..) => known("bool"),
            Expr::IntegerConstant(..) => known("integer"),
            Expr::FloatConstant(..) => known("float"),
            Expr::StringConstant(text, at) => {
                self.placeholders(text, *at);
                known("string")
            }
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| drop(self.expr(part)));
                known("string")
            }
            Expr::Array(items, _) => {
                items.iter().for_each(|item| drop(self.expr(item)));
                known("array")
            }
            Expr::Map(map, _) => {
                map.0.iter().for_each(|(_, value)| drop(self.expr(value)));
                known("map")
            }
            Expr::Unit(_) => known("nothing"),
            Expr::Variable(variable, ..) if variable.2.is_empty() => self.variable(&variable.1),
            Expr::Stmt(block) => {
                self.block(block.statements());
                None
            }
            Expr::FnCall(call, at) => self.call(call, *at, None),
            Expr::Dot(dot, ..) => {
                let ty = self.expr(&dot.lhs);
                self.member(ty, receiver_name(&dot.lhs), &dot.rhs)
            }
            Expr::Index(index, ..) => {
                let ty = self.expr(&index.lhs);
                self.index(ty.as_deref(), &index.rhs)
            }
            Expr::And(parts, _) | Expr::Or(parts, _) => {
                parts.iter().for_each(|part| self.condition(part));
                known("bool")
            }
            Expr::Coalesce(parts, _) => {
                parts.iter().for_each(|part| drop(self.expr(part)));
                None
            }
            _ => None,
        }
    }

    /// What stands behind a dot.
    fn member(&mut self, ty: Ty, receiver: Option<String>, rhs: &'a Expr) -> Ty {
        match rhs {
            Expr::Property(property, at) => self.property(ty, receiver, &property.2, *at),
            Expr::MethodCall(call, at) => self.call(call, *at, Some((ty, receiver))),
            Expr::Dot(dot, ..) => {
                let ty = self.member(ty, receiver, &dot.lhs);
                self.member(ty, None, &dot.rhs)
            }
            Expr::Index(index, ..) => {
                let ty = self.member(ty, receiver, &index.lhs);
                self.index(ty.as_deref(), &index.rhs)
            }
            other => self.expr(other),
        }
    }

    /// What stands in brackets, and what follows them.
    fn index(&mut self, container: Option<&str>, rhs: &'a Expr) -> Ty {
        let item = if container == Some("string") { Some("char".to_owned()) } else { None };
        match rhs {
            Expr::Dot(dot, ..) => {
                self.expr(&dot.lhs);
                self.member(item, None, &dot.rhs)
            }
            Expr::Index(index, ..) => {
                self.expr(&index.lhs);
                self.index(None, &index.rhs)
            }
            other => {
                self.expr(other);
                item
            }
        }
    }

    fn property(&mut self, ty: Ty, receiver: Option<String>, name: &str, at: Position) -> Ty {
        let ty = ty?;
        if let Some((_, call)) = ty.split_once(OF) {
            if let Some(keys) = record::keys_of(call).filter(|keys| !keys.contains(&name)) {
                self.report("call", record::unknown_key(call, name, keys), at);
            }
            return None;
        }
        let getter = format!("get${name}");
        let found = self.explainer.all.iter().find(|one| one.name == getter && one.this_type.as_ref() == Some(&ty));
        match found {
            Some(getter) => (getter.returns != "any value").then(|| getter.returns.clone()),
            None if ty != "map" && is_known(&ty) => {
                let site = Site { method: true, receiver, module: None };
                let error = self.explainer.property(name, &ty, None, &site);
                self.report("call", error, at);
                None
            }
            None => None,
        }
    }

    fn call(&mut self, call: &'a FnCallExpr, at: Position, receiver: Option<(Ty, Option<String>)>) -> Ty {
        let name = call.name.as_str();
        if name == "curry"
            && let [Expr::DynamicConstant(value, _), captured @ ..] = &call.args[..]
        {
            let types: Vec<Ty> = captured.iter().map(|one| self.expr(one)).collect();
            if let Some(pointer) = value.read_lock::<rhai::FnPtr>() {
                self.closure(pointer.fn_name(), &types);
            }
            return Some("function".to_owned());
        }
        let args: Vec<Ty> = call.args.iter().map(|argument| self.expr(argument)).collect();
        if !call.namespace.is_empty() {
            self.in_module(call, &args, at);
            return None;
        }
        if name == "test" {
            self.test(call, at);
        }
        let is_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if name == "assert"
            && receiver.is_none()
            && args.first().is_some_and(|ty| ty.as_deref() != Some("reachability"))
        {
            self.must_be_truth("what `assert` is given", args[0].as_deref(), at);
        }
        if name == "!"
            && let [one] = &args[..]
        {
            self.must_be_truth("what `!` turns around", one.as_deref(), at);
        }
        if let ("==" | "!=" | "__equal" | "__unequal", [left, right]) = (name, &args[..]) {
            self.never_equal(left.as_deref(), right.as_deref(), at);
        }
        if call.op_token.is_some() || !is_word {
            return matches!(name, "==" | "!=" | "<" | ">" | "<=" | ">=" | "!").then(|| "bool".to_owned());
        }
        self.escapes(call, receiver.is_some());
        if SPECIAL.contains(&name) {
            return matches!(name, "type_of" | "to_string" | "to_debug").then(|| "string".to_owned());
        }
        // Only a dot looks at the keys.
        let plain = |ty: Ty| ty.map(|ty| base(&ty).to_owned());
        let receiver = receiver.map(|(ty, name)| (plain(ty), name));
        let this = receiver.as_ref().map(|(ty, _)| ty.clone());
        let given: Vec<Ty> = this.iter().cloned().chain(args.into_iter().map(plain)).collect();
        let method = receiver.is_some();
        let fitting: Vec<&Signature> = self.named(name).filter(|one| fits(one, &given, method)).collect();
        if fitting.is_empty() {
            self.unfit(name, &given, receiver, at);
            return None;
        }
        self.literals(call, &given, method, at);
        let returns = &fitting[0].returns;
        let ours = given.first().and_then(|ty| ty.as_deref()) == Some("namespace");
        if ours && returns == "map" && record::keys_of(name).is_some() && fitting.iter().all(|one| !one.scripted) {
            return Some(format!("map{OF}{name}"));
        }
        (returns != "any value" && !fitting[0].scripted && fitting.iter().all(|one| one.returns == *returns))
            .then(|| returns.clone())
    }

    /// A map that is compared with what no map is: mostly the status of a program.
    fn never_equal(&mut self, left: Known<'_>, right: Known<'_>, at: Position) {
        let ((Some("map"), Some(other)) | (Some(other), Some("map"))) = (left.map(base), right.map(base)) else {
            return;
        };
        if matches!(other, "integer" | "string" | "bool" | "float") {
            let error = Error::new(Kind::InvalidArgument, format!("a map never equals {}", with_article(other)));
            let hint = match other {
                "integer" => "the status of a program is `.status`",
                "string" => "what a program printed is `.stdout`",
                _ => "`.ok` tells whether it worked",
            };
            self.report("call", error.hint(hint), at);
        }
    }

    /// `\\n` between back-ticks, where it is given to something that takes text as it is.
    fn escapes(&mut self, call: &'a FnCallExpr, method: bool) {
        let name = call.name.as_str();
        for (index, argument) in call.args.iter().enumerate() {
            let found = match (name, argument) {
                ("exec" | "run" | "start", Expr::Map(..)) if method => self.letters(argument, &|text| escape(text)),
                ("exec" | "run" | "start", Expr::StringConstant(..) | Expr::InterpolatedString(..))
                    if method && index == 0 =>
                {
                    self.letters(argument, &bare_escape)
                }
                _ if LITERAL.contains(&name) => self.letters(argument, &|text| escape(text)),
                _ if SPLITS.contains(&name) && method => {
                    self.letters(argument, &|text| escape(text).filter(|_| text.len() <= 4 && text.starts_with('\\')))
                }
                _ => None,
            };
            if let Some((escape, at)) = found {
                let error = Error::new(
                    Kind::InvalidArgument,
                    format!("`{escape}` between back-ticks is a backslash and a letter"),
                );
                let hint = match escape {
                    "\\n" => "write it in double quotes, or break the line between the back-ticks",
                    _ => "write it in double quotes, and join it by `+` to text with values in it",
                };
                self.report("value", error.hint(hint), at);
            }
        }
    }

    /// The first text between back-ticks in an expression in which something is found.
    fn letters<'t>(&self, expr: &'a Expr, find: &dyn Fn(&str) -> Option<&'t str>) -> Option<(&'t str, Position)> {
        match expr {
            Expr::StringConstant(text, at) if self.is_raw(*at) => Some((find(text)?, *at)),
            Expr::InterpolatedString(parts, at) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Expr::StringConstant(text, _) => Some(text.as_str()),
                    _ => None,
                });
                // What is put in is one word, whatever it is.
                Some((find(&texts.collect::<Vec<_>>().join("x"))?, *at))
            }
            Expr::Map(map, _) => map.0.iter().find_map(|(_, value)| self.letters(value, find)),
            Expr::FnCall(call, _) if call.op_token.is_some() => {
                call.args.iter().find_map(|part| self.letters(part, find))
            }
            _ => None,
        }
    }

    /// Whether the text at a place begins with a back-tick.
    fn is_raw(&self, at: Position) -> bool {
        let (Some(line), Some(column)) = (at.line(), at.position()) else { return false };
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        text.chars().nth(column.saturating_sub(1)) == Some('`')
    }

    /// `"10.0.0.${i}"`: only back-ticks put values into text. A shell has such words too, so the name must be a variable of the script.
    fn placeholders(&mut self, text: &str, at: Position) {
        for part in text.split("${").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if self.scopes.iter().any(|scope| scope.contains_key(name.as_str())) {
                let error = Error::new(Kind::InvalidArgument, format!("`${{{name}}}` in double quotes is plain text"));
                self.report("value", error.hint("values are put into text between back-ticks: `…${x}…`"), at);
                return;
            }
        }
        // `{i}` of other languages: a word alone in braces, which is a variable here.
        for part in text.split('{').skip(1) {
            let name = part.split('}').next().filter(|name| part.len() > name.len()).unwrap_or_default();
            if self.scopes.iter().any(|scope| scope.contains_key(name)) {
                let error = Error::new(Kind::InvalidArgument, format!("`{{{name}}}` in double quotes is plain text"));
                self.report(
                    "value",
                    error.hint(format!("values are put into text between back-ticks: `…${{{name}}}…`")),
                    at,
                );
                return;
            }
        }
    }

    /// The functions of this name that need no module before them; `fn map.pod(…)` of an imported module is one.
    fn named(&self, name: &str) -> impl Iterator<Item = &'a Signature> + use<'a> {
        let name = name.to_owned();
        let is_free = |one: &Signature| one.module.is_none() || one.scripted && one.this_type.is_some();
        self.explainer.all.iter().filter(move |one| one.name == name && is_free(one))
    }

    /// No function takes these arguments.
    fn unfit(&mut self, name: &str, given: &[Ty], receiver: Option<(Ty, Option<String>)>, at: Position) {
        let untyped = matches!(receiver, Some((None, _)));
        if untyped {
            if self.keys.contains(name) {
                return;
            }
            if self.named(name).next().is_none() {
                let methods =
                    self.explainer.all.iter().filter(|one| one.this_type.is_some() && !one.name.contains('$'));
                let names: Vec<&str> = methods.map(|one| one.name.as_str()).collect();
                let error = unknown(format!("no function `{name}` on anything"), name, &names);
                self.report("call", error, at);
                return;
            }
        }
        // A map may hold a function of that name.
        if matches!(&receiver, Some((Some(ty), _)) if ty == "map") && self.keys.contains(name) {
            return;
        }
        let words: Vec<&str> = given.iter().map(|ty| ty.as_deref().unwrap_or("?")).collect();
        let (method, receiver) = match receiver {
            Some((_, name)) => (true, name),
            None => (false, None),
        };
        let site = Site { method, receiver, module: None };
        let error = if untyped {
            let takes: HashSet<usize> = self
                .named(name)
                .map(|one| one.params.len() - usize::from(!one.scripted && !one.params.is_empty()))
                .collect();
            let mut takes: Vec<String> = takes.iter().map(ToString::to_string).collect();
            takes.sort();
            let count = given.len() - 1;
            Error::new(
                Kind::InvalidArgument,
                format!("`{name}` takes {} arguments, you gave {count}", takes.join(" or ")),
            )
        } else {
            self.explainer.function(&format!("{name} ({})", words.join(", ")), &site)
        };
        self.report("call", error, at);
    }

    fn in_module(&mut self, call: &FnCallExpr, args: &[Ty], at: Position) {
        let alias = call.namespace.to_string();
        let alias = alias.trim_end_matches("::").to_owned();
        let Some((path, _)) = self.imports.iter().find(|(_, name)| *name == alias) else { return };
        let of_module = |one: &&Signature| one.module.as_deref() == Some(path.as_str());
        let known = self.explainer.all.iter().any(|one| of_module(&one));
        let fits = self
            .explainer
            .all
            .iter()
            .filter(of_module)
            .any(|one| one.name == call.name.as_str() && one.params.len() == args.len());
        if known && !fits {
            let site = Site { module: Some(path.clone()), ..Site::default() };
            let words: Vec<&str> = args.iter().map(|ty| ty.as_deref().unwrap_or("?")).collect();
            let spelled = format!("{alias}::{} ({})", call.name, words.join(", "));
            let error = self.explainer.function(&spelled, &site);
            self.report("call", error, at);
        }
    }

    /// A closure where it stands, with the types of what it captures.
    fn closure(&mut self, name: &str, types: &[Ty]) {
        let tree = self.tree;
        let found = tree.functions.iter().find(|function| function.is_closure() && function.def.name == name);
        if let Some(function) = found
            && self.walked.insert(name.to_owned())
        {
            self.function(&function.body, &function.def.params, types);
        }
    }

    /// Literal arguments that can never be valid.
    fn literals(&mut self, call: &'a FnCallExpr, given: &[Ty], method: bool, at: Position) {
        let name = call.name.as_str();
        // A method written as a function has its receiver among the arguments.
        let ours = given.first().and_then(|ty| ty.as_deref()).filter(|ty| OURS.contains(ty));
        let is_method = ours.is_some_and(|ty| self.named(name).any(|one| one.this_type.as_deref() == Some(ty)));
        let this = ours.filter(|_| is_method);
        // A function of the script's own may mean anything.
        if this.is_none() && self.named(name).any(|one| one.scripted) {
            return;
        }
        let skip = usize::from(method);
        for (index, argument) in call.args.iter().enumerate() {
            let position = index + skip;
            let result = match argument {
                Expr::StringConstant(text, _) => literals::text(name, this, position, given.len(), text),
                Expr::IntegerConstant(number, _) => literals::number(name, this, position, *number),
                Expr::Array(items, _) => items.iter().try_for_each(|item| literals::item(name, this, literal(item))),
                _ => Ok(()),
            };
            if let Err(error) = result {
                self.report("value", error, argument.position());
            }
            if let Expr::Map(map, _) = argument {
                let entries: Vec<(&str, Value<'_>)> =
                    map.0.iter().map(|(key, value)| (key.name.as_str(), literal(value))).collect();
                for (which, error) in literals::options(name, this, &entries) {
                    let at = which.and_then(|which| map.0.get(which)).map_or(at, |(key, _)| key.pos);
                    self.report("option", error, at);
                }
            }
        }
    }

    /// A test that cannot fail by what it looks at.
    fn test(&mut self, call: &FnCallExpr, at: Position) {
        let pointer = call.args.get(1).and_then(closure_name);
        let Some(function) =
            pointer.and_then(|name| self.tree.functions.iter().find(|one| one.def.name == name.as_str()))
        else {
            return;
        };
        let scripted = |name: &str| self.tree.functions.iter().any(|one| one.def.name == name);
        let mut expects = false;
        for statement in &function.body {
            statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
                expects |= match path.last() {
                    Some(
                        ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
                        | ASTNode::Stmt(Stmt::FnCall(call, _)),
                    ) => EXPECTS.contains(&call.name.as_str()) || !call.namespace.is_empty() || scripted(&call.name),
                    Some(ASTNode::Stmt(Stmt::Return(_, flags, _))) => flags.contains(rhai::ASTFlags::BREAK),
                    _ => false,
                };
                true
            });
        }
        if !expects {
            let error = Error::new(Kind::InvalidArgument, "this test expects nothing, so it always passes");
            self.report("test", error.hint("expect(…).reaches(…), assert(…), assert_eq(…, …)"), at);
        }
    }
}

/// A type without the call that its keys are known of.
fn base(ty: &str) -> &str {
    ty.split_once(OF).map_or(ty, |(base, _)| base)
}

/// What is an escape between double quotes.
fn escape(text: &str) -> Option<&'static str> {
    let at = text.find(r"\r\n").map(|_| r"\r\n");
    at.or_else(|| [r"\n", r"\r", r"\t"].into_iter().find(|escape| text.contains(escape)))
}

/// The same outside of a command's own quotes: in them it may be meant for the program (`printf 'a\n'`).
fn bare_escape(text: &str) -> Option<&'static str> {
    let mut quote = None;
    let bare: String = text
        .chars()
        .filter(|c| match quote {
            Some(open) => {
                quote = quote.filter(|_| *c != open);
                false
            }
            None => {
                quote = Some(*c).filter(|c| matches!(c, '\'' | '"'));
                quote.is_none()
            }
        })
        .collect();
    escape(&bare)
}

/// The name that Rhai gives to a closure; one that captures variables is a block that shares them and then curries.
fn closure_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::DynamicConstant(value, _) => value.read_lock::<rhai::FnPtr>().map(|one| one.fn_name().to_owned()),
        Expr::FnCall(curry, _) if curry.name == "curry" => curry.args.first().and_then(closure_name),
        Expr::Stmt(block) => match block.statements().last()? {
            Stmt::Expr(last) => closure_name(last),
            Stmt::FnCall(curry, _) if curry.name == "curry" => curry.args.first().and_then(closure_name),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a plain variable.
fn receiver_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Variable(variable, ..) if variable.2.is_empty() => Some(variable.1.to_string()),
        _ => None,
    }
}

fn literal(value: &Expr) -> Value<'_> {
    match value {
        Expr::StringConstant(text, _) => Value::Text(text),
        Expr::IntegerConstant(number, _) => Value::Number(*number),
        Expr::BoolConstant(truth, _) => Value::Flag(*truth),
        Expr::FloatConstant(..) => Value::Other("float"),
        Expr::Array(..) => Value::Other("array"),
        Expr::Map(..) => Value::Other("map"),
        _ => Value::Unknown,
    }
}

/// Whether a function can take these arguments, the receiver of a method first.
fn fits(signature: &Signature, given: &[Ty], method: bool) -> bool {
    if signature.scripted {
        // `x.f(1)` of a script's own `fn f(a)`: the receiver is `this`.
        let receiver = given.first().and_then(|ty| ty.as_deref());
        let this = signature.this_type.as_deref();
        if this.is_some_and(|this| !method || receiver.is_some_and(|ty| !this.eq_ignore_ascii_case(ty))) {
            return false;
        }
        return signature.params.len() + usize::from(method) == given.len();
    }
    signature.params.len() == given.len()
        && signature.params.iter().zip(given).all(|(param, given)| match given.as_deref() {
            None => true,
            Some(given) => {
                param.ty == "any value"
                    || param.ty == given
                    || !is_known(&param.ty)
                    || !is_known(given) && given != "nothing"
            }
        })
}
