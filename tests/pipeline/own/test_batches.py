"""The number of scans a job changes who does the work, and nothing of what comes out."""

from __future__ import annotations

from typing import Any

import pytest
from workspace import Workspace, jobs

from brainuad.formats import names

SPLIT = "results/test/normalize/heads.tsv"


@pytest.fixture
def heads(make_workspace) -> Workspace:
    """Three scans that cannot be read, which are preprocessed in no time."""
    own: Workspace = make_workspace()
    for number in range(3):
        add(own, f"sub-{number}0")
    return own


def add(own: Workspace, scan: str) -> None:
    path = own.folder / f"heads/{scan}/anat/{scan}_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no scan")


def study(own: Workspace, batch: int, **changes: Any) -> dict[str, Any]:
    split = {"train": 0.34, "validation": 0.33, "test": 0.33}
    heads = {"source": "folder", "root": str(own.folder / "heads"), "healthy": True, "split": split}
    small = {
        "datasets": {"heads": heads},
        "models": {"zscore_atlas": None},
        "seeds": [0],
        "postprocessing": {"none": "none"},
    }
    return own.study(**small, compute={"scans_per_job": batch}, **changes)


def run(own: Workspace, batch: int, **changes: Any) -> dict[str, int]:
    """Preprocess and draw the split; the jobs that did it."""
    done = own.snakemake(study(own, batch, **changes), "--quiet", "rules", "--", SPLIT)
    assert done.returncode == 0, done.stderr[-3000:]
    return jobs(done.stdout + done.stderr)


def made(own: Workspace) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in own.results.glob("preprocess/*/heads/*/status.json")}


def changed(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return sorted(scan for scan, when in after.items() if before.get(scan) != when)


def test_scans_are_made_once_whatever_the_batch(heads: Workspace):
    assert run(heads, 1)["preprocess"] == 3
    first = made(heads)
    assert len(first) == 3
    assert run(heads, 2)["preprocess_batch"] == 2
    assert made(heads) == first
    planned = heads.would_run(study(heads, 1))
    assert not {"preprocess", "preprocess_batch"} & planned.keys(), "their marks are still there"

    add(heads, "sub-05")
    assert run(heads, 2)["preprocess_batch"] == 2
    second = made(heads)
    assert changed(first, second) == ["sub-05"]

    fine = {"recipe__set__preprocess__spacing": 3.0}
    run(heads, 2, **fine)
    third = made(heads)
    assert len(changed(second, third)) == 4
    # what a batch made anew must not pass for what single jobs once made with the old settings
    assert heads.would_run(study(heads, 1))["preprocess"] == 4
    assert run(heads, 1, **fine)["preprocess"] == 4
    assert made(heads) == third
    folder = heads.results / "preprocess/mri_4mm/heads"
    described = {names.DESCRIPTION, names.README, names.IGNORE}
    assert {path.name for path in folder.iterdir()} == {"batches", *described, *third}

    (folder / "sub-00").rename(heads.folder / "lost")
    assert heads.would_run(study(heads, 1, **fine))["preprocess"] == 1
