"""Which paper's system a model is, and how its settings differ from the paper's file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brainuad.config.section import Section, flat
from brainuad.papers.reported import Paper

SMALL = "_small"
"""Ends the name of a model file of ours that reduces a paper's."""
SIZES = ("latent", "codes")
"""Keys of a network that a paper sweeps; their value is the suffix of the system's id."""


@dataclass(frozen=True)
class Origin:
    """Where a model of a study comes from."""

    system: str
    file: str
    """Its file in `config/models/` with the paper's values."""
    own_map: bool
    """Whether the anomaly map is the paper's own."""
    reduced: bool
    """Whether the network is another one than the paper's."""
    deviations: list[str]
    """Training settings that are not those of the file."""


def system_of(label: str, model: Section, paper: Paper) -> str | None:
    """The paper's system that a label stands for: the longest it begins with, its swept size from the settings."""
    network = model.model_dump().get("network") or {}
    sizes = [str(network[key]) for key in SIZES if key in network]
    ids = (name for base in _beginnings(label) for name in (base, *(f"{base}_{size}" for size in sizes)))
    return next((name for name in ids if name in paper.systems), None)


def file_of(label: str, names: Collection[str]) -> str | None:
    """The model file that a label begins with, the longest; reduced ones do not count."""
    return next((n for n in _beginnings(label) if n in names and not n.endswith(SMALL)), None)


def origin(label: str, model: Section, paper: Paper, files: Mapping[str, Section]) -> Origin | None:
    """Where a model comes from; None for one that is no system of the paper. `files`: the shipped models by name."""
    system, file = system_of(label, model, paper), file_of(label, files)
    if system is None or file is None:
        return None
    mine, theirs = (flat(settings.model_dump(mode="json")) for settings in (model, files[file]))
    changed = [key for key in {**theirs, **mine} if key != "cite" and mine.get(key) != theirs.get(key)]
    swept = {f"network.{key}" for key in SIZES} if system != file else set()
    kept = [key for key in changed if not key.startswith("map.") and key not in swept]
    return Origin(
        system,
        file,
        own_map=not any(key.startswith("map.") for key in changed),
        reduced=any(key.startswith("network.") for key in kept),
        deviations=[f"`{key}` {_said(mine, key)} (the paper's file: {_said(theirs, key)})" for key in kept],
    )


def _beginnings(label: str) -> Iterator[str]:
    """The label, then without its last parts one by one."""
    parts = label.split("_")
    return ("_".join(parts[:count]) for count in range(len(parts), 0, -1))


def _said(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    return "none" if value is None else f"{value}"
