"""The methods section tells every setting: whatever changes what is done changes the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from brainuad.bibliography import CITATION, ENTRIES
from brainuad.config.datasets import AnyDataset
from brainuad.config.load import load_study
from brainuad.config.model import FUSED, Standardised, fusion_text, map_text, validate
from brainuad.config.postprocessing import POSTPROCESSING, THRESHOLDS
from brainuad.config.reading import Reading
from brainuad.config.recipe import Intensity, Recipe
from brainuad.config.section import Section, flat
from brainuad.config.steps import step_classes
from brainuad.config.told import Told, between, count, first_sentence, in_words, listed
from brainuad.download.source_of import source_of
from brainuad.normalize.in_words import models_grid
from brainuad.normalize.scaling_job import ScalingJob
from brainuad.postprocess.postprocess_job import PostprocessJob
from brainuad.preprocess.in_words import preprocessing, quality_limits
from brainuad.preprocess.settings import ScanSettings

CONFIG = Path(__file__).parents[2] / "config"
USED_BY = {"percentiles": ("percentile", "nyul", "histogram"), "window": ("window",), "white": ("white",)}
"""Settings of intensities that only some methods use."""


def shipped(part: str) -> list[Path]:
    return sorted((CONFIG / part).glob("*.yaml"))


def other(value: Any, annotation: Any) -> list[Any]:
    """Values that differ, of which at least one should be valid."""
    if get_origin(annotation) is Literal:
        return [option for option in get_args(annotation) if option != value]
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value + 2, 2 * value]
        case float():
            return [1.25 * value, value / 2 + 0.01]
        case [*each] if each and all(isinstance(n, int | float) for n in each):
            return [[*each[:-1], 1.25 * each[-1]], [*each[:-1], 2 * each[-1]], [each[0] / 2, *each[1:]]]
        case None:
            options = [option for option in get_args(annotation) if option is not type(None)]
            return [1, "given", True, 1.5] if options else []
    return []


def variants(section: Section) -> Iterator[tuple[str, Any]]:
    """Each setting by its dotted name, with the section that has another value for it."""
    dumped = section.model_dump(mode="json")
    for name in flat(dumped):
        *parents, last = name.split(".")
        holder: Any = section
        for parent in parents:
            holder = getattr(holder, parent, None)
        if holder is None or not isinstance(holder, Section):
            continue
        for value in other(getattr(holder, last), type(holder).model_fields[last].annotation):
            content = section.model_dump(mode="json")
            place = content
            for parent in parents:
                place = place[parent]
            place[last] = value
            try:
                changed = type(section).model_validate(content)
            except (ValidationError, ValueError):
                continue
            if changed != section:
                yield name, changed


def one_of_each_kind(paths: list[Path]) -> list[Path]:
    """A model file for each combination of settings that are words or switches: numbers do not change sentences."""
    kinds = {}
    for path in paths:
        settings = flat(validate(yaml.safe_load(path.read_text())).model_dump(mode="json", exclude={"cite"}))
        words = {name: value for name, value in settings.items() if isinstance(value, str | bool)}
        kinds.setdefault(str({**words, "kl": bool(settings.get("loss.kl"))}), path)
    return list(kinds.values())


def known_citations(sentences: list[str]) -> bool:
    return set(CITATION.findall(" ".join(sentences))) <= set(ENTRIES)


@pytest.mark.parametrize("path", [CONFIG.parent / "config.yaml", *shipped("studies")], ids=lambda path: path.stem)
def test_each_step_and_reference_scan_of_a_study_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", path.read_text()):
        monkeypatch.setenv(name, str(tmp_path))
    study = load_study(path)
    recipe = study.recipe.preprocess
    content = recipe.model_dump(mode="json", exclude={"quality"})
    for dataset in study.scan_sets().values():
        reference = getattr(dataset, "register_with", None)
        given = ScanSettings(modality=dataset.modality, healthy=True, register_with=reference, recipe=content)
        text = preprocessing(given)
        changing = [step.describe() for step in recipe.steps if step.changes(dataset.modality)]
        assert [sentence for sentence in text if sentence in changing] == changing
        assert reference is None or f"The {reference} scan of the same session" in " ".join(text)
        assert known_citations(text)


@pytest.mark.parametrize("path", one_of_each_kind(shipped("models")), ids=lambda path: path.stem)
def test_each_setting_of_a_model_is_told(path: Path) -> None:
    model = validate(yaml.safe_load(path.read_text()))
    text = model.describe()
    assert known_citations(text)
    assert not text[0].endswith(".")
    untold = {
        name
        for name, changed in variants(model)
        if not name.startswith(("map.", "cite", "drop_sequence")) and changed.describe() == text
    }  # `drop_sequence` is told where there are several sequences
    assert untold == set()
    untold = {name for name, changed in variants(model.map) if map_text(changed, "dark") == map_text(model.map, "dark")}
    untold -= {"fuse", "lacking"}  # told where there are several sequences
    standardised = getattr(model.map, "standardise", None)
    assert untold <= ({"sd_floor", "sd_added", "min_coverage"} if standardised is False else {"residual_at"})
    signs = {tuple(map_text(model.map, sign)) for sign in ("dark", "bright", "both")}
    assert len(signs) == (1 if model.family == "ensemble" else 3)  # its members' maps have the sign


def test_maps_of_several_sequences_are_told_with_their_signs() -> None:
    signs = {"T1w": "dark", "FLAIR": "bright"}
    told = {how: fusion_text(Standardised(fuse=how), signs) for how in FUSED}
    assert len({" ".join(text) for text in told.values()}) == len(FUSED)
    assert all("T1w dark" in " ".join(text) and "FLAIR bright" in " ".join(text) for text in told.values())
    assert len(fusion_text(Standardised(lacking="nothing"), signs)) == len(told["mean"]) + 1


@pytest.mark.parametrize("path", shipped("recipes"), ids=lambda path: path.stem)
def test_each_setting_of_a_recipe_is_told(path: Path) -> None:
    recipe = Recipe.model_validate(yaml.safe_load(path.read_text()))
    modality = "ct" if any(step.step == "window" for step in recipe.preprocess.steps) else "T1w"

    def told(given: Any) -> list[str]:
        content = given.model_dump(mode="json", exclude={"quality"})
        return preprocessing(ScanSettings(modality=modality, healthy=True, recipe=content))

    text = told(recipe.preprocess)
    assert known_citations(text)
    for step in recipe.preprocess.steps:
        assert step.describe() in text
    assert recipe.preprocess.registration.polish == "none" or "refined with" in " ".join(text)
    untold = {n for n, changed in variants(recipe.preprocess) if not n.startswith("quality") and told(changed) == text}
    ignored = {"skullstrip.restrip_above"} if recipe.preprocess.skullstrip.restrip != "auto" else set()
    uses_band = recipe.preprocess.skullstrip.backend in ("auto", "refined")
    assert untold <= ignored | (set() if uses_band else {"skullstrip.band_mm"})
    quality = recipe.preprocess.quality
    untold = {n for n, changed in variants(quality) if quality_limits(changed) == quality_limits(quality)}
    assert all(name.startswith("warn_") for name in untold)
    grid = models_grid(recipe.normalize)
    untold = {n for n, c in variants(recipe.normalize) if not n.startswith("intensity") and models_grid(c) == grid}
    assert untold == set()


@pytest.mark.parametrize("path", shipped("recipes"), ids=lambda path: path.stem)
def test_each_setting_of_intensities_is_told_and_learning_is_said_where_it_is_done(path: Path) -> None:
    intensity = Recipe.model_validate(yaml.safe_load(path.read_text())).normalize.intensity

    def told(given: Intensity) -> list[str]:
        return ScalingJob.model_construct(intensity=given).describe()

    untold = {name for name, changed in variants(intensity) if told(changed) == told(intensity)}
    assert untold == {name for name, methods in USED_BY.items() if intensity.method not in methods}
    learns = intensity.method in ("nyul", "histogram") or intensity.bias_fit == "linear"
    assert ("training scans" in " ".join(told(intensity))) == learns


@pytest.mark.parametrize("step", step_classes(), ids=lambda step: step.__name__)
def test_each_setting_of_a_step_is_told(step: Any) -> None:
    settings = step(limits_hu=(0, 80)) if "limits_hu" in step.model_fields else step()
    assert known_citations([settings.describe()])
    assert {name for name, changed in variants(settings) if changed.describe() == settings.describe()} == set()


@pytest.mark.parametrize("name", list(flat(Reading().model_dump())))
def test_how_files_are_read_is_told(name: str) -> None:
    given = {"volume": 2, "complex": "magnitude", "intensity_offset": -1024, "stripped": True, "mask_threshold": 0.25}
    recipe = Recipe().preprocess.model_dump(mode="json", exclude={"quality"})
    plain = ScanSettings(modality="T1w", healthy=True, recipe=recipe)
    assert preprocessing(plain) != preprocessing(plain.model_copy(update={"reading": Reading(**{name: given[name]})}))


def test_a_reference_scan_is_told_and_steps_of_another_modality_are_not() -> None:
    recipe = Recipe.model_validate({"preprocess": {"steps": [{"step": "window", "limits_hu": [0, 80]}]}}).preprocess
    content = recipe.model_dump(mode="json", exclude={"quality"})
    flair = ScanSettings(modality="FLAIR", healthy=True, register_with="T1w", recipe=content)
    text = " ".join(preprocessing(flair))
    assert "T1w scan of the same session" in text
    assert "rigid" in text
    assert "HU" not in text
    assert "0 to 80 HU" in " ".join(preprocessing(ScanSettings(modality="ct", healthy=True, recipe=content)))


@pytest.mark.parametrize("path", shipped("postprocessing"), ids=lambda path: path.stem)
def test_each_operator_and_threshold_is_told(path: Path) -> None:
    postprocessing = POSTPROCESSING.validate_python(yaml.safe_load(path.read_text()))
    rules = THRESHOLDS.validate_python([{"rule": "healthy_quantile", "quantile": 0.97}, {"rule": "val_dice"}])

    def told(given: Any) -> str:
        return " ".join(
            PostprocessJob.model_construct(
                label="x",
                postprocessing=given,
                thresholds=rules,
                validation_healthy=[True],
                validation_roles=["calibration"],
            ).describe()
        )

    text = told(postprocessing)
    assert "quantile 0.97" in text
    assert "val_dice" in text
    for i, operator in enumerate(postprocessing.operators):
        for _, changed in variants(operator):
            operators = [*postprocessing.operators[:i], changed, *postprocessing.operators[i + 1 :]]
            assert told(postprocessing.model_copy(update={"operators": operators})) != text


def test_who_was_selected_of_a_data_set_is_told_and_no_place_of_a_machine() -> None:
    given = {
        "source": "openneuro",
        "accession": "ds000011",
        "root": "/data/of/me",
        "healthy": True,
        "exclude": ["sub-9"],
    }
    given |= {"groups": {"healthy": ["control"]}, "subjects": ["sub-01", "sub-02"]}
    text = source_of("x", TypeAdapter(AnyDataset).validate_python(given)).describe()
    for words in ("T1w scans of healthy subjects", "1 subject left out", "ds000011", "control", "sub-01 and sub-02"):
        assert words in text
    assert "openneuro.org" in text
    assert "/data/of/me" not in text


class Inner(Section):
    """Something inside. And more."""

    depth: int = 1
    """Depth."""


class Outer(Section):
    """A section."""

    inner: Inner = Inner(depth=2)
    width: float = 0.5
    name: str | None = None


def test_what_was_read_is_not_listed_and_what_differs_from_either_default_is() -> None:
    told = Told(Outer(width=0.25, name="x"))
    assert told.width == 0.25
    assert told.rest("name") == ["Further settings: `inner.depth` 2."]
    assert told.rest() == ["Further settings: `inner.depth` 2, `name` x."]
    assert Told(Inner()).rest() == []


def test_a_map_without_sentences_is_told_by_its_settings() -> None:
    (text,) = map_text(Outer(width=0.25), "dark")
    assert "a section" in text
    assert "width 0.25" in text


def test_words() -> None:
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"
    assert listed([]) == ""
    assert [between((2, 5), "mm"), between((2, 2))] == ["2 to 5 mm", "2"]
    assert [count(1, "scan"), count(2000, "scan")] == ["1 scan", "2,000 scans"]
    assert [in_words(value) for value in (True, None, 0.5, [1, 2], "x", 3_000_000)] == [
        *("yes", "none", "0.5", "1 and 2", "x", "3,000,000")
    ]
    assert first_sentence(Inner) == "something inside"
