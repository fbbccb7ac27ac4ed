"""A paper's numbers and claims against ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from brainuad.papers.finished import Finished, Number
from brainuad.papers.reported import Claim, our_metric

CLOSE = 0.05
"""Largest difference, in Dice or any other share, that is called close."""
Verdict = Literal["reproduced", "close", "differs", "not comparable", "not in text", "not measured"]
State = Literal["holds", "does not hold", "not tested"]
Find = Callable[[str, str], Number | None]
"""Number of ours, by system and metric."""


@dataclass(frozen=True)
class Outcome:
    """What became of a claim, and the numbers behind it or what is missing."""

    state: State
    numbers: str


def verdict(paper: float | None, ours: Number | None, own_data: bool) -> Verdict:
    """The paper's value against ours. On other data than the paper's it is never more than `not comparable`."""
    if ours is None:
        return "not measured"
    if not own_data:
        return "not comparable"
    if paper is None:
        return "not in text"
    if ours.low <= paper <= ours.high:
        return "reproduced"
    return "close" if abs(paper - ours.value) <= CLOSE else "differs"


def check(claim: Claim, done: Finished, dataset: str, labels: dict[str, str]) -> Outcome:
    """A claim on one data set; `labels`: the model that stands for each system."""
    modality = getattr(done.study.scan_sets()[done.source(dataset)], "modality", None)
    if claim.modality not in (None, modality):
        return Outcome("not tested", f"it is about {claim.modality} scans")

    def find(system: str, metric: str) -> Number | None:
        return done.number(labels[system], dataset, metric) if system in labels else None

    return outcome(claim, find)


def outcome(claim: Claim, find: Find) -> Outcome:
    """Whether a claim holds by the numbers of `find`."""
    metrics = _metrics(claim)
    numbers = {(s, m): find(s, m) for s in (*claim.systems, *claim.others) for m in metrics}
    kind = "interval" if claim.kind == "tied" else "number"
    there = {k: n for k, n in numbers.items() if n is not None and not (kind == "interval" and math.isnan(n.low))}
    missing = list(dict.fromkeys(key[0] for key in numbers if key not in there))
    if missing:
        return Outcome("not tested", f"no {kind} of " + ", ".join(missing))
    said = "; ".join(f"{s} {m} {there[s, m]}" if len(metrics) > 1 else f"{s} {there[s, m]}" for s, m in there)
    if claim.kind == "above" and claim.by == 1:
        pairs = [(s, o) for s in claim.systems for o in claim.others]
        meeting = sum(_overlap(there[s, metrics[0]], there[o, metrics[0]]) for s, o in pairs)
        said += f"; the intervals of {meeting} of {len(pairs)} pairs overlap"
    return Outcome("holds" if _holds(claim, there) else "does not hold", said)


def _metrics(claim: Claim) -> list[str]:
    if claim.kind == "beats_chance":
        return ["dice_pooled", "prevalence"]
    if claim.kind == "mostly_false":
        return ["dice_pooled", "voxel_fpr", "prevalence"]
    if claim.kind == "orders_differ":
        return ["dice_volume", "auprc_pooled"]
    name = our_metric(claim.metric, claim.dice_kind)
    assert name is not None, claim.metric
    return [name]


def _holds(claim: Claim, numbers: dict[tuple[str, str], Number]) -> bool:
    names = _metrics(claim)
    values = {key: number.value for key, number in numbers.items()}
    first = names[0]
    match claim.kind:
        case "above":
            lowest = min(values[system, first] for system in claim.systems)
            return lowest > claim.by * max(values[other, first] for other in claim.others)
        case "tied":
            pairs = zip(claim.systems, claim.others, strict=True)
            return all(_overlap(numbers[a, first], numbers[b, first]) for a, b in pairs)
        case "bound":
            assert claim.at_least is not None
            return all(values[system, first] >= claim.at_least for system in claim.systems)
        case "beats_chance":
            return all(values[s, first] > _everything(values[s, "prevalence"]) for s in claim.systems)
        case "mostly_false":
            return all(_precision(*(values[system, name] for name in names)) < 0.5 for system in claim.systems)
    ranks = [sorted(claim.systems, key=lambda system: values[system, name]) for name in names]
    return ranks[0] != ranks[1]


def _overlap(a: Number, b: Number) -> bool:
    return a.low <= b.high and b.low <= a.high


def _everything(prevalence: float) -> float:
    """Pooled Dice of marking the whole brain: no random mask expects more."""
    return 2 * prevalence / (1 + prevalence)


def _precision(dice: float, marked: float, prevalence: float) -> float:
    """Share of the marked voxels that are lesion, from pooled Dice and the share of lesion-free voxels marked."""
    false = marked * (1 - prevalence)
    true = dice * (false + prevalence) / (2 - dice)
    return true / (true + false) if true + false > 0 else 0.0
