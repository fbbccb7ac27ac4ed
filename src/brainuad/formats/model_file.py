"""A model file, `NAME.brainuad`: a trained model with all that it needs to map a new scan.

A zip without compression. Reading it runs no code from it: it holds JSON, safetensors and text, nothing is unpacked by
the names that it gives, and every byte counts in its checksum. Why so: docs/decisions/0053-model-file.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from pydantic import Field, ValidationError

from brainuad.config.datasets import Modality, Sign
from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.formats import bundle as bundles
from brainuad.formats import checksums, leftovers, tensors
from brainuad.formats.bundle import Bundle
from brainuad.formats.files import atomic, sha256

FORMAT = 1
SUFFIX = ".brainuad"
MANIFEST, CARD, PAGE, LIKENESS, SELF_TEST = "manifest.json", "card.md", "card.html", "likeness.safetensors", "selftest"
SELF_TEST_FILE = f"{SELF_TEST}/phantom.json"
MODELS = "models"
NAMES = re.compile(
    rf"{MANIFEST}|{CARD}|{PAGE}|{LIKENESS}|{SELF_TEST_FILE}|{MODELS}/[a-z0-9_]+/seed-\d+/({bundles.ARRAYS}|{bundles.ABOUT})"
)
"""Every name that a member may have."""
DIGEST = 64
"""Digits of the SHA-256 of the whole file before it, which is the comment of the zip."""
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The time of every member: equal content gives equal bytes."""
LARGEST_MANIFEST = 16 << 20
COPY_AGAIN = "copy the file again from where it came from, or export it again"
UPDATE = "update brainuad, or ask for a file that this version can read"


class Part(Section):
    """A model of the file: the one that is exported, or a member of it that is an ensemble."""

    label: str
    bundle: str
    """Its training: `<label>/seed-<n>`, the folder in `models/`. Models that differ in their map share one."""
    map: dict[str, Any]
    """Its `map` section."""

    @property
    def seed(self) -> int:
        """Of its training."""
        return int(self.bundle.rpartition(bundles.SEED)[2])


class FileThreshold(Section):
    """A threshold: voxels of the processed map above it are predicted."""

    value: float
    """In units of the map."""
    source: str
    """unsupervised, labelled validation or paper constant."""
    scans: int
    """On how many scans it was found."""


class Grid(Section):
    """Voxels of the template's grid, and its affine: voxel index to the template's mm."""

    shape: tuple[int, int, int]
    affine: list[list[float]]


