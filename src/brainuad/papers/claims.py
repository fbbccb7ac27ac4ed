"""A paper's claims, tested on ours: supported, contradicted, open, or not tested.

A claim is about order or equality, so that it can be tested on a stand-in. Tests are paired over patients and trainings
(`paired`), on the value of each scan. A claim about several pairs is supported if every pair is
(intersection-union), and contradicted if any is against it (Bonferroni over its pairs); Holm's correction covers all
tested claims of a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats
from statsmodels.stats.multitest import multipletests

from brainuad.metrics import statistics
from brainuad.metrics.statistics import PairedTest
from brainuad.papers.comparison import CLOSE
from brainuad.papers.finished_study import FinishedStudy, Number
from brainuad.papers.reported import Claim, our_metric

FEWEST_SEEDS = 3
"""Trainings of each system under which a claim is not tested."""
Outcome = Literal["supported", "contradicted", "open", "not tested"]
Values = Float[np.ndarray, "patients seeds"]


@dataclass(frozen=True)
class Evidence:
    """What the tests of one claim give, before the correction. `p_for`, `p_against`: two-sided."""

    p_for: float
    p_against: float
    patients: int
    numbers: Sequence[str]
    """One for each comparison, in words."""
    decided: Outcome | None = None
    """Of claims without a test: times."""
    note: str = ""


@dataclass(frozen=True)
class Untested:
    """Why a claim was not tested."""

    why: str


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. `numbers`: the comparisons behind it."""

    outcome: Outcome
    why: str
    numbers: Sequence[str] = ()


