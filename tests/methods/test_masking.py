from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects, label

from brainuad.config.network import Masking
from brainuad.methods.shared.masking import mask_squares


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(count: int = 40, side: int = 32) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(count, 1, side, side)


def painted(before: torch.Tensor, after: torch.Tensor) -> list[np.ndarray]:
    return [mask[0].numpy() for mask in before != after]


def test_masking_does_not_change_its_input():
    batch = images()
    before = batch.clone()
    after = mask_squares(batch, Masking())
    assert torch.equal(batch, before)
    assert after.shape == batch.shape
    assert not torch.equal(after, batch)


def test_each_image_has_a_square_of_its_own():
    batch = images()
    masks = painted(batch, mask_squares(batch, Masking()))
    assert all(mask.any() for mask in masks)
    assert len({mask.tobytes() for mask in masks}) > 35


def test_one_square_is_a_square_of_one_value_no_larger_than_the_largest():
    batch = images(400)
    after = mask_squares(batch, Masking(squares=(1, 1), largest=0.25))
    sides, starts = [], []
    for item, mask in zip(after[:, 0].numpy(), painted(batch, after), strict=True):
        (box,) = find_objects(mask.astype(int))
        assert mask[box].all()
        height, width = mask[box].shape
        assert height == width
        assert np.ptp(item[box]) == 0
        sides.append(height)
        starts.append([part.start for part in box])
        assert max(part.stop for part in box) <= 32
    assert (min(sides), max(sides)) == (1, 8)
    assert np.mean(sides) == pytest.approx(4, abs=0.4)
    assert np.min(starts) == 0
    assert np.max(starts) > 24


def test_values_lie_between_the_lowest_and_the_highest_of_the_batch():
    batch = images(300)
    after = mask_squares(batch, Masking(largest=0.1))
    values = after[after != batch]
    assert values.min() >= batch.min()
    assert values.max() <= batch.max()
    assert values.min() < 0.25
    assert values.max() > 0.75


@pytest.mark.parametrize(("squares", "expected"), [((0, 0), {0}), ((1, 1), {1}), ((0, 2), {0, 1, 2}), ((3, 3), {3})])
def test_number_of_squares(squares, expected):
    batch = images(60, side=128)
    masks = painted(batch, mask_squares(batch, Masking(squares=squares, largest=0.02)))
    counts = [label(mask)[1] for mask in masks]
    assert expected <= set(counts)
    assert max(counts) <= max(expected)
    assert np.mean(counts) == pytest.approx(np.mean(squares), abs=0.4)  # two may touch


def test_volumes_get_cubes():
    batch = torch.rand(6, 1, 12, 12, 12)
    for mask in painted(batch, mask_squares(batch, Masking())):
        (box,) = find_objects(mask.astype(int))
        assert mask[box].all()
        assert len({*mask[box].shape}) == 1
        assert mask[box].shape[0] <= 6


def test_torch_seeds_them():
    batch = images()
    torch.manual_seed(3)
    first = mask_squares(batch, Masking())
    torch.manual_seed(3)
    assert torch.equal(first, mask_squares(batch, Masking()))
    assert not torch.equal(first, mask_squares(batch, Masking()))


@pytest.mark.parametrize("squares", [(2, 1), (-1, 1)])
def test_numbers_that_do_not_rise_are_refused(squares):
    with pytest.raises(ValueError, match="two rising numbers"):
        Masking(squares=squares)
