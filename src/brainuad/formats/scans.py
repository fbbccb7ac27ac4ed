"""Tables of scans: those of a data set (`download/<dataset>/subjects.tsv`), and their roles and states in a study."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from brainuad.errors import InputError
from brainuad.formats.files import atomic, read_tsv

MASK_SEPARATOR = " | "
"""Between the paths of several files that are one mask, or sequences of one session."""
SEQUENCE = "sequence"
"""How the names of further sequences begin among the files of a scan."""
Role = Literal["train", "validation", "calibration", "test", ""]


@dataclass(frozen=True)
class Scan:
    """One scan, a row of the table. All scans of a subject have the same role."""

    scan: str
    """`sub-01`, `sub-01_ses-2` or, for a scan made of another, `sub-01_draw-1`; unique in the data set."""
    subject: str
    """BIDS label of the person."""
    dataset: str
    image: str = ""
    """Path of the scan."""
    mask: str = ""
    """Path of the lesion mask, if there is one, or of several files with a part each, joined by `MASK_SEPARATOR`."""
    reference: str = ""
    """Path of another scan of the session, with which this one is registered, if there is one."""
    ignore: str = ""
    """Path of a mask, if there is one, of what is neither lesion nor healthy. Its voxels count in the scores of whole
    scans alone. A scan with any such voxel is not healthy."""
    age: str = ""
    """Years, if known."""
    sex: str = ""
    site: str = ""
    role: Role = ""
    """Empty before the split, and for scans that are only preprocessed."""
    state: str = ""
    """`ok`, `warned` or `failed`, once preprocessed; `excluded` or `included`, where a person decided."""
    note: str = ""
    origin: str = ""
    """Of a scan that was made of another one: the data set of that scan."""
    lesion_type: str = ""
    """Type of an artificial anomaly, of a corruption, or of a patient's lesions in the words of
    `brainuad.download.known.lesion_types`: sorted and joined by `;`, as in `epidural;subdural`."""
    corrupted: Literal["1", ""] = ""
    """`1` where the scan as a whole is abnormal, without a lesion mask."""
    unmarked: Literal["1", ""] = ""
    """`1` for a patient's scan whose lesion mask marks nothing: it is neither healthy nor known to be abnormal."""
    content: str = ""
    """Hash of the scan's voxel values as they were read, once preprocessed: equal for copies under any name."""
    own_ml: str = ""
    """Millilitres of the scan's own space in one of the template's, once normalised; empty means 1."""
    sequences: str = ""
    """Further sequences of the session, `T2w=<path> | FLAIR=<path>`; empty in studies of one sequence."""
    missing: str = ""
    """Sequences of the study that the session lacks or that cannot be used, joined by `;`."""
    sequence_contents: str = ""
    """Hashes of the further sequences that can be used, as `content`: `T2w=<hash> | FLAIR=<hash>`."""

    def files(self) -> dict[str, str]:
        """`image`, and `mask`, `reference` and `ignore` where there is one; `mask-2` and so on where it has parts.

        Further sequences are `sequence-<modality>`.
        """
        parts = self.mask.split(MASK_SEPARATOR)
        masks = {f"mask-{i}" if i > 1 else "mask": part for i, part in enumerate(parts, 1)}
        others = {f"{SEQUENCE}-{modality}": path for modality, path in self.sequence_files().items()}
        more = {**masks, "reference": self.reference, "ignore": self.ignore, **others}
        return {"image": self.image, **{name: path for name, path in more.items() if path}}

    def sequence_files(self) -> dict[str, str]:
        """Paths of further sequences of the session, by modality."""
        return _by_modality(self.sequences)

    def sequence_hashes(self) -> dict[str, str]:
        """Hashes of further sequences of the session, by modality."""
        return _by_modality(self.sequence_contents)

    @property
    def missing_sequences(self) -> list[str]:
        """What `missing` names."""
        return [each for each in self.missing.split(";") if each]

    @property
    def own_volume(self) -> float:
        """Factor from a volume in the template's space to the scan's own."""
        return float(self.own_ml or 1)

    @property
    def person(self) -> str:
        """The person, unique among all data sets: the unit of all statistics."""
        return f"{self.origin or self.dataset}/{self.subject}"


