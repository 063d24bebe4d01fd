//! The guided tour: every block of it does what it says, typed into the REPL and as scripts.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::NETWRIGHT;
use regex::Regex;

/// A fenced block, with the answer that stands below it.
#[derive(Debug)]
struct Block {
    /// `rhai`, `repl` or `sh`.
    language: String,
    /// The file that it is to be written to.
    file: Option<String>,
    text: String,
    /// Empty when nothing is said.
    answer: String,
}

fn tour() -> Vec<Block> {
    let text = fs::read_to_string(common::root().join("src/report/tour.md")).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), Vec::new())),
            (None, None) => {}
            (Some((info, lines)), Some(_)) => {
                let text = lines.join("\n");
                if info == "text" {
                    blocks.last_mut().unwrap().answer = text;
                    continue;
                }
                let mut words = info.split(' ').map(str::to_owned);
                let (language, file) = (words.next().unwrap(), words.next());
                blocks.push(Block { language, file, text, answer: String::new() });
            }
            (Some((info, mut lines)), None) => {
                lines.push(line);
                open = Some((info, lines));
            }
        }
    }
    assert!(open.is_none() && blocks.len() > 15, "{} blocks", blocks.len());
    blocks
}

/// Without what differs from run to run: times, counters, lines of the conversation, and how the kernel words its reason.
fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, by) in [
        (r"\d+(\.\d+)? ms", "N ms"),
        (r"in \d+(\.\d+)? s\b", "in N s"),
        (r"counter: \d+ packets?", "counter: N packets"),
        (r"(?m)^ *--> [^\n]*:\d+:(\d+)$", "--> PLACE"),
        (r"(?m)^ *\d+ \|", "N |"),
        (r"(?m)^ +\|", "|"),
        (r"(?m)^(   = probe: .*? within N ms).*$", "$1"),
        // What a plain user is told beside it: the recorder is root's.
        (r"(?m)^   = inferred: the flight recorder [^\n]*\n", ""),
        (r"(?m) +$", ""),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    }
    text.trim().to_owned()
}

/// Runs a shell command line in a folder, with this netwright in the PATH; the exit code and all that was said, in order.
fn shell(folder: &Path, line: &str) -> (i32, String) {
    let program = Path::new(NETWRIGHT).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(folder).env("PATH", path);
    let output = command.env("NO_COLOR", "1").env("HOME", folder).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn typed_into_the_repl_every_block_answers_what_the_tour_says() {
    let home = tempfile::tempdir().unwrap();
    let blocks = tour();
    let typed: Vec<&Block> = blocks.iter().filter(|block| block.file.is_none() && block.language != "sh").collect();
    // A command that says two words ends each block; it is no part of the script that is saved.
    let (mark, said_by_mark): (&str, &str) = (":trace off\n", "trace off\n");
    let lines = typed.iter().fold(String::new(), |all, block| all + block.text.as_str() + "\n" + mark);
    fs::write(home.path().join("lines"), lines).unwrap();
    let (code, said) = shell(home.path(), "netwright repl < lines");
    assert_eq!(code, 1, "two expectations fail: {said}");
    let answers: Vec<&str> = said.split(said_by_mark).collect();
    assert_eq!((answers.len(), answers.last()), (typed.len() + 1, Some(&"")), "{said}");
    for (block, answer) in typed.iter().zip(answers) {
        assert_eq!(normal(answer), normal(&block.answer), "after:\n{}", block.text);
    }

    // What was saved runs, and so does the rest.
    for block in &blocks {
        match (&block.file, block.language.as_str()) {
            (Some(file), _) => fs::write(home.path().join(file), format!("{}\n", block.text)).unwrap(),
            (None, "sh") => {
                let said: String = block
                    .text
                    .lines()
                    .map(|line| {
                        let (code, said) = shell(home.path(), line);
                        assert_eq!(code, 0, "{line}: {said}");
                        said
                    })
                    .collect();
                assert_eq!(normal(&said), normal(&block.answer), "{}", block.text);
            }
            _ => {}
        }
    }
}

#[test]
fn as_a_script_every_block_does_what_the_tour_says() {
    let home = tempfile::tempdir().unwrap();
    let mut script = String::new();
    let mut failed = 0;
    for block in tour().iter().filter(|block| block.file.is_none() && block.language == "rhai") {
        let path = home.path().join("tour.rhai");
        if block.answer.starts_with("error") {
            // It fails here as it does there, and the next ones go on without it.
            fs::write(&path, format!("{script}{}\n", block.text)).unwrap();
            let (code, said) = shell(home.path(), "netwright run tour.rhai");
            assert_eq!((code, normal(&said)), (1, normal(&block.answer)), "{}", block.text);
            failed += 1;
            continue;
        }
        // A script shows no values; that one holds is an assertion in it.
        let (last, before) =
            block.text.rsplit_once('\n').map_or((block.text.as_str(), ""), |(before, last)| (last, before));
        let _ = match block.answer.as_str() {
            "" => writeln!(script, "{}", block.text),
            "true" => writeln!(script, "{before}\nassert({last});"),
            _ => writeln!(script, "{before}\n{last};"),
        };
    }
    assert_eq!(failed, 2, "the tour has its culprits");
    fs::write(home.path().join("tour.rhai"), &script).unwrap();
    let (code, said) = shell(home.path(), "netwright run tour.rhai");
    assert_eq!((code, said.as_str()), (0, ""), "{script}");
    assert_eq!(shell(home.path(), "netwright check tour.rhai").0, 0);
}

#[test]
fn every_block_about_the_language_runs_and_has_no_mistake() {
    let text = fs::read_to_string(common::root().join("src/report/language.md")).unwrap();
    let blocks: Vec<&str> = text.split("```rhai\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 8, "{} blocks", blocks.len());
    let home = tempfile::tempdir().unwrap();
    for (at, block) in blocks.iter().enumerate() {
        let name = format!("block-{at}.rhai");
        fs::write(home.path().join(&name), block).unwrap();
        let (code, said) = shell(home.path(), &format!("netwright run {name}"));
        assert_eq!((code, said.replace("done\n", "").as_str()), (0, ""), "{block}");
        let (code, said) = shell(home.path(), &format!("netwright check {name}"));
        assert!(code == 0 || block.contains("`pod-${count}`"), "{said}\n{block}");
    }
    let (code, said) = shell(common::root(), "netwright doc language");
    assert_eq!((code, said.as_str()), (0, text.as_str()));
    assert!(text.lines().all(|line| line.chars().count() <= 150) && text.lines().count() < 150);
}

#[test]
fn the_tour_is_found_where_people_look() {
    let text = fs::read_to_string(common::root().join("src/report/tour.md")).unwrap();
    let (code, said) = shell(common::root(), "netwright doc tour");
    assert_eq!((code, said.as_str()), (0, text.as_str()));
    let readme = fs::read_to_string(common::root().join("README.md")).unwrap();
    assert!(readme.contains("(src/report/tour.md)") && readme.contains("netwright doc tour"));
    for line in text.lines().filter(|line| !line.starts_with(['|', ' ', '├', '└', '│', 'h'])) {
        assert!(line.chars().count() <= 150, "{line}");
    }
}
