"""Compare two results folders cell by cell: every table of a study, under its old and its new names.

    python benchmarks/compare_results.py OLD/results/demo NEW/results/demo

`OLD` may be a folder that an older version wrote: columns, metrics and labels are read under today's names. Prints each
table with its rows, columns and differing cells, and ends with status 1 if any cell differs. Preprocessed scans,
anomaly maps and masks are compared voxel by voxel with `--volumes`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

COLUMNS = {
    "chain": "postprocessing",
    "kind": "lesion_type",
    "spoiled": "corrupted",
    "guide": "reference",
    "marked_ml": "predicted_ml",
    "lesions_found": "lesions_detected",
    "residual_l2": "residual_rms",
    "lesion_outside": "lesion_share_outside",
    "share_marked": "overlap",
    "found": "detected",
    "lean_degrees": "tilt_deg",
    "turned": "half_turn_ratio",
    "turn_degrees": "rotation_deg",
    "level": "median_intensity",
    "lowest": "min_intensity",
}
VALUES = {"cut": "threshold", "cut_scan": "threshold_scan", "marked_share": "voxel_fpr"}
CURVES = {"lesion_type": "curve"}
TABLES = (
    "subjects.tsv",
    "evaluate/metrics.tsv",
    "evaluate/scans.tsv",
    "evaluate/lesions.tsv",
    "evaluate/curves.tsv",
    "evaluate/comparisons.tsv",
    "failures.tsv",
)
PATHS = {"image", "mask", "reference", "ignore", "note", "reason"}
"""Columns of paths and sentences, whose words may differ."""


def main() -> int:
    """Compare; 1 if any cell or voxel differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument(
        "--volumes", action="store_true", help="compare images of preprocess, infer and postprocess too"
    )
    given = parser.parse_args()
    quality = [f"preprocess/{path.parent.name}/quality.tsv" for path in given.old.glob("preprocess/*/quality.tsv")]
    different = sum(compare(given.old / name, given.new / name) for name in (*TABLES, *sorted(quality)))
    if given.volumes:
        different += volumes(given.old, given.new)
    print("no cell differs" if not different else f"{different} differences")
    return int(different > 0)


def read(path: Path) -> pd.DataFrame:
    """A table as text, under today's names."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    table = table.rename(columns=COLUMNS)
    if path.name == "curves.tsv":
        table = table.rename(columns=CURVES)
    return table.replace({"metric": VALUES}) if "metric" in table else table


def compare(old: Path, new: Path) -> int:
    """Print what differs in a table and count it."""
    if not old.exists() or not new.exists():
        print(
            f"{old.name}: only in {old if old.exists() else new}" if old.exists() or new.exists() else f"{old.name}: -"
        )
        return int(old.exists() != new.exists())
    first, second = read(old), read(new)
    gone, added = [sorted(set(a) - set(b)) for a, b in ((first, second), (second, first))]
    shared = [name for name in first.columns if name in second.columns and name not in PATHS]
    words = f"{old.parent.name}/{old.name}: {len(first)} and {len(second)} rows, {len(shared)} columns compared"
    print(words + (f", gone {gone}" if gone else "") + (f", added {added}" if added else ""))
    if len(first) != len(second):
        keys = [n for n in ("metric", "threshold_rule", "scan") if n in shared]
        if keys:
            extra = set(map(tuple, second[keys].values)) ^ set(map(tuple, first[keys].values))
            print("   keys in one table alone:", sorted(extra)[:12])
        return abs(len(first) - len(second))
    wrong = first[shared].ne(second[shared])
    for name in shared:
        for row in wrong.index[wrong[name]][:3]:
            print(f"   row {row}, {name}: {first[name][row]!r} and {second[name][row]!r}")
    return int(wrong.to_numpy().sum())


def volumes(old: Path, new: Path) -> int:
    """Compare the images that both hold for the same model, data set, scan and role, voxel by voxel."""
    different = 0
    for stage in ("infer", "postprocess"):
        pairs = list(zip(images(old / stage), images(new / stage), strict=False))
        for first, second in pairs:
            a, b = (np.asanyarray(nib.load(path).dataobj) for path in (first, second))
            if a.shape != b.shape or not np.array_equal(a, b):
                print(f"   {first.relative_to(old)} and {second.relative_to(new)} differ")
                different += 1
        print(f"{stage}: {len(pairs)} images compared")
        different += abs(len(images(old / stage)) - len(images(new / stage)))
    return different


def images(folder: Path) -> list[Path]:
    """Images below a folder, in an order that does not hang on their endings."""
    return sorted(folder.rglob("*.nii.gz"), key=lambda path: (str(path.parent), path.name.split("_")[0], path.name))


if __name__ == "__main__":
    sys.exit(main())
