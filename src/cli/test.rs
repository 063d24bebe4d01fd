//! `netwright test`: test files, each in a sandbox of its own, in parallel.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{fail, parse_tool, signal_code, test_watch};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::patience::scaled;
use crate::report::files::{Format, Output, Reports, Spec};
use crate::report::live::Live;
use crate::report::{coverage, human, mutation, stream};
use crate::sandbox;
use crate::sandbox::stay::{self, Name};
use crate::testing::event::Event;
use crate::testing::memory::{self, Failed};
use crate::testing::mutate::{self, Limits};
use crate::testing::results::Results;
use crate::testing::schedule::{self, Options};
use crate::testing::{Filter, Plan, TIMEOUT, discover, names, times};

/// `netwright test`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright test
  netwright test tests/ --filter 'policy.*database' --report junit=report.xml
  netwright test --failed --keep-on-failure
  netwright test tests/ --mutate --mutate-fail-under 90
  netwright test tests/ --coverage --coverage-fail-under 80
  sudo netwright test --report github --report md=summary.md")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct TestArgs {
    /// Only tests whose `FILE: sentence` matches
    #[arg(long, value_name = "RE")]
    filter: Option<String>,
    /// Name the tests instead of running them
    #[arg(long)]
    list: bool,
    /// Only what failed last time in this folder
    #[arg(long)]
    failed: bool,
    /// Files at once; else as many as cores
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only a part of the files: 2/5
    #[arg(long, value_name = "M/N", value_parser = part)]
    partition: Option<(usize, usize)>,
    /// Run again what a change concerns
    #[arg(long, conflicts_with_all = ["list", "mutate", "reports", "events", "json", "partition", "failed", "shell_on_failure", "keep_on_failure"])]
    watch: bool,
    /// Begin no test after one that failed
    #[arg(long, conflicts_with = "retries")]
    fail_fast: bool,
    /// For each test or set-up, else 60s
    #[arg(long, value_name = "TIME", value_parser = super::parse_limit)]
    timeout: Option<Duration>,
    /// Try what failed again so often
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Another order; the printed seed repeats it
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = false, default_missing_value = "random")]
    shuffle: Option<String>,
    /// Leave a failed sandbox open until Ctrl-C
    #[arg(long)]
    keep_on_failure: bool,
    /// Open a shell where a test failed
    #[arg(long, conflicts_with_all = ["jobs", "keep_on_failure"])]
    shell_on_failure: bool,
    /// junit, tap, json, md, html, github; FILE may be -
    #[arg(long = "report", value_name = "KIND=FILE")]
    reports: Vec<Spec>,
    /// Mark what takes longer than in FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "mutate"])]
    baseline: Option<PathBuf>,
    /// Write every event as a JSON line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Where captures go
    #[arg(long, value_name = "FOLDER", default_value = "netwright-artefacts")]
    artefacts: PathBuf,
    /// Programs may write there; all else they write goes with the test
    #[arg(long, value_name = "PATH")]
    keep: Vec<PathBuf>,
    /// In a sandbox that stays, one after the other: run --keep NAME
    #[arg(long = "in", value_name = "NAME", conflicts_with_all = ["jobs", "keep", "mutate", "coverage"])]
    inside: Option<String>,
    /// Give the scripts an argument
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
    /// Which rules, routes, services did no packet touch?
    #[arg(long, conflicts_with_all = ["mutate", "list"])]
    coverage: bool,
    /// Fail when less is touched, in percent
    // Not listed, but among the examples: a name so long would put each text on a line of its own.
    #[arg(long, hide = true, value_name = "N", requires = "coverage", value_parser = percent)]
    coverage_fail_under: Option<f64>,
    /// Break one thing at a time: is it noticed?
    #[arg(long, conflicts_with_all = ["list", "failed", "retries", "shuffle", "keep_on_failure", "shell_on_failure", "events"])]
    mutate: bool,
    /// Break at most so many
    #[arg(long, value_name = "N", requires = "mutate", value_parser = clap::value_parser!(u32).range(1..))]
    mutate_limit: Option<u32>,
    /// For all of it
    #[arg(long, value_name = "TIME", requires = "mutate", value_parser = super::parse_limit)]
    mutate_time: Option<Duration>,
    /// Fail when less is noticed, in percent
    #[arg(long, value_name = "N", requires = "mutate", value_parser = percent)]
    mutate_fail_under: Option<f64>,
    /// Which are broken first
    #[arg(long, value_name = "SEED", requires = "mutate", default_value_t = 1)]
    seed: u64,
    /// Files, `FILE:LINE`, or folders with *_test.rhai [default: this folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs `netwright test`; the exit code.
