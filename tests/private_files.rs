//! What the programs of a sandbox write reaches nobody's files, but for what is kept by name.

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{NETWRIGHT, Ran, ScriptFile, Who, everyone};

/// A folder that `who` owns.
fn folder(who: Who) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("netwright-files-").tempdir().expect("a folder");
    if who == Who::Nobody {
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("given away");
    }
    folder
}

fn netwright(who: Who, here: &Path, args: &[&str]) -> Ran {
    let mut command = common::command(who);
    command.args(args).current_dir(here).env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("it starts").into()
}

/// Whether there are sandboxes for this user at all.
fn can(ran: &Ran) -> bool {
    if ran.code == 4 {
        println!("skipped: no sandbox here: {}", ran.stderr);
    }
    ran.code != 4
}

#[test]
fn what_a_program_writes_is_seen_by_the_next_and_gone_with_the_run() {
    for who in everyone() {
        let here = folder(who);
        let mark = here.path().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let script = ScriptFile::new(&format!(
            r#"
            let a = netns("a");
            a.run(["sh", "-c", "echo one > /tmp/{mark}.a; echo two > /var/tmp/{mark}; echo three > /dev/shm/{mark}; echo four > here"]);
            a.run(["sh", "-c", "mkdir -p /etc/netns/a && echo '10.0.0.9 {mark}.test' > /etc/netns/a/hosts"]);
            assert_eq!(host().run("cat /tmp/{mark}.a /var/tmp/{mark} /dev/shm/{mark} here"), "one\ntwo\nthree\nfour");
            assert(a.run("getent hosts {mark}.test").contains("10.0.0.9"));
            a.start(["sh", "-c", "sleep 0.2; touch /tmp/{mark}.ready; sleep 60"], #{{ ready: "/tmp/{mark}.ready" }});
            host().run(["sh", "-c", "printf '#!/bin/sh\necho made here' > /tmp/{mark}.sh; chmod +x /tmp/{mark}.sh"]);
            assert_eq!(a.run("/tmp/{mark}.sh"), "made here");
            host().run("ip netns add other");
            assert(netns("other").run("ip netns list").contains("other"));
            "#
        ).replace("assert_eq!(", "assert_eq("));
        let ran = netwright(who, here.path(), &["run", script.path()]);
        if !can(&ran) {
            continue;
        }
        assert_eq!(ran.code, 0, "{who:?}: {ran:#?}");
        let paths = ["/tmp/{}.a", "/tmp/{}.ready", "/tmp/{}.sh", "/var/tmp/{}", "/dev/shm/{}"];
        let mut left: Vec<PathBuf> = paths.iter().map(|path| path.replace("{}", &mark).into()).collect();
        left.push(here.path().join("here"));
        left.retain(|path| path.exists());
        assert_eq!(left, [] as [PathBuf; 0], "{who:?}");
        assert!(!Path::new("/etc/netns/a/hosts").exists());
    }
}

#[test]
fn what_is_kept_by_name_stays() {
    for who in everyone() {
        let here = folder(who);
        let script = ScriptFile::new(r#"host().run(["sh", "-c", "echo kept > out/file; echo gone > file"]);"#);
        let missing = netwright(who, here.path(), &["run", "--keep", "./out", script.path()]);
        assert_eq!(missing.code, 3, "{missing:#?}");
        assert!(missing.stderr.contains("`--keep ./out`: no such file or directory"), "{missing:#?}");
        assert!(missing.stderr.contains("mkdir -p ./out"), "{missing:#?}");
        std::fs::create_dir(here.path().join("out")).expect("a folder");
        if who == Who::Nobody {
            std::os::unix::fs::chown(here.path().join("out"), Some(65534), Some(65534)).expect("given away");
        }
        let ran = netwright(who, here.path(), &["run", "--keep", "./out", script.path()]);
        if !can(&ran) {
            continue;
        }
        assert_eq!(ran.code, 0, "{who:?}: {ran:#?}");
        assert_eq!(std::fs::read_to_string(here.path().join("out/file")).expect("kept"), "kept\n");
        assert!(!here.path().join("file").exists());

        let tests =
            r#"test("writes", || { host().run(["sh", "-c", "echo of a test > out/file; echo gone > file"]); });"#;
        std::fs::write(here.path().join("it_test.rhai"), tests).expect("written");
        let ran = netwright(who, here.path(), &["test", "--keep", "out", "it_test.rhai"]);
        assert_eq!(ran.code, 0, "{who:?}: {ran:#?}");
        assert_eq!(std::fs::read_to_string(here.path().join("out/file")).expect("kept"), "of a test\n");
        assert!(!here.path().join("file").exists());
    }
    let on_host = netwright(Who::Me, Path::new("/"), &["run", "--host", "--keep", "/tmp", "x.rhai"]);
    assert_eq!(on_host.code, 2, "{on_host:#?}");
}

#[test]
fn a_sandbox_in_a_sandbox_in_a_sandbox_writes_nothing_either() {
    for who in everyone() {
        let here = folder(who);
        let mark = here.path().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        // The kernel lays no overlay on an overlay that lies on another: the innermost has an empty /tmp, and reads the rest.
        let inner = ScriptFile::new(&format!("host().run([\"sh\", \"-c\", \"echo x > /tmp/{mark}.in\"]);"));
        let script = |path: &str| {
            let line = format!("print(host().run([\"{NETWRIGHT}\", \"run\", \"{path}\"]));");
            ScriptFile::new(&format!("host().run([\"sh\", \"-c\", \"echo x > /tmp/{mark}.out\"]);\n{line}"))
        };
        let middle = script(inner.path());
        let outer = script(middle.path());
        let ran = netwright(who, here.path(), &["run", outer.path()]);
        if !can(&ran) {
            continue;
        }
        assert_eq!(ran.code, 0, "{who:?}: {ran:#?}");
        for path in [format!("/tmp/{mark}.in"), format!("/tmp/{mark}.out")] {
            assert!(!Path::new(&path).exists(), "{who:?}: {path}");
        }
    }
}

/// A folder that something is mounted on is kept as it is, not as what lies over it by then.
#[test]
fn a_mount_point_is_kept() {
    if !common::is_root() {
        println!("skipped: only root can mount something on the machine");
        return;
    }
    let ran = common::on_a_machine_of_its_own(
        r#"
        mount -t tmpfs t /mnt; mkdir /mnt/below; mount -t tmpfs t /mnt/below; cd /mnt
        echo 'host().run(["sh", "-c", "echo kept >one; echo kept >below/two"]);' >it.rhai
        for path in . /mnt ./below; do "$NETWRIGHT" run --keep "$path" it.rhai; cat one below/two 2>/dev/null; rm -f one below/two; echo "== $path"; done
        "#,
        &[],
    );
    assert_eq!(ran.stdout, "kept\nkept\n== .\nkept\nkept\n== /mnt\nkept\n== ./below\n", "{ran:#?}");
}

/// Where a plain user gets no overlay, `/tmp` is an empty folder; what is mounted below it keeps its place.
#[test]
fn what_is_mounted_below_tmp_is_there() {
    if !common::is_root() {
        println!("skipped: only root can mount something on the machine");
        return;
    }
    let script = ScriptFile::new(
        r#"assert_eq(host().run("cat /tmp/netwright-outer/inner/file"), "below"); host().run("ls -l /tmp/netwright-outer/one");"#,
    );
    // A root that is an overlay itself: a plain user's kernel refuses another one above it.
    let machine = r#"
        set -e; mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w /mnt/new; mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w o /mnt/new
        cd /mnt/new; mount --rbind /proc proc; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs r run; mkdir -p run/netns
        mkdir -p tmp/netwright-outer/inner; mount -t tmpfs t tmp/netwright-outer/inner; echo below > tmp/netwright-outer/inner/file; chmod -R a+rX tmp/netwright-outer
        touch tmp/netwright-outer/one; mount --bind /etc/hostname tmp/netwright-outer/one
        cp "$1" tmp/netwright-outer/inner/netwright; cp "$2" tmp/netwright-outer/inner/s.rhai; chmod a+rx tmp/netwright-outer/inner/*
        pivot_root . mnt; umount -l mnt
        exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp /tmp/netwright-outer/inner/netwright run /tmp/netwright-outer/inner/s.rhai
    "#;
    let mut command = std::process::Command::new("unshare");
    command.args(["-nm", "bash", "-c", machine, "machine", NETWRIGHT, script.path()]).stdin(Stdio::null());
    let ran: Ran = command.output().expect("unshare").into();
    if ran.stderr.contains("overlay") && ran.code != 0 {
        println!("skipped: no overlay here: {}", ran.stderr);
        return;
    }
    assert_eq!(ran.code, 0, "{ran:#?}");
}

/// `--shell-on-failure` opens a shell on the terminal, of which `script` makes one.
#[test]
fn the_shell_after_a_failed_test_has_the_files_of_its_programs() {
    for who in everyone() {
        let here = folder(who);
        let mark = here.path().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let tests = format!(
            r#"test("fails", || {{ host().run(["sh", "-c", "echo of the test > /tmp/{mark}.t"]); assert(false); }});"#
        );
        std::fs::write(here.path().join("it_test.rhai"), tests).expect("written");
        let asks = format!(
            "#!/bin/sh\ncat /tmp/{mark}.t > {0}/kept/said; echo x > /tmp/{mark}.s; echo x > {0}/here; ls /tmp/{mark}.s >> {0}/kept/said\n",
            here.path().display()
        );
        let shell = here.path().join("shell");
        std::fs::write(&shell, asks).expect("written");
        std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
        std::fs::create_dir(here.path().join("kept")).expect("a folder");
        if who == Who::Nobody {
            std::os::unix::fs::chown(here.path().join("kept"), Some(65534), Some(65534)).expect("given away");
        }
        let line =
            format!("env SHELL={} {NETWRIGHT} test --keep kept --shell-on-failure it_test.rhai", shell.display());
        let mut command = match who {
            Who::Me => std::process::Command::new("script"),
            Who::Nobody => {
                let mut command = std::process::Command::new("setpriv");
                command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "script"]);
                command
            }
        };
        command.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh").env("NO_COLOR", "1");
        let Ok(output) = command.current_dir(here.path()).stdin(Stdio::null()).output() else {
            println!("skipped: there is no `script` here");
            return;
        };
        let ran = Ran::from(output);
        if !can(&ran) {
            continue;
        }
        let said = std::fs::read_to_string(here.path().join("kept/said")).unwrap_or_default();
        assert_eq!(said, format!("of the test\n/tmp/{mark}.s\n"), "{who:?}: {ran:#?}");
        for path in [here.path().join("here"), format!("/tmp/{mark}.s").into(), format!("/tmp/{mark}.t").into()] {
            assert!(!path.exists(), "{who:?}: {}", path.display());
        }
    }
}
