"""Preprocessing of one scan, from files to a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from brainuad.config import templates
from brainuad.config.reading import Reading
from brainuad.config.recipe import Preprocess
from brainuad.errors import BrainuadError, ConfigError, InputError, StorageError
from brainuad.formats import checksums, files, names, status
from brainuad.formats.files import unwritable
from brainuad.formats.handling import Handling
from brainuad.formats.raw import read_raw
from brainuad.formats.run import Record
from brainuad.formats.scans import SEQUENCE
from brainuad.formats.status import Status
from brainuad.formats.whole_file import may_be_read
from brainuad.images.template import load
from brainuad.logs import OF_THE_DISK
from brainuad.preprocess.job_inputs import ScanInputs
from brainuad.preprocess.outputs import write_images, write_sequences
from brainuad.preprocess.pipeline import PreprocessedScan, Reference, Told, preprocess_volume
from brainuad.preprocess.review import overlay
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.scan_masks import misplaced_lesions, read_masks
from brainuad.preprocess.sequences import PlacedSequence, place_all
from brainuad.preprocess.settings import ScanSettings
from brainuad.resources import recording
from brainuad.resources.clock import Clock

FAULT_REMEDY = "look at the scan and at the traceback in the log; put the scan under `exclude` to go on without it"
MASK_REMEDY = "look at the lesion mask: mend it, or exclude the scan in the study's `decisions`"
REFERENCE_REMEDY = "add or mend the other scan of its session, or take register_with out of the study"

HANDLED = (
    Handling(
        "file",
        "a scan that causes any other error while it is read or preprocessed",
        "refused",
        "that scan fails with the error as its reason; the log has the traceback",
    ),
)
logger = logging.getLogger(__name__)


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
        sequences={name: files.get(f"{SEQUENCE}-{name}") for name in settings.sequences},
        aligned=settings.aligned,
    )
    return preprocess(scan, settings.preprocess(inputs.files.get("template")), out)


def preprocess(scan: ScanFiles, settings: Preprocess, out: Path) -> Status:
    """Preprocess a scan into the folder `out`. Returns its status, which is also written there.

    Whatever is wrong with the scan gives the state `failed` with reasons and remedy, and no error; `out` then holds the
    status alone. The limits of quality are not applied here (`quality.verdict` does that): a scan beyond them keeps its
    files, because a person may include it. Raises ConfigError for settings that fit no scan, and a fault of the
    machine: no space, no memory.
    """
    _check_template(settings)
    clock = Clock()
    notes: list[str] = []
    try:
        return _preprocess(scan, settings, out, clock, notes)
    except (ConfigError, StorageError):
        raise
    except MemoryError as error:  # its header was judged: the scan is of a sound size
        do = "give the job more memory (`--set-resources preprocess:mem_mb=...`), or put the scan under `exclude`"
        what = f"{scan.name} needs more memory than there is"
        raise BrainuadError(what, file=scan.image, why=str(error) or None, do=do) from error
    except InputError as error:
        failed = {"reasons": [_reason(error)], "remedy": error.do}
    except Exception as error:  # an unforeseen fault of one scan does not stop the others
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise unwritable(out, error) from error
        logger.warning("%s fails by %s: the log has the traceback", scan.name, _name(error))
        logger.info("%s fails by %s", scan.name, _name(error), exc_info=True)
        failed = {"reasons": [f"preprocessing ended in {_name(error)}"], "remedy": FAULT_REMEDY}
    return _write(out, _state(scan, settings, state="failed", notes=notes, **failed), None, clock)


def _preprocess(scan: ScanFiles, settings: Preprocess, out: Path, clock: Clock, notes: list[str]) -> Status:
    """`notes`: takes what was converted or decided, also of a scan that fails."""
    result, warnings, content = _preprocess_files(scan, settings, notes)
    further = {name: (placed, told) for name, placed, told in place_all(scan, result, settings, content)}
    outcome = {"state": "warned" if warnings else "ok", "reasons": list(warnings), "content": content}
    remedy = "; ".join(dict.fromkeys(warnings.values())) or None
    measured = {"quality": result.quality, "stripped": result.stripped, "notes": notes, "remedy": remedy}
    told = {"sequences": {name: state for name, (_, state) in further.items()}}
    images = {name: placed for name, (placed, _) in further.items() if placed is not None}
    return _write(out, _state(scan, settings, **outcome, **measured, **told), result, clock, images)


def _state(scan: ScanFiles, settings: Preprocess, **about: Any) -> Status:
    return Status(scan=scan.name, modality=scan.modality, **_origin(scan, settings), **about)


def _write(
    out: Path,
    state: Status,
    result: PreprocessedScan | None,
    clock: Clock,
    further: Mapping[str, PlacedSequence] | None = None,
) -> Status:
    with status.replaced(out, state.scan) as part:
        if result is not None:
            overlay.write(part / out.name / status.OVERLAY, _picture(result))
            written = write_images(part, result, state) | write_sequences(part, further or {}, result, state)
            sums = {name: checksums.of_file(part / path) for name, path in written.items()}
            state = state.model_copy(update={"files": written, "checksums": sums})
        status.write(part / out.name / status.NAME, state)
        recording.write(part / out.name, Record("preprocess", {"scan": state.scan}, {}), clock)
    names.describe_dataset(out.parent, "Preprocessed scans", {"dataset": out.parent.name})
    return state


def _name(error: Exception) -> str:
    """The kind of an error and its first line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")


