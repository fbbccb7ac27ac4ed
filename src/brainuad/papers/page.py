"""The page of a paper: a figure and a short table first, then its claims and how ours were made; details are folded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from brainuad.bibliography import REFERENCES
from brainuad.config import templates
from brainuad.errors import InputError
from brainuad.metrics.statistics import FEWEST_DECIDED
from brainuad.papers.against_baselines import against_baselines
from brainuad.papers.claims import FEWEST_SEEDS, Evidence, Untested, Verdict, decide, examine
from brainuad.papers.comparison import CLOSE, WIDEST, agreement
from brainuad.papers.figure import FigureRow, svg
from brainuad.papers.finished_study import FLAT, FinishedStudy, command, flatness
from brainuad.papers.reported import Claim, Paper, Reported
from brainuad.report.ceilings import ENOUGH
from brainuad.report.reconstruction import ReconstructionQuality, reconstruction_quality

COMMAND = "brainuad compare-paper"
LONGEST = 140
"""Characters of a line of text; tables have up to 159."""
MOST_FIGURES = 60
"""Rows of a picture; what a paper has beyond stands in the table of all numbers."""
CEILINGS = (
    "ceiling: what a perfect map reaches through resizing and the paper's postprocessing (ours where only our map was "
    "run), mean over scans, Dice at its best threshold. **bold**: more than a tenth is lost, so ours may be low."
)
OWN_MAP = {True: "the paper's", False: "ours"}


def write_pages(done: Sequence[FinishedStudy], folder: Path) -> list[Path]:
    """Write a page per paper, `<folder>/<paper>.md`, and its picture, with all its studies; the paths of the pages."""
    by_paper: dict[str, list[FinishedStudy]] = {}
    for each in done:
        by_paper.setdefault(str(each.study.paper), []).append(each)
    for key, studies in by_paper.items():
        names = [each.study.study for each in studies]
        if len(set(names)) < len(names):
            raise InputError("two studies have one name", why=", ".join(names), do="name each study file once")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.md").write_text(page(key, studies), encoding="utf-8")
        (folder / f"{key}.svg").write_text(picture(key, studies), encoding="utf-8")
    return [folder / f"{key}.md" for key in by_paper]


def page(key: str, studies: Sequence[FinishedStudy]) -> str:
    """The page of a paper as Markdown; equal studies give equal text."""
    paper = studies[0].paper
    parts = [
        _head(key, paper, studies),
        _glance(key, paper, studies),
        _claims(paper, studies),
        _baselines(studies),
        _deviations(paper, studies),
        _numbers(paper, studies),
        _training(studies),
        _origin(studies),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def picture(key: str, studies: Sequence[FinishedStudy]) -> str:
    """The picture of the page as SVG."""
    rows = [row for row, *_ in _glances(studies[0].paper, studies)][:MOST_FIGURES]
    return svg(f"{key}: the paper's numbers and ours", _first(studies[0].paper).name, rows)


def _head(key: str, paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield f"<!-- Made by `{COMMAND}`, see the end; do not edit. -->"
    yield from (f"# {key}: the paper's numbers and ours", "", *_wrapped(REFERENCES[key]), "")
    yield from _wrapped(f"The paper trained on {', '.join(paper.training)} and tested on {', '.join(paper.tests)}.")
    for each in studies:
        trained = [label for label, d in each.study.scan_sets().items() if d.split and d.split.train]
        labels = dict.fromkeys([*each.tests(), *(label for claim in paper.claims for label in each.tested_on(claim))])
        tested = [f"`{label}` ({'the paper’s own' if each.own(label) else 'a stand-in'})" for label in labels]
        seeds = len(each.study.seeds)
        yield from _wrapped(
            f"Study `{each.study.study}` trained on {_ticked(trained)}, {seeds} training{'s' * (seeds > 1)} of each "
            f"network, and tested on {', '.join(tested) or 'nothing with lesions'}."
        )


def _glance(key: str, paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## At a glance", "", f"![{_first(paper).name} of the paper and of ours, by system]({key}.svg)", "")
    yield from _wrapped(
        f"{_first(paper).name}: mean over trainings [95 % interval over patients]. ~: read off a figure. †: from "
        "memory. reproduced: the paper's own system, size, map, postprocessing and data, a difference of "
        f"{CLOSE:g} at most, and an interval no wider than {WIDEST:g}. not comparable: any of these is not the paper's."
    )
    glances = list(_glances(paper, studies))
    several = any(row.ceiling is not None for row, *_ in glances)
    heads = ["system", "test set", "paper", "ours, the paper's map", "ours, our map", *["ceiling"] * several]
    yield from _table_head(*heads, "agreement")
    for row, dataset, shown, agreed in glances:
        numbers = ["—" if each is None else str(each) for each in (row.own, row.other)]
        yield _line(f"`{row.system}`", f"`{dataset}`", shown, *numbers, *[_ceiling(row.ceiling)] * several, agreed)
    if glances and all(row.own is not None and row.own == row.other for row, *_ in glances):
        yield from ("", "The score of a scan does not depend on the map: both columns of ours are equal.")
    if several:
        yield from ("", *_wrapped(CEILINGS))


def _ceiling(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}" if value >= ENOUGH else f"**{value:.3f}**"


def _glances(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[tuple[FigureRow, str, str, str]]:
    """For the paper's first metric, by system and test set: row of the picture, test set, paper's value, agreement."""
    several = len({dataset for each in studies for dataset in each.tests()}) > 1
    for system in paper.systems:
        for each in studies:
            labels = {own: _representatives(each, own).get(system) for own in (True, False)}
            for dataset in each.tests() if any(labels.values()) else ():
                reported = _reported(paper, each, system, dataset)
                if reported is None or reported.ours is None:
                    continue
                own, other = (
                    None if label is None else each.number(label, dataset, reported.ours) for label in labels.values()
                )
                agreed = "not comparable"
                if own is not None:
                    agreed = agreement(reported.value, own, _unlike(each, str(labels[True]), dataset, reported))
                if own is not None or other is not None:
                    ceiling = each.ceiling(labels[True] or str(labels[False]), dataset, reported.ours)
                    place = f" on {dataset}" if several else ""
                    row = FigureRow(system, place, reported.value, own, other, ceiling)
                    yield row, dataset, reported.shown, agreed


def _reported(paper: Paper, done: FinishedStudy, system: str, dataset: str) -> Reported | None:
    """The system's number of the paper's first metric, on the paper's data if the data set is the paper's own."""
    first, own = _first(paper), done.own(dataset)
    rows = [row for row in paper.of(system) if (row.metric, row.dice_over) == (first.metric, first.dice_over)]
    return next((row for row in rows if own is None or row.dataset == own), None)


def _first(paper: Paper) -> Reported:
    return paper.results[0]


def _unlike(done: FinishedStudy, label: str, dataset: str, reported: Reported) -> str:
    """What of ours is not the paper's; empty for the paper's own system on its own data."""
    origin = done.origins[label]
    differences = {
        "data": done.own(dataset) != reported.dataset,
        "size": origin.reduced,
        "training": bool(origin.deviations) and not origin.reduced,
        "map": not origin.own_map,
        "postprocessing": done.postprocessing(label) != done.paper.postprocessing,
        "machine": reported.metric.startswith("seconds"),
        "a network that explains no variance": label in done.poor(),
    }
    return ", ".join(name for name, differs in differences.items() if differs)


def _claims(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Claims of the paper", "")
    yield from _wrapped(
        "Verdicts are about our networks on the data named here, whatever their size: on other data than the paper's "
        "they neither confirm nor refute it. Numbers of masks also depend on the threshold. Tests are paired over "
        "patients and trainings, on the AUPRC or Dice of each scan, since numbers over all scans together have no "
        f"value of each patient; {FEWEST_SEEDS} trainings and {FEWEST_DECIDED} patients at least; p after Holm's "
        "correction for all claims of this page, intervals without it. open: the data do not decide."
    )
    found = [each for study in studies for each in _examined(paper, study)]
    verdicts = decide([evidence for *_, evidence in found])
    yield from _table_head("claim", "test set", "map", "on ours", "why")
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for (claim, _, dataset, own_map, _), verdict in zip(found, verdicts, strict=True):
        rows.setdefault((claim.claim, dataset, verdict.outcome, verdict.why), []).append(OWN_MAP[own_map])
    for (text, dataset, outcome, why), maps in rows.items():
        short = textwrap.shorten(why, 60, placeholder=" …")
        yield _line(textwrap.shorten(text, 60, placeholder=" …"), dataset, " and ".join(maps), f"**{outcome}**", short)
    yield from _folded("The comparisons behind each verdict", _comparisons(found, verdicts))


Examined = tuple[Claim, FinishedStudy, str, bool, Evidence | Untested]
"""A claim, the study, the test set, whether the map is the paper's, and what the tests give."""


