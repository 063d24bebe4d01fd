//! What `iptables -S` and `iptables-save -c` print. Rules are read from here only: `iptables -L` differs between versions and backends.

use super::addr::covered;
use super::json::garbage;
use super::words;
use crate::{Error, Result};

/// All tables that were printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// In the order of the output.
    pub tables: Vec<Table>,
}

/// One table: `*nat` … `COMMIT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// `filter`, `nat`, `mangle`, `raw`, `security`.
    pub name: String,
    /// In the order of the output.
    pub chains: Vec<Chain>,
}

/// One chain: `:FORWARD DROP [0:0]`, or `-P FORWARD DROP`, or `-N DOCKER`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The name.
    pub name: String,
    /// What happens at its end; `None` for chains that users made.
    pub policy: Option<String>,
    /// Packets that the policy decided on; 0 without counters.
    pub packets: u64,
    /// Bytes that the policy decided on; 0 without counters.
    pub bytes: u64,
    /// In order.
    pub rules: Vec<Rule>,
}

/// One rule: `[6:288] -A INPUT -i lo -j ACCEPT`, or `-A INPUT -i lo -c 6 288 -j ACCEPT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its place in the chain, from 1.
    pub number: u32,
    /// The words after `-A CHAIN`, unquoted, without the counters.
    pub words: Vec<String>,
    /// Packets that matched; 0 without counters.
    pub packets: u64,
    /// Bytes that matched; 0 without counters.
    pub bytes: u64,
    text: String,
}

/// What an option of a rule says: `! -i docker0` is not `docker0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand<'a> {
    /// The value.
    pub value: &'a str,
    /// Whether a `!` stands before the option.
    pub not: bool,
}

impl Ruleset {
    /// A table by name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// A chain by table and name.
    #[must_use]
    pub fn chain(&self, table: &str, chain: &str) -> Option<&Chain> {
        self.table(table)?.chain(chain)
    }

    /// Every rule, and every policy that is not the one that chains begin with: `-t filter -P FORWARD DROP`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let chains = self.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (&table.name, chain)));
        chains
            .flat_map(|(table, chain)| {
                let name = &chain.name;
                let policy = chain.policy.iter().filter(|policy| *policy != "ACCEPT");
                let policy = policy.map(move |policy| format!("-t {table} -P {name} {policy}"));
                policy.chain(chain.rules.iter().map(move |rule| format!("-t {table} -A {name} {}", rule.text())))
            })
            .collect()
    }
}

impl Table {
    /// A chain by name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    fn chain_mut(&mut self, name: &str) -> &mut Chain {
        let index = self.chains.iter().position(|chain| chain.name == name).unwrap_or_else(|| {
            self.chains.push(Chain { name: name.to_owned(), ..Chain::default() });
            self.chains.len() - 1
        });
        &mut self.chains[index]
    }
}

/// Words with each value apart from its option: `-s10.0.0.1` and `--source=10.0.0.1` as two.
fn unglued(words: &[String]) -> Vec<String> {
    let apart = |word: &String| match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => vec![option.to_owned(), value.to_owned()],
        _ => match word.char_indices().nth(2) {
            Some((at, _)) if ["-s", "-d", "-i", "-o", "-j", "-g"].iter().any(|short| word.starts_with(short)) => {
                vec![word[..at].to_owned(), word[at..].to_owned()]
            }
            _ => vec![word.clone()],
        },
    };
    let is_text = |at: usize| at > 0 && words.get(at - 1).is_some_and(|before| words::takes_text(before));
    let each = words.iter().enumerate();
    each.flat_map(|(at, word)| if is_text(at) { vec![word.clone()] } else { apart(word) }).collect()
}

/// The first of the given options in the words of a rule and what it says.
fn option<'a>(all: &'a [String], names: &[&str]) -> Option<Operand<'a>> {
    let mut index = 0;
    while let Some(word) = all.get(index) {
        let value = all.get(index + 1);
        if names.contains(&word.as_str()) {
            let not = index > 0 && all.get(index - 1).is_some_and(|word| word == "!");
            return value.map(|value| Operand { value, not });
        }
        index += if words::takes_text(word) { 2 } else { 1 };
    }
    None
}

