from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from brainuad.config.network import UNetwork
from brainuad.methods.shared.unet import UNet


@pytest.mark.parametrize(
    ("settings", "inputs", "outputs", "count"),
    [
        # convolutions down, their normalisations, convolutions up, theirs, the last one
        ({}, 1, 1, 72_224 + 448 + 46_176 + 192 + 68),
        ({"channels": [4], "patch": 1}, 3, 2, 3 * 36 + 4 + 8 + 4 * 36 + 4 + 8 + 4 * 2 + 2),
    ],
)
def test_sizes_and_the_number_of_weights(settings, inputs, outputs, count):
    network = UNet(UNetwork(**settings), inputs, outputs)
    side = UNetwork(**settings).multiple
    found = network(torch.rand(2, inputs, side, 3 * side))
    assert found.shape == (2, outputs, side, 3 * side)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_each_pixel_sees_its_surroundings_at_all_levels():
    torch.manual_seed(0)
    network = UNet(UNetwork(channels=[4, 4, 4]), 1, 1)
    batch = torch.zeros(1, 1, 48, 48, requires_grad=True)
    network(batch)[0, 0, 24, 24].backward()
    reached = batch.grad[0, 0].abs() > 1e-12
    assert reached[24 - 12, 24]
    assert reached[24, 24 + 12]


def test_channels_that_no_group_divides_are_refused():
    with pytest.raises(ValidationError, match="30 channels"):
        UNetwork(channels=[30])
