"""Steps per second of the trainer against a bare torch loop: same network, batches and data, turn by turn.

On a CPU the seconds are those of the process, so that other work on the machine does not count.

python benchmarks/trainer.py [--steps 60] [--repeats 5] [--threads 1] [--accelerator cpu]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from lightning import Callback

from brainuad.config.model import MODEL, Autoencoder
from brainuad.config.study import Compute
from brainuad.methods.autoencoder import AutoencoderMethod
from brainuad.methods.base import Healthy
from brainuad.train.fit import fit_network
from brainuad.train.sampler import batches

MODELS = Path(__file__).parents[1] / "config" / "models"
SHAPE = (91, 109, 40)


def model(name: str, steps: int) -> Autoencoder:
    """A shipped model, trained for this many steps without a checkpoint in between."""
    raw = yaml.safe_load((MODELS / f"{name}.yaml").read_text())
    raw["train"] |= {"epochs": None, "steps": steps, "validate_every": steps}
    checked = MODEL.validate_python(raw)
    assert isinstance(checked, Autoencoder)
    return checked


class Stopwatch(Callback):  # type: ignore[misc]
    """Seconds from the first batch to the last."""

    def __init__(self, clock: Callable[[], float]):
        self.clock, self.started, self.seconds = clock, 0.0, 0.0

    def on_train_start(self, *_: object) -> None:
        """Start."""
        self.started = self.clock()

    def on_train_batch_end(self, *_: object) -> None:
        """Stop, until the next batch."""
        self.seconds = self.clock() - self.started


def bare(method: AutoencoderMethod, data: Healthy, accelerator: str, clock: Callable[[], float]) -> float:
    """Steps per second of the shortest loop that trains this network."""
    method.initialise(0)
    method.to(accelerator)
    examples, train, module = method.examples(data), method.train, method.objective()
    order = batches(len(examples), train, seed=0, epoch=0)
    optimizer = module.configure_optimizers()
    method.network.train()
    started = clock()
    for indices in order:
        optimizer.zero_grad()
        loss = module.terms(examples.fetch(indices).to(method.device))["loss"]
        loss.backward()
        optimizer.step()
    loss.item()
    return len(order) / (clock() - started)


def ours(method: AutoencoderMethod, data: Healthy, compute: Compute, clock: Callable[[], float]) -> float:
    """Steps per second of the trainer's loop."""
    watch = Stopwatch(clock)
    with tempfile.TemporaryDirectory() as folder:
        found = fit_network(method, data, None, 0, compute, Path(folder), key="benchmark", callbacks=[watch])
    return float(found.facts["steps"]) / watch.seconds


def main() -> None:
    """Print a Markdown table: median over the repeats, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--models", nargs="+", default=["baur_dae_small", "baur_dvae_small"])
    options = parser.parse_args()
    compute = Compute(threads=options.threads, accelerator=options.accelerator)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.accelerator == "cpu" else time.perf_counter
    rng = np.random.default_rng(0)
    scans = [rng.random(SHAPE, dtype=np.float32) for _ in range(8)]
    data = Healthy(scans, [np.ones(SHAPE, bool)] * 8, (2.0, 2.0, 2.0))
    print("| model | bare loop, steps/s | trainer, steps/s | ratio (range) |\n| --- | --- | --- | --- |")
    for name in options.models:
        method = AutoencoderMethod(model(name, options.steps))
        loop_once = partial(bare, method, data, options.accelerator, clock)
        loop_once()
        pairs = [(loop_once(), ours(method, data, compute, clock)) for _ in range(options.repeats)]
        ratios = sorted(trainer / loop for loop, trainer in pairs)
        loop, trainer = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {loop:.1f} | {trainer:.1f} | {spread} |")


if __name__ == "__main__":
    main()
