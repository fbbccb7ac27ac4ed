"""Add a metric as docs/contributing says: one function in one place. It appears wherever metrics do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_files import SHAPE, EvaluationFiles

from brainuad.code_hash import PACKAGE, CodeHasher
from brainuad.jobs.registry import STAGE_OF

TOY = '''

@metric(MaskEvidence, label="predicted share", direction="neither", shown=True, tracked=True)
def predicted_share(masks: MaskEvidence) -> Estimate:
    """Predicted voxels for each lesion voxel, over all scans together."""
    return masks.patients.ratio(masks.predicted, masks.lesion, scale="amount")


@metric(ScanMaskEvidence, label="volume difference", direction="neither", unit="voxels")
def volume_difference(scan: ScanMaskEvidence) -> float:
    """Predicted minus true lesion voxels of a scan."""
    return float(scan.predicted.sum() - scan.lesion.sum())
'''
SHOW = """
import json, sys
from pathlib import Path
from evaluation_files import EvaluationFiles
from brainuad.formats import tables
from brainuad.reference import columns_page
from brainuad.report.table import comparison
from brainuad.terminal import text
from brainuad.track.run_import import view_columns

files = EvaluationFiles(Path(sys.argv[1]), write=False)
posts = {"none": files.root / "post/dae/ms/none"}
table = tables.read(files.run("dae", "ms", posts, files.root / "out") / "metrics.tsv", tables.METRICS)
found = {"rows": table.to_dict("records"), "text": text(comparison(table)), "page": columns_page()}
print(json.dumps(found | {"tracked": view_columns(table.to_dict("records"))}))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What a copy of the package with one more metric makes of a small evaluation."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(PACKAGE, folder / "src/brainuad", ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "src/brainuad/metrics/mask_metrics.py", "a", encoding="utf-8") as file:
        file.write("\n\nfrom brainuad.metrics.evidence import ScanMaskEvidence\n" + TOY)
    files = EvaluationFiles(folder / "files")
    for name in files.scans:
        files.infer("dae", name, lambda lesion: files.rng.standard_normal(SHAPE) + 4 * lesion)
    files.post("dae", "ms", "none", lambda lesion: lesion | np.roll(lesion, 4, axis=1))
    path = os.pathsep.join([str(folder / "src"), str(Path(__file__).parents[1] / "helpers")])
    command = [sys.executable, "-c", SHOW, str(folder / "files")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), CodeHasher(folder / "src/brainuad")


def test_the_metric_is_a_row_of_metrics_tsv(shown):
    rows = [row for row in shown[0]["rows"] if row["metric"] == "predicted_share"]
    assert [row["threshold_rule"] for row in rows] == ["healthy_quantile_0.98", "fixed_2"]
    assert [row["n"] for row in rows] == [5, 5]
    assert all(1.8 < row["ci_low"] <= row["value"] <= row["ci_high"] < 2 for row in rows)


def test_a_metric_of_each_scan_is_averaged_over_patients(shown):
    rows = [row for row in shown[0]["rows"] if row["metric"] == "volume_difference"]
    assert [(row["threshold_rule"], row["n"]) for row in rows] == [("healthy_quantile_0.98", 5), ("fixed_2", 5)]
    assert all(26 <= row["value"] <= 28 for row in rows), "each lesion was predicted twice"


def test_the_metric_is_a_column_of_the_comparison(shown):
    assert "predicted share" in shown[0]["text"].splitlines()[1]


def test_the_metric_is_tracked(shown):
    assert "predicted_share/ms:healthy_quantile_0.98" in shown[0]["tracked"]


def test_the_metric_is_documented(shown):
    row = "| `predicted_share` | predicted share | neither |  | yes | Predicted voxels for each lesion voxel, "
    assert row in shown[0]["page"]


def test_evaluations_are_run_again_and_nothing_before_them(shown):
    before = CodeHasher(PACKAGE)
    roots = {rule: f"brainuad.{STAGE_OF[rule]}.{rule}_job:JOB" for rule in STAGE_OF}
    changed = {rule for rule, root in roots.items() if shown[1].code_hash(root) != before.code_hash(root)}
    assert changed == {"evaluate", "track", "report"}, "and what follows them"
