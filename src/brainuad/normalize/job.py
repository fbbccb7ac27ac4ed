"""The normalize stage: draws the split of a data set, fits intensities on training subjects, writes stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from brainuad.config.datasets import AnyMade, Split
from brainuad.config.recipe import Intensity, Normalize, Quality
from brainuad.errors import InputError
from brainuad.formats import array_cache, files, scans, status, verdict, volume
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.coding import Coding
from brainuad.formats.names import Naming
from brainuad.formats.run import Record
from brainuad.formats.scans import Scan
from brainuad.normalize.grid import Window, window
from brainuad.normalize.intensity import fit, scale
from brainuad.normalize.made import Maker
from brainuad.normalize.split import draw_split
from brainuad.resources import recording

SHAPE, AFFINE = "grid.shape", "grid.affine"
"""Arrays beside what the scaling learnt: the grid of the training scans, which every data set shares."""


def split(
    table: Path,
    statuses: Mapping[str, Path],
    shares: Split | None,
    healthy: bool,
    seed: int,
    limits: Quality,
    out: Path,
    decisions: Mapping[str, str] | None = None,
) -> None:
    """Write `out`: the data set's scans with role and state.

    The split is drawn before a look at the states, so that one failed subject moves no other. Subjects that had no scan
    to preprocess keep their failed row. `limits`: of the recipe, beyond which scans fail; `decisions`: a person's, by
    scan, `exclude` or `include`; they win over the states. Raises InputError where a scan is to be included of which
    there are no files.
    """
    listed = scans.read(table)
    rows = [row for row in listed if row.scan in statuses]  # not those without a scan, nor excluded ones
    rows = rows if shares is None else draw_split(rows, shares, seed)
    rows = [_with_state(row, statuses[row.scan], limits, healthy, (decisions or {}).get(row.scan)) for row in rows]
    scans.write(out, rows + [row for row in listed if row.state == "failed" and row.scan not in statuses])


def fit_scaling(sources: Sequence[Source], settings: Intensity, out: Path) -> None:
    """Write `out` (safetensors): what the scaling learns from the training scans of `sources`, and their grid."""
    training = _Training([(source, row) for source in sources for row in source.rows("train")])
    if not training.rows:
        do = f"see the notes in {sources[0].table}; mend or add subjects"
        raise InputError("no healthy training subject is left", do=do)
    source, row = training.rows[0]
    grid = {SHAPE: np.array(source.read(row)[1].shape), AFFINE: source.affine(row)}
    with files.atomic(out) as part:
        save_file({**fit(training, settings), **grid}, part)


def normalize(source: Source, scaling: Path, settings: Normalize, out: Path) -> None:
    """Write the store of a data set: every usable scan that has a role."""
    rows = source.rows("train", "validation", "test")
    entries = (Entry(row, *source.read(row)) for row in rows)
    _write(entries, len(rows), scaling, settings, out, source.naming())


def normalize_made(
    source: Source, label: str, made: AnyMade, seed: int, scaling: Path, settings: Normalize, out: Path
) -> None:
    """Write the store of a data set that is made of the scans of `source`, before intensities are scaled.

    A scan that nothing fits into is left out, and `run.json` says why; raises InputError where that holds for all.
    """
    maker = Maker(made, label, seed, _learnt(scaling, settings)[1])
    draws = [(row, draw) for row in source.rows(*made.roles) for draw in range(1, made.draws + 1)]
    left_out: dict[str, str] = {}

    def entries() -> Iterator[Entry]:
        for row, draw in draws:
            try:
                yield maker.entry(row, draw, *source.read(row)[:2], source.affine(row))
            except InputError as error:
                left_out[f"{row.scan}_draw-{draw}"] = str(error.why or error.what)
                if len(left_out) == len(draws):
                    raise

    _write(entries(), len(draws), scaling, settings, out, source.naming(), {"left_out": left_out})


@dataclass(frozen=True)
class Source:
    """A preprocessed data set. `table`: its scans with roles; `folder`: one folder per scan."""

    table: Path
    folder: Path

    def rows(self, *roles: str) -> list[Scan]:
        """Usable scans in these roles."""
        return scans.with_role(scans.read(self.table), *roles)

    def read(self, row: Scan) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Scan, brain mask, and masks of lesions and of what is not scored (None without one) on the template grid."""
        paths = status.paths(self.folder / row.scan)
        image, brain = volume.read(paths[status.IMAGE]), volume.read_mask(paths[status.BRAIN])
        lesion, ignored = (volume.read_mask(paths[name]).data if name in paths else None for name in status.MASKS)
        return image.data, brain.data, lesion, ignored

    def affine(self, row: Scan) -> np.ndarray:
        """Voxel index of the template grid to MNI mm."""
        return volume.read_mask(status.paths(self.folder / row.scan)[status.BRAIN]).affine

    def naming(self) -> Naming:
        """What names of files say of the scans."""
        scan = next(iter(self.rows("train", "validation", "test")), None)
        return Naming() if scan is None else status.read(self.folder / scan.scan / status.NAME).naming