pub(super) fn test(arguments: &TestArgs) -> u8 {
    match prepare(arguments) {
        Ok(prepared) if arguments.mutate => break_things(arguments, prepared),
        Ok(prepared) if arguments.watch => again(arguments, prepared).unwrap_or_else(|error| fail(&error)),
        Ok(prepared) => go(arguments, prepared),
        Err(error) => {
            fail(&error);
            // What is wrong with the command line is wrong usage.
            if error.kind().exit_code() == 3 { 2 } else { error.kind().exit_code() }
        }
    }
}

struct Prepared {
    files: Vec<PathBuf>,
    options: Options,
    reports: Reports,
    events: Option<Output>,
    /// Where the times of the tests go, when nobody knows them yet.
    times: Option<Output>,
    interrupt: Interrupt,
}

fn prepare(arguments: &TestArgs) -> Result<Prepared> {
    super::tools(&arguments.tools)?;
    Filter::new(arguments.filter.as_deref())?;
    let (paths, chosen) = chosen(&arguments.paths)?;
    let mut files = discover::files(&paths)?;
    if let Some(part) = arguments.partition {
        discover::partition(&mut files, part);
    }
    let only = arguments.failed.then(memory::recall);
    if let Some(only) = &only {
        files.retain(|file| file.canonicalize().is_ok_and(|file| only.contains_key(&file)));
    }
    let artefacts = std::path::absolute(&arguments.artefacts).ok();
    let plan = Plan {
        filter: arguments.filter.clone(),
        list: arguments.list,
        timeout: Some(arguments.timeout.unwrap_or_else(|| scaled(TIMEOUT))),
        seed: seed(arguments.shuffle.as_deref())?,
        // What runs in a sandbox that was there before is not theirs.
        leaks: arguments.inside.is_none(),
        fail_fast: arguments.fail_fast,
        coverage: arguments.coverage,
        keep: arguments.keep_on_failure,
        shell: arguments.shell_on_failure,
        artefacts: artefacts.clone(),
        ..Plan::default()
    };
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let jobs = if arguments.shell_on_failure || arguments.inside.is_some() {
        1
    } else {
        arguments.jobs.map_or(cores, usize::from)
    };
    let mut args: Vec<OsString> = Vec::new();
    if let Some(folder) = artefacts.as_ref().filter(|_| !arguments.list) {
        let written = super::written_below_run(folder, 0o700).map_err(|error| {
            Error::new(Kind::PermissionDenied, format!("cannot write to the folder `{}`: {error}", folder.display()))
        })?;
        args.extend(written.into_iter().flat_map(|folder| ["--writes".into(), folder.into()]));
    }
    args.extend(super::tool_words(&arguments.tools));
    for path in &arguments.keep {
        sandbox::keepable(path)?;
        args.extend(["--keep".into(), path.into()]);
    }
    if let Some(name) = &arguments.inside {
        let name = Name::parse(name)?;
        stay::find(&name)?;
        args.extend(["--in".into(), name.to_string().into()]);
    }
    for var in &arguments.vars {
        args.extend(["--var".into(), var.into()]);
    }
    let mut specs = arguments.reports.clone();
    specs.extend(arguments.json.then(Spec::json));
    if arguments.mutate && specs.iter().any(|spec| matches!(spec.format(), Format::Tap | Format::Html)) {
        return Err(Error::new(Kind::InvalidArgument, "`--mutate` has no TAP report and no page")
            .hint("--report junit=FILE, json=FILE, md=FILE, github"));
    }
    let reports = Reports::open(&specs)?;
    let mut events = arguments.events.as_deref().map(Output::open).transpose()?;
    events.as_mut().map_or(Ok(()), Output::begin)?;
    let interrupt = Interrupt::default();
    listen(&interrupt)?;
    let known = arguments.baseline.as_deref().map(times::read).transpose()?.flatten();
    let unknown = arguments.baseline.as_deref().filter(|_| known.is_none());
    let times = unknown.map(Output::open).transpose()?;
    let retries = arguments.retries;
    let options = Options { jobs, retries, plan, only, chosen, args, times: known.unwrap_or_default() };
    Ok(Prepared { files, options, reports, events, times, interrupt })
}

