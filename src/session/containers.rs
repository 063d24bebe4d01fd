//! Containers and pods by the names that people have for them: `docker:web`, `podman:db`, `containerd:ID`, `pod:default/web`.
//!
//! Their engine is asked for the process, whose namespace it is; without the engine's program the control groups of the processes tell, which
//! know ids and no names. Nothing is changed.

use std::path::PathBuf;

use super::Session;
use crate::error::{Error, Kind, Result};
use crate::exec::asker::Asker;
use crate::exec::netns::NetnsFile;
use crate::exec::process::End;
use crate::exec::tools;
use crate::op::Where;

/// What an id has at least, to be looked for among control groups.
const ID_MIN: usize = 6;
/// How much of an id people are shown, as the engines do.
const ID_SHOWN: usize = 12;
/// How an engine's control groups name a container, before its id: what starts the last part of the path, and what people call it by.
const GROUPS: [(&str, &str); 6] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("crio-", "containerd"),
    ("nerdctl-", "containerd"),
    ("", "containerd"),
];

impl Session {
    /// The namespace of a container or pod; `None` when the text names no engine.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none of that name, or it does not run; `InvalidArgument` for a name that none can have.
    pub fn container(&self, text: &str) -> Option<Result<Where>> {
        let (engine, name) = text.split_once(':').filter(|(engine, _)| ENGINES.contains(engine))?;
        Some(self.process_of(engine, name).map(|pid| Where::Path(PathBuf::from(format!("/proc/{pid}/ns/net")))))
    }

    fn process_of(&self, engine: &str, name: &str) -> Result<u32> {
        let known = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one) || (one == '/' && engine == "pod");
        if !name.starts_with(|one: char| one.is_ascii_alphanumeric()) || !name.chars().all(known) {
            return Err(Error::new(Kind::InvalidArgument, format!("`{engine}:{name}` is no name of a container"))
                .hint("docker:web, podman:db, containerd:4f5a0c, pod:default/web"));
        }
        let said = match engine {
            "docker" | "podman" => {
                self.says(engine, &["inspect", "--type", "container", "--format", "{{.State.Pid}}", name])
            }
            "pod" => {
                let (space, pod) = name.split_once('/').unwrap_or(("default", name));
                let exact = format!("^{pod}$");
                let ids =
                    self.says("crictl", &["pods", "--namespace", space, "--name", &exact, "--state", "ready", "-q"]);
                ids.and_then(|ids| {
                    let id = ids.lines().next()?.to_owned();
                    self.says("crictl", &["inspectp", "-o", "go-template", "--template", "{{.info.pid}}", &id])
                })
            }
            _ => self.says("crictl", &["inspect", "-o", "go-template", "--template", "{{.info.pid}}", name]),
        };
        match said.and_then(|said| said.trim().parse::<u32>().ok()) {
            Some(0) => Err(Error::new(Kind::NotFound, format!("`{engine}:{name}` does not run"))),
            Some(pid) => Ok(pid),
            None => grouped().into_iter().find(|(_, _, id)| fits(id, name)).map(|(pid, ..)| pid).ok_or_else(|| {
                let program = if matches!(engine, "docker" | "podman") { engine } else { "crictl" };
                let hint = match tools::find_own(program) {
                    Some(_) => format!("`{program} ps` shows what runs"),
                    None => {
                        format!("`{program}` is not installed; without it only ids are known: docker:ID, containerd:ID")
                    }
                };
                Error::new(Kind::NotFound, format!("no container `{engine}:{name}` runs here")).hint(hint)
            }),
        }
    }

    /// Counts the namespaces of running containers among those that are known, each once.
    pub fn know_containers(&self) {
        let file = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/net"));
        let here = NetnsFile::current().ok().map(|here| here.id());
        let mut seen: Vec<_> = here.into_iter().collect();
        let mut all: Vec<u32> = grouped().into_iter().map(|(pid, ..)| pid).collect();
        all.sort_unstable();
        for path in all.into_iter().map(file) {
            if let Some(id) = crate::exec::netns::id_at(&path).filter(|id| !seen.contains(id)) {
                seen.push(id);
                self.know(&Where::Path(path));
            }
        }
    }

    /// What people call the containers among these namespaces.
    #[must_use]
    pub fn container_names(&self, places: &[Where]) -> Vec<(Where, String)> {
        places.iter().filter_map(|at| Some((at.clone(), self.container_name(at)?))).collect()
    }

    fn container_name(&self, at: &Where) -> Option<String> {
        let Where::Path(path) = at else { return None };
        let pid = path.to_str()?.strip_prefix("/proc/")?.strip_suffix("/ns/net")?;
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let (engine, id) = group_of(&groups)?;
        let short = format!("{engine}:{}", &id[..ID_SHOWN.min(id.len())]);
        let named = match engine {
            "docker" | "podman" => self
                .says(engine, &["inspect", "--type", "container", "--format", "{{.Name}}", &id])
                .map(|name| format!("{engine}:{}", name.trim().trim_start_matches('/'))),
            _ => {
                let label = |key: &str| format!("{{{{index .status.labels \"io.kubernetes.pod.{key}\"}}}}");
                let template = format!("{}/{}", label("namespace"), label("name"));
                self.says("crictl", &["inspect", "-o", "go-template", "--template", &template, &id])
                    .map(|name| format!("pod:{}", name.trim()))
            }
        };
        named.filter(|name| !name.ends_with([':', '/'])).or(Some(short))
    }

    /// What an engine's program says; nothing where it is missing, fails, or its engine does not run.
    fn says(&self, program: &str, argv: &[&str]) -> Option<String> {
        let path = tools::find_own(program)?;
        let here = NetnsFile::current().ok()?;
        let done = Asker::new(self.exec().interrupt()).finish(&Where::Host, &here, &path, argv, None).ok()?;
        matches!(done.end, End::Exited(0)).then_some(done.stdout).filter(|said| !said.trim().is_empty())
    }
}

