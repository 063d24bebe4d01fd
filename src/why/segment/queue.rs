//! The queue and the filters of tc on a device.

use std::net::IpAddr;

use serde_json::Value;

use super::super::codes::Code;
use super::super::finding::{Culprit, Label};
use super::super::packet::Packet;
use super::super::state::{Net, Part, text};
use super::super::walk::Walk;

impl Walk<'_> {
    /// The queue and the filters of a device.
    pub(in crate::why) fn qdisc(&mut self, ns: usize, dev: &str, packet: &Packet, ingress: bool) {
        let at = self.net.ns(ns).at.clone();
        let all: Vec<Value> = self.net.qdiscs(ns).iter().filter(|qdisc| text(qdisc, "dev") == dev).cloned().collect();
        for qdisc in all {
            let kind = text(&qdisc, "kind");
            let drops = qdisc.get("drops").and_then(Value::as_u64).unwrap_or(0);
            if matches!(kind, "clsact" | "ingress") {
                let direction = if ingress { "ingress" } else { "egress" };
                if kind == "ingress" && !ingress {
                    continue;
                }
                let words = ["-s", "-j", "filter", "show", "dev", dev, direction];
                let filters = self.net.listed(ns, Part::Queues, "tc", &words);
                let drops_all =
                    filters.iter().find(|filter| filter.get("options").is_some() && may_drop(filter, packet));
                if let Some(filter) = drops_all {
                    let certain = certainly_drops(filter);
                    let culprit = Culprit::new(Code::TcDrop, &at, "filter", format!("{dev} {direction}"))
                        .value(text(filter, "kind"))
                        .says(format!(
                            "a tc filter ({}) on {direction} of {at}/{dev} {} the packet",
                            text(filter, "kind"),
                            if certain { "drops" } else { "may drop" }
                        ))
                        .because(
                            Label::State,
                            format!(
                                "tc -s filter show dev {dev} {direction} in {at}: {} (qdisc {kind}, dropped {drops})",
                                text(filter, "kind")
                            ),
                        )
                        .fix(&format!("tc qdisc del dev {dev} {kind}"));
                    if certain { self.fault(culprit) } else { self.suspect(ns, culprit, None) }
                }
                continue;
            }
            if ingress
                || matches!(kind, "noqueue" | "mq")
                || (matches!(kind, "pfifo_fast" | "fq_codel" | "fq") && drops == 0)
            {
                continue;
            }
            let number = |key: &str| qdisc.get("options").and_then(|options| options.get(key)).and_then(Value::as_f64);
            let loss = qdisc.pointer("/options/loss-random/loss").and_then(Value::as_f64).unwrap_or(0.0);
            let frame = f64::from(packet.size + 14);
            let too_small = (kind == "bfifo" && number("limit").is_some_and(|limit| limit < frame))
                || (kind == "tbf" && number("burst").is_some_and(|burst| burst < frame));
            let certain = loss >= 0.999 || kind == "blackhole" || too_small;
            let culprit = Culprit::new(Code::QdiscDrop, &at, "qdisc", format!("{dev} {kind}"))
                .value(qdisc.get("options").map(Value::to_string).unwrap_or_default())
                .says(format!(
                    "the queueing discipline {kind} of {at}/{dev} {} the packet",
                    if certain { "drops" } else { "may drop" }
                ))
                .because(Label::State, format!("tc -s qdisc show dev {dev} in {at}: {kind}, dropped {drops}"))
                .fix(&format!("tc qdisc del dev {dev} root"));
            if certain { self.fault(culprit) } else { self.suspect(ns, culprit, None) }
        }
    }
}

/// Whether a filter of tc could drop the packet: everything but those that are told to match other addresses or ports.
fn may_drop(filter: &Value, packet: &Packet) -> bool {
    let keys = filter.pointer("/options/keys");
    let differs = |key: &str, ip: IpAddr| {
        keys.and_then(|keys| keys.get(key)).and_then(Value::as_str).is_some_and(|net| {
            !net.parse::<ipnet::IpNet>().map_or_else(|_| net.parse() == Ok(ip), |net| net.contains(&ip))
        })
    };
    if differs("dst_ip", packet.dst) || differs("src_ip", packet.src) {
        return false;
    }
    if keys
        .and_then(|keys| keys.get("ip_proto"))
        .and_then(Value::as_str)
        .is_some_and(|proto| super::super::packet::protocol(proto) != Some(packet.proto))
    {
        return false;
    }
    let port = |key: &str| keys.and_then(|keys| keys.get(key)).and_then(Value::as_u64);
    if let (Some(want), super::super::packet::Port::Exact(have)) = (port("dst_port"), packet.dport)
        && want != u64::from(have)
    {
        return false;
    }
    // A program decides by itself.
    text(filter, "kind") == "bpf" || actions(filter).any(takes)
}

/// Whether a filter takes every packet that it sees, and so this one.
fn certainly_drops(filter: &Value) -> bool {
    let all = matches!(text(filter, "kind"), "matchall" | "flower");
    let random = |action: &Value| {
        action.get("random_type").is_some_and(|kind| kind != "none") || text(action, "kind") == "police"
    };
    all && actions(filter).any(takes) && !actions(filter).any(random)
}

fn actions(filter: &Value) -> impl Iterator<Item = &Value> {
    filter.pointer("/options/actions").and_then(Value::as_array).into_iter().flatten()
}

/// Whether an action takes the packet away: drops it, or sends it somewhere else.
fn takes(action: &Value) -> bool {
    let control = |pointer: &str| action.pointer(pointer).and_then(Value::as_str);
    match text(action, "kind") {
        "mirred" => text(action, "mirred_action") == "redirect",
        // What it takes is beyond its rate; what else says so is old (`conform-exceed`).
        "police" => true,
        _ => ["/control_action/type", "/action/type", "/control_action"]
            .into_iter()
            .filter_map(control)
            .any(|word| matches!(word, "drop" | "shot" | "stolen")),
    }
}

/// How many packets the actions of a device's filters took so far; none where there are no such actions.
pub(in crate::why) fn taken(net: &Net, ns: usize, dev: &str, direction: &str) -> Option<u64> {
    let filters = net.listed(ns, Part::Queues, "tc", &["-s", "-j", "filter", "show", "dev", dev, direction]);
    let counted = filters.iter().flat_map(actions).filter(|action| takes(action));
    let packets: Vec<u64> = counted.filter_map(|action| action.pointer("/stats/packets")?.as_u64()).collect();
    (!packets.is_empty()).then(|| packets.iter().sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{certainly_drops, takes};

    #[test]
    fn only_what_takes_the_packet_is_blamed() {
        let stats = json!({ "packets": 3, "drops": 0, "overlimits": 0 });
        let gact = |kind: &str| json!({ "kind": "gact", "control_action": { "type": kind }, "stats": stats });
        let redirect = json!({ "kind": "mirred", "mirred_action": "redirect", "to_dev": "vc", "stats": stats });
        let mirror = json!({ "kind": "mirred", "mirred_action": "mirror", "to_dev": "vc", "stats": stats });
        assert!(takes(&gact("drop")) && takes(&redirect));
        assert!(!takes(&gact("pass")) && !takes(&mirror));
        let filter = |kind: &str, action| json!({ "kind": kind, "options": { "actions": [action] } });
        assert!(certainly_drops(&filter("matchall", gact("drop"))) && !certainly_drops(&filter("u32", gact("drop"))));
        assert!(!certainly_drops(&filter("matchall", gact("pass"))));
    }
}
