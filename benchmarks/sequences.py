"""How well a sequence is brought to another one of its session: posed phantoms with known truth, and real pairs.

    BRAINUAD_REAL_DATA=<folder of real scans> python benchmarks/sequences.py [--phantoms 12]

Each pair is registered by `nmi_rigid`, which the sequences of a study use, and by `same_session` (SimpleITK), which
`register_with` uses, one after the other. Phantom error: distance over the brain (mm) to the known transform. Real
pairs (T1w and T2w in 5 mm slices of ds000011) have no truth: the normalised mutual information of the two that each
reaches, less 1. CPU seconds of one thread. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.metrics import normalized_mutual_information

from brainuad.config.reading import Reading
from brainuad.formats.raw import read_raw
from brainuad.formats.volume import Volume
from brainuad.images.phantom import Phantom, make_phantom
from brainuad.images.resample import resample
from brainuad.images.template import mni152
from brainuad.preprocess.registration.input import HEAD, RegistrationInput, registration_input
from brainuad.preprocess.registration.nmi_rigid import register_rigidly
from brainuad.preprocess.registration.same_session import register_in_session

Matrix = np.ndarray
CONTRASTS = ("T2w", "FLAIR")
THICK = 2.5
"""Voxels of 2 mm in a slice of 5 mm."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--skip-real", action="store_true")
    options = parser.parse_args()
    phantoms(options.phantoms)
    if not options.skip_real:
        real(Path(os.environ["BRAINUAD_REAL_DATA"]))


def methods(first: Volume, second: Volume, modality: str) -> tuple[RegistrationInput, RegistrationInput, dict]:
    """The two scans as registration takes them, and what each method makes of them."""
    template = mni152(2.0)
    inputs = registration_input(first, "T1w", False, template), registration_input(second, modality, False, template)
    ways: dict[str, Callable[[], Matrix]] = {
        "nmi_rigid": lambda: register_rigidly(*inputs),
        "same_session": lambda: register_in_session(first, second, *inputs),
    }
    return *inputs, ways


def phantoms(count: int) -> None:
    """Error and cost on phantoms that are turned by up to 10 degrees and moved by up to 10 mm along each axis."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for t1, second, truth, modality in posed(count):
        index = np.argwhere(t1.brain)[::97]
        points = t1.affine @ np.column_stack([index, np.ones(len(index))]).T
        *_, ways = methods(Volume(t1.image, t1.affine), second, modality)
        for name, register in ways.items():
            start = time.process_time()
            found = register()
            seconds = time.process_time() - start
            error = np.linalg.norm(((found - truth) @ points)[:3], axis=0)
            rows.setdefault(name, []).append((error.mean(), error.max(), seconds))
    print("| method | pairs | mean mm | worst mean | max mm | CPU s |\n| --- | --- | --- | --- | --- | --- |")
    for name, each in rows.items():
        mean, largest, seconds = np.array(each).T
        print(
            f"| {name} | {count} | {mean.mean():.2f} | {mean.max():.2f} | {largest.max():.2f} | {seconds.mean():.2f} |"
        )


def posed(count: int) -> Iterator[tuple[Phantom, Volume, Matrix, str]]:
    """A T1w, another contrast of that head in another pose, the transform between them; every third in 5 mm slices."""
    for seed in range(count):
        rng, modality = np.random.default_rng(seed), CONTRASTS[seed % len(CONTRASTS)]
        t1, other = (make_phantom([900, seed], contrast) for contrast in ("T1w", modality))
        data, affine = other.image, other.affine
        if seed % 3 == 0:
            shape = (*data.shape[:2], int(data.shape[2] / THICK))
            index = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
            smooth = ndimage.gaussian_filter1d(data, 1.0, axis=2)
            data = ndimage.map_coordinates(smooth, [*index[:2], THICK * index[2]], order=1)
            affine = affine @ np.diag([1, 1, THICK, 1])
        truth = np.eye(4)
        truth[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-10, 10, 3), degrees=True).as_matrix()
        truth[:3, 3] = rng.uniform(-10, 10, 3)
        yield t1, Volume(data.astype(np.float32), truth @ affine), truth, modality


def real(folder: Path) -> None:
    """What the two scans share under each method's transform."""
    print(
        "\n| pair | by the headers | nmi_rigid | CPU s | same_session | CPU s |\n| --- | --- | --- | --- | --- | --- |"
    )
    for subject in sorted((folder / "ds000011").glob("sub-*")):
        t1, t2 = (next((subject / "anat").glob(f"*{end}.nii.gz")) for end in ("T1w", "inplaneT2"))
        first, second = (read_raw(path, Reading()).volume for path in (t1, t2))
        reference, scan, ways = methods(first, second, "T2w")
        cells = [f"{shared(reference, scan, np.eye(4)):.4f}"]
        for register in ways.values():
            start = time.process_time()
            found = register()
            cells += [f"{shared(reference, scan, found):.4f}", f"{time.process_time() - start:.2f}"]
        print(f"| {subject.name} | {' | '.join(cells)} |")


def shared(reference: RegistrationInput, scan: RegistrationInput, matrix: Matrix) -> float:
    """Normalised mutual information of the two in the reference's head, less 1."""
    fixed = reference.volume
    x, y, z = fixed.data.shape
    moved = resample(scan.volume.data, scan.volume.affine, (x, y, z), fixed.affine, matrix)
    head = fixed.data > HEAD
    return float(normalized_mutual_information(fixed.data[head], moved[head], bins=32)) - 1


if __name__ == "__main__":
    main()
