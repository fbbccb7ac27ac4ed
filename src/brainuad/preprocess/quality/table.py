"""The quality table of a data set: the verdict on each of its scans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.formats import quality, scans, status
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.preprocess.quality.verdict import judged


def write_quality_table(table: Path, folders: Mapping[str, Path], limits: Quality, out: Path) -> None:
    """Write `out`, `quality.tsv`.

    `table`: the scans of the data set; `folders`: of the preprocessed scans, by scan; `limits`: of the recipe. Subjects
    without a scan to preprocess have a row as well.
    """
    listed = [row for row in scans.read(table) if row.scan in folders or row.state == "failed"]
    quality.write(out, [_row(row, folders.get(row.scan), limits) for row in listed])


def _row(scan: Scan, folder: Path | None, limits: Quality) -> QualityRow:
    if folder is None:
        return QualityRow(scan.dataset, scan.scan, scan.subject, "failed", scan.note, "add the scan")
    found = judged(status.read(folder / status.NAME), limits)
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
    )
