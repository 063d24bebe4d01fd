//! What others made, with the same names, with names that look alike, in the same chains: never touched.

use std::process::Command;

use crate::faults::SCRIPTS;
use crate::machine::{BUILD_OTHER, Machine, Snapshot, finish, outcome, sh};
use crate::shim::{self, Fault};
use crate::{Case, Dice};

/// Something that somebody else does while the run's things are there.
struct Decoy {
    /// Makes it; where it takes the place of something of the run's, that is removed first.
    make: &'static str,
    /// Prints what tells it from others.
    look: &'static str,
    /// Removes it again.
    remove: &'static str,
}

const DECOYS: [Decoy; 17] = [
    Decoy {
        make: "ip link delete dev lp-br 2>/dev/null || true; ip link add name lp-br type bridge; ip link set dev lp-br up",
        look: "ip -j link show dev lp-br",
        remove: "ip link delete dev lp-br",
    },
    Decoy {
        make: "ip link delete dev lp-br 2>/dev/null || true; ip link add name lp-br type bridge; ip link set dev lp-br alias netwright:somebody",
        look: "ip -j link show dev lp-br",
        remove: "ip link delete dev lp-br",
    },
    Decoy {
        make: "ip link delete dev lp-br 2>/dev/null || true; ip link add name lp-br type veth peer name lp-br1",
        look: "ip -j link show dev lp-br",
        remove: "ip link delete dev lp-br",
    },
    Decoy {
        make: "ip link add name lp-br2 type bridge; ip address add 10.70.0.254/32 dev lp-br2",
        look: "ip -j address show dev lp-br2",
        remove: "ip link delete dev lp-br2",
    },
    Decoy {
        make: "ip netns delete lp-a 2>/dev/null || true; ip netns add lp-a; ip -n lp-a link set lo up",
        look: "stat -L -c %i /run/netns/lp-a; ip -n lp-a -j address",
        remove: "ip netns delete lp-a",
    },
    Decoy {
        make: "ip netns delete lp-h3 2>/dev/null || true; ip netns add lp-h3",
        look: "stat -L -c %i /run/netns/lp-h3; ip -n lp-h3 -j address",
        remove: "ip netns delete lp-h3",
    },
    Decoy {
        make: "ip netns add lp-a2; ip netns add lp-; ip -n lp-a2 link set lo alias netwright",
        look: "stat -L -c %i /run/netns/lp-a2 /run/netns/lp-; ip -n lp-a2 -j address",
        remove: "ip netns delete lp-a2; ip netns delete lp-",
    },
    Decoy {
        make: "iptables -w 5 -I FORWARD 1 -m comment --comment netwright-x -j ACCEPT; iptables -w 5 -A FORWARD -s 203.0.113.5/32 -j ACCEPT",
        look: "iptables -w 5 -S FORWARD | grep -e netwright-x -e 203.0.113.5",
        remove: "iptables -w 5 -D FORWARD -m comment --comment netwright-x -j ACCEPT; iptables -w 5 -D FORWARD -s 203.0.113.5/32 -j ACCEPT",
    },
    Decoy {
        make: "iptables -w 5 -t nat -A POSTROUTING -s 10.70.0.0/24 -o eth0 -j MASQUERADE",
        look: "iptables -w 5 -t nat -S POSTROUTING | grep 10.70 | grep -v netwright",
        remove: "iptables -w 5 -t nat -D POSTROUTING -s 10.70.0.0/24 -o eth0 -j MASQUERADE",
    },
    Decoy {
        make: "iptables -w 5 -t nat -I PREROUTING -m comment --comment 'netwright ' -p tcp --dport 8080 -j ACCEPT",
        look: "iptables -w 5 -t nat -S PREROUTING | grep 'netwright \"'",
        remove: "iptables -w 5 -t nat -D PREROUTING -m comment --comment 'netwright ' -p tcp --dport 8080 -j ACCEPT",
    },
    Decoy {
        make: "ip route add 10.71.0.0/16 via 198.51.100.7 metric 7; ip route add 10.72.0.0/16 via 198.51.100.7 table 170 metric 9",
        look: "ip route show table all | grep -e 'metric 7' -e 'metric 9'",
        remove: "ip route delete 10.71.0.0/16 metric 7; ip route delete 10.72.0.0/16 table 170 metric 9",
    },
    Decoy {
        make: "ip rule add from 10.70.0.0/24 table 171; ip rule add from 10.70.0.0/25 table 170",
        look: "ip rule | grep 10.70 | grep -v -e '/24 lookup 170'",
        remove: "ip rule delete from 10.70.0.0/24 table 171; ip rule delete from 10.70.0.0/25 table 170",
    },
    Decoy {
        make: "ip link delete dev other0; ip link add name other0 type veth peer name other1; ip link set dev other0 mtu 1300; ip address add 10.73.0.1/25 dev other0",
        look: "ip -j address show dev other0",
        remove: "true",
    },
    Decoy {
        make: "ip link delete dev lp-x 2>/dev/null || true; ip link add name lp-x type bridge; ip address add 10.70.9.1/24 dev lp-x",
        look: "ip -j address show dev lp-x",
        remove: "ip link delete dev lp-x",
    },
    Decoy {
        make: "ip6tables -w 5 -I FORWARD 1 -s 2001:db8:b::/64 -j ACCEPT; ip6tables -w 5 -A FORWARD -s 2001:db8:c::/64 -j ACCEPT",
        look: "ip6tables -w 5 -S FORWARD | grep -e db8:b: -e db8:c:",
        remove: "ip6tables -w 5 -D FORWARD -s 2001:db8:b::/64 -j ACCEPT; ip6tables -w 5 -D FORWARD -s 2001:db8:c::/64 -j ACCEPT",
    },
    Decoy {
        make: "iptables -w 5 -t nat -I POSTROUTING 1 -s 203.0.113.4/32 -j ACCEPT; iptables -w 5 -t nat -N OTHERS; iptables -w 5 -t nat -A OTHERS -j ACCEPT",
        look: "iptables -w 5 -t nat -S | grep -e 203.0.113.4/ -e OTHERS",
        remove: "iptables -w 5 -t nat -D POSTROUTING -s 203.0.113.4/32 -j ACCEPT; iptables -w 5 -t nat -F OTHERS; iptables -w 5 -t nat -X OTHERS",
    },
    Decoy {
        make: "iptables -w 5 -I FORWARD 2 -s 203.0.113.3/32 -j ACCEPT; iptables -w 5 -I FORWARD 2 -s 203.0.113.2/32 -j ACCEPT",
        look: "iptables -w 5 -S FORWARD | grep -e 203.0.113.3/ -e 203.0.113.2/",
        remove: "iptables -w 5 -D FORWARD -s 203.0.113.3/32 -j ACCEPT; iptables -w 5 -D FORWARD -s 203.0.113.2/32 -j ACCEPT",
    },
];

