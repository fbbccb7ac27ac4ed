"""The study of real scans, on a few of them and with the baselines alone: from a folder of links to its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from brainuad.formats import scans, tables

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight IXI heads, 60 stroke masks, the patient with MS and two foreign heads; returns the study's folder."""
    data, work = Path(os.environ["BRAINUAD_REAL_DATA"]), tmp_path_factory.mktemp("real")
    root = work / "data"
    for name, count in (("ixi", 8), ("ds000011", 2), ("openms", 1)):
        (root / name).mkdir(parents=True)
        for subject in sorted((data / name).glob("sub-*"))[:count]:
            (root / name / subject.name).symlink_to(subject)
    for mask_pool in ("acute_stroke", "chronic_stroke"):
        (root / "lesions" / mask_pool).mkdir(parents=True)
        for mask in sorted((data / "lesions" / mask_pool).glob("*.nii.gz"))[:30]:
            (root / "lesions" / mask_pool / mask.name).symlink_to(mask)
    study = yaml.safe_load((REPOSITORY / "config/studies/real_t1.yaml").read_text())
    study["datasets"]["ixi"]["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    study["models"] = {"thresh_histeq": None, "zscore_atlas": None}
    (work / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(work), "--configfile", str(work / "study.yaml")]
    environment = {**os.environ, "BRAINUAD_REAL_DATA": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return work / "results/real_t1"


def test_every_head_is_placed(finished):
    rows = scans.read(finished / "subjects.tsv")
    assert len(rows) == 11
    assert {row.state for row in rows} == {"ok"}


def test_sets_that_are_absent_were_left_out(finished):
    found = set(tables.read(finished / "evaluate/metrics.tsv", tables.METRICS)["dataset"])
    assert found == {"ixi", "stroke_a", "stroke_b", "openms", "ds000011"}


def test_planted_strokes_are_found_better_than_by_chance_and_strong_ones_best(finished):
    table = tables.read(finished / "evaluate/metrics.tsv", tables.METRICS)
    table = table[(table["postprocessing"] == "none") & (table["threshold_rule"] == "none")]
    value = table.set_index(["model", "dataset", "metric"])["value"]
    strong, faint = (value["zscore_atlas", name, "auprc_pooled"] for name in ("stroke_a", "stroke_b"))
    assert strong > 3 * value["zscore_atlas", "stroke_a", "prevalence"]
    assert strong > faint
    assert strong > value["thresh_histeq", "stroke_a", "auprc_pooled"]


def test_a_patient_lies_inside_the_scored_brain(finished):
    rows = tables.read(finished / "evaluate/scans.tsv", tables.SCANS)
    chosen = (rows["dataset"] == "openms") & (rows["model"] == "zscore_atlas") & (rows["postprocessing"] == "none")
    (patient,) = rows[chosen].itertuples()
    assert patient.lesion_ml > 1
    assert patient.lesion_share_outside < 0.2
