"""The head of the report: the questions that a reader has first, each answered in a sentence or two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from brainuad.config.datasets import Made
from brainuad.config.postprocessing import Fixed, ValDice
from brainuad.config.study import Study
from brainuad.config.told import count, listed, with_settings
from brainuad.formats.verdicts import NONE, Comparisons
from brainuad.metrics.statistics import FEWEST_DECIDED
from brainuad.report.baselines import BaselineComparison
from brainuad.report.methods_section.participants import Group
from brainuad.report.realised import Realised
from brainuad.report.recalls import Recalls

COMPARISON, THRESHOLDS = ("comparison", "comparison"), ("thresholds", "thresholds")
MOST_NAMED = 3
BASELINES = "methods that learn at most statistics of single voxels or of mirrored pairs"


@dataclass(frozen=True)
class Answer:
    """`texts`: sentences, with `code` between backticks; `link`: id of the section that has more, and its name."""

    question: str
    texts: list[str]
    link: tuple[str, str] | None = None


@dataclass(frozen=True)
class Known:
    """What the answers are made of. `chance`: AUPRC of a random map, by data set; `gone`: what failed, in words.

    `thresholds`: by rule, by model, postprocessing and data set; `viewed`: scans in the viewer; `pairs`: of all models;
    `recalls`: by data set and model.
    """

    groups: Sequence[Group]
    comparisons: Sequence[BaselineComparison]
    chance: Mapping[str, float | None]
    realised: Sequence[Realised]
    thresholds: Mapping[tuple[str, str, str], Mapping[str, float]]
    gone: str
    viewed: int
    pairs: Comparisons = NONE
    recalls: Mapping[tuple[str, str], Recalls] = field(default_factory=dict)


def answers(study: Study, known: Known) -> list[Answer]:
    """In the order of the page; questions to which the study has no answer are left out."""
    failed = known.gone or "Nothing: all scans are in the study, and every model was scored on every test set."
    found = [
        Answer("What was done?", list(_done(study, known.groups)), ("scans", "scans") if known.groups else None),
        Answer("Which model is best?", list(_best(study, known)), COMPARISON),
        Answer(
            "Is a learned model better than a trivial baseline?",
            [_verdict(study, each) for each in known.comparisons],
            ("headline", "verdicts"),
        ),
        Answer("What is found, and what is missed?", list(_missed(study, known)), ("cases", "cases")),
        Answer("How were thresholds set?", list(_thresholds(study, known)), THRESHOLDS if known.realised else None),
        Answer("What failed?", [failed] if known.gone or known.groups else [], ("failures", "failures")),
    ]
    if known.viewed:
        text = (
            f"The viewer shows {count(known.viewed, 'scan')} in three planes, with the true lesion where there is one, "
            "and with what each model marks at a threshold that you can move."
        )
        found.append(Answer("What do the maps look like?", [text], ("viewer", "viewer")))
    return [each for each in found if each.texts]


def _done(study: Study, groups: Sequence[Group]) -> Iterator[str]:
    baselines = len(study.baselines())
    trivial = f", {count(baselines, 'trivial baseline')} among them ({BASELINES})" if baselines else ""
    training = sum(len(group.used) for group in groups if group.role == "train")
    seeds = f", each model with {len(study.seeds)} seeds" if len(study.seeds) > 1 else ""
    learned = f" had {count(training, 'healthy scan')} to learn from{seeds}" if training else ""
    yield f"{count(len(study.models), 'model')}{trivial}{learned}; each gives every voxel a value, the anomaly map."
    tested = [group for group in groups if group.role == "test" and group.used]
    if tested:
        yield f"They were tested on {listed([_tested(study, group) for group in tested])}."


def _tested(study: Study, group: Group) -> str:
    scans = count(len(group.used), "scan")
    if group.made:
        return f"{scans} made of others (`{group.dataset}`)"
    return f"{scans} of {_people(study, group.dataset, len(group.subjects))} (`{group.dataset}`)"


def _people(study: Study, dataset: str, number: int) -> str:
    """So many people of a data set; lesions that were made are in scans of healthy people."""
    of = study.datasets[dataset]
    healthy = of.healthy or isinstance(of, Made)
    return count(number, "healthy person" if healthy else "patient").replace("healthy persons", "healthy people")


def _best(study: Study, known: Known) -> Iterator[str]:
    after = f" after `{next(iter(study.postprocessing))}`" if len(study.postprocessing) > 1 else ""
    for item in known.comparisons:
        best, number = next(iter(item.numbers.items()))
        trivial = ", a trivial baseline," if best in study.baselines() else ""
        level = known.chance.get(item.dataset)
        chance = "" if level is None else f" (chance: {level:.2g})"
        lead = f"On `{item.dataset}`, `{best}`{trivial} has the highest AUPRC{after}: {number}{chance}."
        yield f"{lead} {_lead(study, item, known.pairs)}".rstrip()
    if known.comparisons:
        with_interval = any(cell.interval for item in known.comparisons for cell in item.numbers.values())
        interval = "; in brackets its 95 % interval" if with_interval else ""
        yield (
            "AUPRC is the area under the precision-recall curve of a scan's voxels, here averaged over people"
            f"{interval}; 1 is perfect."
        )


def _lead(study: Study, item: BaselineComparison, pairs: Comparisons) -> str:
    """Over how many of the other models the lead of the best one is decided; empty without any comparison."""
    best, *others = item.numbers
    found = {each: pairs.between(item.dataset, next(iter(study.postprocessing)), best, each) for each in others}
    verdicts = {model: each.verdict for model, each in found.items() if each}
    if not verdicts:
        return ""
    if set(verdicts.values()) == {"too few"}:
        people = _people(study, item.dataset, max(each.n for each in found.values() if each))
        return f"Whether it is better than the others is not tested: {people} of at least {FEWEST_DECIDED}."
    undecided = [f"`{model}`" for model in others if verdicts.get(model) != "better"]
    if not undecided:
        return "It is better than every other model." if len(others) > 1 else "It is better than the other model."
    named = listed(undecided[:MOST_NAMED]) if len(undecided) <= MOST_NAMED else ", ".join(undecided[:MOST_NAMED])
    more = f" and {len(undecided) - MOST_NAMED} more" if len(undecided) > MOST_NAMED else ""
    better = f"It is better than {len(others) - len(undecided)} of {count(len(others), 'other model')}; a"
    return f"{better if len(undecided) < len(others) else 'A'}gainst {named}{more} that is undecided."


def _missed(study: Study, known: Known) -> Iterator[str]:
    """What the best model of each data set detects, by size, under the first threshold rule."""
    for item in known.comparisons:
        best = next(iter(item.numbers))
        recalls = known.recalls.get((item.dataset, best))
        if recalls:
            yield f"On `{item.dataset}`, `{best}` at `{study.thresholds[0].label}` detects {recalls}."


def _verdict(study: Study, item: BaselineComparison) -> str:
    place = f"On `{item.dataset}`:"
    if not item.baseline:
        why = "every trivial baseline is missing" if study.baselines() else "the study has no trivial baseline"
        return f"{place} not known, {why}."
    if not item.differences:
        return f"{place} only trivial baselines are there."
    rival = f"the best trivial baseline, `{item.baseline}` ({item.numbers[item.baseline]})"
    if better := [model for model, verdict in item.differences.items() if verdict == "better"]:
        named = listed([f"`{model}`" for model in better[:MOST_NAMED]])
        more = f" and {len(better) - MOST_NAMED} more" if len(better) > MOST_NAMED else ""
        return f"{place} yes, {named}{more} {'are' if len(better) > 1 else 'is'} better than {rival}."
    if all(verdict == "worse" for verdict in item.differences.values()):
        return f"{place} no, every learned model is worse than {rival}."
    people = _people(study, item.dataset, item.patients)
    if all(verdict == "too few" for verdict in item.differences.values()):
        return f"{place} {people} cannot decide it. The one to surpass is {rival}."
    needed = f"; about {item.needed} would decide a difference of this size" if item.needed else ""
    return f"{place} not decided with {people}{needed}. The one to surpass is {rival}."


def _thresholds(study: Study, known: Known) -> Iterator[str]:
    if not study.thresholds:
        return
    rule = study.thresholds[0]
    first = f", the first of {len(study.thresholds)} rules," if len(study.thresholds) > 1 else ""
    aim = f": it aims at {100 * rule.aims_at:.2g} % of healthy brain voxels above it" if rule.aims_at else ""
    yield f"`{rule.label}`{first} is {with_settings(rule, 'rule')}{aim}."
    first_of = next(iter(study.postprocessing))
    set_ = [rule.label in found for (_, label, _), found in known.thresholds.items() if label == first_of]
    if set_ and not all(set_):
        yield f"It found no threshold in {len(set_) - sum(set_)} of {len(set_)} cases (model and data set)."
    if any(set_) and not isinstance(rule, Fixed):
        yield from _set_on(study, known.groups, healthy=not isinstance(rule, ValDice))
    volumes = [row.fp_ml_per_scan for row in known.realised if (row.rule, row.postprocessing) == (rule.label, first_of)]
    if volumes:
        low, high = (f"{each:.2g}" for each in (min(volumes), max(volumes)))
        span = low if low == high else f"{low} to {high}"
        yield f"In healthy test scans the models then mark {span} ml per scan, all of it falsely."


def _set_on(study: Study, groups: Sequence[Group], healthy: bool) -> Iterator[str]:
    """On which scans thresholds were set: of most data sets on the same, of those with `calibrate` on others."""
    tested = {group.dataset for group in groups if group.role == "test"}
    scored: dict[str, list[str]] = {}
    for dataset in filter(tested.__contains__, study.scored_sets()):
        roles = study.threshold_sets(dataset)
        used = [
            f"{count(len(group.used), f'{group.role} scan')} of `{group.dataset}`"
            for group in groups
            if group.used
            and roles.get(group.dataset) == group.role
            and study.datasets[group.dataset].healthy == healthy
        ]
        if used:
            scored.setdefault(listed(used), []).append(f"`{dataset}`")
    for scans, datasets in scored.items():
        of = f" for {listed(datasets)}" if len(scored) > 1 else ""
        yield f"It was set on {scans}{of}; no label of a test scan was used."
