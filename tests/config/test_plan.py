"""Data sets that are made of others: where their scans come from, what they are held against, what reruns them."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad.config.load import build_study
from brainuad.plan import Plan

DEMO = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def demo() -> dict[str, Any]:
    study = deepcopy(yaml.safe_load(DEMO.read_text()))
    study["datasets"]["odd"] = {"source": "artificial", "into": "healthy", "kinds": ["blur"], "roles": ["validation"]}
    study["datasets"]["bad"] = {"source": "spoiled", "into": "healthy"}
    return study


def plan(study: dict[str, Any]) -> Plan:
    return Plan(build_study(study, DEMO))


def test_made_sets_share_the_scans_of_the_set_that_they_are_made_of(demo):
    made = plan(demo)
    assert {label: made.origin(label) for label in ("healthy", "odd", "bad")} == dict.fromkeys(
        ("healthy", "odd", "bad"), "healthy"
    )
    assert made.healthy_sets("odd") == made.healthy_sets("bad") == ["healthy"]
    assert not {"odd", "bad"} & set(made.sources())
    assert made.masks("odd") == made.masks("bad") == []
    assert {label for _, _, label in made.runs()} == set(demo["datasets"])


def test_only_the_changed_set_is_made_again(demo):
    before = plan(demo)
    demo["datasets"]["odd"]["anomaly"] = {"strength": [0.1, 0.2]}
    after = plan(demo)
    changed = [
        label
        for label in demo["datasets"]
        if before.config("normalize", dataset=label) != after.config("normalize", dataset=label)
    ]
    assert changed == ["odd"]
    demo["seed"] = 7
    moved = plan(demo)
    assert moved.config("normalize", dataset="bad") != after.config("normalize", dataset="bad")


def test_evaluate_knows_the_chains_that_leave_one_component(demo):
    demo["chains"] = {
        "top": [{"op": "closing"}, {"op": "top_k", "k": 1}],
        "three": [{"op": "top_k", "k": 3}],
        "slices": [{"op": "top_k", "k": 1, "plane": True}],
        "plain": [],
    }
    settings = plan(demo).config("evaluate", model="any", seed="0", dataset="bad")
    assert json.loads(settings)["located"] == ["top"]
