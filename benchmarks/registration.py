"""How well scans are registered to the template: posed phantoms with known truth, and real heads.

    BRAINUAD_REAL_DATA=<folder of real scans> python benchmarks/registration.py [--phantoms 100] [--compare 10]

Phantom error: rms distance over the template's brain (mm) to the best affine fit of the true map. Real heads have no
truth: a head counts as misplaced when its quality verdict is `failed`, and other methods are given as their distance to
`nmi_search`. CPU seconds of one thread. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from brainuad.config.recipe import Preprocess, Quality, Registration
from brainuad.formats import volume
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.template import Template, mni152
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.registration import itk
from brainuad.preprocess.registration.input import registration_input
from brainuad.preprocess.registration.register import register
from brainuad.preprocess.scan import ScanFiles, preprocess

Method = Callable[[Volume, str, bool], np.ndarray]
CONTRASTS = ("T1w", "FLAIR", "T2w", "CT")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=100)
    parser.add_argument("--compare", type=int, default=10, help="phantoms and IXI heads for the other methods")
    parser.add_argument("--skip-real", action="store_true")
    parser.add_argument("--overlays", type=Path, help="keep the real heads' folders here")
    options = parser.parse_args()
    if options.phantoms:
        phantoms(options.phantoms)
    if not options.skip_real:
        with tempfile.TemporaryDirectory() as folder:
            real(options.overlays or Path(folder))
    if options.compare:
        compare(options.compare)


def phantoms(count: int) -> None:
    """Error and cost of the default backend on posed phantoms, by contrast."""
    template = mni152(2.0)
    rows: dict[str, list[tuple[float, float]]] = {contrast: [] for contrast in CONTRASTS}
    for seed in range(count):
        contrast = CONTRASTS[seed % len(CONTRASTS)]
        phantom = make_phantom(seed, contrast)
        begin = time.process_time()
        scan = Volume(phantom.image, phantom.affine)
        found = register(registration_input(scan, contrast, False, template), template, Registration())
        rows[contrast].append((distance(found.matrix, phantom.template_to_scan, template), time.process_time() - begin))
    print(f"\nnmi_search, {count} posed phantoms (error in mm)\n")
    table(["contrast", "n", "mean", "median", "95 %", "max", "CPU s"])
    for name, found in [*rows.items(), ("all", [row for part in rows.values() for row in part])]:
        error, cpu = np.array(found).T
        numbers = [error.mean(), np.median(error), np.quantile(error, 0.95), error.max(), cpu.mean()]
        print(f"| {name} | {len(error)} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


def real(out: Path) -> None:
    """Verdict and quality numbers of every real scan."""
    rows: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for path, modality in scans():
        dataset = path.relative_to(data()).parts[0]
        scan = ScanFiles(path.parts[-3], modality, path)
        state = preprocess(scan, Preprocess(), out / f"{dataset}_{path.stem}")
        state = judged(state, Quality())
        rows.setdefault(f"{dataset} {modality}", []).append((state.state, state.quality))
    print("\nreal scans: verdicts, and the range of their quality numbers\n")
    table(["data", "n", "failed", "warned", "nmi", "half_turn_ratio", "template_dice", "volume ml"])
    for name, found in rows.items():
        states = [state for state, _ in found]
        ranges = []
        for key, digits in (("nmi", 3), ("half_turn_ratio", 2), ("template_dice", 2), ("volume_ml", 0)):
            values = [numbers[key] for _, numbers in found if key in numbers] or [float("nan")]
            ranges.append(f"{min(values):.{digits}f} to {max(values):.{digits}f}")
        print(f"| {name} | {len(found)} | {states.count('failed')} | {states.count('warned')} | {' | '.join(ranges)} |")


def compare(count: int) -> None:
    """The other methods beside the default one, on the same scans."""
    template = mni152(2.0)
    heads = [volume.read(path) for path, _ in islice((row for row in scans() if "IXI" in row[0].name), count)]
    drawn = [(make_phantom(seed, CONTRASTS[seed % 4]), CONTRASTS[seed % 4]) for seed in range(count)]
    reference = [methods()["nmi_search"](scan, "T1w", False) for scan in heads]
    print(f"\n{count} phantoms (error) and {count} IXI heads (distance to nmi_search), mm\n")
    table(["method", "CPU s", "phantom mean", "phantom max", "phantoms > 5 mm", "IXI mean", "IXI max", "IXI > 5 mm"])
    for name, method in methods().items():
        begin = time.process_time()
        error = [
            distance(method(Volume(p.image, p.affine), contrast, False), p.template_to_scan, template)
            for p, contrast in drawn
        ]
        apart = [distance(method(scan, "T1w", False), r, template) for scan, r in zip(heads, reference, strict=True)]
        cpu = (time.process_time() - begin) / (2 * count)
        cells = [cpu, np.mean(error), np.max(error), sum(e > 5 for e in error)]
        cells += [np.mean(apart), np.max(apart), sum(a > 5 for a in apart)]
        print(
            f"| {name} | " + " | ".join(f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells) + " |",
            flush=True,
        )


def methods() -> dict[str, Method]:
    """Every backend, the polished default, and ANTs with its defaults (own start, no mask)."""
    template = mni152(2.0)

    def backend(**settings: str) -> Method:
        section = Registration.model_validate(settings)
        return lambda *scan: register(registration_input(*scan, template), template, section).matrix

    def ants_defaults(scan: Volume, modality: str, stripped: bool) -> np.ndarray:
        return itk.ants_defaults(registration_input(scan, modality, stripped, template), template)

    return {
        "nmi_search": backend(backend="nmi_search"),
        "nmi_search, SimpleITK polish": backend(backend="nmi_search", polish="simpleitk"),
        "nmi_search, ANTs polish": backend(backend="nmi_search", polish="ants"),
        "SimpleITK rigid, affine": backend(backend="simpleitk"),
        "ANTs rigid, affine": backend(backend="ants"),
        "ANTs Affine, its defaults": ants_defaults,
    }


def distance(a: np.ndarray, b: np.ndarray, template: Template) -> float:
    """Rms distance in mm between two affines over the template's brain."""
    points = np.argwhere(template.brain)[::37] @ template.affine[:3, :3].T + template.affine[:3, 3]
    apart = points @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def scans() -> Iterator[tuple[Path, str]]:
    """Real scans with their modality."""
    for path in sorted(data().glob("*/sub-*/*/*.nii.gz")):
        modality = path.name.removesuffix(".nii.gz").split("_")[-1]
        if modality not in ("mask", "dseg"):
            yield path, modality


def data() -> Path:
    """The folder of real scans."""
    return Path(os.environ["BRAINUAD_REAL_DATA"])


def table(names: list[str]) -> None:
    """Print the head of a Markdown table."""
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")


if __name__ == "__main__":
    main()
