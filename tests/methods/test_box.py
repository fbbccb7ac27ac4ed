from __future__ import annotations

import numpy as np
import pytest
import torch

from brainuad.methods.shared import healthy_atlas
from brainuad.methods.shared.box import Box, mirrored


def brain(shape: tuple[int, int, int], x: slice, y: slice) -> np.ndarray:
    volume = np.zeros(shape, bool)
    volume[x, y, 1] = True
    return volume


@pytest.mark.parametrize(
    ("shape", "x", "y", "sides"),
    [
        ((91, 109, 3), slice(6, 85), slice(8, 102), (80, 96)),
        ((91, 109, 3), slice(4, 85), slice(6, 103), (88, 104)),
        ((91, 109, 3), slice(0, 91), slice(50, 58), (96, 8)),
        ((16, 17, 3), slice(0, 16), slice(0, 17), (16, 24)),
        ((16, 17, 3), slice(0, 0), slice(0, 0), (8, 8)),
    ],
)
def test_a_box_holds_all_brains_and_gives_slices_back(shape, x, y, sides):
    found = Box.around([brain(shape, x, y), np.zeros(shape, bool)], 8)
    assert found.sides == sides
    volume = np.random.default_rng(0).random(shape, dtype=np.float32)
    back = np.full(shape, np.nan, np.float32)
    found.insert(torch.from_numpy(found.cut(volume, np.arange(3)))[:, None], np.arange(3), back)
    inside = brain(shape, x, y)
    np.testing.assert_array_equal(back[inside], volume[inside])
    seen = np.isfinite(back)
    np.testing.assert_array_equal(back[seen], volume[seen])


@pytest.mark.parametrize("shape", [(91, 16, 2), (90, 16, 2), (15, 16, 2), (13, 16, 2)])
@pytest.mark.parametrize("side", [8, 16, 80])
def test_the_mirror_image_in_a_box_is_that_of_the_grid(shape, side):
    volume = np.random.default_rng(0).random(shape, dtype=np.float32) + 1
    box, levels = Box((side, 16), (shape[0], shape[1])), np.arange(2)
    found = mirrored(torch.from_numpy(box.cut(volume, levels))[:, None], box.mirror_shift)[:, 0].numpy()
    expected = box.cut(healthy_atlas.mirrored(volume), levels)
    seen = found > 0
    np.testing.assert_array_equal(found[seen], expected[seen])
    assert (~seen & (expected > 0)).any(axis=(0, 2)).sum() <= 1  # a column whose mirror image is outside the box


def test_a_brain_that_reaches_beyond_the_box_gets_a_larger_one():
    box = Box((8, 16), (40, 40))
    assert box.holding(brain((40, 40, 3), slice(10, 20), slice(18, 22)), 8).sides == (24, 16)
    assert box.holding(np.zeros((40, 40, 3), bool), 8) == box
