"""The quality table of a data set: the verdict on each of its scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.config.study import Missing
from brainuad.config.told import count
from brainuad.errors import InputError
from brainuad.formats import quality, scans, status
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.preprocess.quality.verdict import judged, unusable_sequences

SHOWN = 5
"""Sessions in a message."""


def write_quality_table(
    table: Path, folders: Mapping[str, Path], limits: Quality, out: Path, missing: Missing = "leave_out_scan"
) -> None:
    """Write `out`, `quality.tsv`.

    `table`: the scans of the data set; `folders`: of the preprocessed scans, by scan; `limits`: of the recipe;
    `missing`: what becomes of a session without one of the study's sequences. Subjects without a scan to preprocess
    have a row as well. Raises InputError for such a session where `missing` says `refuse`.
    """
    listed = [row for row in scans.read(table) if row.scan in folders or row.state == "failed"]
    rows = [_row(row, folders.get(row.scan), limits, missing) for row in listed]
    if missing == "refuse" and (lacking := [row for row in rows if row.missing]):
        why = "; ".join(f"{row.scan}: {row.missing.replace(';', ', ')}" for row in lacking[:SHOWN])
        why += f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        do = "add the sequences, exclude the subjects, or set `missing: leave_out_scan` or `map_the_rest` in the study"
        what = f"{count(len(lacking), 'session')} of {lacking[0].dataset} lack a sequence that can be used"
        raise InputError(what, file=table, why=why, do=do)
    quality.write(out, rows)


def _row(scan: Scan, folder: Path | None, limits: Quality, missing: Missing) -> QualityRow:
    if folder is None:
        return QualityRow(scan.dataset, scan.scan, scan.subject, "failed", scan.note, "add the scan")
    measured = status.read(folder / status.NAME)
    found = judged(measured, limits, missing)
    lost = unusable_sequences(measured, limits)
    contents = {name: told.content for name, told in measured.sequences.items() if told.content and name not in lost}
    return QualityRow(
        dataset=scan.dataset,
        scan=scan.scan,
        subject=scan.subject,
        state=found.state,
        reasons="; ".join(found.reasons),
        remedy=found.remedy or "",
        notes="; ".join(found.notes),
        stripped=found.stripped,
        has_image=bool(found.files),
        content=found.content,
        numbers=found.quality,
        missing=";".join(lost),
        sequence_contents=scans.for_each_modality(contents),
    )
