"""What a perfect map and an identity network score in a study: one table per data set, `ceilings/<data set>/`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from brainuad.formats import tables

NAME = "ceilings.tsv"
CEILING, FLOOR = "ceiling", "floor"
AUPRC, DICE, RESIDUAL = "auprc_scan", "dice_volume", "residual_p98"
COLUMNS = {
    "dataset": "label of the test data set",
    "postprocessing": "label of the postprocessing",
    "input": "how scans come to the model: grid (as they are), or size of its input, and how they come to it",
    "kind": "ceiling: the lesion mask itself as the map, resized as the model's map is; floor: the map of a network "
    "that returns its input",
    "metric": "auprc_scan and dice_volume as in metrics.tsv, Dice at the threshold that is best for all scans "
    "together; residual_p98: 98th percentile of the map in healthy tissue",
    "value": "the number; mean over patients",
    "n": "scans that the number rests on",
}


def write(folder: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write the table of a data set."""
    tables.write(folder / NAME, pd.DataFrame(rows, columns=list(COLUMNS)), COLUMNS)


def read(folders: Iterable[Path]) -> pd.DataFrame:
    """The tables of these data sets as one; those that are not there are left out. Raises InputError for others."""
    parts = [tables.read(folder / NAME, COLUMNS) for folder in folders if (folder / NAME).exists()]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COLUMNS))
