"""Data sets of a study: where their scans come from and what role they play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from brainuad.config.anomalies import Anomaly, AnomalyType, CorruptionType, ScanCorruption
from brainuad.config.insertion import Insertion
from brainuad.config.section import Section

Modality = Literal["T1w", "T1ce", "T2w", "FLAIR", "PDw", "ct"]
"""BIDS suffixes, and `T1ce` for T1 with contrast agent."""


class Split(Section):
    """Shares of a data set's subjects by role; they add up to 1."""

    train: float = Field(0.0, ge=0, le=1)
    """Share of subjects that models learn from; healthy ones only."""
    validation: float = Field(0.0, ge=0, le=1)
    """Share for stopping and thresholds."""
    test: float = Field(0.0, ge=0, le=1)
    """Share for the tables."""

    @model_validator(mode="after")
    def _whole(self) -> Split:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train, validation and test must add up to 1")
        return self


class Scans(Section):
    """What every data set of scans says."""

    modality: Modality = "T1w"
    """BIDS suffix of the scans."""
    healthy: bool
    """Whether the subjects are healthy; a lesion mask on a healthy subject is an error."""
    split: Split | None = Split(test=1.0)
    """Roles; `null` registers and strips only."""
    exclude: list[str] = []
    """Subjects left out, by BIDS label."""


class Phantoms(Scans):
    """Heads synthesised from the MNI152 maps; nothing is downloaded."""

    source: Literal["phantom"]
    modality: Literal["T1w", "T2w", "FLAIR", "ct"] = "T1w"
    """What is synthesised."""
    subjects: int = Field(ge=1)
    """How many."""
    lesions: Literal["none", "ms", "tumour", "stroke", "haemorrhage", "subdural", "epidural", "mixed"] = "none"
    """Kind of lesions; `mixed` is ms, tumour and stroke, a third of the last as haemorrhage. The blood of `haemorrhage`
    lies in the brain, that of `subdural` and `epidural` between brain and skull."""
    seed: int = 0
    """Subject n of a seed is the same head in every study."""
    spacing: float = Field(2.0, ge=1, le=4)
    """Voxel size, in mm."""

    @model_validator(mode="after")
    def _lesions_are_not_healthy(self) -> Phantoms:
        if self.healthy != (self.lesions == "none"):
            raise ValueError("healthy must be true exactly where lesions is none")
        return self


class OnDisk(Scans):
    """What every data set says whose scans lie in files."""

    optional: bool = False
    """Leave the data set out, with a note, where its folder does not exist; else that is an error."""


class WithReference(OnDisk):
    """What every data set says whose scans may be registered with another one of the same session."""

    register_with: Modality | None = None
    """Another modality of the same session, such as `T1w` for FLAIR of thick slices: that scan (in a table: the one in
    the column `register_with`) is registered to the template and the wanted one goes along, after a rigid step where
    their grids differ. A scan that has no other one, or one that cannot be read, is registered by itself, and marked; a
    table that names a file which is not there is refused."""

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
Wanted = str | int | None | list[str | int]
"""A label, a number (1 is run-1 and run-01), several of them, or `null`: the entity must be absent."""


class Groups(Section):
    """Who is healthy and who a patient: a column, and its values for either; a list left empty takes everyone else."""

    column: str = "group"
    """Of participants.tsv, of a subject's sessions.tsv, or of the table."""
    healthy: list[str] = []
    """Values of those whom a data set with `healthy: true` takes."""
    patients: list[str] = []
    """Values of those whom a data set with `healthy: false` takes."""

    @model_validator(mode="after")
    def _tells_apart(self) -> Groups:
        if not self.healthy and not self.patients:
            raise ValueError("healthy, patients or both must list values")
        if both := sorted({*self.healthy} & {*self.patients}):
            raise ValueError(f"{both[0]} is listed as healthy and as patients")
        return self

    def takes(self, value: str, healthy: bool) -> bool:
        """Whether a data set of healthy people, or of patients, takes those with this value; never those without."""
        own, others = (self.healthy, self.patients) if healthy else (self.patients, self.healthy)
        return value in own if own else bool(value) and value not in others


class Columns(Section):
    """Columns of participants.tsv and sessions.tsv, in capital or small letters."""

    age: str = "age"
    sex: str = "sex"
    site: str = "site"


class Masks(Section):
    """Lesion masks by what their names say, in whatever order."""

    derivatives: str | None = None
    """Folder below `derivatives/` that holds them; they lie beside the scans if none."""
    suffix: str = "mask"
    """Last part of their names, such as `mask`, `roi` or `dseg`."""
    entities: dict[Entity, Wanted] = {}
    """What their names must have, such as `{label: lesion}`."""


