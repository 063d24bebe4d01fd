//! `--help` of every command fits a screen and ends with examples that are understood; so do the man pages and completions made of it.

mod common;

use std::process::Command;

use common::NETWRIGHT;

/// What fits a screen: 80 columns, and 24 lines but for the commands with the most options.
const COLUMNS: usize = 80;
const LINES: &[(&str, usize)] = &[("", 40), ("test", 48), ("run", 36), ("why", 40), ("emit", 26), ("show", 27)];

/// Every command that people see, from the list that `--help` prints; "" is netwright itself.
fn commands() -> Vec<String> {
    let help = help("");
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let all: Vec<String> = std::iter::once("").chain(names.filter(|name| *name != "help")).map(str::to_owned).collect();
    assert!(all.len() >= 14, "{all:?}");
    all
}

fn help(command: &str) -> String {
    let words = command.split_whitespace().chain(["--help"]);
    let output = Command::new(NETWRIGHT).args(words).env("COLUMNS", COLUMNS.to_string()).output().unwrap();
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_each_command_fits_a_screen() {
    for command in commands() {
        let text = help(&command);
        let most = LINES.iter().find(|(name, _)| *name == command).map_or(24, |(_, most)| *most);
        assert!(text.lines().count() <= most, "{command}: {} lines\n{text}", text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{command}: {line}");
        }
        let short = Command::new(NETWRIGHT).args(command.split_whitespace()).arg("-h").env("COLUMNS", "80").output();
        assert_eq!(String::from_utf8(short.unwrap().stdout).unwrap(), text, "-h says the same");
    }
}

#[test]
fn the_help_of_each_command_ends_with_examples_that_are_understood() {
    for command in commands() {
        let text = help(&command);
        let (_, examples) = text.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples"));
        assert!(examples.lines().count() >= 2, "{command}: {examples}");
        for line in examples.lines() {
            // What stands two spaces behind it says what it does; what the shell takes is not netwright's.
            let line = line.trim_start().split("  ").next().unwrap();
            let line = line.split(['|', '>', '<']).next().unwrap();
            let mut words = shlex::split(line).unwrap();
            assert_eq!(words.iter().filter(|word| *word == "netwright").count(), 1, "{command}: {line}");
            words.drain(..=words.iter().position(|word| word == "netwright").unwrap());
            assert!(command.is_empty() || words.iter().any(|word| *word == command || *word == "run"), "{line}");
            // With --help behind the options, nothing runs and what is wrong is still refused.
            let script = words.iter().position(|word| word.contains(".rhai") && word != "d.rhai");
            // What follows the name of a sandbox is the program's.
            let at = script.unwrap_or(if words[0] == "exec" { 1 } else { words.len() });
            words.insert(at, "--help".to_owned());
            let output = Command::new(NETWRIGHT).args(&words).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let refused = Command::new(NETWRIGHT).args(["show", "--wy", "a", "b", "--help"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "a wrong option before --help is refused");
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(NETWRIGHT).args(["completions", shell]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        for command in commands() {
            assert!(text.contains(&command), "{shell}: {command}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(NETWRIGHT).arg("man").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for command in commands() {
        let name = if command.is_empty() { "netwright.1".to_owned() } else { format!("netwright-{command}.1") };
        let page = std::fs::read_to_string(folder.path().join(&name)).unwrap_or_else(|_| panic!("no {name}"));
        assert!(page.contains(".TH") && page.contains("Examples"), "{page}");
    }
    let printed = Command::new(NETWRIGHT).arg("man").output().unwrap();
    assert_eq!(printed.stdout, std::fs::read(folder.path().join("netwright.1")).unwrap());
    let refused = Command::new(NETWRIGHT).args(["man", "/proc/none"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
}