/// The words before the colon.
pub(crate) const ENGINES: [&str; 4] = ["docker", "podman", "containerd", "pod"];

fn fits(id: &str, name: &str) -> bool {
    name.len() >= ID_MIN && id.starts_with(name)
}

/// The engine and the id that the control groups of a process tell: `…/docker-ID.scope`, `/docker/ID`, `…/cri-containerd-ID.scope`, `/moby/ID`.
fn group_of(groups: &str) -> Option<(&'static str, String)> {
    groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let mut parts = path.rsplit('/');
        let last = parts.next()?.trim_end_matches(".scope");
        let above = parts.next().unwrap_or_default();
        let (start, engine) = GROUPS.into_iter().find(|(start, _)| last.starts_with(start))?;
        let id = &last[start.len()..];
        let is_id = id.len() == 64 && id.bytes().all(|one| one.is_ascii_hexdigit());
        let engine = match above {
            "docker" | "moby" => "docker",
            "libpod_parent" => "podman",
            _ => engine,
        };
        is_id.then(|| (engine, id.to_owned()))
    })
}

/// The processes that run in containers: process, engine, id.
fn grouped() -> Vec<(u32, &'static str, String)> {
    let of = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let (engine, id) = group_of(&std::fs::read_to_string(entry.path().join("cgroup")).ok()?)?;
        Some((pid, engine, id))
    };
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_tell_engine_and_id() {
        let id = "04df4e11d811e42f0a8472d3c6e2003d4321e618d17171c393cf8db3baa36a69";
        for (line, engine) in [
            (format!("0::/system.slice/docker-{id}.scope\n"), Some("docker")),
            (format!("12:pids:/docker/{id}\n0::/system.slice/containerd.service\n"), Some("docker")),
            (format!("0::/machine.slice/libpod-{id}.scope\n"), Some("podman")),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n"), Some("containerd")),
            (format!("0::/kubepods/besteffort/pod7/{id}\n"), Some("containerd")),
            ("0::/user.slice/user-1000.slice\n".to_owned(), None),
            (format!("0::/system.slice/docker-{}.scope\n", &id[..20]), None),
            (String::new(), None),
        ] {
            assert_eq!(group_of(&line), engine.map(|engine| (engine, id.to_owned())), "{line}");
        }
        assert!(fits(id, "04df4e11") && !fits(id, "04d") && !fits(id, "web"));
    }
}
