"""Example scans: which are shown, and pictures of them and of each model's prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import array_cache, maps, postprocessed, volume
from brainuad.report import slices

PICTURES = ("predicted mask", "anomaly map", "reconstruction")
"""Pictures of a prediction, in the order of the page."""


@dataclass(frozen=True)
class Example:
    """A test scan. `slice_index`: axial slice shown; `white`: the intensity drawn white."""

    dataset: str
    scan: str
    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    slice_index: int
    white: float
    description: str
    """One line about its lesions."""
    corrupted: bool = False
    unmarked: bool = False
    """Whether it is a patient's, and the lesion mask marks nothing."""
    own_volume: float = 1.0
    """Factor from a volume on the grid to the scan's own space."""
    further: Mapping[str, Float[np.ndarray, "x y z"]] = field(default_factory=dict)
    """Other sequences of its session, where they were asked for and are there; `image` is the first."""

    def in_sequence(self, name: str) -> Example:
        """The same with another sequence of its session as `image`, where it is there."""
        image = self.further.get(name)
        return self if image is None else replace(self, image=image, white=_white(image, self.brain))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in the scan's own space."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000 * self.own_volume

    @property
    def healthy(self) -> bool:
        """Whether it has no lesion."""
        return not self.lesion.any()

    @property
    def box(self) -> tuple[slice, slice]:
        """The part of the slice that is drawn: its brain."""
        return slices.bounding_box(self.brain[..., self.slice_index : self.slice_index + 1])

    @property
    def z_mm(self) -> float:
        """MNI z of the slice."""
        return float(self.affine[2, 2] * self.slice_index + self.affine[2, 3])


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for an example. `mask`: at the first of the study's threshold rules that has one."""

    model: str
    anomaly: Float[np.ndarray, "x y z"]
    reconstruction: Float[np.ndarray, "x y z"] | None
    mask: Bool[np.ndarray, "x y z"] | None


