//! The REPL in a pipe and on a terminal. Each conversation has a sandbox of its own.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use expectrl::{ControlCode, Eof, Session};

fn netwright(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command
        .current_dir(home)
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env_remove("XDG_STATE_HOME");
    command
}

fn piped(home: &Path, lines: &str) -> Output {
    piped_with(home, &["repl"], lines)
}

fn piped_with(home: &Path, args: &[&str], lines: &str) -> Output {
    let mut child =
        netwright(home).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Standard output and error and the exit code.
fn told(home: &Path, lines: &str) -> (String, String, i32) {
    let output = piped(home, lines);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

#[test]
fn values_are_shown_unless_a_semicolon_ends_the_input() {
    let home = tempfile::tempdir().unwrap();
    let lines = "let blue = netns(\"ns-blue\");\n1 + 1\n2 + 2;\n\"a word\"\nblue\n\
                 veth(blue, \"eth0\", host(), \"veth-a\")[0].addr(\"10.0.0.1/24\").up()\n[#{ name: \"x\", size: 3 }, #{ name: \"y\" }]\n#{}\n";
    let (out, err, code) = told(home.path(), lines);
    assert_eq!(
        out, "2\n\"a word\"\nns-blue: lo\nns-blue/eth0 10.0.0.1/24 no-carrier\n name  size\n x     3\n y\n#{}\n",
        "{err}"
    );
    assert_eq!((err.as_str(), code), ("", 0));
}

#[test]
fn functions_imports_and_closures_live_on_and_input_may_have_many_lines() {
    let home = tempfile::tempdir().unwrap();
    let lines = "import \"std/lab\" as lab;\nfn twice(x) {\n  x *\n    2\n}\nlet add = 3;\nlet f = |x| x + add;\n\
                 twice(f.call(4))\nlab::chain(\n  2\n).ips.len()\nlet text = `one\ntwo`;\ntext.len()\n";
    let (out, err, code) = told(home.path(), lines);
    assert_eq!((out.as_str(), err.as_str(), code), ("14\n2\n7\n", "", 0));
}

#[test]
fn errors_name_the_line_of_the_conversation_and_do_not_end_it() {
    let home = tempfile::tempdir().unwrap();
    let lines = "fn bad(ns) {\n  ns.lnk(\"eth0\")\n}\nbad(host());\nif true {\n\n1 + 1\nunknwn\n:nope\n";
    let (out, err, code) = told(home.path(), lines);
    assert_eq!(out, "2\n");
    assert_eq!(code, 3);
    assert!(
        err.contains("no function `lnk`") && err.contains("--> repl:2:6") && err.contains("did you mean `link`?"),
        "{err}"
    );
    assert!(err.contains("the `{` is never closed"), "an empty line ends an input: {err}");
    assert!(err.contains("no variable `unknwn`") && err.contains("no command `:nope`"), "{err}");
}

#[test]
fn undo_takes_back_what_an_input_did_and_the_saved_session_runs() {
    let home = tempfile::tempdir().unwrap();
    let lines = "let blue = netns(\"ns-blue\");\nlet br0 = host().bridge(\"br0\").up();\n1 + 1\nblue.plug(\"eth0\", br0).addr(\"10.0.0.1/24\");\n\
                 fn f() { 1 }\n:undo\nblue.links.len()\nhost().link(\"br0\").state != \"\"\nblue.plug(\"eth1\", br0).addr(\"10.0.0.2/24\");\n\
                 :diff\n:undo 2\nnetns_list()\n:undo\nnetns_list()\n:undo\n";
    let (out, err, code) = told(home.path(), lines);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("2\n1\ntrue\n"), "{out}");
    assert!(out.contains("+ ns-blue/eth1 10.0.0.2/24\n") && !out.contains("eth0 10.0.0.1"), "{out}");
    assert!(out.ends_with("[ns-blue]\n[]\n"), "{out}");
    assert!(err.contains("- blue.plug(\"eth0\", br0)") && err.contains("nothing left behind"), "{err}");
    assert!(err.contains("there is nothing to undo"), "{err}");

    let (_, err, code) = told(
        home.path(),
        "let blue = netns(\"ns-blue\")\nblue.lnk()\nfn f(ns) {\n ns.name\n}\nassert_eq(f(blue), \"ns-blue\")\n:save lab.rhai\n",
    );
    assert_eq!(code, 3);
    assert!(err.contains("saved"), "{err}");
    let saved = netwright(home.path()).args(["run", "lab.rhai"]).output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let (_, err, _) = told(home.path(), ":save lab.rhai\n");
    assert!(err.contains("is there already"), "{err}");
}

#[test]
fn a_script_is_loaded_later_and_a_reset_forgets_everything() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("own.rhai"), "fn half(x) { x / 2 }\n").unwrap();
    let script = "#!/usr/bin/env netwright\nimport \"own\" as own;\nfn pod(name) { netns(name) }\nlet green = pod(\"green\");\ndefer(|| print(\"bye\"));\n";
    std::fs::write(home.path().join("lab.rhai"), script).unwrap();
    std::fs::write(home.path().join("bad.rhai"), "let a = 1;\nlet b = nope();\n").unwrap();
    let lines = "1 + 1\n:load lab.rhai\ngreen.name\nown::half(8)\n:reset\nnetns_list()\ngreen\npod(\"x\")\nlet green = 7;\ngreen\n\
                 :load bad.rhai\n:load missing.rhai\n:load\n";
    let (out, err, code) = told(home.path(), lines);
    assert_eq!(out, "2\n\"green\"\n4\nbye\n[]\n7\n", "{err}");
    assert!(err.contains(" steps, nothing left behind") && !err.contains("usr/bin/env"), "{err}");
    assert!(err.contains("no variable `green`") && err.contains("no function `pod`"), "{err}");
    assert!(err.contains("no function `nope`") && err.contains("let b = nope();"), "{err}");
    assert!(err.contains("missing.rhai") && err.contains("write `:load FILE`"), "{err}");
    assert_eq!(code, 3);
}

