from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from training import KillAt, KilledError

from brainuad.config.study import Compute
from brainuad.methods.base import TrainingScans
from brainuad.methods.dae import Noise, Settings, inputs
from brainuad.methods.dae.inputs import AtlasView, Channels
from brainuad.methods.dae.method import DenoisingMethod
from brainuad.methods.dae.noise import coarse_noise
from brainuad.methods.shared import room
from brainuad.methods.shared.healthy_atlas import AtlasSettings
from brainuad.train.fit import TrainingRun, fit_network

SHAPE, SPACING = (19, 24, 4), (2.0, 2.0, 3.0)


def scans(count: int, seed: int = 0) -> TrainingScans:
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    brain = x**2 + y**2 < 0.7
    images = [
        (brain * (0.5 + 0.2 * np.cos(3 * x) + 0.05 * rng.normal(size=SHAPE))).astype(np.float32) for _ in range(count)
    ]
    return TrainingScans(images, [brain] * count, SPACING)


def settings(**more: object) -> Settings:
    train = {"steps": 9, "batch_size": 4, "validate_every": 4, "lr": 0.01, "ema": 0.9, "keep": "last"}
    return Settings(**{"family": "dae", "network": {"channels": [4, 8]}, "train": train} | more)


def trained(model: Settings, folder, callbacks=()) -> DenoisingMethod:
    method, training = DenoisingMethod(model), scans(4)
    run = TrainingRun(0, Compute(threads=1, accelerator="cpu"), folder, "k")
    fit_network(method, training, scans(2, 1), run, callbacks)
    method.fit(training)
    return method


def test_noise_has_its_sd_and_straight_lines_between_cells():
    torch.manual_seed(0)
    like = torch.zeros(400, 1, 16, 24)
    noise = coarse_noise(like, [Noise(sd=0.5, cell_mm=16)], (2.0, 4.0))
    assert noise.shape == like.shape
    assert noise.mean().abs() < 0.02
    assert noise.square().mean().sqrt() == pytest.approx(0.5 * 2 / 3, rel=0.05)  # lines pass between the corners
    along_x, along_y = (noise.diff(n=2, dim=axis).abs() > 1e-4 for axis in (2, 3))
    assert along_x.float().mean() < 2.1 / 8  # a bend between two pixels is in two differences
    assert along_y.float().mean() < 2.1 / 4


def test_each_image_gets_one_kind_of_noise_by_its_weight():
    torch.manual_seed(0)
    kinds = [Noise(sd=1, cell_mm=8, weight=3), Noise(sd=100, cell_mm=30, weight=1)]
    sizes = coarse_noise(torch.zeros(400, 1, 16, 16), kinds, (2.0, 2.0)).flatten(1).std(dim=1)
    assert (sizes > 5).float().mean() == pytest.approx(0.25, abs=0.06)


def test_the_noise_is_in_the_z_score_and_the_mirror_image_and_not_in_the_mean():
    scan, brain, mean, inverse = (torch.rand(2, 1, 6, 4) for _ in range(4))
    noise = torch.rand(2, 1, 6, 4)
    seen = Channels(["z", "mean", "mirror"], 0).seen(
        torch.cat([scan, (brain > 0.5).float(), mean, 9 * inverse], 1), noise
    )
    noisy = scan + noise
    z = ((noisy - mean) * 9 * inverse * (brain > 0.5)).clamp(-8, 8) / 2
    torch.testing.assert_close(seen, torch.cat([noisy, z, mean, noisy.flip(2)], 1))
    torch.testing.assert_close(Channels([], 1).seen(torch.cat([scan, brain], 1)), scan)


def test_training_scans_are_compared_with_the_others_and_new_ones_with_all():
    model, training, new = settings(), scans(5), scans(2, 3)
    view = AtlasView(model)
    view.observe(training)
    levels = np.arange(SHAPE[2])
    for number in range(5):
        others = AtlasView(model)
        rest = [i for i in range(5) if i != number]
        others.observe(TrainingScans([training.images[i] for i in rest], [training.brains[i] for i in rest], SPACING))
        image, brain = training.images[number], training.brains[number]
        expected = others.example(image, brain, others.reference(image, brain, False), levels)
        found = view.examples(training).fetch(
            [i for i, (scan, _) in enumerate(view.examples(training).positions) if scan == number]
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    image, brain = new.images[0], new.brains[0]
    expected = view.example(image, brain, view.reference(image, brain, False), levels)
    torch.testing.assert_close(view.examples(new).fetch([0, 1, 2, 3]), expected)


def test_scans_of_a_large_set_are_left_out_of_their_atlas_too(monkeypatch):
    view, training = AtlasView(settings(inputs=["z", "mean"])), scans(4)
    view.observe(training)
    kept = view.examples(training).fetch([3, 0, 6])
    for module in (inputs, room):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    torch.testing.assert_close(view.examples(training).fetch([3, 0, 6]), kept)


@pytest.mark.parametrize("extras", [[], ["z", "mean"]])
def test_a_set_that_is_not_kept_in_memory_gives_the_same_examples(extras, monkeypatch):
    view, new = AtlasView(settings(inputs=extras)), scans(2, 3)
    view.observe(scans(4))
    kept = view.examples(new).fetch([3, 0, 6])
    monkeypatch.setattr(inputs, "IN_MEMORY", 0)
    read = view.examples(new)
    assert read.kept is None
    torch.testing.assert_close(read.fetch([3, 0, 6]), kept)


@pytest.mark.parametrize("kill", [3, 6, 9])
def test_reruns_and_resumed_trainings_are_equal_bit_by_bit(kill, tmp_path):
    model = settings(noise=[{"cell_mm": 8}, {"cell_mm": 16, "weight": 2}])
    whole = trained(model, tmp_path / "whole").state()
    with pytest.raises(KilledError):
        trained(model, tmp_path / "broken", [KillAt(kill)])
    again = trained(model, tmp_path / "broken").state()
    assert whole.keys() == again.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, again[name])


def test_a_scan_with_a_larger_brain_than_all_before_is_mapped_whole(tmp_path):
    method = trained(settings(), tmp_path)
    image = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    noise = method.found_noise(image, np.ones(SHAPE, bool))
    assert (noise != 0).mean() > 0.99


def test_maps_of_training_scans_rest_on_the_other_scans(tmp_path):
    method, training = trained(settings(), tmp_path), scans(4)
    found = [method.found_noise(i, b, left_out=True) for i, b in zip(training.images, training.brains, strict=True)]
    np.testing.assert_allclose(method.residual_statistics["training"]["signed"].mean, np.mean(found, axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"inputs": ["z", "z"]}, "twice"),
        ({"map": {"residual_at": "network"}}, "another resolution"),
        ({"noise": []}, "at least 1"),
        ({"map": {"standardise": "crossfit"}}, "crossfit"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        settings(**wrong)


def test_the_text_tells_noise_inputs_and_atlas():
    both = settings(noise=[{"cell_mm": 8}, {"weight": 2}], atlas=AtlasSettings(sd_added=0.4))
    text = " ".join(both.describe())
    for part in ("its mirror image", "8 mm (weight 1)", "16 mm (weight 2)", "0.4 of the median sd", "other ones"):
        assert part in text
    assert "train.lr" not in text
    alone = " ".join(settings(inputs=[]).describe())
    assert "mirror image" not in alone
    assert "z-score" not in alone
