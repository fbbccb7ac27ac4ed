"""The lesions of a study's test scans: how many, how large, of which type, and who drew them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainuad.config.datasets import Artificial, Inserted, Known, Phantoms
from brainuad.config.study import Study
from brainuad.config.told import listed
from brainuad.formats import tables
from brainuad.formats.scans import lesion_types_in
from brainuad.report.methods_section.blocks import Facts
from brainuad.report.methods_section.participants import counted

MOST_TYPES = 8
NOT_KNOWN = "not known to brainuad: state it"


def table(study: Study, scans: pd.DataFrame, folder: Path) -> Facts | None:
    """A row per data set with lesions; None if no lesion was scored.

    `scans`: `scans.tsv`; `folder`: `results/<study>`.
    """
    rows = []
    for dataset in study.datasets:
        own = scans[scans["dataset"] == dataset]
        if not (own["lesion_ml"] > 0).any():
            continue
        each = own.drop_duplicates("scan")
        with_lesion = each[each["lesion_ml"] > 0]
        lost = int((each["lesion_share_outside"].fillna(0) >= 1).sum())
        run = own.iloc[0]
        sizes = _lesion_sizes(folder / "evaluate" / str(run["model"]) / f"seed-{run['seed']}" / dataset / "lesions.tsv")
        drawn = study.datasets[dataset]
        same = drawn.lesions if isinstance(drawn, Phantoms) and drawn.lesions != "mixed" else ""
        types = [name for text in each["lesion_type"].fillna("") for name in lesion_types_in(str(text))]
        outside = each["lesion_share_outside"].dropna()
        rows.append(
            [
                dataset,
                str(len(each)),
                f"{len(with_lesion)}" + (f" ({lost} of them wholly outside)" if lost else ""),
                spread(with_lesion["lesion_ml"].tolist()),
                spread((100 * outside).tolist()),
                str(len(sizes)),
                spread(sizes),
                counted(types, MOST_TYPES) if types or not same else f"all {same}",
                drawn_by(study, dataset),
            ]
        )
    columns = ["data set", "test scans", "with lesion", "ml per scan", "% outside the scored brain", "lesions counted"]
    columns += ["ml per lesion", "lesion types (scans)", "masks drawn by"]
    caption = (
        "Lesions of the test scans, in and outside the scored brain: median (range). Volumes are those in the scan's "
    )
    caption += f"own space. Lesions counted: connected components of {study.evaluate.min_lesion_ml:g} ml or more."
    return Facts(caption, columns, rows) if rows else None


def _lesion_sizes(path: Path) -> list[float]:
    """Volume of each counted lesion of a data set, in ml; a lesion is listed once per postprocessing and rule."""
    if not path.exists():
        return []
    found = tables.read(path, tables.LESIONS).drop_duplicates(["scan", "lesion"])
    return [float(ml) for ml in found["ml"]]


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    if not values:
        return "–"
    low, middle, high = (f"{value:.3g}" for value in (min(values), float(np.median(values)), max(values)))
    return f"{middle} ({low} to {high})"


def drawn_by(study: Study, dataset: str) -> str:
    """Where the lesion masks come from, as far as the study tells."""
    match settings := study.datasets[dataset]:
        case Phantoms():
            return "nobody: known exactly, synthesised with the scan"
        case Artificial():
            return "nobody: known exactly, planted into the scan"
        case Inserted():
            folders = listed([f"`{Path(folder).name}`" for folder in settings.masks])
            return f"known exactly, inserted; shapes: masks of {folders}, drawn by: {NOT_KNOWN}"
        case Known():
            return f"its authors, see Data; who they were: {NOT_KNOWN}"
    return NOT_KNOWN
