"""Batches of examples: a function of seed and epoch alone, so that a resumed training needs no state for them."""

from __future__ import annotations

import math

import numpy as np

from brainuad.config.network import Optimisation


def epochs(train: Optimisation) -> int:
    """Number of epochs; where `steps` is given, one lasts `validate_every` steps."""
    return train.epochs if train.epochs is not None else math.ceil((train.steps or 0) / train.validate_every)


def batches(count: int, train: Optimisation, seed: int, epoch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Indices below `count`, batch by batch, for device `rank` of `world`; the devices share each batch.

    Examples come in shuffled passes over all of them. With `epochs` an epoch is one pass and its last batch may be
    short; with `steps` every batch is full, and the last epoch ends at that step.
    """
    if train.epochs is not None:
        chosen = _order(count, seed, epoch)
    else:
        last = min((epoch + 1) * train.validate_every, train.steps or 0)
        start, stop = epoch * train.validate_every * train.batch_size, last * train.batch_size
        passes = range(start // count, (stop - 1) // count + 1)
        chosen = np.concatenate([_order(count, seed, number) for number in passes])[start % count :][: stop - start]
    whole = [chosen[i : i + train.batch_size] for i in range(0, len(chosen), train.batch_size)]
    return [batch[rank::world].tolist() for batch in whole if len(batch) >= world]


def numbers(count: int, train: Optimisation, epoch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Numbers of examples that are drawn, batch by batch as `batches` gives them; each is used once in a training."""
    if train.epochs is not None:
        chosen = range(epoch * count, (epoch + 1) * count)
    else:
        last = min((epoch + 1) * train.validate_every, train.steps or 0)
        chosen = range(epoch * train.validate_every * train.batch_size, last * train.batch_size)
    whole = [chosen[i : i + train.batch_size] for i in range(0, len(chosen), train.batch_size)]
    return [list(batch[rank::world]) for batch in whole if len(batch) >= world]


def steps(count: int, train: Optimisation) -> int:
    """Optimiser steps of the whole training."""
    return train.steps if train.steps is not None else (train.epochs or 0) * math.ceil(count / train.batch_size)


def stage_seed(seed: int, stage: int) -> int:
    """Seed of a stage of a training; the first one's is the training's."""
    return seed if stage == 0 else int(np.random.SeedSequence([seed, stage]).generate_state(1)[0])


def torch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """Seed of torch's random numbers within an epoch."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def _order(count: int, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, number]).permutation(count)
