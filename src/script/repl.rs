//! Evaluating input by input: the scope, functions and imports of one live on in the next.
//!
//! All inputs together are one source, each at the lines that follow the one before, so that every position in it, also that of a
//! function typed an hour ago, has one meaning.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, Expr, LexError, ParseErrorType, Scope, Stmt};

use super::api::Run;
use super::api::tests::Tests;
use super::arguments::Arguments;
use super::engine::{new_engine, new_run};
use super::error::{Context, Ended, from_parse, from_rhai};
use super::reference::{Entry, Page, Reference};
use super::reference_text;
use super::resolver::Resolver;
use super::signature::{self, Signature, netwright_words};
use super::source::{self, Sources};
use super::{complete, pretty};
use crate::draw::Topology;
use crate::error::{Error, Result};
use crate::session::{Session, Undone};
use crate::text::diagnostic;

/// The name of the source when no script was loaded first.
const NAME: &str = "repl";

/// What an input came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It ran; the value as people read it, unless there is none or a `;` ended the input.
    Done(Option<String>),
    /// It asked to end the session, with this status.
    Exit(u8),
}

/// An input that ran to its end.
struct Accepted {
    text: String,
    /// How many commands the session had run when it began.
    log: usize,
    /// It only defines functions or imports: an undo leaves it in place.
    defines: bool,
}

/// A conversation with one session.
pub(crate) struct Console {
    engine: Engine,
    run: Run,
    resolver: Resolver,
    sources: Sources,
    /// The folder where imports are looked for.
    root: PathBuf,
    name: String,
    /// Everything that was typed, the wrong inputs too, for their lines.
    text: String,
    scope: Scope<'static>,
    /// The functions defined so far, closures too.
    library: AST,
    accepted: Vec<Accepted>,
    signatures: RefCell<Option<Rc<Vec<Signature>>>>,
    /// While this is so, what runs is not worth a line of the trace.
    pub quiet: Rc<Cell<bool>>,
}

impl Console {
    /// A conversation that may import what lies below `root`; errors call its text `name`.
    fn with(session: &Rc<Session>, root: &Path, name: &str) -> Self {
        let sources = Sources::default();
        let resolver =
            Resolver::new(sources.clone(), root.canonicalize().unwrap_or_default(), session.exec().interrupt().clone());
        let run = new_run(session, Arguments::default(), Tests::default(), true);
        let engine = new_engine(&run, resolver.clone());
        Self {
            engine,
            run,
            resolver,
            sources,
            root: root.to_owned(),
            name: name.to_owned(),
            text: String::new(),
            scope: Scope::new(),
            library: AST::empty(),
            accepted: Vec::new(),
            signatures: RefCell::default(),
            quiet: Rc::default(),
        }
    }

    /// A conversation that starts with nothing, or with a script, whose folder is then where imports are looked for.
    #[must_use]
    pub(crate) fn new(session: &Rc<Session>, script: Option<&Path>) -> Self {
        match script {
            None => Self::with(session, Path::new("."), NAME),
            Some(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Self::with(session, folder, &path.display().to_string())
            }
        }
    }

    /// One that starts with nothing, on the same session.
    #[must_use]
    pub(crate) fn empty(&self) -> Self {
        Self { quiet: Rc::clone(&self.quiet), ..Self::with(self.session(), &self.root, &self.name) }
    }

    /// Runs a script as if it had been typed.
    ///
    /// # Errors
    ///
    /// When it cannot be read, and as [`Console::evaluate`].
    pub(crate) fn load(&mut self, script: &Path) -> Result<Answer> {
        let text = source::read(script, self.run.0.session.exec().interrupt())?;
        super::bundle::open(script, &text, &self.sources)?;
        let answer = self.evaluate(&source::without_shebang(&text))?;
        if let Some(loaded) = self.accepted.last_mut().filter(|_| text.starts_with("#!")) {
            // Its first line is for the shell.
            loaded.text = loaded.text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        }
        Ok(match answer {
            Answer::Done(_) => Answer::Done(None),
            exit @ Answer::Exit(_) => exit,
        })
    }

    /// The session that the conversation drives.
    #[must_use]
    pub(crate) fn session(&self) -> &Rc<Session> {
        &self.run.0.session
    }

    /// The live network, with what `why` blamed last in it, unless something changed since.
    ///
    /// # Errors
    ///
    /// As [`Topology::read`].
    pub(crate) fn picture(&self) -> Result<Topology> {
        self.run.0.picture()
    }

    /// The texts that errors speak of.
    #[must_use]
    pub(crate) fn sources(&self) -> &dyn diagnostic::Sources {
        &self.sources
    }

