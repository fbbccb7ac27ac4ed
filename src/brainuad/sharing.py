"""What studies share under one results folder: scans by label and recipe. Other content under a name is refused.

Each study writes what it means by its labels into `results/<study>/sources.json` when it starts. Its own edits are no
conflict; what another study that is still there means by the same label is. That study's file is read again, so that
data that has moved for both is no conflict either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.config.datasets import AnyScans, OnDisk
from brainuad.config.load import load_study
from brainuad.config.section import flat
from brainuad.config.study import Study
from brainuad.errors import BrainuadError, InputError
from brainuad.formats.files import read_json, unwritable, write_json
from brainuad.formats.handling import Handling

NAME = "sources.json"
OF_THE_STUDY = {"split", "optional", "exclude", "controls", "groups", "subjects", "accept_licence"}
"""Settings of a data set that choose among its scans: the files of a scan are the same whatever they say."""

HANDLED = (
    Handling(
        "study",
        "a label of a data set, or a recipe, that another study under the same `results` uses for other content",
        "refused",
        "refused before the first job; the message names both studies. `split`, `exclude` and `groups` may differ",
    ),
)


@dataclass(frozen=True)
class Claims:
    """What a study means by the names that it shares."""

    study: str
    sources: dict[str, dict[str, Any]]
    """Settings of its data sets by label."""
    recipe: str
    preprocess: dict[str, Any]
    """Settings of the recipe's preprocessing."""


def claims_of(study: Study) -> Claims:
    """What a study means by its labels and its recipe; the limits of quality belong to the study alone."""
    sources = {label: _source(dataset) for label, dataset in study.scan_sets().items()}
    recipe = study.recipe.preprocess.model_dump(mode="json", exclude={"quality"})
    return Claims(study.study, sources, study.recipe_name, recipe)


def refuse_other_content(study: Study) -> None:
    """Raise InputError if another study with results beside this one's means something else by a shared name.

    Also if `results` is no folder.
    """
    if (results := Path(study.results)).exists() and not results.is_dir():
        raise InputError("results is a file, not a folder", file=results, do="correct `results` in the study")
    mine = claims_of(study)
    for file in sorted(Path(study.results).glob(f"*/{NAME}")):
        if file.parent.name != study.study and (theirs := _claims(file)) and _conflict(mine, theirs):
            said = _conflict(mine, _present(theirs, file) or theirs)
            if said is not None:
                what, why, do = said
                do += f", or delete {file.parent} if you need it no more"
                raise InputError(what, file=file, why=why, do=do)


def claim(study: Study, study_file: Path) -> None:
    """Write what the study means by its names; raises InputError as `refuse_other_content` does."""
    refuse_other_content(study)
    mine, file = claims_of(study), Path(study.results) / study.study / NAME
    content = {"file": str(study_file.resolve()), "sources": mine.sources}
    content |= {"recipe": mine.recipe, "preprocess": mine.preprocess}
    if (last := _last_file(file)) not in (None, content["file"]) and Path(str(last)).exists():
        print(f"note: {file.parent} was last made from {last}", file=sys.stderr)  # noqa: T201
    if _claims(file) is None or read_json(file) != content:
        try:
            write_json(file, content)
        except OSError as error:
            raise unwritable(file, error) from None


def _last_file(file: Path) -> str | None:
    """The study file of the last run."""
    return read_json(file).get("file") if _claims(file) is not None else None


def _source(dataset: AnyScans) -> dict[str, Any]:
    settings = dataset.model_dump(mode="json", exclude=OF_THE_STUDY)
    if isinstance(dataset, OnDisk):
        settings["file" if "file" in settings else "root"] = str(dataset.location.resolve())
    return settings


def _claims(file: Path) -> Claims | None:
    """The claims of another study; None if the file says nothing."""
    try:
        content = read_json(file)
        return Claims(file.parent.name, dict(content["sources"]), content["recipe"], dict(content["preprocess"]))
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _present(theirs: Claims, file: Path) -> Claims | None:
    """What the other study's file says by now; None if it is gone, or cannot be read."""
    try:
        study = load_study(read_json(file)["file"])
    except (BrainuadError, KeyError):
        return None
    return claims_of(study) if study.study == theirs.study else None


def _conflict(mine: Claims, theirs: Claims) -> tuple[str, str, str] | None:
    """What is in conflict, why, and the remedy."""
    shared = [label for label in mine.sources if label in theirs.sources]
    for label in shared:
        if difference := _difference(mine.sources[label], theirs.sources[label], mine.study, theirs.study):
            what = f"the data set {label} of {mine.study} is another one than that of {theirs.study}"
            do = f"give it another label, or run this study with `--config results=results_{mine.study}`"
            return what, f"they would share a folder, but {difference}", do
    if shared and mine.recipe == theirs.recipe:
        ours, others = flat(mine.preprocess), flat(theirs.preprocess)
        if difference := _difference(ours, others, mine.study, theirs.study):
            what = f"the recipe {mine.recipe} of {mine.study} is another one than that of {theirs.study}"
            do = "give it another label (recipe: {use: ..., label: ...}), or run this study with "
            do += f"`--config results=results_{mine.study}`"
            return what, f"they would share the folder of {shared[0]}, but {difference}", do
    return None


def _difference(ours: dict[str, Any], others: dict[str, Any], mine: str, theirs: str) -> str:
    """The settings that differ, with both values; empty if none does."""
    return "; ".join(
        f"{key} is {ours.get(key)} in {mine} and {others.get(key)} in {theirs}" for key in _different(ours, others)
    )


def _different(ours: dict[str, Any], others: dict[str, Any]) -> Iterator[str]:
    """The first three keys with other values; a key that an older version did not know counts as equal."""
    known = [key for key in ours if key in others] or ["source"]
    yield from [key for key in known if ours.get(key) != others.get(key)][:3]