/// What iptables prints of a rule as it was given it, in one form: its target, addresses, links. Rules of which one may be the other
/// ([`Rule::may_be`]) have the same. `None` where that cannot be told from the words: a name or a mask in dots for an address, a long option cut short.
#[must_use]
pub fn likeness(words: &[String]) -> Option<String> {
    let words = unglued(words);
    let is_cut = |word: &String| {
        let longer = |name: &&str| name.len() > word.len() && name.starts_with(word.as_str());
        word.starts_with("--") && word.len() > 2 && COMPARED.iter().copied().flatten().any(longer)
    };
    if words.iter().any(is_cut) {
        return None;
    }
    let mut form = String::new();
    for (at, names) in COMPARED.iter().enumerate() {
        let said = option(&words, names);
        let value = match (at, said.map(|said| said.value)) {
            (_, None) | (3 | 4, Some("+")) => None,
            (0, Some("NOTRACK" | "CT")) => return None,
            (1 | 2, Some(text)) => match covered(text) {
                Some(net) if net.prefix_len() == 0 => None,
                Some(net) => Some(net.to_string()),
                None => return None,
            },
            (_, Some(text)) => Some(text.to_owned()),
        };
        let not = said.is_some_and(|said| said.not);
        let value = value.map(|value| if not { format!("!{value}") } else { value });
        form.push_str(value.as_deref().unwrap_or("-"));
        form.push(' ');
    }
    Some(form)
}

/// What is written alike by whoever gives a rule and by iptables: the target, the source, the destination, the links.
const COMPARED: [&[&str]; 5] = [
    &["-j", "--jump", "-g", "--goto"],
    &["-s", "--source", "--src"],
    &["-d", "--destination", "--dst"],
    &["-i", "--in-interface"],
    &["-o", "--out-interface"],
];

impl Rule {
    /// The rule's words as they were printed, after `-A CHAIN` and without counters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first of the given options and what it says. Values of free text (`--comment "-j DROP"`) are never taken for options.
    #[must_use]
    pub fn option(&self, names: &[&str]) -> Option<Operand<'_>> {
        option(&self.words, names)
    }

    /// Whether it may be the rule that these words describe. iptables prints many words otherwise than it was given them; this asks only for what
    /// both write alike: the target, addresses as numbers, links, comments.
    #[must_use]
    pub fn may_be(&self, words: &[String]) -> bool {
        let words = &unglued(words);
        let cut_short = |names: &[&str]| {
            let is_cut = |word: &String| names.iter().any(|name| name.len() > word.len() && name.starts_with(word));
            words.iter().any(|word| word.starts_with("--") && word.len() > 2 && is_cut(word))
        };
        let same = |names: &[&str], alike: &dyn Fn(&str, &str) -> bool| match (self.option(names), option(words, names))
        {
            (None, None) => true,
            (Some(have), Some(want)) => have.not == want.not && alike(have.value, want.value),
            // What everything has is not printed.
            (None, Some(want)) => want.value == "+" || want.value.ends_with("/0"),
            (Some(_), None) => cut_short(names),
        };
        // A name, a list or a mask in dots is not compared.
        let address = |have: &str, want: &str| match (covered(have), covered(want)) {
            (Some(have), Some(want)) => have == want,
            _ => true,
        };
        let exact = |have: &str, want: &str| have == want;
        // `NOTRACK` is the old name of `CT --notrack`.
        let target = |have: &str, want: &str| have == want || want == "NOTRACK";
        same(&["-j", "--jump", "-g", "--goto"], &target)
            && same(&["-s", "--source", "--src"], &address)
            && same(&["-d", "--destination", "--dst"], &address)
            && same(&["-i", "--in-interface"], &exact)
            && same(&["-o", "--out-interface"], &exact)
            && same(&["--comment"], &exact)
    }

    /// The target of `-j`, or the chain of `-g`: `ACCEPT`, `MASQUERADE`, `DOCKER-USER`, …
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.option(&["-j", "--jump", "-g", "--goto"]).map(|operand| operand.value)
    }

    /// Whether the target is a chain that does not come back (`-g`).
    #[must_use]
    pub fn is_goto(&self) -> bool {
        self.option(&["-g", "--goto"]).is_some()
    }

    /// `-p`.
    #[must_use]
    pub fn protocol(&self) -> Option<Operand<'_>> {
        self.option(&["-p", "--protocol", "--proto"])
    }

    /// `-s`.
    #[must_use]
    pub fn source(&self) -> Option<Operand<'_>> {
        self.option(&["-s", "--source", "--src"])
    }

    /// `-d`.
    #[must_use]
    pub fn destination(&self) -> Option<Operand<'_>> {
        self.option(&["-d", "--destination", "--dst"])
    }

    /// `-i`.
    #[must_use]
    pub fn in_interface(&self) -> Option<Operand<'_>> {
        self.option(&["-i", "--in-interface"])
    }

    /// `-o`.
    #[must_use]
    pub fn out_interface(&self) -> Option<Operand<'_>> {
        self.option(&["-o", "--out-interface"])
    }

    /// All comments, in order; where netwright's mark is.
    pub fn comments(&self) -> impl Iterator<Item = &str> {
        let mut index = 0;
        std::iter::from_fn(move || {
            while let Some(word) = self.words.get(index) {
                let value = self.words.get(index + 1);
                index += if words::takes_text(word) { 2 } else { 1 };
                if word == "--comment" {
                    return value.map(String::as_str);
                }
            }
            None
        })
    }

    /// The first comment.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comments().next()
    }
}