    /// Whether a text ends in the middle of something, as Rhai's parser sees it.
    #[must_use]
    pub(crate) fn is_unfinished(&self, text: &str) -> bool {
        let Err(error) = self.engine.compile_with_scope(&self.scope, text) else { return false };
        let at_end = || {
            let (lines, last) = text.trim_end().lines().fold((0, 0), |(n, _), line| (n + 1, line.chars().count()));
            let at = error.position();
            at.line().is_none_or(|line| line > lines || (line == lines && at.position().is_none_or(|c| c > last)))
        };
        match error.err_type() {
            ParseErrorType::UnexpectedEOF => true,
            ParseErrorType::BadInput(LexError::UnterminatedString) => {
                // Only text in back-ticks goes on over the end of a line.
                text.matches('`').count() % 2 == 1
            }
            ParseErrorType::MissingToken(..)
            | ParseErrorType::ExprExpected(_)
            | ParseErrorType::PropertyExpected
            | ParseErrorType::VariableExpected => at_end(),
            _ => false,
        }
    }

    /// Runs an input.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or what it failed with; what it did before that stays. `Interrupted` when a signal ended it.
    pub(crate) fn evaluate(&mut self, input: &str) -> Result<Answer> {
        let before = self.text.lines().count();
        self.text.push_str(input);
        self.text.push('\n');
        self.sources.add(&self.name, &self.text);
        let log = self.session().log().len();

        let padded = format!("{}{input}", "\n".repeat(before));
        let mut ast = match self.engine.compile_with_scope(&self.scope, &padded) {
            Ok(ast) => ast,
            Err(error) => return Err(self.with_context(|context| from_parse(&error, &self.name, context))),
        };
        ast.set_source(self.name.as_str());
        super::caught::remember(&ast);
        let defines = ast.statements().iter().all(|statement| matches!(statement, Stmt::Import(..) | Stmt::Noop(_)));
        let imports: Vec<(String, String)> = ast.statements().iter().filter_map(import).collect();
        let mut whole = self.library.merge(&ast);
        whole.set_source(self.name.as_str());
        self.library = whole.clone_functions_only();
        let result = self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &whole);
        let settled = self.session().settle_all();
        let late = self.run.0.late.borrow_mut().take();
        *self.signatures.borrow_mut() = None;
        self.keep_imports(&imports);

