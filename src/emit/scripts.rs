//! The three files.

use std::fmt::Write as _;

use super::step::{self, Step, word};
use super::{Check, Item, Origin, What, one_line};
use crate::op::{as_typed, quote, secret};
use crate::session::noted::Noted;

fn steps(items: &[Item]) -> impl Iterator<Item = (usize, &str, &Step)> {
    items.iter().filter_map(|item| match &item.what {
        What::Step(step) => Some((item.number, item.head.as_str(), step.as_ref())),
        What::Noted(_) => None,
    })
}

/// What all three begin with.
fn prologue(name: &str, origin: &Origin, what: &str) -> String {
    format!(
        "#!/bin/sh\n# {name}: {what}\n# Made by netwright {} from {} (sha256 {}).\nLC_ALL=C; export LC_ALL; set -u\n\
         say() {{ printf '%s\\n' \"$*\" >&2; }}\n\
         # A question that is answered no.\nnot_so() {{ if eval \"$1\"; then return 1; fi; return 0; }}\n",
        env!("CARGO_PKG_VERSION"),
        one_line(&origin.script),
        &origin.sha256
    )
}

/// Where it is written down what was done.
fn state(origin: &Origin) -> String {
    format!("STATE=${{STATE:-/run/netwright-shell/{}}}\n", word(&origin.name))
}

