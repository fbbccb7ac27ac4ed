"""Models of several studies side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainuad import terminal
from brainuad.across import compare_studies
from brainuad.errors import InputError
from brainuad.formats import missing, scans, tables
from brainuad.formats.files import write_json
from brainuad.formats.scans import Scan
from brainuad.report.shown import studies

NAMES = [f"sub-{i:02d}" for i in range(12)]
BASE = {"seed": 0, "dataset": "ms", "postprocessing": "none", "threshold_rule": "none", "space": "template"}


def study(
    root: Path, models: dict[str, float], *, lesion: float = 3.0, content: str = "a", erode: int = 1, people: int = 12
) -> Path:
    """A finished study whose models have these AUPRC, higher by a hundredth from patient to patient."""
    names = NAMES[:people]
    rows = [
        BASE
        | {"model": model, "scan": name, "subject": name, "auprc": auprc + 0.01 * i, "score": auprc}
        | {"lesion_ml": lesion, "brain_ml": 1400.0, "healthy": 0}
        for model, auprc in models.items()
        for i, name in enumerate(names)
    ]
    means = [
        BASE
        | {"model": model, "metric": "auprc_scan", "value": auprc + 0.05, "ci_low": auprc, "ci_high": auprc, "n": 12}
        for model, auprc in models.items()
    ]
    pairs = [
        {"dataset": "ms", "postprocessing": "none", "model": model, "reference": "zscore", "baseline": 1}
        | {"n": 12, "seeds": 1, "difference": 0.05, "verdict": "undecided"}
        for model in models
        if model != "zscore"
    ]
    for name, found, columns in (
        ("scans", rows, tables.SCANS),
        ("metrics", means, tables.METRICS),
        ("comparisons", pairs, tables.COMPARISONS),
    ):
        (root / "evaluate").mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(found).reindex(columns=list(columns))
        tables.write(root / "evaluate" / f"{name}.tsv", table, columns)
    scans.write(root / "subjects.tsv", [Scan(name, name, "ms", role="test", content=content + name) for name in names])
    for stage, settings in (
        ("evaluate", {"erode_voxels": erode}),
        ("postprocess", {"postprocessing": {"operators": []}}),
    ):
        part = root / stage / "zscore/seed-0/ms" / ("none" if stage == "postprocess" else "")
        part.mkdir(parents=True, exist_ok=True)
        write_json(part / "run.json", {"stage": stage, "tags": {}, "settings": settings, "facts": {}})
    return root


def shown(parts: list[object]) -> str:
    return "\n".join(part for part in parts if isinstance(part, str))


def test_models_of_two_studies_are_compared_by_the_one_rule(tmp_path: Path) -> None:
    mine = study(tmp_path / "mine", {"zscore": 0.3, "vae": 0.35})
    theirs = study(tmp_path / "theirs", {"zscore": 0.3, "vae": 0.6})
    said = shown(compare_studies([mine, theirs], tmp_path / "both"))
    assert "theirs: zscore as in mine, listed once" in said
    table = tables.read(tmp_path / "both/comparisons.tsv", tables.COMPARISONS)
    assert set(table["model"]) | set(table["reference"]) == {"mine/zscore", "mine/vae", "theirs/vae"}
    row = table[(table["model"] == "mine/vae") & (table["reference"] == "theirs/vae")].iloc[0]
    assert row["difference"] == pytest.approx(-0.25)
    assert (row["n"], row["verdict"]) == (12, "worse")
    assert set(table.loc[table["baseline"] == 1, "reference"]) == {"mine/zscore"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"lesion": 4.0}, "lesion masks differ"),
        ({"content": "b"}, "sub-00 has other voxel values"),
        ({"erode": 2}, "evaluate.erode_voxels differs"),
        ({"people": 11}, "its test scans are others, such as sub-11"),
    ],
)
def test_what_does_not_agree_is_refused_with_its_reason(tmp_path: Path, other: dict[str, object], why: str) -> None:
    mine = study(tmp_path / "mine", {"zscore": 0.3, "vae": 0.35})
    theirs = study(tmp_path / "theirs", {"zscore": 0.31, "vae": 0.6}, **other)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=why):
        compare_studies([mine, theirs])


def test_a_third_study_that_does_not_agree_withholds_nothing_of_the_others(tmp_path: Path) -> None:
    found = [study(tmp_path / name, {"zscore": 0.3, "vae": auprc}) for name, auprc in (("a", 0.4), ("b", 0.5))]
    odd = study(tmp_path / "odd", {"zscore": 0.2, "vae": 0.9}, lesion=9.0)
    assert "ms of odd is not compared with that of a" in shown(compare_studies([*found, odd], tmp_path / "out"))
    table = tables.read(tmp_path / "out/metrics.tsv", tables.METRICS)
    assert sorted(table["model"]) == ["a/vae", "a/zscore", "b/vae"]
    assert np.isclose(table.set_index("model")["value"]["b/vae"], 0.55)


def test_a_results_folder_is_shown_as_a_list_of_its_studies(tmp_path: Path) -> None:
    study(tmp_path / "mine", {"zscore": 0.3, "vae": 0.35})
    missing.write(
        tmp_path / "begun/evaluate", [missing.Missing("vae", "0", "ms", stage="train", job="", why="", log="")]
    )
    listed = terminal.text(studies(tmp_path)).splitlines()
    assert [line.split()[0] for line in listed[1:3]] == ["begun", "mine"]
    assert "no table yet" in listed[1]
    assert "1 evaluation is missing" in listed[1]
    assert "zscore" in listed[2]
    assert studies(tmp_path / "mine") == []
