"""The whole chain on the shrunken study: what lies where, what the tables hold, what a second run does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd

from brainuad.formats import array_cache, maps, scans, tables, volume
from brainuad.metrics import by_name


def test_every_promised_output_is_there(finished):
    study = finished.results / "test"
    for name in ("metrics", "scans", "lesions", "curves", "comparisons"):
        assert (study / f"evaluate/{name}.tsv").stat().st_size > 0
    assert (study / "report/index.html").stat().st_size < 15e6
    assert json.loads((study / "track.json").read_text())
    assert (finished.results / "mlflow/mlflow.db").exists()
    for model in ("thresh_histeq", "zscore_atlas", "sae_test"):
        assert (study / f"infer/{model}/seed-1/planted").is_dir()
        assert (study / f"train/{model}/seed-0/bundle.json").exists()
    assert not list(finished.results.rglob(".part-*")), "something half-written stayed behind"


def test_a_second_run_does_nothing_also_after_the_report_was_made_by_hand(finished):
    command = [sys.executable, "-m", "brainuad.cli", "report", "results/test", "--study", "study.yaml"]
    masks = {"BRAINUAD_TEST_MASKS": str(finished.folder / "masks")}
    environment = {**os.environ, **masks}
    done = subprocess.run(command, capture_output=True, text=True, cwd=finished.folder, env=environment)
    assert "no evaluation is missing" in done.stdout, done.stderr[-3000:]
    assert finished.would_run(finished.study()) == {}


def test_tables_have_their_columns_and_a_row_per_scan(finished):
    folder = finished.results / "test/evaluate"
    metrics = tables.read(folder / "metrics.tsv", tables.METRICS)
    rows = tables.read(folder / "scans.tsv", tables.SCANS)
    assert set(metrics["dataset"]) == {"healthy", "patients", "planted"}
    names = {re.sub("_(small|medium|large)$", "", name) for name in metrics["metric"]}
    assert names <= {re.sub("_<.+>$", "", name) for name in by_name()}
    assert not rows.duplicated(["scan", "model", "seed", "postprocessing", "dataset"]).any()
    split = scans.with_role(scans.read(finished.results / "test/subjects.tsv"), "test")
    planted = len(scans.with_role(array_cache.read(finished.results / "test/normalize/planted").scans, "test"))
    expected = (len(split) + planted) * 3 * 2 * 2  # models, seeds, chains
    assert len(rows) == expected


def test_maps_are_on_the_scans_grid_and_zero_outside_the_brain(finished):
    study = finished.results / "test"
    data = array_cache.read(study / "normalize/patients")
    for i, scan in enumerate(data.scans):
        anomaly = volume.read(maps.anomaly_path(study / "infer/sae_test/seed-0/patients", scan.scan))
        np.testing.assert_allclose(anomaly.affine, data.affine)
        assert not anomaly.data[~np.asarray(data.brains[i])].any()
        assert anomaly.data.any()


def test_the_oracle_never_leaves_its_own_rows(finished):
    study = finished.results / "test"
    metrics = tables.read(study / "evaluate/metrics.tsv", tables.METRICS)
    assert "oracle" in set(metrics["threshold_rule"])
    for path in study.glob("postprocess/*/*/*/*"):
        assert not list(path.rglob("*oracle*"))
        assert "oracle" not in (path / "thresholds.json").read_text()


def test_no_test_subject_trains_or_validates(finished):
    rows = scans.read(finished.results / "test/subjects.tsv")
    roles: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        roles.setdefault((row.dataset, row.subject), set()).add(row.role)
    assert all(len(found) == 1 for found in roles.values())
    trained = json.loads((finished.results / "test/train/sae_test/seed-0/bundle.json").read_text())["training"]
    test = {row.scan for row in rows if row.dataset == "healthy" and row.role != "train"}
    assert not test & {label.split("/")[-1] for label in trained["labels"]}


def test_inserted_scans_keep_the_role_of_their_subject(finished):
    split = {row.subject: row.role for row in scans.read(finished.results / "test/normalize/healthy.tsv")}
    planted = array_cache.read(finished.results / "test/normalize/planted")
    assert {row.role for row in planted.scans} == {"validation", "test"}
    assert all(split[row.subject] == row.role for row in planted.scans)
    lesions = np.asarray(array_cache.read_lesions(finished.results / "test/normalize/planted"))
    assert (lesions.reshape(len(lesions), -1).sum(axis=1) > 0).all()


def test_costs_and_failures_are_listed(finished):
    study = finished.results / "test"
    costs = pd.read_csv(study / "costs.tsv", sep="\t")
    assert {"train", "infer", "postprocess", "evaluate"} <= set(costs["stage"])
    assert (costs["seconds"] > 0).all()
    assert pd.read_csv(study / "failures.tsv", sep="\t").empty


def test_snakemakes_own_report_can_be_made(finished):
    page = finished.folder / "snakemake.html"
    done = finished.snakemake(finished.study(), "--report", str(page))
    assert done.returncode == 0, done.stderr[-3000:]
    assert 10_000 < page.stat().st_size < 15e6
