"""The page of a paper: its numbers and claims beside ours, and how ours were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from brainuad.bibliography import REFERENCES
from brainuad.config import templates
from brainuad.errors import InputError
from brainuad.papers.comparison import CLOSE, agreement, check_claim
from brainuad.papers.finished_study import FLAT, FinishedStudy, command, flatness
from brainuad.papers.reported import Paper
from brainuad.report.baselines import compare_with_baselines
from brainuad.report.reconstruction import reconstruction_quality

COMMAND = "brainuad compare-paper"


def write_pages(done: Sequence[FinishedStudy], folder: Path) -> list[Path]:
    """Write a page per paper, `<folder>/<paper>.md`, with all its studies; the paths."""
    by_paper: dict[str, list[FinishedStudy]] = {}
    for each in done:
        by_paper.setdefault(str(each.study.paper), []).append(each)
    for key, studies in by_paper.items():
        names = [each.study.study for each in studies]
        if len(set(names)) < len(names):
            raise InputError("two studies have one name", why=", ".join(names), do="name each study file once")
        (folder / f"{key}.md").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.md").write_text(page(key, studies), encoding="utf-8")
    return [folder / f"{key}.md" for key in by_paper]


def page(key: str, studies: Sequence[FinishedStudy]) -> str:
    """The page of a paper as Markdown; equal studies give equal text."""
    paper = studies[0].paper
    parts = [
        _head(key, paper, studies),
        _numbers(paper, studies),
        _deviations(paper, studies),
        _baselines(studies),
        _claims(paper, studies),
        _training(studies),
        _origin(studies),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(key: str, paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield f"<!-- Made by `{COMMAND} {' '.join(str(each.file) for each in studies)}`; do not edit. -->"
    yield from (f"# {key}: the paper's numbers and ours", "", REFERENCES[key], "")
    yield f"The paper trained on {', '.join(paper.training)} and tested on {', '.join(paper.tests)}."
    for each in studies:
        trained = [label for label, d in each.study.scan_sets().items() if d.split and d.split.train]
        tested = [f"`{label}` ({'the paper’s own' if each.own(label) else 'a stand-in'})" for label in each.tests()]
        yield f"Study `{each.study.study}` trained on {_ticked(trained)} and tested on {', '.join(tested)}."


def _numbers(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Numbers", "")
    yield (
        "~: read off a figure. †: from memory. Ours: mean over seeds, ± sd over seeds, [95 % bootstrap interval over "
        "patients]. reproduced: the paper's value lies in our interval. close: within "
        f"{CLOSE:g}. not comparable: other data than the paper's, whatever the number. The threshold of oracle was "
        "chosen on test labels, before mask operators: not a result."
    )
    yield from _table_head(
        "system",
        "model",
        "map",
        "postprocessing",
        "test set",
        "metric",
        "threshold",
        "paper",
        "ours",
        "seeds",
        "agreement",
    )
    for system in paper.systems:
        for each in studies:
            labels = [label for label in each.trained if each.origins[label].system == system]
            for label in sorted(labels, key=lambda label: (not each.origins[label].own_map, labels.index(label))):
                yield from _rows(paper, each, label)
    known = [each.origins[label] for each in studies for label in each.trained]
    full = {origin.system for origin in known if not origin.reduced}
    reduced = [system for system in paper.systems if system not in full and system in {o.system for o in known}]
    missing = [system for system in paper.systems if system not in {o.system for o in known}]
    yield from ("", f"Trained at a reduced size only: {_ticked(reduced)}.", "", f"Not trained: {_ticked(missing)}.")


def _rows(paper: Paper, done: FinishedStudy, label: str) -> Iterator[str]:
    """One model: a row per test set and reported metric."""
    origin, postprocessing = done.origins[label], done.postprocessing(label)
    whose = "the paper's" if origin.own_map else "ours"
    for dataset in done.tests():
        own = done.own(dataset)
        for row in paper.of(origin.system):
            if own is not None and row.dataset != own:
                continue
            ours = None if row.ours is None else done.number(label, dataset, row.ours)
            name = f"`{label}`" + (" (reduced)" if origin.reduced else "")
            cells = [f"`{origin.system}`", name, whose, postprocessing, f"`{dataset}`", f"{row.name} on {row.dataset}"]
            rule = "" if ours is None or ours.rule == "none" else ours.rule
            numbers = ["—", "—"] if ours is None else [str(ours), str(ours.seeds)]
            yield _line(*cells, rule, row.shown, *numbers, agreement(row.value, ours, own is not None))


def _deviations(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Deviations from the paper", "")
    yield from (f"- {text}" for text in paper.deviations)
    for each in studies:
        name = f"`{each.study.study}`"
        yield from (f"- {name}: {text}" for text in each.study.deviations)
        prepare = each.study.recipe.preprocess
        grid = f"{prepare.spacing:g} mm voxels on {templates.title(prepare.template)}"
        yield f"- {name}: recipe `{each.study.recipe_name}`, {grid}"
        for label in dict.fromkeys(each.study.trainings()[label] for label in each.trained):
            changed = each.origins[label].deviations
            yield f"- {name}, `{label}`: " + ("; ".join(changed) if changed else "trained with the paper's settings")


def _baselines(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Against the trivial baselines", "")
    for each, postprocessing in [
        (done, postprocessing) for done in studies for postprocessing in done.study.postprocessing
    ]:
        for comparison in compare_with_baselines(each.study, each.metrics, each.comparisons, postprocessing):
            place = f"`{each.study.study}`, `{comparison.dataset}`, postprocessing `{postprocessing}`"
            if not comparison.baseline:
                yield f"- {place}: no trivial baseline was run."
                continue
            best = comparison.numbers[comparison.baseline]
            below = [model for model in comparison.differences if comparison.numbers[model].value < best.value]
            better = ", ".join(comparison.models("better")) or "none"
            lower = [
                f"`{m}` ({comparison.numbers[m]}{', undecided' * (comparison.differences[m] == 'undecided')})"
                for m in below
            ]
            yield (
                f"- {place}, AUPRC per scan: {len(comparison.differences) - len(below)} of "
                f"{len(comparison.differences)} networks are above `{comparison.baseline}` ({best}); "
                f"with a paired difference whose interval is above 0: {better}. "
                f"Below it: {', '.join(lower) or 'none'}."
            )
    yield (
        "\nundecided: the interval of the paired difference includes 0. p: given where it is not below 0.05 after "
        "Holm's correction."
    )


def _claims(paper: Paper, studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Minimum claims", "")
    yield "A claim is about order, not size, so that it can be checked on a stand-in. The numbers are means over seeds."
    yield from _table_head("claim", "study", "map", "test set", "check", "numbers")
    for claim in paper.claims:
        for each in studies:
            variants = {own_map: _representatives(each, own_map) for own_map in (True, False)}
            there = {own_map: labels for own_map, labels in variants.items() if labels} or {True: {}}
            rows: dict[tuple[str, str, str], list[str]] = {}
            for own_map, labels in there.items():
                whose = "the paper's" if own_map else "ours"
                for dataset in each.tested_on(claim):
                    checked = check_claim(claim, each, dataset, labels)
                    rows.setdefault((f"`{dataset}`", checked.state, checked.numbers), []).append(whose)
                if not each.tested_on(claim):
                    why = f"no data set `{claim.dataset}`" if claim.dataset else "no test set"
                    rows.setdefault(("—", "not tested", why), []).append(whose)
            for (dataset, *result), maps in rows.items():  # one row where both maps give the same
                yield _line(claim.claim, f"`{each.study.study}`", " and ".join(maps), dataset, *result)


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
    yield from ("## Training", "")
    yield (
        f"A healthy validation loss is flat if the mean of its last fifth of checks lies less than {100 * FLAT:g} % "
        "under that of the fifth before; in brackets that gain. Reconstruction: the share of the variance in the "
        "brain of healthy validation and test scans that it explains; at 0 or less (**bold**) their own mean would "
        "do as well, and the paper's map shows the scan rather than its lesions."
    )
    heads = (
        "study",
        "model",
        "seed",
        "steps",
        "kept at",
        "healthy validation loss",
        "reconstruction",
        "scans",
        "MLflow run",
    )
    yield from _table_head(*heads)
    for each in studies:
        qualities = reconstruction_quality(each.study, each.records)
        trained = {(r["tags"]["model"], int(r["seed"])): r["facts"] for r in each.records if r["stage"] == "train"}
        for label in each.trained:
            source = each.study.trainings()[label]
            for seed in each.study.seeds:
                facts = trained.get((source, seed), {})
                curves = each.training
                mine = curves[(curves["model"] == source) & (curves["seed"] == seed)] if len(curves) else curves
                counts = [str(facts.get(key, "—")) for key in ("steps", "kept_step")]
                run = each.runs.get(f"{label}/seed-{seed}", "not imported")
                name = f"`{label}`" if source == label else f"`{label}` (weights of `{source}`)"
                scans = str(facts.get("training_scans", "—"))
                quality = qualities.get(source)
                reconstruction = "—" if quality is None else f"**{quality}**" if quality.poor else str(quality)
                yield _line(
                    f"`{each.study.study}`", name, str(seed), *counts, flatness(mine), reconstruction, scans, run
                )


def _origin(studies: Sequence[FinishedStudy]) -> Iterator[str]:
    yield from ("## Made by", "", "```")
    yield from (command(each.file) for each in studies)
    yield f"{COMMAND} {' '.join(str(each.file) for each in studies)}"
    yield "```"


def _table_head(*heads: str) -> Iterator[str]:
    yield from ("", _line(*heads), "|" + " --- |" * len(heads))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _ticked(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
