"""Maps, masks and scores of a model's scans: file names in the folders of infer and postprocess, checked on the way in.

infer writes `<scan>_anomaly.nii.gz` and `scores.tsv` (scan and score among its columns); postprocess writes
`<scan>_map.nii.gz` where a chain changes maps, and `<scan>_<threshold rule>_mask.nii.gz`. All on the store's grid.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from brainuad.errors import InputError
from brainuad.formats import volume

SCORES = "scores.tsv"


def anomaly_path(folder: Path, scan: str) -> Path:
    """The map that infer wrote."""
    return folder / f"{scan}_anomaly.nii.gz"


def reconstruction_path(folder: Path, scan: str) -> Path:
    """What infer wrote beside the map; there only if the method has a reconstruction."""
    return folder / f"{scan}_reconstruction.nii.gz"


def processed_path(folder: Path, scan: str) -> Path:
    """The map after a chain's map operators; there only if the chain has some."""
    return folder / f"{scan}_map.nii.gz"


def mask_path(folder: Path, scan: str, rule: str) -> Path:
    """The mask that a threshold rule made."""
    return folder / f"{scan}_{rule}_mask.nii.gz"


def read_map(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
    """Read a map as float32; raises InputError if it is missing, broken, holds NaN or lies on another grid."""
    return _on_grid(path, volume.read(path, constant=True).data, shape)


def read_mask(path: Path, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y z"]:
    """Read a mask; raises InputError as `read_map`."""
    return _on_grid(path, volume.read_mask(path).data, shape)


def read_scores(folder: Path) -> dict[str, float]:
    """Anomaly score by scan; raises InputError if the table is missing or lacks a column."""
    path = folder / SCORES
    try:
        table = pd.read_csv(path, sep="\t", dtype={"scan": str}, float_precision="round_trip")
        return dict(zip(table["scan"], table["score"].astype(float), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise InputError("cannot read the scores", file=path, why=str(error), do="run infer again") from None


def _on_grid(path: Path, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if data.shape != shape:
        why = f"it has the shape {data.shape}, the store {shape}"
        raise InputError(f"{path.name} is not on the store's grid", file=path, why=why, do="run infer again")
    return data
