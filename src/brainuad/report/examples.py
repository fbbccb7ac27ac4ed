"""Example scans: which are shown, and their slices by model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import array_cache, maps, postprocessed, volume
from brainuad.formats.array_cache import ArrayCache
from brainuad.report import slices


@dataclass(frozen=True)
class Example:
    """A test scan. `level`: the axial slice shown; `top`: intensity drawn white."""

    dataset: str
    scan: str
    healthy: bool
    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    level: int
    top: float
    numbers: str
    """One line about it."""
    corrupted: bool = False
    """Whether the scan as a whole is bad."""

    @property
    def box(self) -> tuple[slice, slice]:
        """The part of the slice that is drawn: its brain."""
        return slices.bounds(self.brain[..., self.level : self.level + 1])

    @property
    def height_mm(self) -> float:
        """MNI z of the slice."""
        return float(self.affine[2, 2] * self.level + self.affine[2, 3])


@dataclass(frozen=True)
class Result:
    """What a model made of an example. `mask`: by the study's first rule that gave one."""

    model: str
    anomaly: Float[np.ndarray, "x y z"]
    reconstruction: Float[np.ndarray, "x y z"] | None
    mask: Bool[np.ndarray, "x y z"] | None


@dataclass
class Strip:
    """Pictures of an example as data addresses: the scan; by model reconstruction, map, contours and a line of text."""

    example: Example
    scan: str
    columns: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its pictures on the page."""
        return len(self.scan) + sum(len(text) for pictures in self.columns.values() for text in pictures.values())

    @property
    def rows(self) -> list[str]:
        """The kinds of picture that a model has here, in the order of the page; at least one."""
        found = {kind for pictures in self.columns.values() for kind in pictures}
        return [kind for kind in ("marked", "map", "reconstruction") if kind in found] or ["map"]


def chosen(scans: pd.DataFrame, count: int) -> list[str]:
    """Scans of one data set spread evenly from the best to the worst by their mean over models.

    Ordered by AUPRC where there are lesions, else by the volume marked; nothing is picked by hand.
    """
    by = "auprc" if scans["auprc"].notna().any() else "predicted_ml"
    means = scans.groupby("scan", sort=True)[by].mean().dropna().sort_values(ascending=by != "auprc", kind="stable")
    places: Any = (
        np.unique(np.linspace(0, len(means) - 1, min(count, len(means))).round().astype(int)) if len(means) else []
    )
    return [str(means.index[place]) for place in places]


def examples(study: Study, folder: Path, scans: pd.DataFrame) -> list[Example]:
    """The examples of every data set that was scored, those with lesions first; half as many healthy ones."""
    found = []
    for dataset in study.scored_sets():
        rows = scans[scans["dataset"] == dataset]
        path = folder / "normalize" / dataset
        if rows.empty or not path.is_dir():
            continue
        healthy = bool(rows["healthy"].astype(bool).all())
        names = chosen(rows, (study.report.examples + 1) // 2 if healthy else study.report.examples)
        opened, lesions = array_cache.read(path), array_cache.read_lesions(path)
        index = {scan.scan: i for i, scan in enumerate(opened.scans)}
        found += [_example(dataset, n, opened, lesions[index[n]], index[n], rows) for n in names if n in index]
    return sorted(found, key=lambda example: study.datasets[example.dataset].healthy)


def strips(study: Study, folder: Path, shown: list[Example]) -> list[Strip]:
    """Pictures of the examples, one strip each. A model's maps share one colour scale over all examples."""
    drawn = [Strip(example, _scan_picture(example)) for example in shown]
    for model in study.models:
        found = [result(study, folder, example, model) for example in shown]
        tops = [np.percentile(r.anomaly[e.brain], 99.8) for r, e in zip(found, shown, strict=True) if r is not None]
        for strip, one in zip(drawn, found, strict=True):
            if one is not None:
                strip.columns[model] = _pictures(strip.example, one, float(max(tops)))
    return drawn


