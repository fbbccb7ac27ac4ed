"""What postprocessing and resizing leave of a perfect map: rows for the page, lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from brainuad.config.model import MethodSettings
from brainuad.config.network import GRID, NetworkSettings
from brainuad.config.told import count
from brainuad.formats.ceilings import AUPRC, CEILING, DICE, FLOOR, RESIDUAL

ENOUGH = 0.9
"""A perfect map that scores less has lost more than a tenth."""


@dataclass(frozen=True)
class Row:
    """A perfect map, or the map of a network that returns its input, after one postprocessing; None: not defined."""

    dataset: str
    postprocessing: str
    input: str
    kind: str
    auprc: float | None
    dice: float | None
    residual: float | None
    n: int

    @property
    def marked(self) -> bool:
        """Whether it is a perfect map that lost more than a tenth."""
        return self.kind == CEILING and any(each is not None and each < ENOUGH for each in (self.auprc, self.dice))

    @property
    def map(self) -> str:
        """Whose map it is."""
        name = "perfect map" if self.kind == CEILING else "identity network"
        return name if self.input == GRID else f"{name}, {self.input}"

    def models(self, of_study: Mapping[str, MethodSettings]) -> list[str]:
        """Labels of the models that it is about. `of_study`: by label."""
        return [label for label, model in of_study.items() if self._is_of(model)]

    def is_ceiling_of(self, model: MethodSettings) -> bool:
        """Whether it is a perfect map in the place of this model's."""
        return self.kind == CEILING and self._is_of(model)

    def _is_of(self, model: MethodSettings) -> bool:
        if not isinstance(model, NetworkSettings):
            return self.kind == CEILING and self.input == GRID
        given = model.network_input()
        return self.input == (given.of_perfect_map if self.kind == CEILING else given.name)

    def __str__(self) -> str:
        numbers = [("AUPRC", self.auprc), ("Dice", self.dice), ("98th percentile", self.residual)]
        text = " and ".join(f"{name} {value:.3f}" for name, value in numbers if value is not None)
        if self.kind == FLOOR:
            return f"{self.map} on {self.dataset} after {self.postprocessing}: {text}"
        size = "" if self.input == GRID else f"an input of {self.input} and "
        verb = "leaves" if self.input == GRID else "leave"
        left = f"{size}postprocessing {self.postprocessing} {verb} a perfect map {text}"
        return f"{left} on {self.dataset} ({count(self.n, 'scan')})"


def rows(table: pd.DataFrame) -> list[Row]:
    """A row for each map. `table`: of `formats.ceilings`."""
    return list(_rows(table))


def _rows(table: pd.DataFrame) -> Iterator[Row]:
    keys = ["dataset", "postprocessing", "kind", "input"]
    for names, part in table.groupby(keys, sort=False):
        value = dict(zip(part["metric"], part["value"], strict=True))
        numbers = (value.get(AUPRC), value.get(DICE), value.get(RESIDUAL))
        dataset, postprocessing, kind, given = map(str, names)
        yield Row(dataset, postprocessing, given, kind, *numbers, n=int(part["n"].max()))


def marks(table: pd.DataFrame) -> list[str]:
    """Sentences on what costs a perfect map more than a tenth; resizing alone where it costs more than its chain."""
    found = rows(table)
    plain = {(row.dataset, row.postprocessing) for row in found if row.marked and row.input == GRID}
    return [str(row) for row in found if row.marked and (row.input == GRID or _key(row) not in plain)]


def lines(table: pd.DataFrame) -> list[str]:
    """For a terminal: every ceiling, those that cost more than a tenth with an exclamation mark."""
    return [f"{'! ' if row.marked else ''}{row}" for row in rows(table) if row.kind == CEILING]


def _key(row: Row) -> tuple[str, str]:
    return row.dataset, row.postprocessing
