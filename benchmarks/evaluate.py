"""CPU and memory of evaluate on volumes of 1 mm: `python benchmarks/evaluate.py [SRC ...]`.

Smooth random maps of 189 x 233 x 189 voxels with 1.9 million brain voxels and four lesions a scan, masks of two
threshold rules with hundreds of components. Each SRC is a `src` folder (default: this clone's); they take turns in
processes of their own. Prints a Markdown table: CPU seconds per scan (from runs over few and over more scans, so that
what does not grow with scans is left out), all CPU seconds of the larger run, and its peak memory. `--native` scores on
the scans' own grids, of the same voxel size and turned by a few degrees.
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

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

SHAPE, AFFINE = (189, 233, 189), np.eye(4)
LESIONS = (np.s_[70:95, 100:125, 80:105], np.s_[120:128, 80:90, 90:99], np.s_[90:93, 150:154, 100:104])
RULES = (("healthy_quantile", 0.98), ("healthy_quantile", 0.95))
WORK = """
import json, resource, sys
from pathlib import Path
from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import HealthyQuantile
from brainuad.evaluate.evaluate_job import EvaluateInputs
from brainuad.evaluate.evaluation import evaluate
from brainuad.evaluate.scored import Scoring
root, out = Path(sys.argv[1]), Path(sys.argv[2])
inputs = EvaluateInputs(
    maps=root / "infer", masks=[root / "none"], array_cache=root / "cache", control_maps=[], control_array_caches=[]
)
rules, space = [HealthyQuantile(rule=rule, quantile=q) for rule, q in json.loads(sys.argv[3])], sys.argv[4]
scoring = Scoring(Evaluate(space=space), rules)
if space == "native":
    from brainuad.config.reading import Reading
    from brainuad.evaluate.scoring_grid import OwnScans
    scoring = Scoring(Evaluate(space=space), rules, own=OwnScans(root / "preprocessed", Reading()))
evaluate(inputs, scoring, out, {"model": "m", "seed": "0", "dataset": "ms"})
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def write_set(root: Path, count: int) -> None:
    """Array cache, maps and masks of `count` patients."""
    from brainuad.formats import array_cache, checksums, maps, postprocessed, thresholds
    from brainuad.formats.array_cache import CacheHeader, Entry
    from brainuad.formats.scans import Scan
    from brainuad.formats.thresholds import FoundThreshold

    x, y, z = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    brain = x**2 + y**2 + z**2 < 0.58  # 1.9 million voxels
    lesion = np.zeros(SHAPE, bool)
    for place in LESIONS:
        lesion[place] = True
    drawn = write_scan(root, lesion)
    scans = [Scan(f"sub-{i}", f"sub-{i}", "ms", *map(str, drawn), role="test", own_ml="1") for i in range(count)]
    for scan in scans:
        write_preprocessed(root / "preprocessed" / scan.scan, drawn)
    image = np.where(brain, np.float32(0.5), 0)
    array_cache.write(root / "cache", (Entry(scan, image, brain, lesion) for scan in scans), CacheHeader(AFFINE))
    seal = checksums.read(root / "cache").seal
    tags = {"model": "m", "seed": "0", "dataset": "ms"}
    infer, post = (
        maps.MapWriter(root / name, AFFINE, array_cache.read(root / "cache").naming) for name in ("infer", "none")
    )
    labels = [f"{rule}_{quantile:g}" for rule, quantile in RULES]
    found = {label: FoundThreshold(0.0, "unsupervised") for label in labels}
    rows = ["scan\tscore"]
    for i, scan in enumerate(scans):
        noise = np.random.default_rng(i).standard_normal(SHAPE).astype(np.float32)
        anomaly = np.where(brain, ndimage.gaussian_filter(noise, 1.2) * 8 + lesion, 0).astype(np.float32)
        infer.anomaly(scan.scan, anomaly)
        rows.append(f"{scan.scan}\t{anomaly[brain].mean()}")
        for label, (_, quantile) in zip(labels, RULES, strict=True):
            post.mask(scan.scan, anomaly > np.quantile(anomaly[brain], quantile), label, found[label])
    (root / "infer/scores.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    infer.finish(["scores.tsv"], tags, array_cache=seal)
    thresholds.write(root / "none", found)
    postprocessed.write(root / "none", changes_maps=False)
    record = checksums.read(root / "infer").seal
    post.finish(
        (thresholds.NAME, postprocessed.NAME), {**tags, "postprocessing": "none"}, array_cache=seal, maps=record
    )


def write_scan(root: Path, lesion: np.ndarray) -> tuple[Path, Path]:
    """An image and its lesion mask, turned against the template; all scans share them."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix()
    affine[:3, 3] = (np.eye(3) - affine[:3, :3]) @ (np.array(SHAPE) - 1) / 2
    mask = ndimage.affine_transform(lesion.astype(np.float32), affine[:3, :3], affine[:3, 3], order=1) > 0.5
    paths = root / "scan.nii.gz", root / "mask.nii.gz"
    root.mkdir(parents=True)
    for path, data in zip(paths, (np.ones(SHAPE, np.uint8), mask.astype(np.uint8)), strict=True):
        nib.save(nib.Nifti1Image(data, affine), path)
    return paths


def write_preprocessed(folder: Path, drawn: tuple[Path, Path]) -> None:
    """What preprocess tells of a scan, which it left where it was."""
    from brainuad.formats import files, names, status, transform
    from brainuad.formats.names import Naming

    told = {path.name: {"file": path.name, "sha256": files.sha256(path)} for path in drawn}
    kept = {"transform": names.transform(folder.name, Naming())}
    found = status.Status(scan=folder.name, state="ok", files=kept, provenance={"inputs": told})
    status.write(folder / status.NAME, found)
    transform.write(status.paths(folder)["transform"], transform.Affine(np.eye(4)))


def main() -> None:
    """Write the scans, run every source in turn, print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sources", nargs="*", type=Path, default=[Path("src")])
    options.add_argument("--scans", nargs=2, type=int, default=[2, 6])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--native", action="store_true")
    options.add_argument("--keep", type=Path, help="folder with the files of an earlier run, or for those of this one")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = given.keep or Path(folder)
        for count in given.scans:
            if not (root / str(count)).exists():
                write_set(root / str(count), count)
        found: dict[Path, list[tuple[float, float, float]]] = {source: [] for source in given.sources}
        for number in range(given.rounds):
            for i, source in enumerate(given.sources):
                used = []
                for count in given.scans:
                    place, out = root / str(count), Path(folder) / f"out_{number}_{i}_{count}"
                    space = "native" if given.native else "template"
                    command = [sys.executable, "-c", WORK, str(place), str(out), json.dumps(RULES), space]
                    environment = {**os.environ, "PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"}
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    used.append(json.loads(done.stdout.splitlines()[-1]))
                few, more = given.scans
                found[source].append(((used[1][0] - used[0][0]) / (more - few), *used[1]))
    print("| source | CPU s a scan | CPU s in all | peak memory, MB |")
    print("| --- | --- | --- | --- |")
    for source, each in found.items():
        scan, whole, memory = (statistics.median(run[i] for run in each) for i in range(3))
        print(f"| {source} | {scan:.2f} | {whole:.1f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
