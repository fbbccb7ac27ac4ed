from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from training import KillAt, KilledError, weights

from brainuad.config.study import Compute
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.healthy_atlas import HealthyAtlas, as_input
from brainuad.methods.synseg import Inputs, Settings
from brainuad.methods.synseg.inputs import INPUTS, Features, box_around, inputs_of
from brainuad.methods.synseg.method import SynSeg
from brainuad.methods.synseg.objective import SegmentationObjective
from brainuad.train.data import ExampleBatches
from brainuad.train.fit import TrainingRun, fit_network

SHAPE, SPACING = (19, 24, 14), (2.0, 2.0, 2.0)
SMALL = {
    "family": "synseg",
    "network": {"channels": [2, 4], "patch": 2, "groups": 2},
    "inputs": {"smooth_mm": 2, "coarse_mm": 4},
    "lesions": {"radius_mm": [4, 8]},
    "slices": 2,
    "shown": 1,
    "mix": 4,
    "train": {"steps": 4, "validate_every": 2, "batch_size": 2, "lr": 0.01, "keep": "last"},
}


def scans(count: int, seed: int) -> TrainingScans:
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    images, brains = [], []
    for number in range(count):
        brain = x**2 + y**2 + 0.3 * z**2 < 0.75 + 0.05 * (number % 2)
        noise = 0.02 * rng.normal(size=SHAPE)
        images.append(((0.5 + 0.2 * np.cos(5 * x + 0.1 * rng.normal()) + noise) * brain).astype(np.float32))
        brains.append(brain)
    return TrainingScans(images, brains, SPACING)


def made(**more: object) -> SynSeg:
    method = registry.build(registry.validate(SMALL | more))
    assert isinstance(method, SynSeg)
    return method


def samples(method: SynSeg, healthy: TrainingScans, seed: int = 0):
    method.initialise(seed)
    method.observe(healthy)
    return method.examples(healthy)


def test_inputs_of_slices_are_those_of_the_whole_scan():
    healthy, settings = scans(4, 0), Inputs(smooth_mm=2, coarse_mm=4, neighbours_mm=4)
    features = Features.of(settings)
    atlas = HealthyAtlas(features.all)
    atlas.fit(healthy)
    image, brain = healthy.images[0], healthy.brains[0]
    box, levels = box_around(np.any(healthy.brains, axis=0)), [3, 5, 13]
    references = {each: atlas.reference(each, SPACING).part((*box[:2], levels)) for each in features.all}
    found = inputs_of(image[box], brain[box], levels, references, settings, SPACING)
    assert found.shape == (3, INPUTS, box[0].stop - box[0].start, box[1].stop - box[1].start)

    def at(volume: np.ndarray) -> np.ndarray:
        return np.moveaxis(volume[box][:, :, levels], 2, 0)

    z = {name: as_input(atlas.z(image, brain, SPACING, getattr(features, name))) for name in vars(features)}
    mean = atlas.reference(features.own, SPACING).mean
    beyond = np.pad(image, ((0, 0), (0, 0), (2, 2)))
    expected = [image, beyond[:, :, 4:], beyond[:, :, :-4], z["own"], z["smooth"], z["smooth"][::-1], mean]
    expected += [image[::-1], z["coarse"], z["across"]]
    for number, volume in enumerate(expected):
        np.testing.assert_allclose(found[:, number], at(volume), atol=2e-4, err_msg=f"input {number}")


def test_the_box_is_symmetric_and_holds_the_brain():
    brain = np.zeros(SHAPE, bool)
    brain[4:9, 6:20, 2:4] = True
    x, y, z = box_around(brain)
    assert (x.start, x.stop) == (4, SHAPE[0] - 4)
    assert (y, z) == (slice(6, 20), slice(0, SHAPE[2]))
    assert box_around(np.zeros(SHAPE, bool))[1] == slice(0, SHAPE[1])


def test_a_sample_depends_on_its_number_and_the_seed_alone():
    healthy = scans(3, 0)
    one, again, other = (samples(made(), healthy, seed) for seed in (0, 0, 1))
    numbers = [4, 5, 30]
    drawn = one.fetch(numbers)
    assert drawn.shape == (3, INPUTS + 3, 20, 20)
    torch.testing.assert_close(
        drawn, torch.cat([again.fetch([each]) for each in reversed(numbers)]).flip(0), rtol=0, atol=0
    )
    assert not torch.equal(drawn, other.fetch(numbers))
    assert not torch.equal(drawn[0], drawn[1])


def test_slices_of_samples_are_mixed_and_each_is_shown_as_often():
    examples = samples(made(slices=3, shown=2, mix=4), scans(3, 0))
    places = [examples.place(number) for number in range(48)]
    for block in (places[:24], places[24:]):
        assert set(Counter(block).values()) == {2}
        assert len({sample for sample, _ in block}) == 4
        assert sum(one[0] != other[0] for one, other in pairwise(block)) > 12
    assert not {sample for sample, _ in places[:24]} & {sample for sample, _ in places[24:]}


