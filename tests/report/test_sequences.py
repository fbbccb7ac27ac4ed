"""The viewer of the report, where a session has several sequences."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainuad.config.load import build_study
from brainuad.formats import array_cache
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.report import examples, viewer

SHAPE, SEQUENCES = (12, 14, 9), ["T1w", "FLAIR"]
BRAIN = np.zeros(SHAPE, bool)
BRAIN[2:-2, 2:-2, 1:-1] = True

STUDY: dict[str, Any] = {
    "study": "tiny", "recipe": "mri_2mm", "modalities": SEQUENCES, "missing": "map_the_rest",
    "datasets": {"healthy": {"source": "phantom", "subjects": 6, "healthy": True,
                             "split": {"train": 0.5, "validation": 0.25, "test": 0.25}},
                 "ms": {"source": "phantom", "subjects": 2, "healthy": False, "lesions": "ms"}},
    "models": {"zscore_atlas": None}, "report": {"interactive": 2},
}  # fmt: skip
SCANS = pd.DataFrame({name: [] for name in ("postprocessing", "model", "seed", "dataset", "scan", "auprc")})


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Of two patients, of which the second lacks FLAIR; the lesion is dark in T1w and bright in FLAIR."""
    lesion = np.zeros(SHAPE, bool)
    lesion[4:7, 5:8, 3:6] = True

    def entry(name: str, missing: str) -> array_cache.Entry:
        t1, flair = (np.where(lesion, value, 0.5) * BRAIN for value in (0.1, 0.9))
        further = {} if missing else {"FLAIR": flair.astype(np.float32)}
        row = Scan(name, name, "ms", role="test", missing=missing)
        return array_cache.Entry(row, t1.astype(np.float32), BRAIN, lesion, sequences=further)

    header = CacheHeader(np.diag([2.0, 2, 2, 1]), shape=SHAPE, sequences=("T1w", "FLAIR"))
    made = [entry("sub-1", ""), entry("sub-2", "FLAIR")]
    array_cache.write(tmp_path / "normalize/ms", made, header)
    rows = {"dataset": "ms", "scan": ["sub-1", "sub-2"], "healthy": False, "auprc": [0.5, 0.4], "lesion_ml": 0.2}
    results: Any = SimpleNamespace(scans=pd.DataFrame(rows), shown_seeds={("zscore_atlas", "ms"): 0}, thresholds={})
    monkeypatch.setattr(viewer, "read_anomaly", lambda *_: lesion.astype(np.float32))
    found = viewer.viewer_scans(build_study(STUDY, Path("study.yaml")), tmp_path, results, ["zscore_atlas"], 10**6)
    return {each["scan"]: each for each in found}


def slice_of(address: str, entry: dict[str, Any], level: int) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        sheet = np.asarray(picture.convert("L")).astype(int)
    nx, ny, _ = entry["shape"]
    row, column = divmod(level, entry["columns"])
    return sheet[row * ny : (row + 1) * ny, column * nx : (column + 1) * nx]


def test_each_sequence_is_a_picture(entries: dict[str, dict[str, Any]]) -> None:
    entry = entries["sub-1"]
    assert entry["names"] == SEQUENCES
    x, y, level = entry["start"]
    t1, flair = (slice_of(each, entry, level) for each in (entry["image"], *entry["further"]))
    inside = entry["shape"][1] - 1 - y, x
    assert t1[inside] < np.median(t1[t1 > 60]) - 50
    assert flair[inside] > np.median(flair[flair > 60]) + 50


def test_a_session_of_one_sequence_has_no_choice(entries: dict[str, dict[str, Any]]) -> None:
    assert not {"names", "further"} & entries["sub-2"].keys()


def test_an_example_is_drawn_in_the_sequence_that_a_model_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    t1, flair = (np.where(BRAIN, value, 0).astype(np.float32) for value in (0.2, 0.8))
    two = {"modalities": SEQUENCES, "models": {"flair": {"use": "zscore_atlas", "set": {"modalities": ["FLAIR"]}}}}
    shown = [
        examples.Example("ms", "sub-1", t1, BRAIN, BRAIN, np.eye(4), 4, 1.0, "", further=further)
        for further in ({"FLAIR": flair}, {})
    ]
    seen: list[float] = []

    def pictures(example: examples.Example, *_: Any) -> dict[str, str]:
        seen.append(float(example.image.max()))
        return {"text": "no mask"}

    monkeypatch.setattr(examples, "_pictures", pictures)
    monkeypatch.setattr(examples, "read_prediction", lambda *_: examples.Prediction("flair", t1, None, None))
    drawn = examples.draw_examples(build_study(STUDY | two, Path("s.yaml")), Path(), shown, SCANS, {})
    assert seen == pytest.approx([0.8, 0.2])  # the second session lacks FLAIR
    assert ["FLAIR" in each.by_model["flair"]["text"] for each in drawn] == [True, False]
