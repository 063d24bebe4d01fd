//! `--report KIND=FILE`: opened before the first test runs, written when the last has ended.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;

use super::{coverage, github, html, human, junit, markdown, mutation, tap};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::testing::mutate;
use crate::testing::results::Results;

/// What a report is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `JUnit` XML.
    Junit,
    /// TAP 13.
    Tap,
    /// One document with everything.
    Json,
    /// Markdown.
    Markdown,
    /// One page for a browser.
    Html,
    /// GitHub Actions: annotations, and the summary in `$GITHUB_STEP_SUMMARY`.
    Github,
}

/// A report that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    format: Format,
    /// `None` is standard output; for GitHub the summary's own place.
    path: Option<PathBuf>,
}

impl Spec {
    /// A JSON document on standard output.
    #[must_use]
    pub(crate) fn json() -> Self {
        Self { format: Format::Json, path: None }
    }

    /// Whether it goes to standard output.
    #[must_use]
    pub(crate) fn is_printed(&self) -> bool {
        self.path.is_none() && self.format != Format::Github
    }

    /// What it is written in.
    #[must_use]
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once('=').map_or((text, None), |(kind, path)| (kind, Some(path)));
        let format = match kind {
            "junit" => Format::Junit,
            "tap" => Format::Tap,
            "json" => Format::Json,
            "md" => Format::Markdown,
            "html" => Format::Html,
            "github" => Format::Github,
            _ => return Err("it is one of junit=FILE, tap=FILE, json=FILE, md=FILE, html=FILE, github".into()),
        };
        match path {
            None if format != Format::Github => Err(format!("write {kind}=FILE; {kind}=- is standard output")),
            Some("") => Err(format!("write {kind}=FILE; {kind}=- is standard output")),
            Some("-") | None => Ok(Self { format, path: None }),
            Some(path) => Ok(Self { format, path: Some(path.into()) }),
        }
    }
}

/// A file that a report goes to.
#[derive(Debug)]
pub(crate) struct Output(files::Output);

impl Output {
    /// Looks whether a file can be written, without touching what is in it.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`, also for a symbolic link; `NotFound` when its folder is not there, `InvalidArgument` when it is a folder.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        files::Output::open(path).map(Self).map_err(|error| {
            let shown = path.display();
            match error.kind() {
                _ if path.is_dir() => Error::new(Kind::InvalidArgument, format!("the report `{shown}` is a folder"))
                    .hint(format!("name a file in it: {}", path.join("report.xml").display())),
                std::io::ErrorKind::PermissionDenied => {
                    let error = reason(&error).map_or_else(String::new, |why| format!(": {why}"));
                    Error::new(Kind::PermissionDenied, format!("the report `{shown}` may not be written{error}"))
                }
                std::io::ErrorKind::NotFound => {
                    Error::new(Kind::NotFound, format!("there is no folder for the report `{shown}`"))
                }
                _ => Error::new(Kind::CommandFailed, format!("cannot write the report `{shown}`: {error}")),
            }
        })
    }

    /// Makes it anew, for [`Output::write`].
    ///
    /// # Errors
    ///
    /// When the disk is full or gone.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.0.begin().map_err(|error| self.cannot(&error))
    }

    /// Writes on.
    ///
    /// # Errors
    ///
    /// When the disk is full or gone.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        self.0.write(text).map_err(|error| self.cannot(&error))
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// When the disk is full or gone; then what was there before is still there.
    pub(crate) fn write_whole(&mut self, text: &str) -> Result<()> {
        self.0.write_whole(text).map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &std::io::Error) -> Error {
        Error::new(Kind::CommandFailed, format!("cannot write the report `{}`: {error}", self.0.path().display()))
    }
}

/// What `files` says beyond the kernel's own words.
fn reason(error: &std::io::Error) -> Option<String> {
    error.raw_os_error().is_none().then(|| error.to_string())
}

/// All reports of a run.
#[derive(Debug)]
pub(crate) struct Reports(Vec<(Format, Option<Output>)>);

impl Reports {
    /// Opens them all, so that a mistake is known before the first test runs.
    ///
    /// # Errors
    ///
    /// As [`Output::open`].
    pub(crate) fn open(specs: &[Spec]) -> Result<Self> {
        let one = |spec: &Spec| -> Result<_> { Ok((spec.format, spec.path.as_deref().map(Output::open).transpose()?)) };
        specs.iter().map(one).collect::<Result<_>>().map(Self)
    }

    /// Writes them all, whatever becomes of one.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub(crate) fn write(&mut self, results: &Results) -> Result<()> {
        let text = |format| match format {
            Format::Junit => junit::render(results),
            Format::Tap => tap::render(results),
            Format::Json => format!("{}\n", document(results)),
            Format::Markdown => markdown::render(results, usize::MAX),
            Format::Html => html::render(results),
            Format::Github => github::summary(results),
        };
        self.write_texts(text, || format!("{}{}", github::annotations(results), coverage::annotations(results)))
    }

    /// Writes what `--mutate` found.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub(crate) fn write_mutation(&mut self, report: &mutate::Report, fail_under: Option<f64>) -> Result<()> {
        let text = |format| mutation::render(report, format, fail_under).unwrap_or_default();
        self.write_texts(text, || mutation::annotations(report))
    }

    fn write_texts(&mut self, text: impl Fn(Format) -> String, annotations: impl Fn() -> String) -> Result<()> {
        let mut ended = Ok(());
        for (format, output) in &mut self.0 {
            let text = text(*format);
            if *format == Format::Github {
                human::commands(&annotations());
            }
            let written = match (output, &format) {
                (Some(output), _) => output.write_whole(&text),
                (None, Format::Github) => append_summary(&text),
                (None, _) => {
                    human::print(&text);
                    Ok(())
                }
            };
            ended = ended.and(written);
        }
        ended
    }
}

/// The step's own summary file may hold what an earlier command wrote.
fn append_summary(text: &str) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
    let written = files::append(Path::new(&path), files::SHARED).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::new(Kind::CommandFailed, format!("cannot write the job summary: {error}")))
}

/// Everything as one document.
fn document(results: &Results) -> serde_json::Value {
    let counts = results.counts();
    json!({
        "schema": crate::text::SCHEMA,
        "exit": results.exit,
        "took_ms": results.took_ms,
        "seed": results.seed,
        "counts": counts,
        "coverage": results.coverage(),
        "files": results.files,
    })
}
