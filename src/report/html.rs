//! One page with everything, without scripts and without anything from elsewhere: `--report html=FILE`. Names, messages and packets come from
//! elsewhere, so nothing of them is markup, and nothing in them turns the direction of the text round.

use std::fmt::Write as _;

use super::mutation::percent;
use super::place;
use crate::testing::Outcome;
use crate::testing::event::Test;
use crate::testing::results::{FileResults, Results};
use crate::text::diagnostic::escape;
use crate::text::markup;

/// Light and dark as the reader's own scheme is; wide enough to read, narrow enough for a phone.
const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --box: #f6f8fa; --edge: #d0d7de; --text: #1f2328; --soft: #57606a; --accent: #0969da;
  --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --good-bg: #dafbe1; --bad-bg: #ffebe9; --warn-bg: #fff8c5 }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --box: #161b22; --edge: #30363d; --text: #e6edf3; --soft: #9da7b3;
  --accent: #58a6ff; --good: #3fb950; --bad: #ff7b72; --warn: #d29922; --good-bg: #12261e; --bad-bg: #2d1517; --warn-bg: #272115 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; overflow-wrap: anywhere }
pre { background: var(--box); border: 1px solid var(--edge); border-radius: 6px; padding: .75rem; overflow-x: auto;
  font: .8rem/1.45 ui-monospace, Menlo, Consolas, monospace }
pre b { color: var(--bad) }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; list-style: none }
.counts li { border: 1px solid var(--edge); border-radius: 6px; padding: .25rem .75rem }
.counts b { font-size: 1.25rem }
details { border: 1px solid var(--edge); border-radius: 6px; margin: .5rem 0; padding: 0 .75rem }
summary { cursor: pointer; padding: .5rem 0; overflow-wrap: anywhere }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
.mark { font-weight: 600; margin-right: .5rem } .time { color: var(--soft); font-size: .85rem; margin-left: .5rem }
.passed .mark { color: var(--good) } .failed .mark, .inconclusive .mark { color: var(--bad) } .skipped .mark { color: var(--warn) }
.failed, .inconclusive { border-color: var(--bad) }
table { border-collapse: collapse; margin: .75rem 0; display: block; overflow-x: auto }
th, td { border: 1px solid var(--edge); padding: .25rem .6rem; text-align: left; font-size: .9rem }
td.yes { background: var(--good-bg); color: var(--good) } td.no { background: var(--box); color: var(--soft) }
td.wrong { background: var(--bad-bg); color: var(--bad); font-weight: 600 } td.unknown { background: var(--warn-bg); color: var(--warn) }
.line { display: flex; height: .9rem; background: var(--box); border: 1px solid var(--edge); border-radius: 4px; overflow: hidden }
.line span { min-width: 2px; border-right: 1px solid var(--paper); background: var(--good) }
.line .failed, .line .inconclusive { background: var(--bad) } .line .skipped { background: var(--warn) }
img { max-width: 100%; height: auto } a { color: var(--accent) }
";

/// The page.
#[must_use]
pub(crate) fn render(results: &Results) -> String {
    let counts = results.counts();
    let verdict = if results.exit == 0 { "passed" } else { "failed" };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>netwright: {verdict}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>netwright: {verdict}</h1>\n<ul class=\"counts\">\n"
    );
    for (count, word) in [
        (counts.passed, "passed"),
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
        (counts.flaky, "flaky"),
        (counts.broken, "could not run"),
    ] {
        if count > 0 || matches!(word, "passed" | "failed") {
            let _ = writeln!(out, "<li><b>{count}</b> {word}</li>");
        }
    }
    let _ = writeln!(out, "<li><b>{:.1}</b> s</li>", results.took_ms / 1e3);
    if let Some(share) = results.coverage() {
        let _ = writeln!(out, "<li><b>{}</b> of rules, routes and services touched</li>", percent(share));
    }
    out.push_str("</ul>\n");
    for (file, all) in &results.files {
        one_file(&mut out, file, all);
    }
    if results.files.is_empty() {
        out.push_str("<p>No test was selected, so nothing is proven.</p>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn one_file(out: &mut String, file: &str, all: &FileResults) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", name(file));
    if let Some(failure) = &all.end.broken {
        let _ = writeln!(out, "<p><b>It could not run.</b></p>\n{}", block(&failure.text));
    }
    timeline(out, &all.tests);
    for test in &all.tests {
        one_test(out, test);
    }
    let left: Vec<_> = all.coverage.iter().filter(|one| one.touched != Some(true)).collect();
    if !left.is_empty() {
        let _ = writeln!(out, "<details>\n<summary>{} not touched by any packet</summary>\n<table>", left.len());
        out.push_str("<tr><th scope=\"col\">made by</th><th scope=\"col\">what</th></tr>\n");
        for one in left {
            let what =
                one.reason.as_ref().map_or_else(|| one.what.clone(), |why| format!("{} (not known: {why})", one.what));
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td></tr>",
                name(&place(file, one.source.as_deref(), one.line)),
                name(&what)
            );
        }
        out.push_str("</table>\n</details>\n");
    }
    out.push_str("</section>\n");
}

