"""One training on two processes: what two GPUs of a node do, with gloo instead of NCCL."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import ProcessRaisedException
from training import COMPUTE, LENGTH, NETWORK, adversarial, curves, kept, scans, staged, weights

from brainuad.cluster.stop_monitor import StopMonitor, TrainingStopped
from brainuad.errors import InputError, StorageError
from brainuad.methods.autoencoder import Settings as Autoencoder
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import NeuralMethod
from brainuad.resources.live import CURVES
from brainuad.train.checkpoint import REMEDY
from brainuad.train.data import _Items
from brainuad.train.fit import CHECKPOINT, TrainingResult, TrainingRun, fit_network
from brainuad.train.process_errors import SharedErrors


class StopAfter(StopMonitor):
    """Wants to stop after a step; each process counts for itself."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def record_step(self, step: int, seconds: float) -> None:
        super().record_step(step, seconds)
        self.left -= 1
        if self.left == 0:
            self._handle_signal(signal.SIGTERM, None)


def plain() -> AutoencoderMethod:
    """Neither noise, which is each process's own, nor batch normalisation, whose statistics are."""
    network = NETWORK | {"norm": "layer"}
    return AutoencoderMethod(Autoencoder(family="autoencoder", network=network, train=LENGTH))


def fit(
    made: NeuralMethod,
    devices: int,
    folder: Path,
    monitor: StopMonitor | None = None,
    training: TrainingScans | None = None,
) -> TrainingResult:
    compute = COMPUTE.model_copy(update={"devices": devices})
    return fit_network(
        made,
        training or scans(4, 0),
        scans(2, 1),
        TrainingRun(0, compute, folder, "k", monitor=monitor or StopMonitor()),
    )


def test_two_processes_share_each_batch_and_learn_what_one_does(tmp_path):
    one, two = plain(), plain()
    alone, together = fit(one, 1, tmp_path / "one"), fit(two, 2, tmp_path / "two")
    assert [row[:2] for row in curves(alone)] == [row[:2] for row in curves(together)]
    np.testing.assert_allclose([row[2] for row in curves(together)], [row[2] for row in curves(alone)], rtol=1e-6)
    np.testing.assert_allclose(weights(two), weights(one), atol=1e-4)
    assert kept(tmp_path / "two") == [CURVES, CHECKPOINT]


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("devices", [1, 2])
def test_a_full_disk_is_reported(devices, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        fit(plain(), devices, tmp_path)
    assert caught.value.what == f"cannot write {CHECKPOINT}"
    assert caught.value.file == tmp_path / CHECKPOINT
    assert caught.value.why == "No space left on device"
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize("devices", [1, 2])
def test_a_nan_loss_is_reported_in_a_sentence(devices, tmp_path):
    training = scans(4, 0)
    for image in training.images:
        image[3, 3, 2] = np.nan
    with pytest.raises(
        InputError, match=r"the training loss is (nan|not finite on another device) at step [1-4]"
    ) as caught:
        fit(plain(), devices, tmp_path, training=training)
    assert (caught.value.why, caught.value.do) == ("no epoch was complete before", REMEDY)


@pytest.mark.parametrize("devices", [1, 2])
def test_data_that_cannot_be_read_are_no_full_disk(devices, tmp_path, monkeypatch):
    def vanished(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "scratch/store")

    monkeypatch.setattr(_Items, "__getitems__", vanished)
    with pytest.raises((FileNotFoundError, ProcessRaisedException), match="scratch/store"):
        fit(plain(), devices, tmp_path)


def test_an_error_keeps_its_class_and_is_shortened_to_fit():
    errors = SharedErrors(2)
    assert errors.first() is None
    errors.report(1, StorageError("cannot write é", file=Path("a/b"), why="\U0001f4be" * 9_000))
    found = errors.first()
    assert isinstance(found, StorageError)
    assert (found.what, found.file, found.do) == ("cannot write é", Path("a/b"), None)
    assert found.why == "\U0001f4be" * 1_000


DUEL = lambda: adversarial("wasserstein", 2)  # noqa: E731


@pytest.mark.parametrize("make", [staged, adversarial, DUEL], ids=["staged", "adversarial", "wasserstein"])
def test_every_objective_can_run_on_two_devices_and_be_stopped(make, tmp_path):
    whole, again = make(), make()
    expected = fit(whole, 2, tmp_path / "whole")
    with pytest.raises(TrainingStopped, match=r"stopped at step 7 because of SIGTERM"):
        fit(make(), 2, tmp_path / "broken", StopAfter(7))
    (checkpoint,) = (tmp_path / "broken").glob("*.ckpt*")
    assert torch.load(checkpoint, weights_only=True)["callbacks"]["training"]["used"]["cpu_seconds"] > 0
    found = fit(again, 2, tmp_path / "broken")
    assert found.facts["resumed_at_step"] == 7
    np.testing.assert_array_equal(weights(again), weights(whole))
    for (step, name, value), (*position, reference) in zip(curves(found), curves(expected), strict=True):
        assert [step, name] == position
        assert value == pytest.approx(reference, rel=1e-9)
