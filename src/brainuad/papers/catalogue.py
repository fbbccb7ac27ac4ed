"""Every model file in a table: family, paper, input, parameters, what its paper reports."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainuad.config.load import config_folder, shipped
from brainuad.config.model import MethodSettings, validate
from brainuad.config.yaml_text import read_yaml
from brainuad.papers import reported, systems
from brainuad.terminal import table

if TYPE_CHECKING:
    from rich.table import Table

HEADS = ("model", "family", "paper", "input", "parameters", "reported by the paper")
HEADLINE = ("dice", "auprc", "auroc_scan")
"""Metrics that the table shows."""


@dataclass(frozen=True)
class ModelRow:
    """A model file in the table."""

    name: str
    family: str
    paper: str
    """Key of the paper, `ours` for a file that follows none, and `ours, after <key>` for a reduced one."""
    input: str
    parameters: str
    reported: str


def shipped_models(folder: Path | None = None) -> dict[str, MethodSettings]:
    """The models in `config/models/` by name."""
    folder = folder or config_folder(Path.cwd() / "config.yaml")
    names = shipped("models", folder)
    return {name: validate(read_yaml(folder / "models" / f"{name}.yaml")) for name in names}


def model_of(name: str) -> MethodSettings:
    """A shipped model, or that of a model file; raises ConfigError if it is neither."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = config_folder(Path.cwd() / "config.yaml") / "models" / f"{name}.yaml"
    return validate(read_yaml(path))


def rows(models: dict[str, MethodSettings]) -> list[ModelRow]:
    """A row per model."""
    return [_row(name, model) for name, model in models.items()]


def models_table(models: dict[str, MethodSettings]) -> list[Table | str]:
    """The table for a terminal, and its legend."""
    return [table(HEADS, [astuple(row) for row in rows(models)], right=["parameters"]), "", LEGEND]


def models_page(head: str) -> str:
    """The table as a page; `head` stands above it."""
    lines = [head, "# Models", "", "The files in `config/models/`; `brainuad models` prints the same. " + LEGEND, ""]
    lines += [f"| {' | '.join(HEADS)} |", "|" + " --- |" * len(HEADS)]
    lines += [f"| {' | '.join([f'`{row.name}`', *astuple(row)[1:]])} |" for row in rows(shipped_models())]
    return "\n".join(lines) + "\n"


def parameters(model: MethodSettings) -> int | None:
    """Trainable parameters, critics included; None for a method without a network. No memory is allocated."""
    import torch  # late: the command line starts without it

    from brainuad.methods import registry

    with torch.device("meta"):
        count: int | None = registry.build(model).facts().get("parameters")
    return count


def _row(name: str, model: MethodSettings) -> ModelRow:
    count = parameters(model)
    stem = name.removesuffix(systems.SMALL)
    source = model.cite or next((key for key, paper in reported.papers().items() if stem in paper.systems), None)
    whose = f"ours, after {source}" if stem != name and source else source or "ours"
    return ModelRow(
        name, model.family, whose, _input(model), "none" if count is None else f"{count:,}", _reported(name, model)
    )


def _input(model: MethodSettings) -> str:
    size = model.input_size()
    return "whole scan" if size is None else "×".join(map(str, size))


def _reported(name: str, model: MethodSettings) -> str:
    """The headline numbers of its paper; a dash for reduced files and for those of other papers."""
    paper = reported.papers().get(model.cite or "")
    system = systems.system_of(name, model, paper) if paper and not name.endswith(systems.SMALL) else None
    if paper is None or system is None:
        return "—"
    numbers = [row for row in paper.of(system) if row.metric in HEADLINE]
    if all(row.value is None for row in numbers):
        return "not in text"
    return "; ".join(f"{row.name} {row.shown} ({row.dataset})" for row in numbers if row.value is not None)


LEGEND = (
    "~: read off a figure. †: from memory. (inferred): by the wording. not in text: the paper gives no number. "
    "—: none of the papers compared here, or a size of ours. A size that a paper varies is shown at the file's value."
)