@dataclass
class ExamplePictures:
    """Pictures of an example as data URLs: the scan; by model those of `PICTURES` and a line of `text`."""

    example: Example
    scan: str
    by_model: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its pictures on the page."""
        return len(self.scan) + sum(len(text) for pictures in self.by_model.values() for text in pictures.values())

    @property
    def rows(self) -> list[str]:
        """The pictures that some model has here, in the order of the page; at least one."""
        there = {name for pictures in self.by_model.values() for name in pictures}
        return [name for name in PICTURES if name in there] or [PICTURES[1]]


def chosen(scans: pd.DataFrame, count: int) -> list[str]:
    """Scans of one data set spread evenly from the best to the worst by their mean over models.

    Ordered by AUPRC where there are lesions, else by the predicted volume; nothing is picked by hand.
    """
    by = "auprc" if scans["auprc"].notna().any() else "predicted_ml"
    means = scans.groupby("scan", sort=True)[by].mean().dropna().sort_values(ascending=by != "auprc", kind="stable")
    places: Any = (
        np.unique(np.linspace(0, len(means) - 1, min(count, len(means))).round().astype(int)) if len(means) else []
    )
    return [str(means.index[place]) for place in places]


def read_examples(study: Study, folder: Path, scans: pd.DataFrame) -> list[Example]:
    """The examples of every data set that was scored, those with lesions first; half as many healthy ones.

    `folder`: `results/<study>`; `scans`: the table of scans.
    """
    found: list[Example] = []
    for dataset, path, rows, healthy in _scored(study, folder, scans):
        count = (study.report.examples + 1) // 2 if healthy else study.report.examples
        found += _dataset_examples(dataset, path, rows, count, study.sequences())
    return found


def read_browsable(study: Study, folder: Path, scans: pd.DataFrame) -> list[Iterator[Example]]:
    """The scans of each data set that can be browsed, read one by one; data sets with lesions first."""
    return [
        _dataset_examples(dataset, path, rows, study.report.interactive, study.sequences())
        for dataset, path, rows, _ in _scored(study, folder, scans)
    ]


def _scored(study: Study, folder: Path, scans: pd.DataFrame) -> list[tuple[str, Path, pd.DataFrame, bool]]:
    """Label, array cache, rows of the table of scans, and whether all are healthy; data sets with lesions first."""
    found = []
    for dataset in sorted(study.scored_sets(), key=lambda label: study.datasets[label].healthy):
        rows, path = scans[scans["dataset"] == dataset], folder / "normalize" / dataset
        if len(rows) and path.is_dir():
            found.append((dataset, path, rows, bool(rows["healthy"].astype(bool).all())))
    return found


def draw_examples(
    study: Study, folder: Path, shown: Sequence[Example], scans: pd.DataFrame, seeds: Mapping[tuple[str, str], int]
) -> list[ExamplePictures]:
    """Pictures of the examples. The maps of a model share one colour scale.

    Its masks are drawn on the first sequence that it sees. `scans`: the table of scans; `seeds`: which is shown, by
    model and data set.
    """
    first = scans[scans["postprocessing"] == next(iter(study.postprocessing))]
    keys = [first[name] for name in ("model", "seed", "dataset", "scan")]
    auprc = dict(zip(zip(*keys, strict=True), first["auprc"], strict=True))
    drawn = [ExamplePictures(example, _scan_picture(example)) for example in shown]
    for model in study.models:
        predictions = [
            read_prediction(study, folder, example, model, seeds.get((model, example.dataset))) for example in shown
        ]
        pairs = list(zip(drawn, predictions, strict=True))
        tops = [np.percentile(p.anomaly[d.example.brain], 99.8) for d, p in pairs if p is not None]
        for pictures, prediction in pairs:
            if prediction is not None:
                seen = study.sequences_of(model)[:1]
                example = pictures.example.in_sequence(seen[0]) if seen else pictures.example
                drawn_here = pictures.by_model[model] = _pictures(example, prediction, float(max(tops)))
                key = (model, seeds.get((model, example.dataset)), example.dataset, example.scan)
                if example is not pictures.example:
                    drawn_here["text"] = f"on {seen[0]}; " + drawn_here.get("text", "no mask")
                if np.isfinite(auprc.get(key, np.nan)):
                    drawn_here["text"] = f"AUPRC {auprc[key]:.2f}; " + drawn_here.get("text", "no mask")
    return drawn


def read_prediction(study: Study, folder: Path, example: Example, model: str, seed: int | None) -> Prediction | None:
    """Of a seed and the study's first postprocessing; None without a seed, and if the model has no map of this scan."""
    anomaly = read_anomaly(study, folder, example, model, seed)
    if anomaly is None:
        return None
    inferred, processed = _folders(study, folder, example, model, seed)
    reconstruction = maps.reconstruction_path(inferred, example.scan)
    masks = (maps.mask_path(processed, example.scan, rule.label) for rule in study.thresholds)
    shape = example.image.shape
    return Prediction(
        model,
        anomaly,
        _volume(reconstruction, shape) if reconstruction.exists() else None,
        next((maps.read_mask(path, shape) for path in masks if path.exists()), None),
    )


def read_anomaly(
    study: Study, folder: Path, example: Example, model: str, seed: int | None
) -> Float[np.ndarray, "x y z"] | None:
    """The map alone; None likewise."""
    if seed is None:
        return None
    inferred, processed = _folders(study, folder, example, model, seed)
    ran = (processed / postprocessed.NAME).exists()
    path = (
        postprocessed.map_path(inferred, processed, example.scan) if ran else maps.anomaly_path(inferred, example.scan)
    )
    return maps.read_map(path, example.image.shape) if path.exists() else None


def _folders(study: Study, folder: Path, example: Example, model: str, seed: int | None) -> tuple[Path, Path]:
    """Of infer, and of the study's first postprocessing."""
    part = Path(model) / f"seed-{seed}" / example.dataset
    return folder / "infer" / part, folder / "postprocess" / part / next(iter(study.postprocessing))


def within(drawn: Sequence[ExamplePictures], budget: int) -> list[ExamplePictures]:
    """As many examples as fit into `budget` bytes, the first of every data set before any second."""
    places: dict[str, int] = {}
    ranked = []
    for position, pictures in enumerate(drawn):
        place = places[pictures.example.dataset] = places.get(pictures.example.dataset, -1) + 1
        ranked.append((place, position, pictures.size))
    kept, spent = [], 0
    for _, position, size in sorted(ranked):
        spent += size
        if spent > budget:
            break
        kept.append(position)
    return [drawn[position] for position in sorted(kept)]


