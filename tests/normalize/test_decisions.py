"""A person's decisions win over quality control, and change nothing before the split."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from brainuad.config.datasets import Split
from brainuad.config.load import build_study
from brainuad.errors import InputError
from brainuad.formats import quality, scans
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.normalize.split import SplitRules, split
from brainuad.plan import Plan

DEMO = Path(__file__).parents[2] / "config.yaml"
NAMES = [f"sub-{i:02d}" for i in range(8)]
SHARES = Split(train=0.5, validation=0.25, test=0.25)


def drawn(folder, decisions, healthy=True, failed=("sub-03",), files=NAMES):
    """The rows of a data set by scan, as split writes them."""
    table, verdicts, out = (folder / name for name in ("table.tsv", "quality.tsv", "x.tsv"))
    scans.write(table, [Scan(name, name, "x") for name in NAMES])
    quality.write(
        verdicts,
        [
            QualityRow("x", name, name, "failed", "noise is 60%", has_image=name in files)
            if name in failed
            else QualityRow("x", name, name, "ok", has_image=name in files)
            for name in NAMES
        ],
    )
    split(table, verdicts, SplitRules(SHARES, healthy, 0, decisions), out)
    return {row.scan: row for row in scans.read(out)}


def test_decisions_win_and_move_nobody(tmp_path):
    before = drawn(tmp_path, {})
    after = drawn(tmp_path, {"sub-03": "include", "sub-05": "exclude"})
    assert {name: row.role for name, row in before.items()} == {name: row.role for name, row in after.items()}
    assert (after["sub-03"].state, after["sub-03"].note) == ("included", "noise is 60%")
    assert (after["sub-05"].state, after["sub-05"].note) == ("excluded", "")
    used = {row.scan for row in scans.with_role(list(after.values()), "train", "validation", "test")}
    assert used == set(NAMES) - {"sub-05"}
    changed = {name for name in NAMES if before[name] != after[name]}
    assert changed == {"sub-03", "sub-05"}


def test_a_scan_that_could_not_be_converted_is_listed_once(tmp_path):
    rows = [
        Scan(name, name, "x", **({"state": "failed", "note": "broken"} if name == "sub-03" else {})) for name in NAMES
    ]
    scans.write(tmp_path / "table.tsv", rows)
    verdicts = [
        QualityRow("x", name, name, "failed" if name == "sub-03" else "ok", "broken", has_image=name != "sub-03")
        for name in NAMES
    ]
    quality.write(tmp_path / "quality.tsv", verdicts)
    split(tmp_path / "table.tsv", tmp_path / "quality.tsv", SplitRules(SHARES, True, 0), tmp_path / "x.tsv")
    found = scans.read(tmp_path / "x.tsv")
    assert [row.scan for row in found] == NAMES
    assert [row.scan for row in found if row.state == "failed"] == ["sub-03"]


def test_what_has_no_files_or_no_mask_cannot_be_included(tmp_path):
    include = {"sub-03": "include"}
    with pytest.raises(InputError, match="sub-03 of x cannot be included") as caught:
        drawn(tmp_path / "a", include, files=())
    assert caught.value.why == "noise is 60%"
    with pytest.raises(InputError, match="sub-03 of x cannot be included") as caught:
        drawn(tmp_path / "b", include, healthy=False)
    assert "no lesion mask" in (caught.value.why or "")


def test_a_decision_reruns_the_split_of_its_set_and_nothing_before(tmp_path, monkeypatch):
    study = yaml.safe_load(DEMO.read_text())
    before = Plan(build_study(deepcopy(study), DEMO))
    monkeypatch.chdir(tmp_path)
    after = decided(study, "exclude\t")

    def changed(stage, **wildcards):
        return before.job(stage, **wildcards).tracked_json() != after.job(stage, **wildcards).tracked_json()

    assert changed("split", dataset="healthy")
    assert not changed("split", dataset="patients")
    for dataset in ("healthy", "patients"):
        assert not changed("quality", dataset=dataset)
        assert not changed("preprocess", dataset=dataset, scan="sub-002")
        assert not changed("list_scans", dataset=dataset)
    assert changed("report")


def test_another_reason_changes_the_report_alone(tmp_path, monkeypatch):
    study = yaml.safe_load(DEMO.read_text())
    monkeypatch.chdir(tmp_path)
    before, after, turned = (decided(study, cells) for cells in ("exclude\t", "exclude\tmoved", "include\tmoved"))
    assert before.job("split", dataset="healthy").tracked_json() == after.job("split", dataset="healthy").tracked_json()
    assert before.job("report").tracked_json() != after.job("report").tracked_json()
    assert after.job("split", dataset="healthy").tracked_json() != turned.job("split", dataset="healthy").tracked_json()


def decided(study, cells):
    """The study with a decision on one scan; `cells`: the word and the reason."""
    Path("exclude.tsv").write_text(f"dataset\tscan\tdecision\treason\nhealthy\tsub-002\t{cells}\n")
    return Plan(build_study(deepcopy(study) | {"decisions": "exclude.tsv"}, DEMO))


def test_native_maps_are_made_where_asked_and_of_real_scans_alone():
    study = yaml.safe_load(DEMO.read_text())
    study["datasets"]["bad"] = {"source": "corrupted", "into": "healthy"}
    assert Plan(build_study(deepcopy(study), DEMO)).natives() == []
    folders = Plan(build_study(study | {"native": True}, DEMO)).natives()
    assert {folder.parts[-2] for folder in folders} == {"healthy", "patients"}
    assert {folder.parts[-1] for folder in folders} == set(Plan(build_study(study, DEMO)).study.postprocessing)
