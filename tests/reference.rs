//! The script reference: every function is documented, every example runs, and the whole of it is a golden file.

mod common;

use std::fmt::Write as _;

use common::{ScriptFile, Who, golden, missing_functions, netwright, on_threads};
use netwright::script::reference::{Page, Reference, Use};

#[test]
fn everything_that_scripts_can_call_is_documented_with_an_example() {
    let mut problems = String::new();
    for entry in &Reference::new().entries {
        if entry.text.is_empty() {
            let _ = writeln!(problems, "{}: no doc comment", entry.signature);
        }
        if entry.examples.is_empty() {
            let _ = writeln!(problems, "{}: no example", entry.signature);
        }
        if !entry.examples.is_empty() && !entry.examples.iter().any(|example| example.contains(&entry.name)) {
            let _ = writeln!(problems, "{}: no example uses it", entry.signature);
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn every_example_runs_in_a_sandbox() {
    let reference = Reference::new();
    let examples: Vec<(String, &String)> = reference
        .entries
        .iter()
        .flat_map(|entry| entry.examples.iter().map(|example| (entry.signature.clone(), example)))
        .collect();
    let results = on_threads(&examples, |(_, example)| {
        let missing = missing_functions(example);
        if !missing.is_empty() {
            return Err(format!("netwright has no `{}` yet", missing.join("`, `")));
        }
        let script = ScriptFile::new(example);
        let ran = netwright(Who::Me, &["run", "--timeout", "60s", script.path()]);
        let skipped = ran.code == 0 && ran.stderr.contains("skipped") && example.contains("needs(");
        if skipped { Err(ran.stderr.trim().to_owned()) } else { Ok(ran) }
    });
    let mut problems = String::new();
    let mut skipped = 0;
    for ((signature, example), result) in examples.iter().zip(results) {
        match result {
            Err(reason) => {
                skipped += 1;
                println!("skipped: {signature}: {reason}");
            }
            Ok(ran) if ran.code != 0 => {
                let _ = writeln!(problems, "{signature}: exit {}\n{example}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
            }
            Ok(_) => {}
        }
    }
    println!("{} examples, {skipped} skipped", examples.len());
    assert!(problems.is_empty(), "{problems}");
    assert!(skipped * 2 < examples.len(), "{skipped} of {} examples were skipped", examples.len());
}

#[test]
fn the_whole_reference_is_a_golden_file() {
    let ran = netwright(Who::Me, &["doc", "--format", "markdown"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    golden("api.md", &ran.stdout);
}

#[test]
fn every_name_can_be_written_in_a_script() {
    let mut script = "let x = ();\nif false {\n".to_owned();
    for entry in &Reference::new().entries {
        let name = &entry.name;
        let _ = match (entry.used, &entry.module) {
            (Use::Property, _) => writeln!(script, "    x.{name};"),
            (Use::Method, _) => writeln!(script, "    x.{name}();"),
            (Use::Function, Some(_)) => Ok(()), // it was compiled from Rhai
            (Use::Function, None) => writeln!(script, "    {name}();"),
            (Use::Operator, _) => writeln!(script, "    x {name} x;"),
        };
    }
    script.push_str("}\n");
    let file = ScriptFile::new(&script);
    let ran = netwright(Who::Me, &["run", file.path()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // The other way round: a reserved word is refused, so the test can fail.
    let file = ScriptFile::new("if false { new(); }");
    assert_eq!(netwright(Who::Me, &["run", file.path()]).code, 3);
}

#[test]
fn every_entry_is_found_by_its_title_and_by_its_name() {
    let reference = Reference::new();
    for entry in &reference.entries {
        if entry.used == Use::Operator {
            continue;
        }
        for name in [entry.title(), entry.name.clone()] {
            match reference.find(Some(&name)) {
                Ok(Page::Entries(found)) => assert!(found.contains(&entry), "{name}: {}", entry.signature),
                // `map` is a type, `link` a method and a type: the name of a method wins.
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn help_in_a_script_prints_what_doc_prints() {
    for name in ["link.addr", "std/container", "link", ""] {
        let args: Vec<&str> = ["doc", name].into_iter().filter(|word| !word.is_empty()).collect();
        let doc = netwright(Who::Me, &args);
        assert_eq!(doc.code, 0, "{}", doc.stderr);
        let call = if name.is_empty() { "help();".to_owned() } else { format!("help({name:?});") };
        let script = ScriptFile::new(&call);
        let help = netwright(Who::Me, &["run", script.path()]);
        assert_eq!(help.code, 0, "{}", help.stderr);
        assert_eq!(doc.stdout.trim_end(), help.stdout.trim_end(), "{name}");
        assert!(doc.stdout.lines().count() > 2, "{name}: {}", doc.stdout);
    }
}

#[test]
fn an_unknown_name_is_an_error_with_the_name_that_was_meant() {
    let ran = netwright(Who::Me, &["doc", "mastr"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
    assert!(
        ran.stderr.contains("did you mean `link.master`?") || ran.stderr.contains("did you mean `master`?"),
        "{}",
        ran.stderr
    );
    let ran = netwright(Who::Me, &["doc", "std/contaner"]);
    assert!(ran.stderr.contains("did you mean `std/container`?"), "{}", ran.stderr);
    let script = ScriptFile::new("help(\"lab::stra\");");
    let ran = netwright(Who::Me, &["run", script.path()]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("did you mean `lab::star`?"), "{}", ran.stderr);
}

#[test]
fn programs_and_editors_get_their_formats() {
    let ran = netwright(Who::Me, &["doc", "link.addr", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(document["schema"], 1);
    assert_eq!(document["entries"][0]["title"], "link.addr");
    assert_eq!(document["entries"][0]["kind"], "method");
    assert!(document["entries"][0]["examples"][0].as_str().expect("an example").contains(".addr("));

    let ran = netwright(Who::Me, &["doc", "--format", "d.rhai"]);
    assert!(ran.stdout.starts_with("module static;\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nfn addr(link: Link, addr: ?) -> Link;\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nfn get mtu(link: Link) -> "), "{}", ran.stdout);
    let ran = netwright(Who::Me, &["doc", "std/container", "--format", "d.rhai"]);
    assert!(ran.stdout.starts_with("module container;\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nfn network(name, gateway);\n"), "{}", ran.stdout);
    assert_eq!(netwright(Who::Me, &["doc", "link", "--format", "d.rhai"]).code, 3);
}
