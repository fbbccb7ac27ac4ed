"""Data sets of a study: the source of their scans and the roles of their subjects."""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from brainuad.config.anomalies import Anomaly, AnomalyType, CorruptionType, ScanCorruption
from brainuad.config.insertion import Insertion
from brainuad.config.paths import PathText, expanded
from brainuad.config.reading import Reading
from brainuad.config.section import Section
from brainuad.config.yaml_text import WrittenFloat

Modality = Literal["T1w", "T1ce", "T2w", "FLAIR", "PDw", "ct"]
"""BIDS suffixes, and `T1ce` for T1 with contrast agent."""
Sign = Literal["dark", "bright", "both"]
"""Whether lesions are darker than tissue, brighter, or either."""


class Split(Section):
    """Share of a data set's subjects in each role; the shares add up to 1."""

    train: float = Field(0.0, ge=0, le=1)
    """Share of subjects that models learn from; healthy ones only."""
    validation: float = Field(0.0, ge=0, le=1)
    """Share for stopping, and for thresholds where no data set of its kind has a calibration share."""
    calibration: float = Field(0.0, ge=0, le=1)
    """Share for the thresholds of voxels and of scans alone, so that they rest on other scans than the choice of the
    weights."""
    test: float = Field(0.0, ge=0, le=1)
    """Share for the tables."""

    @model_validator(mode="after")
    def _whole(self) -> Split:
        total = self.train + self.validation + self.calibration + self.test
        if not abs(total - 1) <= 1e-6:
            raise ValueError(f"the shares of the roles must add up to 1, they add up to {total:g}")
        return self


class Scans(Section):
    """Settings of every data set that holds scans."""

    modality: Modality = "T1w"
    """BIDS suffix of the scans."""
    sequences: list[Modality] = []
    """Further sequences of each session; a study gives them to all its data sets at once, by `modalities`."""
    aligned: bool = False
    """Whether the sequences of a session lie in one space by their headers, so that none is registered to another; it
    is checked, and flagged if it looks wrong. Sequences on one grid are taken as aligned anyway."""
    without: list[Modality] = []
    """Sequences of the study that the sessions are read without, as if they had no file of them: so a study measures
    what models make of such sessions. Needs `missing: map_the_rest` and a split with test scans alone."""
    healthy: bool
    """Whether the subjects are healthy; a lesion mask on a healthy subject is an error."""
    split: Split | None = Split(test=1.0)
    """Roles; `null` preprocesses the scans and does nothing else with them."""
    synthesised: ClassVar[bool] = False
    """Whether brainuad makes the scans, so that they show no person."""
    exclude: list[str] = []
    """Excluded subjects, by BIDS label."""
    calibrate: str | None = None
    """Label of a healthy data set of the same scanner with a calibration share, perhaps this one itself: thresholds for
    these test scans, of voxels and of whole scans, rest on its calibration scans alone. If it has no training scans, no
    other data set's thresholds rest on them. By default thresholds rest on the scans of all other healthy data sets."""
    controls: list[str] = []
    """Of patients: labels of the healthy data sets whose test scans they are compared with as whole scans. By default
    those of the same source and modality; where there are none, the training sets, and the report says so."""

    @property
    def read_sequences(self) -> list[Modality]:
        """The further sequences that are read."""
        return [each for each in self.sequences if each not in self.without]

    @model_validator(mode="after")
    def _sequences_differ(self) -> Scans:
        if len({self.modality, *self.sequences}) <= len(self.sequences):
            raise ValueError("sequences: one is listed twice, or is the modality itself")
        return self

    @model_validator(mode="after")
    def _models_learn_from_whole_sessions(self) -> Scans:
        if other := [each for each in self.without if each not in self.sequences]:
            raise ValueError(f"without: {other[0]} is none of the further sequences of the study, after the first")
        if self.without and self.split is not None and self.split.test < 1:
            raise ValueError("without: models and thresholds rest on whole sessions; give the set `split: {test: 1}`")
        return self

    @model_validator(mode="after")
    def _only_patients_have_controls(self) -> Scans:
        if self.controls and self.healthy:
            raise ValueError("controls: the subjects are healthy themselves")
        return self