@dataclass(frozen=True)
class _Training:
    """Training scans, read anew at each pass, so that memory holds one at a time."""

    rows: list[tuple[Source, Scan]]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for source, row in self.rows:
            image, brain, *_ = source.read(row)
            yield image, brain


def _write(
    entries: Iterator[Entry],
    count: int,
    scaling: Path,
    settings: Normalize,
    out: Path,
    naming: Naming,
    facts: dict[str, Any] | None = None,
) -> None:
    learnt, part = _learnt(scaling, settings)
    scaled = (_scaled(entry, settings.intensity, learnt, part) for entry in entries)
    intensity = settings.intensity.model_dump(mode="json")
    with recording.recorded(
        out, Record("normalize", {"dataset": out.name}, settings.model_dump(mode="json"))
    ) as record:
        record.facts |= facts or {}
        shape, affine = part.grid
        coding = Coding(settings.storage_dtype, settings.intensity.clip)
        array_cache.write(out, scaled, count, CacheHeader(affine, intensity, learnt, shape, coding, naming))


def _learnt(scaling: Path, settings: Normalize) -> tuple[dict[str, np.ndarray], Window]:
    """What the scaling learnt, and the part of the grid that models see."""
    learnt = load_file(scaling)
    x, y, z = learnt.pop(SHAPE).tolist()
    return learnt, window((x, y, z), learnt.pop(AFFINE), settings)


def _scaled(entry: Entry, settings: Intensity, learnt: dict[str, np.ndarray], part: Window) -> Entry:
    image, brain = part.image(scale(entry.image, entry.brain, settings, learnt)), part.mask(entry.brain)
    if part.resize is not None:
        image = np.where(brain, image, 0)  # smoothing carries the brain's border outwards
    # the mask is not cut to the brain, so that evaluate can tell how much of a lesion the strip took away
    lesion, ignored = (None if mask is None else part.mask(mask) for mask in (entry.lesion, entry.ignored))
    masks = {"mask": entry.lesion, "ignore": entry.ignored}
    empty = {name: "" for name, mask in masks.items() if mask is None or not mask.any()}
    return Entry(scans.changed(entry.scan, **empty), image, brain, lesion, ignored)


def _with_state(row: Scan, path: Path, limits: Quality, healthy: bool, decision: str | None) -> Scan:
    """`path`: the scan's `status.json`, beside its other files."""
    found = verdict.read(path, limits)
    notes = [row.note] * bool(row.note) + found.reasons
    if decision == "exclude":
        return scans.changed(row, state="excluded", note="; ".join(notes))
    unlabelled = not healthy and row.role and not row.mask
    bare = "no lesion mask, and the data set is not healthy: it cannot be scored"
    if decision == "include":
        if unlabelled or not found.files:
            why = bare if unlabelled else "; ".join(found.reasons) or "preprocess left no image"
            do = "take its line out of the decisions, or mend the scan"
            raise InputError(f"{row.scan} of {row.dataset} cannot be included", file=row.image, why=why, do=do)
        return scans.changed(row, state="included", note="; ".join(notes))
    if unlabelled and found.state != "failed":
        return scans.changed(row, state="failed", note=bare)
    return scans.changed(row, state=found.state, note="; ".join(notes))