/// The paths without their lines, and the tests that the lines mean.
fn chosen(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Failed)> {
    let mut tests = Failed::new();
    let mut plain = Vec::new();
    for path in paths {
        let Some((file, line)) = discover::split_line(path) else {
            plain.push(path.clone());
            continue;
        };
        let text = crate::files::read_ordinary(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let test = names::at_line(&text, line).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no test begins at line {line} of `{}` or before", file.display()))
                .hint("`--list` names the tests; one whose sentence is put together is chosen by `--filter`")
        })?;
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        tests.entry(real).or_default().insert(test);
        plain.push(file);
    }
    Ok((plain, tests))
}

/// Which part of how many.
fn part(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    numbers
        .filter(|(part, parts)| (1..=*parts).contains(part))
        .ok_or_else(|| "it is like 2/5: the second of five".into())
}

/// A share in percent.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or_else(|| "it is a number from 0 to 100".into())
}

/// Runs the files with one thing broken at a time.
fn break_things(arguments: &TestArgs, prepared: Prepared) -> u8 {
    let Prepared { files, options, mut reports, interrupt, .. } = prepared;
    let limits = Limits {
        limit: arguments.mutate_limit.and_then(|limit| usize::try_from(limit).ok()),
        seed: arguments.seed,
        time: arguments.mutate_time,
    };
    let fail_under = arguments.mutate_fail_under;
    if files.is_empty() {
        human::line("there is no file named *_test.rhai here");
        return 4;
    }
    let report = mutate::run(&options, limits, &files, &interrupt, &mutation::progress);
    let written = reports.write_mutation(&report, fail_under);
    let on_stdout = arguments.json || arguments.reports.iter().any(Spec::is_printed);
    let text = mutation::text(&report, fail_under);
    if on_stdout {
        human::line(text.trim_end());
    } else {
        human::text(&text);
    }
    let stopped = interrupt.signal().map(|signal| u8::try_from(128 + signal).unwrap_or(130));
    let exit = stopped.unwrap_or_else(|| report.exit_code(fail_under));
    match written {
        Err(error) => {
            fail(&error);
            if exit == 0 { 4 } else { exit }
        }
        Ok(()) => exit,
    }
}

fn seed(shuffle: Option<&str>) -> Result<Option<u64>> {
    match shuffle {
        None => Ok(None),
        Some("random") => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Ok(Some(u64::from(now.subsec_nanos()) ^ u64::from(std::process::id())))
        }
        Some(text) => text.parse().map(Some).map_err(|_| {
            Error::new(Kind::InvalidArgument, format!("`--shuffle {text}` is not a number"))
                .hint("write the seed that an earlier run printed, or `--shuffle` alone behind the paths")
        }),
    }
}

