"""What a prediction says of one scan: `prediction.json`, and a row of `volumes.tsv`."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.formats import status
from brainuad.formats.files import atomic, finished, read_json, write_json

NAME, TABLE = "prediction.json", "volumes.tsv"
USE = "research use only; no medical device"
logger = logging.getLogger(__name__)
State = Literal["alike", "doubtful", "failed"]
COLUMNS = {
    "scan": "label of the scan",
    "state": "`alike`; `doubtful`, where the scan is unlike the training scans or its quality is in doubt; `failed`",
    "score": "anomaly score of the scan",
    "p_healthy": "conformal p value of the score: (1 + people of the model file's healthy scans who reach it) / "
    "(1 + their number)",
    "p_smallest": "the smallest p that this number of people allows",
    "threshold": "label of the threshold behind the columns that follow",
    "findings": "components of its mask",
    "marked_ml": "volume of the mask in the scan's own space",
    "largest_ml": "volume of the largest finding",
    "first_region": "region of the finding with the highest peak, by coarse lobe masks",
    "brain_ml": "volume of the brain mask in the scan's own space",
    "seconds": "time that the scan took",
    "remarks": "why it failed or is doubtful",
}
"""Of `volumes.tsv`."""


class ModelName(Section):
    """Which model file."""

    name: str
    study: str
    label: str
    sha256: str


class Record(Section):
    """`prediction.json`. Numbers are None where there is nothing to measure."""

    use: str = USE
    scan: str
    file: str
    """Name of the scan's file, without its folder."""
    sequences: dict[str, str] = {}
    """Of a session, where the model takes several sequences: the names of its files by modality."""
    input: str = ""
    """SHA-256 of the bytes of that file; of several files, of their checksums by modality."""
    options: dict[str, Any] = {}
    """Options of the command that change what is written of a scan; a brain mask by the SHA-256 of its file."""
    model: ModelName
    state: State
    remarks: list[str] = []
    """Why it failed, or why it is doubtful."""
    remedy: str = ""
    score: float | None = None
    p_healthy: float | None = None
    p_smallest: float | None = None
    threshold: str = ""
    """Label of the threshold behind `findings`."""
    thresholds: dict[str, float] = {}
    """In units of the map after its map operators; a mask was written for each."""
    findings: list[dict[str, Any]] = []
    marked_ml: float | None = None
    brain_ml: float | None = None
    quality: dict[str, float] = {}
    notes: list[str] = []
    """What was converted or decided while the scan was read."""
    stripped: bool | None = None
    content: str = ""
    """SHA-256 of the scan's voxels as they were read."""
    seconds: float = 0.0
    finished: str = ""
    """When, in UTC."""
    versions: dict[str, str] = {}
    files: dict[str, str] = {}
    """Paths in the output folder, by what they are."""


def write(path: Path, record: Record) -> None:
    """Write `prediction.json`."""
    write_json(path, record.model_dump(mode="json"))


def read(path: Path) -> Record:
    """Read `prediction.json`; raises InputError if it is missing, broken or of another version."""
    try:
        return Record.model_validate(read_json(path))
    except ValidationError as error:
        why = f"{error.error_count()} of its keys are unknown or missing"
        do = "name another output folder, or delete this one"
        raise InputError(f"{path.name} is of another version of brainuad", file=path, why=why, do=do) from None


def read_all(folder: Path, warn: bool = True) -> list[Record]:
    """The records of all finished scans in an output folder, by scan; `warn`: of those that cannot be read."""
    found = []
    for path in finished(folder, f"sub-*/{NAME}"):
        if not path.with_name(status.NAME).is_file():
            continue  # another part may be replacing it
        try:
            found.append(read(path))
        except InputError as error:
            logger.log(logging.WARNING if warn else logging.DEBUG, "%s is left out: %s", path.parent.name, error.what)
    return found


def write_table(path: Path, records: Sequence[Record]) -> None:
    """Write `volumes.tsv`, a row for each scan; numbers to six significant digits."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in _row(each).items()} for each in records)


def _row(record: Record) -> Mapping[str, Any]:
    volumes = [finding["ml"] for finding in record.findings]
    own = {name: getattr(record, name) for name in COLUMNS if name in Record.model_fields}
    marked = record.marked_ml is not None
    return own | {
        "findings": len(volumes) if marked else None,
        "largest_ml": max(volumes, default=0.0) if marked else None,
        "first_region": record.findings[0]["region"] if record.findings else "",
        "remarks": "; ".join(record.remarks),
    }


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("\t", " ").replace("\n", " ")
