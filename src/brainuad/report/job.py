"""The report of a study: `index.html`, `failures.tsv` and `costs.tsv`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import quality, tables
from brainuad.formats.files import atomic
from brainuad.formats.status import OVERLAY
from brainuad.report import examples, figures, gather, page, slices, table, viewer
from brainuad.report.citations import methods
from brainuad.report.gather import Findings
from brainuad.report.headline import baselines, verdicts
from brainuad.report.rebuilding import rebuilding

PAGE = "index.html"
LIMIT = 15_000_000
"""Bytes of the page: more than that is slow to open and refused by mail servers."""
STRIPS_SHARE, VIEWER_SHARE = 0.5, 0.5
"""Of the page, for example slices; and of what is then left, for the viewer. What does not fit is left out."""
MOST_ROWS = 5000
MOST_BAD, OVERLAY_WIDTH = 40, 900
SHOWN = {"nmi": "mutual information {:.3f}", "template_dice": "Dice with the template {:.3f}", "volume_ml": "{:.0f} ml"}


def report(
    study: Study, folder: Path, preprocess: Path, out: Path, decisions: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Write `index.html` into the folder `out`, and `failures.tsv` and `costs.tsv` into `folder`.

    `folder`: `results/<study>`; `preprocess`: `results/preprocess/<recipe>`; `decisions`: a person's. Stages
    that left nothing (a study that failed half-way) leave their section out. Raises InputError for broken files, and
    for a page beyond `LIMIT`.
    """
    findings = gather.gather(study, folder, preprocess)
    failures, costs = gather.failures(findings, decisions or {}), gather.costs([*findings.before, *findings.records])
    gather.write_table(folder / "failures.tsv", failures)
    gather.write_table(folder / "costs.tsv", costs)
    shown = examples.examples(study, folder, findings.scans)
    strips = examples.within(examples.strips(study, folder, shown), int(LIMIT * STRIPS_SHARE))
    content = {
        "study": study,
        "verdicts": verdicts(study, findings.metrics, findings.comparisons),
        "blocks": table.blocks(findings.metrics),
        "all_metrics": _rows(findings.metrics[:MOST_ROWS]),
        "metrics_total": len(findings.metrics),
        "comparisons": _rows(findings.comparisons),
        "oracle_label": table.ORACLE_LABEL,
        "baselines": baselines(study),
        "precision_recall": figures.precision_recall(study, findings.curves),
        "histograms": figures.histograms(study, findings.curves, findings.cuts),
        "pooled_healthy": _healthy_beside(study, findings.curves),
        "residuals": figures.residuals(study, findings.scans),
        "histogram_legend": figures.histogram_legend(),
        "training": figures.training(findings.training),
        "training_legend": figures.training_legend(),
        "rebuilding": rebuilding(study, findings.records),
        "strips": list(examples.by_dataset(strips)),
        "left_out": len(shown) - len(strips),
        "overlays": _overlays(study, preprocess, findings),
        "qualities": _qualities(study, folder, out),
        "failures": _rows(failures),
        "scans_total": len(findings.statuses),
        "costs": _rows(costs),
        "provenance": _provenance(study, findings.records),
        "methods": methods(study),
        "descriptions": {"metrics": tables.METRICS, "comparisons": tables.COMPARISONS},
    }
    written = page.render({**content, "sprites": []})
    budget = int((LIMIT - len(written.encode())) * VIEWER_SHARE)
    sprites = viewer.sprites(study, folder, shown, findings.cuts, budget)
    written = page.render({**content, "sprites": sprites}) if sprites else written
    if (size := len(written.encode())) > LIMIT:
        do = "lower report.examples or report.overlays in the study"
        raise InputError(
            f"the report would have {size / 1e6:.1f} MB, allowed are {LIMIT / 1e6:.0f}", file=out / PAGE, do=do
        )
    with atomic(out / PAGE) as part:
        part.write_text(written, encoding="utf-8")


def _healthy_beside(study: Study, curves: pd.DataFrame) -> dict[str, str]:
    """By data set with lesions, the healthy one that its histograms are drawn against."""
    return {
        name: "" if dataset.healthy else figures.healthy_set(study, curves) for name, dataset in study.datasets.items()
    }


def _rows(found: pd.DataFrame) -> list[dict[Any, Any]]:
    return found.astype(object).where(found.notna(), None).to_dict("records")


def _overlays(study: Study, preprocess: Path, findings: Findings) -> list[dict[str, str]]:
    """All failed and doubtful registrations, up to a bound, then some good ones of each data set, evenly spread."""
    bad = [key for key, status in findings.statuses.items() if status.state != "ok"]
    bad.sort(key=lambda key: (findings.statuses[key].state != "failed", *key))
    good: list[tuple[str, str]] = []
    for dataset in study.scan_sets():
        names = [key for key, status in findings.statuses.items() if key[0] == dataset and status.state == "ok"]
        stride = max(1, len(names) // max(1, study.report.overlays))
        good += names[::stride][: study.report.overlays]
    found = []
    for key in bad[:MOST_BAD] + good:
        path, status = preprocess / key[0] / key[1] / OVERLAY, findings.statuses[key]
        if path.exists():
            text = ", ".join(
                form.format(status.quality[name]) for name, form in SHOWN.items() if name in status.quality
            )
            picture = slices.recoded(str(path), OVERLAY_WIDTH)
            found.append({"dataset": key[0], "scan": key[1], "state": status.state, "text": text, "picture": picture})
    return found


def _qualities(study: Study, folder: Path, out: Path) -> list[dict[str, Any]]:
    """By data set what preprocess left for a person: its table and contact sheets, as addresses beside the page."""
    found = []
    for dataset in study.scan_sets():
        place = folder / "preprocess" / dataset
        if (place / quality.NAME).exists():
            states = [row["state"] for row in quality.read(place / quality.NAME)]
            counts = ", ".join(f"{states.count(state)} {state}" for state in quality.ORDER if state in states)
            sheets = sorted(place.glob("contact*.png"), key=lambda path: (len(path.name), path.name))
            files = [place / quality.NAME, *sheets]
            links = {path.name: Path(os.path.relpath(path, out)).as_posix() for path in files}
            found.append({"dataset": dataset, "counts": counts, "links": links})
    return found


def _provenance(study: Study, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What the numbers came from; several values of one thing (a study rerun in part) are all listed."""
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
