"""What the shipped studies say of themselves, and what they must not claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.config.load import load_study
from brainuad.config.study import Study

STUDIES = sorted(Path(__file__).parents[2].joinpath("config", "studies").glob("*.yaml"))


@pytest.fixture(params=STUDIES, ids=lambda path: path.stem)
def study(request, monkeypatch, tmp_path) -> Study:
    for name in (
        "REAL_DATA",
        "IXI",
        "BRATS2019",
        "BRATS2020",
        "BRAINMETSHARE",
        "CENTER_TBI",
        "CT_ICH",
        "BAUR2018",
        "MOOD",
    ):
        monkeypatch.setenv(f"BRAINUAD_{name}", str(tmp_path))
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(tmp_path))
    return load_study(request.param)


def test_a_study_with_a_map_of_ours_says_on_which_scans_it_was_chosen(study):
    if any(label.endswith("_ours") for label in study.models):
        assert any("were chosen on" in text and "ours" in text for text in study.deviations)


def test_a_constant_cut_is_taken_only_on_the_scale_that_it_belongs_to(study):
    fixed = [rule for rule in study.thresholds if rule.rule == "fixed"]
    assert not fixed or study.study == "kuznetsov"


def test_the_map_of_codes_keeps_the_paper_s_size(study):
    networks = {label: model.network for label, model in study.models.items() if label.startswith("kuz_vqvae")}
    assert all(network.size // 2 ** len(network.channels) == 8 for network in networks.values())
