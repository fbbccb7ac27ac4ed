"""Compare two results folders cell by cell: every table of a study, under its old and its new names.

    python benchmarks/compare_results.py OLD/results/demo NEW/results/demo

`OLD` may be a folder that an older version wrote: columns, metrics and labels are read under today's names. Prints each
table with its rows, columns and differing cells, and ends with status 1 if any cell differs. Preprocessed scans,
anomaly maps and masks are compared voxel by voxel with `--volumes`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainuad.formats import maps, status

OF_SCAN = {"image.nii.gz": "image", "brain.nii.gz": "brain", "lesion.nii.gz": "mask", "ignore.nii.gz": "ignore"}
"""Keys of `Status.files` by the names of a scan's images before BIDS names."""

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
    "similarity": "nmi",
    "white_grey": "white_grey_contrast",
    "fluid": "csf_grey_contrast",
    "clipped": "clipped_fraction",
    "noise": "noise_ratio",
    "ghosts": "ghosting_ratio",
    "missing_slices": "missing_slice_fraction",
}
OF_TABLE = {"curves.tsv": {"lesion_type": "curve"}, "quality.tsv": {"overlap": "template_dice"}}
"""The same where one old name stood for two things."""
VALUES = {"cut": "threshold", "cut_scan": "threshold_scan", "marked_share": "voxel_fpr"}
ADDED_METRICS = ("ssim",)
"""Metrics that older versions do not have."""
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
    table = table.rename(columns=OF_TABLE.get(path.name, {}))
    return table.replace({"metric": VALUES}) if "metric" in table else table


def compare(old: Path, new: Path) -> int:
    """Print what differs in a table and count it."""
    if not old.exists() or not new.exists():
        print(
            f"{old.name}: only in {old if old.exists() else new}" if old.exists() or new.exists() else f"{old.name}: -"
        )
        return int(old.exists() != new.exists())
    first, second = read(old), read(new)
    if "metric" in first:
        more = second["metric"].isin(ADDED_METRICS) & ~second["metric"].isin(first["metric"])
        second = second[~more].reset_index(drop=True)
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
    """Compare the images of both, voxel by voxel: preprocessed scans, maps, reconstructions and masks."""
    different = 0
    for stage in ("preprocess", "infer", "postprocess", "native"):
        first, second = ((root.parent if stage == "preprocess" else root) / stage for root in (old, new))
        there = [path for path in sorted(first.glob("*/*")) if (second / path.relative_to(first)).exists()]
        pairs = [(image, counterpart(image, first, second)) for path in there for image in path.rglob("*.nii.gz")]
        wrong = [image for image, other in pairs if not same(image, other)]
        for image in wrong:
            print(f"   {image.relative_to(first.parent)} differs or is missing")
        unpaired = set(second.rglob("*.nii.gz")) - {other for _, other in pairs}
        print(f"{stage}: {len(pairs)} images compared, {len(unpaired)} new ones without an old one")
        different += len(wrong) + (len(unpaired) if pairs else 0)
    return different


def counterpart(image: Path, old: Path, new: Path) -> Path:
    """Where the image lies under its name of today, whose folder was the scan's or the data set's before BIDS names."""
    place = image.relative_to(old)
    if image.name in OF_SCAN:
        paths = status.paths(new / place.parent)
        return paths.get(OF_SCAN[image.name], new / "missing.nii.gz")
    if not (parts := re.fullmatch(r"(sub-[^_]+(?:_[a-z]+-[^_]+)*)_(.+)\.nii\.gz", image.name)) or "anat" in place.parts:
        return new / place
    folder, scan, role = new / place.parent, *parts.groups()
    if role.endswith("_mask"):
        return maps.mask_path(folder, scan, role.removesuffix("_mask"))
    of_role = {
        "anomaly": maps.anomaly_path,
        "reconstruction": maps.reconstruction_path,
        "map": maps.processed_path,
    }
    return of_role[role](folder, scan)


def same(first: Path, second: Path) -> bool:
    """Whether both images hold the same voxels on the same grid."""
    if not second.is_file():
        return False
    one, other = nib.load(first), nib.load(second)
    values = np.array_equal(np.asanyarray(one.dataobj), np.asanyarray(other.dataobj))
    return values and np.array_equal(one.affine, other.affine)


if __name__ == "__main__":
    sys.exit(main())
