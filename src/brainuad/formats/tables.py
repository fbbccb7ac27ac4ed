"""The tables that evaluate writes: columns, their meaning, reading and writing. Equal content gives equal bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from brainuad.errors import InputError
from brainuad.formats.files import atomic

JOB_COLUMNS = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "postprocessing": "label of the postprocessing",
}
METRICS = JOB_COLUMNS | {
    "threshold_rule": "how maps were thresholded: none, a rule of the study, or oracle (chosen on the test labels)",
    "metric": "name, see below",
    "value": "the number",
    "ci_low": "lower end of the 95 % interval over patients, empty under three patients and for an amount of 0; for "
    "`sensitivity_scan` and `specificity_scan` of the exact binomial interval",
    "ci_high": "upper end",
    "n": "scans that the number rests on",
    "space": "grid that was scored: template, or native, each scan's own (`evaluate.space`)",
}
SCANS = JOB_COLUMNS | {
    "scan": "label of the scan",
    "subject": "label of the person",
    "healthy": "1 if the scan holds neither lesion nor other pathology, and is not corrupted",
    "unmarked": "1 for a patient whose lesion mask marks nothing: neither healthy nor abnormal in numbers of whole "
    "scans; its voxels count as free of lesion",
    "site": "site or scanner; empty where unknown",
    "lesion_type": "type of its artificial anomaly or corruption, or types of its lesions, joined by `;`; else empty",
    "brain_ml": "volume of the scored brain in the scan's own space, in ml",
    "lesion_ml": "volume of the lesion mask in and outside the scored brain in the scan's own space, in ml",
    "lesion_share_outside": "share of the lesion mask outside the scored brain, which counts as missed; empty without "
    "lesions",
    "dice_ceiling": "best Dice that a mask in the scored brain can reach; empty without lesions",
    "map_empty": "share of the brain in which the anomaly map holds nothing",
    "map_outside": "share of the anomaly map that lies outside the brain",
    "map_moved": "how the anomaly map seems to have been moved from the brain, such as `flipped along x`; else empty",
    "score": "anomaly score of the scan",
    "p_healthy": "conformal p value of the score: (1 + people of the healthy calibration or validation scans who reach "
    "it) / (1 + their number); empty without such scans",
    "auprc": "area under the precision-recall curve over its voxels; empty without lesions",
    "auroc": "area under the ROC curve over its voxels; empty without lesions",
    "residual_rms": "root mean square of scan minus reconstruction over the scored brain; empty without reconstruction",
    "ssim": "structural similarity of scan and reconstruction over the scored brain; empty without reconstruction",
    "peak_x_mm": "where the map is highest in the scored brain, or in the component that the postprocessing leaves, "
    "in MNI mm; empty where nothing is predicted",
    "peak_y_mm": "the same",
    "peak_z_mm": "the same",
    "peak_hit": "1 if a lesion lies there or near; empty for scans without lesion",
    "threshold_rule": "rule behind the columns that follow: the first of the study that found a threshold; else none",
    "threshold": "the threshold, in units of the map",
    "dice": "Dice of the mask; empty in healthy data sets and where neither lesion nor predicted voxel is",
    "predicted_ml": "predicted volume in the scan's own space, in ml",
    "false_positives": "predicted components of a counted size that detect no lesion",
    "false_ml": "predicted volume that is no lesion in the scan's own space, in ml",
    "lesions": "lesions of the smallest counted size or more",
    "lesions_detected": "of these, detected",
}
OF_SEQUENCES = {
    "missing": "sequences of the study that the session lacks or that cannot be used, joined by `;`: its map rests on "
    "the others",
}
"""Further columns of `SCANS`, in a table with a session that lacks a sequence."""
LESIONS = JOB_COLUMNS | {
    "scan": "label of the scan",
    "threshold_rule": "threshold rule of the mask",
    "lesion": "number of the lesion in its scan, largest first; those under the smallest counted size are excluded",
    "ml": "its volume in and outside the scored brain, in the scan's own space",
    "share_outside": "share of it outside the scored brain, which counts as missed",
    "overlap": "share of it that is predicted",
    "detected": "1 if a predicted component is paired with it (`evaluate.matching`)",
}
COMPARISONS = {
    "dataset": "label of the test data set",
    "postprocessing": "label of the postprocessing",
    "metric": "per-scan number that is compared",
    "model": "label of the model",
    "reference": "label of the model that it is compared with",
    "baseline": "1 if the reference is a trivial baseline, else 0",
    "n": "patients that both have",
    "seeds": "trainings that both have; with one the comparison is of these two trainings, not of the models",
    "difference": "mean over patients and seeds of model minus reference",
    "ci_low": "lower end of its 95 % interval, over patients and seeds; not corrected for the number of comparisons",
    "ci_high": "upper end",
    "p": "two-sided permutation test over patients, in which the variance between seeds counts",
    "p_adjusted": "the same, corrected for all comparisons of the table; empty in data sets of under ten patients",
    "verdict": "`better` or `worse` than the reference where p_adjusted is under 0.05, else `undecided`; `too few` "
    "under ten patients",
    "n_needed": "patients with which a difference of this size would be decided (80 % power); empty where it is "
    "decided, where over 10,000 would be needed, and where only more seeds would help",
    "same_as": "earlier postprocessing that gives the same numbers, so that this row is not counted again; else empty",
}
CURVES = JOB_COLUMNS | {
    "curve": "pr; roc_scan, of the scores of whole scans; froc and froc_ml, of the first threshold rule; or a "
    "histogram of the map: healthy (healthy scans), normal and lesion (voxels of scans with lesions)",
    "x": "recall; 1 - specificity; false positives per scan or their ml; or the left edge of the bin in units of the "
    "map",
    "y": "precision; sensitivity; lesion recall; or the share of voxels per unit of the map in the bin, where the "
    "outer bins hold all that lies beyond",
}
DIGITS = 6
TEXT = (
    *("model", "dataset", "postprocessing", "scan", "subject", "site", "lesion_type", "map_moved"),
    *("threshold_rule", "metric", "reference", "verdict", "same_as", "curve", "input", "kind", "space", "missing"),
)
"""Columns of text."""


def write(path: str | Path, table: pd.DataFrame, columns: dict[str, str]) -> None:
    """Write a table with these columns, numbers to six significant digits."""
    further = [name for name in OF_SEQUENCES if columns == SCANS and name in table and table[name].fillna("").any()]
    with atomic(path) as part:
        table.to_csv(part, sep="\t", index=False, columns=[*columns, *further], float_format=f"%.{DIGITS}g")


def read(path: str | Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a table; raises InputError if its columns are others. Labels stay text, `none` included."""
    try:
        table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {Path(path).name}", file=path, why=str(error), do="run evaluate again") from None
    further = [*columns, *OF_SEQUENCES] if columns == SCANS else list(columns)
    if list(table.columns) not in (list(columns), further):
        raise InputError(f"{Path(path).name} has other columns", file=path, do="delete it and run again")
    return table
