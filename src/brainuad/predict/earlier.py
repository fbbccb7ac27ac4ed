"""What earlier calls left in the output folder, and which scans are still to be done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.errors import InputError
from brainuad.formats.files import sha256
from brainuad.formats.whole_file import may_be_read
from brainuad.predict import outputs
from brainuad.predict import record as records
from brainuad.predict.asked import Input
from brainuad.predict.options import Request
from brainuad.predict.record import Record


@dataclass(frozen=True)
class Way:
    """How results are made. `model`: SHA-256 of the model file; `options`: as from `options_of`."""

    model: str
    options: dict[str, Any]


def options_of(request: Request, thresholds: Sequence[str]) -> dict[str, Any]:
    """The options that change what is written of a scan, as `prediction.json` holds them."""
    return {
        "thresholds": list(thresholds),
        "space": request.space,
        "stripped": request.stripped,
        "registered": request.registered,
        "mask": "" if request.mask is None else checksum(request.mask),
        "volume": request.volume,
        "magnitude": request.magnitude,
        "intensity_offset": request.intensity_offset,
        "save_reconstruction": request.save_reconstruction,
    }


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes; empty if it cannot be read."""
    try:
        return sha256(path) if may_be_read(path) else ""
    except OSError:  # reading it as a scan will say why
        return ""


def content_of(item: Input) -> str:
    """SHA-256 of the bytes of a scan's file; of a session with several, of their checksums by modality."""
    first = checksum(item.image)
    if not item.further:
        return first
    parts = [first, *(f"{name} {checksum(path)}" for name, path in sorted(item.further.items()))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def to_do(request: Request, every: Sequence[Input], mine: Sequence[Input], way: Way) -> list[Input]:
    """The scans of `mine` that are not finished. `every`: the scans of all parts.

    Raises InputError where results are there and no option says what to do, and where they were made another way.
    """
    out = request.output
    if out.exists() and not out.is_dir():
        raise InputError("the output folder is a file", file=out, do="name a folder with -o")
    _check_place(request, every)
    _check_models(request, {item.scan for item in every}, way.model)
    if request.overwrite:
        return list(mine)
    there = [item for item in mine if outputs.is_there(out, item.scan)]
    if there and not request.goes_on:
        why = f"those of {there[0].scan}" + (f" and {len(there) - 1} more" if len(there) > 1 else "")
        do = "add --continue to keep them, --overwrite to replace them, or name another folder"
        raise InputError("the output folder holds results of these scans", file=out, why=why, do=do)
    for item in there:
        _check(records.read(out / item.scan / records.NAME), item, way, out)
    finished = {item.scan for item in there}
    return [item for item in mine if item.scan not in finished]


def _check_place(request: Request, every: Sequence[Input]) -> None:
    """Raises InputError if results would replace what was never a result: the scans themselves, or another's files."""
    out, do = request.output, "name another folder with -o"
    if any(path.is_dir() and path.resolve() == out.resolve() for path in request.input):
        raise InputError("the output folder is the folder of the scans", file=out, do=do)
    for item in every:
        folder = outputs.folder_of_person(out, item.scan)
        files = [item.image, *item.further.values(), *filter(None, [request.mask])]
        if lost := [path for path in files if _lies_in(path, folder)]:
            what = f"the results of {item.scan} would replace {lost[0].name}"
            raise InputError(what, file=lost[0], why=f"it lies in {folder}", do=f"{do}, or move the file")
    if others := outputs.foreign(out, {item.scan for item in every}):
        why = f"{others[0]} is not from `brainuad predict`, and would be replaced"
        raise InputError("the output folder holds other files", file=out, why=why, do=do)


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a file, or what it links to, is in a folder."""
    return folder.absolute() in path.absolute().parents or folder.resolve() in path.resolve().parents


def _check_models(request: Request, labels: set[str], model: str) -> None:
    """Raises InputError if results of another model would lie beside those that are made now."""
    for each in records.read_all(request.output, warn=False):
        replaced = request.overwrite and each.scan in labels
        if each.model.sha256 != model and each.state != "failed" and not replaced:
            why = f"{each.scan} was mapped by another model file, {each.model.name}"
            do = "name another folder" + (", or add --overwrite" if each.scan in labels else "")
            raise InputError("the output folder holds results of another model", file=request.output, why=why, do=do)


def _check(record: Record, item: Input, way: Way, out: Path) -> None:
    """Raises InputError if a finished result is of another file or was made with other options."""
    do = "name another folder, or add --overwrite in place of --continue"
    if record.input and not item.problem and content_of(item) != record.input:
        why = f"{item.scan} in it was made of {_files(record)}, and now it is {_now(item)}"
        raise InputError("the output folder holds results of another scan by this name", file=out, why=why, do=do)
    other = [name for name, value in way.options.items() if record.options.get(name, value) != value]
    if other:
        told = ", ".join(f"{name.replace('_', ' ')} {_shown(record.options[name])}" for name in other)
        why = f"{item.scan} was made with {told}"
        do = f"give the same options, {do}"
        raise InputError("the output folder holds results made with other options", file=out, why=why, do=do)


def _files(record: Record) -> str:
    return " and ".join(record.sequences.values()) or f"a file {record.file}"


def _now(item: Input) -> str:
    return " and ".join(path.name for path in (item.image, *item.further.values())) + ", with other bytes"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return {None: "undecided", "": "none", True: "yes", False: "no"}.get(value, str(value))
