"""Files of a preprocessed scan, by their BIDS names and with their sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainuad.formats import names, status, transform, volume
from brainuad.formats.names import Naming
from brainuad.formats.status import Status
from brainuad.preprocess.pipeline import PreprocessedScan
from brainuad.preprocess.sequences import PlacedSequence

MASKS = {
    "mask": {"Description": "Reference mask of lesions", "Type": "Lesion"},
    "ignore": {"Description": "Voxels left out of the scores", "Type": "ROI"},
}
"""Sidecars of the masks that came with a scan."""


def write_images(folder: Path, result: PreprocessedScan, state: Status) -> dict[str, str]:
    """Write images and transform into the data set's `folder`; their paths in it, as `Status.files`."""
    scan, naming, raw = state.scan, state.naming, state.provenance["inputs"]
    paths = {
        status.IMAGE: names.preprocessed(scan, naming),
        status.BRAIN: names.brain_mask(scan, naming),
        **{name: names.reference_mask(scan, naming, name) for name in result.masks},
    }
    sidecars: dict[str, dict[str, Any]] = {
        status.IMAGE: {"Description": "Preprocessed scan", "SkullStripped": True, "RawSources": [_file(raw, state)]},
        status.BRAIN: {"Description": "Brain mask", "Type": "Brain", "Sources": [f"bids::{paths[status.IMAGE]}"]},
        **{name: {**MASKS[name], "RawSources": _files(raw, name)} for name in result.masks},
    }
    images = {status.IMAGE: result.image, status.BRAIN: result.brain, **result.masks}
    for name, data in images.items():
        volume.write(folder / paths[name], data, result.registered.template.affine)
        names.write_sidecar(folder / paths[name], naming, sidecars[name])
    paths[status.TRANSFORM] = names.transform(scan, naming)
    transform.write(folder / paths[status.TRANSFORM], result.registered.transform)
    return paths


def write_sequences(
    folder: Path, sequences: Mapping[str, PlacedSequence], result: PreprocessedScan, state: Status
) -> dict[str, str]:
    """Write images and transforms of further sequences into the data set's `folder`; their paths in it."""
    paths: dict[str, str] = {}
    for modality, placed in sequences.items():
        naming, raw = Naming(modality, state.template), state.provenance["inputs"]
        image, key = names.preprocessed(state.scan, naming), status.sequence_key(modality)
        about = {"Description": "Preprocessed scan", "SkullStripped": True, "RawSources": [raw[modality]["file"]]}
        volume.write(folder / image, placed.image, result.registered.template.affine)
        names.write_sidecar(folder / image, naming, about)
        moved = names.transform(state.scan, naming)
        transform.write(folder / moved, placed.transform)
        paths |= {key: image, f"{status.TRANSFORM}_{modality}": moved}
    return paths


def _files(raw: dict[str, dict[str, str]], mask: str) -> list[str]:
    return [about["file"] for key, about in raw.items() if key.partition("-")[0] == mask]


def _file(raw: dict[str, dict[str, str]], state: Status) -> str:
    return raw[state.modality]["file"]
