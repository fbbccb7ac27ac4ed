"""The model card: what a model was made from, what it can do and where it fails. Markdown and HTML of one content."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.config.model import EACH, fusion_text, map_text
from brainuad.config.study import Study
from brainuad.config.told import listed, with_settings
from brainuad.formats import scans, tables
from brainuad.formats.model_file import Manifest
from brainuad.formats.scans import Scan
from brainuad.layout import Layout
from brainuad.predict.seeds import in_words
from brainuad.report import page

TEMPLATES = Path(__file__).parent / "templates"
METRICS = {
    "auprc_scan": "AUPRC of voxels, mean over patients",
    "dice_volume": "Dice, mean over patients",
    "lesion_recall": "share of lesions that are detected",
    "fp_per_scan": "false-positive components per scan",
    "fp_ml_per_scan": "false-positive volume per scan, in ml",
    "auroc_scan": "AUROC of whole scans",
    "sensitivity_scan": "sensitivity of whole scans",
    "specificity_scan": "specificity of whole scans",
}
"""On the card, of all that the study has."""
RESEARCH = "Research use only: no medical device, not for diagnosis or treatment."
LIMITS = (
    "It marks what is unlike its healthy training scans, whatever the cause: motion, artefacts, normal variants and "
    "the rim of the brain as well as lesions. It names no disease.",
    "Its numbers hold for scans like those that it was tested on. `brainuad predict` lists doubts where a new scan is "
    "unlike the healthy scans of the study; no doubt is no proof that it is alike.",
    "A conformal p value holds on average for healthy people who are exchangeable with those behind it: the same kind "
    "of scanner, sequence and age. It says nothing of how likely disease is.",
    "A lesion outside the brain mask, or that skull stripping removed, is missed.",
)


@dataclass(frozen=True)
class Block:
    """A part of the card: paragraphs, then a table, of which the first row is the head."""

    title: str
    paragraphs: Sequence[str] = ()
    table: Sequence[Sequence[str]] = field(default_factory=list)


def blocks(manifest: Manifest, layout: Layout, dataset: str) -> list[Block]:
    """The content of the card. `dataset`: the training set behind thresholds and scores."""
    study = layout.study
    people = [row for row in scans.read(layout.subjects_table()) if row.state not in ("failed", "excluded")]
    return [
        Block("Use", _use(manifest, study)),
        Block("Training data", [_training(manifest)], _people(people, layout)),
        Block("Model", _model(manifest, study)),
        Block("Results in the study", [_scoring(manifest, study)], _results(manifest, layout)),
        Block("Thresholds", [_scores(manifest, dataset)], _thresholds(manifest)),
        Block("Limits", LIMITS),
        Block("Licence", [manifest.licence or "None was given: ask the authors of the study before you share it."]),
        Block("Made with", [", ".join(f"{name} {version}" for name, version in manifest.versions.items())]),
    ]


def as_markdown(manifest: Manifest, content: Sequence[Block]) -> str:
    """The card as Markdown."""
    parts = [f"# {manifest.name}", f"**{RESEARCH}**"]
    for block in content:
        parts += [f"## {block.title}", *block.paragraphs]
        if len(block.table) > 1:
            head, *rows = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in block.table]
            parts.append("\n".join([head, "|" + " --- |" * len(block.table[0]), *rows]))
    return "\n\n".join(parts) + "\n"


def as_html(manifest: Manifest, content: Sequence[Block]) -> str:
    """The card as one page that asks no host for anything."""
    texts = {"name": manifest.name, "research": RESEARCH, "blocks": content}
    return page.filled(TEMPLATES, texts, {"style": page.parts("style.css")["style_css"]}, "card.html")


def _use(manifest: Manifest, study: Study) -> list[str]:
    sign = {"dark": "darker than tissue", "bright": "brighter than tissue", "both": "darker or brighter than tissue"}
    what = f"Anomaly maps of brain scans ({manifest.modality}), for lesions {sign[manifest.lesion_sign]}."
    call = f"`brainuad predict -i SCAN -o OUT -m {manifest.name}.brainuad`"
    if manifest.sequences:
        lesions = "; ".join(f"{name}: {sign[each]}" for name, each in manifest.signs.items())
        what = f"Anomaly maps of sessions with {listed(manifest.sequences)}, for lesions as follows: {lesions}."
        files = " ".join(f"-i {name}_FILE" for name in manifest.sequences)
        call = call.replace("-i SCAN", files)
    return [
        what,
        f"It is the model `{manifest.label}` ({in_words(manifest.seeds)}) of the study "
        f"`{manifest.study}`{f': {study.title}' if study.title else ''}.",
        call,
    ]


def _training(manifest: Manifest) -> str:
    return f"It learnt from {len(manifest.training)} healthy scans, and from no lesion label of a test scan."


def _people(rows: Sequence[Scan], layout: Layout) -> list[list[str]]:
    """A row for each data set and role: scans, people, age, sex, sites."""
    found = [["data set", "role", "scans", "people", "age", "women", "sites"]]
    for label in layout.sources():
        for role in scans.ROLES[:-1]:
            chosen = [row for row in rows if row.dataset == label and row.role == role]
            if chosen:
                found.append([label, role, str(len(chosen)), *_who(chosen)])
    return found


def _who(rows: Sequence[Scan]) -> list[str]:
    people = {row.person: row for row in rows}.values()
    ages = sorted(float(row.age) for row in people if row.age.replace(".", "", 1).isdigit())
    women = [row.sex.lower().startswith("f") for row in people if row.sex]
    sites = sorted({row.site for row in people if row.site})
    return [
        str(len(people)),
        f"{ages[0]:g} to {ages[-1]:g}" if ages else "unknown",
        f"{sum(women)} of {len(women)}" if women else "unknown",
        ", ".join(sites) or "unknown",
    ]


def _model(manifest: Manifest, study: Study) -> list[str]:
    told = []
    for part in (each for each in manifest.parts if each.seed == manifest.seeds[0]):
        settings = study.models[part.label]
        what, *more = settings.describe()
        signs, seen = study.signs_of(part.label), study.sequences_of(part.label)
        several = {} if isinstance(signs, str) else signs
        one = signs if isinstance(signs, str) else signs[seen[0]] if len({*signs.values()}) == 1 else EACH
        made, *rest = map_text(settings.map, one)
        fused = fusion_text(settings.map, several) if several else []
        own = settings.describe_sequences(seen) if seen and not settings.member_labels() else []
        sentences = [f"`{part.label}` is {what.rstrip('.')}.", *more, *own, f"The map {made}", *rest, *fused]
        told.append(re.sub(r" \[@[^]]+\]", "", " ".join(sentences)))
    label = manifest.postprocessing["label"]
    operators = "; ".join(with_settings(each, "op") for each in study.postprocessing[label].operators)
    return [*told, f"Postprocessing `{label}`: {operators or 'the threshold alone'}."]


def _scoring(manifest: Manifest, study: Study) -> str:
    space = {"template": "the template's grid", "native": "the scans' own grids"}[study.evaluate.space]
    of_each = (
        "of each seed alone, for the study did not evaluate the mean of their maps; " if len(manifest.seeds) > 1 else ""
    )
    return (
        f"Test scans, on {space}, with the postprocessing `{manifest.postprocessing['label']}`; {of_each}mean and 95 % "
        "interval. All numbers are in the report of the study."
    )


def _results(manifest: Manifest, layout: Layout) -> list[list[str]]:
    found = tables.read(layout.folder / "evaluate/metrics.tsv", tables.METRICS)
    mine = found[
        (found["model"] == manifest.label)
        & found["seed"].astype(str).isin([*map(str, manifest.seeds)])
        & (found["postprocessing"] == manifest.postprocessing["label"])
        & found["metric"].isin([*METRICS])
        & (found["threshold_rule"] != "oracle")
    ]
    several = len(manifest.seeds) > 1
    rows = [["data set", "metric", "threshold", "value", "95 % interval", "scans", *["seed"] * several]]
    for row in mine.sort_values(["dataset", "threshold_rule"], kind="stable").to_dict("records"):
        low, high = row["ci_low"], row["ci_high"]
        interval = f"{low:.3g} to {high:.3g}" if math.isfinite(low) else ""
        rule = str(row["threshold_rule"])
        cells = [str(row["dataset"]), METRICS[str(row["metric"])], "" if rule == "none" else rule]
        numbers = [f"{row['value']:.3g}", interval, str(int(row["n"]))]
        rows.append([*cells, *numbers, *[str(row["seed"])] * several])
    return rows


def _thresholds(manifest: Manifest) -> list[list[str]]:
    rows = [["rule", "value", "from", "scans"]]
    return rows + [
        [rule, f"{each.value:.4g}", each.source, str(each.scans)] for rule, each in manifest.thresholds.items()
    ]


def _scores(manifest: Manifest, dataset: str) -> str:
    n = len(manifest.healthy_scores)
    if not n:
        return f"The study `{dataset}` has no healthy scans for scores: whole scans have no p value."
    return (
        f"The score of a whole scan is compared with {n} healthy people ({manifest.healthy_scans}); the smallest p "
        f"value that this allows is {1 / (n + 1):.3g}."
    )
