"""The scans of a preprocess job, one after the other; those whose results are there and up to date are skipped.

Each scan's folder carries a stamp of what it was made from, so that a job that was killed, requeued, ran out of time
or was given more scans does only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainuad.errors import InputError
from brainuad.formats import done_file, status
from brainuad.formats.files import finished, read_json, write_json
from brainuad.preprocess.job_inputs import ScanInputs
from brainuad.preprocess.scan import preprocess_scan
from brainuad.preprocess.settings import ScanSettings

STAMP = "stamp.json"
"""Written last into a scan's folder."""
logger = logging.getLogger(__name__)


def preprocess_scans(inputs: Mapping[str, ScanInputs], settings: ScanSettings, code: str, done: Path) -> None:
    """Preprocess scans, each into a folder of its own beside that of the done file `done`, which is written last.

    `inputs`: by scan; `code`: the hash of the code that makes a scan. Whatever is wrong with a scan is its status.
    Raises at once where the settings, the file system or the memory of the machine are to blame.
    """
    folder = done.parents[1]
    stamps = {scan: _stamp(files, settings, code) for scan, files in inputs.items()}
    missing = [scan for scan, stamp in stamps.items() if not _is_up_to_date(folder / scan, stamp)]
    if skipped := len(stamps) - len(missing):
        logger.info("%d of %d scans are there already", skipped, len(stamps))
    remove_done_files(folder, missing)
    start = time.monotonic()
    for number, scan in enumerate(missing, 1):
        out = folder / scan
        (out / STAMP).unlink(missing_ok=True)  # first, because a folder is not removed in one step
        state = preprocess_scan(scan, inputs[scan], settings, out).state
        outcome = "no result" if state == "failed" else "measured"  # limits are applied later
        write_json(out / STAMP, {**stamps[scan], "files": _sizes(out)})
        left = (time.monotonic() - start) / number * (len(missing) - number)
        clock = f"{int(left // 60)}:{int(left % 60):02d}"
        logger.info("%s: %s (%d of %d, %s min left)", scan, outcome, number, len(missing), clock)
    done_file.write(done, {scan: _digest(json.dumps(stamp, sort_keys=True)) for scan, stamp in stamps.items()})


def remove_done_files(folder: Path, scans: list[str]) -> None:
    """Remove the done files that name one of `scans`, which are made anew, or that cannot be read.

    `folder`: of the scans' folders.
    """
    for scan in scans:
        (folder / scan / done_file.NAME).unlink(missing_ok=True)
    for path in finished(folder / done_file.BATCHES, "*.json") if scans else ():
        try:
            named = done_file.read([path])
        except InputError:  # it may name one of the scans; or another job has removed it
            named = scans
        if not set(scans).isdisjoint(named):
            path.unlink(missing_ok=True)


def _stamp(inputs: ScanInputs, settings: ScanSettings, code: str) -> dict[str, Any]:
    """What a scan's folder is made from. Snakemake names the environments that it makes by what is in them."""
    return {
        "settings": _digest(settings.sorted_json()),
        "code": code,
        "environment": Path(sys.prefix).name,
        "inputs": {name: _file_digest(path) for name, path in inputs.files.items()},
        "problem": inputs.problem,
    }


def _file_digest(path: str) -> str:
    """Path, size and time of a file, hashed, because paths name machines and people."""
    try:
        found = Path(path).stat()
    except OSError:  # the scan's status will say so
        return _digest(path)
    return _digest(f"{path} {found.st_size} {found.st_mtime_ns}")


def _is_up_to_date(out: Path, stamp: Mapping[str, Any]) -> bool:
    try:
        found = read_json(out / STAMP)
    except InputError:
        return False
    return bool(found == {**stamp, "files": _sizes(out)})


def _sizes(out: Path) -> dict[str, int]:
    """Size of each result by path: storage that is cleaned by age removes single files."""
    records = (STAMP, done_file.NAME)
    return {path: size for path, size in status.sizes(out).items() if Path(path).name not in records}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
