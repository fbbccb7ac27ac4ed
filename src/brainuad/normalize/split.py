"""The split: which subject trains, validates or tests. Drawn once, by subject, from the study's seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from brainuad.config.datasets import Split
from brainuad.config.study import Study
from brainuad.errors import ConfigError, InputError
from brainuad.formats.scans import Role, Scan, changed

ROLES: tuple[Role, Role, Role] = ("train", "validation", "test")


def draw_split(scans: list[Scan], split: Split, seed: int) -> list[Scan]:
    """Give every scan of one data set its role; all sessions of a subject share it.

    Subjects are ordered by site, sex and age third, within these by a hash of seed, data set and name, and dealt out
    in proportion, so that every stratum is spread over the roles. A subject's hash does not depend on the others.
    Raises InputError where a role with a share above 0 would stay empty.
    """
    first = {scan.subject: scan for scan in reversed(scans)}
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
            do = f"add subjects or change datasets.{scans[0].dataset}.split"
            raise InputError(f"too few subjects in {scans[0].dataset} for the split", why=why, do=do)
    roles = dict(zip(order, _dealt(counts), strict=True))
    return [changed(scan, role=roles[scan.subject]) for scan in scans]


def _counts(n: int, shares: dict[Role, float]) -> dict[Role, int]:
    """Whole numbers that add up to n, by largest remainder."""
    exact = {role: n * share for role, share in shares.items()}
    counts = {role: int(value + 1e-9) for role, value in exact.items()}
    for role in sorted(exact, key=lambda role: counts[role] - exact[role])[: n - sum(counts.values())]:
        counts[role] += 1
    return counts


def _dealt(counts: dict[Role, int]) -> list[Role]:
    """The roles interleaved: each next one goes where the least of its share has been dealt."""
    dealt: dict[Role, int] = dict.fromkeys(ROLES, 0)
    sequence: list[Role] = []
    for _ in range(sum(counts.values())):
        role = min((r for r in ROLES if dealt[r] < counts[r]), key=lambda r: (dealt[r] + 0.5) / counts[r])
        dealt[role] += 1
        sequence.append(role)
    return sequence


def _age_thirds(scans: list[Scan]) -> dict[str, int]:
    """0, 1 or 2 by age, -1 where it is unknown."""
    ages = {scan.subject: float(scan.age) for scan in scans if _is_number(scan.age)}
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


def refuse_two_roles(study: Study, scans: Mapping[str, Sequence[Scan]]) -> None:
    """Of sets that are read from one place nobody may train as healthy and be a patient at another visit.

    Raises ConfigError naming one of those who would.
    """
    sets = study.scan_sets()
    places = {label: getattr(d, "root", None) or getattr(d, "file", None) for label, d in sets.items()}
    learning = [label for label, d in sets.items() if d.split and d.split.train]
    for label, other in ((a, b) for a in learning for b, d in sets.items() if not d.healthy):
        both = {row.subject for row in scans[label]} & {row.subject for row in scans[other]}
        if both and places[label] is not None and places[label] == places[other]:
            why = f"{len(both)} people, such as {sorted(both)[0]}: models would be tested on whom they know"
            do = f"list them under datasets.{label}.exclude"
            raise ConfigError(f"{label} and {other} share people", file=places[label], why=why, do=do)
