"""Pages: links lead somewhere, terms are defined once, files that are named exist."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [*REPOSITORY.glob("*.md"), *sorted((REPOSITORY / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]*))?\)")
NAMED = re.compile(r"`((?:src|tests|config|benchmarks|rules|profiles|docs)/[\w./-]+\.\w+)`")
CODE = (".py", ".yaml", ".smk", ".md")
POINTER = re.compile(r"docs/[\w./-]+\.(?:md|png|svg)")
ABSENT = re.compile(
    r"models\.md \d|trap T\d|quality_research|the design (lists|speaks|says)|the specification takes", re.I
)


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        assert path.exists(), f"{name(page)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{name(page)} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_exist(page):
    if page.name == "CHANGELOG.md":
        return
    folders = (REPOSITORY, REPOSITORY / "src/brainuad")
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    missing = [path for path in named if not any((folder / path).exists() for folder in folders)]
    assert not missing


def test_no_page_or_module_points_to_a_document_that_is_not_here():
    files = [*PAGES, *(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "config").rglob("*.yaml")]
    pointers = [name(path) for path in files if ABSENT.search(path.read_text(encoding="utf-8"))]
    assert not pointers


def test_pages_that_code_and_settings_point_to_exist():
    folders = ("src", "config", "rules", "profiles", "tests", "benchmarks")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.suffix in CODE]
    found = {pointer for path in files for pointer in POINTER.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 20
    assert [pointer for pointer in sorted(found) if not (REPOSITORY / pointer).exists()] == []


def test_the_glossary_defines_each_term_once():
    text = (REPOSITORY / "docs/glossary.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+) \|", text, re.M)
    terms = [term for cell in cells for term in cell.split(", ") if cell not in ("term", "---")]
    assert len(terms) == len(set(terms))
    for wanted in (
        "subject",
        "scan",
        "session",
        "patient",
        "anomaly map",
        "threshold rule",
        "done file",
        "oracle",
        "tilt",
    ):
        assert wanted in terms


@pytest.mark.parametrize(
    ("section", "test"),
    [
        ("A method", "methods/test_add_a_method.py"),
        ("A metric", "evaluate/test_add_a_metric.py"),
        ("A preprocessing step", "preprocess/test_add_a_step.py"),
        ("A data set", "download/test_add_a_data_set.py"),
    ],
)
def test_the_code_of_a_recipe_is_the_code_that_its_test_adds(section, test):
    page = (REPOSITORY / "docs/contributing.md").read_text(encoding="utf-8")
    text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    code = (REPOSITORY / "tests" / test).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", text, re.M | re.S)
    assert blocks
    assert all(dedent(block).strip() in code for block in blocks)
    assert f"tests/{test}" in text
