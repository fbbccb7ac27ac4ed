"""A model on many scans as a workflow: parts that run at once, and at the end table and contact sheets of all.

`workflow/predict.smk` is the workflow. Light: each job reads its file again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from brainuad.errors import BrainuadError, ConfigError
from brainuad.formats.files import read_json, write_json
from brainuad.predict.options import Request, check_options
from brainuad.predict.record import TABLE

NEEDED = ("model", "input", "output")
PARTS = "parts"
DEFAULT_PARTS = 8
OF_THE_WORKFLOW = ("goes_on", "num_parts", "part_id", "dry_run", "mask")
"""Options of `brainuad predict` that no key of the workflow sets."""
SHOWN = 20
"""Scans that are named."""
FOLDER = ".parts"
"""In the output folder, with a marker of each part that ended: the labels of its scans that failed."""


@dataclass(frozen=True)
class Cohort:
    """What is asked of the workflow. `request`: of all scans."""

    request: Request
    parts: int

    @property
    def threads(self) -> int:
        """Cores of a job. Registration, most of the work, takes one, whatever the number of threads of the study."""
        return self.request.threads or 1

    def marker(self, part: int | str) -> str:
        """What says that a part ended; `part`: its number from 0, or a wildcard."""
        return str(self.request.output / FOLDER / f"part-{part}-of-{self.parts}.json")

    def markers(self) -> list[str]:
        """Of all parts."""
        return [self.marker(part) for part in range(self.parts)]

    def stamp(self) -> str:
        """A hash of what a part is made again for: options, and names, sizes and times of the files that it reads."""
        options = "\n".join(f"{name} {value}" for name, value in vars(self.request).items())
        return _hash("\n".join([options, *(files_of(path, self.request.output) for path in self.request.input)]))


def cohort_of(config: Mapping[str, Any]) -> Cohort:
    """From the keys of `snakemake --config`, which are options of `brainuad predict`, and `parts`.

    Raises ConfigError for a key or value that is none.
    """
    known = {field.name for field in fields(Request)} - {*OF_THE_WORKFLOW}
    given = dict(config)
    if isinstance(given.get("input"), str | Path):
        given["input"] = [given["input"]]
    parts = given.pop(PARTS, DEFAULT_PARTS)
    if missing := [name for name in NEEDED if name not in given]:
        do = "give --config model=mine.brainuad input=SCANS output=OUT"
        raise ConfigError(f"--config lacks {missing[0]}", do=do)
    if unknown := sorted({*given} - known):
        raise ConfigError(f"--config has no key {unknown[0]}", do=f"use {', '.join(sorted(known))}, {PARTS}")
    try:
        request = TypeAdapter(Request).validate_python(given)
        parts = TypeAdapter(int).validate_python(parts)
        check_options(request)
    except (ValidationError, typer.BadParameter) as error:
        raise ConfigError("--config cannot be used", why=_first(error), do="correct it") from None
    if not request.model.is_file():
        do = "name the file that `brainuad export` wrote"
        raise ConfigError("there is no such model file", file=request.model, do=do)
    if parts < 1:
        raise ConfigError(f"--config {PARTS}={parts} is no number of parts", do="give 1 or more")
    return Cohort(replace(request, goes_on=not request.overwrite, num_parts=parts), parts)


def files_of(path: Path, but: Path) -> str:
    """A hash of the names, sizes and times of a file, or of all files in a folder but those in the folder `but`."""
    found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    found = [each for each in found if but.absolute() not in each.absolute().parents]
    lines = [f"{each} {(state := each.stat()).st_size} {state.st_mtime_ns}" for each in found]
    return _hash("\n".join(lines))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def run_part(cohort: Cohort, part: int) -> None:
    """Predict the scans of a part and write its marker, whether scans failed or not. Raises as `predict_all`."""
    from brainuad.predict.command import predict_all  # late: it imports torch

    write_json(cohort.marker(part), predict_all(replace(cohort.request, part_id=part)))


def finish(cohort: Cohort, markers: Sequence[str]) -> None:
    """Write table and contact sheets of all scans. Raises BrainuadError where scans failed.

    The markers of their parts are removed then, so that the next run tries these scans again.
    """
    from brainuad.predict.command import summarise

    summarise(replace(cohort.request, num_parts=1))
    failed: list[str] = []
    for marker in map(Path, markers):
        if mine := read_json(marker):
            failed += mine
            marker.unlink()
    if failed:
        why = f"{', '.join(sorted(failed)[:SHOWN])}{' and more' * (len(failed) > SHOWN)}; {TABLE} says why"
        raise BrainuadError(f"{len(failed)} scans failed", why=why, do="the same command tries them again")


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