class Phantoms(Scans):
    """Heads synthesised from the MNI152 maps; nothing is downloaded."""

    source: Literal["phantom"]
    synthesised: ClassVar[bool] = True
    modality: Literal["T1w", "T2w", "FLAIR", "ct"] = "T1w"
    """Contrast of the synthesised scans."""
    subjects: int = Field(ge=1)
    """Number of heads."""
    lesions: Literal["none", "ms", "tumour", "stroke", "haemorrhage", "subdural", "epidural", "mixed"] = "none"
    """Lesion type; `mixed` is ms, tumour and stroke, a third of the last as haemorrhage. `haemorrhage` is blood in the
    brain, `subdural` and `epidural` are blood between brain and skull."""
    seed: int = 0
    """Seed of the heads: subject n of a seed is the same in every study."""
    spacing: float = Field(2.0, ge=1, le=4)
    """Voxel size, in mm."""

    @model_validator(mode="after")
    def _lesions_are_not_healthy(self) -> Phantoms:
        if self.healthy != (self.lesions == "none"):
            raise ValueError("healthy must be true exactly where lesions is none")
        return self

    @model_validator(mode="after")
    def _sequences_can_be_synthesised(self) -> Phantoms:
        if other := [each for each in self.sequences if each not in ("T1w", "T2w", "FLAIR")]:
            raise ValueError(f"sequences: there are no phantoms of {other[0]} beside another sequence")
        return self


class OnDisk(Scans):
    """Settings of every data set whose scans are files."""

    optional: bool = False
    """Whether the study runs without it, with a note, if its folder or file does not exist; else that is an error."""
    reading: Reading = Reading()
    """How the files are read where they are unusual."""

    @property
    @abstractmethod
    def location(self) -> Path:
        """The folder or file that must exist."""


class WithReference(OnDisk):
    """Settings of data sets whose scans may be registered by means of a reference scan of the same session."""

    register_with: Modality | None = None
    """Modality of the reference scan, such as `T1w` for thick-slice FLAIR. The reference scan of the session (in a
    table: the file in the column `register_with`) is registered to the template, and its transform is applied to the
    scan, after a rigid registration of the two if their grids differ. A scan without a readable reference scan is
    registered directly, and flagged. A table that names a missing file is refused."""

    @model_validator(mode="after")
    def _registers_with_another(self) -> WithReference:
        if self.register_with == self.modality:
            raise ValueError(f"register_with: {self.modality} is the scan itself")
        return self


# fmt: off
Entity = Literal[
    "sub", "ses", "sample", "acq", "ce", "trc", "stain", "rec", "dir", "run", "mod", "echo", "flip", "inv",
    "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "atlas", "seg", "res", "den", "label", "desc",
]
# fmt: on
"""Short names of BIDS entities, as file names have them."""


def _as_written(value: Any) -> Any:
    """A number that is no count, such as 1.50, as it was written. Raises ValueError for true and false."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no label; write it in quotes")
    return value.text if isinstance(value, WrittenFloat) else value


One = Annotated[str | int, BeforeValidator(_as_written)]
Wanted = One | None | list[One]
"""A label, a number (1 matches run-1 and run-01), a list of them, or `null`: the entity must be absent."""


def _plain(value: str) -> str:
    return re.sub(r"^0*(\d+)(\.0+)?$", r"\1", "".join(value.casefold().split()))


class Groups(Section):
    """Which subjects are healthy and which are patients, by the values of a column; an empty list takes all others."""

    column: str = "group"
    """Column of participants.tsv, of a subject's sessions.tsv, or of the table."""
    healthy: list[str] = []
    """Values of the subjects in a data set with `healthy: true`."""
    patients: list[str] = []
    """Values of the subjects in a data set with `healthy: false`."""

    @model_validator(mode="after")
    def _lists_differ(self) -> Groups:
        if not self.healthy and not self.patients:
            raise ValueError("healthy, patients or both must list values")
        if both := sorted({*self.healthy} & {*self.patients}):
            raise ValueError(f"{both[0]} is listed as healthy and as patients")
        return self

    def listed(self, value: str) -> str:
        """The value as it is listed, where case, blanks or a number's zeros alone differ; else the value itself."""
        values = [*self.healthy, *self.patients]
        same = [each for each in values if _plain(each) == _plain(value)]
        return same[0] if value not in values and len(same) == 1 else value

    def takes(self, value: str, healthy: bool) -> bool:
        """Whether subjects with this value belong to a data set of healthy subjects, or of patients. Empty: neither."""
        listed, opposite = (self.healthy, self.patients) if healthy else (self.patients, self.healthy)
        return value in listed if listed else bool(value) and value not in opposite


