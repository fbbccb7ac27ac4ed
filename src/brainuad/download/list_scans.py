"""Rule `list_scans`: write the table of a data set's scans."""

from __future__ import annotations

import logging
from pathlib import Path

from brainuad.config.datasets import AnyScans
from brainuad.download.source_of import source_of
from brainuad.formats import scans
from brainuad.formats.run import Record
from brainuad.resources import recording

logger = logging.getLogger(__name__)


def list_scans(label: str, settings: AnyScans, table: Path) -> None:
    """Write `table`, and beside it the files that have to be made: phantoms or conversions.

    Scans that exist as files stay where they are.
    """
    # without paths, which name machines and people
    recorded = settings.model_dump(mode="json", exclude={"root", "file"})
    with recording.recorded(table.parent, Record("download", {"dataset": label}, recorded)):
        source = source_of(label, settings)
        rows = source.make_scans(table.parent)
        for note in source.content.notes:
            logger.warning("%s: %s", label, note)
        scans.write(table, rows)
