"""The report of a study: `index.html`, `failures.tsv` and `costs.tsv`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import missing, quality, tables
from brainuad.formats.files import atomic
from brainuad.formats.status import OVERLAY
from brainuad.formats.verdicts import Comparisons
from brainuad.report import cases, ceilings, examples, in_short, page, plots, slices, table, viewer
from brainuad.report.baselines import compare_with_baselines
from brainuad.report.failures_costs import costs, deleted_records, failures, write_table
from brainuad.report.figure_files import FigureFiles
from brainuad.report.lacking import without_sequences
from brainuad.report.left_out import left_out
from brainuad.report.map_geometry import map_geometry
from brainuad.report.methods_section import checklist, participants, section
from brainuad.report.missed import NUMBERS, counted_as_missed
from brainuad.report.realised import realised
from brainuad.report.recalls import recalls
from brainuad.report.reconstruction import reconstruction_quality
from brainuad.report.study_results import StudyResults, presence, read_results
from brainuad.report.subgroups import FEWEST_FOR_INTERVAL, subgroups
from brainuad.resources import usage

PAGE = "index.html"
LIMIT = 15_000_000
"""Bytes of the page: more than that is slow to open and refused by mail servers."""
EXAMPLES_SHARE, VIEWER_SHARE = 0.5, 0.5
"""Of the page, for example scans; and of what is then left, for the viewer. What does not fit is omitted."""
MOST_ROWS = 5000
MOST_DOUBTFUL, OVERLAY_WIDTH = 40, 900
"""Overlays of failed and doubtful scans; pixels."""
OVERLAY_TEXTS = {
    "nmi": "mutual information {:.3f}",
    "template_dice": "Dice with the template {:.3f}",
    "volume_ml": "{:.0f} ml",
}


@dataclass(frozen=True)
class ReportSources:
    """What the report is written from.

    `folder`: `results/<study>`; `preprocessed`: `results/preprocess/<recipe>`; `methods`: paragraphs of the methods
    section by heading, with citations as `[@key]`; `decisions`: a person's decisions in words, by data set and scan.
    """

    study: Study
    folder: Path
    preprocessed: Path
    methods: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decisions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)


def write_report(sources: ReportSources, out: Path) -> None:
    """Write the page and the methods section into the folder `out`, and two tables into the study's folder.

    `index.html`, `figures`, `methods.md`, `references.bib` and `checklist.md`; `failures.tsv` and `costs.tsv`.

    Sections of stages that left nothing are omitted. Raises InputError for broken files, and for a page beyond `LIMIT`.
    """
    study, folder = sources.study, sources.folder
    results = read_results(study, folder, sources.preprocessed)
    failed = failures(results.listed, results.verdicts, results.data_records, sources.decisions)
    deleted = deleted_records(results.records, usage.read_logs(folder / "logs"), presence(study, results.missing))
    spent = costs([*results.data_records, *results.records, *deleted])
    write_table(folder / "failures.tsv", failed)
    write_table(folder / "costs.tsv", spent)
    shown = examples.read_examples(study, folder, results.scans)
    pictures = examples.within(
        examples.draw_examples(study, folder, shown, results.scans, results.shown_seeds), int(LIMIT * EXAMPLES_SHARE)
    )
    provenance = _provenance(study, results.records)
    groups = participants.groups(study, results.listed, folder, _not_made(results))
    missed = counted_as_missed(study, results.scans, groups)
    found = section.Found(groups, missed, provenance, spent)
    methods = section.methods_section(study, sources.methods, results, folder, found)
    section.write(methods, study, out)
    of_subgroups = subgroups(study, results.scans, results.listed)
    checklist.write(study, checklist.facts(study, groups, missed, of_subgroups), out)
    content = {
        **_tables(study, results),
        **_plots(study, results, out),
        "study": study,
        "groups": groups,
        "roles": participants.ROLES,
        "examples": list(examples.by_dataset(pictures)),
        "omitted_examples": len(shown) - len(pictures),
        "controls": sources.controls,
        "realised": realised(results.metrics),
        "overlays": list(_overlays(study, sources.preprocessed, results)),
        "qualities": list(_qualities(study, folder, out)),
        "failures": _rows(failed),
        "left_out": left_out(failed, results.listed),
        "missing": missing.causes(results.missing),
        "evaluations": (len(results.missing), len(study.models) * len(study.seeds) * len(study.scored_sets())),
        "costs": _rows(spent),
        "provenance": provenance,
        "methods": section.numbered(methods),
        "missed": (missed, NUMBERS),
        "subgroups": (of_subgroups, FEWEST_FOR_INTERVAL),
    }
    best_first = _best_first(study, content["blocks"])
    content["short"] = in_short.answers(study, _known(study, content, results, viewed=0))
    text = page.render({**content, **_browsed(study, results, best_first, [])})
    budget = int((LIMIT - len(text.encode())) * VIEWER_SHARE)
    scans = viewer.viewer_scans(study, folder, results, best_first, budget)
    if scans:
        content["short"] = in_short.answers(study, _known(study, content, results, viewed=len(scans)))
        text = page.render({**content, **_browsed(study, results, best_first, scans)})
    _write(text, out / PAGE)


def _known(study: Study, content: Mapping[str, Any], results: StudyResults, viewed: int) -> in_short.Known:
    lacking, of_all = content["evaluations"]
    absent = f"{lacking} of {of_all} evaluations (model, seed, data set) are missing" if lacking else ""
    out = content["left_out"]
    gone = ". ".join(filter(None, [absent, str(out) if out.scans or out.not_made else ""]))
    return in_short.Known(
        groups=content["groups"],
        comparisons=content["baseline_comparisons"],
        chance={block.dataset: block.chance for block in content["blocks"]},
        realised=content["realised"],
        thresholds=results.thresholds,
        gone=f"{gone[0].upper()}{gone[1:]}." if gone else "",
        viewed=viewed,
        pairs=Comparisons(results.comparisons),
        recalls=recalls(study, results.metrics),
    )


def _write(text: str, path: Path) -> None:
    if (size := len(text.encode())) > LIMIT:
        do = "lower report.examples or report.overlays in the study"
        what = f"the report would have {size / 1e6:.1f} MB, allowed are {LIMIT / 1e6:.0f}"
        raise InputError(what, file=path, do=do)
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def _tables(study: Study, results: StudyResults) -> dict[str, Any]:
    lacking = without_sequences(results.scans)
    compared = compare_with_baselines(study, results.metrics, results.comparisons)
    return {
        "baseline_comparisons": compared,
        "geometry": map_geometry(results.scans),
        "blocks": table.blocks(results.metrics, Comparisons(results.comparisons), lacking),
        "lacking": lacking,
        "differing": {each.dataset for each in compared if any(each.comparisons.values())},
        "ceilings": ceilings.rows(results.ceilings),
        "ceiling_marks": ceilings.marks(results.ceilings),
        "all_metrics": _rows(results.metrics[:MOST_ROWS]),
        "metrics_total": len(results.metrics),
        "comparisons": _rows(results.comparisons[results.comparisons["same_as"].isna()]),
        "descriptions": {"metrics": tables.METRICS, "comparisons": tables.COMPARISONS},
        "oracle_label": table.ORACLE_LABEL,
        "no_number": table.NO_NUMBER,
        "baselines": study.baselines(),
        "scans_total": len(results.verdicts),
    }


def _browsed(
    study: Study, results: StudyResults, best_first: Sequence[str], scans: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    shown = list(cases.model_cases(study, results.scans, results.shown_seeds, viewer.browsable(scans)))
    shown.sort(key=lambda each: (study.scored_sets().index(each.dataset), best_first.index(each.model)))
    return {"viewer_scans": scans, "several_sequences": any("further" in each for each in scans), "cases": shown}


def _best_first(study: Study, blocks: Sequence[table.Block]) -> list[str]:
    """The models in the order of the first table with lesions, then the others."""
    first = next(iter(study.postprocessing))
    ranked = next((block.rows for block in blocks if block.chance is not None), {})
    return list(dict.fromkeys([*(model for model, label in ranked if label == first), *study.models]))


def _plots(study: Study, results: StudyResults, out: Path) -> dict[str, Any]:
    """Pictures of the page; the plots among them are also written into the folder `figures` of `out`."""
    healthy = plots.healthy_set(study, results.curves)
    compared = compare_with_baselines(study, results.metrics, results.comparisons)
    histograms = plots.histograms(study, results.curves, results.thresholds, results.shown_seeds)
    drawn = FigureFiles()
    content = {
        "patients": drawn.pictures("patients", plots.patients(study, results.scans, compared)),
        "ranks": drawn.pictures("ranks", plots.ranks(study, results.scans, Comparisons(results.comparisons))),
        "calibration": drawn.charts("calibration", plots.calibration(study, realised(results.metrics))),
        "precision_recall": drawn.charts("precision_recall", plots.precision_recall(study, results.curves)),
        "froc": drawn.charts("froc", plots.froc(study, results.curves)),
        "roc": drawn.charts("roc", plots.roc(study, results.curves)),
        "recall_by_size": drawn.charts("recall_by_size", plots.recall_by_size(study, results.metrics)),
        "agreement": drawn.charts("volumes", plots.agreement(study, results.scans, results.shown_seeds)),
        "histograms": {name: drawn.charts(f"map_{name}", each, with_legend=False) for name, each in histograms.items()},
        "histogram_legend": plots.histogram_legend(),
        "healthy_set": {name: "" if dataset.healthy else healthy for name, dataset in study.datasets.items()},
        "residuals": drawn.charts("residuals", plots.residuals(study, results.scans, results.shown_seeds)),
        "training": drawn.charts("training", plots.training(results.training), with_legend=False),
        "training_legend": plots.training_legend(),
        "reconstruction": reconstruction_quality(study, results.records),
    }
    drawn.write(out)
    return content


def _not_made(results: StudyResults) -> dict[str, list[str]]:
    """Scans of made data sets that could not be made, by data set."""
    records = [record for record in results.data_records if record["stage"] == "normalize"]
    return {record["tags"]["dataset"]: list(record["facts"].get("excluded", ())) for record in records}


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _overlays(study: Study, preprocessed: Path, results: StudyResults) -> Iterator[dict[str, str]]:
    """All failed and doubtful registrations, up to a limit, then some good ones of each data set, evenly spread."""
    doubtful = [key for key, verdict in results.verdicts.items() if verdict.state != "ok"]
    doubtful.sort(key=lambda key: (results.verdicts[key].state != "failed", *key))
    good: list[tuple[str, str]] = []
    for dataset in study.scan_sets():
        names = [key for key, verdict in results.verdicts.items() if key[0] == dataset and verdict.state == "ok"]
        stride = max(1, len(names) // max(1, study.report.overlays))
        good += names[::stride][: study.report.overlays]
    for dataset, scan in doubtful[:MOST_DOUBTFUL] + good:
        path, verdict = preprocessed / dataset / scan / OVERLAY, results.verdicts[dataset, scan]
        if path.exists():
            numbers = verdict.numbers
            text = ", ".join(form.format(numbers[name]) for name, form in OVERLAY_TEXTS.items() if name in numbers)
            picture = slices.recoded(str(path), OVERLAY_WIDTH, blurred=verdict.state == "failed")
            yield {"dataset": dataset, "scan": scan, "state": verdict.state, "text": text, "picture": picture}


def _qualities(study: Study, folder: Path, out: Path) -> Iterator[dict[str, Any]]:
    """By data set, the quality table and contact sheets of preprocess, as links relative to the page."""
    for dataset in study.scan_sets():
        place = folder / "preprocess" / dataset
        if (place / quality.NAME).exists():
            states = [row.state for row in quality.read(place / quality.NAME)]
            counts = ", ".join(f"{states.count(state)} {state}" for state in quality.STATES if state in states)
            sheets = sorted(place.glob("contact_sheets/page-*.png"), key=lambda path: (len(path.name), path.name))
            files = [place / quality.NAME, *sheets]
            links = {path.name: Path(os.path.relpath(path, out)).as_posix() for path in files}
            yield {"dataset": dataset, "counts": counts, "links": links}


def _provenance(study: Study, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Code, data and machines behind the numbers; all values where parts of a study were run apart."""
    versions: dict[str, list[str]] = {}
    for record in records:
        for name, version in record.get("versions", {}).items():
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    training = [record for record in records if record["stage"] == "train"]
    settings = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return {
        "versions": versions,
        "commits": sorted({record["commit"] for record in records} - {""}),
        "data": sorted({record["data"] for record in training} - {""}),
        "hosts": sorted({"{system}, {processor}, {cores} cores".format(**record["host"]) for record in records}),
        "settings": settings.replace(str(Path.home()), "~"),
    }
