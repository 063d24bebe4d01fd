#!/usr/bin/env python3
"""Puts the book together from what is in the repository, and builds it with mdBook. No text is written twice: pages are the files themselves, the
heads of sources, and what the program says of itself; a link that leads nowhere is an error.

    scripts/book.py [--netwright PROGRAM] [--mdbook PROGRAM | --sources] [FOLDER]

--sources writes only the pages, for which no mdBook is needed; they are in FOLDER/src. FOLDER is `book` unless named."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

# Pages that are files: where they stand in the book, by their path in the repository.
PAGES = {
    "README.md": "index.md",
    "src/report/tour.md": "tour.md",
    "src/report/language.md": "language.md",
    "docs/CI.md": "ci.md",
    "tests/golden/api.md": "reference.md",
    "docs/WHY.md": "why.md",
    "docs/SECURITY.md": "security.md",
    "docs/ARCHITECTURE.md": "architecture.md",
    "docs/KNOWLEDGE.md": "knowledge.md",
    "docs/CONTRIBUTING.md": "contributing.md",
    "benches/RESULTS.md": "benchmarks.md",
    "tests/loops/RESULTS.md": "loops.md",
    "tests/kernels/README.md": "kernels.md",
    "tests/rhai/MUTATION.md": "mutation.md",
    "CHANGELOG.md": "changelog.md",
}
# Pages that are the heads of sources.
HEADS = {"src/lib.rs": "map.md", "src/session/mod.rs": "promises.md"}

CONFIG = """[book]
title = "netwright"
language = "en"

[build]
create-missing = false

