"""Artificial anomalies, corrupted scans, a model trained in stages, two maps of one training, the page of a paper."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from workspace import REPOSITORY, Workspace

from brainuad.formats import tables

SMALL = {
    "network": {"size": 16, "channels": [4, 8], "latent": 4},
    "adversarial": {"critic_steps": 1},
    **{
        part: {"steps": 6, "validate_every": 3, "batch_size": 4}
        for part in ("train", "encoder_train", "fine_tune_train")
    },
}


@pytest.fixture(scope="module")
def paper(finished: Workspace) -> Workspace:
    """A study of its own in the same folder, whose healthy heads are preprocessed already."""
    study = finished.study(
        study="paper",
        paper="simarro2020",
        seeds=[0],
        datasets=lambda old: {
            "healthy": old["healthy"],
            "odd": {"source": "artificial", "into": "healthy", "anomaly_types": ["uniform", "sprite"], "draws": 2},
            "bad": {"source": "corrupted", "into": "healthy", "corruption_types": ["rotated", "noise"], "draws": 2},
        },
        models={
            "zscore_atlas": None,
            "fanogan3d_test": {"use": "fanogan3d", "set": SMALL, "maps": {"z": {"standardise": True}}},
        },
        postprocessing={"fanogan": "fanogan"},
        thresholds=[{"rule": "healthy_quantile"}],
    )
    done = finished.snakemake(study, name="paper")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return finished


def test_scans_carry_the_type_of_their_anomaly_or_corruption(paper):
    rows = tables.read(paper.results / "paper/evaluate/scans.tsv", tables.SCANS)
    types = {label: set(part["lesion_type"]) for label, part in rows[rows["dataset"] != "healthy"].groupby("dataset")}
    assert types == {"odd": {"uniform", "sprite"}, "bad": {"rotated", "noise"}}


def test_corrupted_scans_are_scored_as_whole_scans_only(paper):
    metrics = tables.read(paper.results / "paper/evaluate/metrics.tsv", tables.METRICS)
    bad = set(metrics[metrics["dataset"] == "bad"]["metric"])
    assert {"auroc_scan", "auroc_scan_rotated", "oracle_youden_accuracy"} <= bad
    assert not {"auprc_pooled", "dice_volume"} & bad
    assert "auprc_pooled" in set(metrics[metrics["dataset"] == "odd"]["metric"])


def test_two_maps_share_one_training_of_three_stages(paper):
    study = paper.results / "paper"
    assert sorted(path.name for path in (study / "train").iterdir()) == ["fanogan3d_test", "zscore_atlas"]
    facts = json.loads((study / "train/fanogan3d_test/seed-0/run.json").read_text())["facts"]
    assert (facts["steps"], facts["encoder_steps"], facts["fine_tune_steps"]) == (18, 6, 6)
    metrics = tables.read(study / "evaluate/metrics.tsv", tables.METRICS)
    value = metrics[(metrics["dataset"] == "odd") & (metrics["metric"] == "auprc_pooled")].set_index("model")["value"]
    assert value["fanogan3d_test"] != value["fanogan3d_test_z"]
    assert set(json.loads((study / "track.json").read_text())) == {
        "zscore_atlas/seed-0",
        "fanogan3d_test/seed-0",
        "fanogan3d_test_z/seed-0",
    }


def test_the_page_of_the_paper_never_calls_a_stand_in_reproduced(paper, tmp_path):
    command = [sys.executable, "-m", "brainuad.cli", "compare-paper", str(paper.folder / "paper.yaml")]
    masks = {"BRAINUAD_TEST_MASKS": str(paper.folder / "masks")}
    done = subprocess.run(
        [*command, "--docs", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=paper.folder,
        env={**os.environ, **masks},
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "simarro2020.md").read_text()
    assert "fanogan3d" in page
    assert "not comparable" in page
    assert "| reproduced" not in page


def test_every_model_is_listed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "brainuad.cli", "models"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    for name in ("paolini_cevae1", "kuz_vqvae_t", "baur_anogan", "fanogan3d"):
        assert name in done.stdout