#[test]
fn what_was_saved_is_saved_again_and_nothing_else_is_written_over() {
    let home = tempfile::tempdir().unwrap();
    let touch = format!("host().exec(\"sh -c 'echo x >> {}/lab.rhai'\");", home.path().display());
    let lines = format!("let a = 1;\n:save lab.rhai\nlet b = 2;\n:save lab.rhai\n{touch}\n:save lab.rhai\n");
    let out = piped_with(home.path(), &["repl", "--keep", home.path().to_str().unwrap()], &lines);
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(err.matches("saved ").count(), 2, "{err}");
    assert!(err.contains("is not what this session saved"), "{err}");
    let text = std::fs::read_to_string(home.path().join("lab.rhai")).unwrap();
    assert_eq!(text, "#!/usr/bin/env -S netwright run\nlet a = 1;\nlet b = 2;\nx\n");
}

#[test]
fn commands_answer() {
    let home = tempfile::tempdir().unwrap();
    let lines = "let blue = netns(\"ns-blue\");\n:why ns-bleu 10.0.0.2\n:help\n:help link.mtu\n:help nothing_such\n:trace on\nblue.links.len()\n:trace off\n:show\n:why a\n:quit\n1 + 1\n";
    let (out, err, _) = told(home.path(), lines);
    assert!(
        out.contains(":undo [N]") && out.contains("link.mtu(mtu: integer) -> link") && out.contains("\nns-blue\n"),
        "{out}"
    );
    assert!(err.contains("no namespace `ns-bleu`") && err.contains("did you mean `ns-blue`?"), "{err}");
    assert!(
        err.contains("nothing in the reference is called `nothing_such`")
            && err.contains("? ")
            && err.contains("write `:why FROM TO`"),
        "{err}"
    );
    assert!(!out.ends_with("2\n"), "`:quit` ends: {out}");
}

