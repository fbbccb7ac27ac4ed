from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainuad.methods.base import TrainingScans
from brainuad.methods.uncertain_autoencoder import Settings
from brainuad.methods.uncertain_autoencoder.method import UncertainMethod
from brainuad.methods.uncertain_autoencoder.network import Prediction

TINY = {"size": 16, "channels": [2, 4], "kernel": 4, "latent": 2, "hidden": 5, "decoder_end": "up"}


def method(smallest_sd: float = 0.1, **settings: object) -> UncertainMethod:
    values = {"family": "uncertain_autoencoder", "network": TINY, "train": {"steps": 1}}
    return UncertainMethod(Settings.model_validate(values | {"loss": {"smallest_sd": smallest_sd}} | settings))


def predicting(made: UncertainMethod, mean: float, sd: float) -> UncertainMethod:
    log_variance = 2 * math.log(sd)
    made.network.forward = lambda batch: Prediction(
        torch.full_like(batch, mean), torch.full_like(batch, log_variance) * torch.ones(1, requires_grad=True)
    )
    return made


def test_the_loss_is_the_likelihood_of_a_gaussian():
    made, batch = predicting(method(), mean=0.3, sd=0.2), torch.rand(3, 1, 16, 16)
    terms = made.objective().terms(batch)
    density = torch.distributions.Normal(0.3, 0.2).log_prob(batch).mean()
    expected = -2 * density - math.log(2 * math.pi)
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert terms["loss"].requires_grad
    assert not terms["squared"].requires_grad


def test_differences_are_measured_in_predicted_sds():
    found = predicting(method(), mean=0.3, sd=0.2).measure(torch.full((1, 1, 16, 16), 0.7))
    assert found.signed.unique().tolist() == pytest.approx([2.0])
    assert found.absolute.unique().tolist() == pytest.approx([4.0])
    assert found.reconstruction.unique().tolist() == pytest.approx([0.3])


def test_the_predicted_sd_stays_above_the_smallest():
    made = method(smallest_sd=0.1)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.mul_(30)
        found = made.network(torch.rand(4, 1, 16, 16))
    assert found.log_variance.min() >= 2 * math.log(0.1)
    assert found.log_variance.std() > 0


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_parameter_learns_also_from_one_slice(norm):
    made = method(network=TINY | {"norm": norm, "bias": True})
    torch.manual_seed(0)
    made.objective().terms(torch.rand(1, 1, 16, 16))["loss"].backward()
    assert all(parameter.grad is not None for parameter in made.network.parameters())


def test_standardised_maps_rest_on_the_measures_of_healthy_scans():
    rng = np.random.default_rng(0)
    brain = np.ones((16, 16, 2), bool)
    images = [rng.random(brain.shape, np.float32) for _ in range(3)]
    made = predicting(method(map={"residual": "signed", "standardise": True, "sd_floor": 0.0}), mean=0.3, sd=0.2)
    made.fit(TrainingScans(images, [brain] * 3, (2.0, 2.0, 2.0)))
    values = np.stack(images)
    z = (images[0] - values.mean(0)) / values.std(0, ddof=1)
    found, rebuilt = made.predict(images[0], brain, (2.0, 2.0, 2.0), "dark")
    np.testing.assert_allclose(found, -z, rtol=1e-3, atol=1e-4)
    assert np.unique(rebuilt).tolist() == pytest.approx([0.3])


def test_volumes_too():
    made, brain = method(network=TINY | {"dims": 3}), np.ones((10, 12, 9), bool)
    image = np.random.default_rng(0).random(brain.shape, dtype=np.float32)
    assert made.predict(image, brain, (2.0, 2.0, 2.0), "both")[0].shape == brain.shape


def test_a_bounded_output_is_refused():
    with pytest.raises(ValidationError, match=r"network\.output"):
        method(network=TINY | {"output": "sigmoid"})


def test_the_methods_section_tells_every_setting():
    made = method().settings
    told = " ".join([*made.describe(), *made.map.model_copy(update={"standardise": "training"}).describe("bright")])
    assert "Further settings" not in told
    assert "predicted variance" in told