class Manifest(Section):
    """`manifest.json`, but for the checksums of the other members and of itself."""

    format: Literal[1] = 1
    name: str
    study: str
    label: str
    """Of the model in the study."""
    seeds: list[int] = Field(min_length=1)
    """Of several, the mean of their maps is the map."""
    modality: Modality
    """Of the scans; of a model that sees several sequences of a session, the one that is registered to the template."""
    lesion_sign: Sign
    """Of lesions in a sequence that `signs` does not name."""
    sequences: list[Modality] = []
    """Of a session, where the model sees several, in the order of the study: `modality` first."""
    signs: dict[Modality, Sign] = {}
    """Of lesions in each of `sequences`."""
    parts: list[Part] = Field(min_length=1)
    """Seed after seed; in each, members before the ensembles that combine them, and the exported model last."""
    recipe: dict[str, Any]
    """The sections `preprocess` and `normalize`."""
    template: dict[str, str]
    """`name`, and `sha256` of its arrays at the voxel size of the recipe."""
    grid: Grid
    postprocessing: dict[str, Any]
    """`label` and `operators`."""
    thresholds: dict[str, FileThreshold]
    """By rule."""
    healthy_scores: list[float]
    """The highest score of each person of the healthy scans that set the threshold of scores, ascending."""
    healthy_scans: str
    """Which scans these are, in words."""
    erode_voxels: int = Field(ge=0)
    """Of the brain's rim, not scored."""
    training: list[str]
    """The healthy scans that the model learnt from."""
    likeness: dict[str, Any] = {}
    """What measures of healthy scans are like, by measure; the arrays are in `likeness.safetensors`."""
    versions: dict[str, str]
    threads: int = Field(2, ge=1)
    """Of the inference in the study: another number may change the last digits of a map."""
    licence: str = ""

    def as_written(self) -> dict[str, Any]:
        """Plain values; of a model that sees one sequence as before there were several."""
        return self.model_dump(mode="json", exclude=set() if self.sequences else {"sequences", "signs"})


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file. `bundles`: by `<label>/seed-<n>`; `texts`: of the other members, by name.

    `arrays`: those of `likeness.safetensors`; `sha256`: of the file, by which results name it.
    """

    manifest: Manifest
    bundles: dict[str, Bundle]
    texts: dict[str, str]
    arrays: dict[str, Any]
    sha256: str


def require_replaceable(path: Path) -> None:
    """Raises InputError where `path` is there and is no model file."""
    if path.exists() and not (path.is_file() and zipfile.is_zipfile(path) and zipfile.Path(path, MANIFEST).exists()):
        why = "it is there, and no model file"
        raise InputError(f"{path.name} would be replaced", file=path, why=why, do="give another file to -o")


def write(path: Path, manifest: Manifest, folder: Path) -> None:
    """Write the model file `path` atomically: the manifest, and the members that lie in `folder`."""
    members = sorted(each for each in folder.rglob("*") if each.is_file())
    content = {each.relative_to(folder).as_posix(): each for each in members}
    if odd := [name for name in content if not NAMES.fullmatch(name)]:
        raise InputError(f"{odd[0]} has no place in a model file", file=path)
    about = {**manifest.as_written(), "members": {name: sha256(each) for name, each in content.items()}}
    sealed = json.dumps({**about, checksums.SEAL: checksums.seal_of(about)}, indent=2, sort_keys=True) + "\n"
    with atomic(path) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry(MANIFEST), sealed)
            for name, each in content.items():
                with archive.open(_entry(name), "w", force_zip64=True) as target, each.open("rb") as source:
                    while block := source.read(checksums.BLOCK):
                        target.write(block)
            archive.comment = b"0" * DIGEST
        with part.open("r+b") as file:
            digest = _digest_before_end(file, part.stat().st_size)
            file.seek(-DIGEST, io.SEEK_END)
            file.write(digest.encode())


def read(path: Path) -> ModelFile:
    """Read a model file into memory, and compare it with its checksums.

    Raises InputError for a file that is missing, no model file, altered in any byte, of a later format, or with a
    member that has no place in it.
    """
    with leftovers.temporary_folder() as folder:
        with _readable(path):
            archive = zipfile.ZipFile(path)
        with archive:
            with _readable(path):
                about = _manifest(archive, path)
                digest = _whole(archive, path)
                names = _names(archive, about, path)
            sums = about.pop("members")
            for name in names:
                if _extract(archive, name, folder / name, path) != sums[name]:
                    raise _altered(path, f"the checksum of {name} is not the one in its manifest")
        try:
            manifest = Manifest.model_validate(about)
        except ValidationError as error:
            why = f"its manifest does not fit this version of brainuad: {_first(error)}"
            raise InputError(f"{path.name} is of another version", file=path, why=why, do="export it again") from None
        found, arrays = _arrays(folder, names, path)
        if missing := [part.bundle for part in manifest.parts if part.bundle not in found]:
            raise InputError(f"{path.name} has no weights of {missing[0]}", file=path, do=COPY_AGAIN)
        written = [name for name in names if name.endswith((".md", ".html", ".json")) and not name.startswith(MODELS)]
        try:
            texts = {name: (folder / name).read_bytes().decode() for name in written}
        except UnicodeDecodeError as error:
            why = str(error)
            raise InputError(f"cannot read the texts of {path.name}", file=path, why=why, do=COPY_AGAIN) from None
    return ModelFile(manifest, found, texts, arrays, digest)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong when the file is opened or read, as an InputError."""
    try:
        yield
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        do = COPY_AGAIN if path.is_file() else "name the file that `brainuad export` wrote"
        raise InputError(f"cannot read {path.name} as a model file", file=path, why=why, do=do) from None


