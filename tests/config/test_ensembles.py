"""Ensembles in a study: members by label, and model files that bring their members with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad.config.load import build_study
from brainuad.config.study import Study
from brainuad.errors import ConfigError

STUDY = {
    "study": "s",
    "recipe": "mri",
    "datasets": {
        "healthy": {"source": "phantom", "subjects": 8, "healthy": True, "split": {"train": 0.5, "validation": 0.5}}
    },
}
FILES = {
    "ensemble": {"family": "ensemble"},
    "atlas": {"family": "zscore_atlas"},
    "histeq": {"family": "thresh_histeq"},
    "pair": {
        "family": "ensemble",
        "map": {"weights": {"sharp": 2}},
        "members": {"sharp": {"use": "atlas", "set": {"smooth_mm": 1.0}}, "histeq": "histeq"},
    },
    "four": {"family": "ensemble", "members": {"pair": "pair", "atlas": "atlas"}},
    "endless": {"family": "ensemble", "members": {"again": "endless", "atlas": "atlas"}},
}


@pytest.fixture
def study(tmp_path: Path) -> Any:
    """Builds a study with these models."""
    for part in ("models", "recipes"):
        (tmp_path / part).mkdir()
    for name, content in FILES.items():
        (tmp_path / "models" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    recipe = {"preprocess": {"spacing": 4.0}, "normalize": {"intensity": {"method": "percentile"}}}
    (tmp_path / "recipes" / "mri.yaml").write_text(yaml.safe_dump(recipe))
    return lambda models: build_study({**STUDY, "models": models}, tmp_path / "study.yaml")


def members(built: Study) -> dict[str, list[str]]:
    return {label: model.member_labels() for label, model in built.models.items()}


def test_an_ensemble_names_models_of_the_study(study):
    vote = {"use": "ensemble", "of": ["atlas", "histeq"], "weights": {"atlas": 3}, "maps": {"rank": {"by": "rank"}}}
    built = study({"vote": vote, "atlas": None, "histeq": None})
    assert members(built) == {"vote": ["atlas", "histeq"], "vote_rank": ["atlas", "histeq"], "atlas": [], "histeq": []}
    assert built.models["vote"].map.weights == {"atlas": 3}
    assert built.trainings()["vote_rank"] == "vote"


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({"pair": None}, {"pair": ["pair_sharp", "pair_histeq"], "pair_sharp": [], "pair_histeq": []}),
        ({"p": "pair", "dark": "histeq"}, {"p": ["p_sharp", "dark"], "p_sharp": [], "dark": []}),
        ({"p": {"use": "pair", "set": {"members": {"sharp": None}}}}, {"p": ["p_histeq"], "p_histeq": []}),
        (
            {"four": None},
            {
                "four": ["four_pair", "four_atlas"],
                "four_pair": ["four_pair_sharp", "four_pair_histeq"],
                "four_pair_sharp": [],
                "four_pair_histeq": [],
                "four_atlas": [],
            },
        ),
        (
            {"v": {"use": "ensemble", "of": ["pair"]}, "pair": None},
            {"v": ["pair"], "pair": ["pair_sharp", "pair_histeq"], "pair_sharp": [], "pair_histeq": []},
        ),
    ],
    ids=["all", "one is there already", "one left out", "nested", "an ensemble of it"],
)
def test_a_model_file_brings_its_members(study, models, expected):
    assert members(study(models)) == expected


def test_weights_and_settings_of_members_follow_their_labels(study):
    alone = {"map": {"alone": {"histeq": 0.5}}}
    models = study({"p": {"use": "pair", "set": {**alone, "members": {"sharp": {"set": {"smooth_mm": 2.0}}}}}}).models
    assert (models["p"].map.weights, models["p"].map.alone) == ({"p_sharp": 2}, {"p_histeq": 0.5})
    assert models["p_sharp"].smooth_mm == 2.0


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({"v": {"use": "ensemble", "of": ["atlsa"]}}, "no model atlsa.*did you mean atlas"),
        ({"v": {"use": "ensemble"}}, "needs its members.*atlas"),
        ({"v": {"use": "ensemble", "of": "atlas"}}, "models.v.of.*list"),
        ({"v": {"use": "ensemble", "of": ["atlas", "atlas"]}}, "twice.*weight"),
        ({"v": {"use": "ensemble", "of": ["v"]}}, "made of itself"),
        ({"v": {"use": "ensemble", "of": ["w"]}, "w": {"use": "ensemble", "of": ["atlas", "v"]}}, "itself.*v.*w"),
        ({"v": {"use": "ensemble", "of": ["atlas"], "by": "mean"}}, "mean_asinh"),
        ({"v": {"use": "ensemble", "of": ["atlas"], "weights": {"atls": 2}}}, "atls is none of its members"),
        ({"v": {"use": "ensemble", "of": ["atlas"], "weights": {"atlas": 2}, "by": "maximum"}}, "maximum has none"),
        ({"v": {"use": "ensemble", "of": ["atlas"], "set": {"map": {"alone": {"atlas": 1}}}}}, "left for the mean"),
        ({"v": {"use": "ensemble", "off": ["atlas"]}}, "unknown key off.*did you mean of"),
        ({"v": {"use": "atlas", "of": ["atlas"]}}, "unknown key of beside use: atlas"),
        ({"v": {"use": "pair", "set": {"members": {"sharp": {"sweep": {}}}}}}, "members.sharp.*sweep"),
        ({"p": "pair", "p_sharp": "atlas"}, "two models are called p_sharp"),
        ({"e": "endless"}, "made of itself"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(study, models, says):
    with pytest.raises(ConfigError) as error:
        study({"atlas": None, **models})
    assert re.search(says, str(error.value), re.DOTALL), error.value
