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
from torch import Tensor

from brainuad.config.model import MethodSettings
from brainuad.config.study import Compute
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import DrawnExamples, NeuralMethod
from brainuad.train.fit import TrainingRun, fit_network
from brainuad.train.sampler import batches, numbers

MODELS = Path(__file__).parents[1] / "config" / "models"
SHAPE = (91, 109, 40)
SMALLER = {"size": 64, "channels": [16, 32, 64, 64], "latent": 64, "codes": 64, "embedding": 64}
"""What the networks of full size are reduced to, where they have such a key, unless --full is given."""


def model(name: str, steps: int, batch: int, full: bool) -> MethodSettings:
    """A shipped model, each stage trained for this many steps without a checkpoint in between."""
    raw = yaml.safe_load((MODELS / f"{name}.yaml").read_text())
    raw = registry.validate(raw).model_dump(mode="json")
    for part in [key for key in raw if raw[key] and (key == "train" or key.endswith("_train"))]:
        raw[part] |= {"epochs": None, "steps": steps, "validate_every": steps, "batch_size": batch}
    if not full and "size" in raw["network"] and not name.endswith("_small"):
        raw["network"] |= {key: value for key, value in SMALLER.items() if key in raw["network"]}
    return registry.validate(raw)


class Stopwatch(Callback):  # type: ignore[misc]
    """Seconds of each stage from its first batch to its last."""

    def __init__(self, clock: Callable[[], float]):
        self.clock, self.started, self.seconds = clock, 0.0, []

    def on_train_start(self, *_: object) -> None:
        """Start."""
        self.started = self.clock()
        self.seconds.append(0.0)

    def on_train_batch_end(self, *_: object) -> None:
        """Stop, until the next batch."""
        self.seconds[-1] = self.clock() - self.started


def bare(method: NeuralMethod, data: TrainingScans, accelerator: str, clock: Callable[[], float]) -> list[float]:
    """Seconds of each stage in the shortest loops that train this network."""
    method.initialise(0)
    method.observe(data)
    method.to(accelerator)
    examples, seconds = method.examples(data), []
    for stage in method.stages():
        module = stage.objective()
        optimizers, turns = module.configure_optimizers(), getattr(module, "adversarial", None)
        module.total_steps = stage.train.steps
        module.on_fit_start()
        module.train()
        started = clock()
        drawn = isinstance(examples, DrawnExamples)
        count = len(examples)
        order = numbers(count, stage.train, 0) if drawn else batches(count, stage.train, seed=0, epoch=0)
        for indices in order:
            batch = examples.fetch(indices).to(method.device)
            if turns is None:
                loss = _step(optimizers, module.terms, batch, stage.train.clip)
                continue
            for part in batch.chunk(turns.critic_steps):
                _step(optimizers[1], module.critic_terms, part)
            for parameter in module.critic.parameters():
                parameter.requires_grad_(False)
            loss = _step(optimizers[0], module.generator_terms, part)
            for parameter in module.critic.parameters():
                parameter.requires_grad_(True)
        loss.item()
        seconds.append(clock() - started)
        module.on_fit_end()
    return seconds


def _step(
    optimizer: torch.optim.Optimizer, terms: Callable[[Tensor], dict[str, Tensor]], batch: Tensor, clip: float = 0
) -> Tensor:
    optimizer.zero_grad()
    loss = terms(batch)["loss"]
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_([value for group in optimizer.param_groups for value in group["params"]], clip)
    optimizer.step()
    return loss


def ours(method: NeuralMethod, data: TrainingScans, compute: Compute, clock: Callable[[], float]) -> list[float]:
    """Seconds of each stage in the trainer's loop."""
    watch = Stopwatch(clock)
    with tempfile.TemporaryDirectory() as folder:
        fit_network(method, data, None, TrainingRun(0, compute, Path(folder), "benchmark"), [watch])
    return watch.seconds


def main() -> None:
    """Print a Markdown table: median over the repeats, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--full", action="store_true", help="networks at the papers' size")
    parser.add_argument("--models", nargs="+", default=["baur_dae_small", "baur_dvae_small"])
    options = parser.parse_args()
    # workers would draw beside the trainer's loop: examples cost both loops the same
    compute = Compute(threads=options.threads, accelerator=options.accelerator, workers=0)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.accelerator == "cpu" else time.perf_counter
    rng = np.random.default_rng(0)
    scans = [rng.random(SHAPE, dtype=np.float32) for _ in range(8)]
    data = TrainingScans(scans, [np.ones(SHAPE, bool)] * 8, (2.0, 2.0, 2.0))
    print("| model | stage | bare loop, steps/s | trainer, steps/s | ratio (range) |\n| --- | --- | --- | --- | --- |")
    for name in options.models:
        method = registry.build(model(name, options.steps, options.batch, options.full)).neural()
        assert method is not None
        loop_once = partial(bare, method, data, options.accelerator, clock)
        loop_once()
        pairs = [(loop_once(), ours(method, data, compute, clock)) for _ in range(options.repeats)]
        for number, stage in enumerate(method.stages()):
            rates = [(options.steps / loop[number], options.steps / trainer[number]) for loop, trainer in pairs]
            ratios = sorted(trainer / loop for loop, trainer in rates)
            loop, trainer = (statistics.median(each) for each in zip(*rates, strict=True))
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {name} | {stage.name or 'first'} | {loop:.1f} | {trainer:.1f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