def _examined(paper: Paper, done: FinishedStudy) -> Iterator[Examined]:
    variants = {own_map: _representatives(done, own_map) for own_map in (True, False)}
    there = {own_map: labels for own_map, labels in variants.items() if labels} or {True: {}}
    for claim in paper.claims:
        for own_map, labels in there.items():
            for dataset in done.tested_on(claim):
                yield claim, done, f"`{dataset}`", own_map, examine(claim, done, dataset, labels)
            if not done.tested_on(claim):
                why = f"no data set `{claim.dataset}`" if claim.dataset else "no test set"
                yield claim, done, "—", own_map, Untested(why)


def _comparisons(found: Sequence[Examined], verdicts: Sequence[Verdict]) -> Iterator[str]:
    for (claim, done, dataset, own_map, _), verdict in zip(found, verdicts, strict=True):
        place = f"`{done.study.study}` on {dataset}, {'the paper’s' if own_map else 'our'} map"
        yield from _bullet(f"{claim.claim} ({place}): {verdict.outcome}, {verdict.why}")
        for text in verdict.numbers:
            yield from _bullet(text, 1)


def _baselines(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Against the trivial baselines", "")
    found = [(each.study.study, compared) for each in studies for compared in against_baselines(each)]
    if not found:
        yield "No trivial baseline was scored."
        return
    yield from _wrapped(
        "AUPRC of each scan. Each network counts once. It and the baseline stand at the map and postprocessing that "
        "are best on the test scans, in favour of both: an order, no test. Better, worse: decided against that "
        "baseline, all after its postprocessing (docs/evaluation.md)."
    )
    yield ""
    for study, each in found:
        text = (
            f"`{study}`, `{each.dataset}` ({each.patients} patients): {len(each.above)} of {each.trainings} networks "
        )
        text += f"lie above {each.baseline} ({each.value:.3f})"
        text += f": {', '.join(each.above)}. " if each.above else ". "
        if each.patients < FEWEST_DECIDED:
            yield from _bullet(f"{text}Under {FEWEST_DECIDED} patients nothing is tested.")
            continue
        alone = " (of these trainings, one each)" if each.seeds == 1 else ""
        better, worse = (", ".join(names) or "none" for names in (each.better, each.worse))
        yield from _bullet(f"{text}Better{alone}: {better}. Worse: {worse}.")


def _deviations(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Deviations from the paper", "")
    for text in dict.fromkeys(_all_deviations(paper, studies)):
        yield from _bullet(text)


def _all_deviations(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from paper.deviations
    for each in studies:
        name = f"`{each.study.study}`: " if len(studies) > 1 else ""
        yield from (f"{name}{text}" for text in each.study.deviations)
        if stand_ins := [label for label in each.tests() if each.own(label) is None]:
            yield f"{name}other data than the paper's: {_ticked(stand_ins)}"
        prepare = each.study.recipe.preprocess
        grid = f"{prepare.spacing:g} mm voxels on {templates.title(prepare.template)}"
        theirs = paper.template
        other = f" (the paper: {theirs})" if theirs and theirs not in prepare.template.lower() else ""
        yield f"{name}recipe `{each.study.recipe_name}`: {grid}{other}"
        changed: dict[str, list[str]] = {}
        sources = list(dict.fromkeys(each.study.trainings()[label] for label in each.trained))
        for label in sources:
            for text in each.origins[label].deviations:
                changed.setdefault(text, []).append(label)
        for text, labels in changed.items():
            yield f"{name}{text}: {'all networks' if len(labels) == len(sources) > 1 else _ticked(labels)}"
        if any(not each.origins[label].own_map for label in each.trained):
            yield (
                f"{name}our map: its settings were chosen on IXI heads with inserted strokes; on test scans among "
                "these its numbers are optimistic (decision 43)"
            )
    known = [each.origins[label] for each in studies for label in each.trained]
    missing = [system for system in paper.systems if system not in {origin.system for origin in known}]
    if missing:
        yield f"not run: {_ticked(missing)}"


def _numbers(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from _folded("All numbers", _number_table(paper, studies))


def _number_table(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from _wrapped(
        "± is the sd over trainings. The threshold of oracle was chosen on test labels, before mask operators: not a "
        "result. Last column: what of ours is not the paper's."
    )
    yield from _table_head("model", "test set", "metric", "threshold", "paper", "ours", "agreement")
    lacking: dict[str, set[str]] = {}
    rows: dict[tuple[str, ...], list[str]] = {}
    for system in paper.systems:
        for each in studies:
            labels = [label for label in each.trained if each.origins[label].system == system]
            for label in labels:
                for cells in _cells(paper, each, label, lacking):
                    rows.setdefault(cells, []).append(f"`{label}`")
    for cells, labels in rows.items():
        yield _line(" and ".join(dict.fromkeys(labels)), *cells)
    for metric, systems in lacking.items():
        yield from ("", *_wrapped(f"Not measured: {metric} of {_ticked(sorted(systems))}."))


def _cells(paper: Paper, done: FinishedStudy, label: str, lacking: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """One model: a row per test set and reported metric; what is not measured is added to `lacking`."""
    system = done.origins[label].system
    for dataset in done.tests():
        own = done.own(dataset)
        for row in paper.of(system):
            if own is not None and row.dataset != own:
                continue
            ours = None if row.ours is None else done.number(label, dataset, row.ours)
            if ours is None:
                lacking.setdefault(row.name, set()).add(label)
                continue
            unlike = _unlike(done, label, dataset, row)
            rule = "" if ours.rule == "none" else ours.rule.replace("healthy_quantile", "healthy")
            agreed = agreement(row.value, ours, unlike)
            yield (
                f"`{dataset}`",
                row.name,
                rule,
                f"{row.shown}",
                str(ours),
                agreed if agreed != "not comparable" else unlike,
            )


def _representatives(done: FinishedStudy, own_map: bool) -> dict[str, str]:
    """The model of each system; of several the one with the fewest deviations from the paper's file."""
    chosen: dict[str, str] = {}
    for label in done.trained:
        known = done.origins[label]
        if known.own_map != own_map:
            continue
        other = chosen.get(known.system)
        if other is None or len(known.deviations) < len(done.origins[other].deviations):
            chosen[known.system] = label
    return chosen


def _training(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from _folded("Training", _training_table(studies))


def _training_table(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from _wrapped(
        f"A healthy validation loss is flat if the mean of its last fifth of checks lies less than {100 * FLAT:g} % "
        "under that of the fifth before; in brackets that gain. Reconstruction: the share of the variance in the "
        "brain of healthy validation and test scans that it explains; at 0 or less (**bold**) their own mean would "
        "do as well, and the paper's map shows the scan rather than its lesions; no claim is tested on a network whose "
        "mean over trainings is 0 or less. r: correlation with the scan."
    )
    yield from _table_head("network", "seed", "steps", "kept at", "healthy validation loss", "reconstruction", "scans")
    for each in studies:
        qualities = {
            seed: reconstruction_quality(each.study, [r for r in each.records if r["seed"] == seed])
            for seed in each.study.seeds
        }
        trained = {(r["tags"]["model"], int(r["seed"])): r["facts"] for r in each.records if r["stage"] == "train"}
        for source in dict.fromkeys(each.study.trainings()[label] for label in each.trained):
            for seed in each.study.seeds:
                facts = trained.get((source, seed), {})
                curves = each.training
                mine = curves[(curves["model"] == source) & (curves["seed"] == seed)] if len(curves) else curves
                counts = [str(facts.get(key, "—")) for key in ("steps", "kept_step")]
                quality = qualities[seed].get(source)
                text = "—" if quality is None else f"**{_quality(quality)}**" if quality.poor else _quality(quality)
                scans = str(facts.get("training_scans", "—"))
                yield _line(
                    f"`{source}`", str(seed), *counts, flatness(mine).replace("still falling", "falling"), text, scans
                )
    runs = [f"{key}: {run}" for each in studies for key, run in each.runs.items() if key.split("/")[0] in each.origins]
    if runs:
        yield from ("", *_wrapped("Runs in MLflow: " + "; ".join(runs) + "."))


def _quality(quality: ReconstructionQuality) -> str:
    explained = f"{quality.explained:.2f}" if quality.explained > -1 else "below -1"
    return f"{explained}, r {quality.correlation:.2f}"


def _origin(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Made by", "", "```")
    yield from (command(each.file) for each in studies)
    yield f"{COMMAND} {' '.join(str(each.file) for each in studies)}"
    yield "```"


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"<details><summary>{title}</summary>", "", *lines, "", "</details>")


def _table_head(*heads: str) -> Iterator[str]:
    yield from ("", _line(*heads), "|" + " --- |" * len(heads))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, LONGEST, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _bullet(text: str, level: int = 0) -> Iterator[str]:
    space = "  " * level
    yield from (space + line for line in _wrapped(f"- {text}", "  "))


def _ticked(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
