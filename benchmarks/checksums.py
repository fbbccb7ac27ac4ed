"""What the checksums of array caches and maps cost: `python benchmarks/checksums.py`.

Volumes of smooth noise in a brain of the usual share, at 2 and 1 mm. Each stage runs in turn with its comparisons and
without them, so that other work on the machine slows both alike. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from scipy import ndimage

from brainuad.config.postprocessing import POSTPROCESSING, HealthyQuantile
from brainuad.config.study import Compute, Evaluate
from brainuad.evaluate.evaluate_job import EvaluateInputs
from brainuad.evaluate.evaluation import evaluate
from brainuad.evaluate.scored import Scoring
from brainuad.formats import array_cache, checksums
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.scans import Scan
from brainuad.infer.inference import infer
from brainuad.methods import registry
from brainuad.postprocess.find_thresholds import Thresholding
from brainuad.postprocess.postprocess_job import PostprocessInputs
from brainuad.postprocess.postprocessing import postprocess
from brainuad.train.training import train

GRIDS = {"2 mm": (91, 109, 91), "1 mm": (182, 218, 182)}
ROLES = ["train"] * 3 + ["validation"] + ["test"] * 3
TAGS = {"model": "zscore_atlas", "seed": "0", "dataset": "x"}
RULES = [HealthyQuantile(rule="healthy_quantile")]
COMPUTE = Compute(threads=1, accelerator="cpu")


def entries(shape: tuple[int, int, int]) -> Iterator[Entry]:
    """Scans of a ball of brain, those for the test with a lesion."""
    rng = np.random.default_rng(0)
    place = np.indices(shape, dtype=np.float32) - (np.array(shape, np.float32) / 2).reshape(3, 1, 1, 1)
    brain = (place**2).sum(axis=0) < (0.4 * min(shape)) ** 2
    lesion = (place**2).sum(axis=0) < (0.06 * min(shape)) ** 2
    for i, role in enumerate(ROLES):
        noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 2)
        image = np.where(brain, 0.5 + noise + 0.3 * (lesion & (role == "test")), 0).astype(np.float32)
        yield Entry(Scan(f"sub-{i}", f"sub-{i}", "x", role=role), image, brain, lesion if role == "test" else None)


@contextmanager
def unchecked() -> Iterator[None]:
    """Every checksum fits, and none is computed."""
    fitting = SimpleNamespace(**{**vars(checksums), "of_bytes": _fits})
    with (
        mock.patch.object(array_cache, "checksums", fitting),
        mock.patch.object(checksums.Checksums, "check", _as_it_is),
    ):
        yield


def _fits(*_: object) -> object:
    return mock.ANY


def _as_it_is(_: checksums.Checksums, path: Path) -> Path:
    return path


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def stages(folder: Path) -> dict[str, Callable[[], object]]:
    """Each stage on the array cache and on what the stage before it left."""
    cache, maps, masks = folder / "cache", folder / "maps", folder / "masks/none"
    of_masks = PostprocessInputs(maps=maps, array_cache=cache, validation_maps=[maps], validation_array_caches=[cache])
    of_scores = EvaluateInputs(
        maps=maps, masks=[masks], array_cache=cache, control_maps=[maps], control_array_caches=[cache]
    )
    model = registry.validate({"family": "zscore_atlas"})
    plain = POSTPROCESSING.validate_python({})
    return {
        "train": lambda: train([cache], model, 0, COMPUTE, folder / "bundle", TAGS),
        "infer": lambda: infer(folder / "bundle", cache, {}, "both", COMPUTE, maps, TAGS),
        "postprocess": lambda: postprocess(of_masks, Thresholding(RULES, [True], ["validation"]), plain, masks, TAGS),
        "evaluate": lambda: evaluate(of_scores, Scoring(Evaluate(), RULES), folder / "scores", TAGS),
    }


def hash_rates(cache: Path) -> tuple[float, float]:
    """GB a second of the comparison of a whole array cache, and of SHA-256, which came before it."""
    opened = array_cache.read(cache)
    size = sum(volumes.array.nbytes for volumes in opened.stored.values())
    compared = cpu_seconds(lambda: [volumes.checked() for volumes in opened.stored.values()])
    digest = hashlib.sha256()
    hashed = cpu_seconds(
        lambda: [digest.update(np.ascontiguousarray(v).data) for v in (*opened.images, *opened.brains)]
    )
    return size / compared / 1e9, size / hashed / 1e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print("| grid | stage | CPU s a volume | with comparisons, times as long (range) |\n| --- | --- | --- | --- |")
    for grid, shape in GRIDS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            spacing = 2.0 if grid == "2 mm" else 1.0
            header = CacheHeader(np.diag([spacing, spacing, spacing, 1]))
            array_cache.write(folder / "cache", entries(shape), header)
            for name, work in stages(folder).items():
                work()
                count = {"train": 4, "infer": 4}.get(name, 3)
                ratios, seconds = [], []
                for i in range(rounds):
                    own = {}
                    for checks in (True, False) if i % 2 else (False, True):
                        with mock.patch.object(checksums, "BLOCK", checksums.BLOCK) if checks else unchecked():
                            own[checks] = cpu_seconds(work)
                    if name != "evaluate":  # leave the checksums that the next stage reads
                        work()
                    ratios.append(own[True] / own[False])
                    seconds.append(own[True] / count)
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"| {grid} | {name} | {statistics.median(seconds):.2f} | {spread} |", flush=True)
            rates = hash_rates(folder / "cache")
            print(f"\nGB a second: compared {rates[0]:.1f}, SHA-256 {rates[1]:.1f}\n", flush=True)


if __name__ == "__main__":
    main()
