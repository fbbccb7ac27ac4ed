"""Recognise results of version 0.1.0 before its columns and files were renamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from brainuad.errors import InputError

OLD_COLUMNS = {
    "chain": "postprocessing",
    "kind": "lesion_type (in curves.tsv: curve)",
    "guide": "reference",
    "spoiled": "corrupted",
    "residual_l2": "residual_rms",
    "marked_ml": "predicted_ml",
    "share_marked": "overlap",
    "lesions_found": "lesions_detected",
    "lesion_outside": "lesion_share_outside",
    "similarity": "nmi",
    "turned": "half_turn_ratio",
    "turn_degrees": "rotation_deg",
    "lean_degrees": "tilt_deg",
    "white_grey": "white_grey_contrast",
    "fluid": "csf_grey_contrast",
    "level": "median_intensity",
    "lowest": "min_intensity",
    "clipped": "clipped_fraction",
    "noise": "noise_ratio",
    "missing_slices": "missing_slice_fraction",
    "ghosts": "ghosting_ratio",
}
"""Names of columns that no table has any more, and the new ones."""
TABLES = ("subjects.tsv", "evaluate/metrics.tsv", "evaluate/scans.tsv", "evaluate/lesions.tsv", "evaluate/curves.tsv")
OLD_FILES = {
    "infer/*/seed-*/*/*_anomaly.nii.gz": "*_anomalymap.nii.gz in the subject's folder",
    "sub-*/image.nii.gz": "*_desc-preproc_*.nii.gz in the subject's folder",
}
"""Files of a study's folder and of preprocessed scans that have other names now."""


def refuse_older_layout(study: Path, preprocessed: Iterable[Path] = ()) -> None:
    """Raise InputError if an older version wrote these results.

    `study`: `results/<study>`; `preprocessed`: folders `results/preprocess/<recipe>/<data set>` that it uses. Folders
    that do not exist are fine.
    """
    for folder in (study, *preprocessed):
        for path, why in _signs(folder):
            raise InputError(
                f"{folder} was written by an older version of brainuad",
                file=path,
                why=why,
                do="move the folder away, or delete it, and run the study again; to read it as it is, check out the "
                "version that wrote it (`commit` in its run.json files)",
            )


def _signs(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in (*(folder / name for name in TABLES), *sorted(folder.glob("preprocess/*/quality.tsv"))):
        old = [f"`{column}` is now `{OLD_COLUMNS[column]}`" for column in _columns(path) if column in OLD_COLUMNS]
        if old:
            yield path, "columns were renamed: " + ", ".join(old)
    for pattern, new in OLD_FILES.items():
        for path in folder.glob(pattern):
            yield path, f"the file is now called {new}"


def _columns(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n").split("\t")
    except OSError:
        return []
