"""Recipes: one per paper and ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from brainuad.config.recipe import Intensity, Normalize, Quality, Recipe

CONFIG = Path(__file__).parents[2] / "config"
RECIPES = sorted((CONFIG / "recipes").glob("*.yaml"))


def recipe(name: str) -> Recipe:
    return Recipe.model_validate(yaml.safe_load((CONFIG / "recipes" / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_each_value_says_where_it_comes_from(path):
    assert recipe(path.stem)
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    values = [line for line in lines if not re.fullmatch(r"\s*\w+:", line) and not line.startswith("cite")]
    assert [line for line in values if "  # " not in line] == []


@pytest.mark.parametrize(
    ("study", "name"),
    [
        ("baur2018", "baur2018_sri24"),
        ("paolini", "paolini"),
        ("kuznetsov", "kuznetsov"),
        ("chatterjee", "chatterjee"),
        ("simarro2020", "simarro2020"),
    ],
)
def test_each_paper_s_study_takes_its_own_recipe(study, name):
    content = yaml.safe_load((CONFIG / "studies" / f"{study}.yaml").read_text())
    assert content["recipe"] == name
    assert recipe(name).cite == content["paper"]


def test_what_papers_state():
    baur, simarro = recipe("baur2018_sri24"), recipe("simarro2020")
    assert "sri24" in baur.preprocess.template
    assert (baur.normalize.slices, baur.normalize.shape) == (20, (256, 256))
    assert [step.step for step in baur.preprocess.steps] == ["curvature_flow"]
    assert "fsaverage" in recipe("kuznetsov").preprocess.template
    assert recipe("paolini").preprocess.centre
    assert recipe("paolini").normalize.shape == (196, 196)
    assert simarro.normalize.resize.shape == (64, 64, 64)
    (window,) = simarro.preprocess.steps
    assert window.limits_hu == simarro.normalize.intensity.window == (-20, 100)
    assert recipe("chatterjee").normalize.shape == (256, 256)


def test_baur_s_two_recipes_differ_in_the_grid_alone():
    one, other = recipe("baur2018"), recipe("baur2018_sri24")
    assert one.normalize.intensity == other.normalize.intensity
    assert one.preprocess == other.preprocess.model_copy(update={"template": "mni152"})


def test_whole_steps_need_a_range():
    with pytest.raises(ValidationError, match="uint8 needs"):
        Normalize(storage_dtype="uint8", intensity=Intensity(clip=None))
    assert Normalize(storage_dtype="float16", intensity=Intensity(clip=None)).storage_dtype == "float16"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"warn_noise_ratio": 0.6}, "warn_noise_ratio is 0.6 and max_noise_ratio 0.5"),
        ({"max_tilt_deg": 3}, "warn_tilt_deg is 4 and max_tilt_deg 3"),
        ({"warn_offset_mm": 15}, "warn_offset_mm is 15 and max_offset_mm 12"),
        ({"warn_clipped_fraction": 0.3}, "warn_clipped_fraction is 0.3 and max_clipped_fraction 0.25"),
        ({"warn_template_dice": 0.7}, "min_template_dice is 0.8 and warn_template_dice 0.7"),
        ({"min_coverage": 0.95}, "min_coverage is 0.95 and warn_coverage 0.9"),
        ({"volume_ml": [2300, 700]}, "volume_ml goes from 2300 to 700"),
        ({"warn_scale": [1.3, 0.6]}, "warn_scale goes from 1.3 to 0.6"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(limits, words):
    with pytest.raises(ValidationError, match=re.escape(words)):
        Quality.model_validate(limits)


def test_a_limit_may_mark_nothing():
    assert Quality(warn_noise_ratio=0.5, warn_template_dice=0.8)
