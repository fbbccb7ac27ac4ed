"""Seconds per slice of the AnoGAN's search: slices together against slice by slice, turn by turn, with fresh weights.

Smaller sizes leave out the generator's narrowest layers. On a CPU the seconds are those of the process, so that other
work on the machine does not count. Prints a Markdown table.

python benchmarks/anogan.py [--size 256] [--slices 16] [--steps 100] [--repeats 3] [--threads 1] [--accelerator cpu]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from torch import Tensor

from brainuad.methods import registry
from brainuad.methods.anogan import Settings as AnoGan
from brainuad.methods.anogan.method import AnoGanMethod

MODEL_FILE = Path(__file__).parents[1] / "config" / "models" / "baur_anogan.yaml"


def method(size: int, steps: int) -> AnoGanMethod:
    """The shipped model for slices of this size; its smallest map stays as it is."""
    raw = yaml.safe_load(MODEL_FILE.read_text())
    network = raw["network"]
    dropped = (network["size"] // size).bit_length() - 1
    raw["network"] |= {"size": size, "channels": network["channels"][dropped:]}
    raw["search"] |= {"steps": steps}
    model = registry.validate(raw)
    assert isinstance(model, AnoGan)
    return AnoGanMethod(model)


def timed(reconstruct: Callable[[], Tensor], clock: Callable[[], float]) -> tuple[float, Tensor]:
    """Seconds, and the reconstruction."""
    started = clock()
    found = reconstruct().cpu()
    return clock() - started, found


def main() -> None:
    """Print the table: medians over the repeats, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.accelerator == "cpu" else time.perf_counter
    anogan = method(options.size, options.steps)
    anogan.to(options.accelerator)
    anogan.network.eval()
    slices = torch.rand(options.slices, 1, options.size, options.size).to(anogan.device)
    warm_up = method(options.size, steps=1)
    warm_up.to(options.accelerator)
    warm_up.network.eval()
    for batch in (slices, slices[:1]):
        warm_up.reconstruct_batch(batch).cpu()
    pairs = []
    for _ in range(options.repeats):
        together = timed(lambda: anogan.reconstruct_batch(slices), clock)
        alone = timed(lambda: torch.cat([anogan.reconstruct_batch(piece) for piece in slices.split(1)]), clock)
        pairs.append((together, alone))
    difference = max(float((together[1] - alone[1]).abs().max()) for together, alone in pairs)
    seconds = [[found[way][0] / options.slices for found in pairs] for way in (0, 1)]
    ratios = sorted(alone / together for together, alone in zip(*seconds, strict=True))
    spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print("| size | slices | steps | together, s/slice | one by one, s/slice | ratio (range) | largest difference |")
    print("|" + " --- |" * 7)
    print(
        f"| {options.size} | {options.slices} | {options.steps} | {statistics.median(seconds[0]):.3f} "
        f"| {statistics.median(seconds[1]):.3f} | {spread} | {difference:.1e} |"
    )


if __name__ == "__main__":
    main()