[output.html]
no-section-label = true
"""


def head(path):
    """The comment with which a source begins, as Markdown."""
    lines = []
    for line in (TOP / path).read_text(encoding="utf-8").splitlines():
        if line.startswith("#!"):
            continue
        if not line.startswith("//!"):
            break
        lines.append(line[4:])
    # What leads to an item in rustdoc is a name here.
    return re.sub(r"\[(`[^`\]]+`)\](?!\()", r"\1", "\n".join(lines)).strip() + "\n"


def said(program, *words):
    ran = subprocess.run([program, *words], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}, check=False)
    if ran.returncode != 0:
        sys.exit(f"`{program} {' '.join(words)}` ended with {ran.returncode}: {ran.stderr}")
    return ran.stdout.rstrip() + "\n"


def block(text, language="text"):
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


class Book:
    def __init__(self):
        self.pages = {}  # page: (text, where it comes from)
        self.summary = []
        self.files = set()  # of the repository, beside the pages
        self.wrong = []

    def add(self, page, title, text, source, depth=0):
        self.pages[page] = (text, source)
        self.summary.append(f"{'  ' * depth}- [{title}]({page})")

    def file(self, source, title, depth=0):
        self.add(PAGES[source], title, (TOP / source).read_text(encoding="utf-8"), source, depth)

    def part(self, title):
        self.summary.append(f"\n# {title}\n")


def collect(program):
    book = Book()
    book.file("README.md", "netwright")
    book.part("Begin")
    book.file("src/report/tour.md", "The tour")
    book.file("src/report/language.md", "The language")
    listed = ["Each of these runs as it stands, in the tests and with `netwright run`.\n"]
    scripts = sorted(path.name for path in (TOP / "scripts").glob("*.rhai"))
    for name in scripts:
        first = head(f"scripts/{name}").splitlines()[0]
        listed.append(f"- [{name}](scripts/{Path(name).stem}.md): {first}")
    book.add("scripts.md", "Scripts to run and to vendor", "# Scripts to run and to vendor\n\n" + "\n".join(listed) + "\n", None)
    for name in scripts:
        text = (TOP / "scripts" / name).read_text(encoding="utf-8")
        page = f"scripts/{Path(name).stem}.md"
        book.add(page, Path(name).stem, f"# {name}\n\n{block(text, 'rhai')}", None, 1)
    book.file("docs/CI.md", "Tests on GitLab, Docker, Jenkins")

    book.part("Reference")
    book.file("tests/golden/api.md", "What scripts can call")
    helps = said(program, "--help")
    names = re.findall(r"^  ([a-z-]+) ", helps.split("Commands:\n")[1].split("\n\n")[0], re.M)
    text = f"# Commands\n\n{block(helps)}"
    for name in (name for name in names if name != "help"):
        text += f"\n## `netwright {name}`\n\n{block(said(program, name, '--help'))}"
    book.add("commands.md", "Commands", text, None)
    codes = [line.split(None, 1) for line in said(program, "why", "--explain", "all").splitlines() if line.strip()]
    rows = [f"| [`{code}`](findings/{code}.md) | {cell(what)} |" for code, what in codes]
    book.add("findings.md", "What `why` finds", "# What `why` finds\n\n| code | what it is |\n|---|---|\n" + "\n".join(rows) + "\n", None)
    for code, _ in codes:
        what, _, more = said(program, "why", "--explain", code).partition("\n")
        what = what.split(": ", 1)[-1]
        fields = re.findall(r"^  (\w+): +(.*(?:\n {6,}.*)*)", more, re.M)
        told = "\n".join(f"- **{word}**: {' '.join(rest.split())}" for word, rest in fields)
        book.add(f"findings/{code}.md", code, f"# `{code}`\n\n{what[:1].upper()}{what[1:]}.\n\n{told or more}\n", None, 1)

    book.part("What is promised")
    book.add(HEADS["src/session/mod.rs"], "Promises and how they are tested", head("src/session/mod.rs"), "src/session/mod.rs")
    book.file("docs/SECURITY.md", "Security")
    book.file("docs/WHY.md", "How right `why` is")
    book.file("tests/loops/RESULTS.md", "The loops")
    book.file("tests/kernels/README.md", "Kernels")
    book.file("tests/rhai/MUTATION.md", "Mutation of our own tests")
    book.file("benches/RESULTS.md", "Benchmarks")

    book.part("How it is built")
    book.file("docs/ARCHITECTURE.md", "Architecture")
    book.add(HEADS["src/lib.rs"], "The map of the code", f"# The map of the code\n\n{head('src/lib.rs')}", "src/lib.rs")
    book.file("docs/KNOWLEDGE.md", "Measured facts")
    book.file("docs/CONTRIBUTING.md", "Contributing")
    book.file("CHANGELOG.md", "Changelog")
    return book


def outside_of_blocks(text, change):
    """Applies a change to what is in no block of code."""
    parts = re.split(r"(^(`{3,}).*?^\2[ \t]*$)", text, flags=re.M | re.S)
    return "".join(change(part) if at % 3 == 0 else part for at, part in enumerate(parts) if at % 3 < 2)


def anchors(text):
    """The anchors that mdBook gives the headings of a page."""
    found = set()
    for title in re.findall(r"^#+ +(.*?) *#*$", re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        found.add("".join(c if c.isalnum() or c in "-_" else "-" if c.isspace() else "" for c in plain.lower()))
    return found


def link(book, page, source):
    """Makes the links of a page lead to where the things are in the book."""
    place = {**PAGES, **HEADS, **{f"scripts/{path.name}": f"scripts/{path.stem}.md" for path in (TOP / "scripts").glob("*.rhai")}}
    depth = "../" * page.count("/")

    def lead(found):
        code, mark, text, target = found.groups()
        if code or re.match(r"[a-z]+:", target):
            return found[0]
        path, _, anchor = target.partition("#")
        if source is None:
            to = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        else:
            real = os.path.normpath(os.path.join(os.path.dirname(source), path)) if path else source
            if real not in place and (TOP / real).is_dir():
                return f"`{real}/`" if text.strip("`") == path.strip("/") else f"{text} (`{real}/`)"
            if real not in place and not (TOP / real).is_file():
                book.wrong.append(f"{source}: {target} leads nowhere")
                return text
            if real not in place:
                book.files.add(real)
            to = place.get(real, f"files/{real}")
        if to in book.pages and anchor and anchor not in anchors(book.pages[to][0]):
            book.wrong.append(f"{source or page}: {target}: there is no such heading")
        if source is None and to not in book.pages:
            book.wrong.append(f"{page}: {target} leads nowhere")
        return f"{mark}[{text}]({depth}{to}{'#' + anchor if anchor else ''})"

    # A span of code that is no link's text comes first.
    return lambda part: re.sub(r"(`[^`\n]+`)|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", lead, part)


def main():
    parser = argparse.ArgumentParser(description="Builds the book.")
    parser.add_argument("--netwright", default=str(TOP / "target/debug/netwright"), help="the program that tells of its commands and codes")
    parser.add_argument("--mdbook", default="mdbook", help="the program that builds it")
    parser.add_argument("--sources", action="store_true", help="write the pages only")
    parser.add_argument("folder", nargs="?", default="book")
    options = parser.parse_args()
    book = collect(options.netwright)
    folder = Path(options.folder)
    pages = folder / "src"
    shutil.rmtree(pages, ignore_errors=True)
    for page, (text, source) in book.pages.items():
        text = outside_of_blocks(text, link(book, page, source))
        (pages / page).parent.mkdir(parents=True, exist_ok=True)
        (pages / page).write_text(text, encoding="utf-8")
    (pages / "SUMMARY.md").write_text("# Summary\n\n" + "\n".join(book.summary) + "\n", encoding="utf-8")
    for name in sorted(book.files):
        (pages / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / name, pages / "files" / name)
    (folder / "book.toml").write_text(CONFIG, encoding="utf-8")
    if book.wrong:
        sys.exit("\n".join(sorted(set(book.wrong))))
    if not options.sources:
        built = subprocess.run([options.mdbook, "build", str(folder)], check=False)
        if built.returncode != 0:
            sys.exit(built.returncode)
    print(f"{len(book.pages)} pages, {len(book.files)} files in {folder}")


main()