        if let Some(error) = late {
            return Err(error);
        }
        let value = match result {
            Ok(value) => value,
            Err(error) => match self.with_context(|context| from_rhai(error, context)) {
                Ended::Exit(status) => return Ok(Answer::Exit(u8::try_from(status).unwrap_or(0))),
                Ended::Skipped(reason) => return Ok(Answer::Done(Some(format!("skipped: {reason}")))),
                Ended::Interrupted => return Err(self.session().exec().interrupt().error()),
                Ended::Error(error) => return Err(error),
            },
        };
        settled?;
        self.accepted.push(Accepted { text: input.trim_end().to_owned(), log, defines });
        let silent = input.trim_end().ends_with(';');
        Ok(Answer::Done(if silent { None } else { self.pretty(&value) }))
    }

    /// Runs an input that only looks: it does not become part of the script.
    ///
    /// # Errors
    ///
    /// As [`Console::evaluate`].
    pub(crate) fn look(&mut self, input: &str) -> Result<Answer> {
        let count = self.accepted.len();
        let answer = self.evaluate(input);
        self.accepted.truncate(count);
        answer
    }

    /// Rhai forgets imports at the end of an evaluation: as static modules they stay.
    fn keep_imports(&mut self, imports: &[(String, String)]) {
        use rhai::ModuleResolver;
        for (path, alias) in imports {
            let from = Some(self.name.as_str());
            if let Ok(module) = self.resolver.resolve(&self.engine, from, path, rhai::Position::NONE) {
                self.engine.register_static_module(alias.as_str(), module);
            }
        }
    }

    fn pretty(&mut self, value: &Dynamic) -> Option<String> {
        let quiet = self.quiet.replace(true);
        let text = pretty::value(&self.engine, value);
        self.quiet.set(quiet);
        text
    }

    /// The checks that did not hold since the last call.
    pub(crate) fn take_failed(&self) -> Vec<Error> {
        self.run.0.failed.borrow_mut().drain(..).collect()
    }

    /// Undoes what the last `count` inputs did that did something; those inputs, first to last, and how it went. What came after them
    /// is forgotten too, except for functions and imports.
    ///
    /// # Errors
    ///
    /// When something put off cannot be done first.
    pub(crate) fn undo(&mut self, count: usize) -> Result<(Vec<String>, Undone)> {
        self.session().settle_all()?;
        let mut end = self.session().log().len();
        let (mut cut, mut from, mut left) = (self.accepted.len(), end, count);
        let mut lines = Vec::new();
        for (index, input) in self.accepted.iter().enumerate().rev() {
            if left == 0 {
                break;
            }
            if input.log < end && self.session().has_changes(input.log..end) {
                (cut, from) = (index, input.log);
                lines.push(input.text.clone());
                left -= 1;
            }
            end = input.log;
        }
        let undone = self.session().undo_from(from);
        lines.reverse();
        let tail = self.accepted.split_off(cut);
        self.accepted
            .extend(tail.into_iter().filter(|input| input.defines).map(|input| Accepted { log: from, ..input }));
        Ok((lines, undone))
    }

    /// The accepted inputs as a script that runs.
    #[must_use]
    pub(crate) fn script(&self) -> String {
        let mut out = String::new();
        for input in &self.accepted {
            out.push_str(&input.text);
            if !input.text.trim_end().ends_with([';', '}']) {
                out.push(';');
            }
            out.push('\n');
        }
        out
    }

    /// Runs what was deferred, last first, and lets go of listeners; the errors of it.
    pub(crate) fn end(&mut self) -> Vec<Error> {
        let mut errors = Vec::new();
        while let Some(work) = { self.run.0.deferred.borrow_mut().pop() } {
            if let Err(error) = work.call::<Dynamic>(&self.engine, &self.library, ())
                && let Ended::Error(error) = self.with_context(|context| from_rhai(error, context))
            {
                errors.push(error);
            }
        }
        self.run.0.listeners.borrow_mut().clear();
        errors
    }

    /// What can stand at the end of `before` (a line up to the cursor): where the word starts, and the words.
    #[must_use]
    pub(crate) fn complete(&self, before: &str) -> (usize, Vec<String>) {
        let quiet = self.quiet.replace(true);
        let found = complete::complete(&self.view(), before);
        self.quiet.set(quiet);
        found
    }

    /// What the call that the cursor is in expects.
    #[must_use]
    pub(crate) fn hint(&self, before: &str) -> Option<String> {
        complete::hint(&self.view(), before)
    }

    /// What `name` is, as `netwright doc` says it; functions of the conversation too.
    ///
    /// # Errors
    ///
    /// `NotFound`, with what was probably meant.
    pub(crate) fn describe(&self, name: &str) -> Result<String> {
        let reference = Reference::of(&self.engine);
        let own = |error| {
            let signatures = self.signatures();
            let found = signatures.iter().filter(|one| one.scripted && one.name == name.trim_end_matches("()"));
            let entries: Vec<Entry> = found.map(Entry::new).collect();
            if entries.is_empty() {
                Err(error)
            } else {
                Ok(reference_text::text(&Page::Entries(entries.iter().collect())))
            }
        };
        reference.find(Some(name)).map(|page| reference_text::text(&page)).or_else(own)
    }

    /// Whether a variable of this name is there.
    #[must_use]
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.scope.contains(name)
    }

    fn view(&self) -> complete::View<'_> {
        complete::View { signatures: self.signatures(), scope: &self.scope, session: self.session() }
    }

    fn signatures(&self) -> Rc<Vec<Signature>> {
        let mut kept = self.signatures.borrow_mut();
        let all = kept.get_or_insert_with(|| {
            let mut all = signature::of_engine(&self.engine, &netwright_words);
            all.extend(signature::of_ast(&self.library, None).into_iter().filter(|own| !own.name.contains('$')));
            // `fn map.pod(…)` of an imported module is called without the module's name.
            let methods = self.resolver.signatures().into_iter().filter(|one| one.this_type.is_some());
            all.extend(methods.map(|one| Signature { module: None, ..one }));
            Rc::new(all)
        });
        Rc::clone(all)
    }

    fn with_context<T>(&self, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let variables: Vec<String> = self.scope.iter().map(|(name, ..)| name.to_owned()).collect();
        work(&Context {
            engine: &self.engine,
            main: &self.name,
            scripts: &[&self.library],
            modules: &self.resolver.signatures(),
            importable: &Resolver::std_paths(),
            variables: &variables,
            sources: &self.sources,
            words: &netwright_words,
        })
    }
}

/// Path and alias of an `import "path" as alias` at the top level.
fn import(statement: &Stmt) -> Option<(String, String)> {
    match statement {
        Stmt::Import(import, _) => match &import.0 {
            Expr::StringConstant(path, _) if !import.1.name.is_empty() => {
                Some((path.to_string(), import.1.name.to_string()))
            }
            _ => None,
        },
        _ => None,
    }
}
