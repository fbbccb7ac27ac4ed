"""A paper's numbers and claims compared with ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from brainuad.metrics import map_metrics, mask_metrics
from brainuad.papers.finished_study import FinishedStudy, Number
from brainuad.papers.reported import Claim, our_metric

CLOSE = 0.05
"""Largest difference, in Dice or any other share, that is called close."""
DICE, PREVALENCE = mask_metrics.dice_pooled.name, map_metrics.prevalence.name
FALSE_POSITIVE_RATE = mask_metrics.voxel_fpr.name
Agreement = Literal["reproduced", "close", "differs", "not comparable", "not in text", "not measured"]
State = Literal["holds", "does not hold", "not tested"]
Numbers = Callable[[str, str], Number | None]
"""Our number of a system and metric."""


@dataclass(frozen=True)
class ClaimCheck:
    """Whether a claim holds, and the numbers behind it or what is missing."""

    state: State
    numbers: str


def agreement(reported: float | None, ours: Number | None, own_data: bool) -> Agreement:
    """How well our number agrees with the paper's. `own_data`: whether ours was measured on the paper's data."""
    if ours is None:
        return "not measured"
    if not own_data:
        return "not comparable"
    if reported is None:
        return "not in text"
    if ours.low <= reported <= ours.high:
        return "reproduced"
    return "close" if abs(reported - ours.value) <= CLOSE else "differs"


def check_claim(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> ClaimCheck:
    """A claim on one data set. `labels`: the model of each system."""
    modality = study.study.scan_sets()[study.source(dataset)].modality
    if claim.modality not in (None, modality):
        return ClaimCheck("not tested", f"it is about {claim.modality} scans")

    def number(system: str, metric: str) -> Number | None:
        return study.number(labels[system], dataset, metric) if system in labels else None

    return check_numbers(claim, number)


def check_numbers(claim: Claim, number: Numbers) -> ClaimCheck:
    """Whether a claim holds by our numbers."""
    metrics = _metrics(claim)
    keys = [(system, metric) for system in (*claim.systems, *claim.references) for metric in metrics]
    needs_interval = claim.check == "overlap"
    known = {key: each for key in keys if (each := number(*key)) and not (needs_interval and math.isnan(each.low))}
    missing = list(dict.fromkeys(system for system, metric in keys if (system, metric) not in known))
    if missing:
        return ClaimCheck("not tested", f"no {'interval' if needs_interval else 'number'} of " + ", ".join(missing))
    several = len(metrics) > 1
    text = "; ".join(f"{s} {m} {known[s, m]}" if several else f"{s} {known[s, m]}" for s, m in known)
    if claim.check == "above" and claim.factor == 1:
        pairs = [(system, reference) for system in claim.systems for reference in claim.references]
        overlapping = sum(_overlap(known[a, metrics[0]], known[b, metrics[0]]) for a, b in pairs)
        text += f"; the intervals of {overlapping} of {len(pairs)} pairs overlap"
    return ClaimCheck("holds" if _holds(claim, known) else "does not hold", text)


def _metrics(claim: Claim) -> list[str]:
    if claim.check == "above_chance":
        return [DICE, PREVALENCE]
    if claim.check == "mostly_false_positive":
        return [DICE, FALSE_POSITIVE_RATE, PREVALENCE]
    if claim.check == "orders_differ":
        return [mask_metrics.dice_volume.name, map_metrics.auprc_pooled.name]
    name = our_metric(claim.metric, claim.dice_over)
    assert name is not None, claim.metric
    return [name]


def _holds(claim: Claim, numbers: dict[tuple[str, str], Number]) -> bool:
    names = _metrics(claim)
    values = {key: number.value for key, number in numbers.items()}
    first = names[0]
    match claim.check:
        case "above":
            lowest = min(values[system, first] for system in claim.systems)
            return lowest > claim.factor * max(values[reference, first] for reference in claim.references)
        case "overlap":
            pairs = zip(claim.systems, claim.references, strict=True)
            return all(_overlap(numbers[a, first], numbers[b, first]) for a, b in pairs)
        case "at_least":
            assert claim.bound is not None
            return all(values[system, first] >= claim.bound for system in claim.systems)
        case "above_chance":
            return all(values[s, DICE] > _dice_of_whole_brain(values[s, PREVALENCE]) for s in claim.systems)
        case "mostly_false_positive":
            return all(_precision(*(values[system, name] for name in names)) < 0.5 for system in claim.systems)
    ranks = [sorted(claim.systems, key=lambda system: values[system, name]) for name in names]
    return ranks[0] != ranks[1]


def _overlap(a: Number, b: Number) -> bool:
    return a.low <= b.high and b.low <= a.high


def _dice_of_whole_brain(prevalence: float) -> float:
    """Pooled Dice of predicting the whole brain: the highest expected Dice of a random mask."""
    return 2 * prevalence / (1 + prevalence)


def _precision(dice: float, false_positive_rate: float, prevalence: float) -> float:
    """Share of the predicted voxels that are lesion, from pooled Dice and the false-positive rate of voxels."""
    false = false_positive_rate * (1 - prevalence)
    true = dice * (false + prevalence) / (2 - dice)
    return true / (true + false) if true + false > 0 else 0.0
