"""The disk that a study needs, from its plan, and what it has taken."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainuad.config.datasets import Known, Made, Phantoms
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.images import template
from brainuad.normalize.grid import window
from brainuad.papers.catalogue import parameters
from brainuad.plan import Plan
from brainuad.units import format_size

# Measured on six finished studies of 56 to 82 scans, three with real ones: the sum is 1.03 to 1.13 of what they took.
FLOAT = 4.05
"""Bytes per brain voxel of a map or scan in .nii.gz: its float32 values do not compress, the rest takes nothing."""
MASK = 0.1
"""Bytes per brain voxel of a mask in .nii.gz."""
BESIDE = 60_000
"""Bytes of a scan's brain mask, overlay, status and record."""
HEAD = 1.9e6
"""Bytes of a synthesised head of 2 mm."""
STATISTICS = 6
"""Volumes of float32 in a bundle, beside its weights."""
CHECKPOINT = 2 * 16
"""Bytes per parameter while a model is trained: weights, the best ones so far and two moments, each in float32; and all
of it twice, for a checkpoint is written beside the one before."""
TABLES, PAGE = 0.15e6, 5e6
"""Bytes of a run's tables and of what MLflow keeps of it, and of the report."""
IN_BRAIN_ML = 1400
"""A brain in its own scan, in ml."""


@dataclass(frozen=True)
class Need:
    """Bytes by part of the results, and of checkpoints, which go when their trainings end.

    `passing`: of all trainings at once, as on a cluster.
    """

    parts: dict[str, float]
    passing: float

    @property
    def most(self) -> float:
        """The largest sum at any time."""
        return sum(self.parts.values()) + self.passing


def estimate(plan: Plan) -> Need:
    """What a study will have written; data sets that are not downloaded yet count as empty.

    Whatever lies in the folders of your data is not counted, nor what Snakemake keeps of itself.
    """
    study, recipe = plan.study, plan.study.recipe
    grid = template.load(recipe.preprocess.template, recipe.preprocess.spacing)
    x, y, z = grid.brain.shape
    part = window((x, y, z), grid.affine, recipe.normalize)
    brain, voxels = float(grid.brain.sum()), float(np.prod(part.grid[0]))
    seen = float(part.mask(grid.brain).sum())
    shares = {label: _shares(plan, label) for label in study.datasets}
    scored = {label: shares[label]["validation"] + shares[label]["test"] for label in study.scored_sets()}
    maps = sum(1 + hasattr(model, "network") for model in study.models.values()) * len(study.seeds)
    runs = len(study.models) * len(study.seeds)
    tested = runs * sum(shares[label]["test"] for label in scored)
    changed = sum(bool(postprocessing.on_map()) for postprocessing in study.postprocessing.values())
    weights = [parameters(study.models[label]) or 0 for label in dict.fromkeys(study.trainings().values())]
    stored = np.dtype(recipe.normalize.storage_dtype).itemsize + 2  # and two masks
    parts = {
        "scans made or converted": sum(_made(plan, label) for label in plan.scans),
        "preprocessed scans": sum(map(len, plan.scans.values())) * (FLOAT * brain + BESIDE),
        "stores": sum(sum(each.values()) for each in shares.values()) * voxels * stored,
        "models": len(study.seeds) * sum(4 * each + 4 * STATISTICS * voxels for each in weights),
        "maps": maps * sum(scored.values()) * FLOAT * seen,
        "post-processed maps and masks": tested
        * seen
        * (FLOAT * changed + MASK * len(study.thresholds) * len(study.postprocessing)),
        "tables and report": runs * len(scored) * TABLES * len(study.postprocessing) + PAGE,
    }
    if study.native:
        parts["maps on scans' own grids"] = sum(_native(plan, label) for label in scored)
    return Need(parts, sum(weights) * CHECKPOINT * len(study.seeds))


def taken(folder: Path) -> float:
    """Bytes that a folder takes on its disk; 0 if it is not there."""
    return sum(_size(Path(place) / name) for place, _, names in os.walk(folder) for name in names)


def shared(plan: Plan) -> list[Path]:
    """Where the scans lie that a study shares with others."""
    downloads = [plan.root / "download" / label for label in plan.scans]
    return downloads + [plan.preprocessed(label) for label in plan.scans]


def said(plan: Plan) -> list[str]:
    """Lines for `brainuad check`: the need, what is free, and a warning where that is too little."""
    need = estimate(plan)
    there = taken(plan.folder) + sum(map(taken, shared(plan)))
    free = shutil.disk_usage(_existing(plan.root)).free
    parts = ", ".join(f"{name} {format_size(size)}" for name, size in need.parts.items() if size >= 0.01 * need.most)
    lines = [f"disk: about {format_size(sum(need.parts.values()))} ({parts})"]
    if need.passing >= 0.01 * need.most:
        lines.append(f"and up to {format_size(need.passing)} of checkpoints while models are trained")
    lines.append(
        f"{format_size(there)} of it are there; {format_size(free)} are free where results lie, quotas not counted"
    )
    if plan.absent:
        lines.append(f"not counted: {', '.join(plan.absent)}, not downloaded yet")
    if need.most - there > free:
        lines.append(
            "warning: that does not fit: free space, name another folder under `results`, take `store: uint8` in the "
            "recipe's normalize, or ask for fewer models, seeds or chains"
        )
    return lines


def _shares(plan: Plan, label: str) -> dict[str, float]:
    """How many scans of a data set have each role."""
    settings = plan.study.datasets[label]
    split = plan.study.scan_sets()[plan.origin(label)].split
    if split is None:
        return dict.fromkeys(("train", "validation", "test"), 0.0)
    count = len(plan.scans[plan.origin(label)])
    found = {role: count * getattr(split, role) for role in ("train", "validation", "test")}
    if not isinstance(settings, Made):
        return found
    return {role: settings.draws * found[role] * (role in settings.roles) for role in found}


def _made(plan: Plan, label: str) -> float:
    settings = plan.study.datasets[label]
    if isinstance(settings, Phantoms):
        return settings.subjects * HEAD * (2 / settings.spacing) ** 3
    if isinstance(settings, Known):
        return sum(_size(Path(path)) for path in plan.converted(label))
    return 0.0


def _native(plan: Plan, label: str) -> float:
    """Of a data set whose scans are made there are none."""
    study, rows = plan.study, plan.scans.get(label)
    if not rows:
        return 0.0
    try:
        spacing = np.linalg.norm(volume.read_grid(rows[0].image)[1][:3, :3], axis=0)
    except InputError:  # made by a job that has not run
        spacing = np.full(3, 2.0)
    voxels = IN_BRAIN_ML * 1000 / float(np.prod(spacing))
    runs = len(study.models) * len(study.seeds) * len(study.postprocessing)
    return runs * _shares(plan, label)["test"] * voxels * (FLOAT + MASK * len(study.thresholds))


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _size(path: Path) -> float:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0.0