/// The tests of a file one after the other, each as wide as it took.
fn timeline(out: &mut String, tests: &[Test]) {
    let whole: f64 = tests.iter().map(|test| test.took_ms).sum();
    if tests.len() < 2 || whole <= 0.0 {
        return;
    }
    let _ = write!(out, "<div class=\"line\" role=\"img\" aria-label=\"{} tests in {whole:.0} ms\">", tests.len());
    for test in tests {
        let title = attribute(&format!("{} ({:.0} ms)", test.test, test.took_ms));
        let share = test.took_ms.max(0.0) / whole * 100.0;
        let _ = write!(
            out,
            "<span class=\"{}\" style=\"width:{share:.2}%\" title=\"{title}\"></span>",
            test.outcome.word()
        );
    }
    out.push_str("</div>\n");
}

fn one_test(out: &mut String, test: &Test) {
    let word = test.outcome.word();
    let mark = match test.outcome {
        Outcome::Passed if test.attempt > 1 => "↻ flaky",
        Outcome::Passed => "✓ passed",
        Outcome::Failed => "✗ failed",
        Outcome::Inconclusive => "? inconclusive",
        Outcome::Skipped => "– skipped",
    };
    let open = if test.outcome.is_bad() { " open" } else { "" };
    let slow = match test.usual_ms {
        Some(usual) => format!(", slower than usual ({usual:.0} ms)"),
        None if test.slow => ", slow".to_owned(),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "<details class=\"{word}\"{open}>\n<summary><span class=\"mark\">{mark}</span>{}<span class=\"time\">{:.0} ms{slow}</span></summary>",
        name(&test.test),
        test.took_ms
    );
    let mut said = false;
    if let Some(reason) = &test.reason {
        let _ = writeln!(out, "<p>{}</p>", name(reason));
        said = true;
    }
    for failure in &test.failures {
        if let Some(table) = matrix(&failure.text) {
            out.push_str(&table);
        }
        out.push_str(&block(&failure.text));
        if let Some(command) = &failure.command {
            let _ = writeln!(out, "<p>The command that failed:</p>\n{}", block(command));
        }
        said = true;
    }
    if let Some(svg) = &test.svg {
        let _ = writeln!(
            out,
            "<p><img alt=\"the network at the end of the test, the culprit in red; the text below says the same\" src=\"data:image/svg+xml,{}\"></p>",
            encoded(svg)
        );
    }
    if let Some(picture) = &test.picture {
        let _ = writeln!(out, "<details>\n<summary>the network as text</summary>\n{}</details>", block(picture));
    }
    if !test.printed.is_empty() {
        let printed = test.printed.join("\n");
        let _ = writeln!(out, "<details>\n<summary>what it printed</summary>\n{}</details>", block(&printed));
        said = true;
    }
    for left in &test.left {
        let _ = writeln!(out, "<p>left behind: {}</p>", name(left));
        said = true;
    }
    if !said {
        let line = if test.line > 0 { format!("Line {} of the file.", test.line) } else { "Its checks held.".into() };
        let _ = writeln!(out, "<p>{line}</p>");
    }
    out.push_str("</details>\n");
}

