from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.network import Train
from brainuad.train.sampler import batches, epochs, numbers, steps, torch_seed


def test_an_epoch_shows_every_example_once_in_another_order():
    train = Train(epochs=3, batch_size=4)
    seen = [batches(10, train, seed=0, epoch=epoch) for epoch in range(2)]
    for epoch in seen:
        assert [len(batch) for batch in epoch] == [4, 4, 2]
        assert sorted(index for batch in epoch for index in batch) == list(range(10))
    assert seen[0] != seen[1]
    assert (epochs(train), steps(10, train)) == (3, 9)


def test_steps_are_counted_out_and_pass_over_the_examples_evenly():
    train = Train(steps=25, batch_size=4, validate_every=10)
    seen = [batches(7, train, seed=0, epoch=epoch) for epoch in range(epochs(train))]
    assert [len(epoch) for epoch in seen] == [10, 10, 5]
    assert all(len(batch) == 4 for epoch in seen for batch in epoch)
    stream = [index for epoch in seen for batch in epoch for index in batch]
    for start in range(0, 98, 7):
        assert sorted(stream[start : start + 7]) == list(range(7))
    assert steps(7, train) == 25


@pytest.mark.parametrize("train", [Train(epochs=9, batch_size=4), Train(steps=99, batch_size=4, validate_every=10)])
def test_an_epoch_depends_on_its_number_and_the_seed_alone(train):
    assert batches(50, train, seed=1, epoch=4) == batches(50, train, seed=1, epoch=4)
    assert batches(50, train, seed=1, epoch=4) != batches(50, train, seed=2, epoch=4)
    assert batches(50, train, seed=1, epoch=4) != batches(50, train, seed=1, epoch=5)


def test_devices_share_each_batch():
    train = Train(epochs=1, batch_size=4)
    whole = batches(9, train, seed=0, epoch=0)
    shares = [batches(9, train, seed=0, epoch=0, rank=rank, world=2) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == 2  # the last batch, of one example, cannot be shared
    for batch, left, right in zip(whole, *shares, strict=False):
        assert sorted(left + right) == sorted(batch)


@pytest.mark.parametrize("train", [Train(epochs=3, batch_size=4), Train(steps=8, batch_size=4, validate_every=3)])
def test_a_number_of_a_drawn_example_is_used_once_in_a_training_and_on_one_device(train):
    parts = [
        number
        for epoch in range(epochs(train))
        for rank in range(2)
        for batch in numbers(10, train, epoch, rank, 2)
        for number in batch
    ]
    assert sorted(parts) == list(range(30 if train.epochs else 32))
    assert [len(batch) for batch in numbers(10, train, 0)] == ([4, 4, 2] if train.epochs else [4, 4, 4])


def test_random_numbers_differ_by_seed_epoch_and_device():
    seeds = {torch_seed(seed, epoch, rank) for seed, epoch, rank in np.ndindex(5, 5, 2)}
    assert len(seeds) == 50