def _check_template(settings: Preprocess) -> None:
    try:
        load(settings.template, settings.spacing)
    except InputError as error:  # no fault of the scan
        raise ConfigError(error.what, file=error.file, why=error.why, do=error.do) from None


def _preprocess_files(
    scan: ScanFiles, settings: Preprocess, notes: list[str]
) -> tuple[PreprocessedScan, dict[str, str], str]:
    """The result, what a person should look at with what to do about each, and the hash of the scan's content."""
    if scan.problem:
        raise InputError(scan.problem, do="mend the scan, or list it under `exclude`")
    image = read_raw(scan.image, scan.reading)
    notes += image.notes
    content = image.content
    masks = read_masks(scan, image)
    notes += masks.notes
    reference, warning = _read_reference(scan, notes)
    told = Told(scan.reading.stripped)
    result = preprocess_volume(image.volume, scan.modality, settings, masks.masks, reference, told)
    notes += result.notes
    of_masks = [*masks.warnings, *misplaced_lesions(scan, masks, result.masks, result.brain)]
    warnings = {**dict.fromkeys(of_masks, MASK_REMEDY), **({warning: REFERENCE_REMEDY} if warning else {})}
    return replace(result, quality={**result.quality, **masks.numbers}), warnings, content


def _read_reference(scan: ScanFiles, notes: list[str]) -> tuple[Reference | None, str]:
    if scan.register_with is None:
        return None, ""
    if scan.reference is None:
        return None, f"it is registered by itself: there is no {scan.register_with} of its session"
    try:
        found = read_raw(scan.reference, Reading())
    except InputError as error:
        return None, f"it is registered by itself: {_reason(error)}"
    notes += [f"{scan.reference.name}: {note}" for note in found.notes]
    return Reference(found.volume, scan.register_with), ""


def _reason(error: InputError) -> str:
    return f"{error.what} ({error.why})" if error.why else error.what


def _picture(result: PreprocessedScan) -> overlay.Picture:
    registered = result.registered
    return overlay.overlay(registered.image, result.brain, registered.template, result.masks.get(status.LESIONS))


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
        if may_be_read(path):  # a pipe would never end
            return {"file": path.name, "sha256": files.sha256(path)}
    except OSError:  # reading it as a scan will say why
        pass
    return {"file": path.name}


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "torch", "nibabel", "nilearn")}