#[test]
fn a_script_is_loaded_first_and_deferred_work_runs_at_the_end() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("own.rhai"), "fn half(x) { x / 2 }\n").unwrap();
    let script =
        "#!/usr/bin/env netwright\nimport \"own\" as own;\nlet n = own::half(10);\ndefer(|| print(`bye ${n}`));\n";
    std::fs::write(home.path().join("first.rhai"), script).unwrap();
    let mut child = netwright(home.path())
        .args(["repl", "first.rhai"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"n + own::half(4)\nexit(12)\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\nbye 5\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(12));
}

/// Types a line, once the prompt is there.
fn line(terminal: &mut Session, text: &str, answer: &str) {
    std::thread::sleep(Duration::from_millis(300));
    terminal.send(format!("{text}\r")).unwrap();
    terminal.expect(answer).unwrap();
}

fn terminal(home: &Path) -> Session {
    let mut command = netwright(home);
    command.arg("repl");
    let mut session = Session::spawn(command).unwrap();
    session.set_expect_timeout(Some(Duration::from_secs(60)));
    session.expect("netwright> ").unwrap();
    session
}

#[test]
fn on_a_terminal_tab_completes_ctrl_c_interrupts_and_ctrl_d_ends() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = terminal(home.path());
    terminal.send("let blue = netns(\"ns-blue\"); 6 * 111\r").unwrap();
    terminal.expect("666").unwrap();

    // Several lines are one input.
    for line in ["fn f(x) {\r", "x + 41\r", "} f(1)\r"] {
        // What a person types comes after the prompt is there.
        std::thread::sleep(Duration::from_millis(300));
        terminal.send(line).unwrap();
    }
    terminal.expect("42").unwrap();

    // Functions of the value at hand, with the signature as a hint; then a link that exists now.
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("blue.brid\t").unwrap();
    terminal.expect("blue.bridge(").unwrap();
    terminal.expect("name: string").unwrap();
    terminal.send("\"br-seven\").up()\r").unwrap();
    terminal.expect("ns-blue/br-seven").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("blue.link(\"br-s\t").unwrap();
    terminal.expect("br-seven").unwrap();
    terminal.send("\").mtu + 1\r").unwrap();
    terminal.expect("1501").unwrap();

    // Ctrl-C drops the line.
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("throw \"never run").unwrap();
    terminal.expect("never run").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    terminal.send_control(ControlCode::EndOfText).unwrap();
    terminal.expect("netwright> ").unwrap();
    line(&mut terminal, "f(2)", "43");

    // Ctrl-C ends the running call, and the session goes on.
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("sleep(\"60s\"); f(1000)\r").unwrap();
    std::thread::sleep(Duration::from_millis(700));
    terminal.send_control(ControlCode::EndOfText).unwrap();
    terminal.expect("interrupted").unwrap();
    terminal.expect("netwright> ").unwrap();
    line(&mut terminal, "f(3)", "44");

    line(&mut terminal, ":undo", "nothing left behind");
    line(&mut terminal, "blue.links.len() + 900", "901");
    line(&mut terminal, ":save saved.rhai", "saved ");

    // A shell in between gives the terminal back.
    line(&mut terminal, ":shell ns-blue", "comes back");
    line(&mut terminal, "echo $((700 + 77)); exit", "777");
    line(&mut terminal, "f(4)", "45");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send_control(ControlCode::EndOfTransmission).unwrap();
    terminal.expect(Eof).unwrap();

    let saved = netwright(home.path()).args(["run", "saved.rhai"]).output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let history = std::fs::read_to_string(home.path().join(".local/state/netwright/history")).unwrap();
    assert!(history.contains("f(1)") && !history.contains("never run"), "{history}");
}

/// Types something when the last answer has been read and the line editor waits for it.
fn typed(terminal: &mut Session, text: &str) {
    std::thread::sleep(Duration::from_millis(300));
    terminal.send(text).unwrap();
}

#[test]
fn a_later_session_remembers_what_was_typed() {
    let home = tempfile::tempdir().unwrap();
    let mut first = terminal(home.path());
    line(&mut first, "let kept = 12 * 12; kept", "144");
    line(&mut first, ":help link.up", "link.up()");
    typed(&mut first, "");
    first.send_control(ControlCode::EndOfTransmission).unwrap();
    first.expect(Eof).unwrap();

    let mut second = terminal(home.path());
    typed(&mut second, "\u{1b}[A");
    second.expect(":help link.up").unwrap();
    typed(&mut second, "\u{1b}[A");
    second.expect("let kept = 12 * 12; kept").unwrap();
    second.send("\r").unwrap();
    second.expect("144").unwrap();
    // What was looked for and found is not typed again.
    typed(&mut second, "\u{12}help");
    second.expect(":help link.up").unwrap();
    second.send("\r").unwrap();
    second.expect("link.up()").unwrap();
}

