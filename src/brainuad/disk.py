"""Disk space: an estimate for a study from its plan, and what its results occupy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainuad.config.datasets import Known, Made, Phantoms
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.files import used
from brainuad.formats.scans import ROLES
from brainuad.images import template
from brainuad.normalize.grid import window
from brainuad.papers.catalogue import parameters
from brainuad.plan import Plan
from brainuad.units import format_size

# Measured on six finished studies of 56 to 82 scans, three of them real: the estimate is 1.03 to 1.13 times their size.
VOXEL_BYTES = 4.05
"""Of a brain voxel of a map or scan in .nii.gz: float32 values do not compress, the background costs almost nothing."""
MASK_VOXEL_BYTES = 0.1
"""Of a brain voxel of a mask in .nii.gz."""
SCAN_EXTRAS_BYTES = 60_000
"""Brain mask, overlay, status and record of a preprocessed scan."""
HEAD_BYTES = 1.9e6
"""A synthesised head of 2 mm."""
STATISTICS_VOLUMES = 6
"""Volumes of float32 in a bundle, beside its weights."""
CHECKPOINT_BYTES = 2 * 16
"""Per parameter while a model is trained: current weights, best weights and Adam's two moments in float32; twice, since
a checkpoint is written before the previous one is deleted."""
VALUE_BYTES = 4
"""Of a brain voxel whose value evaluate or postprocess keeps while it runs."""
RUN_BYTES, REPORT_BYTES = 0.15e6, 5e6
"""Tables of a run with its record in MLflow; the report."""
BRAIN_ML = 1400
"""Volume of a brain in its own scan."""


@dataclass(frozen=True)
class DiskUse:
    """Estimated bytes. `results`: by part; `checkpoints`: of all trainings at once, deleted when they end.

    `job`: what the largest evaluate or postprocess job keeps of its voxels while it runs; `jobs`: how many may run at
    once on this machine.
    """

    results: dict[str, float]
    checkpoints: float
    job: float = 0.0
    jobs: int = 1

    @property
    def total(self) -> float:
        """What the results occupy in the end."""
        return sum(self.results.values())

    @property
    def peak(self) -> float:
        """The largest sum at any time."""
        return self.total + self.checkpoints + self.jobs * self.job


def estimate(plan: Plan) -> DiskUse:
    """What a study will occupy. Data sets that are not downloaded yet count as empty.

    The folders of source data are not counted, nor Snakemake's own records.
    """
    study, recipe = plan.study, plan.study.recipe
    grid = template.load(recipe.preprocess.template, recipe.preprocess.spacing)
    x, y, z = grid.brain.shape
    cropped = window((x, y, z), grid.affine, recipe.normalize)
    brain, voxels = float(grid.brain.sum()), float(np.prod(cropped.grid[0]))
    map_voxels = float(cropped.mask(grid.brain).sum())
    shares = {label: _shares(plan, label) for label in study.datasets}
    scored = {label: sum(shares[label].values()) - shares[label]["train"] for label in study.scored_sets()}
    maps = sum(1 + model.reconstructs for model in study.models.values()) * len(study.seeds)
    runs = len(study.models) * len(study.seeds)
    tested = runs * sum(shares[label]["test"] for label in scored)
    postprocessed = VOXEL_BYTES * sum(bool(each.on_map()) for each in study.postprocessing.values())
    masks = MASK_VOXEL_BYTES * len(study.thresholds) * len(study.postprocessing)
    weights = [parameters(study.models[label]) or 0 for label in dict.fromkeys(study.trainings().values())]
    images = max(1, len(study.sequences()))
    cached = images * np.dtype(recipe.normalize.storage_dtype).itemsize + 2  # and two masks
    results = {
        "generated or converted scans": sum(_generated(plan, label) for label in plan.scans),
        "preprocessed scans": sum(map(len, plan.scans.values())) * (images * VOXEL_BYTES * brain + SCAN_EXTRAS_BYTES),
        "array caches": sum(sum(each.values()) for each in shares.values()) * voxels * cached,
        "models": len(study.seeds) * sum(4 * each + 4 * STATISTICS_VOLUMES * voxels for each in weights),
        "anomaly maps": maps * sum(scored.values()) * VOXEL_BYTES * map_voxels,
        "postprocessed maps and masks": tested * map_voxels * (postprocessed + masks),
        "tables and report": runs * len(scored) * RUN_BYTES * len(study.postprocessing) + REPORT_BYTES,
    }
    if study.native:
        results["maps on the scans' own grids"] = sum(_native(plan, label) for label in scored)
    checkpoints = sum(weights) * CHECKPOINT_BYTES * len(study.seeds)
    jobs = min(os.cpu_count() or 1, runs * len(scored) * len(study.postprocessing))
    values = map_voxels * plan.scored_voxels() * _scans_at_once(plan, scored)
    return DiskUse(results, checkpoints, values * VALUE_BYTES, jobs)


def _scans_at_once(plan: Plan, scored: Mapping[str, float]) -> float:
    """Maps whose values the largest evaluate or postprocess job keeps.

    evaluate keeps the test scans of a data set once for each postprocessing with map operators, and once for the others
    together; postprocess keeps the scans that set thresholds, of all data sets.
    """
    changed = [bool(each.on_map()) for each in plan.study.postprocessing.values()]
    tested = max((_shares(plan, label)["test"] for label in scored), default=0.0)
    rest_on = [plan.study.threshold_sets(label) for label in scored]
    validated = max((sum(_shares(plan, label)[role] for label, role in each.items()) for each in rest_on), default=0.0)
    return max(tested * (sum(changed) + (not all(changed))), validated)


def shared(plan: Plan) -> list[Path]:
    """Folders of the scans that a study shares with other studies."""
    downloads = [plan.root / "download" / label for label in plan.scans]
    return downloads + [plan.preprocessed(label) for label in plan.scans]


def report(plan: Plan) -> list[str]:
    """Lines for `brainuad check`: the estimate, the free space, and a warning if that is too little."""
    need = estimate(plan)
    present = used(plan.folder) + sum(map(used, shared(plan)))
    free = shutil.disk_usage(_existing(plan.root)).free
    parts = ", ".join(f"{name} {format_size(size)}" for name, size in need.results.items() if size >= 0.01 * need.peak)
    lines = [f"disk: about {format_size(need.total)} ({parts})"]
    if need.checkpoints >= 0.01 * need.peak:
        lines.append(f"disk: up to {format_size(need.checkpoints)} more for checkpoints during training")
    if need.jobs * need.job >= 0.01 * need.peak:
        size = format_size(need.job)
        lines.append(
            f"disk: up to {size} more for each evaluate or postprocess job that runs, here {need.jobs} at once"
        )
    lines.append(f"disk: {format_size(present)} present, {format_size(free)} free (quotas are not considered)")
    if plan.absent:
        lines.append(f"disk: not counted, because not downloaded yet: {', '.join(plan.absent)}")
    if need.peak - present > free:
        lines.append(
            "warning: the disk is too small: free some space, name another folder under `results`, set "
            "`storage_dtype: uint8` in the recipe's normalize, or use fewer models, seeds or postprocessing variants"
        )
    return lines


def _shares(plan: Plan, label: str) -> dict[str, float]:
    """Expected number of scans of a data set in each role."""
    settings = plan.study.datasets[label]
    split = plan.study.scan_sets()[plan.origin(label)].split
    if split is None:
        return dict.fromkeys(ROLES[:-1], 0.0)
    count = len(plan.scans[plan.origin(label)])
    scans: dict[str, float] = {role: count * getattr(split, role) for role in ROLES[:-1]}
    if not isinstance(settings, Made):
        return scans
    return {role: settings.draws * scans[role] * (role in settings.roles) for role in scans}


def _generated(plan: Plan, label: str) -> float:
    settings = plan.study.datasets[label]
    if isinstance(settings, Phantoms):
        return settings.subjects * (1 + len(settings.sequences)) * HEAD_BYTES * (2 / settings.spacing) ** 3
    if isinstance(settings, Known):
        return sum(used(Path(path)) for path in plan.converted(label))
    return 0.0


def _native(plan: Plan, label: str) -> float:
    study, rows = plan.study, plan.scans.get(label)
    if not rows:
        return 0.0
    try:
        spacing = np.linalg.norm(volume.read_grid(rows[0].image)[1][:3, :3], axis=0)
    except InputError:  # made by a job that has not run
        spacing = np.full(3, 2.0)
    voxels = BRAIN_ML * 1000 / float(np.prod(spacing))
    runs = len(study.models) * len(study.seeds) * len(study.postprocessing)
    return runs * _shares(plan, label)["test"] * voxels * (VOXEL_BYTES + MASK_VOXEL_BYTES * len(study.thresholds))


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())
