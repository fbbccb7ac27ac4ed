"""The comparison of models: numbers with intervals, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

ORACLE = "oracle"
ORACLE_LABEL = "ORACLE – upper bound, not a result"
KEY = ["dataset", "postprocessing", "model", "metric", "threshold_rule"]
HEADS = {
    "auprc_scan": "AUPRC per scan",
    "auprc_pooled": "AUPRC, pooled",
    "dice_volume": "Dice per scan",
    "dice_pooled": "Dice, pooled",
    "lesion_recall": "lesion recall",
    "fp_per_scan": "FP per scan",
    "auroc_scan": "scan AUROC",
}
LOW_IS_GOOD = ("fp_per_scan",)
ONE_RULE = ("lesion_recall", "fp_per_scan")
"""Shown for the first rule that has them; the full table holds the rest."""


@dataclass(frozen=True)
class Column:
    """A metric under a threshold rule."""

    metric: str
    rule: str

    @property
    def oracle(self) -> bool:
        """Whether the cut was chosen on test labels."""
        return self.rule == ORACLE

    @property
    def digits(self) -> int:
        """Decimals shown."""
        return 1 if self.metric in LOW_IS_GOOD else 3

    @property
    def name(self) -> str:
        """The metric in words."""
        return HEADS[self.metric]

    @property
    def under(self) -> str:
        """The rule in words; empty where none applies."""
        return "" if self.rule == "none" else self.rule.replace("_", " ")


@dataclass(frozen=True)
class Cell:
    """A number and its interval, and whether it is the best of its column."""

    value: float
    low: float
    high: float
    best: bool = False
    digits: int = 3

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
    """The table of one data set. `rows`: (model, chain) to a cell, or None, per column."""

    dataset: str
    columns: list[Column]
    rows: dict[tuple[str, str], list[Cell | None]]
    chance: float | None
    """Share of lesion voxels: the AUPRC of guessing; None where no lesion is scored."""
    whole: bool = False
    """Whether scans are told from healthy ones as a whole."""

    @property
    def title(self) -> str:
        """Name of the data set, and the level of chance or that no lesion is scored."""
        without = "whole scans against healthy ones" if self.whole else "healthy scans"
        about = without if self.chance is None else f"chance AUPRC {self.chance:.2g}"
        return f"{self.dataset} ({about})"


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds; the interval spans those of the seeds. Columns `KEY`, value, ci_low, ci_high, n, seeds."""
    aggregated = {"value": ("value", "mean"), "ci_low": ("ci_low", "min"), "ci_high": ("ci_high", "max")}
    return metrics.groupby(KEY, sort=False).agg(**aggregated, n=("n", "max"), seeds=("seed", "nunique")).reset_index()


def blocks(metrics: pd.DataFrame) -> list[Block]:
    """A block per data set, those with lesions first; empty columns are left out, oracle columns stand last."""
    whole = summary(metrics)
    found = [_block(str(dataset), rows) for dataset, rows in whole.groupby("dataset", sort=False)]
    return sorted(found, key=lambda block: block.chance is None)


def comparison_text(metrics: pd.DataFrame) -> str:
    """The comparison for a terminal: a table per data set. `metrics`: columns of `formats.tables.METRICS`."""
    if metrics.empty:
        return "nothing was evaluated yet"
    parts = []
    for block in blocks(metrics):
        several = len({postprocessing for _, postprocessing in block.rows}) > 1
        kept = _terse(block.columns)
        heads = ["model", *(["postprocessing"] if several else []), *(block.columns[i].name for i in kept)]
        rules = [""] * (1 + several) + [block.columns[i].under for i in kept]
        lines = [
            [
                model,
                *([postprocessing] if several else []),
                *("-" if (cell := cells[i]) is None else _starred(cell) for i in kept),
            ]
            for (model, postprocessing), cells in block.rows.items()
        ]
        parts.append(f"{block.title}\n{_aligned([heads, rules], lines)}")
    notes = ["[ ]: 95 % bootstrap interval over patients. *: best of the column."]
    if (metrics["threshold_rule"] == ORACLE).any():
        notes.append("oracle: cut chosen on test labels; an upper bound, not a result.")
    return "\n\n".join([*parts, "\n".join(notes)])


def _block(dataset: str, rows: pd.DataFrame) -> Block:
    columns = _columns(rows)
    pairs = list(dict.fromkeys(zip(rows["model"], rows["postprocessing"], strict=True)))
    cells = {
        (row["model"], row["postprocessing"], row["metric"], row["threshold_rule"]): (
            row["value"],
            row["ci_low"],
            row["ci_high"],
        )
        for row in rows.to_dict("records")
        if pd.notna(row["value"])
    }
    best = {}
    for column in columns:
        values = [
            cells[*pair, column.metric, column.rule][0]
            for pair in pairs
            if (*pair, column.metric, column.rule) in cells
        ]
        best[column] = None if column.oracle or len(values) < 2 else _best(column.metric, values)
    table: dict[tuple[str, str], list[Cell | None]] = {}
    for pair in pairs:
        found = [(column, cells.get((*pair, column.metric, column.rule))) for column in columns]
        table[pair] = [
            None if cell is None else Cell(*cell, cell[0] == best[column], column.digits) for column, cell in found
        ]
    prevalence = rows["value"][rows["metric"] == "prevalence"].dropna()
    chance = float(prevalence.mean()) if len(prevalence) else None
    return Block(dataset, columns, _ordered(columns, table), chance, whole=bool((rows["metric"] == "auroc_scan").any()))


def _ordered(
    columns: list[Column], table: dict[tuple[str, str], list[Cell | None]]
) -> dict[tuple[str, str], list[Cell | None]]:
    """Best first by the first column; rows without that number last."""
    sign = 1 if columns and columns[0].metric in LOW_IS_GOOD else -1
    keys = {pair: cells[0].value * sign if cells and cells[0] else float("inf") for pair, cells in table.items()}
    return dict(sorted(table.items(), key=lambda item: keys[item[0]]))


def _columns(rows: pd.DataFrame) -> list[Column]:
    filled = rows[rows["value"].notna()]
    there = list(dict.fromkeys(zip(filled["metric"], filled["threshold_rule"], strict=True)))
    shown = set(HEADS) - ({"dice_pooled"} if any(metric == "dice_volume" for metric, _ in there) else set())
    columns = []
    for metric in HEADS:
        rules = [rule for name, rule in there if name == metric and metric in shown]
        honest = [rule for rule in rules if rule != ORACLE]
        columns += [Column(metric, rule) for rule in (honest[:1] if metric in ONE_RULE else honest)]
    dice = "dice_volume" if "dice_volume" in shown else "dice_pooled"
    return columns + [Column(metric, rule) for metric, rule in there if rule == ORACLE and metric == dice]


def _best(metric: str, values: Sequence[float]) -> float:
    return min(values) if metric in LOW_IS_GOOD else max(values)


def _starred(cell: Cell) -> str:
    return f"{cell}*" if cell.best else f"{cell}"


def _terse(columns: list[Column]) -> list[int]:
    """Positions of the columns for a terminal: one AUPRC, Dice by the first rule, and the oracle."""
    firsts: dict[tuple[str, bool], int] = {}
    for i, column in enumerate(columns):
        firsts.setdefault((column.metric.partition("_")[0], column.oracle), i)
    return sorted(firsts.values())


def _aligned(heads: list[list[str]], lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in heads + lines) for i in range(len(heads[0]))]
    whole = [*heads, ["-" * width for width in widths], *lines]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in whole)
