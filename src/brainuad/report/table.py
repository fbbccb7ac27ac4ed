"""The comparison of models: numbers with intervals, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from brainuad import metrics as declared
from brainuad import terminal
from brainuad.metrics import map_metrics, scan_metrics
from brainuad.metrics.registry import NO_RULE, ORACLE, Metric
from brainuad.metrics.registry import Column as Appearance

if TYPE_CHECKING:
    from rich.table import Table

ORACLE_LABEL = "ORACLE – best threshold before mask operators, chosen on test labels"
MUCH_OUTSIDE = 0.1
"""Share of the lesion volume outside the scored brain above which the table says so."""
KEY = ["dataset", "postprocessing", "model", "metric", "threshold_rule"]


@dataclass(frozen=True)
class Column:
    """A metric under a threshold rule."""

    metric: Metric
    appearance: Appearance
    rule: str

    @property
    def oracle(self) -> bool:
        """Whether the threshold was chosen on the test labels."""
        return self.rule == ORACLE

    @property
    def digits(self) -> int:
        """Decimals shown."""
        return self.appearance.digits

    @property
    def name(self) -> str:
        """The metric in words."""
        return self.metric.label

    @property
    def under(self) -> str:
        """The rule in words; empty where none applies."""
        return "" if self.rule == NO_RULE else self.rule.replace("_", " ")

    @property
    def quantity(self) -> str:
        """What is measured; a terminal shows one column of each."""
        return self.appearance.quantity or self.metric.name

    @property
    def key(self) -> tuple[str, str]:
        """The metric's name and the rule, as in `metrics.tsv`."""
        return self.metric.name, self.rule

    def best(self, values: Sequence[float]) -> float | None:
        """The best of several values; None for a single one, for the oracle, and where neither direction is better."""
        if self.oracle or len(values) < 2 or self.metric.direction == "neither":
            return None
        return min(values) if self.metric.direction == "lower" else max(values)


@dataclass(frozen=True)
class Cell:
    """A number and its interval, and whether it is the best of its column."""

    value: float
    low: float
    high: float
    best: bool = False
    digits: int = 3
    n: int = 0
    """Scans that it rests on."""
    seeds: int = 0
    """Trainings that it rests on."""

    @property
    def number(self) -> str:
        """The value alone."""
        return f"{self.value:.{self.digits}f}"

    @property
    def interval(self) -> str:
        """Both ends in brackets; empty where there is no interval."""
        return "" if pd.isna(self.low) else f"[{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"

    def __str__(self) -> str:
        return f"{self.number} {self.interval}".rstrip()


