"""A training that is stopped within an epoch."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from training import COMPUTE, KillAt, KilledError, adversarial, curves, method, scans, staged, weights

from brainuad.cluster.stop_monitor import StopMonitor, TrainingStopped
from brainuad.errors import InputError
from brainuad.methods.shared.neural import NeuralMethod
from brainuad.train import checkpoint
from brainuad.train.fit import CHECKPOINT, TrainingResult, TrainingRun, fit_network


class StopAt(StopMonitor):
    """Wants to stop after a number of batches, those of validation counted too."""

    def __init__(self, batch: int, number: int = signal.SIGTERM):
        super().__init__()
        self.left, self.number = batch, number

    def should_stop(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self._handle_signal(self.number, None)
        return super().should_stop()


def fit(made: NeuralMethod, folder: Path, monitor: StopMonitor | None = None, *callbacks: Callback) -> TrainingResult:
    run = TrainingRun(0, COMPUTE, folder, "k", monitor=monitor or StopMonitor())
    return fit_network(made, scans(4, 0), scans(2, 1), run, callbacks)


LENGTHS = {
    "steps, best": method,
    "epochs, last": lambda: method(epochs=3, keep="last"),
    "against a critic": lambda: adversarial("wasserstein", 2),
    "in stages": staged,
}


@pytest.fixture(scope="module", params=LENGTHS)
def case(request, tmp_path_factory):
    make = LENGTHS[request.param]
    whole = make()
    return make, whole, fit(whole, tmp_path_factory.mktemp("whole"))


# Epochs have four or five steps, then two or three batches of validation: all places of an epoch are among these.
@pytest.mark.parametrize("stop", [1, 3, 4, 5, 6, 7, 8, 12, 20])
def test_a_training_stopped_anywhere_ends_like_an_unbroken_one(case, stop, tmp_path):
    make, whole, expected = case
    with pytest.raises(TrainingStopped, match=r"stopped at step .* because of SIGTERM"):
        fit(make(), tmp_path, StopAt(stop))
    again = make()
    found = fit(again, tmp_path)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert curves(found) == curves(expected)


def test_a_training_may_be_stopped_again_and_again(case, tmp_path):
    make, whole, expected = case
    for _ in range(60):
        try:
            again = make()
            found = fit(again, tmp_path, StopAt(4))  # the three batches of a validation and one more
            break
        except TrainingStopped:
            continue
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert curves(found) == curves(expected)


def test_no_step_is_made_twice(tmp_path):
    with pytest.raises(TrainingStopped, match="stopped at step 6 because"):
        fit(method(), tmp_path, StopAt(6 + 3))  # three batches of validation after the fourth step
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]["training"]
    assert (saved["epoch"], saved["batches_done"], saved["step"]) == (1, 2, 6)
    found = fit(method(), tmp_path)
    assert (found.facts["resumed_at_epoch"], found.facts["resumed_at_step"]) == (1, 6)


def test_a_long_epoch_leaves_checkpoints_on_its_way(tmp_path, monkeypatch):
    whole, again = method(), method()
    expected = fit(whole, tmp_path / "whole")
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    with pytest.raises(KilledError):
        fit(method(), tmp_path / "broken", None, KillAt(7))
    found = fit(again, tmp_path / "broken")
    assert found.facts["resumed_at_step"] == 7
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert curves(found) == curves(expected)


def test_no_checkpoint_is_written_after_a_nan_loss(tmp_path):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.global_step == 5:
                batch[:] = torch.inf

    with pytest.raises(InputError, match=r"at step 6 \(batch 2 of epoch 2\)"):
        fit(method(), tmp_path, StopAt(6 + 3), Poison())
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]["training"]["step"] == 4