/// Runs the files, and again what a change concerns. The first run is that of all: it may write how long they take, which the others are compared with.
fn again(arguments: &TestArgs, mut prepared: Prepared) -> Result<u8> {
    let (paths, _) = chosen(&arguments.paths)?;
    let times = arguments.baseline.as_deref().and_then(|path| std::path::absolute(path).ok());
    let own =
        prepared.options.plan.artefacts.iter().cloned().chain([memory::folder()]).chain(times).collect::<Vec<_>>();
    let signals = prepared.interrupt.clone();
    test_watch::watch(&paths, &own, &signals, |files| {
        let (mut options, interrupt) = (prepared.options.clone(), prepared.interrupt.clone());
        let times = prepared.times.take();
        if options.times.is_empty() && times.is_none() {
            options.times = arguments.baseline.as_deref().map(times::read).transpose()?.flatten().unwrap_or_default();
        }
        Ok(go(arguments, Prepared { files, options, reports: Reports::open(&[])?, events: None, times, interrupt }))
    })
}

fn go(arguments: &TestArgs, prepared: Prepared) -> u8 {
    let Prepared { files, options, mut reports, mut events, times, interrupt } = prepared;
    let mut live = Live::new();
    let (mut gathered, mut trouble) = (Results::default(), None);
    let results = schedule::run(&options, &files, &interrupt, |event| {
        if let (Some(output), None) = (&mut events, &trouble) {
            trouble = output.write(&stream::line(event)).err();
        }
        gathered.add(event);
        match event {
            Event::Listed { file, test, .. } => human::text(&format!("{file}: {}\n", test.replace('\n', " "))),
            Event::Began { .. } | Event::Ended { .. } if arguments.list => {}
            // Before the last line is printed: kept sandboxes stay open after it.
            Event::Ended { .. } => {
                trouble = trouble.take().or_else(|| reports.write(&gathered).err());
                live.event(event);
            }
            _ => live.event(event),
        }
    });
    let no_part = files.is_empty() && arguments.partition.is_some() && results.exit == 4;
    if files.is_empty() && !arguments.list {
        let text = if no_part {
            "no file is in this part"
        } else if arguments.failed {
            "nothing failed last time"
        } else {
            "there is no file named *_test.rhai here"
        };
        human::line(text);
    }
    if !arguments.list
        && let Err(error) = remember(&files, &results)
    {
        human::line(&format!("warning: {error}"));
    }
    if let (Some(mut output), Some(text), None) = (times, times::text(&results), &trouble) {
        trouble = output.write_whole(&text).err();
    }
    let too_little = arguments.coverage && !coverage::print(&results, arguments.coverage_fail_under);
    if let Some(error) = trouble {
        fail(&error);
        return if results.exit == 0 { 4 } else { results.exit };
    }
    match results.exit {
        0 if arguments.list && files.is_empty() => 4,
        0 if too_little => 1,
        // More parts than files: the others have them all.
        4 if no_part => 0,
        exit => exit,
    }
}

fn remember(files: &[PathBuf], results: &Results) -> Result<()> {
    let (mut ran, mut failed) = (Failed::new(), Failed::new());
    for path in files {
        let Some(all) = results.files.get(&path.display().to_string()) else { continue };
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let names = |bad: bool| -> BTreeSet<String> {
            all.tests.iter().filter(|test| !bad || test.outcome.is_bad()).map(|test| test.test.clone()).collect()
        };
        ran.insert(real.clone(), names(false));
        failed.insert(real, names(true));
    }
    memory::remember(&ran, &failed)
}

/// First signal: the files that run are asked to end, and no other begins. Second: this process ends at once, and they with it.
fn listen(interrupt: &Interrupt) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let cell = interrupt.cell();
    let listen = move || {
        for signal in signals.forever() {
            if cell.swap(signal, std::sync::atomic::Ordering::SeqCst) != 0 {
                std::process::exit(signal_code(signal).into());
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop).map_err(cannot)
}