fn tools_check(name: &str, tools: &[&'static str]) -> String {
    // A BusyBox shell takes its own `ip` before the one of iproute2.
    let own = "path_of() (IFS=:; for dir in $PATH; do if [ -x \"$dir/$1\" ]; then printf '%s\\n' \"$dir/$1\"; exit 0; fi; done; exit 1)\n";
    let mut out = own.to_owned();
    for tool in tools.iter().filter(|tool| ["ip", "tc", "bridge"].contains(tool)) {
        let _ = writeln!(
            out,
            "{tool}_=$(path_of {tool}) || {{ say '{name}: there is no {tool} here; nothing was changed'; exit 4; }}"
        );
        let _ = writeln!(out, "{tool}() {{ \"${tool}_\" \"$@\"; }}");
    }
    if tools.contains(&"ip") {
        let _ = writeln!(
            out,
            "case \"$(ip -V 2>&1)\" in *iproute2*) ;; *) say '{name}: `ip` is not of iproute2; nothing was changed'; exit 4 ;; esac"
        );
    }
    let rest = format!(
        "for tool in {}; do\n    command -v \"$tool\" >/dev/null 2>&1 || {{ say \"{name}: there is no $tool here; nothing was changed\"; exit 4; }}\ndone\n",
        tools.join(" ")
    );
    out + rest.as_str()
}

/// `up.sh`
pub(super) fn up(origin: &Origin, items: &[Item]) -> String {
    let mut out = prologue("up.sh", origin, "brings about what the script says; what is so already is left alone");
    out.push_str("# usage: up.sh [-n]   -n prints what would run and changes nothing\n");
    out.push_str("# What it does is written to $STATE before it is done, for down.sh. When a step fails, what this call did is taken back.\n");
    out.push_str("# Exit codes: 0 all is so, 2 usage, 3 failed and taken back, 4 something is missing, 5 not all could be taken back\n");
    out.push_str("here=$(cd \"$(dirname \"$0\")\" && pwd) || exit 3\n");
    out.push_str(&state(origin));
    out.push_str(
        "dry=\ncase \"${1-}\" in\n    '') ;;\n    -n) dry=1 ;;\n    *) say 'usage: up.sh [-n]'; exit 2 ;;\nesac\n",
    );
    out.push_str(&tools_check("up.sh", &step::tools(steps(items).map(|(.., step)| step))));
    out.push_str("if [ -z \"$dry\" ]; then\n    [ \"$(id -u)\" = 0 ] || { say 'up.sh: needs root; nothing was changed'; exit 4; }\n");
    for (taken, why) in steps(items).filter_map(|(.., step)| step.taken.as_ref()) {
        let _ = writeln!(
            out,
            "    if {taken}; then say {}; exit 3; fi",
            word(&format!("up.sh: {why}; nothing was changed"))
        );
    }
    out.push_str("    (umask 077; mkdir -p \"$(dirname \"$STATE\")\" && : >>\"$STATE\") || { say \"up.sh: cannot write $STATE; nothing was changed\"; exit 4; }\n");
    out.push_str("fi\nchanged=0; same=0; first=0\n[ ! -e \"$STATE\" ] || first=$(wc -l <\"$STATE\")\n");
    out.push_str(
        "fail() {\n    say \"up.sh: failed: $1\"\n    sh \"$here/down.sh\" --since \"$first\" || exit 5\n    exit 3\n}\n\
         # NUMBER COMMAND-AS-TEXT [FORMER]: what is about to be done is written down, then it is done.\n\
         try() {\n    changed=$((changed + 1))\n    if [ -n \"$dry\" ]; then printf '%s\\n' \"$2\"; return 0; fi\n    \
         printf '%s %s\\n' \"$1\" \"${3-}\" >>\"$STATE\" || fail \"$2\"\n    \"act_$1\" || fail \"$2\"\n}\n\
         # NUMBER: whether an earlier up.sh did it.\ndone_before() { [ -e \"$STATE\" ] && grep -q \"^$1 \" \"$STATE\"; }\n",
    );
    let mut last = "";
    for item in items {
        if item.head == last {
            out.push('\n');
        } else {
            let _ = write!(out, "\n{}\n", item.head);
            last = &item.head;
        }
        match &item.what {
            What::Step(step) => up_step(item.number, step, &mut out),
            What::Noted(noted) => up_program(item.number, noted, &mut out),
        }
    }
    out.push_str("\nif [ -n \"$dry\" ]; then say \"would change $changed, already so $same\"; else say \"changed $changed, already so $same\"; fi\nexit 0\n");
    out
}

fn up_step(number: usize, step: &Step, out: &mut String) {
    let _ = writeln!(out, "act_{number}() {{ {}; }}", step.act);
    let ask = step.ask.clone().unwrap_or_else(|| format!("done_before {number}"));
    let ask = step.overtaken.as_ref().map_or(ask.clone(), |ended| format!("{ended} || {{ {ask}; }}"));
    let text = word(&step.text);
    let former = step.former.as_ref().map_or_else(String::new, |former| format!(" \"$({{ {former}; }} 2>/dev/null)\""));
    let _ = writeln!(out, "if {{ {ask}; }} 2>/dev/null; then same=$((same + 1)); else try {number} {text}{former}; fi");
}

fn up_program(number: usize, noted: &Noted, out: &mut String) {
    match noted {
        Noted::Program { netns, words, background, .. } => {
            let shown = quote(&as_typed(netns, &secret::hide(words, secret::Of::User)));
            let line = quote(&as_typed(netns, words));
            let line = if *background {
                format!("{line} >/dev/null 2>&1 &")
            } else {
                // What it printed was for the script, and so was its status.
                format!("{line} >/dev/null || say \"up.sh: a program of the script's own ended with status $?\";")
            };
            out.push_str(
                "# A program of the script's own: what it changes is not known, and down.sh does not take it back.\n",
            );
            let _ = writeln!(out, "act_{number}() {{ {line} }}");
            let _ = writeln!(
                out,
                "if done_before {number}; then same=$((same + 1)); else try {number} {}; fi",
                word(&shown)
            );
        }
        other => {
            let _ = writeln!(out, "# not in plain shell: {}", other.why_not_plain().unwrap_or_default());
        }
    }
}

/// `down.sh`
pub(super) fn down(origin: &Origin, items: &[Item]) -> String {
    let mut out = prologue("down.sh", origin, "takes back what up.sh did, and nothing else");
    out.push_str("# usage: down.sh [--since N]   only what was written down after the Nth line of $STATE\n# Exit codes: 0 all is taken back, 2 usage, 4 something is missing, 5 something is left\n");
    out.push_str(&state(origin));
    out.push_str(&tools_check("down.sh", &step::tools(steps(items).map(|(.., step)| step))));
    out.push_str("since=0\ncase \"${1-}\" in\n    '') ;;\n    --since) since=${2-0} ;;\n    *) say 'usage: down.sh [--since N]'; exit 2 ;;\nesac\n");
    out.push_str("[ -e \"$STATE\" ] || { say 'down.sh: there is nothing to take back'; exit 0; }\n[ \"$(id -u)\" = 0 ] || { say 'down.sh: needs root; nothing was changed'; exit 4; }\n");
    out.push_str(
        "left=0; undone=0\n# NUMBER: whether up.sh did it.\nhas() { grep -q \"^$1 \" \"$STATE\"; }\ndone_before() { has \"$1\"; }\n\
         # TEXT: counts the inverse that was just tried.\nended() { if [ \"$1\" = 0 ]; then undone=$((undone + 1)); else left=$((left + 1)); say \"down.sh: left: $2\"; fi; }\n\
         undo() {\n    former=$2; : \"$former\"\n    case \"$1\" in\n",
    );
    for (number, head, step) in steps(items) {
        let _ = writeln!(out, "    {number}) {head}");
        if let Some(inside) = step.inside {
            let _ = writeln!(out, "        has {inside} && return 0 # goes with its namespace");
        }
        if let Some(why) = step.without_undo.as_ref().filter(|_| step.undo.is_empty()) {
            let _ = writeln!(out, "        ended 1 {} ;;", word(&format!("{} ({why})", step.text)));
            continue;
        }
        let asks = [&step.there, &step.open_ask, &step.ask];
        if let (Some(ask), true) = (asks.into_iter().flatten().next(), step.only_if_so) {
            let _ = writeln!(
                out,
                "        {{ {ask}; }} 2>/dev/null || return 0 # gone, or changed by others since: left as it is"
            );
        }
        for line in &step.undo {
            let _ = writeln!(out, "        {line}; ended \"$?\" {}", word(&step.text));
        }
        out.push_str("        ;;\n");
    }
    out.push_str("    esac\n    return 0\n}\n");
    out.push_str(
        "n=$(wc -l <\"$STATE\")\nwhile [ \"$n\" -gt \"$since\" ]; do\n    line=$(sed -n \"${n}p\" \"$STATE\")\n    undo \"${line%% *}\" \"${line#* }\"\n    n=$((n - 1))\ndone\n\
         if [ \"$left\" != 0 ]; then say \"down.sh: $undone taken back, $left left\"; exit 5; fi\n\
         if [ \"$since\" = 0 ]; then rm -f \"$STATE\"; rmdir \"$(dirname \"$STATE\")\" 2>/dev/null; else head -n \"$since\" \"$STATE\" >\"$STATE.new\" && mv \"$STATE.new\" \"$STATE\"; fi\n\
         say \"down.sh: $undone taken back\"\nexit 0\n",
    );
    out
}

/// `verify.sh`
pub(super) fn verify(origin: &Origin, items: &[Item], checks: &[Check]) -> String {
    let mut out = prologue("verify.sh", origin, "says as TAP whether all is as the script says; changes nothing");
    out.push_str("# Exit codes: 0 all is so, 1 something is not, 4 something is missing\n");
    out.push_str(&tools_check("verify.sh", &step::tools(steps(items).map(|(.., step)| step))));
    out.push_str(
        "number=0; failed=0\n# What was just built may need a moment: an IPv6 address is on probation for up to two seconds.\ntries() { for _ in 1 2 3; do if \"$@\"; then return 0; fi; sleep 1; done; return 1; }\nnot() { if \"$@\"; then return 1; fi; return 0; }\n\
         # TEXT: the status of the command before it.\nresult() { number=$((number + 1)); if [ \"$1\" = 0 ]; then echo \"ok $number - $2\"; else echo \"not ok $number - $2\"; failed=1; fi; }\n\
         skip() { number=$((number + 1)); echo \"ok $number - $1 # SKIP $2\"; }\n\
         # Who made it, is not asked here.\ndone_before() { return 0; }\n",
    );
    // What the script gave another value later is not asked.
    let last = || steps(items).filter(|(.., step)| step.overtaken.is_none());
    let total = last().count() + checks.len();
    let _ = writeln!(out, "echo 1..{total}");
    // TAP takes a `#` for a directive.
    let tap = |text: &str| word(&text.replace('#', "\\#").replace('\n', " "));
    let mut before = "";
    for (_, head, step) in last() {
        if head != before {
            let _ = write!(out, "\n{head}\n");
            before = head;
        }
        let text = tap(&step.text);
        match step.open_ask.as_ref().or(step.ask.as_ref()) {
            Some(ask) => {
                let _ = writeln!(out, "{{ {ask}; }} >/dev/null 2>&1; result \"$?\" {text}");
            }
            None => {
                let _ = writeln!(out, "skip {text} 'plain shell cannot ask whether it is so'");
            }
        }
    }
    out.push('\n');
    for check in checks {
        let text = tap(&check.text);
        match &check.command {
            Ok(command) => {
                let program = if command.contains(" nc ") { "nc" } else { "ping" };
                let _ = writeln!(
                    out,
                    "if command -v {program} >/dev/null 2>&1; then {command} >/dev/null 2>&1; result \"$?\" {text}; else skip {text} 'there is no {program} here'; fi"
                );
            }
            Err(why) => {
                let _ = writeln!(out, "skip {text} {}", word(why));
            }
        }
    }
    out.push_str("exit \"$failed\"\n");
    out
}
