from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.schedulers.ddpm import DDPMScheduler
from pydantic import ValidationError

from brainuad.config.diffusion import AddedNoise, DenoisingUNet, Diffusion, Scaled
from brainuad.errors import InputError
from brainuad.methods import registry
from brainuad.methods.andi.method import ShiftedCosine
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.diffusion import Chain, Denoiser, from_unit, spread, to_unit
from brainuad.methods.shared.noise import Draws, draw_noise

CPU = torch.device("cpu")
TINY = {"size": 16, "channels": [4, 8], "groups": 4, "head_channels": 8, "res_blocks": 1}
SPACING = (2.0, 2.0, 2.0)
FAMILIES = {
    "anoddpm": {"partial": {"start": 20, "passes": 2, "repeats": 2}},
    "andi": {"aggregation": {"passes": 2}},
    "pddpm": {"patches": {"side": 8}},
    "cddpm": {
        "network": TINY | {"size": 64},
        "encoder": {"blocks": "basic", "layers": [1, 1, 1, 1], "width": 2, "features": 4},
    },
}
"""Two passes of a tiny network each."""


def tiny(family: str, **more):
    return registry.validate({"family": family, "network": TINY} | FAMILIES[family] | more)


def random_scan(seed: int, levels: int = 2):
    image = np.random.default_rng(seed).random((12, 14, levels), dtype=np.float32)
    return image, np.ones(image.shape, bool)


def randomised(method):
    """MONAI's last layers start at zero: give every weight a value, so that the output depends on the input."""
    torch.manual_seed(1)
    for parameter in method.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return method


@pytest.mark.parametrize("kind", ["gaussian", "simplex", "pyramid"])
def test_noise_has_unit_variance_and_follows_its_seed(kind):
    noise = AddedNoise(kind=kind)
    drawn = draw_noise(noise, Draws(CPU, 3), 30, 64)
    assert drawn.shape == (30, 1, 64, 64)
    assert drawn.std().item() == pytest.approx(1, abs=0.1)
    assert drawn.mean().item() == pytest.approx(0, abs=0.25)
    assert torch.equal(drawn, draw_noise(noise, Draws(CPU, 3), 30, 64))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn, draw_noise(noise, Draws(CPU, 4), 30, 64))
    neighbours = (drawn[..., 1:] * drawn[..., :-1]).mean().item()
    assert abs(neighbours) < 0.05 if kind == "gaussian" else neighbours > 0.3


def test_simplex_noise_is_smooth_and_as_coarse_as_asked():
    fine, coarse = (
        draw_noise(AddedNoise(kind="simplex", octaves=1, coarsest=length), Draws(CPU, 0), 20, 64) for length in (8, 32)
    )
    steps = [each.diff(dim=-1).square().mean().item() for each in (fine, coarse)]
    assert steps[0] == pytest.approx(16 * steps[1], rel=0.2)  # a slope is four times as steep
    assert steps[1] < 0.02


def test_a_seed_gives_the_same_noise_as_torch_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    draw_noise(AddedNoise(kind="pyramid"), Draws(CPU, 1), 1, 16)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_step_back_is_that_of_monai(schedule):
    chain = Chain(Diffusion(steps=50, schedule=schedule))
    names = {"linear": "linear_beta", "cosine": "cosine"}
    theirs = DDPMScheduler(50, schedule=names[schedule], variance_type="fixed_large", clip_sample=True)
    start, predicted = torch.rand(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    noisy = chain.noisy(start, torch.randn_like(start), torch.tensor([20, 20]))
    estimate = chain.start_from_noise(noisy, predicted, 20).clamp(-1, 1)
    noise = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(2))
    found = chain.back(noisy, estimate, 20, 19, noise)
    expected, _ = theirs.step(predicted, 20, noisy, torch.Generator().manual_seed(2))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(chain.back(noisy, estimate, 20, -1, noise), estimate)


