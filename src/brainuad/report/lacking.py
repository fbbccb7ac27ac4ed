"""Sessions that were mapped without one of the study's sequences: told beside the numbers that rest on them."""

from __future__ import annotations

from collections import Counter

import pandas as pd


def without_sequences(scans: pd.DataFrame) -> dict[str, str]:
    """How many, and which sequences they lack, as text by data set; data sets of whole sessions are not in it.

    `scans`: the rows of `scans.tsv`.
    """
    found: dict[str, str] = {}
    if "missing" not in scans:
        return found
    for dataset, rows in scans.drop_duplicates(["dataset", "scan"]).groupby("dataset", sort=False):
        if lacking := [str(cell).split(";") for cell in rows["missing"].dropna() if cell]:
            names = Counter(name for each in lacking for name in each)
            counted = ", ".join(f"{name} {number}" for name, number in names.items())
            found[str(dataset)] = f"{len(lacking)} of {len(rows)} ({counted})"
    return found
