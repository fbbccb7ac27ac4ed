"""The chain for one subject: from a scan as it came to files on the template's grid, and numbers on its quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config import templates
from brainuad.config.recipe import Preprocess
from brainuad.errors import ConfigError, InputError
from brainuad.formats import files, names, status, transform, volume
from brainuad.formats.run import Record
from brainuad.formats.status import Status
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.resample import resample
from brainuad.images.template import Template, load
from brainuad.preprocess import head, overlay, quality
from brainuad.preprocess.centre import centred
from brainuad.preprocess.register import align
from brainuad.preprocess.skullstrip import RegisteredScan, place, shape_of, strip, to_scan, to_template
from brainuad.resources import recording
from brainuad.resources.clock import Clock

REFERENCE = "add or mend the other scan of its session, or take register_with out of the study"
REGISTERED_AT = 2.0
"""Voxel size of the template that scans are registered to, in mm, whatever the grid of the result."""


@dataclass(frozen=True)
class Result:
    """One subject on the template's grid. `image`: float32, 0 outside `brain`; `masks`: by name."""

    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    masks: dict[str, Bool[np.ndarray, "x y z"]]
    transform: Affine
    registered: RegisteredScan
    quality: dict[str, float]


def preprocess(
    scan_paths: Mapping[str, Path],
    masks: Mapping[str, Path],
    modality: str,
    subject: str,
    settings: Preprocess,
    out: Path,
    healthy: bool = False,
    register_with: str | None = None,
    fault: str = "",
) -> Status:
    """Preprocess one subject and write the folder `out`; returns what is said of it, also written there.

    `scan_paths`: modality to file: the scan and, if it is to be registered with another of the same session, that one,
    whose modality is `register_with`; without it, or where it cannot be read, the scan is registered by itself and
    `warned`. `masks`: `mask` of lesions and `ignore`, on the scan's own grid; `fault`: what an earlier stage found
    wrong with the scan, if anything. Bad data makes a `failed` status with reasons and remedy, no error; `out` then
    holds the status alone. Limits of quality are not applied here (`formats.verdict` does): a scan beyond them keeps
    its files, for a person may take it all the same. Raises ConfigError for what this stage cannot do and
    lets our own faults through.
    """
    if not {modality} <= set(scan_paths) <= {modality, register_with or modality}:
        asked = ", ".join(scan_paths) or "none"
        raise ConfigError(
            f"{subject}: one modality per recipe is preprocessed, not {asked}", do=f"list {modality} alone in the study"
        )
    own = {name: Path(path) for name, path in templates.files_of(settings.template).items()}
    inputs = {name: Path(path) for name, path in {**scan_paths, **masks}.items()} | own
    told = {**settings.model_dump(mode="json", exclude={"quality"}), "template": Path(settings.template).name}
    provenance = {"inputs": _inputs(inputs), "versions": _versions(), "settings": told}
    clock = Clock()
    try:
        load(settings.template, settings.spacing)
    except InputError as error:  # no fault of the subject
        raise ConfigError(error.what, file=error.file, why=error.why, do=error.do) from None
    result, state = None, Status(subject=subject, modality=modality, state="failed", provenance=provenance)
    state = state.model_copy(update={"template": Path(settings.template).name})
    try:
        if fault:
            raise InputError(fault, do="mend the scan, or list it under `exclude`")
        scan = volume.read(inputs[modality])
        opened = {n: _mask(p, scan, inputs[modality], subject, healthy and n == "mask") for n, p in masks.items()}
        reference, alone = _reference(scan_paths, register_with)
        result = run(scan, opened, modality, settings, reference)
        marked = {"state": "warned", "reasons": [alone], "remedy": REFERENCE} if alone else {"state": "ok"}
        state = state.model_copy(update={**marked, "quality": result.quality})
    except InputError as error:
        state = state.model_copy(update={"reasons": [_reason(error)], "remedy": error.do})
    with status.replaced(out, subject) as part:
        if result is not None:
            state = state.model_copy(update={"files": _write(part, part / out.name, result, state)})
        status.write(part / out.name / status.NAME, state)
        recording.write(part / out.name, Record("preprocess", {"scan": subject}, {}), clock)
    names.describe_dataset(out.parent, "Preprocessed scans", {"dataset": out.parent.name})
    return state


def run(
    scan: Volume,
    masks: Mapping[str, Bool[np.ndarray, "x y z"]],
    modality: str,
    settings: Preprocess,
    reference: tuple[Volume, str] | None = None,
) -> Result:
    """The chain on arrays: register, strip, window, bias field, noise, template grid, centring.

    `masks`: by name, on the scan's own grid; `guide`: another scan of the same session and its modality; it is
    registered, and `scan` goes along.
    Raises InputError if no head or no brain is found.
    """
    from brainuad.preprocess.nmi_search import similarity

    template, coarse = load(settings.template, settings.spacing), load(settings.template, REGISTERED_AT)
    stripped = head.is_stripped(scan)
    seen = _seen(scan, modality, coarse, stripped)
    affine = (
        align(seen, coarse, settings.registration)
        if reference is None
        else _with_reference(scan, seen, *reference, settings)
    )
    registered = place(scan, affine, template, modality)
    brain = strip(registered, settings.skullstrip, stripped)
    if not brain.any():
        what = f"the brain mask is empty (0 of {brain.size:,} voxels)"
        raise InputError(
            what, why="no head was found where the header says it is", do="look at the scan and its header"
        )
    numbers = quality.measure(registered, brain, *similarity(seen, coarse, affine.matrix))
    carried = {name: to_template(mask, scan, affine, template) for name, mask in masks.items()}
    image = np.where(brain, _corrected(registered, brain, settings), 0).astype(np.float32)
    result = Result(image, brain, carried, affine, registered, numbers)
    return replace(result, **centred(image, brain, carried, registered)) if settings.centre else result


