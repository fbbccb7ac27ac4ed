"""How many slices networks take at once, and what happens where the memory of a GPU does not suffice."""

from __future__ import annotations

import pytest
import torch

from brainuad.methods.shared import features, slices
from brainuad.predict import at_once


def test_the_number_counts_inside_alone_in_every_module_that_has_it():
    usual = slices.SLICES_AT_ONCE
    with pytest.raises(ValueError, match="inside"), at_once.slices_at_once(3):
        assert (slices.SLICES_AT_ONCE, features.SLICES_AT_ONCE) == (3, 3)
        raise ValueError("inside")
    assert (slices.SLICES_AT_ONCE, features.SLICES_AT_ONCE, at_once.of_a_study()) == (usual,) * 3


@pytest.mark.parametrize(("fits", "tried"), [(16, [16]), (5, [16, 8, 4]), (1, [16, 8, 4, 2, 1])])
def test_slices_are_halved_until_they_fit_and_this_is_said(fits, tried, caplog):
    seen = []

    def work() -> str:
        seen.append(slices.SLICES_AT_ONCE)
        if seen[-1] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "map"

    assert at_once.in_parts(work, 16) == ("map", tried[-1])
    assert seen == tried
    assert ("GPU lacks memory" in caplog.text) == (len(tried) > 1)


def test_where_one_slice_is_too_many_the_fault_is_passed_on():
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        at_once.in_parts(work, 2)


def test_networks_take_as_many_slices_as_they_are_told():
    import numpy as np

    view, image = slices.SliceView(8, 0.0), np.ones((8, 8, 10), np.float32)
    with at_once.slices_at_once(4):
        assert [len(levels) for levels, _ in view.inputs(image, image > 0)] == [4, 4, 2]
