"""The comparison of models: numbers with intervals, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from brainuad import metrics as declared
from brainuad import terminal
from brainuad.formats.verdicts import NONE, Comparison, Comparisons
from brainuad.metrics import PRIMARY, map_metrics, scan_metrics
from brainuad.metrics.registry import NO_RULE, ORACLE, Metric
from brainuad.metrics.registry import Column as Appearance

if TYPE_CHECKING:
    from rich.table import Table

ORACLE_LABEL = "ORACLE – best threshold before mask operators, chosen on test labels"
NO_NUMBER = "there is no number to compare: it takes scans with lesions, or a threshold for healthy ones"
MUCH_OUTSIDE = 0.1
"""Share of the lesion volume outside the scored brain above which the table says so."""
NOTHING: Mapping[str, str] = MappingProxyType({})
PRIMARY_KEY = (PRIMARY.name, NO_RULE)
KEY = ["dataset", "postprocessing", "model", "metric", "threshold_rule"]
IN_UNITS = {metric.name for metric in declared.METRICS if metric.unit}
"""Metrics that are no shares."""


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


@dataclass(frozen=True)
class Cell:
    """A number and its interval. `better`: decided to be better than the best trivial baseline."""

    value: float
    low: float
    high: float
    better: bool = False
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
    """The AUPRC of a random map; None where no lesion is scored."""
    whole: bool = False
    """Whether scans are compared with healthy ones as a whole."""
    outside: float = 0.0
    """Share of the lesion volume outside the scored brain."""
    compared: Mapping[tuple[str, str], Comparison | None] = field(default_factory=dict)
    """Of learned models, (model, postprocessing), with the best trivial baseline."""
    lacking: str = ""
    """How many sessions were mapped without which sequence, as text; empty where all are whole."""

    @property
    def decisions(self) -> list[str]:
        """In words, by postprocessing, whether a model is better than the best trivial baseline."""
        by_postprocessing: dict[str, list[Comparison]] = {}
        for row in self.rows:
            if found := self.compared.get(row):
                by_postprocessing.setdefault(row[1], []).append(found)
        several = len({postprocessing for _, postprocessing in self.rows}) > 1
        return [
            f"{postprocessing}: {decision(found)}" if several else decision(found)
            for postprocessing, found in by_postprocessing.items()
        ]

    def rests_on(self, row: tuple[str, str]) -> tuple[str, str]:
        """Scans and seeds of a row's first number, as text; metrics of the same row may rest on fewer scans."""
        cell = next((cell for cell in self.rows[row] if cell), None)
        return (str(cell.n), str(cell.seeds)) if cell else ("", "")

    @property
    def title(self) -> str:
        """Name of the data set, the level of chance or that no lesion is scored, and what scans lack."""
        without = "whole scans against healthy ones" if self.whole else "healthy scans"
        about = without if self.chance is None else f"chance AUPRC {self.chance:.2g}"
        if self.outside > MUCH_OUTSIDE:
            about += f"; {self.outside:.0%} of the lesion volume is outside the scored brain and counts as missed"
        about += f"; sessions without a sequence: {self.lacking}" if self.lacking else ""
        return f"{self.dataset} ({about})"


