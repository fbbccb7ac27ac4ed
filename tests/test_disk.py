"""The disk that a study needs, by its plan, and what it has taken."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from brainuad import disk
from brainuad.config.load import build_study
from brainuad.papers.catalogue import parameters
from brainuad.plan import Plan

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def plan(tmp_path):
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))

    def make(**changes) -> Plan:
        content = {**raw, "results": str(tmp_path / "results"), **changes}
        return Plan(build_study(content, REPOSITORY / "config.yaml"))

    return make


def test_the_parts_follow_the_study(plan):
    once = disk.estimate(plan())
    twice = disk.estimate(plan(seeds=[0, 1]))
    for part in ("models", "maps", "post-processed maps and masks"):
        assert twice.parts[part] == pytest.approx(2 * once.parts[part])
    assert twice.parts["stores"] == once.parts["stores"]
    coded = disk.estimate(
        plan(recipe={"use": "mri_2mm", "set": {"normalize": {"storage_dtype": "uint8"}}, "label": "small"})
    )
    assert coded.parts["stores"] == pytest.approx(once.parts["stores"] / 2), "1 + 2 bytes a voxel in place of 4 + 2"
    # 3 of 5 models have a reconstruction; 12 healthy scans and 10 patients; 0.9 MB each
    assert once.parts["maps"] == pytest.approx(8 * 22 * 0.9e6, rel=0.1)


def test_checkpoints_of_all_trainings_may_lie_there_at_once(plan):
    labels = ("baur_dae_small", "baur_sae3_small", "baur_dvae_small")
    one, all_three = (
        disk.estimate(plan(models=dict.fromkeys(each), seeds=[0, 1])).passing for each in (labels[:1], labels)
    )
    weights = [parameters(plan().study.models[label]) for label in labels]
    # weights, best weights and Adam's two moments; the new checkpoint is written beside the old one
    assert one == 2 * (4 * 4 * weights[0]) * 2
    assert all_three == 2 * (4 * 4 * sum(weights)) * 2
    assert disk.estimate(plan(models={"zscore_atlas": None})).passing == 0


def test_what_does_not_fit_is_warned_of(plan, monkeypatch):
    assert not any("warning" in line for line in disk.said(plan()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50e6))
    lines = disk.said(plan())
    assert any("50.0 MB are free" in line for line in lines)
    assert lines[-1].startswith("warning: that does not fit: free space")


def test_what_is_there_already_needs_no_room(plan, monkeypatch):
    layout = plan()
    need = disk.estimate(layout).most
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0.2 * need))
    monkeypatch.setattr(disk, "taken", lambda folder: 0.9 * need if folder == layout.folder else 0)
    assert not any("warning" in line for line in disk.said(layout))


def test_what_a_folder_takes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.npy").write_bytes(bytes(range(256)) * 400)
    assert disk.taken(tmp_path) == pytest.approx(102_400, abs=8192)
    assert disk.taken(tmp_path / "none") == 0
