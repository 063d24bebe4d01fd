//! Sandboxes that stay: `run --keep NAME`, and what enters them by that name.

mod common;

use std::process::Stdio;

use common::{NETWRIGHT, Ran, Who, everyone};

/// Runs a shell script as `who`, in a folder of theirs and with a runtime folder of their own; on a machine of its own where `who` is root.
fn shell(who: Who, script: &str) -> Ran {
    let begin = r#"
        set -u; mkdir run; chmod 700 run; export XDG_RUNTIME_DIR=$PWD/run
        cat >lab.rhai <<'R'
let br = host().bridge("br0").addr("10.0.0.254/24").up();
let web = netns("web");
let db = netns("db");
web.plug("eth0", br).addr("10.0.0.1/24");
db.plug("eth0", br).addr("10.0.0.2/24");
web.listen("tcp/80");
web.file("/etc/motd-of-lab", "a file of the lab\n");
web.start("sleep 1000");
expect(db).reaches(web);
R
        n() { "$NETWRIGHT" "$@"; }
        # Who waits for pid 1 of a sandbox to be gone.
        gone() { for _ in $(seq 200); do [ -e "/proc/$1" ] || { echo gone; return; }; sleep 0.1; done; echo "$1 is there"; }
        pid() { n ps --json | sed 's/.*"pid":\([0-9]*\),"script".*/\1/'; }
    "#;
    let script = format!("{begin}\n{script}");
    if who == Who::Me && common::is_root() {
        let home = "mount -t tmpfs t /run; mkdir /run/netns /run/lock; mount -t tmpfs t /mnt; cd /mnt";
        return common::on_a_machine_of_its_own(&format!("{home}\n{script}"), &[]);
    }
    let folder = tempfile::Builder::new().prefix("netwright-stay-").tempdir().expect("a folder");
    let mut command = std::process::Command::new("setpriv");
    if who == Who::Nobody {
        std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("given away");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    command.args(["bash", "-c", &script]).current_dir(folder.path());
    command.env("NETWRIGHT", NETWRIGHT).env("NO_COLOR", "1").env("HOME", folder.path());
    command.stdin(Stdio::null()).output().expect("setpriv").into()
}

/// Whether there are sandboxes for this user at all.
fn can(ran: &Ran) -> bool {
    if ran.stdout.starts_with("run 4") {
        println!("skipped: no sandbox here: {}", ran.stderr);
    }
    !ran.stdout.starts_with("run 4")
}

#[test]
fn a_sandbox_stays_until_it_is_ended_and_is_entered_by_its_name() {
    for who in everyone() {
        let ran = shell(
            who,
            r#"
            n run --timeout 30s --keep lab lab.rhai 2>&1 | cat >said; echo "run ${PIPESTATUS[0]}"; grep -c "stays as lab" said
            n ps | grep -c "^lab  sandbox lab.rhai  since "; init=$(pid)
            echo "== exec"
            n exec lab web cat /etc/motd-of-lab; [ -e /etc/motd-of-lab ] && echo "a file of the machine"
            n exec lab db sh -c 'exit 7'; echo "exit $?"
            n exec lab web sh -c 'kill -9 $$'; echo "exit $?"
            echo through | n exec lab web cat | tr a-z A-Z
            n exec lab host ip -o link show br0 | grep -c br0
            n exec lab web sh -c 'echo one >/tmp/of-lab'; n exec lab db cat /tmp/of-lab; [ -e /tmp/of-lab ] && echo "a file of the machine"
            n exec lab web ps ax 2>/dev/null | grep -c '[s]leep 1000'
            n exec lab nowhere true 2>&1 | grep -o 'there are: db, web'
            echo "== look"
            n show --in lab | grep -c 'web-eth0 ── web/eth0'
            n why --in lab db tcp/10.0.0.1:80 >/dev/null; echo "why $?"
            n why --in lab db tcp/10.0.0.1:81 | grep -o SERVICE_NOT_LISTENING
            n doctor --in lab --network >/dev/null; echo "doctor $?"
            echo "== go on"
            echo 'expect(netns("db")).reaches("tcp/10.0.0.1:80"); netns("db").link("eth0").mtu(1400);' >more.rhai
            n run --in lab more.rhai 2>said; echo "more $?"; n exec lab db cat /sys/class/net/eth0/mtu
            echo 'test("web answers", || { expect(netns("db")).reaches("tcp/10.0.0.1:80"); });' >it_test.rhai
            n test --in lab it_test.rhai 2>&1 | grep -o '1 passed, 0 failed'
            n run --keep lab lab.rhai 2>said; echo "again $?"; grep -o 'there is a sandbox `lab` already' said
            echo "== signals"
            for signal in TERM KILL; do
                "$NETWRIGHT" exec lab web sleep "3$$" & p=$!
                for _ in $(seq 100); do ps ax | grep -q "[0-9]:[0-9]* [^ ]*sleep 3$$" && break; sleep 0.1; done
                kill -$signal $p; wait $p; echo "$signal $?"
                for _ in $(seq 100); do ps ax | grep -q "[0-9]:[0-9]* [^ ]*sleep 3$$" || break; sleep 0.1; done
                ps ax | grep -c "[0-9]:[0-9]* [^ ]*sleep 3$$"
            done 2>/dev/null
            echo "== down"
            n down lab 2>&1; gone "$init"; n ps 2>&1; n exec lab web true 2>said; echo "exec $?"; grep -o 'there is no sandbox `lab`' said
            n run --keep lab lab.rhai 2>/dev/null; echo "anew $?"; n down lab 2>/dev/null; find run -type f
            "#,
        );
        if !can(&ran) {
            continue;
        }
        let expected = "run 0\n1\n1\n== exec\na file of the lab\nexit 7\nexit 137\nTHROUGH\n1\none\n1\nthere are: db, web\n== look\n1\nwhy 0\n\
            SERVICE_NOT_LISTENING\ndoctor 0\n== go on\nmore 0\n1400\n1 passed, 0 failed\nagain 7\nthere is a sandbox `lab` already\n== signals\n\
            TERM 143\n0\nKILL 137\n0\n== down\nlab: gone, with all that was in it\ngone\nno runs on this machine\nexec 3\nthere is no sandbox `lab`\nanew 0\n";
        assert_eq!(ran.stdout, expected, "{who:?}: {ran:#?}");
    }
}

#[test]
fn nothing_stays_of_a_run_that_fails_or_is_killed() {
    for who in everyone() {
        let ran = shell(
            who,
            r#"
            n run --keep lab lab.rhai 2>/dev/null; echo "run $?"; n down lab 2>/dev/null
            echo 'netns("a"); assert(false);' >fails.rhai; n run --keep lab fails.rhai 2>/dev/null; echo "fails $?"; n ps 2>&1
            echo 'skip("no pigs");' >skips.rhai; n run --keep lab skips.rhai 2>/dev/null; echo "skips $?"; n ps 2>&1
            echo 'netns("a"); host().run("touch begun"); sleep("20s");' >long.rhai
            "$NETWRIGHT" run --keep . --keep lab long.rhai 2>/dev/null & long=$!
            for _ in $(seq 600); do [ -e begun ] && break; sleep 0.1; done
            n run --keep lab lab.rhai 2>/dev/null; echo "beside $?"
            kill -9 $long; wait $long 2>/dev/null; n ps 2>&1
            n run --keep lab lab.rhai 2>/dev/null; echo "after $?"; init=$(pid)
            # As somebody would who has lost patience.
            kill -9 "$init"; gone "$init"; n ps 2>&1; n show --in lab 2>/dev/null; echo "show $?"; find run -type f
            "#,
        );
        if !can(&ran) {
            continue;
        }
        let none = "no runs on this machine\n";
        let expected = format!("run 0\nfails 1\n{none}skips 0\n{none}beside 7\n{none}after 0\ngone\n{none}show 3\n");
        assert_eq!(ran.stdout, expected, "{who:?}: {ran:#?}");
    }
}

#[test]
fn what_nobody_can_read_is_named_and_not_written_over() {
    for who in everyone() {
        let ran = shell(
            who,
            r#"
            n run --keep lab lab.rhai 2>/dev/null; echo "run $?"
            folder=$(find /run/netwright run/netwright -name sandboxes 2>/dev/null | head -1); echo '{' >"$folder/odd"
            n ps | cut -d' ' -f1-3 | grep -v '^ '; n ps --json | grep -o '"name":"odd","state":"unreadable"'
            n down odd 2>said; echo "down $?"; grep -c "delete the file" said; n run --keep odd lab.rhai 2>said; echo "again $?"; cat "$folder/odd"
            rm "$folder/odd"; n run --keep odd lab.rhai 2>/dev/null; echo "free $?"; n down odd 2>/dev/null; n down lab 2>/dev/null; n ps 2>&1
            "#,
        );
        if !can(&ran) {
            continue;
        }
        let expected = "run 0\nlab  sandbox\nodd  unreadable:\n\"name\":\"odd\",\"state\":\"unreadable\"\ndown 3\n1\nagain 3\n{\nfree 0\n\
            no runs on this machine\n";
        assert_eq!(ran.stdout, expected, "{who:?}: {ran:#?}");
    }
}

#[test]
fn a_name_is_no_path_and_a_path_no_name() {
    let ran = shell(
        Who::Me,
        r#"
        for words in "--keep 3x" "--keep a.b" "--keep lab --keep other" "--host --keep lab" "--in lab --keep x" "--on this --keep lab"; do
            n run $words lab.rhai 2>said; echo "$words: $?"; grep -m1 -o "is no name for a sandbox\|has one name\|cannot be used with\|does not stay" said
        done
        mkdir lab; n run --keep lab lab.rhai 2>said; echo "folder $?"; grep -o 'keep ./lab` keeps' said
        n run --in nowhere lab.rhai 2>said; echo "nowhere $?"; n exec ../x web true 2>said; echo "path $?"; n down ../x 2>said; echo "down $?"
        # What somebody else has put there is not believed.
        rm -rf run/netwright /run/netwright 2>/dev/null; ln -s /tmp run/netwright; ln -s /tmp /run/netwright 2>/dev/null
        n run --keep away lab.rhai 2>said; echo "link $?"; grep -c "no folder" said
        "#,
    );
    let expected = "--keep 3x: 2\nis no name for a sandbox\n--keep a.b: 2\nis no name for a sandbox\n--keep lab --keep other: 2\nhas one name\n\
        --host --keep lab: 2\ncannot be used with\n--in lab --keep x: 2\ncannot be used with\n--on this --keep lab: 2\ndoes not stay\n\
        folder 2\nkeep ./lab` keeps\nnowhere 3\npath 2\ndown 3\nlink 4\n1\n";
    assert_eq!(ran.stdout, expected, "{ran:#?}");
}
