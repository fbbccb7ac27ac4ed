"""The array cache of a data set: its preprocessed scans, or scans made of healthy ones, with scaled intensities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainuad.config.recipe import Intensity, Normalize
from brainuad.errors import InputError
from brainuad.formats import array_cache, scans
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.coding import Coding
from brainuad.formats.names import Naming
from brainuad.formats.run import Record
from brainuad.formats.scans import Scan
from brainuad.normalize.grid import Window
from brainuad.normalize.intensity import Brain, Image, Scaling, scale
from brainuad.normalize.made import Maker, Making
from brainuad.normalize.scaling import read_scaling
from brainuad.normalize.source import Preprocessed, Source
from brainuad.resources import recording


@dataclass(frozen=True)
class Entries:
    """Scans on their way into a cache, before intensity scaling.

    `sequences`: of each session; `excluded`: where scans may be left out, the reasons by scan; filled while `each` is
    iterated.
    """

    each: Iterator[Entry]
    naming: Naming
    sequences: Sequence[str] = ()
    excluded: dict[str, str] | None = None


def normalize(source: Source, scaling: Path, settings: Normalize, out: Path) -> None:
    """Write the array cache of a data set: every usable scan that has a role."""
    rows = source.rows(*scans.ROLES[:-1])
    read = ((row, source.read(row)) for row in rows)
    each = (
        Entry(_with_volume(row, scan), scan.image, scan.brain, scan.lesion, scan.ignored, scan.sequences)
        for row, scan in read
    )
    _write(Entries(each, source.naming(), source.sequences), scaling, settings, out)


def normalize_made(source: Source, making: Making, scaling: Path, settings: Normalize, out: Path) -> None:
    """Write the array cache of a data set that is made of the scans of `source`, before intensities are scaled.

    A scan into which nothing fits is excluded, and `run.json` has the reason; raises InputError if all are.
    """
    made = making.made
    maker = Maker(making, read_scaling(scaling, settings)[1])
    draws = [(row, draw) for row in source.rows(*made.roles) for draw in range(1, made.draws + 1)]
    excluded: dict[str, str] = {}

    def each() -> Iterator[Entry]:
        for row, draw in draws:
            try:
                scan = source.read(row)
                yield maker.entry(_with_volume(row, scan), draw, scan)
            except InputError as error:
                excluded[f"{row.scan}_draw-{draw}"] = str(error.why or error.what)
                if len(excluded) == len(draws):
                    raise

    _write(Entries(each(), source.naming(), source.sequences, excluded), scaling, settings, out)


def _write(entries: Entries, scaling: Path, settings: Normalize, out: Path) -> None:
    learnt, part = read_scaling(scaling, settings)
    names = tuple(entries.sequences)
    by_sequence = {name: array_cache.scaling_of(learnt, name) for name in names} or {"": learnt}
    scaled = (_scaled(entry, settings.intensity, by_sequence, part) for entry in entries.each)
    record = Record("normalize", {"dataset": out.name}, settings.model_dump(mode="json"))
    shape, affine = part.grid
    header = CacheHeader(
        affine=affine,
        intensity=settings.intensity.model_dump(mode="json"),
        scaling=learnt,
        shape=shape,
        coding=Coding(settings.storage_dtype, settings.intensity.clip),
        naming=entries.naming,
        sequences=names,
    )
    with recording.recorded(out, record):
        array_cache.write(out, scaled, header)
        record.facts |= {} if entries.excluded is None else {"excluded": entries.excluded}


def on_models_grid(
    image: Image, brain: Brain, settings: Intensity, scaling: Scaling, part: Window
) -> tuple[Image, Brain]:
    """Scaled intensities and the brain mask on the models' grid, of a preprocessed scan on the template's."""
    scaled, inside = part.image(scale(image, brain, settings, scaling)), part.mask(brain)
    if part.resize is not None:
        scaled = np.where(inside, scaled, 0)  # smoothing moves intensity across the brain's border
    return scaled, inside


def _scaled(entry: Entry, settings: Intensity, scalings: Mapping[str, Scaling], part: Window) -> Entry:
    """`scalings`: by sequence, the first one first."""
    first, *further = scalings.items()
    image, brain = on_models_grid(entry.image, entry.brain, settings, first[1], part)
    others = {
        name: on_models_grid(entry.sequences[name], entry.brain, settings, scaling, part)[0]
        for name, scaling in further
        if name in entry.sequences
    }
    # masks are not cut to the brain, so that evaluate can count what skull stripping removed of a lesion
    lesion, ignored = (None if mask is None else part.mask(mask) for mask in (entry.lesion, entry.ignored))
    empty = {} if entry.ignored is not None and entry.ignored.any() else {"ignore": ""}
    missing = ";".join(name for name, _ in further if name not in others)
    return Entry(scans.changed(entry.scan, **empty, missing=missing), image, brain, lesion, ignored, others)


def _with_volume(row: Scan, scan: Preprocessed) -> Scan:
    return scans.changed(row, own_ml=repr(scan.own_ml))
