from __future__ import annotations

import numpy as np
import pytest
import torch

from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.gmvae import Restoration, Settings
from brainuad.methods.gmvae.method import GmVaeMethod
from brainuad.methods.gmvae.restoration import least_change, restore, total_variation

NETWORK = {"size": 16, "channels": [2, 4], "kernel": 3, "norm": "none", "bottleneck": "spatial", "convolutions": 2}
STEPS = {"phases": [{"steps": 3, "size": 0.05}, {"steps": 2, "size": 0.01}], "weights": [0.0, 0.1], "slices": 3}


def method(**restoration: object) -> GmVaeMethod:
    network = NETWORK | {"latent": 1, "latent_w": 2, "components": 3, "hidden": 4}
    values = {"family": "gmvae", "network": network, "train": {"steps": 1}, "restoration": STEPS | restoration}
    return GmVaeMethod(Settings.model_validate(values))


def scans(count: int = 2) -> TrainingScans:
    rng = np.random.default_rng(0)
    brain = np.zeros((14, 16, 3), bool)
    brain[2:12, 2:14] = True
    images = [(0.2 + 0.6 * rng.random(brain.shape, np.float32)) * brain for _ in range(count)]
    return TrainingScans(images, [brain] * count, (2.0, 2.0, 2.0))


def pull(target: float):
    return lambda image: (image - target).square().sum()


def test_steps_go_down_the_gradient_within_the_brain():
    batch = torch.full((1, 1, 4, 4), 1.0)
    batch[..., 0] = 0
    settings = Restoration.model_validate({"phases": [{"steps": 2, "size": 0.1}, {"steps": 1, "size": 0.2}]})
    restored = restore(batch, pull(0.5), 0.0, settings)
    # each step takes 2 x size of the distance to .5
    assert restored[..., 1:].flatten().tolist() == pytest.approx([0.5 + 0.5 * 0.8 * 0.8 * 0.6] * 12)
    assert not restored[..., 0].any()
    limited = restore(batch, pull(0.5), 0.0, settings.model_copy(update={"clip": 0.1}))
    assert limited[..., 1:].flatten().tolist() == pytest.approx([1 - 0.1 * 0.4] * 12)


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert total_variation(image).item() == 1 + 0 + 3 + 2
    assert total_variation(image[..., None]).item() == 6


def test_a_weight_keeps_what_was_changed_flat():
    torch.manual_seed(0)
    batch = torch.rand(1, 1, 8, 8) + 0.1
    settings = Restoration.model_validate({"phases": [{"steps": 60, "size": 0.02}]})
    free, flat = (restore(batch, pull(0.5), weight, settings) for weight in (0.0, 0.2))
    assert total_variation(batch - flat) < 0.5 * total_variation(batch - free)


def test_the_weight_that_changes_healthy_slices_least_is_taken():
    torch.manual_seed(0)
    batch = torch.rand(2, 1, 8, 8) + 0.1
    settings = Restoration.model_validate({"phases": [{"steps": 30, "size": 0.02}], "weights": [0.0, 0.1, 40.0]})
    assert least_change(batch, pull(0.5), settings) == 0.1
    assert least_change(batch[:0], pull(0.5), settings.model_copy(update={"weights": [2.0]})) == 2.0


def test_the_weight_is_chosen_on_validation_scans_and_comes_back():
    made, held_out = method(), scans()
    with pytest.raises(InputError, match="train it first"):
        made.reconstruct(held_out.images[0], held_out.brains[0])
    made.fit(scans(), held_out)
    assert made.weight in (0.0, 0.1)
    assert made.facts()["restoration_weight"] == made.weight
    again = method()
    again.load(made.state())
    found = [each.reconstruct(held_out.images[0], held_out.brains[0]) for each in (made, again)]
    np.testing.assert_array_equal(*found)
    with pytest.raises(InputError, match="validation"):
        method().prepare(None)


def test_one_weight_needs_no_validation_scans():
    made = method(weights=[0.3])
    made.fit(scans())
    assert made.weight == 0.3


def test_every_pixel_of_a_spatial_code_has_its_own_component():
    made = method()
    torch.manual_seed(0)
    batch = torch.rand(2, 1, 16, 16)
    found = made.network(batch)
    assert found.reconstruction.shape == batch.shape
    assert found.code.shape == (2 * 4 * 4, 1)
    assert found.components.mean.shape == (2 * 4 * 4, 3, 1)
    one = made.network.eval()(batch[:1])
    torch.testing.assert_close(made.network(batch).components.mean[:16], one.components.mean)
    terms = made.objective().terms(batch)
    terms["loss"].backward()
    assert all(parameter.grad is not None for parameter in made.network.parameters())
    # the energy of a batch is the sum over its images
    parts = sum(made.energy(batch[i : i + 1]).item() for i in range(2))
    assert made.energy(batch).item() == pytest.approx(parts, rel=1e-5)


def test_free_bits_count_for_each_pixel():
    loss = {"reconstruction": "l2", "kl": 1.0}
    values = [
        GmVaeMethod(
            Settings.model_validate({**method().settings.model_dump(), "loss": loss | {"free_component": free}})
        )
        for free in (0.0, 5.0)
    ]
    batch = torch.rand(2, 1, 16, 16)
    kinds = [each.objective().terms(batch)["kl_component"].item() for each in values]
    assert kinds[0] < kinds[1] == pytest.approx(5.0 * 16)


def test_the_methods_section_tells_every_setting():
    told = " ".join(method().settings.describe())
    assert "Further settings" not in told
    assert "3 steps of size 0.05 and 2 steps of size 0.01" in told
