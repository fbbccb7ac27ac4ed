"""Conversion of a known data set's scans to NIfTI files that a study can read; each scan is converted once."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from brainuad.download.known.known_set import KnownSet
from brainuad.download.source_hash import hash_of_sources
from brainuad.errors import InputError, StorageError
from brainuad.formats import files
from brainuad.formats.scans import Scan, changed
from brainuad.status_line import Count

STAMP = ".converted.json"
"""In each scan's folder: the files and the code that it was converted with."""
logger = logging.getLogger(__name__)


def convert(label: str, dataset: KnownSet, rows: list[Scan], folder: Path) -> list[Scan]:
    """Convert the scans to files below `folder`; the rows, with a failed one for a scan that cannot be converted.

    Scans that were converted before, from the same files by the same code, are kept: an interrupted job resumes.
    """
    code, count = hash_of_sources(Path(__file__).parents[1]), Count(label, "scans", len(rows))
    done: list[Scan] = []
    for row in rows:
        done.append(_converted(dataset, row, folder / row.scan, code))
        count.step()
    count.close()
    return done


def _converted(dataset: KnownSet, row: Scan, folder: Path, code: str) -> Scan:
    made_from = {"row": asdict(row), "sources": _sources(row), "code": code}
    stamp = folder / STAMP
    if stamp.is_file() and (kept := files.read_json(stamp))["made_from"] == made_from:
        return Scan(**kept["made"])
    reason = ""
    try:
        with files.atomic_folder(folder) as part:
            made = dataset.convert(row, part)
            made = changed(made, **{k: path.replace(str(part), str(folder)) for k, path in made.files().items()})
            files.write_json(part / STAMP, {"made_from": made_from, "made": asdict(made)})
    except (StorageError, MemoryError, ImportError):  # not caused by the scan
        raise
    except InputError as error:
        reason = f"{error.what} ({error.why})" if error.why else error.what
    except Exception as error:  # whatever libraries raise for a header: the other scans go on
        logger.info("%s cannot be converted", row.scan, exc_info=True)
        reason = f"{Path(row.image).name} cannot be read ({type(error).__name__}: {error})"
    return changed(row, image="", mask="", state="failed", note=reason) if reason else made


def _sources(row: Scan) -> list[list[int]]:
    """Size and modification time of the files of a scan."""
    paths = [Path(path.partition("#")[0]) for path in row.files().values()]
    return [[path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()]