def examine(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
    """Test a claim on one data set. `labels`: the model of each system."""
    modality = study.study.scan_sets()[study.source(dataset)].modality
    if claim.modality not in (None, modality):
        return Untested(f"it is about {claim.modality} scans")
    systems = [*claim.systems, *claim.references]
    if lacking := [system for system in dict.fromkeys(systems) if system not in labels]:
        return Untested("not run: " + ", ".join(lacking))
    if len(study.study.seeds) < FEWEST_SEEDS:
        return Untested(f"{len(study.study.seeds)} of {FEWEST_SEEDS} trainings that a claim needs")
    if claim.metric == "seconds_per_scan":
        return _times(claim, study, labels)
    poor = study.poor()
    if bad := [system for system in dict.fromkeys(systems) if labels[system] in poor]:
        share = poor[labels[bad[0]]]
        more = f", nor {'does' if len(bad) == 2 else 'do'} {', '.join(bad[1:])}" if bad[1:] else ""
        explained = f"{share:.2f}" if share > -1 else "below -1"
        return Untested(f"{bad[0]} explains none of the variance of healthy scans ({explained}){more}")
    return TESTS[claim.check](claim, study, dataset, labels)


def decide(found: Sequence[Evidence | Untested]) -> list[Verdict]:
    """The verdicts of all claims of a page, after Holm's correction."""
    tested = [
        each
        for each in found
        if isinstance(each, Evidence) and each.decided is None and each.patients >= statistics.FEWEST_DECIDED
    ]
    corrected = dict(zip(map(id, tested), holm([min(each.p_for, each.p_against) for each in tested]), strict=True))
    return [_verdict(each, corrected.get(id(each))) for each in found]


def _verdict(found: Evidence | Untested, p: float | None) -> Verdict:
    if isinstance(found, Untested):
        return Verdict("not tested", found.why)
    if found.decided:
        return Verdict(found.decided, found.note, found.numbers)
    if p is None:
        return Verdict(
            "open",
            f"{found.patients} patients are too few to decide, {statistics.FEWEST_DECIDED} are needed",
            found.numbers,
        )
    text = f"p {p:.3f}" if p >= 0.001 else "p under 0.001"
    note = f"{text} over {found.patients} patients" + (f"; {found.note}" if found.note else "")
    if p >= statistics.LEVEL:
        return Verdict("open", note, found.numbers)
    return Verdict("supported" if found.p_for < found.p_against else "contradicted", note, found.numbers)


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down (1979)."""
    return multipletests(p, method="holm")[1].tolist() if len(p) else []


def _above(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
    metric = _metric(claim)
    pairs = [(system, reference) for system in claim.systems for reference in claim.references]
    return _pairs(pairs, study, dataset, labels, metric, _order)


def _equal(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
    pairs = list(zip(claim.systems, claim.references, strict=True))
    margin = CLOSE if claim.margin is None else claim.margin
    return _pairs(pairs, study, dataset, labels, _metric(claim), lambda values: _within(values, margin))


def _pairs(
    pairs: Sequence[tuple[str, str]],
    study: FinishedStudy,
    dataset: str,
    labels: dict[str, str],
    metric: str,
    test: Callable[[Values], tuple[float, float]],
) -> Evidence | Untested:
    """The differences of pairs of systems. `test`: p for the claim and against it."""
    names = dict.fromkeys(name for pair in pairs for name in pair)
    values, lacking = _values(names, study, dataset, labels, metric)
    if lacking:
        return _open(f"no {metric} of each scan of {', '.join(lacking)}, so no paired test")
    outcomes, texts, patients = [], [], []
    for system, reference in pairs:
        difference = (values[system] - values[reference]).dropna(how="all").to_numpy()
        found = paired(difference)
        outcomes.append(test(difference))
        patients.append(found.patients)
        texts.append(f"{system} - {reference}, {metric} of each scan: {_shown(found)}")
    return _joined(outcomes, min(patients), texts)


def _joined(outcomes: Sequence[tuple[float, float]], patients: int, texts: Sequence[str], note: str = "") -> Evidence:
    """All comparisons must support the claim; one against it, of all that were tried, contradicts it."""
    supporting, opposing = zip(*((_p(a), _p(b)) for a, b in outcomes), strict=True)
    return Evidence(max(supporting), min(1.0, len(opposing) * min(opposing)), patients, texts, note=note)


def _values(
    systems: Iterable[str], study: FinishedStudy, dataset: str, labels: dict[str, str], metric: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The values of each system, and the systems that have none."""
    found = {system: study.values(labels[system], dataset, metric) for system in systems}
    return {system: each for system, each in found.items() if each is not None}, [
        system for system, each in found.items() if each is None
    ]


def _open(why: str) -> Evidence:
    return Evidence(math.nan, math.nan, 0, (), "open", why)


def paired(values: Values) -> PairedTest:
    """The paired test of patients and trainings, and a t test of the means of the trainings; the larger p.

    The first alone is too lenient far out in its tail where trainings differ more than patients: three trainings say
    little of how much a fourth may differ.
    """
    found = statistics.paired(values)
    if found.seeds < 2 or math.isnan(found.p):
        return found
    means = statistics.complete(values).mean(axis=0)
    if means.std() < 1e-12 * max(1.0, abs(means).max()):
        return found
    return replace(found, p=max(found.p, float(stats.ttest_1samp(means, 0).pvalue)))


def _order(values: Values) -> tuple[float, float]:
    """P that the mean lies above 0, and below."""
    found = paired(values)
    return (found.p, 1.0) if found.difference > 0 else (1.0, found.p)


def _within(values: Values, margin: float) -> tuple[float, float]:
    """P of the two one-sided tests that the mean lies within the margin, and that it lies outside."""
    above_low, below_high = _one_sided(values + margin, 1), _one_sided(values - margin, -1)
    outside = 2 * min(_one_sided(values + margin, -1), _one_sided(values - margin, 1))
    return max(above_low, below_high), min(1.0, outside)


def _one_sided(values: Values, sign: int) -> float:
    found = paired(values)
    return found.p / 2 if sign * found.difference > 0 else 1 - found.p / 2


def _of_each(column: str) -> Callable[[Claim, FinishedStudy, str, dict[str, str]], Evidence | Untested]:
    """A test that a number of each scan is above 0 on average, for each system of the claim."""

    def examine_each(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
        values, lacking = _values(claim.systems, study, dataset, labels, column)
        if lacking:
            return _open(f"no mask of each scan of {', '.join(lacking)}")
        found = {system: each.to_numpy() for system, each in values.items()}
        tests = {system: paired(each) for system, each in found.items()}
        texts = [f"{system}, {MEANT[column]}: {_shown(each)}" for system, each in tests.items()]
        return _joined([_order(each) for each in found.values()], min(each.patients for each in tests.values()), texts)

    return examine_each


MEANT = {
    "above_chance": "Dice of each scan minus that of predicting the whole brain",
    "mostly_false": "ml of false minus true positives in each scan",
}


def _at_least(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
    """By the interval of each training: all must lie above the bound, or below it."""
    assert claim.bound is not None
    metric, outcomes, texts, patients = _metric(claim), [], [], []
    for system in claim.systems:
        numbers = study.numbers(labels[system], dataset, metric)
        if not numbers:
            return Untested(f"no number of {system}")
        each = [_against_bound(number, claim.bound) for number in numbers]
        outcomes.append((max(a for a, _ in each), max(b for _, b in each)))
        texts += [f"{system}: {number}" for number in numbers]
        patients.append(min(study.patients(labels[system], dataset), *(number.n for number in numbers)))
    note = "the bound is the highest value there is, which no interval can exceed" if claim.bound >= 1 else ""
    return _joined(outcomes, min(patients), texts, note)


def _against_bound(number: Number, bound: float) -> tuple[float, float]:
    """P that a number lies above a bound, and below, from its 95 % interval; 1 where the interval holds the bound."""
    if math.isnan(number.low) or number.low <= bound <= number.high:
        return 1.0, 1.0
    error = max((number.high - number.low) / (2 * stats.norm.isf(0.025)), 1e-9)
    p = float(2 * stats.norm.sf(abs(number.value - bound) / error))
    return (p, 1.0) if number.value > bound else (1.0, p)


def _orders_differ(claim: Claim, study: FinishedStudy, dataset: str, labels: dict[str, str]) -> Evidence | Untested:
    """Supported where a pair is in one order by Dice and in the other by AUPRC; contradicted where all agree."""
    values = {}
    for name in ORDERED_BY:
        values[name], lacking = _values(claim.systems, study, dataset, labels, name)
        if lacking:
            return _open(f"no {name} of each scan of {', '.join(lacking)}")
    crossed, same, texts, patients = [], [], [], []
    for a, b in combinations(claim.systems, 2):
        tests = [paired((values[name][a] - values[name][b]).dropna(how="all").to_numpy()) for name in ORDERED_BY]
        p = max(_p(each.p) for each in tests)
        opposite = tests[0].difference * tests[1].difference < 0
        crossed.append(p if opposite else 1.0)
        same.append(1.0 if opposite else p)
        patients.append(min(each.patients for each in tests))
        texts.append(f"{a} - {b}: Dice {_shown(tests[0])}, AUPRC {_shown(tests[1])}")
    return Evidence(min(1.0, len(crossed) * min(crossed)), max(same), min(patients), texts)


ORDERED_BY = ("dice_volume", "auprc_pooled")


def _times(claim: Claim, study: FinishedStudy, labels: dict[str, str]) -> Evidence | Untested:
    """Seconds a scan of each training; not a statement about patients."""
    seconds = {system: study.seconds_of_seeds(labels[system]) for system in (*claim.systems, *claim.references)}
    if lacking := [system for system, each in seconds.items() if len(each) < FEWEST_SEEDS]:
        return Untested("not timed: " + ", ".join(lacking))
    ours = [value for system in claim.systems for value in seconds[system]]
    theirs = [claim.factor * value for reference in claim.references for value in seconds[reference]]
    outcome: Outcome = "open"
    if min(ours) > max(theirs):
        outcome = "supported"
    elif max(ours) < min(theirs):
        outcome = "contradicted"
    texts = [f"{system}: {min(each):.3g} to {max(each):.3g} s a scan" for system, each in seconds.items()]
    return Evidence(
        math.nan,
        math.nan,
        0,
        texts,
        outcome,
        "in every training, on our machine" if outcome != "open" else "trainings disagree",
    )


TESTS: dict[str, Callable[[Claim, FinishedStudy, str, dict[str, str]], Evidence | Untested]] = {
    "above": _above,
    "equal": _equal,
    "at_least": _at_least,
    "above_chance": _of_each("above_chance"),
    "mostly_false_positive": _of_each("mostly_false"),
    "orders_differ": _orders_differ,
}


def _metric(claim: Claim) -> str:
    name = our_metric(claim.metric, claim.dice_over)
    assert name is not None, claim.metric
    return name


def _p(p: float) -> float:
    """NaN, of too few patients, decides nothing."""
    return 1.0 if math.isnan(p) else p


def _shown(found: PairedTest) -> str:
    interval = "" if math.isnan(found.low) else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.difference:+.3f}{interval}"
