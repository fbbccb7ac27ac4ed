"""The system of a paper that a model stands for, and how its settings differ from the paper's file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brainuad.config.section import Section, flat
from brainuad.papers.reported import Paper

SMALL = "_small"
"""Suffix of model files of ours with a reduced network of a paper."""
SIZES = ("latent", "codes")
"""Keys of a network that a paper varies; their value is the suffix of the system's id."""


@dataclass(frozen=True)
class Origin:
    """The paper's system that a model of a study stands for."""

    system: str
    file: str
    """Its file in `config/models/` with the paper's values."""
    own_map: bool
    """Whether the anomaly map is the paper's own."""
    reduced: bool
    """Whether the network differs from the paper's."""
    deviations: list[str]
    """Training settings that are not those of the file."""


def system_of(label: str, model: Section, paper: Paper) -> str | None:
    """The system of a label: the longest id that it begins with, with the size of `model` where the paper varies it."""
    network = model.model_dump().get("network") or {}
    sizes = [str(network[key]) for key in SIZES if key in network]
    ids = (name for base in _beginnings(label) for name in (base, *(f"{base}_{size}" for size in sizes)))
    return next((name for name in ids if name in paper.systems), None)


def file_of(label: str, names: Collection[str]) -> str | None:
    """The longest name of a model file that a label begins with; reduced ones do not count."""
    return next((n for n in _beginnings(label) if n in names and not n.endswith(SMALL)), None)


def origin(label: str, model: Section, paper: Paper, files: Mapping[str, Section]) -> Origin | None:
    """None for a model that is no system of the paper. `files`: the shipped models by name."""
    system, file = system_of(label, model, paper), file_of(label, files)
    if system is None or file is None:
        return None
    mine, theirs = (flat(settings.model_dump(mode="json")) for settings in (model, files[file]))
    changed = [key for key in {**theirs, **mine} if key != "cite" and mine.get(key) != theirs.get(key)]
    varied = {f"network.{key}" for key in SIZES} if system != file else set()
    kept = [key for key in changed if not key.startswith("map.") and key not in varied]
    return Origin(
        system,
        file,
        own_map=not any(key.startswith("map.") for key in changed),
        reduced=any(key.startswith("network.") for key in kept),
        deviations=[f"`{key}` {_value(mine, key)} (the paper's file: {_value(theirs, key)})" for key in kept],
    )


def _beginnings(label: str) -> Iterator[str]:
    """The label, then without its last parts one by one."""
    parts = label.split("_")
    return ("_".join(parts[:count]) for count in range(len(parts), 0, -1))


def _value(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    return "none" if value is None else f"{value}"
