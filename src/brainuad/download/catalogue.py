"""Every data set known by name, and how it enters: the docs page, and what `brainuad datasets` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from brainuad.config.datasets import AnyScans, Known
from brainuad.download.known import KnownSet, known_set
from brainuad.download.vocabulary import table as vocabulary_table
from brainuad.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

_SOURCES = [kind.model_fields["source"].annotation for kind in get_args(AnyScans) if issubclass(kind, Known)]
NAMES: tuple[str, ...] = tuple(sorted(name for source in _SOURCES for name in get_args(source)))


def datasets_table() -> list[Table | str]:
    """The table for a terminal: a row per data set."""
    sets = [(name, known_set(name)) for name in NAMES]
    rows = [(name, _enters(found), ", ".join(found.about.modalities), found.about.title) for name, found in sets]
    headings = ["name", "access", "modalities", "data set"]
    return [
        table(headings, rows),
        "",
        "`brainuad datasets NAME` tells how to get a data set and how its files must lie.",
    ]


def description(name: str) -> str:
    """Everything about one data set."""
    return "\n".join(_description(name, known_set(name)))


def datasets_page(head: str) -> str:
    """The page; `head` stands above it."""
    lines = [
        f"{head}# Data sets known by name",
        "",
        "`source: <name>` in a study. What is *downloaded* comes with `snakemake download`; what is *brought* is yours",
        "to apply for, and to put into `data/<name>` or where `root` says. `brainuad datasets NAME` prints the same.",
        "Any other data set enters as `source: bids` or `source: table` ([data](data.md)).",
        "",
        "| name | data set | modalities | enters | licence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in NAMES:
        found = known_set(name)
        about = found.about
        title = f"[{about.title}]({about.home})"
        lines.append(f"| `{name}` | {title} | {', '.join(about.modalities)} | {_enters(found)} | {about.licence} |")
    for name in NAMES:
        about = known_set(name).about
        lines += ["", f"## {name}", "", f"{about.apply} Layout:", "", "```", about.layout.strip(), "```"]
        lines += ["", about.deviations] if about.deviations else []
    lines += ["", "## Kinds of lesions", "", "What the sets call them, and the `kind` of a scan in our tables.", ""]
    lines += ["| data set | label | meaning | kind |", "| --- | --- | --- | --- |"]
    lines += [f"| {source} | `{label}` | {meaning} | `{kind}` |" for source, label, meaning, kind in vocabulary_table()]
    return "\n".join(lines) + "\n"


def _description(name: str, found: KnownSet) -> Iterator[str]:
    about = found.about
    yield f"{name}: {about.title}, {about.home}"
    yield f"modalities  {', '.join(about.modalities)}"
    yield f"enters      {_enters(found)} (access {about.access})"
    yield f"licence     {about.licence}" + (", to be accepted: accept_licence: true" if about.terms else "")
    yield f"to get it   {about.apply}"
    yield f"layout      below data/{found.place or name}, or `root`:"
    yield from (f"            {line}" for line in about.layout.strip().splitlines())
    if about.deviations:
        yield f"note        {about.deviations}"


def _enters(found: KnownSet) -> str:
    """Whether any of its modalities can be downloaded."""
    name = type(found).__module__.rpartition(".")[2]
    asked = [{"source": name, "modality": each, "healthy": True, **found.example} for each in found.about.modalities]
    can = any(found.remotes(found.settings_class.model_validate(each)) for each in asked)
    return "downloaded" if can else "brought"
