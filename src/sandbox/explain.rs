//! Why a sandbox cannot be made, and what to do. Pure: what was tried, the errno, and a few facts of the machine go in.

use rustix::io::Errno;

use super::enter::Mode;
use crate::{Error, Kind};

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `unshare(CLONE_NEWUSER)`.
    UserNamespace,
    /// Writing `setgroups`, `uid_map` or `gid_map`.
    MapIds,
    /// `unshare(CLONE_NEWPID)`.
    PidNamespace,
    /// Starting a process in it.
    Start,
    /// `unshare(CLONE_NEWNET)`.
    NetNamespace,
    /// `unshare(CLONE_NEWNS)`.
    MountNamespace,
    /// Making the mounts private.
    Private,
    /// The private `/run`.
    Run,
    /// The fresh `/proc`.
    Proc,
    /// Making `/proc/sys` read-only for root.
    Guard,
    /// `lo` up.
    Loopback,
}

impl Step {
    fn describe(self) -> &'static str {
        match self {
            Self::UserNamespace => "making a user namespace",
            Self::MapIds => "mapping the user to root in the user namespace",
            Self::PidNamespace => "making a pid namespace",
            Self::Start => "starting a process in the new namespaces",
            Self::NetNamespace => "making a network namespace",
            Self::MountNamespace => "making a mount namespace",
            Self::Private => "making the mounts private",
            Self::Run => "mounting a private /run",
            Self::Proc => "mounting a fresh /proc",
            Self::Guard => "making /proc/sys read-only",
            Self::Loopback => "setting lo up",
        }
    }

    /// The limit in `/proc/sys/user` that this step counts against.
    fn limit(self, facts: &Facts) -> Option<(&'static str, Option<u64>)> {
        match self {
            Self::UserNamespace => Some(("user.max_user_namespaces", facts.max_user_namespaces)),
            Self::PidNamespace => Some(("user.max_pid_namespaces", facts.max_pid_namespaces)),
            Self::NetNamespace => Some(("user.max_net_namespaces", facts.max_net_namespaces)),
            Self::MountNamespace => Some(("user.max_mnt_namespaces", facts.max_mnt_namespaces)),
            _ => None,
        }
    }
}

/// What the machine says about itself; `None` where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Effective user id outside.
    pub uid: u32,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `user.max_pid_namespaces`.
    pub max_pid_namespaces: Option<u64>,
    /// `user.max_net_namespaces`.
    pub max_net_namespaces: Option<u64>,
    /// `user.max_mnt_namespaces`.
    pub max_mnt_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian's old patch).
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu 23.10+).
    pub apparmor_restrict: Option<u64>,
    /// A mark of a container runtime was found.
    pub container: bool,
}

impl Facts {
    /// Reads them.
    #[must_use]
    pub fn read(uid: u32) -> Self {
        let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        let container = std::env::var_os("container").is_some()
            || ["/.dockerenv", "/run/.containerenv"].iter().any(|path| std::path::Path::new(path).exists());
        Self {
            uid,
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            max_pid_namespaces: number("/proc/sys/user/max_pid_namespaces"),
            max_net_namespaces: number("/proc/sys/user/max_net_namespaces"),
            max_mnt_namespaces: number("/proc/sys/user/max_mnt_namespaces"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            container,
        }
    }
}

/// A step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub step: Step,
    /// What the kernel answered.
    pub errno: Errno,
    /// Which sandbox.
    pub mode: Mode,
}

impl Failure {
    pub(super) fn new(step: Step, errno: Errno, mode: Mode) -> Self {
        Self { step, errno, mode }
    }

    pub(super) fn io(step: Step, error: &std::io::Error, mode: Mode) -> Self {
        Self::new(step, Errno::from_io_error(error).unwrap_or(Errno::IO), mode)
    }

