//! The warm processes of a run: at most so many, some of them still being started by threads of their own.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::netns::NetnsFile;
use super::priority;
use super::warm::{Family, Warm};
use crate::op::Where;

/// How many warm processes are open at once, at most; the least recently used one makes room.
const WARM_MAX: usize = 256;
/// How many files a warm process takes: its three pipes, the two ends of one that is being started, and its namespace's file.
const FILES_EACH: usize = 6;
/// How many files are left to everything else: the journal, claims, a tool that is being started.
const FILES_FREE: usize = 40;
/// How many threads start warm processes ahead. Two halve the cost on two cores (KNOWLEDGE.md); a third goes on while the child of another, which
/// gave way ([`priority`]), waits for a core.
const SPAWNERS: usize = 3;

type Key = (Where, Family);

/// The warm processes, some of them still being started.
#[derive(Default)]
pub(super) struct WarmPool {
    slots: HashMap<Key, Slot>,
    clock: u64,
    most: Option<usize>,
    spawner: Option<Sender<Job>>,
}

struct Slot {
    state: State,
    used: u64,
    /// It was asked something and not heard: who ends it now loses an answer to what it may have done.
    asked: bool,
}

enum State {
    Pending(Receiver<io::Result<Warm>>),
    Ready(Box<Warm>),
}

struct Job {
    netns: NetnsFile,
    ip: PathBuf,
    answer: Sender<io::Result<Warm>>,
}

impl WarmPool {
    pub(super) fn get(
        &mut self,
        netns: &Where,
        family: Family,
        start: impl FnOnce() -> io::Result<Warm>,
    ) -> io::Result<&mut Warm> {
        self.clock += 1;
        let used = self.clock;
        let key = (netns.clone(), family);
        let ready = match self.slots.remove(&key).map(|slot| slot.state) {
            Some(State::Ready(warm)) => *warm,
            Some(State::Pending(answer)) => match answer.recv() {
                Ok(Ok(warm)) => warm.wanted(),
                _ => start()?,
            },
            None => {
                self.make_room();
                start()?
            }
        };
        let slot = self
            .slots
            .entry(key)
            .insert_entry(Slot { state: State::Ready(Box::new(ready)), used, asked: true })
            .into_mut();
        match &mut slot.state {
            State::Ready(warm) => Ok(warm),
            State::Pending(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The process that was asked something.
    pub(super) fn asked(&mut self, netns: &Where, family: Family) -> Option<&mut Warm> {
        let slot = self.slots.get_mut(&(netns.clone(), family))?;
        slot.asked = false;
        match &mut slot.state {
            State::Ready(warm) => Some(warm),
            State::Pending(_) => None,
        }
    }

    pub(super) fn spawn_ahead(&mut self, netns: &Where, file: NetnsFile, ip: PathBuf) {
        let key = (netns.clone(), Family::Any);
        if self.slots.contains_key(&key) {
            return;
        }
        self.make_room();
        let (answer, receiver) = channel();
        let spawner = self.spawner.get_or_insert_with(start_spawners);
        if spawner.send(Job { netns: file, ip, answer }).is_ok() {
            self.clock += 1;
            self.slots.insert(key, Slot { state: State::Pending(receiver), used: self.clock, asked: false });
        }
    }

    fn make_room(&mut self) {
        let most = self.most();
        while self.slots.len() >= most || (is_short_of_files() && !self.slots.is_empty()) {
            let free = self.slots.iter().filter(|(_, slot)| !slot.asked);
            let Some(key) = free.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone()) else { return };
            self.slots.remove(&key);
        }
    }

    /// Whether one more namespace can be asked while so many have not answered yet.
    pub(super) fn bears(&mut self, ahead: usize) -> bool {
        ahead == 0 || ahead * 2 < self.most() && !is_short_of_files()
    }

    /// As many as the limit of open files bears.
    fn most(&mut self) -> usize {
        *self.most.get_or_insert_with(|| {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            let files = limit.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
            (files.saturating_sub(FILES_FREE) / FILES_EACH).clamp(1, WARM_MAX)
        })
    }

    pub(super) fn remove(&mut self, netns: &Where, family: Family) -> Option<Warm> {
        match self.slots.remove(&(netns.clone(), family))?.state {
            State::Ready(warm) => Some(*warm),
            State::Pending(answer) => answer.recv().ok()?.ok(),
        }
    }

    /// Takes all processes of one namespace out.
    pub(super) fn take(&mut self, netns: &Where) -> Vec<Warm> {
        [Family::Any, Family::V6].into_iter().filter_map(|family| self.remove(netns, family)).collect()
    }

    pub(super) fn retire(&mut self) {
        let mut gone: Vec<Warm> = self
            .slots
            .drain()
            .filter_map(|(_, slot)| match slot.state {
                State::Ready(warm) => Some(*warm),
                State::Pending(answer) => answer.recv().ok()?.ok(),
            })
            .collect();
        // All are told first and waited for afterwards: they end side by side.
        gone.iter_mut().for_each(Warm::close);
    }
}

/// Whether most of the files that this process may open are open: claims and namespaces take some, too. The kernel gives the lowest number that is
/// free.
fn is_short_of_files() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(limit) = limit.and_then(|files| usize::try_from(files).ok()) else { return false };
    rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 0).map_or_else(
        |error| error == rustix::io::Errno::MFILE,
        |file| usize::try_from(file.as_raw_fd()).is_ok_and(|number| number > limit / 4 * 3),
    )
}

impl Drop for WarmPool {
    fn drop(&mut self) {
        self.retire();
    }
}

/// Threads that enter a namespace, start a warm `ip` there, and leave again so that they hold no namespace alive.
fn start_spawners() -> Sender<Job> {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..SPAWNERS {
        let receiver = Arc::clone(&receiver);
        std::thread::spawn(move || {
            let Ok(home) = NetnsFile::current() else { return };
            let had = priority::give_way();
            loop {
                let job = match receiver.lock() {
                    Ok(queue) => queue.recv(),
                    Err(_) => return,
                };
                let Ok(Job { netns, ip, answer }) = job else { return };
                let warm = netns.enter().and_then(|()| Warm::start(&ip, None, Family::Any));
                let warm = warm.map(|warm| warm.less_urgent(had));
                let left = home.enter();
                drop(netns);
                // Nobody may wait any more; the process then ends with its handle.
                let _ = answer.send(warm);
                if left.is_err() {
                    return;
                }
            }
        });
    }
    sender
}
