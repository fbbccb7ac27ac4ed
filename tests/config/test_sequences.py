"""What a study says of several sequences: which data sets and models see them, and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brainuad.config.load import build_study
from brainuad.config.study import Study
from brainuad.errors import ConfigError
from brainuad.plan import Plan

SEQUENCES = ["T1w", "T2w", "FLAIR"]
SIGNS = {"T1w": "dark", "FLAIR": "bright"}


def study(**settings: Any) -> Study:
    raw = {
        "study": "tiny",
        "recipe": "mri_2mm",
        "modalities": SEQUENCES,
        "lesion_sign": SIGNS,
        "datasets": {
            "healthy": {
                "source": "phantom",
                "subjects": 6,
                "healthy": True,
                "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
            }
        },
        "models": {
            "zscore_atlas": None,
            "flair": {"use": "zscore_atlas", "set": {"modalities": ["FLAIR"]}},
            "two": {"use": "zscore_atlas", "set": {"modalities": ["FLAIR", "T1w"]}},
            "vote": {"use": "ensemble", "of": ["flair", "two"]},
        },
    }
    return build_study(raw | settings, Path("study.yaml"))


def fault(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        study(**settings)
    return str(caught.value)


def test_every_data_set_and_model_has_its_sequences() -> None:
    made = study()
    healthy = made.scan_sets()["healthy"]
    assert (healthy.modality, healthy.sequences) == ("T1w", ["T2w", "FLAIR"])
    assert made.sequences_of("zscore_atlas") == SEQUENCES
    assert made.sequences_of("two") == ["T1w", "FLAIR"]  # in the order of the study
    assert made.signs_of("zscore_atlas") == {"T1w": "dark", "T2w": "both", "FLAIR": "bright"}
    assert made.signs_of("flair") == "bright"
    assert made.trainings()["flair"] == "flair"  # not that of all sequences


def test_an_ensemble_gives_its_sequences_to_its_members() -> None:
    made = study(models={"fast": "flagship_fast", "one": {"use": "flagship_fast", "set": {"modalities": ["FLAIR"]}}})
    assert {label: made.sequences_of(label) for label in ("fast_dae", "one_dae", "one_small")} == {
        "fast_dae": SEQUENCES,
        "one_dae": ["FLAIR"],
        "one_small": ["FLAIR"],
    }
    vote = {"use": "ensemble", "of": ["flair", "two"], "set": {"modalities": ["FLAIR"]}}
    two = {"use": "zscore_atlas", "set": {"modalities": ["T1w"]}}
    words = fault(models={"vote": vote, "flair": {**two, "set": {"modalities": ["FLAIR"]}}, "two": two})
    assert "members" in words


def test_one_modality_is_that_of_all_data_sets() -> None:
    made = study(modalities=["FLAIR"], lesion_sign={"FLAIR": "bright"}, models={"zscore_atlas": None})
    assert made.scan_sets()["healthy"].modality == "FLAIR"
    assert not made.sequences()
    assert made.signs_of("zscore_atlas") == "bright"


def test_a_study_of_one_sequence_says_nothing_of_others() -> None:
    made = study(modalities=[], lesion_sign="dark", models={"zscore_atlas": None})
    assert made.sequences_of("zscore_atlas") == []
    job = Plan(made).job("infer", model="zscore_atlas", seed="0", dataset="healthy")
    assert '"lesion_sign":"dark"' in job.tracked_json().replace(" ", "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"modalities": ["T1w", "T1w"]}, ("modalities", "twice")),
        ({"modalities": ["T1w", "PDw"], "lesion_sign": "both"}, ("PDw", "phantoms")),
        ({"modalities": ["T1w", "FLAIR", "MRI"]}, ("modalities",)),
        ({"lesion_sign": {"PDw": "dark"}}, ("PDw", "modalities")),
        ({"modalities": []}, ("lesion_sign", "modalities")),
        ({"models": {"baur_dvae_small": None}}, ("baur_dvae_small", "one sequence", "FLAIR")),
        ({"models": {"z": {"use": "zscore_atlas", "set": {"modalities": ["PDw"]}}}}, ("models.z", "PDw")),
        ({"missing": "guess"}, ("missing", "guess")),
    ],
)
def test_mistakes_are_told(settings: dict[str, Any], words: tuple[str, ...]) -> None:
    told = fault(**settings)
    assert all(word in told for word in words), told


def test_sequences_are_those_of_all_data_sets() -> None:
    healthy = {"source": "phantom", "subjects": 6, "healthy": True, "split": {"train": 0.5, "validation": 0.5}}
    alone = healthy | {"sequences": ["FLAIR"]}
    assert "modalities" in fault(
        modalities=[], lesion_sign="both", models={"zscore_atlas": None}, datasets={"a": alone}
    )


def test_a_data_set_of_another_modality_is_refused() -> None:
    odd = {"source": "phantom", "subjects": 6, "healthy": True, "modality": "T2w", "split": {"train": 1.0}}
    assert "datasets.odd.modality" in fault(datasets={"odd": odd})