/// What `iptables -t TABLE -S` printed, also with `-v`:
///
/// ```text
/// -P FORWARD DROP -c 0 0
/// -N DOCKER
/// -A FORWARD -o docker0 -c 12 3456 -j DOCKER
/// ```
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput) that names the line which is none of these, empty, or a `#` remark.
pub fn parse_list(table: &str, stdout: &str) -> Result<Table> {
    let what = format!("`iptables -t {table} -S`");
    let mut parsed = Table { name: table.to_owned(), chains: Vec::new() };
    for line in Lines::new(stdout, &what) {
        let line = line?;
        match line.word(0) {
            "-A" => line.rule(&mut parsed, 0, None)?,
            "-P" | "-N" => line.chain(&mut parsed)?,
            _ => return Err(line.garbage()),
        }
    }
    Ok(parsed)
}

/// What `iptables-save` printed, with or without `-c`:
///
/// ```text
/// # Generated by iptables-save v1.8.9 (nf_tables) on Fri Nov 20 18:52:16 2026
/// *filter
/// :FORWARD DROP [0:0]
/// :DOCKER - [0:0]
/// [6:288] -A INPUT -i lo -j ACCEPT
/// COMMIT
/// # Warning: iptables-legacy tables present, use iptables-legacy-save to see them
/// ```
///
/// A comment may hold a newline; such a rule goes over several lines.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput) that names the line which is none of these, or empty.
pub fn parse_save(stdout: &str) -> Result<Ruleset> {
    let mut ruleset = Ruleset::default();
    let mut open: Option<Table> = None;
    for line in Lines::new(stdout, "`iptables-save`") {
        let line = line?;
        let first = line.word(0);
        match (first.as_bytes().first(), &mut open) {
            (Some(b'*'), None) if first.len() > 1 && line.words.len() == 1 => {
                open = Some(Table { name: first[1..].to_owned(), chains: Vec::new() });
            }
            (Some(b':'), Some(table)) if first.len() > 1 => line.header(table)?,
            (Some(b'['), Some(table)) if line.word(1) == "-A" => {
                let counters = counters(first).ok_or_else(|| line.garbage())?;
                line.rule(table, 1, Some(counters))?;
            }
            (_, Some(table)) if first == "-A" => line.rule(table, 0, None)?,
            (_, Some(_)) if line.text.trim() == "COMMIT" => ruleset.tables.extend(open.take()),
            _ => return Err(line.garbage()),
        }
    }
    match open {
        None => Ok(ruleset),
        Some(table) => Err(garbage("`iptables-save`", &format!("ends within the table `{}`", table.name), stdout)),
    }
}

/// `[6:288]`.
fn counters(word: &str) -> Option<(u64, u64)> {
    let (packets, bytes) = word.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some((packets.parse().ok()?, bytes.parse().ok()?))
}

/// One line that means something, split into words.
struct Line<'a> {
    number: usize,
    text: String,
    words: Vec<(String, std::ops::Range<usize>)>,
    what: &'a str,
}

/// The lines that mean something; one with an open quote goes on to the next.
struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Split<'a, char>>,
    what: &'a str,
}

impl<'a> Lines<'a> {
    fn new(stdout: &'a str, what: &'a str) -> Self {
        Self { lines: stdout.split('\n').enumerate(), what }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, first) = self.lines.find(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))?;
        let mut text = first.to_owned();
        let number = index + 1;
        loop {
            if let Some(words) = words::split(&text) {
                return Some(Ok(Line { number, text, words, what: self.what }));
            }
            // Only a rule holds quotes; and the text of a broken one is looked at again for each line, so it may not grow without end.
            let more = self.lines.next().filter(|_| text.len() < 4096);
            let Some((_, more)) = more else {
                return Some(Err(garbage(self.what, &format!("has an open quote in line {number}"), first)));
            };
            text.push('\n');
            text.push_str(more);
        }
    }
}

