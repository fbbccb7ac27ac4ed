"""Phantoms that are difficult to register in one way each, or corrupted, with their true transforms.

A condition is a function of a case and a random generator; it returns another case with its true transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.images.contrasts import INTENSITY, LESION, Contrast
from brainuad.images.lesions import blob
from brainuad.images.phantom import make_phantom
from brainuad.images.pose import CENTRE, Pose, draw_pose
from brainuad.images.resample import resample, resample_mask
from brainuad.images.seeds import rng_for, seed_words


@dataclass(frozen=True)
class Case:
    """A scan with its truth. `affine`: voxel index to world (mm); `truth`: template world to scan world (mm)."""

    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    truth: Float[np.ndarray, "4 4"]
    contrast: Contrast


Condition = Callable[[Case, np.random.Generator], Case]
KINDS = ("T1w", "T2w", "FLAIR", "CT", "T1w stripped")
WITH_SKULL = KINDS[:4]
MODALITY: dict[Contrast, str] = {"T1w": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "CT": "ct"}


def make(name: str, condition: str, kind: str) -> Case:
    """One hard subject, a function of its name: a phantom at 2 mm in a drawn pose, then the condition."""
    rng = rng_for(0, "hard", name, condition)
    contrast = next(c for c in MODALITY if kind.startswith(c))
    phantom = make_phantom(seed_words(0, name), contrast, pose=posed(draw_pose(rng), condition, rng))
    case = Case(phantom.image, phantom.brain, phantom.affine, phantom.template_to_scan, contrast)
    if kind.endswith("stripped") or condition == "stripped":
        case = replace(case, image=np.where(case.brain, case.image, -1000 if contrast == "CT" else 0))
    return CONDITIONS[condition][1](case, rng)


def posed(pose: Pose, condition: str, rng: np.random.Generator) -> Pose:
    """The pose as the condition wants it."""
    if condition.startswith("turned"):
        turn = list(pose.rotation)
        turn["xyz".index(condition[-1])] = float(rng.choice([-30, 30]))
        return replace(pose, rotation=(turn[0], turn[1], turn[2]))
    if condition == "child":
        x, y, z = (0.8 * s for s in pose.scale)
        return replace(pose, scale=(x, y, z))
    return replace(pose, atrophy=float(rng.uniform(0.3, 0.45))) if condition == "atrophied" else pose


def as_it_is(case: Case, _: np.random.Generator) -> Case:
    """What is hard lies in the pose or the kind."""
    return case


def shifted(case: Case, rng: np.random.Generator) -> Case:
    """60 mm along an axis, both from the isocentre and from the middle of the field of view, which grows by air."""
    axis, sign = int(rng.integers(3)), int(rng.choice([-1, 1]))
    pad = round(60 / spacing(case)[axis])
    move = np.eye(4)
    move[axis, 3] = sign * 60
    moved = padded(case, axis, pad if sign > 0 else 0, 0 if sign > 0 else pad, rng)
    origin = moved.affine.copy()
    origin[:3, 3] = case.affine[:3, 3] if sign > 0 else (move @ case.affine)[:3, 3]
    return replace(moved, affine=origin, truth=move @ case.truth)


def reordered(case: Case, rng: np.random.Generator) -> Case:
    """Stored in another order of axes, each of them flipped or not."""
    order, flips = rng.permutation(3), [axis for axis in range(3) if rng.random() < 0.5]
    index = np.eye(4)[:, [*order, 3]]
    shape = np.array(case.image.shape)[order]
    for axis in flips:
        index[:, 3] += index[:, axis] * (shape[axis] - 1)
        index[:, axis] *= -1
    image, brain = (np.flip(a.transpose(order), flips).copy() for a in (case.image, case.brain))
    return replace(case, image=image, brain=brain, affine=case.affine @ index)


def long_neck(case: Case, rng: np.random.Generator) -> Case:
    """60 to 120 mm more of the neck, with shoulders from 40 mm downwards."""
    step = spacing(case)[2]
    extra = round(rng.uniform(60, 120) / step)
    grown = padded(case, 2, extra, 0, rng)
    lowest, image = case.image[:, :, 0], grown.image
    middle = np.array(lowest.shape) / 2 - 0.5
    for level in range(extra):
        below = (extra - level) * step
        size = np.array([1 + np.clip((below - 40) / 40, 0, 1.2), 1 + np.clip((below - 40) / 120, 0, 0.3)])
        slab = ndimage.affine_transform(lowest, np.diag(1 / size), middle - middle / size, order=1, mode="nearest")
        image[:, :, level] = slab * (1 + 0.03 * rng.standard_normal(slab.shape))
    return grown


def thick_slices(case: Case, rng: np.random.Generator) -> Case:
    """5 mm along z (FLAIR) or any axis."""
    axis = 2 if case.contrast == "FLAIR" else int(rng.integers(3))
    ratio = np.ones(4)
    ratio[axis] = 5 / spacing(case)[axis]
    target = case.affine @ np.diag(ratio)
    x, y, z = (int((n - 1) // r) + 1 for n, r in zip(case.image.shape, ratio, strict=False))
    image = resample(case.image, case.affine, (x, y, z), target)
    return replace(case, image=image, brain=resample_mask(case.brain, case.affine, (x, y, z), target), affine=target)


def cropped(case: Case, rng: np.random.Generator) -> Case:
    """The top, bottom, front or back 10 to 30 mm of the brain are missing, or only 6 mm are left all around it."""
    edges = [np.flatnonzero(case.brain.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]
    mm = spacing(case)
    cut = rng.uniform(10, 30)
    window = [[0, n] for n in case.image.shape]
    way = rng.choice(["top", "bottom", "front", "back", "around"])
    if way == "around":
        window = [[max(0, a - round(6 / s)), b + 1 + round(6 / s)] for (a, b), s in zip(edges, mm, strict=True)]
    elif way in ("top", "front"):
        axis = 2 if way == "top" else 1
        window[axis][1] = int(edges[axis][1] - cut / mm[axis])
    else:
        axis = 2 if way == "bottom" else 1
        window[axis][0] = int(edges[axis][0] + cut / mm[axis])
    return windowed(case, window)


def headrest(case: Case, rng: np.random.Generator) -> Case:
    """CT: a cradle of some Hounsfield units close behind the head, foam in it, a table, no values beyond the circle."""
    grown = padded(case, 1, round(30 / spacing(case)[1]), 0, rng)
    head = (case.image[:, :, case.image.shape[2] // 2 :] > -200).any(axis=2)
    middle, back = np.argwhere(head).mean(axis=0), np.flatnonzero(head.any(axis=0))[0]
    radius = (middle[1] - back) * spacing(case)[1] + rng.uniform(4, 15)
    across, along = (case.affine[axis, axis] * middle[axis] + case.affine[axis, 3] for axis in (0, 1))
    index = np.indices(grown.image.shape[:2])
    x, y = (grown.affine[axis, axis] * index[axis] + grown.affine[axis, 3] for axis in (0, 1))
    away = np.hypot(x - across, y - along)
    behind = y < along - rng.uniform(0, 0.4) * radius
    shell = behind & (np.abs(away - radius) < 2)
    table = (np.abs(along - radius - 6 - y) < 4) & (np.abs(x - across) < 90)
    air = grown.image < -700
    image = grown.image
    for where, value in ((behind & (away < radius), -920.0), (shell | table, float(rng.uniform(20, 250)))):
        image = np.where(air & where[:, :, None], value + 15 * rng.standard_normal(image.shape), image)
    outside = np.hypot(x - x.mean(), y - y.mean()) > 0.5 * np.ptp(y)
    return replace(grown, image=np.where(outside[:, :, None] & air, -2000, image).astype(np.float32))


def large_lesion(case: Case, rng: np.random.Generator) -> Case:
    """An infarct, a haemorrhage or a tumour of 28 to 40 mm in one hemisphere."""
    what = str(rng.choice(["infarct", "blood", "rim", "oedema"]))
    usual = INTENSITY[case.contrast]
    gain = (
        1.0 if case.contrast == "CT" else np.median(case.image[case.brain]) / (0.5 * (usual["grey"] + usual["white"]))
    )
    inside = np.argwhere(ndimage.distance_transform_edt(case.brain, sampling=spacing(case)) > 22)
    centre = inside[rng.integers(len(inside))].astype(float)
    radii = rng.uniform(28, 40, 3)
    window, cover = blob(case.brain.shape, float(spacing(case)[0]), centre, radii, 0.25, 3.0, rng)
    share = rng.uniform(0.7, 1.0) * np.clip(cover, 0, 1) * case.brain[window]
    image = case.image.copy()
    image[window] += share * (gain * LESION[case.contrast][what] - image[window])
    return replace(case, image=image)


CONDITIONS: dict[str, tuple[tuple[str, ...], Condition]] = {
    "turned x": (KINDS, as_it_is),
    "turned y": (KINDS, as_it_is),
    "turned z": (KINDS, as_it_is),
    "shifted": (KINDS, shifted),
    "reordered": (KINDS, reordered),
    "long neck": (WITH_SKULL, long_neck),
    "thick slices": (("FLAIR", *KINDS), thick_slices),
    "cropped": (KINDS, cropped),
    "stripped": (("T1w stripped", "T2w", "FLAIR", "CT"), as_it_is),
    "headrest": (("CT",), headrest),
    "child": (KINDS, as_it_is),
    "atrophied": (KINDS, as_it_is),
    "large lesion": (KINDS, large_lesion),
}
"""Name to the kinds of scan it is made of, and what is done to a phantom in the pose of that name."""


def plan(stream: str, count: int) -> list[tuple[str, str, str]]:
    """Name, condition and kind of each subject: the conditions in turn, each through its kinds."""
    names = list(CONDITIONS)
    chosen = []
    for number in range(count):
        condition = names[number % len(names)]
        kinds = CONDITIONS[condition][0]
        kind = kinds[(number // len(names) + number % len(names)) % len(kinds)]
        kind = kind if condition != "stripped" or kind.endswith("stripped") else f"{kind} stripped"
        chosen.append((f"{stream}-{number:03d}", condition, kind))
    return chosen


def spacing(case: Case) -> Float[np.ndarray, "3"]:
    """Voxel size in mm."""
    return np.asarray(np.linalg.norm(case.affine[:3, :3], axis=0))


def padded(case: Case, axis: int, before: int, after: int, rng: np.random.Generator) -> Case:
    """More voxels of the scan's own air along one axis."""
    pad = [(0, 0)] * 3
    pad[axis] = (before, after)
    air = np.concatenate([case.image[x, y].ravel() for x in (0, 1, -1, -2) for y in (0, 1, -1, -2)])
    inside = np.pad(np.ones(case.image.shape, bool), pad)
    image = np.where(inside, np.pad(case.image, pad), rng.choice(air, inside.shape))
    affine = case.affine.copy()
    affine[:3, 3] -= before * affine[:3, axis]
    return replace(case, image=image.astype(np.float32), brain=np.pad(case.brain, pad), affine=affine)