def by_dataset(drawn: Sequence[ExamplePictures]) -> Iterator[tuple[str, list[ExamplePictures]]]:
    """The examples of each data set, in order."""
    for dataset in dict.fromkeys(pictures.example.dataset for pictures in drawn):
        yield dataset, [pictures for pictures in drawn if pictures.example.dataset == dataset]


def _dataset_examples(
    dataset: str, path: Path, rows: pd.DataFrame, count: int, sequences: Sequence[str] = ()
) -> Iterator[Example]:
    """`sequences`: those of each session that the examples are to have."""
    names, volumes = chosen(rows, count), dict(rows.groupby("scan")["lesion_ml"].first())
    cache, lesions = array_cache.read(path), array_cache.read_lesions(path)
    others = {name: array_cache.read(path, [name]) for name in sequences[1:]}
    index = {scan.scan: i for i, scan in enumerate(cache.scans)}
    for name in names:
        if name not in index:
            continue
        i = index[name]
        image, brain, lesion = cache.image(i), cache.brain(i), lesions[i]
        scan = cache.scans[i]
        without = "no lesion marked" if scan.unmarked else "no lesion"
        description = f"{volumes[name]:.1f} ml of lesion" if lesion.any() else without
        if scan.lesion_type:
            description += f" ({scan.lesion_type.replace('_', ' ').replace(';', ', ')})"
        yield Example(
            dataset,
            name,
            image,
            brain,
            lesion,
            cache.affine,
            slice_index=slices.largest_slice(lesion if lesion.any() else brain),
            white=_white(image, brain),
            description=description,
            corrupted=bool(scan.corrupted),
            unmarked=bool(scan.unmarked),
            own_volume=scan.own_volume,
            further={name: each.image(i) for name, each in others.items() if name not in scan.missing_sequences},
        )


def _white(image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"]) -> float:
    return float(np.percentile(image[brain], 99.5))


def _scan_picture(example: Example) -> str:
    return slices.webp(_with_lesion(example, _grey(example, example.image)))


def _pictures(example: Example, prediction: Prediction, top: float) -> dict[str, str]:
    mask_name, map_name, reconstruction_name = PICTURES
    brain = slices.axial(example.brain, example.slice_index, example.box)
    heat = slices.heat(slices.axial(prediction.anomaly, example.slice_index, example.box), brain, top)
    pictures = {map_name: slices.webp(_with_lesion(example, heat))}
    if prediction.reconstruction is not None:
        pictures[reconstruction_name] = slices.webp(_grey(example, prediction.reconstruction))
    if prediction.mask is not None:
        mask = slices.axial(prediction.mask, example.slice_index, example.box)
        scan = slices.outlined(_grey(example, example.image), mask, slices.PREDICTED_COLOUR)
        pictures[mask_name] = slices.webp(_with_lesion(example, scan))
        pictures["text"] = _agreement(example, prediction.mask)
    return pictures


def _agreement(example: Example, mask: Bool[np.ndarray, "x y z"]) -> str:
    predicted = f"{mask.sum() * example.voxel_ml:.1f} ml predicted"
    if example.healthy:
        return predicted + ("" if example.corrupted or example.unmarked else ", all false positive")
    dice = 2 * (mask & example.lesion).sum() / max(1, mask.sum() + example.lesion.sum())
    return f"Dice {dice:.2f}; {predicted}"


def _grey(example: Example, values: Float[np.ndarray, "x y z"]) -> slices.Picture:
    brain = slices.axial(example.brain, example.slice_index, example.box)
    return slices.grey(slices.axial(values, example.slice_index, example.box), brain, example.white)


def _with_lesion(example: Example, picture: slices.Picture) -> slices.Picture:
    lesion = slices.axial(example.lesion, example.slice_index, example.box)
    return slices.outlined(picture, lesion, slices.LESION_COLOUR)


def _volume(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
    data = volume.read(path).data
    if data.shape != shape:
        why = f"it has the shape {data.shape}, the array cache {shape}"
        raise InputError(f"{path.name} is not on the array cache's grid", file=path, why=why, do="run infer again")
    return data
