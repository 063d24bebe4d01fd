//! Pictures of networks, from documents as `netwright show --json` prints them.
//!
//! `UPDATE_GOLDEN=1 cargo test --test draw` rewrites them; look at the SVG in a browser before it is committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use netwright::draw::{Blame, End, Link, Namespace, Role, State, Topology};

#[path = "draw/geometry.rs"]
mod geometry;
#[path = "draw/page.rs"]
mod page;

/// Twelve pods on three bridges with the way of a packet, a node as Kubernetes makes it, a VXLAN over three routers; contract 02, a chain of
/// routers, a star of 40; contract 02 after `iptables -P FORWARD DROP`, and with a link set down, with what
/// `why` says about it. Read off the kernel by `netwright show --json`.
const NETWORKS: [&str; 8] = [
    "three-bridges",
    "kubernetes-node",
    "tunnel",
    "container-network",
    "three-routers",
    "star-40",
    "policy-drop",
    "link-down",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/draw")
}

fn topology(name: &str) -> Topology {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn golden(file: &str, found: &str) {
    let path = folder().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{file} differs");
}

#[test]
fn every_format_of_every_network() {
    for name in NETWORKS {
        let topology = topology(name);
        golden(&format!("{name}.txt"), &(topology.text() + "\n"));
        golden(&format!("{name}.dot"), &topology.dot());
        golden(&format!("{name}.mmd"), &topology.mermaid());
        golden(&format!("{name}.svg"), &topology.svg());
        let again: Topology = serde_json::from_value(topology.document()).unwrap();
        assert_eq!(again, topology, "the document says everything");
    }
}

#[test]
fn a_terminal_of_80_columns_is_enough() {
    for name in NETWORKS {
        for line in topology(name).text().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

fn pods(count: usize) -> Topology {
    let end = |netns: &str, link: String| Some(End { netns: netns.to_owned(), link });
    let mut host = Namespace { name: "host".into(), role: Role::Host, count: 1, ..Namespace::default() };
    host.links.push(Link { name: "br0".into(), kind: Some("bridge".into()), count: 1, ..Link::default() });
    let mut all = Vec::new();
    for n in 1..=count {
        let veth = Link { kind: Some("veth".into()), count: 1, ..Link::default() };
        let outer = Link {
            name: format!("v{n}"),
            master: Some("br0".into()),
            peer: end(&format!("pod-{n}"), "eth0".into()),
            ..veth.clone()
        };
        host.links.push(outer);
        let inner = Link {
            name: "eth0".into(),
            addrs: vec![format!("10.0.0.{n}/24")],
            peer: end("host", format!("v{n}")),
            ..veth
        };
        all.push(Namespace { name: format!("pod-{n}"), count: 1, links: vec![inner], ..Namespace::default() });
    }
    all.insert(0, host);
    Topology { namespaces: all, culprit: None }
}

/// Also among many that are alike: a picture that folds would hide which one nobody could read.
#[test]
fn what_could_not_be_read_is_named_in_every_picture() {
    let mut many = pods(20);
    for index in [7, 8] {
        many.namespaces[index].links.clear();
        many.namespaces[index].unread = Some("could not be read: out of order".into());
    }
    let document = many.document().to_string();
    for picture in [many.text(), many.dot(), many.mermaid(), many.svg(), document] {
        for word in ["pod-7", "pod-8"] {
            assert!(picture.contains(word), "{word}: {picture}");
        }
        assert_eq!(picture.matches("could not be read").count(), 2, "{picture}");
    }
}

/// Namespaces of these names, and cables between them; the links are named after the far end.
fn cabled(names: &[String], cables: &[(usize, usize)]) -> Topology {
    let namespace = |name: &String| Namespace { name: name.clone(), count: 1, ..Namespace::default() };
    let mut topology = Topology { namespaces: names.iter().map(namespace).collect(), culprit: None };
    for (index, (a, b)) in cables.iter().enumerate() {
        let link = |to: usize| format!("{}{index}", &names[to][..names[to].len().min(11)]);
        let (to_b, to_a) = (link(*b), format!("{}x", link(*a)));
        for (here, name, there, peer) in [(*a, &to_b, *b, &to_a), (*b, &to_a, *a, &to_b)] {
            topology.namespaces[here].links.push(Link {
                name: name.clone(),
                addrs: vec![format!("10.{index}.0.{here}/24"); here % 3],
                peer: Some(End { netns: names[there].clone(), link: peer.clone() }),
                count: 1,
                ..Link::default()
            });
        }
    }
    topology
}

fn names(count: usize) -> Vec<String> {
    // Of different lengths, and never alike.
    (0..count).map(|n| format!("n{n}{}", "abcdefgh".repeat(n % 3))).collect()
}

/// Networks of all shapes, each with its name.
fn shapes() -> Vec<(String, Topology)> {
    let mut all: Vec<(String, Topology)> = NETWORKS.iter().map(|name| ((*name).to_owned(), topology(name))).collect();
    let mut shape = |name: &str, count: usize, cables: Vec<(usize, usize)>| {
        all.push((format!("{name} {count}"), cabled(&names(count), &cables)));
    };
    for count in [2, 5, 6, 9] {
        shape("chain", count, (1..count).map(|n| (n - 1, n)).collect());
        shape("ring", count, (0..count).map(|n| (n, (n + 1) % count)).collect());
        shape("star", count, (1..count).map(|n| (0, n)).collect());
        shape("mesh", count, (0..count).flat_map(|a| (0..a).map(move |b| (a, b))).collect());
        shape("tree", count, (1..count).map(|n| ((n - 1) / 2, n)).collect());
        shape(
            "leaf-spine",
            count,
            (count / 2..count).flat_map(|leaf| (0..count / 2).map(move |spine| (spine, leaf))).collect(),
        );
        shape("loose", count, Vec::new());
        shape("to itself", count, (0..count).map(|n| (n, n)).collect());
        shape("bundle", count, vec![(0, 1); 10]);
        shape("two parts", count, (0..count - 2).map(|n| (n, n + 2)).collect());
    }
    all.push(("a star in rows".to_owned(), pods(60)));
    all
}

#[test]
fn every_picture_is_legible() {
    let mut flaws = Vec::new();
    for (name, topology) in shapes() {
        for blamed in [false, true] {
            let culprit = blamed.then(|| {
                let namespace = topology.namespaces.last().unwrap();
                let link = namespace.links.last().map(|link| link.name.clone());
                let message = "a long sentence about what happens to the packet and where ".repeat(3);
                Blame { netns: namespace.name.clone(), link, code: "NF_POLICY_DROP".into(), message, path: Vec::new() }
            });
            let topology = if blamed { topology.clone().with_culprit(culprit) } else { topology.clone() };
            let drawing = geometry::Drawing::read(&topology.svg());
            // Both ends of a veth and of a tunnel know the other; of a link that was moved away, only itself.
            let ends = |one: &Namespace| -> usize {
                let away = |link: &&Link| link.parent.as_ref().is_some_and(|parent| parent.netns != one.name);
                let ends = |link: &Link| usize::from(link.peer.is_some()) + usize::from(link.far.is_some());
                one.links.iter().map(ends).sum::<usize>() + 2 * one.links.iter().filter(away).count()
            };
            let cables = topology.folded(12).namespaces.iter().map(ends).sum::<usize>();
            assert_eq!(drawing.cables.len() * 2, cables, "{name}: every cable is drawn");
            flaws.extend(drawing.flaws().into_iter().map(|flaw| format!("{name}: {flaw}")));
        }
    }
    assert!(flaws.is_empty(), "{} flaws:\n{}", flaws.len(), flaws[..flaws.len().min(20)].join("\n"));
}

#[test]
fn the_culprit_stands_out_in_every_format_with_and_without_colour() {
    for (name, code, mark) in
        [("policy-drop", "NF_POLICY_DROP", "✗ host"), ("link-down", "LINK_ADMIN_DOWN", "✗ eth0 10.0.0.2/24 down")]
    {
        let blamed = topology(name);
        let (text, colour) = (blamed.text(), blamed.draw_text(true));
        assert!(text.contains(mark) && text.contains(&format!("✗ [{code}] ")), "{text}");
        assert!(!text.contains('\u{1b}') && colour.contains(&format!("\u{1b}[1;31m{mark}")), "{colour}");
        let innocent = blamed.clone().with_culprit(None);
        for (with, without) in
            [(blamed.svg(), innocent.svg()), (blamed.dot(), innocent.dot()), (blamed.mermaid(), innocent.mermaid())]
        {
            assert!(with.contains('✗') && with.contains(code), "{with}");
            assert!(!without.contains('✗') && !without.contains(code), "{without}");
        }
        assert_eq!(blamed.document()["culprit"]["code"], code);
        assert_eq!(innocent.document().get("culprit"), None);
    }
    // A link is blamed only where it is: `tcp 80` is a port of another sort.
    let odd = Blame { netns: "ns-blue".into(), link: Some("tcp".into()), ..Blame::default() };
    assert_eq!(topology("link-down").with_culprit(Some(odd)).culprit.unwrap().link, None);
}

#[test]
fn the_culprit_is_not_folded_away() {
    let blame = Blame {
        netns: "pod-7".into(),
        link: Some("eth0".into()),
        code: "LINK_ADMIN_DOWN".into(),
        message: "down".into(),
        ..Blame::default()
    };
    let text = pods(300).with_culprit(Some(blame)).text();
    assert!(text.contains("pod-1 … pod-300  (299 alike)") && text.contains("✗ pod-7\n"), "{text}");
    let port = Blame {
        netns: "host".into(),
        link: Some("v9".into()),
        code: "PORT_ISOLATED".into(),
        message: "isolated".into(),
        ..Blame::default()
    };
    let text = pods(300).with_culprit(Some(port)).text();
    assert!(text.contains("✗ v9") && text.contains("(299 links)"), "{text}");
}

#[test]
fn hundreds_that_are_alike_are_one_and_the_odd_one_stays() {
    let mut many = pods(300);
    many.namespaces[7].links[0].state = State::Down;
    let folded = many.folded(12);
    let names: Vec<&str> = folded.namespaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["host", "pod-1 … pod-300", "pod-7"]);
    assert_eq!(folded.namespaces[1].count, 299);
    let text = many.text();
    assert!(
        text.contains("pod-1 … pod-300  (299 alike)") && text.contains("eth0 10.0.0.7/24 down ── host/v7"),
        "{text}"
    );
    assert!(text.lines().count() < 20, "{text}");
    assert_eq!(pods(5).folded(12), pods(5), "a few are left alone");
}

#[test]
fn what_names_hold_cannot_break_a_picture() {
    let mut odd = pods(1);
    odd.namespaces[1].name = "a<b>&\"c\"\u{1b}".into();
    odd.namespaces[0].links[1].peer = Some(End { netns: odd.namespaces[1].name.clone(), link: "eth0".into() });
    let svg = odd.svg();
    assert!(svg.contains(r"a&lt;b&gt;&amp;&quot;c&quot;\u{1b}") && !svg.contains('\u{1b}'), "{svg}");
    assert!(odd.dot().contains("a<b>&\\\"c\\\""));
    assert!(odd.mermaid().contains("a&lt;b&gt;&amp;&quot;c&quot;"));
    assert_eq!(Topology::default().text(), "");
    assert!(Topology::default().svg().starts_with("<svg"));
}

/// What somebody may call a namespace or a link, so that it does something to whoever looks at it.
const HOSTILE: [&str; 6] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "{{sections}}{{hash}}",
    "' onfocus='alert(1)",
    "]]>--><!--<svg onload=alert(1)>",
    "a\u{202e}evil\u{2066}\u{7}\u{1b}[31m\n::error::x",
];

#[test]
fn nothing_breaks_out_of_a_page() {
    for hostile in HOSTILE {
        let mut odd = pods(14);
        let name = |text: &mut String| *text = hostile.to_owned();
        name(&mut odd.namespaces[1].name);
        odd.namespaces[0].links[1].peer = Some(End { netns: hostile.into(), link: hostile.into() });
        let inner = &mut odd.namespaces[1].links[0];
        name(&mut inner.name);
        inner.addrs = vec![hostile.into()];
        inner.detail = vec![hostile.into()];
        inner.kind = Some(hostile.into());
        inner.peer = Some(End { netns: "host".into(), link: "v1".into() });
        inner.state = State::Down;
        let here = &mut odd.namespaces[1];
        here.unread = Some(hostile.into());
        for texts in [&mut here.routes, &mut here.tables, &mut here.rules, &mut here.filter, &mut here.nat] {
            texts.push(hostile.into());
        }
        let blame = Blame {
            netns: hostile.into(),
            link: Some(hostile.into()),
            code: hostile.into(),
            message: hostile.into(),
            path: vec![End { netns: hostile.into(), link: hostile.into() }],
        };
        let page = odd.clone().with_culprit(Some(blame)).html(hostile);
        for bad in ["<img", "<svg onload", "onfocus='", "\u{202e}", "\u{2066}", "\u{7}", "\u{1b}", "\n::error"] {
            assert!(!page.contains(bad), "{bad:?} is in the page of {hostile:?}");
        }
        assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (1, 1), "{hostile:?}");
        // The picture and the details are well-formed and of known elements and attributes only; so is nothing that was named.
        let read = page::Page::read(&page);
        let spelled = "a\\u{202e}evil\\u{2066}\\u{7}\\u{1b}[31m\\n::error::x";
        let shown = if hostile.starts_with("a\u{202e}") { spelled } else { hostile };
        assert!(read.headings.iter().any(|heading| heading == shown), "{shown:?} in {:?}", read.headings);
        assert!(read.groups.iter().any(|all| all.get("data-link").is_some_and(|link| link == shown)), "{shown:?}");
        assert!(read.wires.iter().any(|wire| wire.contains(shown)), "{shown:?}: {:?}", read.wires);
        // Its head, too.
        let head = &page[..page.find("<style>").unwrap()];
        assert_eq!(
            head.matches('<').count(),
            Topology::default().html("x").split("<style>").next().unwrap().matches('<').count()
        );
    }
}

