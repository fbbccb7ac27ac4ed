"""Slices read from the array cache and from NIfTI, and residuals under each coding: `python benchmarks/array_cache.py`.

Phantoms on the 2 mm template by their known place, scaled as the recipe mri_2mm does. Random batches of axial slices
are read in turn from each array cache and from NIfTI files, all of them in the page cache; then a small autoencoder,
trained on the float32 cache, maps every volume as each cache returns it. Prints two Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

from brainuad.config.recipe import Normalize
from brainuad.config.study import Compute
from brainuad.formats import array_cache, bundle
from brainuad.formats.array_cache import ArrayCache, CacheHeader, Entry
from brainuad.formats.coding import Coding, Picked
from brainuad.formats.scans import Scan
from brainuad.images.phantom import make_phantom
from brainuad.images.resample import resample, resample_mask
from brainuad.images.template import mni152
from brainuad.methods import registry
from brainuad.normalize.grid import window
from brainuad.normalize.intensity import scale
from brainuad.train.training import train

BATCH = 32
RECIPE = Normalize(slices=(-60, 78))
CODINGS = {dtype: Coding(dtype, RECIPE.intensity.clip) for dtype in ("float32", "float16", "uint8")}
MODELS = ("zscore_atlas", "baur_dae_small")


def entries(subjects: int) -> tuple[list[Entry], np.ndarray]:
    """Normalised phantoms, and the affine of their grid; the last two have tumours and are tested."""
    template = mni152(2.0)
    x, y, z = template.brain.shape
    part = window((x, y, z), template.affine, RECIPE)
    made = []
    for i in range(subjects):
        test = i >= subjects - 2
        phantom = make_phantom((9, i), "T1w", "tumour" if test else "none")
        grid = ((x, y, z), template.affine, phantom.template_to_scan)
        image, brain = (
            resample(phantom.image, phantom.affine, *grid),
            resample_mask(phantom.brain, phantom.affine, *grid),
        )
        scan = Scan(f"sub-{i}", f"sub-{i}", "x", role="test" if test else "validation" if i == 0 else "train")
        made.append(Entry(scan, part.crop(scale(image, brain, RECIPE.intensity, {})), part.crop(brain)))
    return made, part.affine


def array_caches(folder: Path, made: list[Entry], affine: np.ndarray) -> dict[str, ArrayCache]:
    """The same volumes in every coding, and as NIfTI files."""
    for dtype, coding in CODINGS.items():
        header = CacheHeader(affine, RECIPE.intensity.model_dump(), coding=coding)
        array_cache.write(folder / dtype, made, header)
    for entry in made:
        for ending in ("nii.gz", "nii"):
            nib.save(nib.Nifti1Image(entry.image, affine), folder / f"{entry.scan.scan}.{ending}")
    return {dtype: array_cache.read(folder / dtype) for dtype in CODINGS}


def readers(folder: Path, opened: dict[str, ArrayCache]) -> dict[str, Callable[[int, int], np.ndarray]]:
    """How one slice is read from each."""

    def of_cache(dtype: str) -> Callable[[int, int], np.ndarray]:
        picked = Picked([(opened[dtype].images, scan) for scan in range(len(opened[dtype].images))])
        return lambda scan, level: np.array(picked.axial_slice(scan, level), dtype=np.float32)

    def of_nifti(ending: str) -> Callable[[int, int], np.ndarray]:
        return lambda scan, level: np.asarray(nib.load(folder / f"sub-{scan}.{ending}").dataobj[..., level], np.float32)

    return {
        **{dtype: of_cache(dtype) for dtype in opened},
        **{ending: of_nifti(ending) for ending in ("nii", "nii.gz")},
    }


def times(read: dict[str, Callable[[int, int], np.ndarray]], scans: int, levels: int, rounds: int) -> dict[str, list]:
    """CPU seconds for a batch, by round; within a round all readers take the same slices, one after the other."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in read}
    for _ in range(rounds):
        wanted = list(zip(rng.integers(scans, size=BATCH), rng.integers(levels, size=BATCH), strict=True))
        for name in rng.permutation(list(read)):
            start = time.process_time()
            for scan, level in wanted:
                read[name](int(scan), int(level))
            seconds[name].append(time.process_time() - start)
    return seconds


def residuals(folder: Path, opened: dict[str, ArrayCache], steps: int) -> None:
    """Largest and mean difference of each map to that of the float32 cache, beside the map's healthy 98 % quantile."""
    print("\n| model | map | coding | largest difference | mean difference | 98 % quantile of the map |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in MODELS:
        settings = yaml.safe_load((Path("config/models") / f"{name}.yaml").read_text())
        if "train" in settings:
            settings["train"] |= {"steps": steps, "validate_every": steps}
        train([folder / "float32"], registry.validate(settings), 0, Compute(threads=1), folder / name, {})
        maps = {"recipe's": settings["map"]}
        if "train" in settings:
            maps["plain residual"] = {"residual": "absolute", "standardise": False, "smooth_mm": 0.0}
        for label, map_settings in maps.items():
            method = registry.load_method(bundle.read(folder / name), map_settings)
            shown: dict[str, list[np.ndarray]] = {dtype: [] for dtype in opened}
            for dtype, part in opened.items():
                chosen = part.select("test")
                for image, brain in zip(chosen.images, chosen.brains, strict=True):
                    found = method.anomaly_map(np.asarray(image), np.asarray(brain), part.spacing, "both")
                    shown[dtype].append(found[brain])
            usual = np.quantile(np.concatenate(shown["float32"]), 0.98)
            for dtype in ("float16", "uint8"):
                apart = np.abs(np.concatenate(shown[dtype]) - np.concatenate(shown["float32"]))
                print(f"| {name} | {label} | {dtype} | {apart.max():.5f} | {apart.mean():.6f} | {usual:.3f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="of the autoencoder's training")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made, affine = entries(asked.subjects)
        opened = array_caches(folder, made, affine)
        seconds = times(readers(folder, opened), len(made), made[0].image.shape[2], asked.rounds)
        shape = made[0].image.shape
        print(f"{asked.subjects} subjects of {shape} voxels, {BATCH} slices a batch, {asked.rounds} rounds\n")
        print("| read from | CPU ms a batch (median) | times faster than .nii.gz (range) | than .nii | MB a subject |")
        print("| --- | --- | --- | --- | --- |")
        for name, own in seconds.items():
            ratios = [[a / b for a, b in zip(seconds[ending], own, strict=True)] for ending in ("nii.gz", "nii")]
            gz, plain = (statistics.median(each) for each in ratios)
            whole = (folder / name / "images.npy").stat().st_size / len(made) if name in opened else None
            size = (whole or (folder / f"sub-0.{name}").stat().st_size) / 1e6
            spread = f"{gz:.1f} ({min(ratios[0]):.1f} to {max(ratios[0]):.1f})"
            print(f"| {name} | {1000 * statistics.median(own):.2f} | {spread} | {plain:.1f} | {size:.2f} |")
        residuals(folder, opened, asked.steps)


if __name__ == "__main__":
    main()