def result(study: Study, folder: Path, example: Example, model: str) -> Result | None:
    """Map, reconstruction and mask of the study's first seed and chain; None if the model has no map of this scan."""
    postprocessing = next(iter(study.postprocessing))
    part = Path(model) / f"seed-{study.seeds[0]}" / example.dataset
    inferred, processed = folder / "infer" / part, folder / "postprocess" / part / postprocessing
    ran = (processed / postprocessed.NAME).exists()
    path = (
        postprocessed.map_path(inferred, processed, example.scan) if ran else maps.anomaly_path(inferred, example.scan)
    )
    if not path.exists():
        return None
    shape = example.image.shape
    rebuilt = maps.reconstruction_path(inferred, example.scan)
    masks = (maps.mask_path(processed, example.scan, rule.label) for rule in study.thresholds)
    mask = next((maps.read_mask(found, shape) for found in masks if found.exists()), None)
    return Result(model, maps.read_map(path, shape), _volume(rebuilt, shape) if rebuilt.exists() else None, mask)


def _example(
    dataset: str, name: str, opened: ArrayCache, lesion: np.ndarray, place: int, rows: pd.DataFrame
) -> Example:
    image, brain, lesion = (np.asarray(a) for a in (opened.images[place], opened.brains[place], lesion))
    own = rows[rows["scan"] == name]
    healthy = not lesion.any()
    scan = opened.scans[place]
    numbers = f"{own['lesion_ml'].iloc[0]:.1f} ml of lesion" if not healthy else "no lesion"
    numbers += f" ({scan.lesion_type.replace('_', ' ').replace(';', ', ')})" if scan.lesion_type else ""
    level = slices.fullest(lesion if not healthy else brain)
    top = float(np.percentile(image[brain], 99.5))
    return Example(
        dataset, name, healthy, image, brain, lesion, opened.affine, level, top, numbers, bool(scan.corrupted)
    )


def _scan_picture(example: Example) -> str:
    return slices.webp(_outlined(example, _grey(example, example.image)))


def _pictures(example: Example, one: Result, top: float) -> dict[str, str]:
    box = example.box
    brain = slices.axial(example.brain, example.level, box)
    heat = slices.heat(slices.axial(one.anomaly, example.level, box), brain, top)
    pictures = {"map": slices.webp(_outlined(example, heat))}
    if one.reconstruction is not None:
        pictures["reconstruction"] = slices.webp(_grey(example, one.reconstruction))
    if one.mask is not None:
        marked = slices.outlined(
            _grey(example, example.image), slices.axial(one.mask, example.level, box), slices.MARKED
        )
        pictures["marked"] = slices.webp(_outlined(example, marked))
        pictures["text"] = _agreement(example, one.mask)
    return pictures


def _agreement(example: Example, mask: Bool[np.ndarray, "x y z"]) -> str:
    ml = abs(float(np.linalg.det(example.affine[:3, :3]))) / 1000
    if example.healthy:
        return f"{mask.sum() * ml:.1f} ml marked" + ("" if example.corrupted else ", all false")
    both = 2 * (mask & example.lesion).sum() / max(1, mask.sum() + example.lesion.sum())
    return f"Dice {both:.2f}; {mask.sum() * ml:.1f} ml marked"


def _grey(example: Example, values: Float[np.ndarray, "x y z"]) -> slices.Picture:
    box = example.box
    brain = slices.axial(example.brain, example.level, box)
    return slices.grey(slices.axial(values, example.level, box), brain, example.top)


def _outlined(example: Example, picture: slices.Picture) -> slices.Picture:
    truth = slices.axial(example.lesion, example.level, example.box)
    return slices.outlined(picture, truth, slices.TRUTH)


def _volume(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
    data = volume.read(path).data
    if data.shape != shape:
        why = f"it has the shape {data.shape}, the store {shape}"
        raise InputError(f"{path.name} is not on the store's grid", file=path, why=why, do="run infer again")
    return data


def within(drawn: list[Strip], budget: int) -> list[Strip]:
    """As many strips as fit into `budget` bytes, the first of every data set before any second."""
    places: dict[str, int] = {}
    ranked = []
    for position, strip in enumerate(drawn):
        place = places[strip.example.dataset] = places.get(strip.example.dataset, -1) + 1
        ranked.append((place, position, strip.size))
    kept, spent = [], 0
    for _, position, size in sorted(ranked):
        spent += size
        if spent > budget:
            break
        kept.append(position)
    return [drawn[position] for position in sorted(kept)]


def by_dataset(drawn: list[Strip]) -> Iterator[tuple[str, list[Strip]]]:
    """Strips by data set, in order."""
    for dataset in dict.fromkeys(strip.example.dataset for strip in drawn):
        yield dataset, [strip for strip in drawn if strip.example.dataset == dataset]
