"""Brain extraction by programs that the user installs. Neither they nor their weights come with this package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.leftovers import temporary_folder
from brainuad.formats.volume import Volume
from brainuad.preprocess.modality import is_ct

OTHERWISE = "or set skullstrip.backend to auto"


@dataclass(frozen=True)
class Program:
    """How to run one. `commands`: its names; the first that is on the PATH is taken."""

    title: str
    commands: tuple[str, ...]
    arguments: Callable[[Path, Path], list[str]]
    """Command line arguments, from the paths of the scan and of the brain."""
    mask: str
    """Name of the file, beside the scan, where it writes the brain mask; without it the brain's voxels are the mask."""
    install: str
    ct: bool = False
    """Whether it takes CT."""

    def run(self, scan: Volume, modality: str) -> Volume:
        """The brain mask in the scan's own voxels.

        Raises InputError if it is not installed, was not made for the modality, or fails.
        """
        if is_ct(modality) and not self.ct:
            why, do = "it was made for magnetic resonance", "set skullstrip.backend to auto or synthstrip"
            raise InputError(f"{self.title} does not take CT", why=why, do=do)
        program = next((path for name in self.commands if (path := shutil.which(name))), None)
        if program is None:
            names = self.commands[0] if len(self.commands) == 1 else f"neither {' nor '.join(self.commands)}"
            why = f"{names} is {'not ' if len(self.commands) == 1 else ''}on the PATH"
            raise InputError(f"{self.title} is not installed", why=why, do=f"{self.install}, {OTHERWISE}")
        with temporary_folder() as folder:
            image, brain, mask = (folder / name for name in ("scan.nii.gz", "brain.nii.gz", self.mask))
            volume.write(image, scan.data, scan.affine)
            arguments = self.arguments(image, brain)
            done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
            if done.returncode != 0 or not (mask.is_file() or brain.is_file()):
                message = (done.stderr or done.stdout).strip()[-300:]
                why = message or f"it ended with exit code {done.returncode} and wrote no mask"
                raise InputError(f"{self.title} failed", why=why, do=f"{self.install}, {OTHERWISE}")
            return volume.read_mask(mask if mask.is_file() else brain)


PROGRAMS = {
    "robex": Program(
        "ROBEX",  # Iglesias 2011
        ("runROBEX.sh", "ROBEX"),
        lambda scan, brain: [str(scan), str(brain), str(scan.with_name("mask.nii.gz"))],
        "mask.nii.gz",
        "install it and put its folder on the PATH",
    ),
    "hdbet": Program(
        "HD-BET",  # Isensee 2019; arguments of its version 2
        ("hd-bet",),
        lambda scan, brain: ["-i", str(scan), "-o", str(brain), "-device", "cpu", "--disable_tta", "--save_bet_mask"],
        "brain_bet.nii.gz",
        "pip install hd-bet (version 2), run it once where there is a network so that it fetches its weights",
    ),
    "synthstrip": Program(
        "SynthStrip",  # Hoopes 2022
        ("mri_synthstrip", "synthstrip-singularity", "synthstrip-docker"),
        lambda scan, brain: ["-i", str(scan), "-o", str(brain), "-m", str(scan.with_name("mask.nii.gz"))],
        "mask.nii.gz",
        "install FreeSurfer 7.3 or later, or its container, from https://surfer.nmr.mgh.harvard.edu/docs/synthstrip",
        ct=True,
    ),
}
"""By backend."""
