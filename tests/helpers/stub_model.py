"""In place of a model file and its model, for tests of what `brainuad predict` does with scans and results."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from good_numbers import GOOD

from brainuad.config.recipe import Preprocess
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.model_file import FileThreshold, Grid, Manifest, Part
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.predict import record
from brainuad.predict.found import Found, Prepared

SHAPE, AFFINE = (24, 26, 22), np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = (-48, -52, -40)
OWN = np.array([[0, 0, -5.0, 60], [-4, 0, 0, 50], [0, 4, 0, -50], [0, 0, 0, 1]])
"""Stored with other axes: back to front, bottom to top, right to left in thick slices."""
MOVED = np.eye(4)
MOVED[:3, 3] = (3, -4, 2)
RULE, OTHER = "healthy_quantile_0.98", "burden_5_ml"


def manifest() -> Manifest:
    values = {OTHER: 0.9, RULE: 0.5}
    return Manifest(
        name="tiny", study="s", label="zscore", seeds=[0], modality="T1w", lesion_sign="both",
        parts=[Part(label="zscore", bundle="zscore/seed-0", map={})], recipe={}, template={},
        grid=Grid(shape=SHAPE, affine=[]),
        postprocessing={}, healthy_scores=[1.0], healthy_scans="none", erode_voxels=0, training=[], versions={},
        thresholds={rule: FileThreshold(value=value, source="x", scans=1) for rule, value in values.items()},
    )  # fmt: skip


def found(path: Path, thresholds: dict[str, float], doubts: list[str]) -> Found:
    """A scan whose map has two bright spots."""
    scan = volume.read(path)
    where = np.indices(SHAPE).reshape(3, -1).T - np.array(SHAPE) / 2
    brain = (np.linalg.norm(where / np.array(SHAPE), axis=1) < 0.4).reshape(SHAPE)
    anomaly = np.zeros(SHAPE, np.float32)
    anomaly[8:11, 12:15, 10:13], anomaly[9, 13, 11], anomaly[15, 9:11, 12] = 2, 2.5, 1
    shape, own = volume.read_grid(path)
    grey = brain * np.float32(0.5)
    prepared = Prepared(grey, brain, AFFINE, Affine(MOVED), False, dict(GOOD), [], [], "", ["a note"], "0")
    masks = {label: anomaly > value for label, value in thresholds.items()}
    return Found(
        scan=Volume(scan.data, scan.affine), prepared=prepared, image=grey, brain=brain, anomaly=anomaly,
        reconstruction=grey, processed=anomaly, masks=masks, thresholds=thresholds, affine=AFFINE, score=2.5,
        p_healthy=0.5, p_smallest=0.5, doubts=doubts, shape=shape, own_affine=own,
    )  # fmt: skip


class Stub:
    """In place of a model: scans named `bad` and `odd` fail, those named `strange` are doubtful."""

    def __init__(self, *_: object):
        self.preprocess = Preprocess()
        self.mapped: list[str] = []

    def thresholds(self, wanted):
        known = {rule: each.value for rule, each in manifest().thresholds.items()}
        if missing := [each for each in wanted if each not in known and not each.startswith("fixed:")]:
            raise InputError(f"no threshold {missing[0]}")
        return {each: known.get(each) or float(each.removeprefix("fixed:")) for each in wanted}

    def predict(self, path, options):
        if "bad" in path.name:
            raise InputError("it shows no head", do="look at it")
        if "odd" in path.name:
            raise ValueError("unforeseen")
        doubts = ["its histogram is unlike the training's"] if "strange" in path.name else []
        return found(path, self.thresholds(options.thresholds), doubts)


def write_scan(path: Path) -> None:
    """A scan of noise on the grid `OWN`."""
    data = np.random.default_rng(0).integers(50, 200, (25, 24, 22)).astype(np.int16)
    nib.save(nib.Nifti1Image(data, OWN), path)


def rows(out: Path) -> dict[str, dict[str, str]]:
    head, *lines = [line.split("\t") for line in (out / record.TABLE).read_text().splitlines()]
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}