    /// [`explain`] with the facts of this machine.
    pub(super) fn explain(self) -> Error {
        // Inside the user namespace every user is 0; outside it is what the map says.
        let uid = std::fs::read_to_string("/proc/self/uid_map")
            .ok()
            .and_then(|map| map.split_whitespace().nth(1)?.parse().ok())
            .filter(|_| self.mode == Mode::Rootless && rustix::process::geteuid().is_root())
            .unwrap_or_else(|| rustix::process::geteuid().as_raw());
        explain(self, &Facts::read(uid))
    }
}

const SUDO: &str = "or run it as root: `sudo netwright …`; the sandbox is then made without a user namespace";

/// The error for a failed step.
#[must_use]
pub fn explain(failure: Failure, facts: &Facts) -> Error {
    let Failure { step, errno, mode } = failure;
    let refused = matches!(errno, Errno::PERM | Errno::ACCESS);
    let rootless = mode == Mode::Rootless;
    let error = |kind, why: &str| {
        Error::new(kind, format!("this machine does not allow the sandbox: {why}"))
            .note("failed", format!("{}: {}", step.describe(), std::io::Error::from(errno)))
    };

    if let (Errno::NOSPC | Errno::PERM, Some((name, Some(0)))) = (errno, step.limit(facts)) {
        return error(Kind::PermissionDenied, &format!("`{name}` is 0"))
            .hint(format!("`sudo sysctl -w {name}=10000`"))
            .hint(if rootless { SUDO } else { "in a container, the sysctl of the machine around it decides" });
    }
    if errno == Errno::NOSPC {
        let limit = step.limit(facts).map_or("a limit in /proc/sys/user", |(name, _)| name);
        return error(Kind::Unsupported, &format!("no more namespaces are allowed (`{limit}`, or 32 nested ones)"))
            .hint(format!("raise it: `sudo sysctl -w {limit}=…`, or end what holds the namespaces (`lsns`)"));
    }
    if refused && rootless && facts.unprivileged_userns_clone == Some(0) {
        return error(Kind::PermissionDenied, "`kernel.unprivileged_userns_clone` is 0")
            .hint("`sudo sysctl -w kernel.unprivileged_userns_clone=1`")
            .hint(SUDO);
    }
    if refused && rootless && facts.uid != 0 && facts.apparmor_restrict == Some(1) {
        return error(
            Kind::PermissionDenied,
            "AppArmor takes all capabilities from user namespaces of unprivileged users (Ubuntu 23.10 and later)",
        )
        .hint("`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, for this machine until it restarts")
        .hint("or an AppArmor profile for netwright with `userns,` in /etc/apparmor.d")
        .hint(SUDO);
    }
    if matches!(errno, Errno::INVAL | Errno::NOSYS) && step.limit(facts).is_some() {
        return error(Kind::Unsupported, &format!("the kernel refuses {}", step.describe()))
            .hint("it needs CONFIG_NET_NS, CONFIG_PID_NS, CONFIG_USER_NS; gVisor and old WSL have them only in part");
    }
    if step == Step::Start && errno == Errno::NOENT {
        return error(Kind::Unsupported, "there is no /proc").hint("`sudo mount -t proc proc /proc`");
    }
    if step == Step::Run && matches!(errno, Errno::NOENT | Errno::NOTDIR) {
        return error(Kind::Unsupported, "there is no directory /run").hint("`sudo mkdir /run`");
    }
    if refused && step == Step::Proc {
        return error(Kind::PermissionDenied, "a fresh /proc may not be mounted, because parts of /proc are hidden here")
            .hint("in a container: `docker run --privileged`, or `--security-opt systempaths=unconfined` beside seccomp and apparmor `unconfined`")
            .hint("or run netwright on the machine around the container");
    }
    if refused && facts.container {
        return error(Kind::PermissionDenied, "the container's seccomp, AppArmor or capability settings forbid it")
            .hint("`docker run --privileged`; for less: `--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`")
            .hint("or run netwright on the machine around the container; a chroot forbids user namespaces too");
    }
    if refused && step == Step::UserNamespace {
        return error(Kind::PermissionDenied, "user namespaces are forbidden to this process")
            .hint(
                "a chroot, a seccomp filter (containers, systemd's RestrictNamespaces=) or a security module does that",
            )
            .hint(SUDO);
    }
    if refused {
        return error(Kind::PermissionDenied, &format!("{} is forbidden", step.describe()))
            .hint(
                "a security module (AppArmor, SELinux), a seccomp filter or a container does that; `dmesg` may name it",
            )
            .hint(if rootless { SUDO } else { "try it as a plain user: the sandbox then makes a user namespace" });
    }
    Error::new(Kind::Internal, format!("cannot make the sandbox: {}: {}", step.describe(), std::io::Error::from(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(step: Step, errno: Errno, mode: Mode, facts: &Facts, kind: Kind, message: &str, hint: &str) {
        let error = explain(Failure { step, errno, mode }, facts);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.parts().hints.iter().any(|h| h.contains(hint)), "{:?}", error.parts().hints);
    }

    #[test]
    fn every_known_refusal_has_its_reason_and_a_way_out() {
        use Kind::{PermissionDenied, Unsupported};
        use Mode::{Root, Rootless};
        let user = Facts { uid: 1000, max_user_namespaces: Some(9), max_net_namespaces: Some(9), ..Facts::default() };

        let none = Facts { max_user_namespaces: Some(0), ..user.clone() };
        let text = "`user.max_user_namespaces` is 0";
        check(Step::UserNamespace, Errno::NOSPC, Rootless, &none, PermissionDenied, text, "max_user_namespaces=10000");
        let no_net = Facts { max_net_namespaces: Some(0), ..user.clone() };
        check(Step::NetNamespace, Errno::NOSPC, Rootless, &no_net, PermissionDenied, "max_net_namespaces", "sudo");
        check(Step::NetNamespace, Errno::NOSPC, Root, &user, Unsupported, "no more namespaces", "lsns");

        let debian = Facts { unprivileged_userns_clone: Some(0), ..user.clone() };
        check(Step::UserNamespace, Errno::PERM, Rootless, &debian, PermissionDenied, "userns_clone` is 0", "clone=1");

        let ubuntu = Facts { apparmor_restrict: Some(1), ..user.clone() };
        for step in [Step::MapIds, Step::NetNamespace, Step::Private, Step::Run] {
            for errno in [Errno::PERM, Errno::ACCESS] {
                check(step, errno, Rootless, &ubuntu, PermissionDenied, "AppArmor", "userns=0");
                check(step, errno, Rootless, &ubuntu, PermissionDenied, "AppArmor", "sudo netwright");
            }
        }

        let docker = Facts { uid: 0, container: true, ..Facts::default() };
        check(Step::UserNamespace, Errno::PERM, Rootless, &docker, PermissionDenied, "container", "--privileged");
        check(Step::Proc, Errno::PERM, Rootless, &docker, PermissionDenied, "/proc", "systempaths");
        check(Step::Run, Errno::ACCESS, Root, &docker, PermissionDenied, "container", "apparmor=unconfined");

        check(Step::UserNamespace, Errno::PERM, Rootless, &user, PermissionDenied, "forbidden", "chroot");
        check(Step::NetNamespace, Errno::INVAL, Root, &user, Unsupported, "network namespace", "CONFIG_NET_NS");
        check(Step::Run, Errno::NOENT, Root, &user, Unsupported, "/run", "mkdir");
        check(Step::Private, Errno::PERM, Root, &user, PermissionDenied, "private", "plain user");
    }

    #[test]
    fn the_unknown_stays_unknown() {
        let error = explain(Failure { step: Step::Run, errno: Errno::NOMEM, mode: Mode::Root }, &Facts::default());
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().contains("mounting a private /run"), "{error}");
    }
}