impl Line<'_> {
    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |(word, _)| word.as_str())
    }

    fn garbage(&self) -> Error {
        garbage(self.what, &format!("has an unexpected line {}", self.number), &self.text)
    }

    /// `:FORWARD DROP [0:0]`
    fn header(&self, table: &mut Table) -> Result<()> {
        let counters = counters(self.word(2)).or_else(|| self.word(2).is_empty().then_some((0, 0)));
        let (Some((packets, bytes)), false) = (counters, self.word(1).is_empty()) else { return Err(self.garbage()) };
        let policy = Some(self.word(1)).filter(|policy| *policy != "-").map(str::to_owned);
        let chain = table.chain_mut(&self.word(0)[1..]);
        (chain.policy, chain.packets, chain.bytes) = (policy, packets, bytes);
        Ok(())
    }

    /// `-P FORWARD DROP -c 0 0`, `-N DOCKER`
    fn chain(&self, table: &mut Table) -> Result<()> {
        let policy = match (self.word(0), self.words.len()) {
            ("-N", 2) => None,
            ("-P", 3 | 6) => Some(self.word(2).to_owned()),
            _ => return Err(self.garbage()),
        };
        let (packets, bytes) = if self.words.len() == 6 {
            if self.word(3) != "-c" {
                return Err(self.garbage());
            }
            match (self.word(4).parse(), self.word(5).parse()) {
                (Ok(packets), Ok(bytes)) => (packets, bytes),
                _ => return Err(self.garbage()),
            }
        } else {
            (0, 0)
        };
        let chain = table.chain_mut(self.word(1));
        (chain.policy, chain.packets, chain.bytes) = (policy, packets, bytes);
        Ok(())
    }

    /// `-A CHAIN …`, its `-A` being the word `at`.
    fn rule(&self, table: &mut Table, at: usize, counted: Option<(u64, u64)>) -> Result<()> {
        let Some((name, place)) = self.words.get(at + 1) else { return Err(self.garbage()) };
        let mut spec = self.words[at + 2..].to_vec();
        let mut text = self.text[place.end..].to_owned();
        let mut counters = counted.unwrap_or_default();
        if counted.is_none()
            && let Some(found) = embedded_counters(&spec)
        {
            let number = |index: usize| spec.get(index).and_then(|(word, _)| word.parse().ok()).unwrap_or_default();
            counters = (number(found + 1), number(found + 2));
            // The option and the blank before it.
            let (from, to) = (spec[found].1.start, spec[found + 2].1.end);
            text = format!("{}{}", self.text[place.end..from].trim_end(), &self.text[to..]);
            spec.drain(found..found + 3);
        }
        let chain = table.chain_mut(name);
        chain.rules.push(Rule {
            number: u32::try_from(chain.rules.len() + 1).unwrap_or(u32::MAX),
            words: spec.into_iter().map(|(word, _)| word).collect(),
            packets: counters.0,
            bytes: counters.1,
            text: text.trim_matches([' ', '\r']).to_owned(),
        });
        Ok(())
    }
}

