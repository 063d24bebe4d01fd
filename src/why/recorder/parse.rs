//! The text of a trace, as raw events. Pure; unknown lines are skipped.
//!
//! A line is `TASK-PID [CPU] FLAGS SECONDS: EVENT: …`. The flags have four or five characters, `TASK` may hold anything, a `(TGID)` may
//! stand before the CPU. What follows the event's name differs between kernels: only words of the form `key=value` and the few shapes below
//! are read.

use std::net::IpAddr;
use std::time::Duration;

/// One line of a trace, with the stack that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    /// The thread that was current, numbered as the machine's first process id namespace does.
    pub(super) pid: u32,
    /// On which processor.
    pub(super) cpu: u32,
    /// In an interrupt of some sort, hence perhaps on behalf of somebody else.
    pub(super) interrupt: bool,
    /// Time on the trace's clock.
    pub(super) time: Duration,
    /// The event's name.
    pub(super) event: String,
    /// What it printed.
    pub(super) text: String,
    /// Functions, innermost first.
    pub(super) stack: Vec<String>,
}

impl Raw {
    /// The value of `key=value`.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.text
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .map(|v| v.trim_end_matches(','))
    }

    /// The word after the word `key`.
    pub(super) fn after(&self, key: &str) -> Option<&str> {
        let mut words = self.text.split_whitespace();
        words.find(|word| *word == key)?;
        words.next()
    }

    /// A number after `key=` or after the word `key`, decimal or `0x…`.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        let word = self.value(key).or_else(|| self.after(key))?;
        let word = word.trim_end_matches(['.', ',']);
        match word.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        }
    }

    /// `number`, as something smaller.
    pub(super) fn small<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        T::try_from(self.number(key)?).ok()
    }

    /// The function of `location=ip_rcv+0x2f/0x60`; `None` where the kernel prints only a number.
    pub(super) fn location(&self) -> Option<&str> {
        let name = self.value("location")?.split('+').next()?;
        let named = !name.starts_with("0x") && !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_hexdigit());
        named.then_some(name)
    }

    /// The addresses of `1.2.3.4/80 -> 5.6.7.8/0`.
    pub(super) fn flow(&self) -> Option<(IpAddr, IpAddr)> {
        let (before, after) = self.text.split_once(" -> ")?;
        let addr = |word: Option<&str>| word?.split('/').next()?.parse().ok();
        Some((addr(before.split_whitespace().next_back())?, addr(after.split_whitespace().next())?))
    }
}

/// A whole trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// Its events, as they stand there.
    pub(super) events: Vec<Raw>,
    /// How many events the kernel says it had no room for.
    pub(super) lost: u64,
}

/// Reads a trace.
pub(super) fn trace(text: &str) -> Trace {
    let mut out = Trace::default();
    // A stack follows the event of its own thread; others may have come between. `None`: a stack that belongs to nothing here.
    let mut stack_of: Option<usize> = None;
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix(" => ") {
            let function = frame.split(['+', ' ', '<']).next().unwrap_or_default();
            if let Some(raw) = stack_of.and_then(|at| out.events.get_mut(at))
                && !function.is_empty()
            {
                raw.stack.push(function.to_owned());
            }
            continue;
        }
        stack_of = None;
        if let Some(lost) = lost(line) {
            out.lost = out.lost.saturating_add(lost);
        } else if let Some(raw) = event(line) {
            if raw.event == "<stack trace>" {
                stack_of = out.events.iter().rposition(|other| (other.pid, other.cpu) == (raw.pid, raw.cpu));
            } else {
                out.events.push(raw);
            }
        }
    }
    out
}

/// `CPU:1 [LOST 17 EVENTS]`; a count that the kernel does not know is one.
fn lost(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("CPU:")?.split_once("[LOST ")?;
    Some(rest.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(1))
}

fn event(line: &str) -> Option<Raw> {
    if line.starts_with('#') {
        return None;
    }
    // The name of a thread may look like anything, so every `[…]` is tried.
    line.match_indices('[').find_map(|(at, _)| {
        let (head, tail) = (line.get(..at)?, line.get(at + 1..)?);
        let (cpu, tail) = tail.split_once(']')?;
        let cpu = cpu.parse().ok()?;
        let mut head = head.trim_end();
        if let Some(open) = head.strip_suffix(')') {
            head = open.rsplit_once('(')?.0.trim_end();
        }
        let pid = head.rsplit_once('-')?.1.parse().ok()?;
        let (flags, tail) = tail.trim_start().split_once(' ')?;
        let (time, tail) = tail.trim_start().split_once(": ")?;
        let time = seconds(time)?;
        let (event, text) = tail.split_once(": ").unwrap_or((tail, ""));
        let event = event.trim_end_matches(':').trim();
        if event.is_empty() || (event.contains(' ') && event != "<stack trace>") {
            return None;
        }
        // `irqs-off need-resched hardirq/softirq preempt-depth [migrate-disable]`
        let interrupt = flags.chars().nth(2).is_some_and(|flag| "sHhZz".contains(flag));
        Some(Raw { pid, cpu, interrupt, time, event: event.into(), text: text.trim().into(), stack: Vec::new() })
    })
}