#[test]
fn on_a_terminal_why_marks_the_picture_until_something_changes() {
    let home = tempfile::tempdir().unwrap();
    let mut command = netwright(home.path());
    command.arg("repl").env_remove("NO_COLOR");
    let mut terminal = Session::spawn(command).unwrap();
    terminal.set_expect_timeout(Some(Duration::from_secs(60)));
    terminal.expect("netwright> ").unwrap();
    let setup = "let ends = veth(netns(\"ns-blue\"), \"eth0\", netns(\"ns-red\"), \"eth0\"); \
                 ends[0].addr(\"10.0.0.1/24\").up(); ends[1].addr(\"10.0.0.2/24\"); 40 + 2";
    line(&mut terminal, setup, "42");

    // Completion of commands, names of namespaces and module paths.
    typed(&mut terminal, ":wh\t");
    terminal.expect(":why").unwrap();
    terminal.send(" ns-b\t").unwrap();
    terminal.expect("ns-blue").unwrap();
    terminal.send(" ns-red\r").unwrap();
    terminal.expect("LINK_ADMIN_DOWN").unwrap();
    line(&mut terminal, ":show", "\u{1b}[1;31m✗ ns-red\u{1b}[0m");
    terminal.expect("\u{1b}[1;31m✗ eth0 10.0.0.2/24 down").unwrap();
    line(&mut terminal, ":diff", "+ ns-red/eth0 10.0.0.2/24");

    line(&mut terminal, ":trace on", "trace on");
    line(&mut terminal, "ends[1].up();", "ip -n ns-red link set dev eth0 up");
    line(&mut terminal, ":trace off", "trace off");
    line(&mut terminal, ":why ns-blue ns-red", "ok: ");
    line(&mut terminal, ":show", "\u{1b}[1mns-red\u{1b}[0m");

    typed(&mut terminal, "import \"std/la\t");
    terminal.expect("std/lab").unwrap();
    line(&mut terminal, "\" as lab; 70 + 7", "77");
    typed(&mut terminal, "lab::cha\t");
    terminal.expect("chain").unwrap();
    terminal.send_control(ControlCode::EndOfText).unwrap();

    // What only looks is no part of what is saved.
    line(&mut terminal, ":save looked.rhai", "saved ");
    let saved = std::fs::read_to_string(home.path().join("looked.rhai")).unwrap();
    assert!(saved.contains("ends[1].up();") && !saved.contains("why"), "{saved}");
}

#[test]
fn watching_ends_with_ctrl_c_and_leaves_the_terminal_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = terminal(home.path());
    line(&mut terminal, "netns(\"ns-blue\");", "netwright> ");
    line(&mut terminal, ":shell", "comes back");
    line(&mut terminal, "stty -a > before; echo $((40 + 2))", "42");
    line(&mut terminal, &format!("{} show --watch", env!("CARGO_BIN_EXE_netwright")), "ns-blue");
    // Another one appears while it is watched.
    typed(&mut terminal, "");
    terminal.send_control(ControlCode::EndOfText).unwrap();
    line(&mut terminal, "echo code $?; stty -a > after; cmp before after && echo $((600 + 66))", "code 130");
    terminal.expect("666").unwrap();
    line(&mut terminal, "exit", "netwright> ");
}

/// A machine of its own for `--host`: namespaces, mounts and runs that nobody else sees.
fn machine(home: &Path) -> Option<Session> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: `--host` needs root");
        return None;
    }
    let set_up = "mount --make-rprivate / && mount -t tmpfs t /run && mkdir -p /run/netns /run/lock && ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-n", "-m", "sh", "-c", set_up, "m", env!("CARGO_BIN_EXE_netwright"), "repl", "--host"]);
    command.current_dir(home).env("HOME", home).env("NO_COLOR", "1").env("TERM", "xterm").env_remove("XDG_STATE_HOME");
    let mut session = Session::spawn(command).unwrap();
    session.set_expect_timeout(Some(Duration::from_secs(60)));
    session.expect("netwright --host> ").unwrap();
    Some(session)
}

