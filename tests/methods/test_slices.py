from __future__ import annotations

import numpy as np
import pytest
import torch

from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared import slices
from brainuad.methods.shared.fitting import centred
from brainuad.methods.shared.slices import SliceExamples, SliceView, axial, from_network, to_network

SPACING = (2.0, 2.0, 2.0)


@pytest.mark.parametrize("shape", [(13, 16), (16, 13), (15, 16), (16, 16)])
def test_padding_alone_is_undone_exactly(shape):
    stack = torch.rand(3, *shape)
    square = to_network(stack, 16)
    assert square.shape == (3, 1, 16, 16)
    assert torch.equal(from_network(square, shape), stack)


@pytest.mark.parametrize(("shape", "size"), [((13, 16), 16), ((9, 12), 32), ((20, 24), 16), ((30, 13), 24)])
def test_padding_and_cropping_leave_every_voxel_as_it_is(shape, size):
    stack = torch.rand(3, *shape)
    inputs = to_network(stack, size, "pad")
    assert inputs.shape == (3, 1, size, size)
    (x, y), _ = centred(shape, size)
    seen = torch.zeros_like(stack)
    seen[:, x, y] = stack[:, x, y]
    assert torch.equal(from_network(inputs, shape, "pad"), seen)
    assert torch.equal(to_network(seen, size, "pad"), inputs)


def test_cropping_keeps_the_scan_where_the_network_does_not_see_it(caplog):
    view, image, brain = SliceView(8, 0.0, "pad"), np.ones((12, 12, 3), np.float32), np.ones((12, 12, 3), bool)
    for levels, batch in view.inputs(image, brain):
        view.insert(batch * 0 + 5, levels, image)
    assert (image == 5).sum() == 8 * 8 * 3
    assert (image == 1).sum() == (12 * 12 - 8 * 8) * 3
    assert "240 of 432 brain voxels" in caplog.text


def test_training_on_slices_whose_brains_would_be_cut_off_is_refused():
    with pytest.raises(InputError, match="size 4 with fit: pad cuts 75% off brains on a grid of 8 x 8"):
        SliceView(4, 0.01, "pad").examples(brains())
    assert len(SliceView(8, 0.01, "pad").examples(brains())) == 6


@pytest.mark.parametrize("size", [20, 48, 64])
def test_a_smooth_slice_survives_resizing_in_place(size):
    x, y = np.meshgrid(np.linspace(-1, 1, 26), np.linspace(-1, 1, 32), indexing="ij")
    blob = np.exp(-((x - 0.2) ** 2 + (y + 0.3) ** 2) / 0.15).astype(np.float32)
    back = from_network(to_network(torch.from_numpy(blob)[None], size), blob.shape)[0].numpy()
    assert np.abs(back - blob).max() < 0.12
    assert np.unravel_index(back.argmax(), back.shape) == pytest.approx(
        np.unravel_index(blob.argmax(), blob.shape), abs=1
    )


def test_a_bright_column_stays_where_it_was():
    stack = torch.zeros(1, 8, 16)
    stack[0, 0, 15] = 1
    assert to_network(stack, 16)[0, 0, 4, 15] == 1  # four rows of padding before the first


def test_axial_slices_are_planes_of_the_last_axis():
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(axial(image, [1, 3])[1].numpy(), image[:, :, 3])


def brains() -> TrainingScans:
    brain = np.zeros((8, 8, 4), bool)
    brain[:, :, 1] = True
    brain[0, 0, 2] = True
    return TrainingScans(
        [np.random.default_rng(i).random((8, 8, 4), dtype=np.float32) for i in range(3)], [brain] * 3, SPACING
    )


def test_slices_with_too_little_brain_are_not_used():
    assert SliceExamples(brains(), 8, min_brain_share=0.1).positions == [(0, 1), (1, 1), (2, 1)]
    assert len(SliceExamples(brains(), 8, min_brain_share=0.01)) == 6
    assert len(SliceExamples(brains(), 8, min_brain_share=0.0)) == 6  # a slice without brain never counts


def test_large_sets_are_prepared_batch_by_batch_with_the_same_result(monkeypatch):
    kept = SliceExamples(brains(), 16, 0.01)
    monkeypatch.setattr(slices, "IN_MEMORY", 0)
    lazy = SliceExamples(brains(), 16, 0.01)
    assert kept.kept is not None
    assert lazy.kept is None
    assert torch.equal(kept.fetch([4, 0, 3]), lazy.fetch([4, 0, 3]))


def test_no_slice_with_brain_is_refused():
    empty = brains()
    with pytest.raises(InputError, match="nothing to train on"):
        SliceExamples(TrainingScans(empty.images, [np.zeros((8, 8, 4), bool)] * 3, SPACING), 8, 0.01)
