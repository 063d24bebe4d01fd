//! Twelve classes of garbage against every parser of `model`: none panics, and none takes garbage for an answer.

use netwright::Kind;
use netwright::model::{iptables, json, link, messages, neigh, net_addr, netns, route, rule, sysctl};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

type Parser = (&'static str, fn(&str) -> netwright::Result<usize>);

/// Every parser of what a tool prints, as the number of things that it found.
const PARSERS: [Parser; 9] = [
    ("json", |text| json::records(text, "x").map(|all| all.len())),
    ("link", |text| link::parse(text, "x").map(|all| all.len())),
    ("address", |text| net_addr::parse(text, "x").map(|all| all.len())),
    ("route", |text| route::parse(text, "x").map(|all| all.len())),
    ("rule", |text| rule::parse(text, "x").map(|all| all.len())),
    ("neighbour", |text| neigh::parse(text, "x").map(|all| all.len())),
    ("netns", |text| netns::parse(text).map(|all| all.len())),
    ("iptables-save", |text| iptables::parse_save(text).map(|rules| rules.tables.len())),
    ("iptables -S", |text| iptables::parse_list("filter", text).map(|table| table.chains.len())),
];

/// What a parser may do with a class.
#[derive(Clone, Copy, PartialEq)]
enum May {
    /// It must refuse it.
    Refuse,
    /// It may also find nothing: there is nothing to find.
    Empty,
    /// It may find what is there whole.
    Part,
}

const LINKS: &str = include_str!("fixtures/iproute2-6.1.0/link.json");
const SAVED: &str = include_str!("fixtures/iptables-1.8.9/save-nft.txt");
const LISTED: &str = include_str!("fixtures/iptables-1.8.9/S-filter-nft.txt");

/// Output of any tool, cut off at a random place, not at its ends.
fn cut(whole: &'static str) -> impl Strategy<Value = String> {
    (2..whole.trim_end().len() - 1).prop_map(move |at| whole.chars().take(at).collect())
}

/// The classes: a name, the texts, and what a parser of JSON and one of lines may do with them.
fn classes() -> Vec<(&'static str, BoxedStrategy<String>, May, May)> {
    let some = |text: &'static str| Just(text.to_owned()).boxed();
    vec![
        (
            "random bytes",
            prop::collection::vec(128_u8.., 1..400)
                .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .boxed(),
            May::Refuse,
            May::Refuse,
        ),
        ("random letters", "[a-zA-Z][a-zA-Z \n]{0,300}".boxed(), May::Refuse, May::Refuse),
        ("NULs", "\0{1,50}".boxed(), May::Refuse, May::Refuse),
        ("blanks", "[ \t\n]{0,50}".boxed(), May::Empty, May::Empty),
        ("a usage text", some("Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n"), May::Refuse, May::Refuse),
        ("a web page", some("<!DOCTYPE html><html><body>404</body></html>"), May::Refuse, May::Refuse),
        ("JSON cut off", cut(LINKS).boxed(), May::Refuse, May::Refuse),
        (
            "JSON of another shape",
            prop_oneof![
                "-?[1-9][0-9]{0,20}",
                "\"[a-z]{0,20}\"",
                Just("null".into()),
                Just("[[1]]".into()),
                Just("[null]".into()),
                Just("{\"a\":[}".into())
            ]
            .boxed(),
            May::Refuse,
            May::Refuse,
        ),
        (
            "JSON and garbage after it",
            "[a-z<][a-z<\0]{1,30}".prop_map(|tail| format!("{LINKS}{tail}")).boxed(),
            May::Refuse,
            May::Refuse,
        ),
        ("rules cut off", cut(SAVED).boxed(), May::Refuse, May::Part),
        (
            "rules of another tool",
            prop_oneof![
                Just("table ip filter {\n\tchain INPUT {\n".to_owned()),
                Just("Chain INPUT (policy ACCEPT)\ntarget prot opt\n".to_owned())
            ]
            .boxed(),
            May::Refuse,
            May::Refuse,
        ),
        ("deep nesting", (200_usize..20_000).prop_map(|depth| "[".repeat(depth)).boxed(), May::Refuse, May::Refuse),
    ]
}

#[test]
fn twelve_classes_against_every_parser() {
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let each = if full { 20_000 } else { 500 };
    let (mut held, mut cases) = (0_u64, 0_u64);
    let classes = classes();
    assert_eq!(classes.len(), 12);
    for (class, texts, of_json, of_lines) in classes {
        for (parser, parse) in PARSERS {
            let may = if parser.starts_with("iptables") { of_lines } else { of_json };
            let mut runner = TestRunner::new(Config { cases: each, failure_persistence: None, ..Config::default() });
            let result = runner.run(&texts, |text| {
                match parse(&text) {
                    Err(error) => prop_assert_eq!(error.kind(), Kind::ToolOutput),
                    Ok(found) => prop_assert!(
                        may == May::Part || (may == May::Empty && found == 0),
                        "{found} things found in {text:?}"
                    ),
                }
                Ok(())
            });
            cases += u64::from(each);
            if let Err(error) = result {
                panic!("{class} against {parser}: {error}");
            }
            held += u64::from(each);
        }
    }
    println!("garbage        {held} of {cases}  12 classes × {} parsers", PARSERS.len());
}

#[test]
fn rules_cut_off_within_a_table_are_refused() {
    let whole = SAVED.trim_end();
    for (at, _) in whole.char_indices().filter(|(at, _)| whole[..*at].contains("\n*") || whole.starts_with('*')) {
        let part = &whole[..at];
        let open = part.matches("\n*").count() + usize::from(part.starts_with('*')) > part.matches("\nCOMMIT").count();
        // A table whose name is cut off is an open table too.
        assert!(!open || iptables::parse_save(part).is_err(), "{part}");
    }
    // A list has no end mark: each line is whole or the last is short, and that is all that can be known.
    assert!(iptables::parse_list("filter", LISTED).is_ok());
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_tools_say_is_recognised_or_not(text in "(?s).{0,400}") {
        let _ = messages::recognise(&text);
        let value = sysctl::parse_value(&text);
        prop_assert!(!value.contains('\t'));
        prop_assert!(sysctl::values_equal(&value, &value));
    }
}