#[test]
fn on_the_host_ctrl_d_asks_only_when_something_would_be_left() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut terminal) = machine(home.path()) else { return };
    typed(&mut terminal, "");
    terminal.send_control(ControlCode::EndOfTransmission).unwrap();
    terminal.expect(Eof).unwrap();

    let Some(mut terminal) = machine(home.path()) else { return };
    line(&mut terminal, "netns(\"ns-kept\");", "netwright --host> ");
    typed(&mut terminal, "");
    terminal.send_control(ControlCode::EndOfTransmission).unwrap();
    terminal.expect("keep, undo or stay? [k/u/s]").unwrap();
    line(&mut terminal, "s", "netwright --host> ");
    line(&mut terminal, "netns_list().len() + 40", "41");
    typed(&mut terminal, "");
    terminal.send_control(ControlCode::EndOfTransmission).unwrap();
    terminal.expect("keep, undo or stay? [k/u/s]").unwrap();
    line(&mut terminal, "u", "nothing left behind");
    terminal.expect(Eof).unwrap();
}

/// The second time it said "nothing left behind" and did nothing: the first one counted as undone after it.
#[test]
fn what_was_undone_and_done_again_is_undone_again() {
    if !common::is_root() {
        return;
    }
    let script = r#"
        mount -t tmpfs t /run; mkdir -p /run/netns; ip link add name a type veth peer name b
        for round in 1 2 3; do printf 'host().link("a").mtu(1%s00);\nhost().sysctl("net.ipv4.ip_forward", 1);\n:undo 2\n' $round; done >/run/lines
        "$NETWRIGHT" repl --host </run/lines >/run/said 2>&1
        ip -o link show a | grep -o 'mtu [0-9]*'; cat /proc/sys/net/ipv4/ip_forward; ls /run/netwright/runs 2>/dev/null
        # So it is for whoever takes a killed session down.
        { head -5 /run/lines; sleep 30; } | "$NETWRIGHT" repl --host >/run/said 2>&1 & sleep 0.1
        for i in $(seq 100); do ip -o link show a | grep -q 'mtu 1200' && [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] && break; sleep 0.05; done
        ip -o link show a | grep -o 'mtu [0-9]*'; pkill -KILL -x -f "$NETWRIGHT repl --host"; sleep 0.1
        "$NETWRIGHT" gc >/dev/null 2>&1; echo "gc $?"; ip -o link show a | grep -o 'mtu [0-9]*'; cat /proc/sys/net/ipv4/ip_forward
    "#;
    let ran = common::on_a_machine_of_its_own(script, &[]);
    assert_eq!(ran.stdout, "mtu 1500\n0\nmtu 1200\ngc 0\nmtu 1500\n0\n", "{ran:#?}");
}

#[test]
fn a_session_on_the_machine_that_is_hung_up_is_undone() {
    if !common::is_root() {
        return;
    }
    for signal in ["HUP", "TERM"] {
        let script = r#"
            mount -t tmpfs t /run; mkdir -p /run/netns
            mkfifo /run/lines; ( "$NETWRIGHT" repl --host < /run/lines > /run/said 2>&1; echo "ended $?" >> /run/said ) &
            exec 9> /run/lines; echo 'host().bridge("br-hung"); netns("hung"); ' >&9; echo >&9
            for i in $(seq 200); do ip link show br-hung >/dev/null 2>&1 && [ -e /run/netns/hung ] && break; sleep 0.05; done
            ip link show br-hung >/dev/null && echo made
            sleep 0.5; pkill -$1 -x -f "$NETWRIGHT repl --host"
            for i in $(seq 400); do [ -z "$(ls /run/netwright/runs 2>/dev/null)" ] && break; sleep 0.05; done
            cat /run/said; ip -br link; ls /run/netns /run/netwright/runs 2>/dev/null; echo done
        "#;
        let ran = common::on_a_machine_of_its_own(script, &[signal]);
        assert!(ran.stdout.starts_with("made\n") && ran.stdout.ends_with("done\n"), "{signal}: {ran:#?}");
        assert!(ran.stdout.contains("is undone now"), "{signal}: {ran:#?}");
        let after = ran.stdout.rsplit_once("ended 1").expect("it ended").1;
        assert!(!after.contains("br-hung") && !after.contains("hung"), "{signal}: {ran:#?}");
    }
}
