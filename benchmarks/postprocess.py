"""Memory and CPU of postprocess over validation scans of 1 mm: `python benchmarks/postprocess.py [SRC ...]`.

Random maps of 181 x 217 x 181 voxels with 1.9 million brain voxels, half of the scans healthy, half with lesions;
thresholds by `healthy_quantile` and `val_dice`, no operators, one test scan. Each SRC is a `src` folder (default: this
clone's); they take turns in processes of their own. Prints a Markdown table: peak memory
of the process, its own and with the pages of mapped files, CPU seconds, and the thresholds, which must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHAPE, AFFINE = (181, 217, 181), np.eye(4)
LESION = np.s_[70:95, 100:125, 80:105]
WORK = """
import json, re, resource, sys, threading, time
from pathlib import Path
from brainuad.config.postprocessing import POSTPROCESSING, HealthyQuantile, ValDice
from brainuad.postprocess.postprocess_job import PostprocessInputs
from brainuad.postprocess.postprocessing import postprocess
peak = [0]
def sample():
    while True:
        own = re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())
        peak[0] = max(peak[0], int(own[1]))
        time.sleep(0.02)
threading.Thread(target=sample, daemon=True).start()
root, scans, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
maps, caches = ([root / kind / f"{name}_{scans}" for name in ("healthy", "ill")] for kind in ("infer", "normalize"))
inputs = PostprocessInputs(
    maps=root / "infer/test", array_cache=root / "normalize/test", validation_maps=maps, validation_array_caches=caches
)
rules = [HealthyQuantile(rule="healthy_quantile", quantile=0.98), ValDice(rule="val_dice")]
plain = POSTPROCESSING.validate_python({})
try:
    from brainuad.postprocess.find_thresholds import Thresholding
    how = [Thresholding(rules, [True, False], ["validation"] * 2, 0), plain]
except ImportError:  # an older src
    how = [[True, False], plain, rules]
postprocess(inputs, *how, out, {"model": "x"})
found = {rule: each["value"] for rule, each in json.loads((out / "thresholds.json").read_text()).items()}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([peak[0] / 1024, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, found]))
"""


def write_set(root: Path, name: str, role: str, count: int, lesions: bool) -> None:
    """An array cache and the maps of `count` scans."""
    from brainuad.formats import array_cache, checksums, maps, volume
    from brainuad.formats.array_cache import CacheHeader, Entry
    from brainuad.formats.scans import Scan

    x, y, z = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    brain = x**2 + y**2 + z**2 < 0.64  # 1.9 million voxels
    lesion = np.zeros(SHAPE, bool)
    lesion[LESION] = lesions
    scans = [Scan(f"sub-{number}", f"sub-{number}", name, role=role) for number in range(count)]
    image = np.where(brain, np.float32(0.5), 0)
    entries = (Entry(scan, image, brain, lesion) for scan in scans)
    array_cache.write(root / "normalize" / name, entries, CacheHeader(AFFINE))
    folder, written = root / "infer" / name, []
    for number, scan in enumerate(scans):
        anomaly = np.random.default_rng(number).gamma(1.5, 0.02, SHAPE) + 0.05 * lesion
        written.append(maps.anomaly_path(folder, scan.scan))
        volume.write(written[-1], np.where(brain, anomaly, 0).astype(np.float32), AFFINE)
    checksums.write(folder, checksums.of_files(folder, [path.relative_to(folder).as_posix() for path in written]))


def main() -> None:
    """Write the scans, run every source in turn, print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sources", nargs="*", type=Path, default=[Path("src")])
    options.add_argument("--scans", nargs="+", type=int, default=[20, 60])
    options.add_argument("--rounds", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root, "test", "test", 1, False)
        print("| validation scans | source | own memory, MB | with mapped files | CPU s | relative CPU | thresholds |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for scans in given.scans:
            for name in ("healthy", "ill"):
                write_set(root, f"{name}_{scans}", "validation", scans // 2, name == "ill")
            found: dict[Path, list[list]] = {source: [] for source in given.sources}
            for number in range(given.rounds):
                for source in given.sources:
                    command = [sys.executable, "-c", WORK, folder, str(scans), str(root / f"out_{number}")]
                    environment = {**os.environ, "PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    found[source].append(json.loads(done.stdout.splitlines()[-1]))
            first = found[given.sources[0]]
            for source, each in found.items():
                ratio = statistics.median(one[2] / other[2] for one, other in zip(each, first, strict=True))
                own, resident, cpu = (statistics.median(run[i] for run in each) for i in (0, 1, 2))
                figures = f"{own:.0f} | {resident:.0f} | {cpu:.1f} | {ratio:.2f}"
                print(f"| {scans} | {source} | {figures} | {each[0][3]} |", flush=True)


if __name__ == "__main__":
    main()
