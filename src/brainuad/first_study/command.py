"""`brainuad init`: looks at folders and writes a study for what lies there."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from brainuad.config.load import config_folder, load_study
from brainuad.config.paths import misread
from brainuad.config.study import RESERVED
from brainuad.download.sources import bids_names as names
from brainuad.errors import BrainuadError, InputError
from brainuad.first_study import bids, loose
from brainuad.first_study.divide import Said, divided
from brainuad.first_study.guess import Guess, guess
from brainuad.first_study.part import Found, Part, label_of
from brainuad.formats.files import atomic
from brainuad.formats.names import DATATYPES
from brainuad.formats.scans import Scan
from brainuad.plan import Plan
from brainuad.sharing import refuse_other_content

COLUMNS = ("subject", "image", "mask")
NO_PATIENTS = "no patient has a lesion mask, so that anomalies are drawn into healthy test scans"


def init(folders: Sequence[Path], out: Path, modality: str | None, said: Said) -> list[str]:
    """Write a study file for the scans in `folders`, and tables of those in no BIDS order; what to show.

    Raises InputError if no study can be made of them, or `out` is there, and ConfigError without a clone of brainuad.
    """
    if out.exists():
        raise InputError(f"{out.name} is there already", file=out, do="name another file with -o, or remove it")
    config_folder(out)
    found = look(folders, modality, said)
    made = guess(found, modality)
    loose_parts = [part for part in made.parts if not part.settings]
    tables = {part.label: out.with_name(f"{out.stem}_{part.label}.tsv") for part in loose_parts}
    try:
        for part in loose_parts:
            _write_table(tables[part.label], part.scans[made.modality])
        with atomic(out) as file:
            file.write_text(text(made, tables, found.masks, folders), encoding="utf-8")
            plan = Plan(load_study(file))
            refuse_other_content(plan.study)
            plan.refuse_leaks()
    except BrainuadError:
        for path in tables.values():
            path.unlink(missing_ok=True)
        raise
    remarks = [f"  {label}: {remark}" for label in plan.scans for remark in plan.remarks(label)]
    return [
        *_told(found, made),
        *(["remarks   on the scans:", *remarks] if remarks else []),
        *(f"wrote     {path}" for path in tables.values()),
        f"wrote     {out}",
        f"next      look at the lines with `guessed` in it; `brainuad check {out}`, then `brainuad run {out}`",
    ]


def look(folders: Sequence[Path], modality: str | None, said: Said) -> Found:
    """What the folders hold: BIDS folders, folders of those, or NIfTI files in any order."""
    parts: list[Part] = []
    masks: list[Path] = []
    notes: list[str] = []
    unclear: list[str] = []
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            what = f"{folder.name} is a file" if folder.exists() else "there is no such folder"
            raise InputError(what, file=folder, do="name the folder that holds the scans")
        if folder.resolve() in seen:
            raise InputError("the folder is named twice", file=folder, do="name each folder once")
        seen.add(folder.resolve())
        if part := misread(folder):
            do = "rename the folder, or link to it by another name"
            raise InputError(f"Snakemake would misread {part} in the path of the folder", file=folder, do=do)
        for place in _places(folder):
            if _is_bids(place):
                found = bids.parts_of(place)
                notes += [] if found else [f"{place} holds no T1w, T2w, FLAIR, PDw or CT scan in BIDS order"]
            else:
                found, only_masks, told = loose.parts_of(place, modality)
                masks += only_masks
                notes += told
            for each in found:
                mine, unsaid = divided(each, said)
                parts += mine
                unclear += unsaid
    return Found(_named_apart(parts), masks, notes, unclear)


def _is_bids(folder: Path) -> bool:
    """Whether it has folders of subjects, and not only some that are called so with the scans right in them."""
    subjects = list(folder.glob("sub-*/"))
    in_order = (any((each / name).is_dir() for name in DATATYPES) or any(each.glob("ses-*/")) for each in subjects)
    return any(in_order) or (bool(subjects) and not any(names.nifti_files(str(each)) for each in subjects))


def _places(folder: Path) -> list[Path]:
    """The folder itself; or those below it, if some are BIDS folders and it is none."""
    below = [each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    return below if not _is_bids(folder) and any(map(_is_bids, below)) else [folder]


def _named_apart(parts: Sequence[Part]) -> list[Part]:
    """The parts with labels that differ."""
    labels: list[str] = []
    for part in parts:
        label, n = part.label, 1
        while label in labels:
            n += 1
            label = f"{part.label}_{n}"
        labels.append(label)
    return [replace(part, label=label) for part, label in zip(parts, labels, strict=True)]


def _write_table(path: Path, scans: Sequence[Scan]) -> None:
    with atomic(path) as file, file.open("w", newline="", encoding="utf-8") as table:
        rows = [(scan.subject, _absolute(scan.image), _absolute(scan.mask)) for scan in scans]
        csv.writer(table, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def text(made: Guess, tables: Mapping[str, Path], masks: Sequence[Path], folders: Sequence[Path]) -> str:
    """The study file. `tables`: of parts in no BIDS order; `masks`: folders of lesion masks in MNI space."""
    name = label_of(folders[0].absolute().name)
    asked = " ".join(map(str, folders))
    lines = [
        f"# Written by `brainuad init {asked}`. What it guessed says so; docs/settings.md has every key.",
        f"study: {name}_study" if name in RESERVED else f"study: {name}",
        f"title: {_flow(f'{made.modality} scans of {folders[0].absolute().name}')}",
        f"lesion_sign: {made.lesion_sign}  # guessed from {made.modality}: dark, bright or both",
        "",
        "datasets:",
        *_dataset(made.training, made, tables, {"split": made.split}),
    ]
    for part in (*made.healthy, *made.patients):
        lines += _dataset(part, made, tables, {})
    if masks:
        lines += _made(
            "inserted", made, {"masks": list(map(str, masks))}, "lesion masks are put into healthy test scans"
        )
    if not made.patients and not masks:
        lines += _made(
            "artificial", made, {}, "no patient has a lesion mask: anomalies are drawn into healthy test scans"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"recipe: {made.recipe}",
            "",
            "models:",
            *(f"  {model}:" for model in made.models),
            "",
            "postprocessing: {none: none}",
            "thresholds:",
            "  - {rule: healthy_quantile, quantile: 0.98}",
            "  - {rule: burden, ml: 5}  # false positives of a healthy scan, equal for all models",
            "",
        ]
    )


def _dataset(part: Part, made: Guess, tables: Mapping[str, Path], more: Mapping[str, Any]) -> list[str]:
    """The lines of a data set; by default all its scans are test scans."""
    own = dict(part.settings) or {"source": "table", "file": str(tables[part.label])}
    if made.modality != "T1w":
        own["modality"] = made.modality
    told = f"guessed, {part.why}: check it" if part.guessed else part.why
    return [
        f"  {part.label}:",
        *(f"    {key}: {_flow(value)}" for key, value in own.items()),
        f"    healthy: {str(part.healthy).lower()}  # {told}",
        *(f"    {key}: {_flow(value)}" for key, value in more.items()),
    ]


def _made(source: str, made: Guess, settings: Mapping[str, Any], why: str) -> list[str]:
    return [
        f"  {source}:  # guessed: {why}",
        f"    source: {source}",
        f"    into: {made.training.label}",
        *(f"    {key}: {_flow(value)}" for key, value in settings.items()),
    ]


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
        .removesuffix("...\n")
        .strip()
    )


def _told(found: Found, made: Guess) -> list[str]:
    """What was found and guessed, a line for each part."""
    used = {part.label for part in made.parts}
    lines = []
    for part in found.parts:
        each = ", ".join(
            f"{len(scans)} {modality}"
            + (f" ({part.marked(modality)} with lesion mask)" if part.marked(modality) else "")
            for modality, scans in part.scans.items()
        )
        kind = "healthy" if part.healthy else "patients"
        lines.append(f"{'found' if part.label in used else 'left out':<10}{part.label}: {each}; {kind}, {part.why}")
        if part.guessed and part.label in used:
            lines.append(f"guessed   {part.label}: its people are {kind}")
    lines += [f"found     {folder}: lesion masks in MNI space, put into healthy scans" for folder in found.masks]
    shares = ", ".join(f"{share:.0%} {role}" for role, share in made.split.items())
    return [
        *lines,
        *(f"note      {note}" for note in (*found.notes, *found.unclear, *made.notes)),
        f"guessed   {made.modality}, lesions {made.lesion_sign}; recipe {made.recipe}; models {', '.join(made.models)}",
        f"guessed   {made.training.label} trains ({shares}){'; all others are test scans' * (len(made.parts) > 1)}",
        *([] if made.patients or found.masks else [f"guessed   {NO_PATIENTS}"]),
    ]
