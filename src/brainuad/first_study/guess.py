"""From what a folder holds to the parts of a study: modality, training set, test sets, recipe, models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from brainuad.download.sources.words import MODALITIES
from brainuad.errors import InputError
from brainuad.first_study.part import Found, Part

LEAST = 5
"""Healthy people that training, validation and test need together."""
ENOUGH_TO_CALIBRATE = 40
SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2}
CALIBRATED = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}
"""Shares of the training set with few healthy people, and with `ENOUGH_TO_CALIBRATE`."""
SIGNS = {"T1w": "dark", "ct": "both"}
"""How lesions look by modality; bright in others."""
BASELINES = ("zscore_atlas", "zscore_mirror_sum")
LEARNT = {"T1w": "flagship_fast", "ct": "mao_aeu_small"}
"""A model that learns in minutes on a CPU, by modality."""
OTHERWISE = "dae_fast"


@dataclass(frozen=True)
class Guess:
    """What the study is to hold. `training`: the healthy part that models learn from."""

    modality: str
    training: Part
    split: dict[str, float]
    healthy: list[Part]
    """Others, whose scans are test scans of another kind of scanner."""
    patients: list[Part]
    lesion_sign: str
    recipe: str
    models: list[str]
    notes: list[str]

    @property
    def parts(self) -> list[Part]:
        """All that the study uses."""
        return [self.training, *self.healthy, *self.patients]


def guess(found: Found, said: str | None) -> Guess:
    """The parts of a study. `said`: the modality, if the user says it.

    Raises InputError where too few people are healthy to train on.
    """
    modality = said or _modality(found.parts)
    there = [part for part in found.parts if part.scans.get(modality)]
    healthy = [part for part in there if part.healthy]
    patients = [part for part in there if not part.healthy and part.marked(modality)]
    training = _training(healthy, patients, modality)
    if training is None or training.people(modality) < LEAST:
        raise _too_few(found, modality, said, healthy)
    people = training.people(modality)
    without = {part.label: len(part.scans[modality]) - part.marked(modality) for part in there if not part.healthy}
    notes = [
        f"{part.label}: {n} scans of patients have no lesion mask and are "
        + ("not scored" if part in patients else "left out")
        for part in there
        if (n := without.get(part.label, 0))
    ]
    return Guess(
        modality=modality,
        training=training,
        split=CALIBRATED if people >= ENOUGH_TO_CALIBRATE else SPLIT,
        healthy=[part for part in healthy if part is not training],
        patients=patients,
        lesion_sign=SIGNS.get(modality, "bright"),
        recipe="ct_2mm" if modality == "ct" else "mri_2mm_nyul",
        models=[*BASELINES, LEARNT.get(modality, OTHERWISE)],
        notes=[*notes, *_others(found.parts, modality)],
    )


def _modality(parts: Sequence[Part]) -> str:
    """That of enough healthy people, then of patients with masks, then of most people."""

    def worth(modality: str) -> tuple[Any, ...]:
        healthy = max((part.people(modality) for part in parts if part.healthy), default=0)
        marked = sum(part.marked(modality) for part in parts if not part.healthy)
        return healthy >= LEAST, marked > 0, healthy, marked, -MODALITIES.index(modality)

    return max(MODALITIES, key=worth)


def _training(healthy: Sequence[Part], patients: Sequence[Part], modality: str) -> Part | None:
    """The healthy people of the patients' own folder if they are enough, else the largest part."""
    folders = {part.folder for part in patients}
    own = [part for part in healthy if part.folder in folders and part.people(modality) >= LEAST]
    return max(own or healthy, key=lambda part: part.people(modality), default=None)


def _others(parts: Sequence[Part], modality: str) -> list[str]:
    """Which other modalities there are, and of how many scans."""
    counts = {name: sum(len(part.scans.get(name, ())) for part in parts) for name in MODALITIES if name != modality}
    listed = ", ".join(f"{name} ({n})" for name, n in counts.items() if n)
    return [f"the study is of {modality}; there are also {listed}: --modality chooses another"] if listed else []


def _too_few(found: Found, modality: str, said: str | None, healthy: Sequence[Part]) -> InputError:
    if not found.parts:
        why = "there are lesion masks alone" if found.masks else next(iter(found.notes), None)
        return InputError("no scan is found", why=why, do="name a BIDS folder, or a folder with NIfTI files")
    n = max((part.people(modality) for part in healthy), default=0)
    why = f"models learn from healthy people, of whom {n} have a {modality} scan; {LEAST} are needed"
    do = "name a second folder with healthy people beside this one, or " + (
        "another --modality" if said else "say --modality"
    )
    if found.unclear:
        why, do = f"{why}; {found.unclear[0]}", f"say so if it is true, or {do}"
    return InputError("no study can be made of these scans", why=why, do=do)
