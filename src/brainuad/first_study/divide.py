"""Healthy people and patients in one folder: by the names of subjects, else by what the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from brainuad.first_study.part import HEALTHY, PATIENTS, Part
from brainuad.formats.scans import Scan

WithoutMask = Literal["healthy", "patients"]
"""What people without a lesion mask are, in a folder where others have one."""
OPTION = "--without-mask"
SHOWN = 3
"""People that are named."""
_PATIENT = re.compile(r"pat|pts?")
"""How patients are also called in names of subjects, never in those of folders."""


@dataclass(frozen=True)
class Said:
    """What the user says of people without a lesion mask. `ask`: puts a yes-no question, None without a terminal."""

    without_mask: WithoutMask | None = None
    ask: Callable[[str], bool] | None = None


def divided(part: Part, said: Said) -> tuple[list[Part], list[str]]:
    """The part, or its healthy people and its patients as parts; and what is left unsaid.

    A part that a table or a folder inside decides stays as it is. People who are neither healthy by their names nor
    have a lesion mask are patients where others are healthy by their names.
    """
    if part.decided:
        return [part], []
    people = {scan.subject for each in part.scans.values() for scan in each}
    marked = {scan.subject for each in part.scans.values() for scan in each if scan.mask}
    healthy = {subject for subject in people if HEALTHY.fullmatch(_word(subject))}
    patients = marked | {subject for subject in people - healthy if _is_patient(_word(subject))}
    if healthy and not healthy & marked:
        return _parts(part, healthy, people - healthy, f"subjects are called {_some(healthy)}", False), []
    rest = people - patients
    if not patients or not rest:
        by_name = patients and not marked
        why = f"subjects are called {_some(patients)}"
        return [replace(part, healthy=False, why=why, guessed=False) if by_name else part], []
    if not marked:
        return _parts(
            part, rest, patients, f"no table says otherwise, and others are called {_some(patients)}", True
        ), []
    answer = said.without_mask
    if answer is None and said.ask and not PATIENTS.search(part.folder.absolute().name.lower()):
        counted = f"{len(rest)} of {len(people)} people in {part.folder} have no lesion mask ({_some(rest)})"
        answer = "healthy" if said.ask(f"{counted}. Are they healthy?") else "patients"
    if answer == "healthy":
        return _parts(part, rest, patients, "no lesion mask, and you said so", False), []
    if answer == "patients":
        return [part], []
    why = f"nothing says whether the {len(rest)} people without a lesion mask ({_some(rest)}) are healthy"
    return [part], [f"{part.label}: {why}, and they count as patients; {OPTION} healthy says that they are"]


def _parts(part: Part, healthy: set[str], patients: set[str], why: str, guessed: bool) -> list[Part]:
    """The part in two, of which one may be empty; BIDS settings name the healthy subjects."""
    labels = sorted(subject.removeprefix("sub-") for subject in healthy)
    only: dict[str, Any] = {"entities": {"sub": labels}} if part.settings else {}
    but: dict[str, Any] = {"exclude": [f"sub-{label}" for label in labels]} if part.settings else {}
    if not patients:
        return [replace(part, healthy=True, why=why, guessed=guessed)]
    marked = any(scan.mask for each in part.scans.values() for scan in each)
    return [
        replace(
            part,
            label=f"{part.label}_{kind}",
            healthy=is_healthy,
            why=reason,
            guessed=guess,
            scans=_of(part.scans, people),
            settings={**part.settings, **settings},
        )
        for kind, is_healthy, people, reason, guess, settings in (
            ("healthy", True, healthy, why, guessed, only),
            ("patients", False, patients, "scans have lesion masks" if marked else "by their names", False, but),
        )
    ]


def _of(scans: Mapping[str, Sequence[Scan]], subjects: set[str]) -> dict[str, list[Scan]]:
    chosen = {name: [scan for scan in each if scan.subject in subjects] for name, each in scans.items()}
    return {name: each for name, each in chosen.items() if each}


def _word(subject: str) -> str:
    """The letters that a subject's label begins with: `control` of `sub-Control07`."""
    found = re.match(r"[a-z]+", subject.removeprefix("sub-").lower())
    return found[0] if found else ""


def _is_patient(word: str) -> bool:
    return _PATIENT.fullmatch(word) is not None or PATIENTS.search(word) is not None


def _some(subjects: set[str]) -> str:
    named = sorted(subjects)
    return ", ".join(named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")
