//! The one flag that says "stop": set by signals, by the deadline of the run, and polled wherever netwright waits.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// Shared by the signal handlers, the script engine and everything that waits. Cloning shares.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The number of the first signal; 0 while none came.
    signal: Arc<AtomicI32>,
    /// Whether nothing stops any more: the run is being undone.
    held: std::sync::atomic::AtomicBool,
    /// When the run must have ended.
    deadline: Mutex<Option<(Instant, Duration)>>,
}

impl Interrupt {
    /// The cell into which a signal handler stores the signal's number.
    #[must_use]
    pub fn cell(&self) -> Arc<AtomicI32> {
        Arc::clone(&self.0.signal)
    }

    /// Sets the time that the whole run may take from now on.
    pub fn set_deadline(&self, limit: Duration) {
        if let Ok(mut deadline) = self.0.deadline.lock() {
            *deadline = Some((Instant::now() + limit, limit));
        }
    }

    /// Forgets the signal and the deadline, and listens for the next: a conversation goes on after Ctrl-C.
    pub fn reset(&self) {
        self.0.signal.store(0, Ordering::SeqCst);
        if let Ok(mut deadline) = self.0.deadline.lock() {
            *deadline = None;
        }
    }

    /// From now on nothing is stopped: the undoing of a run is not ended by the signal that ended the run, nor by one that comes while it
    /// goes on. (The second signal ends the process, where signals are listened to.)
    pub fn hold(&self) {
        self.0.held.store(true, Ordering::SeqCst);
    }

    /// The signal that asked the run to end, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.0.signal.load(Ordering::SeqCst) {
            _ if self.0.held.load(Ordering::SeqCst) => None,
            0 => None,
            signal => Some(signal),
        }
    }

    /// Whether to stop: a signal came or the deadline of the run passed.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.signal().is_some() || self.overdue().is_some()
    }

    fn overdue(&self) -> Option<Duration> {
        if self.0.held.load(Ordering::SeqCst) {
            return None;
        }
        let deadline = self.0.deadline.lock().ok()?;
        deadline.and_then(|(end, limit)| (Instant::now() >= end).then_some(limit))
    }

    /// The error that ends the run.
    #[must_use]
    pub fn error(&self) -> Error {
        if let Some(signal) = self.signal() {
            return Error::new(Kind::Interrupted, format!("interrupted by {}", signal_name(signal)));
        }
        let limit = self.overdue().unwrap_or_default();
        Error::new(Kind::TimedOut, format!("the run took longer than {}", humantime::format_duration(limit)))
            .hint("give it more time with `--timeout`")
    }

    /// An error if the run is to stop.
    ///
    /// # Errors
    ///
    /// `Interrupted` after a signal, `TimedOut` after the deadline of the run.
    pub fn check(&self) -> crate::Result<()> {
        if self.is_set() { Err(self.error()) } else { Ok(()) }
    }

    /// Sleeps, and wakes early when the run is to stop.
    ///
    /// # Errors
    ///
    /// As [`Interrupt::check`].
    pub fn sleep(&self, time: Duration) -> crate::Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}

/// The name of a signal that ends a run.
#[must_use]
pub(crate) fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
