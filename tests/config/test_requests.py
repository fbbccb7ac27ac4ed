"""What jobs request of a cluster: more at each try, and more for larger studies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from brainuad.config.load import build_study
from brainuad.jobs.registry import STAGE_OF
from brainuad.plan import Plan

REPOSITORY = Path(__file__).parents[2]
RULES = dict(
    re.findall(
        r"^rule (\w+):\n(.*?)(?=^\S|\Z)", "".join(p.read_text() for p in REPOSITORY.glob("rules/*.smk")), re.M | re.S
    )
)


@pytest.mark.parametrize("rule", STAGE_OF)
@pytest.mark.parametrize("resource", ["mem_mb", "runtime"])
def test_every_rule_requests_more_at_each_try(rule, resource):
    asked = re.search(rf"{resource}=(.*?),\n        \w+=|{resource}=(.*?),\n    \w", RULES[rule], re.S)
    assert asked is not None, f"{rule} requests no {resource}"
    assert re.match(r"lambda wildcards, attempt: .*\battempt\b", asked[1] or asked[2], re.S)


def test_memory_follows_the_grid_and_the_scans(tmp_path):
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))

    def plan(spacing=2.0, **changes):
        recipe = {"use": "mri_2mm", "set": {"preprocess": {"spacing": spacing}}, "label": "other"}
        content = {**raw, "results": str(tmp_path), "recipe": recipe, **changes}
        return Plan(build_study(content, REPOSITORY / "config.yaml"))

    coarse, fine = (plan(spacing).megabytes(1900, volumes=40) for spacing in (2.0, 1.0))
    assert 1900 < coarse < 2200
    assert fine - 1900 == pytest.approx(8 * (coarse - 1900), abs=8)
    assert plan().megabytes(900, rows=100_000) == 1900
    assert plan().scored_voxels() == 1 < plan(evaluate={"space": "native"}).scored_voxels()
    one, two = plan(seeds=[0]), plan(seeds=[0, 1])
    assert two.scored_rows() == 2 * one.scored_rows() > 0
    assert one.scan_count("healthy") == raw["datasets"]["healthy"]["subjects"]
