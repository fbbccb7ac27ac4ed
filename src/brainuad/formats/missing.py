"""`evaluate/missing.tsv`: the evaluations that the tables beside it lack, and why. Complete tables have none."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from brainuad.formats.files import atomic, read_tsv

NAME = "missing.tsv"
COLUMNS = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "stage": "the first stage whose result is not there, or is of an earlier version of the study",
    "job": "rule and wildcards of the job that failed; empty where none did and the run had stopped before",
    "why": "what ended that job, and what to do",
    "log": "its log",
}
MOST_CAUSES = 10
STAGES = ("train", "infer", "postprocess", "evaluate")
"""Stages that work on one model, in their order."""


@dataclass(frozen=True)
class Missing:
    """A row: one evaluation, of a model trained with a seed, on a data set."""

    model: str
    seed: str
    dataset: str
    stage: str
    job: str
    why: str
    log: str

    @property
    def run(self) -> tuple[str, str, str]:
        """Model, seed and data set."""
        return self.model, self.seed, self.dataset

    def lacks(self, stage: str) -> bool:
        """Whether the result of this stage, one of `STAGES`, is missing too."""
        return self.stage not in STAGES or STAGES.index(self.stage) <= STAGES.index(stage)


@dataclass(frozen=True)
class Cause:
    """What ended one or more jobs, and the evaluations that are missing for it."""

    why: str
    logs: list[str]
    """Of these jobs."""
    runs: list[str]
    """In words, one for each model: `dae seed 0, 1 on ms`."""


def write(folder: str | Path, rows: Sequence[Missing]) -> None:
    """Write the table into the folder of the study's tables; without rows an earlier table is removed."""
    path = Path(folder) / NAME
    if not rows:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(COLUMNS), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)


def read(folder: str | Path) -> list[Missing]:
    """Read the table in the folder of the study's tables; empty if there is none. Raises InputError if it is broken."""
    path = Path(folder) / NAME
    if not path.exists():
        return []
    _, rows = read_tsv(path, "the table of what is missing")
    return [Missing(**{field.name: row.get(field.name) or "" for field in fields(Missing)}) for row in rows]


def causes(rows: Iterable[Missing]) -> list[Cause]:
    """The rows by what ended their jobs, the cause that costs most first."""
    found: dict[str, list[Missing]] = {}
    for row in rows:
        found.setdefault(row.why, []).append(row)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Cause(why, sorted({row.log for row in each} - {""}), _in_words(each)) for why, each in ordered]


def lines(rows: Iterable[Missing]) -> list[str]:
    """What is missing and why, a line for each cause."""
    found = causes(rows)
    shown = [f"{'; '.join(cause.runs)}: {cause.why}" for cause in found[:MOST_CAUSES]]
    return shown + [f"and {len(found) - MOST_CAUSES} more causes"] * (len(found) > MOST_CAUSES)


def _in_words(rows: Sequence[Missing]) -> list[str]:
    """Seeds that lack the same data sets share a line."""
    sets: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        sets.setdefault((row.model, row.seed), []).append(row.dataset)
    seeds: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (model, seed), datasets in sets.items():
        seeds.setdefault((model, tuple(datasets)), []).append(seed)
    return [f"{model} seed {', '.join(each)} on {', '.join(datasets)}" for (model, datasets), each in seeds.items()]