@dataclass(frozen=True)
class Block:
    """The table of one data set. `rows`: (model, postprocessing) to a cell, or None, per column."""

    dataset: str
    columns: list[Column]
    rows: dict[tuple[str, str], list[Cell | None]]
    chance: float | None
    """The AUPRC of guessing; None where no lesion is scored."""
    whole: bool = False
    """Whether scans are compared with healthy ones as a whole."""
    outside: float = 0.0
    """Share of the lesion volume outside the scored brain."""

    def rests_on(self, row: tuple[str, str]) -> tuple[str, str]:
        """Scans and seeds of a row's first number, as text; metrics of the same row may rest on fewer scans."""
        cell = next((cell for cell in self.rows[row] if cell), None)
        return (str(cell.n), str(cell.seeds)) if cell else ("", "")

    @property
    def title(self) -> str:
        """Name of the data set, and the level of chance or that no lesion is scored."""
        without = "whole scans against healthy ones" if self.whole else "healthy scans"
        about = without if self.chance is None else f"chance AUPRC {self.chance:.2g}"
        if self.outside > MUCH_OUTSIDE:
            about += f"; {self.outside:.0%} of the lesion volume is outside the scored brain and counts as missed"
        return f"{self.dataset} ({about})"


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds; the interval spans those of the seeds. Columns `KEY`, value, ci_low, ci_high, n, seeds."""
    aggregated = {"value": ("value", "mean"), "ci_low": ("ci_low", "min"), "ci_high": ("ci_high", "max")}
    return metrics.groupby(KEY, sort=False).agg(**aggregated, n=("n", "max"), seeds=("seed", "nunique")).reset_index()


def blocks(metrics: pd.DataFrame) -> list[Block]:
    """A block per data set, those with lesions first; empty columns are excluded, oracle columns are last."""
    whole = summary(metrics)
    found = [_block(str(dataset), rows) for dataset, rows in whole.groupby("dataset", sort=False)]
    return sorted(found, key=lambda block: block.chance is None)


def comparison(metrics: pd.DataFrame) -> list[Table | str]:
    """For a terminal: a table per data set, then notes. `metrics`: the columns of `formats.tables.METRICS`."""
    if metrics.empty:
        return ["nothing was evaluated yet"]
    parts: list[Table | str] = []
    for block in blocks(metrics):
        several = len({postprocessing for _, postprocessing in block.rows}) > 1
        kept = _terse(block.columns)
        heads = ["model", *(["postprocessing"] if several else [])]
        several_seeds = any(block.rests_on(row)[1] not in ("", "1") for row in block.rows)
        heads += ["scans", *(["seeds"] if several_seeds else [])]
        heads += [f"{block.columns[i].name}\n{block.columns[i].under}".rstrip() for i in kept]
        rows = [
            [
                model,
                *([postprocessing] if several else []),
                *block.rests_on((model, postprocessing))[: 2 if several_seeds else 1],
                *(_starred(cells[i]) for i in kept),
            ]
            for (model, postprocessing), cells in block.rows.items()
        ]
        parts += [block.title, terminal.table(heads, rows), ""]
    parts.append("scans, seeds: what the first number of a row rests on; n of each number is in metrics.tsv.")
    parts.append("[ ]: 95 % bootstrap interval over patients. *: best of the column.")
    if (metrics["threshold_rule"] == ORACLE).any():
        parts.append("oracle: best threshold before mask operators, chosen on the test labels; not a result.")
    return parts


def _block(dataset: str, rows: pd.DataFrame) -> Block:
    columns = _columns(rows)
    pairs = list(dict.fromkeys(zip(rows["model"], rows["postprocessing"], strict=True)))
    numbers = {
        (row["model"], row["postprocessing"], row["metric"], row["threshold_rule"]): (
            row["value"],
            row["ci_low"],
            row["ci_high"],
            int(row["n"]),
            int(row["seeds"]),
        )
        for row in rows.to_dict("records")
        if pd.notna(row["value"])
    }
    best = {
        column.key: column.best([numbers[*pair, *column.key][0] for pair in pairs if (*pair, *column.key) in numbers])
        for column in columns
    }
    table: dict[tuple[str, str], list[Cell | None]] = {}
    for pair in pairs:
        found = [(column, numbers.get((*pair, *column.key))) for column in columns]
        table[pair] = [
            None if number is None else Cell(*number[:3], number[0] == best[column.key], column.digits, *number[3:])
            for column, number in found
        ]
    prevalence, outside = (
        rows["value"][rows["metric"] == metric.name].dropna()
        for metric in (map_metrics.prevalence, map_metrics.lesion_share_outside)
    )
    lost = float(outside.mean()) if len(outside) else 0.0
    chance = float(prevalence.mean()) * (1 - lost) if len(prevalence) else None
    whole = bool((rows["metric"] == scan_metrics.auroc_scan.name).any())
    return Block(dataset, columns, _ordered(columns, table), chance, whole, lost)


def _ordered(
    columns: list[Column], table: dict[tuple[str, str], list[Cell | None]]
) -> dict[tuple[str, str], list[Cell | None]]:
    """Best first by the first column; rows without that number last."""
    sign = 1 if columns and columns[0].metric.direction == "lower" else -1
    keys = {pair: cells[0].value * sign if cells and cells[0] else float("inf") for pair, cells in table.items()}
    return dict(sorted(table.items(), key=lambda item: keys[item[0]]))


def _columns(rows: pd.DataFrame) -> list[Column]:
    """A column for each shown metric and threshold rule that has values; those of the oracle are last."""
    filled = rows[rows["value"].notna()]
    there = list(dict.fromkeys(zip(filled["metric"], filled["threshold_rule"], strict=True)))
    names = {name for name, _ in there}
    columns, oracle = [], []
    for metric in declared.by_name().values():
        if metric.column is None or metric.column.instead_of in names:
            continue
        rules = [rule for name, rule in there if name == metric.name]
        honest = [Column(metric, metric.column, rule) for rule in rules if rule != ORACLE]
        columns += honest if metric.column.every_rule else honest[:1]
        oracle += [Column(metric, metric.column, rule) for rule in rules if rule == ORACLE]
    return columns + oracle


def _starred(cell: Cell | None) -> str:
    return "-" if cell is None else f"{cell}*" if cell.best else f"{cell}"


def _terse(columns: list[Column]) -> list[int]:
    """Positions of the columns for a terminal: the first one of each quantity, and of each at the oracle."""
    firsts: dict[tuple[str, bool], int] = {}
    for i, column in enumerate(columns):
        firsts.setdefault((column.quantity, column.oracle), i)
    return sorted(firsts.values())
