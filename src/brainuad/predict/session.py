"""The sequences of a session at predict: which files a model takes, and further ones on the template's grid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import nibabel as nib

from brainuad.config.recipe import Preprocess
from brainuad.config.told import listed
from brainuad.errors import InputError
from brainuad.formats.raw import read_raw
from brainuad.formats.status import SequenceStatus
from brainuad.predict.found import FurtherSequence, Given
from brainuad.preprocess.pipeline import PreprocessedScan
from brainuad.preprocess.quality import verdict
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.sequences import place_all

Scan: TypeAlias = str | Path | nib.Nifti1Image
UNUSABLE = "mend the file, or leave it out: the session is mapped by the rest"


@dataclass(frozen=True)
class Placed:
    """Further sequences on the template's grid. `refused`: why others cannot be used, by modality."""

    further: dict[str, FurtherSequence] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def files_of(scan: Scan | Mapping[str, Scan], known: Sequence[str], folder: Path) -> dict[str, Path]:
    """Paths by modality. `known`: the sequences that the model takes; `folder`: for images that are no files yet.

    Raises InputError for a single scan where the model takes several.
    """
    if isinstance(scan, Mapping):
        return {str(name): _path(each, folder / f"{name}.nii") for name, each in scan.items()}
    path = _path(scan, folder / "scan.nii")
    if len(known) > 1:
        why, do = (
            f"it maps sessions with {listed(known)}",
            "name the file of each sequence, or the folder of the session",
        )
        raise InputError(f"{path.name} is one sequence, and the model takes several", file=path, why=why, do=do)
    return {known[0]: path}


def require(files: Mapping[str, Path], known: Sequence[str], seen: Collection[str]) -> None:
    """Raises InputError for a sequence that is not `known`, and where the first is missing or none that is `seen`."""
    one = next(iter(files.values()), None)
    if other := [name for name in files if name not in known]:
        why, do = f"it takes {listed(known)}", "leave it out, or correct its name"
        raise InputError(f"the model takes no {other[0]}", file=files[other[0]], why=why, do=do)
    if known[0] not in files:
        role = "it is registered to the template, and the brain mask is made of it"
        raise InputError(f"the session lacks {known[0]}", file=one, why=role, do=f"give its {known[0]}")
    if not {*files} & {*seen}:
        mapped = listed([name for name in known if name in seen])
        why = f"it maps {mapped}, and {known[0]} is for the registration alone"
        raise InputError("the session lacks what the model maps", file=one, why=why, do=f"give its {mapped}")


def place(
    files: Mapping[str, Path], modality: str, made: PreprocessedScan, content: str, given: Given, settings: Preprocess
) -> Placed:
    """As preprocess does. `files`: of further sequences; `modality`, `made`, `content`: of the first."""
    told = Placed()
    scan = ScanFiles("the session", modality, Path(), reading=given.reading, sequences=dict(files))
    for name, placed, status in place_all(scan, made, settings, content):
        judged = verdict.sequence_verdict(status, settings.quality, name)
        told.notes.extend(f"{name}: {note}" for note in status.notes)
        if judged.failed:
            told.refused[name] = "; ".join(judged.failed)
        if placed is None:
            continue
        told.warned.extend(f"{name}: {reason}" for reason in judged.warned)
        told.notes.append(f"{name}: {_place(status, modality)}")
        shown = read_raw(files[name], given.reading).volume
        told.further[name] = FurtherSequence(shown, files[name].name, placed.image, placed.transform, status)
    return told


def _place(status: SequenceStatus, modality: str) -> str:
    return f"it was registered to the {modality}" if status.registered else f"its header places it on the {modality}"


def _path(scan: Scan, place: Path) -> Path:
    if isinstance(scan, str | Path):
        return Path(scan)
    if not isinstance(scan, nib.spatialimages.SpatialImage):
        why, do = f"it is of type {type(scan).__name__}", "give nib.Nifti1Image(array, affine) for an array"
        raise InputError("a scan is a path or an image of nibabel", why=why, do=do)
    nib.save(scan, place)
    return place