def with_sequences(scan: Scan, files: Mapping[str, str]) -> Scan:
    """The scan with further sequences of its session, paths by modality."""
    return replace(scan, sequences=for_each_modality(files))


def for_each_modality(texts: Mapping[str, str]) -> str:
    """Texts of further sequences by modality, as a cell of a table."""
    return MASK_SEPARATOR.join(f"{modality}={text}" for modality, text in texts.items())


def _by_modality(cell: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in cell.split(MASK_SEPARATOR) if each)


def lesion_types_in(lesion_type: str) -> list[str]:
    """The types that `Scan.lesion_type` holds; none where it is empty."""
    return [part for part in lesion_type.split(";") if part]


COLUMNS = [field.name for field in fields(Scan)]
OF_SEQUENCES = ("sequences", "missing", "sequence_contents")
"""Columns that are written only where a scan has a value in one."""
ROLES: tuple[Role, ...] = ("train", "validation", "calibration", "test", "")
"""In the order in which the split gives them; the last one is no role."""
STATES = ("ok", "warned", "failed", "excluded", "included", "")


def write(path: str | Path, scans: list[Scan]) -> None:
    """Write scans as a table; raises InputError if a scan is listed twice or a subject has two roles."""
    _check(path, scans)
    several = any(getattr(scan, name) for scan in scans for name in OF_SEQUENCES)
    columns = [name for name in COLUMNS if several or name not in OF_SEQUENCES]
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(scan) for scan in scans)


def read(path: str | Path) -> list[Scan]:
    """Read a table; raises InputError for an unreadable file, unknown or missing columns and double rows."""
    columns, rows = read_tsv(path, "the table of subjects")
    if missing := {"scan", "subject", "dataset"} - set(columns):
        raise InputError("a column is missing in the table of subjects", file=path, why=", ".join(sorted(missing)))
    if unknown := set(columns) - set(COLUMNS):
        raise InputError("unknown columns in the table of subjects", file=path, why=", ".join(sorted(unknown)))
    scans = [Scan(**row) for row in rows]  # type: ignore[arg-type]
    _check(path, scans)
    return scans


def find(path: str | Path, names: Collection[str]) -> dict[str, Scan]:
    """The rows of these scans by scan; raises InputError if one is missing."""
    rows = {row.scan: row for row in read(path) if row.scan in names}
    for scan in names:
        if scan not in rows:
            do = "delete the table and run again"
            raise InputError(f"{scan} is not in the table of subjects", file=path, do=do)
    return rows


def with_role(scans: list[Scan], *roles: str) -> list[Scan]:
    """The usable scans in these roles."""
    return [scan for scan in scans if scan.role in roles and scan.state not in ("failed", "excluded")]


def changed(scan: Scan, /, **values: str) -> Scan:
    """A copy with other values."""
    return replace(scan, **values)  # type: ignore[arg-type]


def _check(path: str | Path, scans: list[Scan]) -> None:
    for row in scans:
        if row.role not in ROLES or row.state not in STATES:
            what = f"{row.scan} has the role {row.role!r} and the state {row.state!r}"
            why = f"there are the roles {', '.join(ROLES[:-1])}, the states {', '.join(STATES[:-1])}"
            raise InputError(what, file=path, why=why, do="delete the table and run the same command again")
    keys = [(scan.dataset, scan.scan) for scan in scans]
    for (dataset, scan), count in Counter(keys).items():
        if count > 1:
            raise InputError(f"{scan} is listed twice in {dataset}", file=path, do="keep one row of it")
    roles: dict[tuple[str, str], set[str]] = {}
    for row in scans:
        roles.setdefault((row.dataset, row.subject), set()).add(row.role)
    for (dataset, subject), several in roles.items():
        if len(several) > 1:
            why = "roles " + ", ".join(sorted(role or "none" for role in several))
            raise InputError(f"{subject} of {dataset} is in two splits", file=path, why=why, do="give it one role")
