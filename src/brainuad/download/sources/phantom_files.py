"""The files of synthesised heads, in BIDS order."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from brainuad import images
from brainuad.download.source_hash import hash_of_sources
from brainuad.errors import ConfigError
from brainuad.formats import transform, volume
from brainuad.formats.files import atomic, atomic_folder, read_json, write_json
from brainuad.images.contrasts import SUFFIX, Contrast, Lesions
from brainuad.images.seeds import seed_words
from brainuad.status_line import Count

_STAMP = ".phantom.json"
"""In each subject's folder: the settings and the code that it was made with."""


@dataclass(frozen=True)
class PhantomSet:
    """A set of heads. `spacing`: voxel size in mm; `prefix`: of the number in the labels, `sub-<prefix>NNN`."""

    subjects: int
    seed: int
    contrast: Contrast
    lesions: Lesions
    spacing: float
    prefix: str = ""


@dataclass(frozen=True)
class _Phantom:
    """One head; equal values give equal files."""

    subject: str
    seed: int
    contrast: Contrast
    lesions: Lesions
    spacing: float
    code: str


def make_dataset(out: Path, phantoms: PhantomSet) -> None:
    """Write the heads in BIDS order to `out`, with lesion masks if there are lesions, and participants.tsv.

    A head depends on the seed, its label and its lesions: healthy and other sets share no head, and all contrasts show
    the same one. `desc-truth_affine.json` holds the affine from the template. Heads made before with equal settings and
    code are kept. Raises ConfigError for a prefix that is no BIDS label.
    """
    prefix = phantoms.prefix
    if prefix and not (prefix.isascii() and prefix.isalnum()):
        raise ConfigError(f"{prefix!r} cannot be part of a subject's label", do="use letters and digits only")
    code = hash_of_sources(Path(str(images.__file__)).parent)
    labels = [f"sub-{prefix}{n:03d}" for n in range(1, phantoms.subjects + 1)]
    spacing = float(phantoms.spacing)
    heads = [_Phantom(label, phantoms.seed, phantoms.contrast, phantoms.lesions, spacing, code) for label in labels]
    missing = [head for head in heads if not _is_made(out, head)]
    if missing:
        count = Count(out.name, "heads", len(missing))
        for each in missing:
            _make(out, each)
            count.step()
        count.close()
    with atomic(out / "participants.tsv") as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["participant_id", "group", "lesion_type"])
        for label in labels:
            lesion_type = read_json(out / label / _STAMP)["lesion_type"]
            table.writerow([label, "healthy" if lesion_type == "none" else "lesion", lesion_type])


def _make(out: Path, head: _Phantom) -> None:
    from brainuad.images.phantom import make_phantom  # imports torch, which heads that are there need not
    from brainuad.images.threads import single_thread

    seed = seed_words(head.seed, "phantom", head.subject, head.lesions)
    with single_thread():
        phantom = make_phantom(seed, head.contrast, head.lesions, head.spacing)
    suffix = SUFFIX[head.contrast]
    with atomic_folder(out / head.subject) as folder:
        stem = folder / ("ct" if suffix == "ct" else "anat") / head.subject
        volume.write(f"{stem}_{suffix}.nii.gz", phantom.image.astype(np.int16), phantom.affine)
        if head.lesions != "none":
            volume.write(f"{stem}_desc-lesion_mask.nii.gz", phantom.lesion, phantom.affine)
        transform.write(f"{stem}_desc-truth_affine.json", transform.Affine(phantom.template_to_scan))
        write_json(folder / _STAMP, {"made_with": asdict(head), "lesion_type": phantom.lesion_type})


def _is_made(out: Path, head: _Phantom) -> bool:
    """Whether the head's folder, which is written whole or not at all, was made with these settings and this code."""
    stamp = out / head.subject / _STAMP
    return stamp.is_file() and read_json(stamp).get("made_with") == json.loads(json.dumps(asdict(head)))