class Columns(Section):
    """Columns of participants.tsv and sessions.tsv, in upper or lower case."""

    age: str = "age"
    sex: str = "sex"
    site: str = "site"


class Masks(Section):
    """Lesion masks by the parts of their BIDS names."""

    derivatives: str | None = None
    """Folder of the masks below `derivatives/`; beside the scans if none."""
    suffix: str = "mask"
    """Last part of the names, such as `mask`, `roi` or `dseg`."""
    entities: dict[Entity, Wanted] = {}
    """Required entities, such as `{label: lesion}`."""


class Bids(WithReference):
    """A BIDS data set, or a derivative of one: `sub-*/[ses-*/]<anat or ct>/*_<modality>.nii[.gz]`, each session a scan.

    `source: folder` is the same. Of several files in a session one is chosen, with a note; docs/data.md has the rule.
    """

    source: Literal["bids", "folder"]
    root: PathText
    """Folder of the data set; `~` and `${NAME}` are replaced."""
    derivatives: str | None = None
    """Use the scans of `derivatives/<this>/` instead of the raw ones."""
    entities: dict[Entity, Wanted] = {}
    """Required entities of the scans' names, such as `{acq: mprage, ses: [baseline, m12], ce: null}`; the number 1
    matches run-1 and run-01, `null` means that the entity must be absent."""
    entities_of: dict[Modality, dict[Entity, Wanted]] = {}
    """With several `modalities`: required entities of further sequences, such as `{FLAIR: {acq: 3d}}`. A sequence that
    is not named has `sub`, `ses`, `space`, `res`, `den` and `desc` of `entities`; the rest belongs to the first one."""
    groups: Groups | None = None
    """Which subjects are healthy and which are patients, by participants.tsv; all subjects if none."""
    mask: str | Masks = "*lesion*mask.nii*"
    """Lesion masks: a pattern of file names beside the scan; a pattern with folders below `root`, such as
    `derivatives/lesions/sub-*/anat/*.nii*`; or the parts of their names. Ids of subjects are not compared with it, and
    masks of the brain are none. Several parts of a mask are united; docs/data.md has the rule."""
    columns: Columns = Columns()
    """Columns of age, sex and site, by which the split is stratified."""

    @property
    def location(self) -> Path:
        """Folder of the data set."""
        return Path(self.root)

    @model_validator(mode="after")
    def _entities_are_of_further_sequences(self) -> Bids:
        if other := [name for name in self.entities_of if name not in self.sequences]:
            raise ValueError(f"entities_of: {other[0]} is none of the further `modalities` of the study")
        return self

    @field_validator("mask")
    @classmethod
    def _folders_are_explicit(cls, mask: str | Masks) -> str | Masks:
        mask = expanded(mask) if isinstance(mask, str) and mask.startswith(("~", "$")) else mask
        folders = Path(mask).parent.parts if isinstance(mask, str) else ()
        if any(set(part) & set("*?[") and part not in ("sub-*", "ses-*") for part in folders):
            raise ValueError("the folders of the pattern may contain no wildcards except sub-* and ses-*")
        return mask


class Table(WithReference):
    """Scans listed in a table, one per line, for files that are not in BIDS order.

    Columns `subject` and `image`, and if known `session`, `mask`, `age`, `sex`, `site`, `group`, `healthy`,
    `lesion_type` and `register_with`; with several `modalities` in the study `image` is the first, and each further one
    has a column of its name, such as `flair`. Paths are relative to the table's folder.
    """

    source: Literal["table"]
    file: PathText
    """A .tsv or .csv file; `~` and `${NAME}` are replaced."""
    groups: Groups | None = None
    """Which subjects are healthy and which are patients, by a column of the table. If none, a column `group` contains
    `healthy` or `patient`, or a column `healthy` 1 or 0; without these columns all subjects are taken."""

    @property
    def location(self) -> Path:
        """The table."""
        return Path(self.file)


_SETS = Path(__file__).parents[1] / "download" / "sets"
KNOWN_NAMES = tuple(sorted(path.stem for path in _SETS.glob("*.py") if path.stem not in ("__init__", "openneuro")))
"""Data sets known by name: the modules of `brainuad.download.sets`. They are not imported: the list of files suffices.
OpenNeuro has settings of its own."""
if TYPE_CHECKING:
    KnownName = str
