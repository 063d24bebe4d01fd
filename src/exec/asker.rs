//! Programs that are asked in many namespaces at a time, from several threads: what an [`Exec`](super::Exec), which belongs to one thread, cannot do.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::entry::Entry;
use super::interrupt::Interrupt;
use super::netns::NetnsFile;
use super::process::{self, End, Finished, Limits, Program};
use crate::error::{Error, Kind, Ran, Result};
use crate::model::messages::is_unsupported;
use crate::op::{Where, as_typed, quote};

/// How many namespaces are asked at a time, for each processor: the programs wait for the kernel as often as they compute.
const PER_PROCESSOR: usize = 2;
const AT_A_TIME: usize = 8;

/// Runs programs to their end, in any namespace, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    interrupt: Interrupt,
}

impl Asker {
    /// One that ends what it runs when `interrupt` is set.
    #[must_use]
    pub(crate) fn new(interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone() }
    }

    /// The flag that stops everything.
    #[must_use]
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Runs the program at `path` in a namespace. A failure by its own status is an answer.
    ///
    /// # Errors
    ///
    /// What kept it from running; `Interrupted`, `TimedOut`, or `ToolOutput` when it printed too much.
    pub(crate) fn ask(
        &self,
        at: &Where,
        file: &NetnsFile,
        path: &Path,
        argv: &[&str],
        stdin: Option<&str>,
    ) -> Result<Ran> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let words: Vec<String> = std::iter::once(name).chain(argv.iter().map(|word| (*word).to_owned())).collect();
        let command = quote(&as_typed(at, &words));
        let done = self.finish(at, file, path, argv, stdin)?;
        let ran = Ran { command, status: None, stdout: done.stdout, stderr: done.stderr, took: done.took };
        let failed = |kind, message: String| Err(Error::new(kind, message).ran(ran.clone()));
        match done.end {
            End::Exited(status) => Ok(Ran { status: Some(status), ..ran }),
            End::Killed(signal) => Ok(Ran { status: Some(128 + signal), ..ran }),
            End::Interrupted => failed(Kind::Interrupted, format!("interrupted while `{}` ran", ran.command)),
            End::TimedOut => failed(Kind::TimedOut, format!("`{}` did not end", ran.command)),
            End::Flooded => failed(Kind::ToolOutput, format!("`{}` printed too much", ran.command)),
        }
    }

    /// The same; however it ended is an answer.
    ///
    /// # Errors
    ///
    /// What kept it from running.
    pub(crate) fn finish(
        &self,
        at: &Where,
        file: &NetnsFile,
        path: &Path,
        argv: &[&str],
        stdin: Option<&str>,
    ) -> Result<Finished> {
        let program = Program {
            path,
            argv: argv.iter().map(Into::into).collect(),
            stdin,
            env: process::clean_env(),
            // Entering the own namespace anew is a privilege too.
            entry: Entry::of((*at != Where::Host).then_some(file)),
        };
        process::run(&program, Limits::default(), &self.interrupt)
    }
}

/// What a program that failed has said, for whoever tells what could not be read. `None`: it did not fail, or the kernel has nothing of the kind.
#[must_use]
pub(crate) fn complaint(said: &Ran) -> Option<String> {
    let failed = said.status != Some(0) && !is_unsupported(&said.stderr);
    failed.then(|| {
        let first = said.stderr.lines().next().unwrap_or("it says nothing");
        format!("`{}` failed: {first}", said.command)
    })
}

/// Runs `work` inside a namespace.
///
/// # Errors
///
/// When the namespace cannot be entered.
pub(crate) fn inside<T: Send>(at: &Where, file: &NetnsFile, work: impl FnOnce() -> T + Send) -> Result<T> {
    if *at == Where::Host { Ok(work()) } else { file.within(work) }
}

/// Something that is in a namespace.
pub(crate) trait Placed: Sync {
    /// Which, and its file.
    fn place(&self) -> (&Where, &NetnsFile);
}

impl Placed for (Where, NetnsFile) {
    fn place(&self) -> (&Where, &NetnsFile) {
        (&self.0, &self.1)
    }
}