/// Where `-c PACKETS BYTES` is, which `-S -v` puts before the target.
fn embedded_counters(spec: &[(String, std::ops::Range<usize>)]) -> Option<usize> {
    let is_number = |index: usize| spec.get(index).is_some_and(|(word, _)| word.parse::<u64>().is_ok());
    let mut index = 0;
    while let Some((word, _)) = spec.get(index) {
        if word == "-c" && is_number(index + 1) && is_number(index + 2) {
            return Some(index);
        }
        index += if words::takes_text(word) { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `!` belongs to the option behind it, wherever that stands.
    #[test]
    fn a_rule_that_may_be_another_is_like_it() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let parts: [&[&str]; 5] = [
            &[
                "",
                "-j ACCEPT",
                "-j DROP",
                "--jump=ACCEPT",
                "-j NOTRACK",
                "-j CT --notrack",
                "-g ACCEPT",
                "--jum ACCEPT",
            ],
            &[
                "",
                "-s 10.0.0.1",
                "-s 10.0.0.1/32",
                "! -s 10.0.0.1/32",
                "-s 10.0.0.0/8",
                "--src 10.9.9.9/8",
                "-s 0.0.0.0/0",
            ],
            &["", "-d host.example", "-d 10.0.0.0/255.0.0.0", "-d10.0.0.2", "--destination 10.0.0.2/32", "--dst ::1"],
            &["", "-i eth0", "-i +", "! -i eth0"],
            &["", "-o eth1", "-p tcp -m tcp --dport 80", "--comment netwright"],
        ];
        let mut all = vec![String::new()];
        for part in parts {
            all = all.iter().flat_map(|one| part.iter().map(move |more| format!("{one} {more}"))).collect();
        }
        let mut alike = 0;
        for (at, have) in all.iter().enumerate() {
            // As iptables prints them.
            let have = unglued(&words(have));
            let rule = Rule { words: have.clone(), ..Rule::default() };
            for want in all.iter().skip(at % 151).step_by(151).map(|want| words(want)) {
                if let (true, Some(one), Some(other)) = (rule.may_be(&want), likeness(&have), likeness(&want)) {
                    alike += 1;
                    assert_eq!(one, other, "{have:?} may be {want:?}");
                }
            }
        }
        assert!(alike > 100, "only {alike} are alike");
        assert_ne!(likeness(&words("-s 10.0.0.1 -j DROP")), likeness(&words("-s 10.0.0.2 -j DROP")));
        assert_eq!(likeness(&words("-s 10.0.0.1/255.255.255.0 -j DROP")), None);
    }

    #[test]
    fn a_negation_is_kept_at_the_first_option_too() {
        let rule = |text: &str| {
            parse_list("filter", &format!("-P INPUT ACCEPT\n{text}\n")).unwrap().chains[0].rules[0].clone()
        };
        let first = rule("-A INPUT ! -s 10.0.0.0/8 -p tcp -j DROP");
        assert_eq!(
            (first.source().map(|it| (it.value, it.not)), first.protocol().map(|it| it.not)),
            (Some(("10.0.0.0/8", true)), Some(false))
        );
        let second = rule("-A INPUT -s 10.0.0.0/8 ! -p tcp -j DROP");
        assert_eq!((second.source().map(|it| it.not), second.protocol().map(|it| it.not)), (Some(false), Some(true)));
        let comment = rule(r#"-A INPUT -m comment --comment "!" -s 10.0.0.1/32 -j DROP"#);
        assert_eq!(comment.target(), Some("DROP"));
    }

    #[test]
    fn a_listed_rule_is_the_one_that_is_asked_for_or_surely_another() {
        let words = |text: &str| shlex::split(text).unwrap();
        let listed = |text: &str| {
            let table = parse_list("filter", &format!("-P FORWARD ACCEPT\n-A FORWARD {text}\n")).unwrap();
            table.chain("FORWARD").unwrap().rules[0].clone()
        };
        for (have, want) in [
            ("-s 10.50.0.0/24 -j ACCEPT", "-s 10.50.0.0/24 -j ACCEPT"),
            ("-s 10.50.0.1/32 -j ACCEPT", "-s10.50.0.1 -jACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "--source=10.50.0.9/24 --jump ACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "--sou 10.50.0.0/24 --jump ACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "-s 10.50.0.0/255.255.255.0 -j ACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "-s localhost,10.50.0.0/24 -j ACCEPT"),
            ("-p tcp -m tcp --dport 80 -j ACCEPT", "-s 0.0.0.0/0 -i + -p tcp --dport http -j ACCEPT"),
            ("! -i eth0 -m comment --comment \"-s x\" -j DROP", "! -i eth0 -j DROP -m comment --comment '-s x'"),
            ("-j CT --notrack", "-j NOTRACK"),
            ("-s 2001:db8::/32 -j DROP", "-s 2001:DB8::1/32 -j DROP"),
        ] {
            assert!(listed(have).may_be(&words(want)), "{have} | {want}");
        }
        for (have, want) in [
            ("-s 1.2.3.4/32 -j DROP", "-s 10.50.0.0/24 -j ACCEPT"),
            ("-s 1.2.3.4/32 -j ACCEPT", "-s 10.50.0.0/24 -j ACCEPT"),
            ("-j ACCEPT", "-s 10.50.0.0/24 -j ACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "-j ACCEPT"),
            ("-s 10.50.0.0/24 -j ACCEPT", "-s 10.50.0.0/24"),
            ("! -s 10.50.0.0/24 -j ACCEPT", "-s 10.50.0.0/24 -j ACCEPT"),
            ("-i eth0 -j ACCEPT", "-i eth1 -j ACCEPT"),
            ("-m comment --comment netwright -j ACCEPT", "-j ACCEPT"),
        ] {
            assert!(!listed(have).may_be(&words(want)), "{have} | {want}");
        }
    }
}
