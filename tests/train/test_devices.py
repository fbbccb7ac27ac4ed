"""One training on two processes: what two GPUs of a node do, with gloo instead of NCCL."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from training import COMPUTE, LENGTH, NETWORK, curves, judged, scans, staged, weights

from brainuad.cluster.stop import Stopped, Watch
from brainuad.config.model import Autoencoder
from brainuad.methods.autoencoder import AutoencoderMethod
from brainuad.methods.neural import NeuralMethod
from brainuad.train.fit import CHECKPOINT, Fitted, fit_network


class StopAfter(Watch):
    """Wants to stop after a step; each process counts for itself."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def step(self, place: int, seconds: float) -> None:
        super().step(place, seconds)
        self.left -= 1
        if self.left == 0:
            self._note(signal.SIGTERM, None)


def plain() -> AutoencoderMethod:
    """Neither noise, which is each process's own, nor batch normalisation, whose statistics are."""
    network = NETWORK | {"norm": "layer"}
    return AutoencoderMethod(Autoencoder(family="autoencoder", network=network, train=LENGTH))


def fit(made: NeuralMethod, devices: int, folder: Path, watch: Watch | None = None) -> Fitted:
    compute = COMPUTE.model_copy(update={"devices": devices})
    return fit_network(made, scans(4, 0), scans(2, 1), 0, compute, folder, "k", watch=watch)


def test_two_processes_share_each_batch_and_learn_what_one_does(tmp_path):
    one, two = plain(), plain()
    alone, together = fit(one, 1, tmp_path / "one"), fit(two, 2, tmp_path / "two")
    assert [row[:2] for row in curves(alone)] == [row[:2] for row in curves(together)]
    np.testing.assert_allclose([row[2] for row in curves(together)], [row[2] for row in curves(alone)], rtol=1e-6)
    np.testing.assert_allclose(weights(two), weights(one), atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [CHECKPOINT]


@pytest.mark.parametrize("make", [staged, judged, lambda: judged("wasserstein", 2)], ids=["staged", "duel", "w-gan"])
def test_every_kind_of_training_can_be_shared_and_stopped(make, tmp_path):
    whole, again = make(), make()
    expected = fit(whole, 2, tmp_path / "whole")
    with pytest.raises(Stopped, match=r"stopped at step 7 because of SIGTERM"):
        fit(make(), 2, tmp_path / "broken", StopAfter(7))
    found = fit(again, 2, tmp_path / "broken")
    assert found.facts["resumed_at_step"] == 7
    np.testing.assert_array_equal(weights(again), weights(whole))
    for (step, name, value), (*place, reference) in zip(curves(found), curves(expected), strict=True):
        assert [step, name] == place
        assert value == pytest.approx(reference, rel=1e-9)