/// Each decoy alone beside each script that touches the firewall; then random mixes.
pub(crate) fn all(machine: &Machine, full: bool) -> Vec<Case> {
    let single = (0..DECOYS.len()).flat_map(|n| {
        ["nat", "dual", "together"].map(|script| {
            let name = format!("{script}, decoy {n}");
            Case::new(name, move |machine| mix(machine, script, None, &[n]))
        })
    });
    single.chain(mixes(machine, full)).collect()
}

/// Random mixes: a script, kept or killed at some command; some decoys; then the undo.
fn mixes(_: &Machine, full: bool) -> Vec<Case> {
    // The decoys stand on a link that `moves` takes to another namespace.
    let scripts: Vec<&str> = SCRIPTS.into_iter().filter(|script| *script != "moves").collect();
    (0..if full { 1000 } else { 30 })
        .map(|seed| {
            let mut dice = Dice::new(seed + 9000);
            let script = scripts[usize::try_from(dice.below(scripts.len() as u64)).unwrap_or(0)];
            let killed = (dice.below(2) == 0).then(|| 2 + usize::try_from(dice.below(32)).unwrap_or(0));
            let mut chosen: Vec<usize> = Vec::new();
            for _ in 0..=dice.below(4) {
                let n = usize::try_from(dice.below(DECOYS.len() as u64)).unwrap_or(0);
                // Those that begin alike take the same place.
                if !chosen.iter().any(|other| DECOYS[*other].make[..20] == DECOYS[n].make[..20]) {
                    chosen.push(n);
                }
            }
            let name = format!("mix {seed}: {script}, killed at {killed:?}, decoys {chosen:?}");
            Case::new(name, move |machine| mix(machine, script, killed, &chosen))
        })
        .collect()
}

fn mix(machine: &Machine, script: &str, killed: Option<usize>, chosen: &[usize]) -> Result<(), String> {
    let rebuilds_other = chosen.contains(&12);
    let before = Snapshot::take();
    let mut run = machine.run(script, true, &[]);
    let faults: Vec<_> = killed.map(|n| (n, Fault::KillsRunAfter)).into_iter().collect();
    shim::plan(&machine.shim, &faults, false);
    let (code, said) = outcome(&finish(&mut run));
    if !matches!(code, 0 | 137) {
        return Err(format!("exit {code}\n{said}"));
    }
    let decoys: Vec<&Decoy> = chosen.iter().map(|n| &DECOYS[*n]).collect();
    let look = |decoy: &Decoy| {
        let output = Command::new("sh").args(["-c", decoy.look]).output().expect("sh");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for decoy in &decoys {
        sh(decoy.make);
    }
    let made: Vec<String> = decoys.iter().map(|decoy| look(decoy)).collect();
    let (code, said) = if code == 0 { machine.down_all() } else { machine.call(&["gc"]) };
    let mut wrong = String::new();
    for (decoy, made) in decoys.iter().zip(&made) {
        // A veth or bridge may change its state when its ports go; it stays the same link.
        let now = look(decoy);
        if made.is_empty() || stable(&now) != stable(made) {
            wrong.extend(["`", decoy.make, "` was touched:\n  ", made, "  ", &now]);
        }
        let _ = Command::new("sh").args(["-c", decoy.remove]).output();
    }
    if code != 0 {
        wrong += "the undo did not end well\n";
    }
    if rebuilds_other {
        // The machine's own link was made anew by its owner, who now puts it back as it was, with another index.
        sh(&format!("ip link delete dev other0\n{BUILD_OTHER}"));
        return if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong}exit {code}\n{said}")) };
    }
    if let Some(difference) = Machine::differs(&before) {
        wrong.extend(["the machine is not as it was:\n", &difference]);
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong}exit {code}\n{said}")) }
}

/// Without the state of the carrier, which follows others.
fn stable(text: &str) -> String {
    let mut text = text.to_owned();
    for key in ["operstate", "flags", "address", "valid_life_time"] {
        if let Some(at) = text.find(&format!("\"{key}\":")) {
            let end = text[at..].find(if key == "flags" { ']' } else { ',' }).map_or(text.len(), |end| at + end);
            text.replace_range(at..end, "");
        }
    }
    text
}
