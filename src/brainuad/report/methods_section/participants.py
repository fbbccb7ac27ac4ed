"""Who is in a study: the flow of scans and subjects through each data set and role, with age, sex and site."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from brainuad.config.study import Study
from brainuad.config.told import count, listed, modality_in_words
from brainuad.formats import array_cache, scans
from brainuad.formats.scans import Scan
from brainuad.report.methods_section.blocks import Facts

ROLES = {"train": "training", "validation": "validation", "calibration": "calibration", "test": "test", "": "no role"}
MOST_SITES = 6


@dataclass(frozen=True)
class Group:
    """The scans of one data set and role: `listed` is `failed` and `excluded` and `used` together."""

    dataset: str
    role: str
    failed: Sequence[Scan] = ()
    """Not preprocessed, beyond a limit of quality, or without lesion mask; of made scans, those that were not made."""
    excluded: Sequence[Scan] = ()
    """By a person's decision."""
    used: Sequence[Scan] = ()
    made: bool = field(default=False, compare=False)

    @property
    def listed(self) -> int:
        """Number of scans."""
        return len(self.failed) + len(self.excluded) + len(self.used)

    @property
    def unmarked(self) -> int:
        """Number of used scans of patients whose lesion mask marks nothing."""
        return sum(bool(scan.unmarked) for scan in self.used)

    @property
    def subjects(self) -> list[Scan]:
        """The first used scan of each subject."""
        return list({scan.person: scan for scan in reversed(self.used)}.values())[::-1]


def groups(
    study: Study, listed_scans: Sequence[Scan], folder: Path, not_made: Mapping[str, Iterable[str]]
) -> list[Group]:
    """The groups of a study, those of made data sets after their sources.

    `listed_scans`: all rows of `subjects.tsv`; `folder`: `results/<study>`; `not_made`: scans that could not be made.
    """
    found: dict[tuple[str, str], dict[str, list[Scan]]] = {}
    for scan in listed_scans:
        by_state = found.setdefault((scan.dataset, scan.role), {"failed": [], "excluded": [], "used": []})
        by_state[scan.state if scan.state in ("failed", "excluded") else "used"].append(scan)
    own = [
        Group(dataset, role, states["failed"], states["excluded"], states["used"])
        for (dataset, role), states in found.items()
    ]
    made = [
        group
        for label in study.datasets
        if label not in study.scan_sets()
        for group in _made(label, study.datasets[label].into, listed_scans, folder, not_made.get(label, ()))  # type: ignore[union-attr]
    ]
    order, roles = list(study.datasets), list(ROLES)
    known = [group for group in [*own, *made] if group.dataset in order]
    return sorted(known, key=lambda group: (group.made, order.index(group.dataset), roles.index(group.role)))


def _made(label: str, into: str, rows: Sequence[Scan], folder: Path, not_made: Iterable[str]) -> list[Group]:
    table = folder / "normalize" / label / array_cache.TABLE
    used = scans.read(table) if table.exists() else []
    sources = {scan.scan: scan for scan in rows if scan.dataset == into}
    failed = [sources[source] for name in not_made if (source := re.sub(r"_draw-\d+$", "", name)) in sources]
    found = []
    for role in filter(None, ROLES):
        parts = [[scan for scan in part if scan.role == role] for part in (failed, used)]
        if any(parts):
            found.append(Group(label, role, failed=parts[0], used=parts[1], made=True))
    return found


def ages(subjects: Iterable[Scan]) -> list[float]:
    """Known ages, in years."""
    return [age for scan in subjects if (age := _number(scan.age)) is not None]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def age_text(subjects: Sequence[Scan]) -> str:
    """Mean, sd and range, with the number of subjects whose age is known."""
    known = ages(subjects)
    if not known:
        return "not known"
    spread = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    of_all = "" if len(known) == len(subjects) else f"; known of {len(known)} of {len(subjects)}"
    return f"{np.mean(known):.1f}{spread} ({min(known):.0f} to {max(known):.0f}){of_all}"


def counted(values: Sequence[str], most: int) -> str:
    """How often each value occurs, the most frequent first; `not known` where none is."""
    known = Counter(value for value in values if value)
    if not known:
        return "not known"
    shown = [f"{name} {number}" for name, number in known.most_common(most)]
    more = [f"{len(known) - most} more with {sum(known.values()) - sum(n for _, n in known.most_common(most))}"]
    unknown = [f"not known {len(values) - sum(known.values())}"] if sum(known.values()) < len(values) else []
    return ", ".join([*shown, *(more if len(known) > most else []), *unknown])


def table(found: Sequence[Group]) -> Facts:
    """A row per data set and role."""
    columns = ["data set", "role", "scans listed", "failed", "excluded by a person", "scans used"]
    columns += ["subjects used", "unmarked", "age in years", "sex", "site"]
    rows = []
    for group in found:
        people = group.subjects
        numbers = [group.listed, len(group.failed), len(group.excluded), len(group.used), len(people), group.unmarked]
        about = [
            age_text(people),
            *(counted([getattr(each, key) for each in people], MOST_SITES) for key in ("sex", "site")),
        ]
        rows.append([group.dataset, ROLES[group.role], *map(str, numbers), *(about if people else ["–"] * 3)])
    caption = (
        "Flow of scans: those listed are those that failed, those excluded and those used. Age is the mean ± standard "
    )
    caption += (
        "deviation (range) over subjects, at the first scan of each. Unmarked: scans used of patients whose "
        "lesion mask "
    )
    caption += "marks nothing."
    return Facts(caption, columns, rows)


def sentences(found: Sequence[Group]) -> str:
    """The flow of each data set that holds scans of its own, in words."""
    parts = []
    for dataset in dict.fromkeys(group.dataset for group in found if not group.made):
        own = [group for group in found if group.dataset == dataset]
        listed_scans = sum(group.listed for group in own)
        gone = [
            f"{number} {why}"
            for number, why in (
                (sum(len(group.failed) for group in own), "failed"),
                (sum(len(group.excluded) for group in own), "excluded by a person"),
            )
            if number
        ]
        used = [f"{len(group.used)} ({ROLES[group.role]})" for group in own if group.used]
        left = f"{listed(gone)}, and " if gone else ""
        parts.append(f"Of {count(listed_scans, 'scan')} of `{dataset}`, {left}{listed(used) or 'none'} were used.")
        lacking = Counter(name for group in own for scan in group.used for name in scan.missing_sequences)
        if lacking:
            each = listed([f"{number} lacked {modality_in_words(name)}" for name, number in lacking.items()])
            parts.append(f"Of those used, {each}.")
    return " ".join(parts)
