"""Learning rate, clipping and running mean of weights against plain torch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from training import COMPUTE, scans

from brainuad.config.network import Optimisation, Train
from brainuad.methods.shared.objective import Objective, rate_share
from brainuad.methods.shared.slices import SliceExamples
from brainuad.train.fit import TrainingRun, fit_network
from brainuad.train.sampler import batches

SETTINGS = {
    "steps": 7,
    "batch_size": 4,
    "lr": 0.1,
    "optimizer": "adamw",
    "weight_decay": 0.2,
    "warmup_steps": 2,
    "schedule": "cosine",
    "clip": 0.05,
    "ema": 0.5,
    "keep": "last",
}


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"warmup_steps": 2}, [0.5, 1, 1, 1, 1]),
        ({"schedule": "cosine", "lr_end": 0}, [1, 0.8535534, 0.5, 0.1464466, 0]),
        ({"schedule": "cosine", "lr_end": 0.2, "warmup_steps": 2}, [0.5, 1, 1, 0.6, 0.2]),
    ],
)
def test_the_learning_rate_by_hand(settings, shares):
    train = Optimisation(steps=4, **settings)
    assert [rate_share(step, 4, train) for step in range(5)] == pytest.approx(shares)


class Line(Objective):
    def terms(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.network(batch) - 3).square().mean()}


class Fitted:
    """What the train stage needs of a method."""

    def __init__(self, train: Train):
        self.train = train

    def initialise(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))

    def observe(self, training) -> None:
        pass

    def examples(self, training) -> SliceExamples:
        return SliceExamples(training, 16, 0.01)

    def stages(self):
        from brainuad.methods.shared.neural import Stage

        return [Stage("", self.train, lambda: Line(self.network, self.train))]


def plainly(examples: SliceExamples, network: nn.Module, train: Train) -> nn.Module:
    """The same training with what torch offers, and the running mean of the weights."""
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), train.lr, weight_decay=train.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step, train.steps, train))
    for number, indices in enumerate(batches(len(examples), train, seed=0, epoch=0), start=1):
        optimizer.zero_grad()
        (network(examples.fetch(indices)) - 3).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip)
        optimizer.step()
        schedule.step()
        decay = min(train.ema, (1 + number) / (10 + number))
        with torch.no_grad():
            for own, new in zip(mean.parameters(), network.parameters(), strict=True):
                own.lerp_(new, 1 - decay)
            for own, new in zip(mean.buffers(), network.buffers(), strict=True):
                own.copy_(new)
    return mean


def test_a_training_is_that_of_plain_torch(tmp_path):
    train, data = Train(**SETTINGS), scans(4, 0)
    ours, plain = Fitted(train), Fitted(train)
    fit_network(ours, data, None, TrainingRun(0, COMPUTE, tmp_path, "k"))
    plain.initialise(0)
    expected = plainly(plain.examples(data), plain.network, train).state_dict()
    found = ours.network.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7)


def test_validation_sees_the_running_mean_and_leaves_the_weights():
    network = nn.Conv2d(1, 1, 1)
    module = Line(network, Train(**SETTINGS))
    before = network.weight.detach().clone()
    with torch.no_grad():
        module.averaged.weight.fill_(0)
        module.averaged.bias.fill_(1)
        assert module.validation_step(torch.rand(2, 1, 4, 4))["loss"].item() == 4
    assert torch.equal(network.weight, before)
    assert not module.averaged.weight.any()


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"schedule": "cosine"}, {"warmup_steps": 3}])
def test_networks_that_take_turns_have_one_rate(settings):
    from brainuad.methods.adversarial_autoencoder import Settings

    with pytest.raises(ValueError, match="constant learning rate"):
        Settings(family="adversarial_autoencoder", train={"steps": 3} | settings)