def decision(found: Sequence[Comparison]) -> str:
    """Of learned models with one baseline, best first: which are better, or how many patients would tell."""
    baseline, patients = found[0].reference, max(each.n for each in found)
    better = [each.model for each in found if each.verdict == "better"]
    if better:
        return f"better than {baseline}: {', '.join(better)}"
    needed = next((each.n_needed for each in found if each.open), np.nan)
    about = "" if pd.isna(needed) else f"; about {needed:.0f} needed"
    if all(each.verdict == "too few" for each in found):
        return f"too few patients to decide (n = {patients}{about})"
    return f"no model is decided to be better than {baseline} (n = {patients}{about})"


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, with its interval over patients and seeds. Columns `KEY`, value, ci_low, ci_high, n, seeds.

    The distances to the ends are the root of the sum of squares (MOVER, Zou and Donner 2008) of the mean distances
    within a seed and of the t interval of the mean of seeds, which has as many degrees of freedom as seeds less one.
    Seeds without a value do not count; a share stays between 0 and 1.
    """
    low, high = (metrics["value"] - metrics["ci_low"]) ** 2, (metrics["ci_high"] - metrics["value"]) ** 2
    there = metrics["seed"].where(metrics["value"].notna())
    grouped = metrics.assign(ci_low=low, ci_high=high, there=there).groupby(KEY, sort=False)
    found = grouped.agg(
        value=("value", "mean"),
        ci_low=("ci_low", "mean"),
        ci_high=("ci_high", "mean"),
        n=("n", "max"),
        seeds=("there", "nunique"),
        between=("value", "var"),
        least=("value", "min"),
        most=("value", "max"),
    ).reset_index()
    several = np.maximum(found["seeds"], 2)
    between = np.where(found["seeds"] > 1, found["between"] / several * special.stdtrit(several - 1, 0.975) ** 2, 0)
    ends = {"ci_low": found["value"] - np.sqrt(found["ci_low"] + between)}
    ends["ci_high"] = found["value"] + np.sqrt(found["ci_high"] + between)
    bounds = metrics.groupby(KEY, sort=False).agg(low=("ci_low", "min"), high=("ci_high", "max")).reset_index()
    ends["ci_low"] = ends["ci_low"].mask((bounds["low"] >= 0) & (ends["ci_low"] < 0), 0)
    share = (bounds["high"] <= 1) & ~found["metric"].isin(IN_UNITS)
    ends["ci_high"] = ends["ci_high"].mask(share & (ends["ci_high"] > 1), 1)
    return found.assign(**ends)[[*KEY, "value", "ci_low", "ci_high", "n", "seeds"]]


def blocks(metrics: pd.DataFrame, comparisons: Comparisons = NONE, lacking: Mapping[str, str] = NOTHING) -> list[Block]:
    """A block per data set with numbers, those with lesions first; oracle columns are last.

    `lacking`: of `report.lacking.without_sequences`.
    """
    whole = summary(metrics)
    found = [
        replace(_block(str(dataset), rows, comparisons), lacking=lacking.get(str(dataset), ""))
        for dataset, rows in whole.groupby("dataset", sort=False)
    ]
    return sorted([block for block in found if block.columns], key=lambda block: block.chance is None)


def comparison(
    metrics: pd.DataFrame, comparisons: Comparisons = NONE, lacking: Mapping[str, str] = NOTHING
) -> list[Table | str]:
    """For a terminal: a table per data set, then notes. `metrics`: the columns of `formats.tables.METRICS`.

    `lacking`: as in `blocks`.
    """
    if metrics.empty:
        return ["nothing was evaluated yet"]
    made = blocks(metrics, comparisons, lacking)
    if not made:
        return [NO_NUMBER]
    parts: list[Table | str] = []
    for block in made:
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
        parts += [block.title, terminal.table(heads, rows), *block.decisions, ""]
    parts.append("scans, seeds: what the first number of a row rests on; n of each number is in metrics.tsv.")
    over = "patients and seeds" if metrics["seed"].nunique() > 1 else "patients"
    parts.append(f"[ ]: 95 % interval over {over}. *: decided to be better than the best trivial baseline.")
    if (metrics["threshold_rule"] == ORACLE).any():
        parts.append("oracle: best threshold before mask operators, chosen on the test labels; not a result.")
    return parts


def _block(dataset: str, rows: pd.DataFrame, comparisons: Comparisons) -> Block:
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
    compared = {
        (model, postprocessing): found
        for postprocessing in dict.fromkeys(postprocessing for _, postprocessing in pairs)
        for model, found in comparisons.with_best_baseline(
            dataset,
            postprocessing,
            {key[0]: number[0] for key, number in numbers.items() if key[1:] == (postprocessing, *PRIMARY_KEY)},
        ).items()
    }
    better = {pair for pair, found in compared.items() if found and found.verdict == "better"}
    table: dict[tuple[str, str], list[Cell | None]] = {}
    for pair in pairs:
        found = [(column, numbers.get((*pair, *column.key))) for column in columns]
        table[pair] = [
            None if n is None else Cell(*n[:3], pair in better and column.key == PRIMARY_KEY, column.digits, *n[3:])
            for column, n in found
        ]
    prevalence, outside = (
        rows["value"][rows["metric"] == metric.name].dropna()
        for metric in (map_metrics.prevalence, map_metrics.lesion_share_outside)
    )
    lost = float(outside.mean()) if len(outside) else 0.0
    chance = float(prevalence.mean()) * (1 - lost) if len(prevalence) else None
    whole = bool((rows["metric"] == scan_metrics.auroc_scan.name).any())
    return Block(dataset, columns, _ordered(columns, table), chance, whole, lost, compared)


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
    return "-" if cell is None else f"{cell}*" if cell.better else f"{cell}"


def _terse(columns: list[Column]) -> list[int]:
    """Positions of the columns for a terminal: the first one of each quantity, and of each at the oracle."""
    firsts: dict[tuple[str, bool], int] = {}
    for i, column in enumerate(columns):
        firsts.setdefault((column.quantity, column.oracle), i)
    return sorted(firsts.values())