class Bids(WithReference):
    """A BIDS data set, or a derivative of one: `sub-*/[ses-*/]<anat or ct>/*_<modality>.nii[.gz]`, each session a scan.

    `source: folder` is the same. Of several files in a session the plainest is taken, with a note.
    """

    source: Literal["bids", "folder"]
    root: str
    """The folder; `${NAME}` is replaced by the environment variable."""
    derivatives: str | None = None
    """Take the scans from `derivatives/<this>/` in place of the raw ones."""
    entities: dict[Entity, Wanted] = {}
    """What the names of the scans must have, such as `{acq: mprage, ses: [baseline, m12], ce: null}`; the number 1 is
    run-1 and run-01, `null` means that the entity must be absent."""
    groups: Groups | None = None
    """Who is healthy and who a patient, by participants.tsv; everyone enters if none."""
    mask: str | Masks = "*lesion*mask.nii*"
    """Lesion masks: a pattern of files beside the scan, one with folders below `root`, such as
    `derivatives/lesions/sub-*/anat/*.nii*`, or what their names say. Of several the one named most like the scan is
    taken."""
    columns: Columns = Columns()
    """Where age, sex and site stand, which stratify the split."""

    @field_validator("mask")
    @classmethod
    def _folders_are_written_out(cls, mask: str | Masks) -> str | Masks:
        folders = Path(mask).parent.parts if isinstance(mask, str) else ()
        if any(set(part) & set("*?[") and part not in ("sub-*", "ses-*") for part in folders):
            raise ValueError("the folders of the pattern must be written out, but for sub-* and ses-*")
        return mask


class Table(WithReference):
    """Scans that a table names: one a line, for those whose files do not lie in BIDS order.

    Columns `subject` and `image`, and where they are known `session`, `mask`, `age`, `sex`, `site`, `group`, `healthy`,
    `kind` and `register_with`; paths start at the table's own folder.
    """

    source: Literal["table"]
    file: str
    """A .tsv or .csv file; `${NAME}` is replaced by the environment variable."""
    groups: Groups | None = None
    """Who is healthy and who a patient, by a column of the table; without it a column `group` says `healthy` or
    `patient`, a column `healthy` says 1 or 0, and with neither everyone enters."""


# fmt: off
KnownName = Literal[
    "atlas_v2", "brainmetshare", "brats2019", "brats2020", "brats2021", "center_tbi", "cq500", "ct_ich", "isbi2015",
    "ixi", "mood", "msd01", "mslub", "msseg2016", "oasis1", "wmh",
]
# fmt: on
"""Data sets known by name: the modules of `brainuad.download.sets`."""


class Known(OnDisk):
    """A published data set, in the layout that its authors give it; `docs/datasets.md` lists them.

    Where it is open, `snakemake download` fetches it; else the message says how to apply and where to put it.
    """

    source: KnownName
    root: str | None = None
    """Where its files lie or are downloaded to: `data/<source>` if none; `${NAME}` is replaced by the environment
    variable."""
    accept_licence: bool = False
    """Whether you accept its terms; some sets are downloaded only then."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return Path(self.root or f"data/{self.source}")


class OpenNeuro(Known):
    """A data set of openneuro.org by its accession number: its T1w, T2w, FLAIR, PDw and CT scans, read as BIDS."""

    source: Literal["openneuro"]  # type: ignore[assignment]
    accession: str = Field(pattern=r"^ds\d{6}$")
    """Its number, such as ds000011."""
    root: str | None = None
    """Where its files lie or are downloaded to: `data/<accession>` if none; `${NAME}` is replaced by the environment
    variable."""
    subjects: list[Annotated[str, Field(pattern=r"^sub-[A-Za-z0-9]+$")]] | None = Field(None, min_length=1)
    """BIDS labels of those who are downloaded and read, such as sub-01; everyone if none."""
    groups: Groups | None = None
    """Who is healthy and who a patient, by participants.tsv; everyone enters if none."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return Path(self.root or f"data/{self.accession}")


class Made(Section):
    """What every data set says that is made of the healthy registered subjects of another, before intensity scaling."""

    into: str
    """The data set of healthy subjects; its train subjects are never used."""
    draws: int = Field(1, ge=1)
    """Scans made of each subject."""
    healthy: Literal[False] = False


class Inserted(Made):
    """Real lesion masks inserted into healthy registered subjects of another data set, before intensity scaling."""

    source: Literal["inserted"]
    masks: list[str] = Field(min_length=1)
    """Folders of lesion masks in MNI space (*.nii.gz); `${NAME}` is replaced by the environment variable."""
    draws: int = Field(1, ge=1)
    """Scans made of each subject, each with another mask as long as there are enough."""
    roles: list[Literal["validation", "test"]] = ["test"]
    """Subjects used. Validation and test draw from disjoint masks."""
    insertion: Insertion = Insertion()


class Artificial(Made):
    """Artificial anomalies with exact masks, planted into healthy registered subjects of another data set."""

    source: Literal["artificial"]
    anomaly_types: list[AnomalyType] = Field(
        ["uniform", "noise", "blur", "shift", "deformation", "reflection", "sprite"], min_length=1
    )
    """One for each scan, in an order drawn by subject: with as many draws as types each subject shows them all."""
    roles: list[Literal["validation", "test"]] = ["test"]
    """Subjects used."""
    anomaly: Anomaly = Anomaly()


class Corrupted(Made):
    """Healthy scans made bad: whether the score tells them from good ones. Nothing is scored by voxel."""

    source: Literal["corrupted"]
    corruption_types: list[CorruptionType] = Field(
        ["rotated", "flipped_axis", "misregistered", "noise", "hole", "cut_slices"], min_length=1
    )
    """One for each scan, in an order drawn by subject: with as many draws as types each subject shows them all."""
    corruption: ScanCorruption = ScanCorruption()
    roles: ClassVar[tuple[Literal["test"]]] = ("test",)
    """No threshold is drawn from spoiled scans."""


AnyMade = Inserted | Artificial | Corrupted
AnyScans = Phantoms | Bids | Table | Known | OpenNeuro
AnyDataset = Annotated[AnyScans | AnyMade, Field(discriminator="source")]