/// `4038.434585`, with six or nine digits.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.')?;
    let digits = u32::try_from(part.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = part.parse::<u32>().ok()?.checked_mul(10u32.pow(9 - digits))?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

/// The names of an event's fields, from its `format` file.
pub(super) fn fields(format: &str) -> Vec<String> {
    format
        .lines()
        .filter_map(|line| line.trim().strip_prefix("field:")?.split(';').next()?.split_whitespace().next_back())
        .map(|name| name.trim_start_matches('*').split('[').next().unwrap_or_default().to_owned())
        .collect()
}

/// The drop reasons of this kernel: `{ 12, "NETFILTER_DROP" }` in the format of `kfree_skb`. The numbers differ between kernels.
pub(super) fn reasons(format: &str) -> Vec<(u32, String)> {
    let Some((_, table)) = format.split_once("__print_symbolic(REC->reason") else { return Vec::new() };
    table
        .split('{')
        .skip(1)
        .filter_map(|entry| {
            let (number, name) = entry.split('}').next()?.split_once(',')?;
            Some((number.trim().parse().ok()?, name.trim().trim_matches('"').to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW: &str = "# tracer: nop\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n\
        a [b] c: -d-3785    [001] ...1.  4038.434585: tracing_mark_write: hello\n\
        python3-3785    [001] b.s1.  4038.434790: net_dev_start_xmit: dev=eth0 queue_mapping=0 skbaddr=00000000da76c0fb vlan_tagged=0 protocol=0x0800 len=119\n\
        python3-3785    [001] ..s1.  4038.434815: kfree_skb: skbaddr=00000000da76c0fb rx_sk=0000000000000000 protocol=2048 location=nft_do_chain+0x3e8/0x610 reason: NETFILTER_DROP\n\
        <idle>-0       [000] ..s1.  4038.434816: netif_receive_skb: dev=va skbaddr=000000003e35c1df len=28\n\
        python3-3785    [001] ..s1.  4038.442787: <stack trace>\n => sk_skb_reason_drop\n => nft_do_chain+0x12/0x80\nCPU:1 [LOST 17 EVENTS]\n\
        python3-3785    [001] .....  4038.434757: fib_table_lookup: table 255 oif 0 iif 7 proto 0 10.1.0.2/0 -> 10.2.0.2/80 tos 0 scope 0 flags 0 ==> dev - gw 0.0.0.0/:: err -11\n";

    #[test]
    fn a_trace_of_6_18() {
        let trace = trace(NEW);
        assert_eq!(trace.lost, 17);
        let [marker, xmit, dropped, receive, fib] = &trace.events[..] else { panic!("{trace:#?}") };
        assert_eq!((marker.pid, marker.cpu, marker.interrupt, marker.text.as_str()), (3785, 1, false, "hello"));
        assert_eq!(
            (xmit.value("dev"), xmit.number("protocol"), xmit.small::<u32>("len")),
            (Some("eth0"), Some(0x800), Some(119))
        );
        assert!(xmit.interrupt);
        assert_eq!((dropped.location(), dropped.after("reason:")), (Some("nft_do_chain"), Some("NETFILTER_DROP")));
        assert_eq!(dropped.stack, ["sk_skb_reason_drop", "nft_do_chain"]);
        assert_eq!((receive.pid, receive.time), (0, Duration::new(4038, 434_816_000)));
        assert_eq!((fib.number("err"), fib.number("iif"), fib.after("dev")), (Some(-11), Some(7), Some("-")));
        assert_eq!(fib.flow(), Some(("10.1.0.2".parse().unwrap(), "10.2.0.2".parse().unwrap())));
    }

    #[test]
    fn a_trace_of_5_10_has_four_flags_and_no_reason() {
        let text = "            ping-99 (     99) [003] ..s1   12.000001: kfree_skb: skbaddr=00000000da76c0fb protocol=2048 location=00000000e0fa0d6c\n\
            ping-99 (-------) [003] ..s1   12.1: icmp_send: icmp_send: type=3, code=1. From 10.0.0.1:0 to 10.0.0.2:0 ulen=0 skbaddr=00000000da76c0fb\n";
        let trace = trace(text);
        let [dropped, icmp] = &trace.events[..] else { panic!("{trace:#?}") };
        assert_eq!((dropped.pid, dropped.location(), dropped.after("reason:")), (99, None, None));
        assert_eq!((icmp.small::<u8>("type"), icmp.small::<u8>("code")), (Some(3), Some(1)));
        assert_eq!(icmp.time, Duration::new(12, 100_000_000));
    }

    #[test]
    fn the_format_gives_fields_and_reasons() {
        let format = "name: kfree_skb\nformat:\n\tfield:unsigned short common_type;\toffset:0;\n\n\tfield:void * skbaddr;\toffset:8;\n\
            \tfield:__u8 src[4];\toffset:9;\n\nprint fmt: \"reason: %s\", __print_symbolic(REC->reason, { 2, \"NOT_SPECIFIED\" }, { 12, \"NETFILTER_DROP\" })";
        assert_eq!(fields(format), ["common_type", "skbaddr", "src"]);
        assert_eq!(reasons(format), [(2, "NOT_SPECIFIED".into()), (12, "NETFILTER_DROP".into())]);
        assert!(reasons("nothing").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,300}") {
            let _ = trace(&text);
            let _ = fields(&text);
            let _ = reasons(&format!("__print_symbolic(REC->reason{text}"));
        }

        #[test]
        fn no_damaged_trace_makes_it_panic(cuts in proptest::collection::vec((0usize..1200, "[\\[\\]():=>. -]|é|\n| => |99999999999999999999"), 0..12)) {
            let mut text = NEW.to_owned();
            for (at, put) in cuts {
                let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.insert_str(at, &put);
            }
            for raw in trace(&text).events {
                let _ = (raw.location(), raw.flow(), raw.number("len"), raw.small::<u8>("type"), raw.after("dev"));
            }
        }
    }
}
