"""A preprocess job: its scans one after the other, but for those that are there as they would come out.

Each scan's folder carries a stamp of what it was made from, so that a job that was killed, requeued, ran out of time
or was given more scans does what is missing, and no more.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainuad.errors import BrainuadError, InputError
from brainuad.formats import batch, status
from brainuad.formats.files import read_json, write_json
from brainuad.preprocess.job import preprocess_scan

STAMP = "stamp.json"
"""Written last into a scan's folder."""


def preprocess_scans(config: Mapping[str, Any], code: str, inputs: Mapping[str, str], folder: Path, mark: Path) -> None:
    """Preprocess scans into `folder`, a folder each, then write `mark`.

    `config`: `about` the data set, the `recipe`, and which `scans`; `code`: the hash of what makes a scan; `inputs`:
    files by name, as `formats.batch` tells them apart. Raises BrainuadError where scans end in a fault of ours, once
    all others are done, and at once where settings or the file system are to blame.
    """
    found = batch.given(inputs, config["scans"])
    stamps = {scan: _stamp(config, code, files, fault) for scan, (files, fault) in found.items()}
    todo = [scan for scan, stamp in stamps.items() if not _fits(folder / scan, stamp)]
    if done := len(stamps) - len(todo):
        _say(f"{done} of {len(stamps)} scans are there already")
    batch.withdraw(folder, todo)
    faults: dict[str, str] = {}
    start = time.monotonic()
    for number, scan in enumerate(todo, 1):
        out, (files, fault) = folder / scan, found[scan]
        (out / STAMP).unlink(missing_ok=True)  # first, for a folder is not taken away at one stroke
        try:
            state = preprocess_scan(config, files, scan, out, fault).state
        except BrainuadError:
            raise
        except Exception as error:
            faults[scan] = told = f"{type(error).__name__}: {error}"
            _say(traceback.format_exc())
        else:
            told = "no result" if state == "failed" else "measured"  # limits judge later
            write_json(out / STAMP, {**stamps[scan], "files": _files(out)})
        left = (time.monotonic() - start) / number * (len(todo) - number)
        _say(f"{scan}: {told} ({number} of {len(todo)}, {int(left // 60)}:{int(left % 60):02d} min left)")
    if faults:
        what = f"{len(faults)} of {len(stamps)} scans ended in a fault of the program, the others are done"
        why = "; ".join(f"{scan}: {fault}" for scan, fault in faults.items())
        raise BrainuadError(what, why=why, do="see the tracebacks; put these scans under `exclude` to go on without")
    batch.write(mark, {scan: _digest(json.dumps(stamp, sort_keys=True)) for scan, stamp in stamps.items()})


def _stamp(config: Mapping[str, Any], code: str, files: Mapping[str, str], fault: str) -> dict[str, Any]:
    """What a scan's folder is made from. Snakemake names the environments that it makes by what is in them."""
    settings = json.dumps({key: config[key] for key in ("about", "recipe")}, sort_keys=True)
    return {
        "settings": _digest(settings),
        "code": code,
        "environment": Path(sys.prefix).name,
        "inputs": {name: _seen(path) for name, path in files.items()},
        "fault": fault,
    }


def _seen(path: str) -> str:
    """Path, size and time of a file, hashed: paths name machines and people."""
    try:
        found = Path(path).stat()
    except OSError:  # the scan's verdict will say so
        return _digest(path)
    return _digest(f"{path} {found.st_size} {found.st_mtime_ns}")


def _fits(out: Path, stamp: Mapping[str, Any]) -> bool:
    try:
        found = read_json(out / STAMP)
    except InputError:
        return False
    return bool(found == {**stamp, "files": _files(out)})


def _files(out: Path) -> dict[str, int]:
    """Size by path of what preprocess left: storage that is cleaned by age takes single files."""
    return {path: size for path, size in status.sizes(out).items() if Path(path).name not in (STAMP, batch.DONE)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
