"""The results of preprocessing one scan: `status.json` and other records in the scan's folder, and images beside it.

The images bear BIDS names (`formats.names`) and lie where BIDS wants them in the data set's folder, the parent of the
scan's folder; `status.json` lists them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from brainuad.config import templates
from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.formats import checksums, done_file, leftovers, names
from brainuad.formats.files import read_json, sha256, unwritable, write_json
from brainuad.formats.names import Naming

Numbers = dict[str, float]
"""Quality numbers by name; `formats.quality` says what each means."""

NAME = "status.json"
OVERLAY = "overlay.png"
"""A picture to judge the registration by, beside `status.json`."""
IMAGE, BRAIN, TRANSFORM = "image", "brain", "transform"
"""Keys of `Status.files`: the scan and its brain mask on the template's grid, and the affine to it."""
LESIONS = "mask"
MASKS = (LESIONS, "ignore")
"""And, where the scan has them, its lesions and what is not scored, by their names among the files of a scan."""


def sequence_key(modality: str) -> str:
    """Key among `Status.files` of the image of a further sequence."""
    return f"{IMAGE}_{modality}"


class SequenceStatus(Section):
    """The result of a further sequence of a scan's session."""

    reasons: list[str] = []
    """Why there is none, or why a person should look at it."""
    notes: list[str] = []
    """What was converted or decided."""
    quality: Numbers = {}
    """Quality numbers, empty where there is no image."""
    content: str = ""
    """As that of a scan."""
    registered: bool = False
    """Whether it was registered to the scan; else it was taken as aligned by its header."""


class Status(Section):
    """The result of one scan."""

    scan: str
    """Label of the scan."""
    modality: str = ""
    """BIDS suffix of the scan."""
    state: Literal["ok", "warned", "failed"]
    """`failed` scans leave the study; the others stay. In `status.json` no limits of quality are applied yet."""
    reasons: list[str] = []
    """One sentence each, for `warned` and `failed`."""
    notes: list[str] = []
    """What was converted or decided while the files were read; no reason to look at the scan."""
    stripped: bool | None = None
    """Whether the scan was taken as skull-stripped; none if it could not be preprocessed."""
    remedy: str | None = None
    """What the user can do."""
    template: str = templates.BUNDLED
    """The recipe's template, without its folder."""
    files: dict[str, str] = {}
    """Images and the transform by `IMAGE`, `BRAIN`, `TRANSFORM` and `MASKS`: paths in the data set's folder."""
    checksums: dict[str, int] = {}
    """CRC-32 of these files, by the same keys."""
    content: str = ""
    """SHA-256 of the shape and the voxel values of the scan as it was read; empty if it could not be read."""
    quality: Numbers = {}
    """Quality numbers, empty for a scan that could not be preprocessed."""
    provenance: dict[str, Any] = {}
    """Input files with their SHA-256, software versions, settings."""
    sequences: dict[str, SequenceStatus] = {}
    """Further sequences of the session, by modality; those with an image are among the files, by `sequence_key`."""

    @property
    def naming(self) -> Naming:
        """What names of files say of the scan."""
        return Naming(self.modality, self.template)


def write(path: str | Path, status: Status) -> None:
    """Write `status.json`."""
    write_json(path, status.model_dump(mode="json"))


def read(path: str | Path) -> Status:
    """Read `status.json`; raises InputError if it is missing, broken or of another version."""
    try:
        return Status.model_validate(read_json(path))
    except ValidationError as error:
        why = f"{error.error_count()} of its keys are unknown or missing"
        do = "preprocess the scan again: delete its folder and run the same command"
        raise InputError(f"{Path(path).name} is of another version of brainuad", file=path, why=why, do=do) from None


def paths(out: Path) -> dict[str, Path]:
    """Images and the transform of a scan by the keys of `Status.files`; `out`: the scan's folder."""
    return {name: out.parent / path for name, path in read(out / NAME).files.items()}


def path(out: Path, name: str) -> Path:
    """One of `paths`; raises InputError if preprocess left no such file."""
    state = read(out / NAME)
    if name not in state.files:
        why = "; ".join(state.reasons) or f"its state is {state.state}"
        raise InputError(f"{state.scan} has no {name}", file=out / NAME, why=why, do=state.remedy or "exclude the scan")
    return out.parent / state.files[name]


def checked_paths(out: Path) -> dict[str, Path]:
    """`paths` of a scan that is used, compared with their checksums; raises InputError for a file that was altered."""
    state = read(out / NAME)
    found = {name: path(out, name) for name in dict.fromkeys((IMAGE, BRAIN, TRANSFORM, *state.files))}
    done = [out, *(each for each in (out.parent / done_file.BATCHES,) if each.is_dir())]
    do = f"delete {' and '.join(map(str, done))} and run the same command again, which preprocesses the scan anew"
    for name, file in found.items():
        try:
            altered = name in state.checksums and checksums.of_file(file) != state.checksums[name]
        except OSError as error:
            raise InputError(f"cannot read {file.name}", file=file, why=error.strerror, do=do) from None
        if altered:
            why = f"its checksum is not the one in {NAME}: it was damaged, edited or put in another's place"
            raise InputError(f"{file.name} was altered", file=file, why=why, do=do)
    return found


def require_preprocessed(out: Path, file: Path) -> None:
    """Raises InputError unless `file` is one of those that the scan was preprocessed from. `out`: its folder."""
    inputs = read(out / NAME).provenance.get("inputs", {})
    do = "give the file that was, or run preprocess again if it changed"
    try:
        known = not inputs or sha256(file) in [about.get("sha256") for about in inputs.values()]
    except OSError as error:
        raise InputError(f"cannot read {file.name}", file=file, why=error.strerror, do=do) from None
    if not known:
        there = ", ".join(about["file"] for about in inputs.values())
        raise InputError(f"{file.name} is not what was preprocessed", file=file, why=f"that was {there}", do=do)


@contextmanager
def replaced(out: Path, scan: str) -> Iterator[Path]:
    """Yield an empty temporary folder; on success its content replaces all files that an earlier job wrote of a scan.

    `out`: the scan's folder. The paths in the temporary folder are those in the data set's folder. The old
    `status.json` is removed first, the new one is moved last. Raises StorageError where the file system refuses.
    """
    folder = out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        leftovers.remove_leftovers(out)
        part = Path(tempfile.mkdtemp(dir=folder, prefix=leftovers.prefix(out)))
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        yield part
        out.mkdir(exist_ok=True)
        (out / NAME).unlink(missing_ok=True)
        for old in (path for path in out.iterdir() if path.is_file()):
            old.unlink()
        names.remove(folder, scan)
        for new in sorted((path for path in part.rglob("*") if path.is_file()), key=lambda path: path.name == NAME):
            target = folder / new.relative_to(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            new.replace(target)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sizes(out: Path) -> dict[str, int]:
    """Size in bytes of each existing file of a scan, by path in the data set's folder; `out`: the scan's folder."""
    try:
        images = list(paths(out).values())
    except InputError:
        images = []
    sidecars = [names.sidecar(path) for path in images if path.name.endswith(".nii.gz")]
    own = [path for path in out.iterdir() if not path.name.startswith(".")]
    there = [path for path in [*own, *images, *sidecars] if path.is_file()]
    return {path.relative_to(out.parent).as_posix(): path.stat().st_size for path in there}
