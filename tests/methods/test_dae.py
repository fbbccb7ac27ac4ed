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
from brainuad.methods.dae.objective import DenoisingObjective
from brainuad.methods.shared import room
from brainuad.methods.shared.healthy_atlas import AtlasSettings
from brainuad.methods.shared.sequences import one_sequence
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
        torch.cat([(brain > 0.5).float(), scan, mean, 9 * inverse], 1), noise
    )
    noisy = scan + noise
    z = ((noisy - mean) * 9 * inverse * (brain > 0.5)).clamp(-8, 8) / 2
    torch.testing.assert_close(seen, torch.cat([noisy, z, mean, noisy.flip(2)], 1))
    torch.testing.assert_close(Channels([], 1).seen(torch.cat([brain, scan], 1)), scan)


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
        expected = others.example(image, brain, others.references(image, brain, False), levels)
        found = view.examples(training).fetch(
            [i for i, (scan, _) in enumerate(view.examples(training).positions) if scan == number]
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    image, brain = new.images[0], new.brains[0]
    expected = view.example(image, brain, view.references(image, brain, False), levels)
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
    np.testing.assert_allclose(
        method.residuals.statistics["training"]["signed"].mean, np.mean(found, axis=0), atol=1e-6
    )


SEQUENCES = ["T1w", "FLAIR"]


def sessions(count: int, seed: int = 0) -> TrainingScans:
    """T1w and FLAIR of some people."""
    t1w, flair = scans(count, seed), scans(count, seed + 50)
    images = [np.stack(pair, axis=-1) for pair in zip(t1w.images, flair.images, strict=True)]
    return TrainingScans(images, t1w.brains, SPACING)


@pytest.mark.parametrize("in_memory", [inputs.IN_MEMORY, 0])
@pytest.mark.parametrize("extras", [[], ["z", "mean", "mirror"]])
def test_each_of_several_sequences_is_shown_as_it_would_be_alone(extras, in_memory, monkeypatch):
    model, training, new = settings(inputs=extras), sessions(4), sessions(2, 7)
    joint = AtlasView(model, SEQUENCES)
    joint.observe(training)
    monkeypatch.setattr(inputs, "IN_MEMORY", in_memory)
    batch = joint.examples(new).fetch([1, 5])
    noise = torch.rand(2, 2, *batch.shape[-2:])
    seen = joint.channels().seen(batch, noise).chunk(2, dim=1)
    for number in range(2):
        alone = AtlasView(model)
        alone.observe(one_sequence(training, number))
        expected = alone.channels().seen(
            alone.examples(one_sequence(new, number)).fetch([1, 5]), noise[:, number : number + 1]
        )
        torch.testing.assert_close(seen[number], expected)


def test_a_sequence_that_is_missing_is_shown_as_in_training_images_without_it():
    view = AtlasView(settings(inputs=["z", "mean"]), SEQUENCES)
    view.observe(sessions(4))
    image, brain = sessions(1, 7).images[0], np.ones(SHAPE, bool)
    lacking = image * np.array([1, 0], np.float32)
    levels = np.arange(SHAPE[2])
    whole, partial = (
        view.example(each, brain, view.references(each, brain, False), levels) for each in (image, lacking)
    )
    there = torch.tensor([[1.0, 0.0]]).expand(len(levels), 2)
    torch.testing.assert_close(view.channels().without(whole, there), partial)
    assert partial[:, 4:].abs().sum() == 0


@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_training_images_lack_one_sequence_by_chance_and_its_output_does_not_count(drop):
    shown = []

    class Blind(torch.nn.Module):
        """Finds no noise where it is shown some, and a lot where it is shown none."""

        def forward(self, batch):
            shown.append(batch)
            return 100.0 * (batch.abs().amax((2, 3), keepdim=True) == 0).expand(batch.shape)

    model = settings(inputs=[], drop_sequence=drop, noise=[{"sd": 1.0, "cell_mm": 4}])
    objective = DenoisingObjective(Blind(), model, Channels([], 0, 2), (2.0, 2.0))
    losses = [objective.terms(torch.ones(8, 3, 16, 16))["loss"] for _ in range(20)]
    missing = torch.cat(shown).abs().amax((2, 3)) == 0
    assert missing.sum(dim=1).unique().tolist() == [int(drop)]
    assert missing.any(dim=0).all() == bool(drop)
    assert 0.1 < torch.stack(losses).mean() < 3  # the variance of the noise between its corners


def test_the_text_tells_that_sequences_are_channels():
    channels, lacking = settings(drop_sequence=0.125).describe_sequences(SEQUENCES)
    assert "T1w and FLAIR" in channels
    assert "0.125" in channels
    assert "without the same sequence" in lacking
    assert "0.125" not in settings(drop_sequence=0.125).describe_sequences(["T1w"])[0]


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