/// The table of a reachability in a failure, coloured; `None` when there is none, or when names with blanks make it ambiguous.
fn matrix(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.contains("from \\ to")).map(str::trim);
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let head = lines.next()?;
    let head = cells(&head[head.find("from \\ to")?..]);
    let mut out = String::from("<table>\n<tr>");
    for cell in &head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", name(cell));
    }
    out.push_str("</tr>\n");
    let mut rows = 0;
    for row in lines.map(cells).take_while(|row| row.len() == head.len()) {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", name(&row[0]));
        for cell in &row[1..] {
            let class = match cell.as_str() {
                cell if cell.ends_with('!') => "wrong",
                "yes" | "ok" => "yes",
                cell if cell.starts_with('?') || cell.contains("inconclusive") => "unknown",
                _ => "no",
            };
            let _ = write!(out, "<td class=\"{class}\">{}</td>", name(cell));
        }
        out.push_str("</tr>\n");
        rows += 1;
    }
    out.push_str("</table>\n");
    // With services there are more columns than rows.
    (rows > 0 && rows < head.len()).then_some(out)
}

/// A block of text as it stands, the lines that blame something marked.
fn block(text: &str) -> String {
    let mut out = String::from("<pre tabindex=\"0\">");
    for line in text.trim_end().lines() {
        let shown = markup(&escape(line));
        let blames =
            line.contains('✗') || line.trim_start().starts_with("! ") || line.trim_start().starts_with("= why:");
        let _ = if blames { writeln!(out, "<b>{shown}</b>") } else { writeln!(out, "{shown}") };
    }
    out.push_str("</pre>\n");
    out
}

/// One line of text, with a direction of its own.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", attribute(text))
}

fn attribute(text: &str) -> String {
    markup(&escape(&text.replace('\n', " ")))
}

/// A text inside of a data address.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!*()/:;=,@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event::Failure;

    const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{202e}\u{7}\"'&\n::error::x";

    fn results() -> Results {
        let failure = Failure { message: HOSTILE.into(), text: HOSTILE.into(), ..Failure::default() };
        let mut test = Test::failed(HOSTILE, HOSTILE, 3, failure);
        test.svg = Some(format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><!--{HOSTILE}--></svg>"));
        test.picture = Some(HOSTILE.into());
        test.printed = vec![HOSTILE.into()];
        test.left = vec![HOSTILE.into()];
        let mut all = Results { exit: 1, ..Results::default() };
        all.files.entry(HOSTILE.into()).or_default().tests = vec![test.clone(), test];
        all
    }

    #[test]
    fn nothing_breaks_out() {
        let page = render(&results());
        for bad in ["<script", "</script", "<img src=x", "onerror=alert(1)>", "\u{202e}", "\u{7}"] {
            assert!(!page.contains(bad), "{bad:?} is in the page");
        }
        assert!(page.contains("&lt;/script&gt;") && page.contains("\\u{202e}"));
        let open = |tag: &str| page.matches(&format!("<{tag}")).count();
        let close = |tag: &str| page.matches(&format!("</{tag}>")).count();
        for tag in ["details", "summary", "pre", "section", "bdi", "table", "ul", "li", "div"] {
            assert_eq!(open(tag), close(tag), "{tag}");
        }
    }

    #[test]
    fn a_table_of_reachability_is_a_table() {
        let text = "error: x\n   = found: from \\ to  dmz    guest\n            dmz        -      yes\n            guest      no !   -\n            ! `guest` was expected to reach `dmz`\n";
        let table = matrix(text).unwrap();
        assert!(table.contains("<td class=\"wrong\"><bdi>no !</bdi></td>"), "{table}");
        assert!(table.contains("<td class=\"yes\"><bdi>yes</bdi></td>"), "{table}");
        assert_eq!(matrix("nothing"), None);
        assert_eq!(matrix("from \\ to  a  b\n a b  yes  no  -\n"), None);
    }
}
