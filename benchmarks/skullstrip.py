"""Accuracy of the brain masks: Dice with the truth on posed phantoms, per contrast and backend.

    python benchmarks/skullstrip.py [--phantoms 6]

Backends run on the default registration, masks are compared on the scan's own voxels. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import shutil
import time

import numpy as np

from brainuad.config.recipe import Registration, SkullStrip
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.template import mni152
from brainuad.preprocess.brain_mask.skullstrip import strip
from brainuad.preprocess.registered_scan import resample_to_template
from brainuad.preprocess.registration.input import registration_input
from brainuad.preprocess.registration.register import register

CONTRASTS = ("T1w", "FLAIR", "T2w", "CT")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--phantoms", type=int, default=6, help="per contrast")
    count = parser.parse_args().phantoms
    template = mni152(2.0)
    names = ["template", "refined", "auto"] + (["robex"] if shutil.which("runROBEX.sh") else [])
    print("| contrast | backend | n | mean Dice | lowest | CPU s |\n|" + " --- |" * 6)
    for contrast in CONTRASTS:
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for seed in range(1000, 1000 + count):
            phantom = make_phantom(seed, contrast)
            scan = Volume(phantom.image, phantom.affine)
            affine = register(registration_input(scan, contrast, False, template), template, Registration())
            registered = resample_to_template(scan, affine, template, contrast)
            for name in names:
                begin = time.process_time()
                mask = strip(registered, SkullStrip.model_validate({"backend": name}), False)
                cpu = time.process_time() - begin
                rows[name].append((dice(registered.to_scan(mask), phantom.brain), cpu))
        for name, found in rows.items():
            scores, cpus = np.array(found).T
            print(f"| {contrast} | {name} | {count} | {scores.mean():.3f} | {scores.min():.3f} | {cpus.mean():.2f} |")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks, 0 to 1."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


if __name__ == "__main__":
    main()
