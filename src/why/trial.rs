//! One packet that is tried, on threads of its own: what is read meanwhile costs no time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::finding::Tried;
use super::{PATIENCE, Question};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::netns::NetnsFile;
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{
    ConnectOptions, Established, PingOptions, Proto, Silence, Target, Verdict as Answer, Witness, connect, ping,
};
use crate::session::Session;

/// How long the reading waits for the packet: what it does to neighbours and connections, it does at once.
const HEAD_START: Duration = Duration::from_millis(50);

/// How many bytes a ping carries unless it is told: as those of `ping`.
const PING: u32 = 56;

/// What is tried, and from where.
pub(super) struct Trial {
    question: Question,
    target: Target,
    from: NetnsFile,
    /// The namespace that must answer.
    owner: Option<NetnsFile>,
    interrupt: Interrupt,
    /// Nobody waits for it any more.
    enough: Arc<AtomicBool>,
}

/// A trial that goes on.
pub(super) struct Running {
    thread: JoinHandle<Result<(Tried, Option<Established>)>>,
    enough: Arc<AtomicBool>,
}

impl Trial {
    /// A trial of a question.
    ///
    /// # Errors
    ///
    /// When a namespace is not there.
    pub(super) fn of(session: &Session, question: &Question, target: &Target, owner: Option<&Where>) -> Result<Self> {
        session.settle_all()?;
        let file = |at: &Where| session.exec().netns(at);
        Ok(Self {
            question: question.clone(),
            target: target.clone(),
            from: file(&question.from)?,
            owner: owner.map(file).transpose()?,
            interrupt: session.exec().interrupt().clone(),
            enough: Arc::default(),
        })
    }

    /// Begins it, and waits until it is over or has done what it does at once.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(super) fn begin(self) -> Result<Running> {
        let (done, over) = mpsc::channel();
        let enough = Arc::clone(&self.enough);
        let thread = std::thread::Builder::new().spawn(move || {
            let tried = self.run();
            let _ = done.send(());
            tried
        });
        let thread =
            thread.map_err(|error| Error::new(Kind::Unsupported, format!("cannot start a thread: {error}")))?;
        let _ = over.recv_timeout(scaled(HEAD_START));
        Ok(Running { thread, enough })
    }

    /// Tries it until it is answered, refused or met by silence. That is listened to once more by the flight recorder.
    fn run(&self) -> Result<(Tried, Option<Established>)> {
        let begun = Instant::now();
        let mut last = self.once()?;
        for _ in 0..2 {
            self.interrupt.check()?;
            if !last.0.is_older() || self.enough.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            last = self.once()?;
        }
        self.interrupt.check()?;
        let (mut answer, open) = last;
        // What was stopped because its like was seen to die is silence until then.
        if let Answer::Inconclusive(silence) = &mut answer {
            silence.cancelled = false;
        }
        let tried = Tried {
            reached: answer.is_reached(),
            word: answer.word().to_owned(),
            detail: answer.detail(),
            refused: match &answer {
                Answer::NotReached(not) if not.by.is_none() && not.icmp.is_none() => {
                    not.errno.map(|_| not.reason.name())
                }
                _ => None,
            },
            last: None,
            took: begun.elapsed(),
        };
        Ok((tried, open))
    }

    /// Tries it once.
    ///
    /// # Errors
    ///
    /// When nothing can be sent at all.
    pub(super) fn once(&self) -> Result<(Answer, Option<Established>)> {
        let (question, target) = (&self.question, &self.target);
        let cancel = || self.interrupt.is_set() || self.enough.load(Ordering::Relaxed);
        if target.proto == Proto::Icmp {
            let options = ping_options(question, target, question.size.unwrap_or(PING), PATIENCE);
            let mut witness = self.owner.as_ref().and_then(|owner| owner.within(Witness::open).ok()?.ok());
            let report = self.from.within(|| ping(target.addr, &options, &cancel))??;
            if let Some(witness) = witness.as_mut().filter(|_| report.verdict.is_reached())
                && !witness.saw(report.token, scaled(Duration::from_millis(200)))?
            {
                // Answered by a stranger: that is no answer.
                let silence = Silence { after: scaled(PATIENCE), cancelled: false };
                return Ok((Answer::Inconclusive(silence), None));
            }
            return Ok((report.verdict, None));
        }
        let options = connect_options(question, PATIENCE);
        let open = self.from.within(|| connect(target, &options, &cancel))??;
        Ok((open.verdict().clone(), Some(open)))
    }
}

impl Running {
    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits no longer for an answer.
    pub(super) fn stop(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// What came of it.
    ///
    /// # Errors
    ///
    /// When nothing could be sent at all.
    pub(super) fn end(self) -> Result<(Tried, Option<Established>)> {
        self.thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker thread panicked")))
    }
}

/// A ping of a question, with so many bytes.
pub(super) fn ping_options(question: &Question, target: &Target, size: u32, patience: Duration) -> PingOptions {
    PingOptions {
        timeout: scaled(patience),
        size: usize::try_from(size).unwrap_or(usize::MAX).clamp(16, 65_507),
        source: question.source,
        mark: question.mark,
        tos: question.shape.tos,
        device: question.shape.dev.clone(),
        dont_fragment: question.size.is_some(),
        ..PingOptions::for_target(target)
    }
}

/// A connection, or a datagram, of a question.
pub(super) fn connect_options(question: &Question, patience: Duration) -> ConnectOptions {
    ConnectOptions {
        timeout: scaled(patience),
        source: question.source,
        mark: question.mark,
        sport: question.shape.sport,
        tos: question.shape.tos,
        device: question.shape.dev.clone(),
        ..ConnectOptions::default()
    }
}
