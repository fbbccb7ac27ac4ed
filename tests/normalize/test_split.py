from __future__ import annotations

from collections import Counter

import pytest

from brainuad.config.datasets import Split
from brainuad.errors import InputError
from brainuad.formats.scans import Scan
from brainuad.normalize.split import draw_split

SHARES = Split(train=0.6, validation=0.2, test=0.2)


def people(n: int, sessions: int = 1, **known: list[str]) -> list[Scan]:
    return [
        Scan(
            scan=f"sub-{i:02d}_ses-{s}",
            subject=f"sub-{i:02d}",
            dataset="x",
            **{key: values[i % len(values)] for key, values in known.items()},
        )
        for i in range(n)
        for s in range(sessions)
    ]


def roles(scans: list[Scan]) -> dict[str, str]:
    return {scan.scan: scan.role for scan in scans}


def test_roles_have_their_shares_and_sessions_of_a_subject_one_role():
    split = draw_split(people(20, sessions=3), SHARES, seed=0)
    assert Counter(scan.role for scan in split) == {"train": 36, "validation": 12, "test": 12}
    for subject in {scan.subject for scan in split}:
        assert len({scan.role for scan in split if scan.subject == subject}) == 1


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_files():
    scans = people(20)
    assert roles(draw_split(scans, SHARES, 0)) == roles(draw_split(scans[::-1], SHARES, 0))
    assert roles(draw_split(scans, SHARES, 0)) != roles(draw_split(scans, SHARES, 1))


def test_sites_sexes_and_ages_are_spread_over_the_roles():
    scans = people(40, site=["a", "a", "a", "b"], sex=["F", "M"])
    test = Counter(scan.site for scan in draw_split(scans, SHARES, 3) if scan.role == "test")
    assert test == {"a": 6, "b": 2}
    old = people(30, age=[str(20 + 2 * i) for i in range(30)])
    ages = [float(scan.age) for scan in draw_split(old, SHARES, 0) if scan.role == "test"]
    assert min(ages) < 40
    assert max(ages) > 58


def test_too_few_subjects_are_refused():
    with pytest.raises(InputError, match="too few subjects in x for the split"):
        draw_split(people(2), SHARES, 0)
