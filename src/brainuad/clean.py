"""What a results folder holds that its study does not use any more, and its removal.

A folder is listed if it lies where a job writes, bears the record of such a job, and belongs to a model, seed, data set
or postprocessing that the study file does not name. Everything else stays: links, folders with any file that brainuad
did not write, logs, and the folders of other studies.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from brainuad.cluster.run_lock import LOCKS, lock_error
from brainuad.errors import InputError
from brainuad.formats import files, leftovers
from brainuad.layout import Layout
from brainuad.sharing import NAME as SOURCES
from brainuad.terminal import table
from brainuad.units import format_size

if TYPE_CHECKING:
    from rich.table import Table

LEVELS: dict[str, tuple[str, ...]] = {
    "normalize": ("dataset",),
    "preprocess": ("dataset",),
    "train": ("model", "seed"),
    "infer": ("model", "seed", "dataset"),
    "postprocess": ("model", "seed", "dataset", "postprocessing"),
    "native": ("model", "seed", "dataset", "postprocessing"),
    "evaluate": ("model", "seed", "dataset"),
    "ceilings": ("dataset",),
}
"""What the folders in a stage's folder are named after."""
WORDS = {"dataset": "data set"}
RECORDS = {
    "preprocess": ("quality.tsv", "contact_sheets"),
    "train": ("run.json", "bundle.json", "resume", "live.json"),
    "native": ("dataset_description.json",),
}
"""One of these is in each folder that a job of the stage wrote; of other stages `run.json`."""
WRITTEN = {
    "normalize": ("*.npy", "scans.tsv", "scaling.safetensors"),
    "preprocess": ("quality.tsv", "contact_sheets/"),
    "train": ("arrays.safetensors", "metrics.csv", "system.jsonl", "resume/"),
    "infer": ("scores.tsv", "README.md", "sub-*/"),
    "postprocess": ("README.md", "sub-*/"),
    "native": ("README.md", "sub-*/"),
    "ceilings": ("ceilings.tsv",),
    "evaluate": ("metrics.tsv", "scans.tsv", "lesions.tsv", "curves.tsv"),
    "scans": ("README.md", "participants.tsv", "batches/", "sub-*/"),
}
"""What jobs write into these folders, beside `ALWAYS`; a name that ends in `/` is a folder."""
ALWAYS = ("*.json", ".bidsignore", ".snakemake_timestamp", ".DS_Store")
DEEPER = "*/"
INSIDE = {"resume/": ("*",), "contact_sheets/": ("page-*.png",), "sub-*/": ("sub-*", "overlay.png")}
"""And into the folders in them, at any depth."""
OF_ALL_STUDIES = ("preprocess", "download", "logs", "mlflow")
"""Folders of the results folder that are no study's."""
NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class Unused:
    """Files and folders that can be removed, or that stay, for one reason; `path`: what holds them."""

    path: Path
    why: str
    parts: list[Path] = field(default_factory=list)

    @property
    def size(self) -> float:
        """Bytes on disk."""
        return sum(map(files.used, self.parts))


@dataclass(frozen=True)
class Found:
    """What can be removed, and what looks similar and is kept."""

    unused: list[Unused] = field(default_factory=list)
    kept: list[Unused] = field(default_factory=list)

    def add(self, path: Path, why: str, part: Path, stranger: str = "") -> None:
        """Add a part. `stranger`: a file in it that brainuad did not write."""
        if stranger:
            self.kept.append(Unused(part, f"{why}, but brainuad did not write {stranger}", [part]))
            return
        same = [each for each in self.unused if (each.path, each.why) == (path, why)]
        if not same:
            self.unused.append(Unused(path, why))
        (same or self.unused)[-1].parts.append(part)


def clean(layout: Layout, folder: Path, with_scans: bool, yes: bool) -> list[Table | str]:
    """List what can be removed from `folder`; remove it if `yes`. Returns what to show.

    Raises InputError if `folder` is not that of the study, BrainuadError if Snakemake runs here.
    """
    if folder.resolve() != layout.folder.resolve():
        why = f"the study file writes to {layout.folder}"
        raise InputError(f"{folder} is not the folder of this study", why=why, do="name its study file with --study")
    found = find_unused(layout, with_scans)
    kept: list[Table | str] = [f"kept: {each.path}: {each.why}" for each in found.kept]
    if not found.unused:
        return [*kept, "nothing to remove"]
    rows = [(format_size(each.size), str(each.path), each.why) for each in found.unused]
    total = format_size(sum(each.size for each in found.unused))
    if not yes:
        return [table(("size", "path", "why"), rows, right=["size"]), *kept, f"{total}; add --yes to remove it"]
    if any(_entries(LOCKS)):
        raise lock_error(Path.cwd())
    remove(found, layout)
    return [table(("removed", "path", "why"), rows, right=["removed"]), *kept, f"{total} removed"]


def study_file(folder: Path) -> Path:
    """The study file that `folder` was last run with; raises InputError if that was not noted."""
    try:
        return Path(files.read_json(folder / SOURCES)["file"])
    except (InputError, KeyError, TypeError):
        why = f"there is no {SOURCES} that says it"
        raise InputError(
            "the file of this study is not known", file=folder, why=why, do="name it with --study"
        ) from None