#[test]
fn a_page_is_the_same_picture_with_all_that_is_known() {
    for (name, topology) in shapes() {
        let page = page::Page::read(&topology.html("a machine"));
        let (paged, svg) = (page.svg.clone(), topology.svg());
        // But for what it is called.
        let body = |svg: &str| svg.split_once("<style>").unwrap().1.to_owned();
        assert_eq!(body(&paged), body(&svg), "{name}");
        let places = page.boxes.iter().filter(|(id, _)| id.starts_with("at-"));
        assert_eq!(places.clone().count(), topology.namespaces.len(), "{name}: each namespace has its details");
        let nodes: Vec<&String> =
            page.groups.iter().filter(|all| all["class"] == "node").map(|all| &all["data-box"]).collect();
        assert_eq!(nodes.len(), topology.folded(12).namespaces.len(), "{name}");
        for (id, at) in &page.boxes {
            assert!(nodes.contains(&at), "{name}: {id} belongs to a box that is not drawn");
        }
        for (at, namespace) in topology.namespaces.iter().enumerate() {
            let text = &page.texts[&format!("at-{at}")];
            let lists = [&namespace.routes, &namespace.tables, &namespace.rules, &namespace.filter, &namespace.nat];
            for said in lists.into_iter().flatten() {
                assert!(text.contains(said.as_str()), "{name}: {said} of {}: {text}", namespace.name);
            }
            for link in namespace.links.iter().filter(|link| link.name != "lo") {
                for said in std::iter::once(&link.name).chain(&link.addrs).chain(&link.detail) {
                    assert!(text.contains(said.as_str()), "{name}: {said} of {}: {text}", namespace.name);
                }
            }
        }
    }
    // Of many that are drawn as one, each is there to be found, and what the picture cuts off.
    let page = page::Page::read(&pods(300).html("many"));
    assert!(page.texts["at-137"].contains("10.0.0.137/24") && page.texts["at-137"].contains("host/v137"));
    assert_eq!(page.boxes["at-137"], page.boxes["at-1"]);
    assert!(page.texts[&format!("box-{}", page.boxes["at-137"])].contains("300 alike"));
    let mut long = pods(1);
    long.namespaces[0].filter = (1..=30).map(|n| format!("FORWARD drops tcp/{n} {}", "x".repeat(80))).collect();
    assert!(page::Page::read(&long.html("long")).texts["at-0"].contains(&format!("tcp/30 {}", "x".repeat(80))));
}