def windowed(case: Case, window: list[list[int]]) -> Case:
    """The voxels of a box, first and last index per axis."""
    box = tuple(slice(max(0, low), high) for low, high in window)
    affine = case.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return replace(case, image=case.image[box], brain=case.brain[box], affine=affine)


def corrupt_scan(name: str, what: str, kind: str) -> tuple[Case, str | None, Float[np.ndarray, "4 4"] | None]:
    """One good or corrupted subject: the case, the modality declared if it is wrong, the affine forced if it is."""
    rng = rng_for(0, "spoil", name, what)
    contrast = next(c for c in MODALITY if kind.startswith(c))
    phantom = make_phantom(seed_words(0, name), contrast)
    case = Case(phantom.image, phantom.brain, phantom.affine, phantom.template_to_scan, contrast)
    if kind.endswith("stripped"):
        case = replace(case, image=case.image * case.brain)
    if what == "good":
        return case, None, None
    if what == "wrong modality":
        return case, str(rng.choice([m for c, m in MODALITY.items() if c != contrast])), None
    if what == "failed registration":
        return case, None, wrong(case, rng)
    return CORRUPTIONS[what](case, rng), None, None


def wrong(case: Case, rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    """The true affine, off by 12 to 30 mm and 10 to 40 degrees about one axis."""
    way = rng.standard_normal(3)
    turn = list(np.zeros(3))
    turn[rng.integers(3)] = rng.choice([-1, 1]) * rng.uniform(10, 40)
    move = way / np.linalg.norm(way) * rng.uniform(12, 30)
    off = Pose(rotation=(turn[0], turn[1], turn[2])).matrix()
    off[:3, 3] += CENTRE + move
    return np.asarray(case.truth @ off)


def turned_over(axes: tuple[int, int]) -> Condition:
    """The voxels turned by 180 degrees, the header left: the head does not lie as it says."""
    return lambda case, _: replace(case, image=np.flip(case.image, axes).copy(), brain=np.flip(case.brain, axes).copy())


def half_a_head(case: Case, rng: np.random.Generator) -> Case:
    """One half of the brain is missing from the scan, on any side."""
    axis, upper = int(rng.integers(3)), bool(rng.integers(2))
    middle = int(np.argwhere(case.brain)[:, axis].mean())
    window = [[0, n] for n in case.image.shape]
    window[axis] = [middle, case.image.shape[axis]] if upper else [0, middle]
    return windowed(case, window)


def noisy(case: Case, rng: np.random.Generator) -> Case:
    """Noise as strong as the tissue."""
    level = 60.0 if case.contrast == "CT" else float(np.median(case.image[case.brain]))
    noise = rng.uniform(0.8, 1.5) * level * rng.standard_normal(case.image.shape)
    noisy = case.image + noise if case.contrast == "CT" else np.abs(case.image + noise)
    return replace(case, image=np.where(case.image != 0, noisy, 0).astype(np.float32))


def empty(case: Case, rng: np.random.Generator) -> Case:
    """No head: one value everywhere, or the air's noise."""
    image = np.abs(rng.standard_normal(case.image.shape)) * (rng.random() < 0.5)
    return replace(case, image=image.astype(np.float32))


CORRUPTIONS: dict[str, Condition] = {
    "upside down": turned_over((1, 2)),
    "back to front": turned_over((0, 1)),
    "wrong modality": as_it_is,
    "failed registration": as_it_is,
    "half a head": half_a_head,
    "noise": noisy,
    "empty": empty,
}
"""Name to what is done to a phantom; the wrong modality and the wrong affine lie beside the scan."""