def _extract(archive: zipfile.ZipFile, name: str, target: Path, path: Path) -> str:
    """Copy a member to `target` block by block: models of 1 mm have a gigabyte. Returns its SHA-256."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _readable(path):
        member = archive.open(name)
    with member, target.open("wb") as copy:
        while block := _block(member, path):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def _block(member: IO[bytes], path: Path) -> bytes:
    with _readable(path):
        return member.read(checksums.BLOCK)


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """The sealed manifest, without its seal; a later format is refused before anything else is judged."""
    try:
        if archive.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
            raise ValueError(f"its {MANIFEST} is over {LARGEST_MANIFEST >> 20} MiB")
        about = json.loads(archive.read(MANIFEST))
        version = about["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        why = f"it has no {MANIFEST} that states its format ({error})"
        raise InputError(f"{path.name} is no model file", file=path, why=why, do=COPY_AGAIN) from None
    if version != FORMAT:
        why = f"it has format {version}, this program reads {FORMAT}"
        raise InputError(f"{path.name} is of a later version of brainuad", file=path, why=why, do=UPDATE)
    if about.pop(checksums.SEAL, None) != checksums.seal_of(about) or not isinstance(about.get("members"), dict):
        raise _altered(path, f"{MANIFEST}: {checksums.ALTERED_RECORD}")
    return dict(about)


def _whole(archive: zipfile.ZipFile, path: Path) -> str:
    """SHA-256 of the file before its comment, which must be the comment."""
    with path.open("rb") as file:
        digest = _digest_before_end(file, path.stat().st_size)
    if archive.comment != digest.encode():
        raise _altered(path, "its checksum is not the one at its end")
    return digest


def _names(archive: zipfile.ZipFile, about: Mapping[str, Any], path: Path) -> list[str]:
    """The members but for the manifest; raises InputError for one with another name, or stored in another way."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    listed = {MANIFEST, *about["members"]}
    for entry in entries:
        if entry.filename not in listed or not NAMES.fullmatch(entry.filename):
            why = f"it holds {entry.filename!r}: a model file holds JSON, safetensors and text at fixed places"
            raise InputError(f"{path.name} is refused", file=path, why=why, do=COPY_AGAIN)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            why = f"{entry.filename} is compressed or encrypted"
            raise InputError(f"{path.name} is refused", file=path, why=why, do=COPY_AGAIN)
    if len(names) != len(set(names)) or set(names) != listed:
        raise _altered(path, "its members are not those that its manifest lists")
    return [name for name in names if name != MANIFEST]


def _arrays(folder: Path, names: Sequence[str], path: Path) -> tuple[dict[str, Bundle], dict[str, Any]]:
    """The bundles, and the arrays of the likeness, of members that lie in `folder`."""
    places = sorted({str(PurePosixPath(name).parent) for name in names if name.startswith(MODELS)})
    try:
        found = {place.removeprefix(f"{MODELS}/"): bundles.read(folder / place) for place in places}
        arrays = tensors.read(folder / LIKENESS, COPY_AGAIN) if LIKENESS in names else {}
    except InputError as error:
        raise InputError(error.what, file=path, why=error.why, do=COPY_AGAIN) from None
    return found, arrays


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIRST_DAY)
    entry.external_attr = 0o644 << 16
    return entry


def _digest_before_end(file: Any, size: int) -> str:
    """SHA-256 of all bytes but the last `DIGEST`."""
    file.seek(0)
    digest, left = hashlib.sha256(), size - DIGEST
    while left > 0 and (block := file.read(min(checksums.BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def _altered(path: Path, why: str) -> InputError:
    return InputError(f"{path.name} was altered", file=path, why=why, do=COPY_AGAIN)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