/// The policy of the page allows the one script that is in it, by its hash, and nothing from elsewhere.
#[test]
fn a_page_fetches_nothing_and_runs_its_own_script_only() {
    use sha2::Digest as _;
    let page = topology("policy-drop").html("a machine");
    let policy = page.split("http-equiv=\"Content-Security-Policy\" content=\"").nth(1).unwrap();
    let policy = policy.split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("http"), "{policy}");
    let hash = policy.split("script-src 'sha256-").nth(1).unwrap().split('\'').next().unwrap();
    let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = hash.chars().filter_map(|c| letters.find(c)).flat_map(|six| (0..6).rev().map(move |bit| six >> bit & 1));
    let bits: Vec<usize> = bits.collect();
    let bytes: Vec<usize> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect();
    let digest: Vec<usize> = sha2::Sha256::digest(script.as_bytes()).iter().map(|byte| usize::from(*byte)).collect();
    assert_eq!(bytes, digest, "{hash}");
    for fetches in ["http://", "https://", "url(", "@import", "fetch(", "XMLHttpRequest", "innerHTML", "eval(", "src="]
    {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(fetches), "{fetches}");
    }
}

/// In a browser, where there is one: the script runs under the policy of its page, and the console stays empty.
#[test]
fn a_browser_has_nothing_to_say_about_a_page() {
    let found = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(found) else {
        println!("skipped: there is no Chromium here");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("page.html");
    let dump = |page: &str, profile: &str| {
        std::fs::write(&path, page).unwrap();
        // No network, no service of a desktop, no sandbox of its own: tests run as root, and in containers.
        let output = Command::new("timeout")
            .args(["120", browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--enable-logging=stderr",
            ])
            .arg(format!("--user-data-dir={}", home.path().join(profile).display()))
            .args(["--dump-dom", &format!("file://{}", path.display())])
            .output()
            .unwrap();
        let console = String::from_utf8_lossy(&output.stderr);
        let console: Vec<String> = console.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (String::from_utf8_lossy(&output.stdout).into_owned(), console)
    };
    let mut odd = pods(14);
    for (namespace, name) in odd.namespaces[1..].iter_mut().zip(HOSTILE) {
        namespace.name = name.to_owned();
        namespace.filter = vec![name.to_owned()];
    }
    let page = odd.html(HOSTILE[0]);
    let (dom, console) = dump(&page, "one");
    assert_eq!(console, Vec::<String>::new());
    assert!(dom.contains("class=\"live\""), "the script has run: {dom}");
    assert_eq!(dom.matches("role=\"button\"").count(), odd.folded(12).namespaces.len());
    // The test can fail: a script of another hash does not run, and the console says so.
    let (dom, console) = dump(&page.replace("\"use strict\";", "\"use strict\"; "), "two");
    assert!(
        !dom.contains("class=\"live\"") && console.iter().any(|line| line.contains("Content Security Policy")),
        "{console:?}"
    );
}

#[test]
fn a_server_shows_the_network_as_it_is_now_to_those_who_ask_for_this_machine() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("serve.rhai");
    let program = env!("CARGO_BIN_EXE_netwright");
    std::fs::write(
        &script,
        r#"
        let server = host().start(["PROGRAM", "show", "--serve"], #{ ready: "tcp/8080" });
        let page = || host().http("http://127.0.0.1:8080/");
        eventually("60s", || page.call().body.contains("the internet"));
        assert(page.call().body.contains("connect-src 'self'"));
        let raw = |words| host().exec(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf '" + words + "' >&3; head -1 <&3"]).stdout;
        assert(raw.call("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").contains(" 200 "));
        assert(raw.call("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").contains(" 403 "));
        assert(raw.call("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n").contains(" 405 "));
        assert(raw.call("GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n").contains(" 404 "));
        // The number of the page is told at once, and that of the next when the network has changed.
        let heard = host().start(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /events HTTP/1.1\r\nHost: [::1]\r\n\r\n' >&3; exec cat <&3"]);
        let numbers = || heard.output.split("data: ").len - 1;
        eventually("60s", || numbers.call() == 1);
        let before = page.call().body;
        assert(!before.contains("fresh"));
        netns("fresh").bridge("br-fresh").addr("10.9.0.1/24");
        eventually("60s", || page.call().body.contains("br-fresh"));
        eventually("60s", || numbers.call() >= 2);
        // A second one at the same place says so; the first goes on, and ends at a signal.
        let second = host().exec(["PROGRAM", "show", "--serve", "127.0.0.1:8080"]);
        assert(!second.ok && second.stderr.contains("cannot listen at 127.0.0.1:8080"));
        assert(page.call().ok);
        host().exec(["kill", "-TERM", server.pid.to_string()]);
        eventually("60s", || !server.running);
        assert_eq(server.status, 143);
        "#
        .replace("PROGRAM", program),
    )
    .unwrap();
    let output = Command::new(program).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn show_writes_a_page() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("page.rhai");
    let program = env!("CARGO_BIN_EXE_netwright");
    std::fs::write(
        &script,
        format!("netns(\"blue\").bridge(\"br-blue\").addr(\"10.9.0.1/24\");\nprint(host().exec([\"{program}\", \"show\", \"--format\", \"html\"]).stdout);\n"),
    )
    .unwrap();
    let output = Command::new(program).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = String::from_utf8(output.stdout).unwrap();
    let read = page::Page::read(&page);
    assert!(read.headings.contains(&"blue".to_owned()), "{:?}", read.headings);
    assert!(read.texts.values().any(|text| text.contains("br-blue (bridge) 10.9.0.1/24")), "{:?}", read.texts);
    // When it was read.
    assert!(regex::Regex::new(r"<h1>[^<]*, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ").unwrap().is_match(&page), "{page}");
}

#[test]
fn show_reads_the_machine_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("show.rhai");
    let program = env!("CARGO_BIN_EXE_netwright");
    // Two cables whose ends have the same indices: only the ids of the namespaces tell which belong together.
    std::fs::write(
        &script,
        format!(
            "veth(netns(\"a\"), \"x\", netns(\"b\"), \"x\"); veth(netns(\"c\"), \"x\", netns(\"d\"), \"x\");\n\
             let settled = topology();\nlet before = run().commands;\nlet shown = host().exec([\"{program}\", \"show\", \"--json\"]);\nprint(shown.stdout);\n\
             let ends = topology().namespaces.filter(|ns| ns.name.len() == 1).map(|ns| ns.name + ns.links[1].peer.netns);\n\
             assert_eq(ends, [\"ab\", \"ba\", \"cd\", \"dc\"]);\nassert_eq(run().commands, before);\n"
        ),
    )
    .unwrap();
    let output = Command::new(program).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Topology = serde_json::from_slice(&output.stdout).unwrap();
    let peers: Vec<String> =
        shown.namespaces[1..5].iter().map(|one| one.links[1].peer.clone().unwrap().netns).collect();
    assert_eq!(peers, ["b", "a", "d", "c"]);
}

#[test]
fn what_is_drawn_is_so_at_once() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("so.rhai");
    std::fs::write(
        &script,
        r#"
        let h = host();
        let br0 = h.bridge("br0").addr("10.0.0.254/24").up();
        let a = netns("a");
        let b = netns("b");
        a.plug("eth0", br0).addr("10.0.0.1/24");
        // Links with the same indices on both sides, and cables inside of one namespace.
        veth(a, "x", b, "x");
        veth(b, "one", b, "two");
        a.link("x").up();
        b.link("x").up();
        let of = |name| topology().namespaces.find(|ns| ns.name == name);
        // The kernel says NO-CARRIER of these for up to a second.
        for name in ["a", "b"] {
            assert_eq!(of.call(name).links.find(|link| link.name == "x").state, "up");
        }
        assert_eq(of.call("b").links.find(|link| link.name == "one").peer, #{ netns: "b", link: "two" });
        assert_eq(of.call("a").links.find(|link| link.name == "eth0").peer, #{ netns: "host", link: "a-eth0" });
        assert_eq(of.call("host").links.find(|link| link.name == "eth0").peer, #{ netns: "the internet", link: "eth0" });

        h.iptables("-P FORWARD DROP");
        h.iptables("-A INPUT -p tcp --dport 22 -i eth0 -j DROP");
        h.masquerade(h.uplink());
        h.port_forward("tcp/443", "10.0.0.1:8443");
        assert_eq(of.call("host").filter, ["FORWARD policy DROP", "INPUT drops tcp/22 in eth0"]);
        assert_eq(of.call("host").nat, ["tcp/443 → 10.0.0.1:8443", "masquerade out eth0"]);
        a.rule(#{ from: "10.3.0.0/24", table: 100 });
        a.route("default", #{ via: "10.0.0.254", table: 100 });
        assert_eq(of.call("a").rules, ["from 10.3.0.0/24 lookup 100"]);
        assert_eq(of.call("a").tables, ["100 default via 10.0.0.254"]);
        assert_eq(of.call("a").routes, []);
        "#
        .replace("assert_eq!", "assert_eq"),
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_netwright")).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn links_say_what_they_are_and_only_what_is_used_is_shown() {
    let link =
        |name: &str, kind: &str| Link { name: name.into(), kind: Some(kind.into()), count: 1, ..Link::default() };
    let end = |netns: &str, link: &str| Some(End { netns: netns.into(), link: link.into() });
    let down = |link: Link| Link { state: State::Down, ..link };
    let a = Namespace {
        name: "a".into(),
        count: 1,
        links: vec![
            down(link("gre0", "gre")),
            down(link("sit0", "sit")),
            Link { addrs: vec!["10.7.0.1/24".into()], ..down(link("tunl0", "ipip")) },
            Link { detail: vec!["id 10".into()], parent: end("a", "eth0"), ..link("eth0.10", "vlan") },
            Link { detail: vec!["mode bridge".into()], parent: end("host", "eth0"), ..link("mv0", "macvlan") },
            Link { detail: vec!["remote 10.0.0.2".into()], far: end("b", "gre1"), ..link("gre1", "gre") },
            Link { peer: end("b", "eth0"), ..link("webser-f068ba0a", "veth") },
        ],
        filter: (1..=30).map(|n| format!("FORWARD drops tcp/{n}")).collect(),
        ..Namespace::default()
    };
    let mut b = Namespace { name: "b".into(), count: 1, ..Namespace::default() };
    b.links = vec![
        Link { far: end("a", "gre1"), ..link("gre1", "gre") },
        Link { peer: end("a", "webser-f068ba0a"), ..link("eth0", "veth") },
    ];
    let mut host = Namespace { name: "host".into(), role: Role::Host, count: 1, ..Namespace::default() };
    host.links = vec![Link { name: "eth0".into(), count: 1, ..Link::default() }];
    let picture = Topology { namespaces: vec![host, a, b], culprit: None };
    let (text, dot, mermaid, svg) = (picture.text(), picture.dot(), picture.mermaid(), picture.svg());
    for line in [
        "├── tunl0 (ipip) 10.7.0.1/24 down\n",
        "├── eth0.10 (vlan id 10 on eth0)\n",
        "├── mv0 (macvlan mode bridge on host/eth0)\n",
        "├── gre1 (gre remote 10.0.0.2) ┄┄ b/gre1\n",
        "├── ── b/eth0\n",
        "├── filter FORWARD drops tcp/7\n└── filter … and 23 more\n",
        "└── eth0 ── a",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for drawn in [&text, &dot, &mermaid, &svg] {
        assert!(!drawn.contains("gre0") && !drawn.contains("sit0") && !drawn.contains("webser"), "{drawn}");
        assert!(
            drawn.contains("vlan id 10 on eth0") && drawn.contains("drops tcp/7") && !drawn.contains("tcp/8"),
            "{drawn}"
        );
    }
    assert!(!picture.facts().iter().any(|fact| fact.contains("gre0")), "what comes with the first tunnel is no change");
    for (drawn, tunnel, parent) in [(&dot, "[style=dashed]", "[style=dotted]"), (&mermaid, "-.-", "-.-")] {
        assert!(drawn.contains(tunnel) && drawn.contains(parent), "{drawn}");
    }
    assert!(svg.contains("class=\"cable tunnel\"") && svg.contains("class=\"cable parent\""), "{svg}");
}

#[test]
fn the_way_of_the_packet_is_marked_as_far_as_it_comes() {
    let blamed = topology("three-bridges");
    let culprit = blamed.culprit.clone().unwrap();
    assert!(culprit.path.iter().any(|end| end.netns == "app-server-2"), "{culprit:?}");
    assert!(!culprit.path.iter().any(|end| end.netns == "db-server-1"), "it never comes there");
    let count = |svg: &str, class: &str| svg.matches(&format!("class=\"{class}\"")).count();
    let (with, without) = (blamed.svg(), blamed.clone().with_culprit(None).svg());
    assert_eq!((count(&with, "cable path"), count(&with, "band path")), (1, 1));
    assert_eq!((count(&without, "cable path"), count(&without, "band path")), (0, 0));
    assert!(blamed.text().contains("way: app-server-2/eth0 → "), "{}", blamed.text());
    assert!(blamed.dot().contains("penwidth=3") && blamed.mermaid().contains(" === "));
}

#[test]
fn ports_and_pods_stand_by_their_bridge() {
    let mut picture = topology("three-bridges").with_culprit(None);
    // Few enough to be drawn each.
    picture.namespaces.retain(|one| one.name != "web-server-4");
    let svg = picture.svg();
    let place = |name: &str| {
        let at = svg.find(&format!(">{name}")).unwrap_or_else(|| panic!("{name}: {svg}"));
        let tag = &svg[svg[..at].rfind("<text").unwrap()..at];
        tag.split("x=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(place("br-app ") < place("br-web ") && place("br-web ") < place("br-db "));
    let most = |kind: &str| (1..=3).map(|n| place(&format!("{kind}-server-{n}<"))).fold(0.0, f64::max);
    let least = |kind: &str| (1..=3).map(|n| place(&format!("{kind}-server-{n}<"))).fold(f64::MAX, f64::min);
    assert!(most("app") < least("db") && least("web") < least("db"), "{svg}");
}

#[test]
fn watch_draws_what_comes_and_goes_and_keeps_no_namespace_alive() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("watch.rhai");
    let program = env!("CARGO_BIN_EXE_netwright");
    std::fs::write(
        &script,
        format!(
            r#"netns("first");
            let watch = host().start(["{program}", "show", "--watch"]);
            let draws = |text| eventually("60s", || watch.output.contains(text));
            draws.call("first");
            // By hand, so that nothing but the one who looks could keep it.
            let ip = |words| assert(host().exec("ip " + words).ok);
            ip.call("netns add fresh");
            draws.call("fresh");
            ip.call("link add outer type veth peer name inner netns fresh");
            ip.call("-n fresh address add 10.9.9.9/24 dev inner");
            draws.call("inner 10.9.9.9/24 down ── host/outer");
            ip.call("-n fresh link set inner up");
            ip.call("link set outer up");
            draws.call("inner 10.9.9.9/24 ── host/outer");
            ip.call("-n fresh route add 10.8.0.0/16 via 10.9.9.1");
            draws.call("10.8.0.0/16 via 10.9.9.1");
            assert(host().exec("ip netns exec fresh sysctl -w net.ipv4.ip_forward=1").ok);
            draws.call("fresh  forwarding");
            // Deleting it ends its links.
            ip.call("netns delete fresh");
            eventually("60s", || !host().links.some(|link| link.ifname == "outer"));
            host().exec(["kill", "-INT", watch.pid.to_string()]);
            eventually("60s", || !watch.running);
            assert_eq(watch.status, 130);
            "#
        ),
    )
    .unwrap();
    let output = Command::new(program).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn watch_ends_when_nobody_reads_it() {
    let program = env!("CARGO_BIN_EXE_netwright");
    let script = format!(
        "let shown = host().exec([\"sh\", \"-c\", \"{program} show --watch | head -1\"]);\nassert(shown.ok);\nassert(shown.stdout.contains(\"host\"));\n"
    );
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("head.rhai");
    std::fs::write(&path, script).unwrap();
    let output = Command::new(program).arg("run").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
