"""Scans of a known set made into files that a study can read, each once."""

from __future__ import annotations

import time
import zlib
from dataclasses import asdict
from pathlib import Path

from brainuad.download.known import KnownSet
from brainuad.download.made import code_of, tell
from brainuad.errors import InputError, StorageError
from brainuad.formats import files
from brainuad.formats.scans import Scan, changed

STAMP = ".converted.json"
"""In each scan's folder: what it was made from."""


def convert(label: str, dataset: KnownSet, rows: list[Scan], folder: Path) -> list[Scan]:
    """The rows with the paths of what was made below `folder`; a scan that cannot be converted is a failed row.

    What was made from the same files by the same code is kept, so that a job that was cut off goes on.
    """
    code, start = code_of(Path(__file__).parent), time.monotonic()
    done: list[Scan] = []
    for row in rows:
        done.append(_converted(dataset, row, folder / row.scan, code))
        tell(label, "scans", len(done), len(rows), time.monotonic() - start)
    return done


def _converted(dataset: KnownSet, row: Scan, folder: Path, code: str) -> Scan:
    order = {"row": asdict(row), "sources": _sources(row), "code": code}
    stamp = folder / STAMP
    if stamp.is_file() and (kept := files.read_json(stamp))["order"] == order:
        return Scan(**kept["made"])
    fault = ""
    try:
        with files.atomic_folder(folder) as part:
            made = dataset.convert(row, part)
            made = changed(made, **{k: path.replace(str(part), str(folder)) for k, path in made.files().items()})
            files.write_json(part / STAMP, {"order": order, "made": asdict(made)})
    except StorageError:  # no fault of the scan
        raise
    except InputError as error:
        fault = f"{error.what} ({error.why})" if error.why else error.what
    except (EOFError, zlib.error, ValueError) as error:
        fault = f"{Path(row.image).name} cannot be read ({error})"
    return changed(row, image="", mask="", state="failed", note=fault) if fault else made


def _sources(row: Scan) -> list[list[int]]:
    """Size and time of the files that a scan is made of."""
    found = [Path(path.partition("#")[0]) for path in row.files().values()]
    return [[path.stat().st_size, path.stat().st_mtime_ns] for path in found if path.exists()]
