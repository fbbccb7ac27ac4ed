"""Maps that do not lie on the brain of their scan are named, without labels and before any number."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from evaluation_files import AFFINE, EvaluationFiles, brain

from brainuad.formats import maps as files
from brainuad.formats import tables, volume
from brainuad.metrics.geometry import UNEXPLAINED, map_fit
from brainuad.report.map_geometry import map_geometry

SHAPE, SPACING = (40, 48, 28), (2.0, 2.0, 2.0)
RNG = np.random.default_rng(0)


def head() -> np.ndarray:
    """A brain with a left and a right, like a real one: 4 % of its voxels have no mirror image."""
    x, y, z = (axis - (n - 1) / 2 for axis, n in zip(np.ogrid[:40, :48, :28], SHAPE, strict=True))
    brain = (x / 13) ** 2 + (y / 17) ** 2 + ((z - (y > 0)) / 9) ** 2 < 1
    return brain & ~((x > 7) & (y > 7)) & ~((z < -5) & (y < -6))


BRAIN = head()
MAP = np.where(BRAIN, RNG.normal(size=SHAPE), 0).astype(np.float32)


def swapped(map_: np.ndarray) -> np.ndarray:
    """x and y swapped on the old grid."""
    return np.pad(map_.swapaxes(0, 1)[4:-4], ((0, 0), (4, 4), (0, 0)))


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut to the brain"])
@pytest.mark.parametrize(
    ("move", "named"),
    [
        (lambda a: a[::-1], "flipped along x"),
        (lambda a: a[:, ::-1, ::-1], "flipped along y and z"),
        (lambda a: np.roll(a, 5, 0), "shifted by 5 voxels (10 mm) along x"),
        (lambda a: np.roll(a, -5, 1), "shifted by 5 voxels (10 mm) along y"),
        (swapped, "axes x and y swapped"),
    ],
)
def test_a_moved_map_is_named(move, named, cut):
    moved = move(MAP)
    fit = map_fit(np.where(BRAIN, moved, 0) if cut else moved, BRAIN, SPACING)
    assert fit.map_moved == named
    assert fit.map_empty > 0.02
    assert (fit.map_outside == 0) == cut


@pytest.mark.parametrize(
    "map_",
    [
        MAP,
        MAP.clip(min=0),
        np.where(RNG.random(SHAPE) < 0.01, 0, MAP),
        MAP * (np.arange(28) > 8),
        MAP * 0,
        np.where(BRAIN, MAP, -3),
        np.where(BRAIN, MAP, np.nan),
    ],
    ids=["own", "positive part", "with gaps", "upper slices", "nothing", "another background", "NaN outside"],
)
def test_a_map_that_is_in_its_place_is_not_named(map_):
    fit = map_fit(map_, BRAIN, SPACING)
    assert (fit.map_moved, fit.map_outside) == ("", 0)
    assert map_fit(MAP, BRAIN, SPACING).map_empty == 0


@pytest.mark.parametrize("brain", [True, False])
def test_a_map_of_one_voxel_or_a_scan_without_brain_has_a_fit(brain):
    shape = (140, 8, 8)
    scan, map_ = np.full(shape, brain), np.zeros(shape, np.float32)
    map_[61, 3, 3] = 1
    assert map_fit(map_, scan, SPACING).map_moved == ("" if brain else UNEXPLAINED)


@pytest.mark.parametrize(
    "part",
    [np.s_[:, :, 14:], np.s_[:, :, :14], np.s_[20:], np.s_[18:23, 26:32, 12:17]],
    ids=["upper half", "lower half", "one hemisphere", "a block"],
)
def test_a_map_of_half_the_brain_or_less_is_not_said_to_be_moved(part):
    there = np.zeros(SHAPE, bool)
    there[part] = True
    fit = map_fit(np.where(there, MAP, 0), BRAIN, SPACING)
    assert (fit.map_moved, fit.map_outside) == ("", 0)
    assert fit.map_empty > 0.4


def test_a_map_of_the_whole_head_is_said_to_leave_the_brain():
    whole = RNG.normal(size=SHAPE)
    fit = map_fit(whole, BRAIN, SPACING)
    assert fit.map_moved == UNEXPLAINED
    assert fit.map_outside == pytest.approx(1 - BRAIN.mean())


def test_a_flipped_export_is_told_before_any_number(tmp_path, caplog):
    world = EvaluationFiles(tmp_path)
    for name in world.scans:
        world.infer("dae", name, lambda lesion: world.rng.standard_normal(lesion.shape) + 2 - 4 * lesion)
    shifted = files.anomaly_path(tmp_path / "infer/dae/ms", "sub-1_ses-2")
    volume.write(shifted, np.roll(volume.read(shifted).data, 2, 1), AFFINE)
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    with caplog.at_level(logging.WARNING):
        out = world.run("dae", "ms", posts, tmp_path / "out")
    assert "sub-1_ses-2" in caplog.text
    rows = tables.read(out / "scans.tsv", tables.SCANS)
    assert (rows["map_moved"].notna() == (rows["scan"] == "sub-1_ses-2")).all()
    found = map_geometry(rows)
    assert "dae on ms: 1 of 5 anomaly maps" in found.moved[0]
    assert "shifted by 2 voxels (4 mm) along y (sub-1_ses-2)" in found.moved[0]
    assert "in 5 of 5 maps" in found.below_chance[0], "lesions are darker in these maps"
    assert brain().any()


@pytest.mark.parametrize(("below", "told"), [(0, False), (1, False), (2, True), (10, True)])
def test_lesions_that_look_more_normal_than_the_brain_are_told(below, told):
    auroc = [0.4] * below + [0.8] * (10 - below)
    rows = [
        {"model": "dae", "seed": 0, "dataset": "ms", "scan": f"sub-{i}", "auroc": value, "map_moved": np.nan}
        for i, value in enumerate(auroc)
    ]
    found = map_geometry(pd.DataFrame(rows))
    assert bool(found.below_chance) == told
    assert not told or f"in {below} of 10 maps" in found.below_chance[0]
    assert not found.moved