def _reference(paths: Mapping[str, Path], modality: str | None) -> tuple[tuple[Volume, str] | None, str]:
    """The scan to register with and its modality; or, where one is asked for in vain, why there is none."""
    if modality is None:
        return None, ""
    if modality not in paths:
        return None, f"it is registered by itself: there is no {modality} of its session"
    try:
        return (volume.read(paths[modality]), modality), ""
    except InputError as error:
        return None, f"it is registered by itself: {_reason(error)}"


def _reason(error: InputError) -> str:
    return f"{error.what} ({error.why})" if error.why else error.what


def _seen(scan: Volume, modality: str, template: Template, stripped: bool) -> head.RegistrationInput:
    """What a registration to the template sees of a scan."""
    seen = head.moving(scan, modality, stripped)
    return replace(seen, anchor=template.at(seen.anchor))


def _with_reference(
    scan: Volume, seen: head.RegistrationInput, reference: Volume, modality: str, settings: Preprocess
) -> Affine:
    """The affine of the guide, then the rigid way from it to the scan."""
    from brainuad.preprocess import within

    template = load(settings.template, REGISTERED_AT)
    reference_seen = _seen(reference, modality, template, head.is_stripped(reference))
    affine = align(reference_seen, template, settings.registration)
    return Affine(within.between(reference, scan, reference_seen, seen) @ affine.matrix)


def _corrected(
    registered: RegisteredScan, brain: Bool[np.ndarray, "x y z"], settings: Preprocess
) -> Float[np.ndarray, "x y z"]:
    """The scan on the template's grid, after window, N4 and curvature flow on its own voxels where they are asked for.

    The window comes after the strip, which needs to see bone, and before resampling, which would smear it.
    """
    if settings.window is None and settings.n4 is None and settings.curvature_flow is None:
        return registered.image
    from brainuad.preprocess import bias

    scan, template = registered.scan, registered.template
    if settings.window is not None:
        scan = head.windowed(scan, registered.modality, settings.window)
    data = scan.data
    if settings.n4 is not None:
        data = bias.n4(data, to_scan(brain, scan, registered.transform, template), scan.spacing, settings.n4)
    if settings.curvature_flow is not None:
        data = bias.curvature_flow(data, scan.spacing, settings.curvature_flow)
    return resample(data, scan.affine, shape_of(template), template.affine, registered.transform.matrix)


def _mask(path: Path, scan: Volume, scan_path: Path, subject: str, healthy: bool) -> Bool[np.ndarray, "x y z"]:
    mask = volume.read_mask(path)
    if not volume.same_grid(mask, scan):
        raise InputError(
            f"{Path(path).name} does not lie on the grid of {scan_path.name}",
            file=path,
            why=f"shapes {mask.data.shape} and {scan.data.shape}, or their affines differ",
            do="resample the mask to the scan it belongs to",
        )
    if healthy and mask.data.any():
        raise InputError(
            f"{subject} is declared healthy but has a lesion mask",
            file=path,
            why=f"{int(mask.data.sum())} voxels of {Path(path).name} are set",
            do="correct the group in participants.tsv or the role in the study, or remove the mask",
        )
    return mask.data


def _write(folder: Path, place: Path, result: Result, state: Status) -> dict[str, str]:
    """Write the images of a scan by their BIDS names into `folder` and its overlay into `place`; `Status.files`."""
    template, scan, naming = result.registered.template, state.subject, state.naming
    overlay.write(place / status.OVERLAY, overlay.overlay(result.registered.image, result.brain, template))
    paths = {status.IMAGE: names.preprocessed(scan, naming), status.BRAIN: names.brain_mask(scan, naming)}
    source = f"bids::{paths[status.IMAGE]}"
    raw = [about["file"] for name, about in state.provenance["inputs"].items() if name == state.modality]
    images: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        status.IMAGE: (result.image, {"Description": "Preprocessed scan", "SkullStripped": True, "RawSources": raw}),
        status.BRAIN: (result.brain, {"Description": "Brain mask", "Type": "Brain", "Sources": [source]}),
    }
    for name, mask in result.masks.items():
        paths[name] = names.reference_mask(scan, naming, name)
        raw = [state.provenance["inputs"][name]["file"]]
        about = {"mask": ("Reference mask of lesions", "Lesion"), "ignore": ("Voxels left out of the scores", "ROI")}
        images[name] = (mask, {"Description": about[name][0], "Type": about[name][1], "RawSources": raw})
    for name, (data, described) in images.items():
        volume.write(folder / paths[name], data, template.affine)
        names.describe(folder / paths[name], naming, described)
    paths[status.TRANSFORM] = names.transform(scan, naming)
    transform.write(folder / paths[status.TRANSFORM], result.transform)
    return paths


def _inputs(paths: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """File names (never whole paths: they name machines and people) and checksums of what is there."""

    def told(path: Path) -> dict[str, str]:
        try:
            return {"file": path.name, "sha256": files.sha256(path)}
        except OSError:  # reading it as a scan will say why
            return {"file": path.name}

    return {name: told(path) for name, path in paths.items()}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "torch", "nibabel", "nilearn")}