impl Placed for (&Where, &NetnsFile) {
    fn place(&self) -> (&Where, &NetnsFile) {
        *self
    }
}

impl<T: Sync> Placed for (T, &Where, &NetnsFile) {
    fn place(&self) -> (&Where, &NetnsFile) {
        (self.1, self.2)
    }
}

/// Does the same in each namespace, several at a time; the answers in their order. A thread enters each namespace once, and all that `work` does
/// [`inside`] of it is done by that thread. The calling thread stays where it is: it does what is to be done there.
pub(crate) fn side_by_side<T: Placed, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (here, elsewhere): (Vec<usize>, Vec<usize>) =
        (0..all.len()).partition(|index| *all[*index].place().0 == Where::Host);
    let threads = (processors * PER_PROCESSOR).min(AT_A_TIME).min(elsewhere.len());
    let next = AtomicUsize::new(0);
    let take = |may_enter: bool| {
        let mut done = Vec::new();
        while let Some(index) = elsewhere.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = &all[*index];
            if may_enter {
                // Whoever cannot enter is told so by what `work` does inside.
                let _ = one.place().1.enter();
            }
            done.push((*index, work(one)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> =
            (0..threads).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, || take(true)).ok()).collect();
        let mut done: Vec<(usize, R)> = here.into_iter().map(|index| (index, work(&all[index]))).collect();
        if others.is_empty() {
            // No thread could be started.
            done.extend(take(false));
        }
        for other in others {
            match other.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Where, NetnsFile, usize);

    impl Placed for One {
        fn place(&self) -> (&Where, &NetnsFile) {
            (&self.0, &self.1)
        }
    }

    #[test]
    fn side_by_side_every_one_is_asked_once_and_answers_in_order() {
        let own = NetnsFile::current().unwrap();
        for count in [0, 1, 2, 7, 100] {
            let all: Vec<One> = (0..count)
                .map(|at| {
                    let place = if at % 3 == 0 { Where::Host } else { Where::Named(format!("n{at}")) };
                    One(place, own.clone(), at)
                })
                .collect();
            assert_eq!(side_by_side(&all, |one| one.2 * 2), (0..count).map(|at| at * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_is_done_in_its_namespace_and_the_caller_stays_in_his() {
        use crate::exec::scratch::Scratch;
        let here = NetnsFile::current().unwrap();
        let Ok(scratch) = (0..5).map(|_| Scratch::new()).collect::<Result<Vec<_>>>() else {
            // Without privilege there is no other namespace.
            assert!(!rustix::process::geteuid().is_root());
            return;
        };
        let open = |one: &Scratch| match one.netns() {
            Where::Path(path) => NetnsFile::open(&path).unwrap(),
            other => panic!("{other}"),
        };
        let mut all: Vec<(Where, NetnsFile)> =
            scratch.iter().map(|one| (Where::Named("other".into()), open(one))).collect();
        all.insert(2, (Where::Host, here.clone()));
        let seen = side_by_side(&all, |(at, file)| {
            let by_thread = NetnsFile::current().unwrap().id();
            let inside = inside(at, file, || NetnsFile::current().unwrap().id()).unwrap();
            // A namespace that is not the one of this turn is entered by a thread of its own.
            let other = other_than(&all, file)
                .map(|(at, file)| super::inside(at, file, || NetnsFile::current().unwrap().id()).unwrap());
            (by_thread, inside, other)
        });
        for ((_, file), (by_thread, inside, other)) in all.iter().zip(seen) {
            assert_eq!((by_thread, inside), (file.id(), file.id()));
            assert!(other.is_some_and(|other| other != file.id()));
        }
        assert_eq!(NetnsFile::current().unwrap().id(), here.id());
    }

    /// Some other place than that of `file`.
    fn other_than<'a>(all: &'a [(Where, NetnsFile)], file: &NetnsFile) -> Option<(&'a Where, &'a NetnsFile)> {
        all.iter().find(|(at, other)| *at != Where::Host && other.id() != file.id()).map(|(at, file)| (at, file))
    }
}
