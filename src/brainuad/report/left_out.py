"""The scans that are not in the study, in words: at the head of the report, and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats.scans import Scan
from brainuad.report.failures_costs import EXCLUDED, MADE, failures
from brainuad.report.study_results import read_data_records, read_listed, read_verdicts

MOST_SHOWN = 5


@dataclass(frozen=True)
class LeftOut:
    """`scans`: data set, scan and reason of each; `total`: scans of the study, those left out included."""

    scans: list[tuple[str, str, str]]
    total: int
    not_made: int
    """Scans of data sets made from others that could not be made."""

    def __str__(self) -> str:
        counted = f"{len(self.scans)} of {self.total} scans were left out" if self.scans else ""
        made = f"{self.not_made} scans could not be made" if self.not_made else ""
        return "; ".join(filter(None, [counted, made])) or f"all {self.total} scans are in the study"

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        """The first few."""
        return self.scans[:MOST_SHOWN]

    def lines(self, table: Path) -> list[str]:
        """For a terminal; none before any scan has a role. `table`: where all are listed."""
        if not self.total:
            return []
        if not self.scans and not self.not_made:
            return [str(self)]
        more = len(self.scans) - len(self.shown)
        return [
            f"{self}; the whole list is {table}",
            *(f"  {dataset} {scan}: {reason}" for dataset, scan, reason in self.shown),
            *([f"  and {more} more"] if more else []),
        ]


def left_out(failed: pd.DataFrame, listed: Sequence[Scan]) -> LeftOut:
    """Of the rows of `failures.tsv` and the scans of the study."""
    gone = failed[failed["state"].isin(EXCLUDED)].fillna("")
    own = gone[gone["stage"] != MADE]
    scans = [(str(d), str(s), str(r)) for d, s, r in zip(own["dataset"], own["scan"], own["reason"], strict=True)]
    return LeftOut(scans, len({(scan.dataset, scan.scan) for scan in listed}), len(gone) - len(own))


def read_left_out(
    study: Study, folder: Path, preprocessed: Path, decisions: Mapping[str, Mapping[str, str]]
) -> LeftOut:
    """From what the stages left so far, whether there is a report or not; folders as in `study_results`."""
    listed = read_listed(folder)
    records = read_data_records(study, folder, preprocessed)
    return left_out(failures(listed, read_verdicts(study, listed, folder), records, decisions), listed)
