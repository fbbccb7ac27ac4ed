"""Preprocessing of one scan, from files to a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from brainuad.config import templates
from brainuad.config.reading import Reading
from brainuad.config.recipe import Preprocess
from brainuad.errors import ConfigError, InputError
from brainuad.formats import files, names, status
from brainuad.formats.raw import read_raw
from brainuad.formats.run import Record
from brainuad.formats.status import Status
from brainuad.images.template import load
from brainuad.preprocess.job_inputs import ScanInputs
from brainuad.preprocess.outputs import write_images
from brainuad.preprocess.pipeline import PreprocessedScan, Reference, preprocess_volume
from brainuad.preprocess.review import overlay
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.scan_masks import misplaced_lesions, read_masks
from brainuad.preprocess.settings import ScanSettings
from brainuad.resources import recording
from brainuad.resources.clock import Clock

MASK_REMEDY = "look at the lesion mask: mend it, or exclude the scan in the study's `decisions`"
REFERENCE_REMEDY = "add or mend the other scan of its session, or take register_with out of the study"


def preprocess_scan(name: str, inputs: ScanInputs, settings: ScanSettings, out: Path) -> Status:
    """`preprocess` for a scan of a job: `inputs` and `settings` are those of the job."""
    files, register_with = {key: Path(path) for key, path in inputs.files.items()}, settings.register_with
    scan = ScanFiles(
        name=name,
        modality=settings.modality,
        image=files["image"],
        masks={key: path for key, path in files.items() if key.partition("-")[0] in status.MASKS},
        healthy=settings.healthy,
        register_with=register_with,
        reference=files.get("reference") if register_with else None,
        reading=settings.reading,
        problem=inputs.problem,
    )
    return preprocess(scan, settings.preprocess(inputs.files.get("template")), out)


def preprocess(scan: ScanFiles, settings: Preprocess, out: Path) -> Status:
    """Preprocess a scan into the folder `out`. Returns its status, which is also written there.

    Bad data give the state `failed` with reasons and remedy, and no error; `out` then holds the status alone. The
    limits of quality are not applied here (`quality.verdict` does that): a scan beyond them keeps its files, because a
    person may include it. Raises ConfigError for settings that fit no scan.
    """
    _check_template(settings)
    clock = Clock()
    result, state = None, Status(scan=scan.name, modality=scan.modality, state="failed", **_origin(scan, settings))
    try:
        result, told = _preprocess_files(scan, settings)
        outcome = {"state": "warned" if told.warnings else "ok", "reasons": list(told.warnings)}
        remedy = "; ".join(dict.fromkeys(told.warnings.values())) or None
        measured = {"quality": result.quality, "stripped": result.stripped, "notes": told.notes}
        state = state.model_copy(update={**outcome, "remedy": remedy, **measured})
    except InputError as error:
        state = state.model_copy(update={"reasons": [_reason(error)], "remedy": error.do})
    with status.replaced(out, scan.name) as part:
        if result is not None:
            overlay.write(part / out.name / status.OVERLAY, _picture(result))
            state = state.model_copy(update={"files": write_images(part, result, state)})
        status.write(part / out.name / status.NAME, state)
        recording.write(part / out.name, Record("preprocess", {"scan": scan.name}, {}), clock)
    names.describe_dataset(out.parent, "Preprocessed scans", {"dataset": out.parent.name})
    return state


def _check_template(settings: Preprocess) -> None:
    try:
        load(settings.template, settings.spacing)
    except InputError as error:  # no fault of the scan
        raise ConfigError(error.what, file=error.file, why=error.why, do=error.do) from None


@dataclass(frozen=True)
class _Told:
    """What a user should know of a scan that was preprocessed. `warnings`: with what to do about each."""

    notes: list[str]
    warnings: dict[str, str]


def _preprocess_files(scan: ScanFiles, settings: Preprocess) -> tuple[PreprocessedScan, _Told]:
    if scan.problem:
        raise InputError(scan.problem, do="mend the scan, or list it under `exclude`")
    image = read_raw(scan.image, scan.reading)
    masks = read_masks(scan, image)
    reference, warning = _read_reference(scan)
    result = preprocess_volume(
        image.volume, scan.modality, settings, masks.masks, reference, stripped=scan.reading.stripped
    )
    of_masks = [*masks.warnings, *misplaced_lesions(scan, masks, result.masks, result.brain)]
    warnings = {**dict.fromkeys(of_masks, MASK_REMEDY), **({warning: REFERENCE_REMEDY} if warning else {})}
    result = replace(result, quality={**result.quality, **masks.numbers})
    return result, _Told([*image.notes, *masks.notes, *result.notes], warnings)


def _read_reference(scan: ScanFiles) -> tuple[Reference | None, str]:
    if scan.register_with is None:
        return None, ""
    if scan.reference is None:
        return None, f"it is registered by itself: there is no {scan.register_with} of its session"
    try:
        return Reference(read_raw(scan.reference, Reading()).volume, scan.register_with), ""
    except InputError as error:
        return None, f"it is registered by itself: {_reason(error)}"


def _reason(error: InputError) -> str:
    return f"{error.what} ({error.why})" if error.why else error.what


def _picture(result: PreprocessedScan) -> overlay.Picture:
    return overlay.overlay(result.registered.image, result.brain, result.registered.template)


def _origin(scan: ScanFiles, settings: Preprocess) -> dict[str, Any]:
    """What the status says of files, software and settings, without the limits, which are applied later."""
    template = {name: Path(path) for name, path in templates.files_of(settings.template).items()}
    used = {**settings.model_dump(mode="json", exclude={"quality"}), "template": Path(settings.template).name}
    inputs = {name: _checksum(path) for name, path in (scan.by_name() | template).items()}
    provenance = {"inputs": inputs, "versions": _versions(), "settings": used}
    return {"template": used["template"], "provenance": provenance}


def _checksum(path: Path) -> dict[str, str]:
    """The file's name, without its folders, which name machines and people, and its checksum if it can be read."""
    try:
        return {"file": path.name, "sha256": files.sha256(path)}
    except OSError:  # reading it as a scan will say why
        return {"file": path.name}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "torch", "nibabel", "nilearn")}
