"""The grid of choices: those of the study, and a small set that is built in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainuad.config.evaluate import Evaluate
from brainuad.config.load import config_folder, shipped
from brainuad.config.postprocessing import (
    POSTPROCESSING,
    HealthyQuantile,
    HyperintensityPrior,
    Postprocessing,
    Threshold,
)
from brainuad.config.study import Study
from brainuad.config.yaml_text import read_yaml

Hit = Literal["iou", "centroid", "any"]
Pooling = Literal["per scan", "pooled"]

AUPRC, DICE, LESION_RECALL, LESION_F1 = "AUPRC", "Dice", "lesion recall", "lesion F1"
METRICS = (AUPRC, DICE, LESION_RECALL, LESION_F1)
QUANTILES = (0.95, 0.98, 0.99, 0.995, 0.999)
"""Of healthy validation voxels; thresholds beside those of the study."""
HITS: tuple[Hit, ...] = ("iou", "centroid", "any")
SMALLEST_ML = (0.014, 0.5)
"""Volumes beside that of the study from which on lesions and components count: spheres 3 and 10 mm across."""
POOLING: tuple[Pooling, ...] = ("per scan", "pooled")
FACTORS = {
    "pooling": "pooling",
    "postprocessing": "postprocessing",
    "threshold_rule": "threshold rule",
    "hit_rule": "hit rule",
    "min_lesion_ml": "minimal lesion size",
}
"""What is chosen: column of `multiverse.tsv`, and how pages call it."""


@dataclass(frozen=True)
class Choice:
    """One way to score. What a metric does not depend on is empty.

    `min_lesion_ml`: as text, in ml of the scan's own space.
    """

    metric: str
    pooling: Pooling
    postprocessing: str
    threshold_rule: str = ""
    hit_rule: str = ""
    min_lesion_ml: str = ""


@dataclass(frozen=True)
class Grid:
    """The levels of each factor. `postprocessings`: by label, each with other operators."""

    postprocessings: Mapping[str, Postprocessing]
    rules: Sequence[Threshold]
    hits: Sequence[Hit]
    sizes: Sequence[float]
    evaluate: Evaluate
    """Of the study."""

    def by_map_operators(self) -> dict[str, list[str]]:
        """Labels of postprocessings whose map operators are the same, by the first of them."""
        found: dict[str, list[str]] = {}
        for label, chain in self.postprocessings.items():
            first = next((each for each in found if self.postprocessings[each].on_map() == chain.on_map()), label)
            found.setdefault(first, []).append(label)
        return found

    def lesion_settings(self) -> list[list[Evaluate]]:
        """By hit rule and minimal size, the settings that pair lesions and components.

        Under the study's own size components count from the study's; else both count from the same size on.
        """
        own = self.evaluate
        components = [own.min_component_ml if size == own.min_lesion_ml else size for size in self.sizes]
        ends = [{"min_lesion_ml": a, "min_component_ml": b} for a, b in zip(self.sizes, components, strict=True)]
        rules = [own.matching.model_copy(update={"rule": hit}) for hit in self.hits]
        return [[own.model_copy(update={"matching": rule, **end}) for end in ends] for rule in rules]

    def choices(self) -> list[Choice]:
        """Every choice, metric by metric; AUPRC depends on the map operators alone."""
        rules = [rule.label for rule in self.rules]
        sizes = [f"{size:g}" for size in self.sizes]
        found = [Choice(AUPRC, *each) for each in itertools.product(POOLING, self.by_map_operators())]
        found += [Choice(DICE, *each) for each in itertools.product(POOLING, self.postprocessings, rules)]
        lesions = list(itertools.product(POOLING, self.postprocessings, rules, self.hits, sizes))
        return found + [Choice(metric, *each) for metric in (LESION_RECALL, LESION_F1) for each in lesions]


def levels_of(choices: Sequence[Choice]) -> dict[str, list[str]]:
    """The levels of each factor, by its column, in the order of the grid: the last metric has them all."""
    whole = [choice for choice in choices if choice.metric == METRICS[-1]]
    return {factor: list(dict.fromkeys(getattr(choice, factor) for choice in whole)) for factor in FACTORS}


def grid_of(study: Study, file: Path) -> Grid:
    """The choices of a study and those that are built in. `file`: of the study, near its `config/`."""
    rules = {rule.label: rule for rule in study.thresholds}
    for quantile in QUANTILES:
        rule = HealthyQuantile(rule="healthy_quantile", quantile=quantile)
        rules.setdefault(rule.label, rule)
    ordered = sorted(rules.values(), key=lambda rule: rule.quantile if isinstance(rule, HealthyQuantile) else 1.0)
    sizes = sorted({study.evaluate.min_lesion_ml, *SMALLEST_ML})
    return Grid(_postprocessings(study, config_folder(file)), ordered, HITS, sizes, study.evaluate)


def _postprocessings(study: Study, folder: Path) -> dict[str, Postprocessing]:
    """Those of the study, then those in `folder` that fit it; of those with equal operators the first."""
    shipped_ones = {
        name: POSTPROCESSING.validate_python(read_yaml(folder / "postprocessing" / f"{name}.yaml"))
        for name in shipped("postprocessing", folder)
    }
    fitting = {name: chain for name, chain in shipped_ones.items() if _fits(chain, study)}
    found: dict[str, Postprocessing] = {}
    for label, chain in [*study.postprocessing.items(), *fitting.items()]:
        if label not in found and all(chain.operators != each.operators for each in found.values()):
            found[label] = chain
    return found


def _fits(chain: Postprocessing, study: Study) -> bool:
    """Whether it segments all lesions of the study: not the place of one alone, nor only bright ones."""
    bright = any(isinstance(step, HyperintensityPrior) for step in chain.operators)
    return not chain.locates() and (study.lesion_sign == "bright" or not bright)
