"""The tables that evaluate writes: columns, their meaning, reading and writing. Equal content gives equal bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from brainuad.errors import InputError
from brainuad.formats.files import atomic

METRICS = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "postprocessing": "label of the post-processing chain",
    "threshold_rule": "how the map became a mask: none, a rule of the study, or oracle (cut chosen on test labels)",
    "metric": "name; its kind is part of it, e.g. dice_pooled",
    "value": "the number",
    "ci_low": "lower end of the 95 % bootstrap interval over patients; empty under three patients",
    "ci_high": "upper end",
    "n": "scans that the number rests on",
}
METRIC_NAMES = {
    "prevalence": "share of scored voxels that are lesion, over all scans: what AUPRC is by chance",
    "auprc_pooled": "area under the precision-recall curve (average precision) over the voxels of all scans",
    "auprc_scan": "the same for each scan alone, mean over patients",
    "auroc_pooled": "area under the ROC curve over the voxels of all scans",
    "auprc_scan_<lesion_type>": "the same for the scans with one kind of artificial anomaly or lesion, among others maybe",
    "auroc_scan": "scan level: area under the ROC curve of the anomaly score, which no chain changes, scans that "
    "are not healthy against the study's healthy test scans",
    "auroc_scan_<lesion_type>": "the same for the scans with one kind of artificial anomaly or lesion, or of corrupted scans, "
    "against all healthy ones",
    "ap_scan": "scan level: average precision (area under the precision-recall curve) of that score",
    "ap_scan_<lesion_type>": "the same for one kind, against all healthy ones",
    "prevalence_scan": "share of scans that are not healthy: what ap_scan is by chance",
    "threshold": "the threshold, in units of the map after the chain's map operators",
    "dice_pooled": "Dice over the voxels of all scans together; as oracle, at the cut that makes it best",
    "dice_volume": "Dice of each scan, mean over patients; scans without lesion and mark are left out (see dice_empty)",
    "dice_slice": "Dice of each axial slice that holds lesion, mean over slices",
    "dice_empty": "scans that hold neither lesion nor mark, and so no Dice",
    "lesion_recall": "share of the lesions of a counted size that are found",
    "lesion_recall_small": "the same for lesions under 1 ml",
    "lesion_recall_medium": "the same for lesions of 1 to 10 ml",
    "lesion_recall_large": "the same for lesions of 10 ml or more",
    "fp_per_scan": "marked components of a counted size that overlap no lesion, per scan",
    "peak_hit_rate": "share of scans with lesions where the highest value of the map lies in or near one, mean over "
    "patients; under a rule's name where the chain leaves one component, in which it is then sought",
    "voxel_fpr": "share of lesion-free scored voxels that is marked: the voxel-wise false-positive rate",
    "threshold_scan": "scan level: the quantile of the scores of healthy validation scans above which a scan is abnormal",
    "sensitivity_scan": "share of scans that are not healthy above that cut: the recall",
    "specificity_scan": "share of healthy scans that are not above it",
    "oracle_youden_sensitivity": "scan level, at the cut on the score with the best Youden index: share of scans "
    "that are not healthy and reach it",
    "oracle_youden_specificity": "at the same cut: share of healthy scans under it",
    "oracle_youden_accuracy": "at the same cut: share of scans on the right side",
}
SCANS = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "postprocessing": "label of the post-processing chain",
    "scan": "label of the scan",
    "subject": "label of the person",
    "healthy": "1 if the scan holds neither lesion nor other pathology, and is not corrupted",
    "lesion_type": "type of its artificial anomaly or corruption, or types of its lesions, joined by `;`; else empty",
    "brain_ml": "volume of the scored brain, in ml",
    "lesion_ml": "volume of the lesion mask inside the scored brain, in ml",
    "lesion_outside": "share of the lesion mask outside the scored brain; empty without lesions",
    "score": "anomaly score of the scan",
    "auprc": "area under the precision-recall curve over its voxels; empty without lesions",
    "auroc": "area under the ROC curve over its voxels; empty without lesions",
    "residual_rms": "root mean square of scan minus reconstruction over the scored brain; empty without reconstruction",
    "peak_x_mm": "where the map is highest in the scored brain, or in the component that the chain leaves, in MNI mm; "
    "empty where that marks nothing",
    "peak_y_mm": "the same",
    "peak_z_mm": "the same",
    "peak_hit": "1 if a lesion lies there or near; empty for scans without lesion",
    "threshold_rule": "rule behind the columns that follow: the first of the study that found a cut; else none",
    "threshold": "the cut, in units of the map",
    "dice": "Dice of the mask; empty in healthy data sets and where neither lesion nor mark is",
    "predicted_ml": "volume marked, in ml",
    "false_positives": "marked components of a counted size that overlap no lesion",
    "lesions": "lesions of the smallest counted size or more",
    "lesions_detected": "of these, found",
}
LESIONS = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "postprocessing": "label of the post-processing chain",
    "scan": "label of the scan",
    "threshold_rule": "rule that made the mask",
    "lesion": "number of the lesion in its scan, largest first; those under the smallest counted size are left out",
    "ml": "its volume in the scored brain",
    "overlap": "share of it that is marked",
    "detected": "1 if that share is large enough",
}
COMPARISONS = {
    "dataset": "label of the test data set",
    "postprocessing": "label of the post-processing chain",
    "model": "label of the model",
    "reference": "label of the model that it is compared with",
    "metric": "per-scan number that is compared",
    "difference": "mean over patients of model minus reference",
    "ci_low": "lower end of its 95 % bootstrap interval over patients",
    "ci_high": "upper end",
    "p": "two-sided Wilcoxon signed-rank test over patients",
    "p_holm": "the same, corrected for all comparisons of the table (Holm 1979)",
    "n": "patients",
}
CURVES = {
    "model": "label of the model in the study",
    "seed": "training seed",
    "dataset": "label of the test data set",
    "postprocessing": "label of the post-processing chain",
    "curve": "pr, or a histogram of the map: healthy (healthy scans), normal and lesion (voxels of scans with lesions)",
    "x": "recall, or the left edge of the bin in units of the map",
    "y": "precision, or the share of voxels per unit of the map in the bin; the outer bins hold all that lies beyond",
}
DIGITS = 6


def write(path: str | Path, table: pd.DataFrame, columns: dict[str, str]) -> None:
    """Write a table with these columns, numbers to six significant digits."""
    with atomic(path) as part:
        table.to_csv(part, sep="\t", index=False, columns=list(columns), float_format=f"%.{DIGITS}g")


def read(path: str | Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a table; raises InputError if its columns are others. Labels stay text, `none` included."""
    text = dict.fromkeys(
        {
            "model",
            "dataset",
            "postprocessing",
            "scan",
            "subject",
            "threshold_rule",
            "metric",
            "reference",
            "lesion_type",
            "curve",
        },
        str,
    )
    try:
        table = pd.read_csv(path, sep="\t", dtype=text, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {Path(path).name}", file=path, why=str(error), do="run evaluate again") from None
    if list(table.columns) != list(columns):
        raise InputError(f"{Path(path).name} has other columns", file=path, do="delete it and run again")
    return table
