"""The measure that registration maximises, against what torch computes by itself."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import grid_sample, pad

from brainuad.preprocess.registration.histogram import BINS, MARGIN_VOXELS, Bins, joint_histogram, sampled


@pytest.fixture
def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def spread(values: torch.Tensor) -> torch.Tensor:
    """Weight of each bin in each value."""
    return torch.relu(1 - (values[..., None] * (BINS - 1) - torch.arange(BINS)).abs())


def test_the_histogram_and_its_gradient_are_those_of_weights_on_all_bins(chance):
    values, fixed = torch.rand(3, 500, generator=chance), torch.rand(500, generator=chance)
    towards = torch.rand(3, BINS, BINS, generator=chance)
    expected, found = values.clone().requires_grad_(), values.clone().requires_grad_()
    dense = spread(fixed).T @ spread(expected) / 500
    sparse = joint_histogram(found, Bins(fixed))
    torch.testing.assert_close(sparse, dense, atol=1e-6, rtol=0)
    for joint, argument in ((dense, expected), (sparse, found)):
        (joint * towards).sum().backward()
        assert argument.grad is not None
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-6, rtol=1e-4)


def test_lowest_and_highest_values_stand_in_the_outermost_bins():
    joint = joint_histogram(torch.tensor([[0.0, 1.0]]), Bins(torch.tensor([1.0, 0.0])))[0]
    assert joint[-1, 0] == joint[0, -1] == 0.5
    assert joint.sum() == 1


def test_values_and_slopes_at_points_are_those_of_grid_sample_within_and_outside_of_the_image(chance):
    size = torch.tensor([6.0, 7.0, 8.0])
    image = torch.rand(6, 7, 8, generator=chance)
    points = torch.rand(400, 3, generator=chance) * (size + 8) - 4
    expected, found = points.clone().requires_grad_(), points.clone().requires_grad_()
    grid = (expected * 2 / (size - 1) - 1).flip(1)
    by_torch = grid_sample(image[None, None], grid[None, :, None, None], align_corners=True).flatten()
    ours = sampled(found.T + MARGIN_VOXELS, pad(image, (MARGIN_VOXELS,) * 6))
    torch.testing.assert_close(ours, by_torch, atol=1e-5, rtol=0)
    assert (ours == 0).sum() > 50, "no point lies outside"
    by_torch.sum().backward()
    ours.sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-4, rtol=1e-4)
