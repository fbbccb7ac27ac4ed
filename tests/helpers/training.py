"""What tests of trainings share: small scans, and a callback that kills."""

from __future__ import annotations

import numpy as np
from lightning import Callback

from brainuad.config.study import Compute
from brainuad.methods.base import Healthy

SPACING = (2.0, 2.0, 2.0)
COMPUTE = Compute(threads=1, accelerator="cpu")


class KilledError(Exception):
    pass


class KillAt(Callback):
    """Kills after a number of batches, counted over all stages."""

    def __init__(self, batch: int):
        self.left = batch

    def on_train_batch_end(self, *args):
        self.left -= 1
        if self.left == 0:
            raise KilledError


def scans(count: int, seed: int) -> Healthy:
    rng = np.random.default_rng(seed)
    brain = np.ones((12, 16, 5), bool)
    return Healthy([rng.random((12, 16, 5), dtype=np.float32) for _ in range(count)], [brain] * count, SPACING)
