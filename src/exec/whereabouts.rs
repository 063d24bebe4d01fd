//! Where a namespace is found while it lives: by its name, in a process, under a mount, as an open file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::netns::{NETNS_DIR, NetnsFile, NetnsId, NetnsStamp, id_at, names};
use crate::op::Where;

/// The words that run a command in a living namespace: `ip netns exec NAME`, or `nsenter --net=FILE`. `None`: nobody who can be seen has it, so it
/// is gone (only a socket may hold it still).
#[must_use]
pub(crate) fn way_into(wanted: &NetnsStamp) -> Option<String> {
    // Its number first, which costs nothing; then what does not come again.
    let is_it = |path: &Path| {
        id_at(path) == Some(wanted.id)
            && NetnsFile::open(path).is_ok_and(|file| {
                let mount = NetnsStamp::at_mount(path).filter(|_| path.starts_with(NETNS_DIR));
                let made_ns = mount.and_then(|now| now.made_ns);
                wanted.same(&NetnsStamp { made_ns, ..file.stamp() }) != Some(false)
            })
    };
    let named = names().unwrap_or_default().into_iter().find(|name| is_it(&Path::new(NETNS_DIR).join(name)));
    if let Some(name) = named {
        return Some(format!("ip netns exec {}", crate::op::quote(&[name])));
    }
    let found = processes().into_iter().find_map(|process| {
        let own = process.join("ns/net");
        let mut places = std::iter::once(own).chain(mounts(&process, wanted)).chain(files(&process));
        places.find(|path| is_it(path))
    });
    found.map(|path| format!("nsenter {}", crate::op::quote(&[format!("--net={}", path.display())])))
}

/// Network namespaces that have no name: each by a path where it is found, those of `known` first, then mounts, then processes. Not this one.
#[must_use]
pub(crate) fn unnamed(known: &[Where]) -> Vec<PathBuf> {
    let mut seen: HashSet<NetnsId> =
        names().unwrap_or_default().iter().filter_map(|name| id_at(&Path::new(NETNS_DIR).join(name))).collect();
    seen.extend(id_at(Path::new("/proc/thread-self/ns/net")));
    let paths = known.iter().filter_map(|netns| match netns {
        Where::Path(path) => Some(path.clone()),
        _ => None,
    });
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted = mounted.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(3);
        words.next().filter(|root| root.starts_with("net:["))?;
        words.next().map(PathBuf::from)
    });
    let mut processes = processes();
    processes.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let held = processes.into_iter().map(|process| process.join("ns/net"));
    let mut is_new = |path: &PathBuf| id_at(path).is_some_and(|id| seen.insert(id));
    paths.chain(mounted).chain(held).filter(|path| is_new(path)).collect()
}

fn processes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_pid =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    entries.map(|entry| entry.path()).filter(is_pid).collect()
}

/// Where a process sees a namespace of that number mounted.
fn mounts(process: &Path, wanted: &NetnsStamp) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
    let root = format!("net:[{}]", wanted.id.inode);
    let mounted = text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(3);
        (words.next()? == root).then(|| words.next())?
    });
    mounted.map(|place| process.join("root").join(place.trim_start_matches('/'))).collect()
}

/// The open files of a process that are namespaces.
fn files(process: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let is_netns = |path: &PathBuf| {
        std::fs::read_link(path).is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"net:["))
    };
    entries.map(|entry| entry.path()).filter(is_netns).collect()
}
