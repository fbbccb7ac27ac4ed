from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainuad.config.network import Loss, Network, Train, Trunk
from brainuad.errors import InputError
from brainuad.methods.autoencoder import Settings as Autoencoder
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.shared.networks import ConvAutoencoder, Coordinates, encoder
from brainuad.methods.shared.objective import ReconstructionObjective, distance, kl_divergence

TINY = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}


def test_without_kl_the_reconstruction_is_averaged_over_everything():
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    assert distance(target, found, Loss(reconstruction="l1")).item() == 3
    assert distance(target, found, Loss(reconstruction="l2")).item() == 9


def test_with_kl_the_reconstruction_is_summed_over_pixels():
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    assert distance(target, found, Loss(reconstruction="l1", kl=0.1)).item() == 12
    assert distance(target, found, Loss(reconstruction="l2", kl=0.1)).item() == 36


def test_kl_of_gaussians_by_hand():
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, np.log(4.0)]])
    by_hand = (0.5 * 1 + 0.5 * (4 - 1 - np.log(4))) / 2  # two items: a shifted mean, a variance of four
    assert kl_divergence(mean, log_variance).item() == pytest.approx(by_hand)


def test_the_loss_is_reconstruction_plus_weighted_kl():
    network = ConvAutoencoder(Network(**TINY, variational=True)).eval()
    module = ReconstructionObjective(network, Loss(kl=0.25), Train(steps=1))
    terms = module.terms(torch.rand(2, 1, 16, 16))
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + 0.25 * terms["kl"]).item())
    assert not terms["kl"].requires_grad
    assert terms["loss"].requires_grad


def test_a_variational_network_samples_in_training_and_decodes_the_mean_at_test_time():
    network = ConvAutoencoder(Network(**TINY, variational=True))
    batch = torch.rand(4, 1, 16, 16)
    assert not torch.equal(network(batch).reconstruction, network(batch).reconstruction)
    network.eval()
    first = network(batch)
    assert torch.equal(first.reconstruction, network(batch).reconstruction)
    assert torch.equal(first.reconstruction, network.decoder(network.widen(first.mean)))


@pytest.mark.parametrize("kernel", [3, 4, 5, 7])
@pytest.mark.parametrize("bottleneck", ["dense", "conv", "spatial"])
@pytest.mark.parametrize(
    "more", [{}, {"decoder_end": "up", "coord_conv": True, "norm": "none", "bias": False}, {"dims": 3, "norm": "layer"}]
)
def test_a_network_gives_back_the_size_it_takes(kernel, bottleneck, more):
    settings = Network(**TINY | {"size": 24, "kernel": kernel, "bottleneck": bottleneck} | more)
    shape = (2, 1, *[24] * settings.dims)
    assert ConvAutoencoder(settings)(torch.rand(shape)).reconstruction.shape == shape


@pytest.mark.parametrize(("kernel", "size", "channels"), [(5, 32, [2, 2, 4]), (3, 24, [4, 2]), (5, 8, [3])])
@pytest.mark.parametrize("variational", [False, True])
def test_residual_blocks_give_back_the_size_they_take(kernel, size, channels, variational):
    settings = Network(
        blocks="residual", size=size, channels=channels, kernel=kernel, latent=3, variational=variational
    )
    network = ConvAutoencoder(settings)
    side = size // 2 ** len(channels)
    batch = torch.rand(2, 1, size, size)
    assert network.encoder(batch).shape == (2, 16, side, side)
    assert network(batch).reconstruction.shape == batch.shape
    assert network.encode(batch)[0].shape == (2, 3)


def test_a_sigmoid_bounds_reconstructions_of_residual_blocks():
    settings = {"blocks": "residual", "size": 16, "channels": [2, 4], "latent": 3}
    code = 1000 * torch.ones(2, 3)
    torch.manual_seed(0)
    linear = ConvAutoencoder(Network(**settings)).eval().decode(code)
    torch.manual_seed(0)
    bounded = ConvAutoencoder(Network(**settings, output="sigmoid")).eval().decode(code)
    assert torch.equal(bounded, linear.sigmoid())
    assert linear.abs().max() > 1


def test_positions_by_hand():
    found = Coordinates()(torch.full((2, 1, 2, 3), 7.0))
    assert found.shape == (2, 3, 2, 3)
    for item in found:
        assert item[0].tolist() == [[7, 7, 7], [7, 7, 7]]
        assert item[1].tolist() == [[-1, -1, -1], [1, 1, 1]]
        assert item[2].tolist() == [[-1, 0, 1], [-1, 0, 1]]


def test_positions_in_volumes_and_on_an_axis_of_length_one():
    found = Coordinates()(torch.zeros(1, 1, 1, 2, 3))[0]
    assert found.shape == (4, 1, 2, 3)
    assert not found[1].any()
    assert found[2, 0].tolist() == [[-1, -1, -1], [1, 1, 1]]
    assert found[3, 0].tolist() == [[-1, 0, 1], [-1, 0, 1]]


@pytest.mark.parametrize("coord_conv", [False, True])
def test_with_coordconv_features_depend_on_the_position(coord_conv):
    trunk = encoder(Trunk(size=32, channels=[2, 3], kernel=3, norm="none", coord_conv=coord_conv))
    inner = trunk(torch.full((1, 1, 32, 32), 0.5))[..., 2:-2, 2:-2]
    assert (inner.std(dim=(2, 3)).min() > 1e-4) == coord_conv
    assert (inner.std(dim=(2, 3)).max() > 1e-4) == coord_conv


@pytest.mark.parametrize(
    ("network", "loss", "message"),
    [
        ({"size": 100}, {}, "cannot be halved 4 times"),
        ({"size": 100, "dims": 3}, {}, "cannot be halved 4 times"),
        ({"size": 100, "blocks": "residual"}, {}, "cannot be halved 4 times"),
        ({"dims": 3, "blocks": "residual"}, {}, "goes with bottleneck: dense, dims: 2"),
        ({"bottleneck": "spatial", "blocks": "residual"}, {}, "goes with bottleneck: dense, dims: 2"),
        ({"kernel": 4, "blocks": "residual"}, {}, "an odd kernel"),
        ({"coord_conv": True, "norm": "layer", "blocks": "residual"}, {}, "no use for norm, coord_conv"),
        ({"variational": True}, {}, "needs loss.kl"),
        ({}, {"kl": 1.0}, "needs loss.kl"),
    ],
)
def test_settings_that_do_not_fit_are_refused(network, loss, message):
    with pytest.raises(ValidationError, match=message):
        Autoencoder(family="autoencoder", network=network, loss=loss)


def test_weights_of_another_network_are_refused():
    small = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY))
    other = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY | {"latent": 5}))
    with pytest.raises(InputError, match="belong to another network"):
        other.load_weights(small.weights())
    with pytest.raises(InputError, match="lacks 'residual_training_absolute_mean'"):
        small.load(small.weights())


def test_a_start_leaves_the_global_random_state_alone():
    method = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY))
    state = torch.random.get_rng_state()
    method.initialise(5)
    assert torch.equal(torch.random.get_rng_state(), state)
