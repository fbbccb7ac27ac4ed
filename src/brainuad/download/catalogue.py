"""Every data set known by name: docs/datasets.md, and what `brainuad datasets` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from brainuad.config.datasets import KNOWN_NAMES
from brainuad.download.known.known_set import KnownSet, known_set
from brainuad.download.known.lesion_types import label_table
from brainuad.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

NAMES: tuple[str, ...] = tuple(sorted([*KNOWN_NAMES, "openneuro"]))


def datasets_table() -> list[Table | str]:
    """The table for a terminal: a row per data set."""
    sets = [(name, known_set(name)) for name in NAMES]
    rows = [(name, _files_from(each), ", ".join(each.about.modalities), each.about.title) for name, each in sets]
    headings = ["name", "files", "modalities", "data set"]
    return [
        table(headings, rows),
        "",
        "`brainuad datasets NAME` shows how to get a data set, and the layout of its files.",
    ]


def description(name: str) -> str:
    """Everything about one data set."""
    return "\n".join(_description(name, known_set(name)))


def datasets_page(head: str) -> str:
    """docs/datasets.md; `head` is its first line."""
    lines = [
        f"{head}# Data sets known by name",
        "",
        "Write `source: <name>` in a study. Files marked *downloaded* are fetched by `snakemake download`. You request",
        "files marked *user-provided* from their authors, and put them into `data/<name>` or the folder in `root`.",
        "`brainuad datasets NAME` prints the same information. Any other data set is read with `source: bids` or",
        "`source: table` ([data](data.md)). To add one: [contributing](contributing.md#a-data-set).",
        "",
        "| name | data set | modalities | files | licence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in NAMES:
        dataset = known_set(name)
        about = dataset.about
        title = f"[{about.title}]({about.page})"
        files = _files_from(dataset)
        lines.append(f"| `{name}` | {title} | {', '.join(about.modalities)} | {files} | {about.licence} |")
    for name in NAMES:
        about = known_set(name).about
        lines += ["", f"## {name}", "", f"{about.how_to_get} Layout:", "", "```", about.layout.strip(), "```"]
        lines += ["", about.deviations] if about.deviations else []
    lines += [
        "",
        "## Lesion types",
        "",
        "The labels of the data sets, and the `lesion_type` of a scan in all tables.",
        "",
    ]
    lines += ["| data set | label | meaning | lesion type |", "| --- | --- | --- | --- |"]
    lines += [f"| {source} | `{label}` | {meaning} | `{found}` |" for source, label, meaning, found in label_table()]
    return "\n".join(lines) + "\n"


def _description(name: str, dataset: KnownSet) -> Iterator[str]:
    about = dataset.about
    yield f"{name}: {about.title}, {about.page}"
    yield f"modalities  {', '.join(about.modalities)}"
    yield f"files       {_files_from(dataset)} (access {about.access})"
    yield f"licence     {about.licence}" + (", to be accepted: accept_licence: true" if about.terms_to_accept else "")
    yield f"how to get  {about.how_to_get}"
    yield f"layout      below data/{dataset.folder_name or name}, or `root`:"
    yield from (f"            {line}" for line in about.layout.strip().splitlines())
    if about.deviations:
        yield f"note        {about.deviations}"


def _files_from(dataset: KnownSet) -> str:
    """`downloaded` if at least one modality can be."""
    name = type(dataset).__module__.rpartition(".")[2]
    settings = [
        {"source": name, "modality": modality, "healthy": True, **dataset.example}
        for modality in dataset.about.modalities
    ]
    downloads = any(dataset.remotes(dataset.settings_class.model_validate(each)) for each in settings)
    return "downloaded" if downloads else "user-provided"
