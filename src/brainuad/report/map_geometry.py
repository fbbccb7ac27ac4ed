"""Whether the anomaly maps of a study lie on the brains: told before any number is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

BELOW_CHANCE = 0.2
"""Share of a model's scans with lesions from which on a voxel AUROC under .5 is told; at least two scans."""
MOST_NAMED = 5


@dataclass(frozen=True)
class MapGeometry:
    """Sentences, one for each model and data set."""

    moved: list[str]
    """Maps that do not lie on the brain."""
    below_chance: list[str]
    """Models to which lesions look more normal than the rest of the brain."""

    def lines(self) -> list[str]:
        """All sentences, the graver first."""
        return [*self.moved, *self.below_chance]


def map_geometry(scans: pd.DataFrame) -> MapGeometry:
    """From the rows of `scans.tsv`; what it does not hold is not told."""
    once = scans.drop_duplicates(["model", "seed", "dataset", "scan"])
    return MapGeometry(list(_moved(once)), list(_below_chance(once)))


def _moved(scans: pd.DataFrame) -> Iterator[str]:
    for (model, dataset), rows in scans.groupby(["model", "dataset"], sort=False):
        odd = rows.dropna(subset=["map_moved"])
        for move, same in odd[odd["map_moved"] != ""].groupby("map_moved", sort=False):
            yield (
                f"{model} on {dataset}: {len(same)} of {len(rows)} anomaly maps do not lie on the brain of their scan: "
                f"{move} ({_named(same)}). Look at these maps before you read their numbers."
            )


def _below_chance(scans: pd.DataFrame) -> Iterator[str]:
    for (model, dataset), rows in scans.dropna(subset=["auroc"]).groupby(["model", "dataset"], sort=False):
        below = rows[rows["auroc"] < 0.5]
        if len(below) >= max(2, BELOW_CHANCE * len(rows)):
            yield (
                f"{model} on {dataset}: in {len(below)} of {len(rows)} maps lesions score lower than the rest of the "
                f"brain (voxel AUROC under 0.5: {_named(below)}). The method misses these lesions, `lesion_sign` is "
                "wrong, or an axis of the maps is flipped."
            )


def _named(rows: pd.DataFrame) -> str:
    names = list(dict.fromkeys(rows["scan"].astype(str)))
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