else:
    KnownName = Literal[KNOWN_NAMES]


class Known(OnDisk):
    """A published data set in its authors' layout; `docs/datasets.md` lists them.

    If it is open, `snakemake download` downloads it; otherwise a message says how to get it and where to put it.
    """

    source: KnownName
    root: PathText | None = None
    """Folder of its files: `data/<source>` if none; `~` and `${NAME}` are replaced."""
    accept_licence: bool = False
    """Whether you accept its terms; some data sets are downloaded only then."""

    @property
    def location(self) -> Path:
        """Folder of its files."""
        return self.folder

    @property
    def folder(self) -> Path:
        """Folder of its files."""
        return Path(self.root or f"data/{self.source}")


class OpenNeuro(Known):
    """A data set of openneuro.org by its accession number: its T1w, T2w, FLAIR, PDw and CT scans, read as BIDS."""

    source: Literal["openneuro"]
    accession: str = Field(pattern=r"^ds\d{6}$")
    """Accession number, such as ds000011."""
    root: PathText | None = None
    """Folder of its files: `data/<accession>` if none; `~` and `${NAME}` are replaced."""
    subjects: list[Annotated[str, Field(pattern=r"^sub-[A-Za-z0-9]+$")]] | None = Field(None, min_length=1)
    """BIDS labels of the subjects to download and read, such as sub-01; all if none."""
    groups: Groups | None = None
    """Which subjects are healthy and which are patients, by participants.tsv; all subjects if none."""

    @property
    def folder(self) -> Path:
        """Folder of its files."""
        return Path(self.root or f"data/{self.accession}")


class Made(Section):
    """Settings of data sets made from the healthy registered scans of another data set, before intensity scaling."""

    into: str
    """Label of the data set of healthy subjects; its training subjects are never used."""
    draws: int = Field(1, ge=1)
    """Scans made from each subject."""
    healthy: Literal[False] = False

    @field_validator("healthy", mode="before")
    @classmethod
    def _no_is_false(cls, healthy: Any) -> Any:
        """As everywhere else, where pydantic takes `no` for false."""
        return False if healthy in ("no", "No", "NO", "off", "Off", "OFF", "false") else healthy


class Inserted(Made):
    """Real lesion masks inserted into healthy registered subjects of another data set, before intensity scaling."""

    source: Literal["inserted"]
    masks: list[PathText] = Field(min_length=1)
    """Folders of lesion masks in MNI space (*.nii.gz); `~` and `${NAME}` are replaced."""
    draws: int = Field(1, ge=1)
    """Scans made from each subject, each with a different mask if there are enough."""
    roles: list[Literal["validation", "test"]] = ["test"]
    """Roles of the subjects that are used. Validation and test use disjoint masks."""
    insertion: Insertion = Insertion()


class Artificial(Made):
    """Artificial anomalies with exact masks, inserted into healthy registered scans of another data set."""

    source: Literal["artificial"]
    anomaly_types: list[AnomalyType] = Field(
        ["uniform", "noise", "blur", "shift", "deformation", "reflection", "sprite"], min_length=1
    )
    """One type per scan, in an order drawn per subject: with as many draws as types each subject has all of them."""
    roles: list[Literal["validation", "test"]] = ["test"]
    """Roles of the subjects that are used."""
    anomaly: Anomaly = Anomaly()


class Corrupted(Made):
    """Corrupted healthy scans, to test whether the scan-level score detects them. Nothing is scored by voxel."""

    source: Literal["corrupted"]
    corruption_types: list[CorruptionType] = Field(
        ["rotated", "flipped_axis", "misregistered", "noise", "hole", "cut_slices"], min_length=1
    )
    """One type per scan, in an order drawn per subject: with as many draws as types each subject has all of them."""
    corruption: ScanCorruption = ScanCorruption()
    roles: ClassVar[tuple[Literal["test"]]] = ("test",)
    """Corrupted scans set no threshold."""


AnyMade = Inserted | Artificial | Corrupted
AnyScans = Phantoms | Bids | Table | Known | OpenNeuro
AnyDataset = Annotated[AnyScans | AnyMade, Field(discriminator="source")]