def test_labels_lie_in_the_brain_and_on_changed_slices():
    healthy = scans(3, 0)
    examples = samples(made(lesions={"radius_mm": [4, 8], "healthy": 0.3}, mirror=0.0), healthy)
    labelled = 0
    for number in range(24):
        place, row = examples.place(number)
        batch = examples.fetch([number]).numpy()
        dark, bright, brain = batch[:, INPUTS], batch[:, INPUTS + 1], batch[:, INPUTS + 2]
        assert set(np.unique(batch[:, INPUTS:])) <= {0.0, 1.0}
        assert not ((dark + bright) * (1 - brain)).any()
        assert not (np.abs(batch[:, 0]) * (1 - brain)).any()
        slab, sample = examples.sample(place)
        assert dark.sum() == sample.dark[:, :, slab.rows[row]].sum()
        labelled += bool((dark + bright).any())
        assert bool(sample.lesions) or not (dark + bright).any()
    assert 4 < labelled < 24


@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_a_training_scan_is_compared_with_the_others(in_memory, monkeypatch):
    monkeypatch.setattr("brainuad.methods.shared.room.IN_MEMORY", in_memory)
    healthy = scans(3, 0)
    healthy.images[1][:] += np.float32(0.3) * healthy.brains[1]
    calm = {"gamma": 0, "gain": 0, "blur": 0, "noisy": 0}
    method = made(lesions={"healthy": 1.0}, scanner=calm, mirror=0.0)
    left_out = samples(method, healthy)
    every = method.examples(scans(3, 0))
    numbers = [number for number in range(20) if left_out.sample(left_out.place(number)[0])[0].scan == 1]
    z = left_out.fetch(numbers)[:, 3]
    assert z.mean() > 2 * abs(every.fetch(numbers)[:, 3].mean())


def loaded(workers: int, epoch: int) -> list[torch.Tensor]:
    examples = samples(made(), scans(3, 0))
    data = ExampleBatches(examples, None, made().train, 0, (epoch, 0), workers)

    class Trained:
        current_epoch, global_rank, world_size = 0, 0, 1

        class strategy:  # noqa: N801 - Lightning's name
            root_device = torch.device("cpu")

    data.trainer = Trained()
    return list(data.train_dataloader())


def test_workers_draw_what_the_training_itself_would_and_epochs_differ():
    first, ahead, second = loaded(0, 0), loaded(1, 0), loaded(0, 1)
    assert len(first) == len(ahead) == 2
    for one, other in zip(first, ahead, strict=True):
        assert torch.equal(one, other)
    assert not any(torch.equal(one, other) for one in first for other in second)


def fit(method: SynSeg, folder, workers: int = 0, validation: TrainingScans | None = None, **options) -> SynSeg:
    compute = Compute(threads=1, accelerator="cpu", workers=workers)
    fit_network(method, scans(3, 0), validation, TrainingRun(0, compute, folder, "k"), **options)
    return method


def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one_whatever_the_workers(tmp_path):
    whole = fit(made(), tmp_path / "whole", workers=1, validation=scans(2, 1))
    with pytest.raises(KilledError):
        fit(made(), tmp_path / "broken", callbacks=[KillAt(3)])
    np.testing.assert_array_equal(weights(fit(made(), tmp_path / "broken")), weights(whole))


def test_a_brain_beyond_the_training_box_is_mapped_and_a_bundle_brings_the_method_back():
    method, healthy = made(), scans(3, 0)
    method.observe(healthy)
    method.fit(healthy)
    wide = np.ones(SHAPE, bool)
    image = np.full(SHAPE, 0.5, np.float32)
    again = made()
    again.load(method.state())
    for brain in (wide, healthy.brains[0], np.zeros(SHAPE, bool)):
        found = method.anomaly_map(image * brain, brain, SPACING, "dark")
        assert found.shape == SHAPE
        assert not found[~brain].any()
        np.testing.assert_array_equal(found, again.anomaly_map(image * brain, brain, SPACING, "dark"))


def test_the_loss_is_that_of_brain_voxels_and_least_for_the_right_answer():
    class Answer(torch.nn.Module):
        def __init__(self, scale: float):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(scale))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.scale * (2 * inputs[:, :2] - 1)

    batch = torch.zeros(2, INPUTS + 3, 8, 8)
    batch[:, -1, :6] = 1
    batch[:, 0, 2:4, 2:4] = batch[:, INPUTS, 2:4, 2:4] = 1
    settings = Settings(family="synseg")
    right, wrong = (
        SegmentationObjective(Answer(scale), settings.loss, settings.train).terms(batch) for scale in (20.0, -20.0)
    )
    assert right["loss"] < 0.01
    assert wrong["cross_entropy"] == pytest.approx(20, rel=0.01)
    outside = batch.clone()
    outside[:, :, 6:] = 0.3 * (batch[:, -1:, 6:] == 0)
    outside[:, -1, 6:] = 0
    assert SegmentationObjective(Answer(20.0), settings.loss, settings.train).terms(outside)["cross_entropy"] < 0.01


def test_settings_are_told_and_folds_refused():
    told = " ".join(Settings(family="synseg", lesions={"radius_power": 2}).describe())
    for words in ("synthetic lesions", "power of 2", "cross entropy"):
        assert words in told
    assert "bright" in " ".join(Settings(family="synseg").map.describe("bright"))
    with pytest.raises(ValidationError, match="crossfit"):
        Settings(family="synseg", train={"steps": 1, "crossfit": 3})
