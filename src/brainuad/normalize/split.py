"""The split: which subject trains, validates or tests; and the table of scans with their roles and states."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.config.study import Missing
from brainuad.config.told import count
from brainuad.errors import InputError
from brainuad.formats import quality, scans
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Role, Scan, changed

ROLES = scans.ROLES[:-1]
MAPPED_BY_THE_REST: tuple[Role, ...] = ("test", "")
"""Roles in which a session may lack a sequence."""


@dataclass(frozen=True)
class SplitRules:
    """How a data set is split, and which of its scans are used.

    `shares`: of the roles, None for a data set that is only preprocessed; `healthy`: whether all subjects are healthy;
    `decisions`: of a person, by scan, `exclude` or `include`, which take precedence over quality control.
    """

    shares: Split | None
    healthy: bool
    seed: int
    decisions: Mapping[str, str] = field(default_factory=dict)


def split(table: Path, quality_table: Path, rules: SplitRules, out: Path) -> None:
    """Write `out`: the data set's scans with role and state.

    The split is drawn before the verdicts of `quality_table` are read, so that one failed scan does not change the role
    of another. Subjects without a scan to preprocess keep their failed row. Raises InputError if a scan is to be
    included that has no files or no lesion mask.
    """
    listed = scans.read(table)
    verdicts = {row.scan: row for row in quality.read(quality_table) if row.has_image is not None}
    rows = [row for row in listed if row.scan in verdicts]  # neither excluded scans nor those without a file
    rows = rows if rules.shares is None else draw_split(rows, rules.shares, rules.seed)
    rows = [_judged(row, verdicts[row.scan], rules) for row in rows]
    scans.write(out, rows + [row for row in listed if row.state == "failed" and row.scan not in verdicts])


def fate_of_lacking(rows: Sequence[Scan], missing: Missing) -> list[str]:
    """What becomes of sessions that lack a sequence, in words. `rows`: these, with the roles that the split gives."""
    if not rows:
        return []
    kept = [row for row in rows if row.role in MAPPED_BY_THE_REST] if missing == "map_the_rest" else []
    if missing == "refuse":
        told = f"{count(len(rows), 'session')} without a sequence will end the study"
    elif missing == "leave_out_scan":
        told = f"{count(len(rows), 'session')} without a sequence will be left out"
    else:
        told = f"of {count(len(rows), 'session')} without a sequence, {len(kept)} will be kept and "
        told += f"{len(rows) - len(kept)} left out, since models learn from whole sessions"
    return [f"`missing: {missing}`: {told}"]


def draw_split(rows: list[Scan], split: Split, seed: int) -> list[Scan]:
    """Give every scan of one data set its role; all sessions of a subject share it.

    Subjects are ordered by site, sex and age third, within these by a hash of seed, data set and name, and assigned in
    proportion, so that every stratum is spread over the roles. A subject's hash does not depend on other subjects.
    Raises InputError if a role with a share above 0 would stay empty.
    """
    first = {row.subject: row for row in reversed(rows)}
    thirds = _age_thirds(list(first.values()))
    order = sorted(
        first,
        key=lambda name: (first[name].site, first[name].sex, thirds[name], _hash(seed, first[name].dataset, name)),
    )
    shares = {role: getattr(split, role) for role in ROLES}
    counts = _counts(len(order), shares)
    for role in ROLES:
        if shares[role] > 0 and counts[role] == 0:
            why = f"{len(order)} subjects, {shares[role]:.0%} for {role}"
            do = f"add subjects or change datasets.{rows[0].dataset}.split"
            raise InputError(f"too few subjects in {rows[0].dataset} for the split", why=why, do=do)
    roles = dict(zip(order, _interleaved(counts), strict=True))
    return [changed(row, role=roles[row.subject]) for row in rows]


def _judged(row: Scan, verdict: QualityRow, rules: SplitRules) -> Scan:
    judged = _with_state(_with_mask(row, verdict, rules), verdict, rules)
    of_sequences = {name: getattr(verdict, name) for name in quality.OF_SEQUENCES}
    return changed(judged, content=verdict.content, **of_sequences)


def _with_mask(row: Scan, verdict: QualityRow, rules: SplitRules) -> Scan:
    """Preprocessing refused masks that mark something on a healthy subject: what is left there marks nothing."""
    if rules.healthy:
        return changed(row, mask="")
    return changed(row, unmarked="1") if row.mask and verdict.numbers.get("lesion_ml") == 0 else row


def _with_state(row: Scan, verdict: QualityRow, rules: SplitRules) -> Scan:
    decision = rules.decisions.get(row.scan)
    usable = verdict.state != "failed" or decision == "include"
    if verdict.missing and usable and decision != "exclude" and row.role not in MAPPED_BY_THE_REST:
        why = f"it lacks {verdict.missing.replace(';', ' and ')}, and no model learns from such a session"
        return changed(row, state="failed", note="; ".join(filter(None, [row.note, why])))
    notes = "; ".join(filter(None, [row.note, verdict.reasons]))
    if decision == "exclude":
        return changed(row, state="excluded", note=notes)
    unlabelled = not rules.healthy and row.role and not row.mask
    no_mask = "no lesion mask, and the data set is not healthy: it cannot be scored"
    if decision == "include":
        if unlabelled or not verdict.has_image:
            why = (
                "; ".join(filter(None, [no_mask, row.note]))
                if unlabelled
                else verdict.reasons or "preprocessing wrote no image"
            )
            do = "remove its line from the decisions, or repair the scan"
            raise InputError(f"{row.scan} of {row.dataset} cannot be included", file=row.image, why=why, do=do)
        return changed(row, state="included", note=notes)
    if unlabelled and verdict.state != "failed":
        return changed(row, state="failed", note="; ".join([no_mask, *[notes] * bool(notes)]))
    return changed(row, state=verdict.state, note=notes)


def _counts(n: int, shares: dict[Role, float]) -> dict[Role, int]:
    """Whole numbers that add up to n, by largest remainder."""
    exact = {role: n * share for role, share in shares.items()}
    counts = {role: int(value + 1e-9) for role, value in exact.items()}
    for role in sorted(exact, key=lambda role: counts[role] - exact[role])[: n - sum(counts.values())]:
        counts[role] += 1
    return counts


def _interleaved(counts: dict[Role, int]) -> list[Role]:
    """Roles in proportion: each place takes the role of whose share the least has been used."""
    used: dict[Role, int] = dict.fromkeys(ROLES, 0)
    sequence: list[Role] = []
    for _ in range(sum(counts.values())):
        role = min((r for r in ROLES if used[r] < counts[r]), key=lambda r: (used[r] + 0.5) / counts[r])
        used[role] += 1
        sequence.append(role)
    return sequence


def _age_thirds(rows: list[Scan]) -> dict[str, int]:
    """0, 1 or 2 by age, -1 where it is unknown."""
    ages = {row.subject: float(row.age) for row in rows if _is_number(row.age)}
    ranked = sorted(ages, key=lambda name: (ages[name], name))
    thirds: dict[str, int] = defaultdict(lambda: -1)
    thirds.update({name: 3 * i // len(ranked) for i, name in enumerate(ranked)})
    return thirds


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _hash(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
