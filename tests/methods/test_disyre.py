from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainuad.config.network import Train
from brainuad.methods.disyre import Augmentation, Corruption, Settings, Severity
from brainuad.methods.disyre.corruption import augment, blobs, blurred, corrupt
from brainuad.methods.disyre.method import DisyreMethod
from brainuad.methods.disyre.network import shares_of_signal
from brainuad.methods.disyre.objective import RestorationObjective

TINY = {"size": 16, "channels": [4, 8], "groups": 4, "attention_sides": [], "head_channels": 4, "fold": 2}
BLOB = Corruption(radius=(3, 5), edge=1.5)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def slices(count: int = 6, side: int = 32) -> torch.Tensor:
    axis = torch.linspace(-1, 1, side)
    inside = axis[:, None] ** 2 + axis[None] ** 2 < 0.8
    return (0.2 + 0.6 * torch.rand(count, 1, side, side)) * inside


def method(**settings: object) -> DisyreMethod:
    values = {"family": "disyre", "network": TINY, "train": {"steps": 1}} | settings
    return DisyreMethod(Settings.model_validate(values))


def test_a_corruption_stays_in_a_blob_of_the_brain_and_its_severity_bounds_the_change():
    batch = slices()
    corrupted, severity = corrupt(batch, BLOB)
    changed = (corrupted != batch)[:, 0]
    assert changed.flatten(1).any(1).all()
    assert not changed[batch[:, 0] == 0].any()
    assert changed.float().mean() < 0.3
    assert 0 <= corrupted.min() <= corrupted.max() <= 1
    assert (severity > 0).all()
    assert (severity <= 1).all()


def test_a_slice_without_brain_stays_empty_and_is_not_corrupted():
    batch = slices(2)
    batch[1] = 0
    corrupted, severity = corrupt(augment(batch, Augmentation(intensities=1.0)), BLOB)
    assert not corrupted[1].any()
    assert severity[1] == 0


def test_blobs_have_the_radius_that_was_asked_for():
    batch, centres = torch.zeros(40, 1, 64, 64), torch.full((40, 2), 32.0)
    shape = blobs(batch, centres, Corruption(radius=(8, 8), soft=0.0))
    radii = (shape.sum(dim=(1, 2, 3)) / torch.pi).sqrt()
    assert 7 < radii.median() < 10
    assert shape[:, 0, 32, 32].all()
    assert set(shape.unique().tolist()) == {0.0, 1.0}


def test_each_slice_is_blurred_by_its_own_sigma():
    batch = torch.zeros(2, 1, 21, 21)
    batch[:, 0, 10, 10] = 1
    still, soft = blurred(batch, torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(still, batch[0])
    assert soft.sum() == pytest.approx(1, abs=0.01)
    assert soft[0, 10, 12] / soft[0, 10, 10] == pytest.approx(np.exp(-0.5), rel=1e-4)


def test_a_light_corruption_is_a_late_step():
    signal = shares_of_signal(Severity())
    network = method().network
    assert signal[0] > 0.99
    assert signal[-1] < 0.02
    assert (signal.diff() < 0).all()
    assert network.step_of(torch.tensor([1.0, float(signal[49]), 0.0])).tolist() == [0, 49, 99]


def test_the_target_is_the_healthy_slice():
    made = method()
    objective = RestorationObjective(made.network, BLOB, Augmentation(), Train(steps=1))
    made.network.unet.forward = lambda batch, steps: torch.zeros_like(batch)
    made.network.eval()
    batch = slices(4, 16)
    assert objective.terms(batch)["loss"].item() == pytest.approx((2 * batch - 1).square().mean().item(), rel=1e-5)


def test_a_validation_draws_the_same_corruptions_and_leaves_the_random_numbers_alone():
    made = method()
    objective = RestorationObjective(made.network.eval(), BLOB, Augmentation(), Train(steps=1))
    batch, state = slices(4, 16), torch.get_rng_state()
    first = objective.validation_step(batch)["loss"]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(objective.validation_step(batch)["loss"], first)


def test_measures_are_means_over_the_steps():
    made = method(severity={"asked": [20, 60]})
    made.network.forward = lambda batch, steps: batch + torch.where(steps == 20, 0.3, -0.1)[:, None, None, None]
    batch = slices(2, 16)
    found = made.measure(batch)
    share = (batch > 0).float().mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(found.signed, torch.full_like(batch, -0.1))
    torch.testing.assert_close(found.absolute, torch.full_like(batch, 0.2) * share)
    torch.testing.assert_close(found.reconstruction, batch + 0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network": TINY | {"groups": 3}}, "multiples of groups"),
        ({"network": TINY | {"res_blocks": [1, 1, 1]}}, "res_blocks"),
        ({"network": TINY | {"fold": 16}}, "folded"),
        ({"severity": {"asked": [100]}}, "from 0 to 99"),
        ({"map": {"residual_at": "scan"}}, "residual_at"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        method(**settings)


def test_the_methods_section_tells_every_setting():
    told = " ".join([*method().settings.describe(), *method().settings.map.describe("both")])
    assert "Further settings" not in told
    assert "99, 74, 49 and 24" in told
