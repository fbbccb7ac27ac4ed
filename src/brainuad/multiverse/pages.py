"""What `brainuad multiverse` writes and prints: a table, a page, a picture for each data set, and a few lines."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from jaxtyping import Bool
from markupsafe import Markup

import brainuad
from brainuad.figures import rank_map
from brainuad.multiverse.choices import FACTORS, METRICS, Grid, levels_of
from brainuad.multiverse.rescore import Universe, ranks_or_nan
from brainuad.multiverse.stability import MODEL, MODEL_BY_CHOICE, TOGETHER, stability, variance_shares
from brainuad.report.page import TEMPLATES as REPORT_TEMPLATES
from brainuad.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "index.html"
CAVEAT = (
    "Choices share the same scans and maps: they are not independent replications. The share of choices that a model "
    "leads is a description of this study, not a probability, and no test of which model is better."
)
Cells = list[list[str]]


@dataclass(frozen=True)
class DatasetPart:
    """What the page shows of a data set. Tables are rows of cells, the heading first."""

    label: str
    lead: str
    led: Cells
    shares: Cells
    levels: Cells
    picture: str
    """PNG, base64."""
    file: str


def write(folder: Path, study: str, universes: Sequence[Universe], grid: Grid, missing: Sequence[str]) -> None:
    """Write the page and the pictures into `folder`."""
    parts = [_part(each, folder) for each in universes]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = {
        "study": study,
        "lead": f"{len(grid.choices())} ways to score the same anomaly maps, and the order of the models under each",
        "caveat": CAVEAT,
        "missing": missing,
        "datasets": parts,
        "varied": _varied(grid),
        "style": Markup((REPORT_TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704
        "version": brainuad.__version__,
    }
    (folder / PAGE).write_text(environment.get_template("multiverse.html").render(**content), encoding="utf-8")


def lines(universes: Sequence[Universe], missing: Sequence[str], folder: Path) -> list[Table | str]:
    """What the terminal shows."""
    parts: list[Table | str] = []
    for each in universes:
        head, *rows = led(each)
        parts += [f"{each.dataset}: {lead(each)}", table(head, rows, right=head[1:])]
    parts += [f"not there     {line}" for line in missing]
    return [*parts, CAVEAT, f"wrote {folder / PAGE}"]


def lead(universe: Universe) -> str:
    """The data set in one sentence, with the model that leads most often."""
    found = stability(universe.values)
    of = f"{_count(universe.scans, 'scan')} of {_count(universe.patients, 'patient')}; {found.choices} choices"
    if not found.choices:
        return f"{of}: no metric is defined for every model"
    best = [model for model, led in zip(universe.models, found.led, strict=True) if np.isclose(led, found.led.max())]
    without = len(universe.choices) - found.choices
    left_out = f", {without} more without a value for some model" if without else ""
    equal = f" (in {found.equal} all models are equal and share the lead)" if found.equal else ""
    leads = f"{best[0]} leads" if len(best) == 1 else f"{' and '.join(best)} each lead"
    share = f"{leads} in {found.led.max():.0%} of them{equal}"
    return f"{of}{left_out}; {share}; Kendall's W {_number(found.agreement)}"


def led(universe: Universe) -> Cells:
    """Heading and a row for each model, the one that leads most often first."""
    whole = stability(universe.values)
    by_metric = [stability(universe.values[_of(universe, metric)]) for metric in METRICS]
    counts = [f"{metric} ({found.choices})" for metric, found in zip(METRICS, by_metric, strict=True)]
    rows = []
    for i in np.argsort(-whole.led, kind="stable"):
        shares = [_share(found.led[i]) for found in (whole, *by_metric)]
        ends = f"{_rank(whole.best_rank[i])} to {_rank(whole.worst_rank[i])}"
        rows.append([universe.models[i], *shares, _rank(whole.median_rank[i]), ends])
    return [["model", f"led, all ({whole.choices})", *counts, "median rank", "ranks"], *rows]


def _part(universe: Universe, folder: Path) -> DatasetPart:
    picture, name = _picture(universe), f"ranks_{universe.dataset}.png"
    (folder / name).write_bytes(picture)
    inline = base64.b64encode(picture).decode()
    about = universe.dataset, f"{lead(universe)}.", led(universe), _shares(universe), _by_level(universe)
    return DatasetPart(*about, inline, name)


def _shares(universe: Universe) -> Cells:
    """Sources of variance by metric, then Kendall's W."""
    found = []
    for metric in METRICS:
        of = _of(universe, metric)
        levels = {name: np.array(_levels(universe, key))[of].tolist() for key, name in FACTORS.items()}
        found.append(variance_shares(universe.values[of], levels))
    sources = [MODEL, *FACTORS.values(), TOGETHER, MODEL_BY_CHOICE]
    rows = [[source, *(_number(each.get(source)) for each in found)] for source in sources]
    agreement = [_number(stability(universe.values[_of(universe, metric)]).agreement) for metric in METRICS]
    return [["source", *METRICS], *rows, ["Kendall’s W", *agreement]]


def _by_level(universe: Universe) -> Cells:
    """The share of choices that each model leads, by level of each factor."""
    rows = []
    for key, name in FACTORS.items():
        levels = _levels(universe, key)
        for level in levels_of(universe.choices)[key]:
            found = stability(universe.values[[each == level for each in levels]])
            rows.append([name, level, str(found.choices), *(_share(each) for each in found.led)])
    return [["factor", "level", "choices", *universe.models], *rows]


def _picture(universe: Universe) -> bytes:
    order = np.argsort(-stability(universe.values).led, kind="stable")
    places = ranks_or_nan(universe.values)[:, order].T
    panels = []
    for metric in METRICS:
        of = _of(universe, metric)
        numbers = {}
        for key, name in FACTORS.items():
            known = {level: number for number, level in enumerate(levels_of(universe.choices)[key])}
            numbers[name] = np.array([known.get(level, 0) for level in np.array(_levels(universe, key))[of]])
        panels.append(rank_map.Panel(f"{metric} ({int(of.sum())})", places[:, of], numbers))
    return rank_map.png([universe.models[i] for i in order], list(FACTORS.values()), panels)


def _varied(grid: Grid) -> list[tuple[str, str]]:
    levels = levels_of(grid.choices())
    units = {"min_lesion_ml": " ml"}
    found = [(name, ", ".join(levels[key]) + units.get(key, "")) for key, name in FACTORS.items()]
    return [("metric", ", ".join(METRICS)), *found]


def _of(universe: Universe, metric: str) -> Bool[np.ndarray, "choices"]:
    return np.array([choice.metric == metric for choice in universe.choices])


def _levels(universe: Universe, factor: str) -> list[str]:
    return [str(getattr(choice, factor)) for choice in universe.choices]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0%}"


def _rank(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:g}"


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"
