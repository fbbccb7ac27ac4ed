"""Recipes: one per paper and ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from brainuad.config.recipe import Intensity, Normalize, Recipe

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
    assert baur.preprocess.curvature_flow is not None
    assert "fsaverage" in recipe("kuznetsov").preprocess.template
    assert recipe("paolini").preprocess.centre
    assert recipe("paolini").normalize.shape == (196, 196)
    assert simarro.normalize.resize.shape == (64, 64, 64)
    assert simarro.preprocess.window == simarro.normalize.intensity.window == (-20, 100)
    assert recipe("chatterjee").normalize.shape == (256, 256)


def test_baur_s_two_recipes_differ_in_the_grid_alone():
    one, other = recipe("baur2018"), recipe("baur2018_sri24")
    assert one.normalize.intensity == other.normalize.intensity
    assert one.preprocess == other.preprocess.model_copy(update={"template": "mni152"})


def test_whole_steps_need_a_range():
    with pytest.raises(ValidationError, match="uint8 needs"):
        Normalize(store="uint8", intensity=Intensity(clip=None))
    assert Normalize(store="float16", intensity=Intensity(clip=None)).store == "float16"