def test_the_shifted_cosine_goes_from_scan_to_noise_and_has_more_noise_in_larger_slices():
    settings = tiny("andi").diffusion
    plain, large = ShiftedCosine(settings, 56), ShiftedCosine(settings, 112)
    signal, sigma = plain.amplitudes(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(signal**2 + sigma**2, torch.ones(3))
    torch.testing.assert_close(signal[[0, 2]], torch.tensor([1.0, 0.0]), atol=1e-3, rtol=0)
    assert signal[1].item() == pytest.approx(0.5**0.5)
    shifted, noise = large.amplitudes(torch.tensor(0.5))
    assert (shifted / noise).item() == pytest.approx(0.5)


def test_intensities_go_there_and_back():
    batch, scale = torch.tensor([0.0, 0.75, 1.5]), Scaled(brightest=1.5)
    assert to_unit(batch, scale).tolist() == [-1, 0, 1]
    torch.testing.assert_close(from_unit(to_unit(batch, scale), scale), batch)


def test_statistics_scans_are_spread():
    assert spread(10, 3) == [0, 4, 9]
    assert spread(3, None) == spread(3, 7) == [0, 1, 2]


def test_the_network_folds_knows_the_time_and_its_guide():
    torch.manual_seed(0)
    network = Denoiser(DenoisingUNet(**TINY, fold=2), features=3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    batch, guide, late = torch.rand(2, 1, 16, 16), torch.rand(2, 3), torch.tensor([9.0, 9.0])
    found = network(batch, late, guide)
    assert found.shape == batch.shape
    assert not torch.equal(found, network(batch, late - 9, guide))
    assert not torch.equal(found, network(batch, late, guide + 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_depends_on_bundle_and_scan_alone(family):
    method = randomised(registry.build(tiny(family)))
    method.initialise(5)
    randomised(method)
    (first, brain), (second, _) = random_scan(0), random_scan(1)
    before = method.predict(first, brain, SPACING, "both")
    method.predict(second, brain, SPACING, "both")
    torch.manual_seed(9)
    for found, expected in zip(method.predict(first, brain, SPACING, "both"), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(before[1], method.predict(second, brain, SPACING, "both")[1])
    state = method.state() | {
        f"residual_training_{of}_{part}": brain.astype(np.float32)
        for of in ("signed", "absolute")
        for part in ("mean", "sd", "coverage")
    }
    again = registry.build(tiny(family))
    again.load(state)
    np.testing.assert_array_equal(again.predict(first, brain, SPACING, "both")[1], before[1])
    again.noise_seed = 6
    assert not np.array_equal(again.predict(first, brain, SPACING, "both")[1], before[1])
    with pytest.raises(InputError, match="noise_seed"):
        again.load({name: array for name, array in state.items() if name != "noise_seed"})


@pytest.mark.parametrize("family", FAMILIES)
def test_training_reaches_every_weight_and_validation_repeats_itself(family):
    method = registry.build(tiny(family))
    batch = torch.rand(4, 1, method.size, method.size)
    for stage in method.stages():
        objective = stage.objective()
        assert torch.equal(objective.validation_step(batch)["loss"], objective.validation_step(batch)["loss"])
        randomised(method)
        objective.training_step(batch)["loss"].backward()
        for part in objective.trained:
            touched = [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
            assert np.mean(touched) > 0.9
        method.network.zero_grad()


def test_a_patch_is_estimated_from_the_rest_alone():
    method = randomised(registry.build(tiny("pddpm")))
    patches = [np.zeros((1, 1, 16, 16), bool) for _ in method.patches()]
    for each, patch in zip(patches, method.patches(), strict=True):
        each[patch] = True
    assert np.array_equal(np.sum(patches, axis=0), np.ones((1, 1, 16, 16)))


def test_andi_aggregates_by_the_geometric_mean(monkeypatch):
    method = registry.build(tiny("andi", diffusion={"brightest": 1.0}))
    batch = torch.full((1, 1, 2, 2), 0.5)  # 0 for the network
    monkeypatch.setattr(method, "estimates", lambda start, draws: iter([start + 0.2, start - 0.8]))
    found = method.measure(batch)
    torch.testing.assert_close(found.absolute, torch.full_like(batch, 0.5 * 0.16**0.5))
    torch.testing.assert_close(found.signed, torch.full_like(batch, 0.15))
    torch.testing.assert_close(found.reconstruction, torch.full_like(batch, 0.35))


def test_residuals_are_counted_of_as_many_scans_as_asked():
    method = registry.build(tiny("pddpm", diffusion={"statistics_scans": 2}))
    scans = [random_scan(seed) for seed in range(4)]
    seen = []
    method.reconstruct = lambda image, brain: seen.append(float(image[0, 0, 0])) or image  # type: ignore[method-assign]
    images, brains = zip(*scans, strict=True)
    method.fit(TrainingScans(list(images), list(brains), SPACING))
    assert seen == [float(images[0][0, 0, 0]), float(images[3][0, 0, 0])]


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("pddpm", {"patches": {"side": 5}}, "multiple of patches.side"),
        ("pddpm", {"patches": {"side": 8, "time": 2000}}, "patches.time"),
        ("cddpm", {"network": TINY}, "multiple of 32"),
        ("cddpm", {"times": [2000]}, "times"),
        ("andi", {"aggregation": {"first": 0.01}}, "aggregation.first"),
        ("andi", {"noise": {"kind": "pyramid", "octaves": 2}}, "no use for octaves"),
        ("anoddpm", {"train_below": 10}, "train_below"),
        ("anoddpm", {"partial": {"start": 5, "passes": 9}}, "partial.passes"),
        ("anoddpm", {"network": TINY | {"size": 15}}, "size 15"),
        ("anoddpm", {"network": TINY | {"groups": 3}}, "groups"),
        ("anoddpm", {"network": TINY | {"attention_sides": [7]}}, "attention at 7"),
        ("anoddpm", {"network": TINY | {"head_channels": 3}}, "head_channels"),
        ("anoddpm", {"network": TINY | {"res_blocks": [1]}}, "res_blocks"),
    ],
)
def test_settings_that_do_not_fit_are_refused(family, settings, words):
    with pytest.raises(ValidationError, match=words):
        tiny(family, **settings)