def find_unused(layout: Layout, with_scans: bool = False) -> Found:
    """Search `results/<study>`, and what killed jobs left in the folders of all studies beside it.

    `with_scans`: also preprocessed scans that no study of the results folder uses. Raises InputError if there are no
    results.
    """
    if not layout.folder.is_dir():
        raise InputError("there are no results", file=layout.folder, do="name the folder of a study that has run")
    found = Found()
    for stage in LEVELS:
        _add_stage(found, layout, stage)
    for path in _roles_tables(layout):
        found.add(path, f"the study has no data set {path.stem}", path)
    if with_scans:
        _add_scans(found, layout)
    parts = {part for each in found.unused for part in each.parts}
    shared = [layout.root / name for name in OF_ALL_STUDIES]
    for place in (layout.folder, *filter(_is_folder, shared)):
        for path in _unfinished(place, parts):
            if leftovers.is_abandoned(path):
                found.add(path, "left by a job that was killed", path)
            else:
                found.kept.append(Unused(path, "a job may be writing it, perhaps on another machine", [path]))
    return found


def remove(found: Found, layout: Layout) -> None:
    """Remove what can be removed, and the folders of models and seeds that are empty then.

    Raises StorageError where the file system refuses.
    """
    stages = {layout.folder / stage for stage in LEVELS} | {layout.root / name for name in OF_ALL_STUDIES}
    for part in (part for each in found.unused for part in each.parts):
        try:
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink()
            for folder in part.parents:
                if folder in stages or folder == layout.folder or any(folder.iterdir()):
                    break
                folder.rmdir()
        except OSError as error:
            raise files.unwritable(part, error) from error


def _add_stage(found: Found, layout: Layout, stage: str) -> None:
    names, top = _names(layout, stage), layout.folder / stage
    for part in _folders(top, len(LEVELS[stage])):
        if not any((part / record).exists() for record in RECORDS.get(stage, ("run.json",))):
            continue
        below = part.relative_to(top).parts
        for depth, (level, name) in enumerate(zip(LEVELS[stage], below, strict=True), 1):
            if name not in names[level]:
                verb = "trains" if stage == "train" and level == "model" else "has"
                why = f"the study {verb} no {WORDS.get(level, level)} {name.removeprefix('seed-')}"
                found.add(top.joinpath(*below[:depth]), why, part, _stranger(part, WRITTEN[stage]))
                break
        else:
            if stage == "native" and part not in layout.natives():
                why = "the study makes no such maps on the scans' own grids"
                found.add(top, why, part, _stranger(part, WRITTEN[stage]))


def _names(layout: Layout, stage: str) -> dict[str, Collection[str]]:
    """The names that the study uses, by level."""
    study = layout.study
    return {
        "model": set(study.trainings().values()) if stage == "train" else study.models,
        "seed": [f"seed-{seed}" for seed in study.seeds],
        "dataset": study.datasets,
        "postprocessing": study.postprocessing,
    }


def _roles_tables(layout: Layout) -> Iterator[Path]:
    """Tables of scans with roles, of data sets that the study does not have."""
    folder = layout.folder / "normalize"
    for path in files.finished(folder, "*.tsv") if _is_folder(folder) else ():
        if path.stem not in layout.study.datasets and path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                columns = file.readline().rstrip("\n").split("\t")
            if {"scan", "subject", "dataset", "role"} <= set(columns):
                yield path


def _add_scans(found: Found, layout: Layout) -> None:
    """Folders of preprocessed scans."""
    own = {layout.preprocessed(label) for label in layout.sources()}
    folders = _folders(layout.root.resolve(), 1)
    others = [path for path in folders if path.name not in (layout.folder.name, *OF_ALL_STUDIES)]
    for part in _folders(layout.root / "preprocess", 2):
        if part in own or not any(part.glob("sub-*/status.json")):
            continue
        if user := next((other.name for other in others if _uses(other, part.parent.name, part.name)), ""):
            found.kept.append(Unused(part, f"not of this study, but {user} may use these preprocessed scans", [part]))
        else:
            found.add(part, "no study here uses these preprocessed scans", part, _stranger(part, WRITTEN["scans"]))


def _uses(study: Path, recipe: str, dataset: str) -> bool:
    """Whether a study has a data set under a recipe; one that has not noted its recipe may use any."""
    try:
        noted = files.read_json(study / SOURCES)
        return bool(noted["recipe"] == recipe and dataset in noted["sources"])
    except (InputError, KeyError, TypeError):
        places = (f"{stage}/{dataset}{end}" for stage in ("preprocess", "normalize") for end in ("", ".tsv"))
        return any((study / place).exists() for place in places)


def _folders(top: Path, depth: int) -> list[Path]:
    """Folders `depth` levels below `top`, sorted; links are not followed."""
    found = [top] if _is_folder(top) else []
    for _ in range(depth):
        found = [path for folder in found for path in _entries(folder) if _is_folder(path)]
        found = [path for path in found if NAME.fullmatch(path.name)]
    return found


def _stranger(folder: Path, written: Collection[str]) -> str:
    """The first entry that is not among `written`, as a path below `folder`; empty if there is none."""
    unfinished = leftovers.unfinished(folder)
    for path in _entries(folder):
        name, patterns = f"{path.name}/" * _is_folder(path) or path.name, (*written, *ALWAYS)
        known = [each for each in patterns if fnmatch(name, each) and each.endswith("/") == name.endswith("/")]
        if path.is_symlink() or not (known or path in unfinished):
            return path.name
        if known and name.endswith("/"):
            inside = written if known[0] == DEEPER else (*INSIDE.get(known[0], ()), DEEPER)
            if stranger := _stranger(path, inside):
                return f"{path.name}/{stranger}"
    return ""


def _unfinished(top: Path, without: Collection[Path]) -> Iterator[Path]:
    """What killed and living jobs write below `top`, except in the folders `without`; links are not followed."""
    there = leftovers.unfinished(top)
    yield from there
    for path in _entries(top):
        if path not in there and path not in without and _is_folder(path):
            yield from _unfinished(path, without)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
