"""A study: data sets in roles, a recipe, models, seeds, postprocessing, evaluation."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from brainuad.config.burden import Burden
from brainuad.config.datasets import AnyDataset, AnyScans, Inserted, Made, Modality, OnDisk, Scans, Sign
from brainuad.config.evaluate import Evaluate
from brainuad.config.model import ENSEMBLE, AnyModel
from brainuad.config.paths import PathText
from brainuad.config.postprocessing import HealthyQuantile, Postprocessing, Threshold, ThresholdRole
from brainuad.config.recipe import Recipe
from brainuad.config.section import Section
from brainuad.config.told import listed

LABEL = "^[a-z0-9_]+$"
Label = Annotated[str, Field(pattern=LABEL, max_length=100)]
LARGEST_SEED = 2**32 - 1
"""Lightning takes 32 bits."""
Missing = Literal["leave_out_scan", "map_the_rest", "refuse"]
"""What becomes of a session that lacks one of the study's sequences."""
RESERVED = ("mlflow", "download", "preprocess", "logs")


class Compute(Section):
    """Threads, devices and disks. Threads and devices change the last digits of a training, so a change retrains."""

    threads: int = Field(2, ge=1)
    """Threads of training and inference. A bit-identical rerun needs the same number."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Lightning's name."""
    devices: int = Field(1, ge=1)
    """GPUs (or processes) for one training."""
    workers: int = Field(1, ge=0)
    """Further processes of each that draw training examples ahead of the network, for models that learn from drawn ones
    (`synseg`). 0 draws them between the steps. The number changes no result."""
    scans_per_job: int = Field(1, ge=1)
    """Scans per preprocess job: with 25, 5,000 scans are 200 jobs. A change preprocesses no scan again, but all later
    rules run again: choose the number before the first run."""
    scratch: str | None = None
    """Folder on the local disk of a node, such as `${TMPDIR}`. Training and inference copy their data there and delete
    the copy afterwards. `${NAME}` is replaced on the node. If the copy fails, the job logs a warning and reads the
    original."""


# Of pydantic, about a method of the class of its classes, which nobody calls.
warnings.filterwarnings("ignore", 'Field name "register" in "Track" shadows', UserWarning)


class Track(Section):
    """MLflow."""

    uri: str | None = Field(None, pattern=r"^https?://")
    """Address of an MLflow server (http or https); a SQLite file under `results/mlflow` if none."""
    live: bool = False
    """Whether Snakemake shows trainings in MLflow while they run, by a process beside its own; `brainuad ui` and
    `brainuad follow` do so without it."""
    register: bool = False
    """Whether the end of a run registers each model as `<study>.<model>` in MLflow, with a copy of its model file."""

    @field_validator("uri")
    @classmethod
    def _is_an_address(cls, uri: str | None) -> str | None:
        try:
            parts = urlsplit(uri or "")
            named = uri is None or (parts.hostname, parts.port)[0]
        except ValueError as error:
            raise ValueError(f"{uri} is no address: {error}") from None
        if not named:
            raise ValueError(f"{uri} names no server")
        return uri


class Report(Section):
    """The HTML page."""

    examples: int = Field(4, ge=0)
    """Test scans shown per data set, spread from the best to the worst; no scan is picked by hand."""
    interactive: int = Field(20, ge=0)
    """Test scans per data set that can be browsed in three planes, spread likewise; fewer where the page would grow too
    large."""
    overlays: int = Field(6, ge=0)
    """Registrations shown per data set where all is well; doubtful and failed ones are always shown, up to 40."""


class Study(Section):
    """A study file, after the files it names have been read in."""

    study: Label
    """Name of the study: its folder under `results/` and its MLflow experiment."""
    title: str = ""
    """Title of the report."""
    paper: str | None = None
    """Key of the paper whose systems the study trains, for `brainuad compare-paper`. No job reads this or the next two
    keys."""
    own_data: dict[Label, str] = {}
    """Data sets of the paper itself: label to the id in the paper's results. Numbers on other data are never called
    reproduced."""
    deviations: list[str] = []
    """Deviations from the paper, in words, in addition to those found by comparing settings."""
    results: PathText = "results"
    """Results folder; `~` and `${NAME}` are replaced."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of the split and of inserted lesions and anomalies."""
    seeds: list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]] = Field([0], min_length=1)
    """Training seeds: each model is trained once per seed."""
    modalities: list[Modality] = []
    """Sequences of each session that are used together, such as `[T1w, T2w, FLAIR]`. The first is registered to the
    template, the others to it, rigidly. Empty: each data set has scans of one sequence, its `modality`."""
    missing: Missing = "leave_out_scan"
    """What becomes of a session that lacks one of `modalities`, or has one that cannot be used: `leave_out_scan` counts
    it as failed; `map_the_rest` maps test sessions by the sequences that are there, while models learn from whole
    sessions alone, and thresholds rest on them; `refuse` ends the study. A session without the first is always left
    out."""
    lesion_sign: Sign | dict[Modality, Sign] = "both"
    """Intensity of lesions relative to healthy tissue; used by baselines and anomaly maps alike. With several
    `modalities` perhaps by sequence, as in `{T1w: dark, FLAIR: bright}`; one that is not named has `both`."""
    datasets: dict[Label, AnyDataset] = Field(min_length=1)
    """Data sets by label."""
    recipe_name: Label
    """Name of the recipe, and of its folder under `results/preprocess/`."""
    recipe: Recipe
    """Preprocessing and intensity scaling."""
    models: dict[Label, AnyModel] = Field(min_length=1)
    """Models by label; the label is wildcard, folder and tag. Models that differ in `map` alone are trained once, under
    the first one's label."""
    postprocessing: dict[Label, Postprocessing] = {"none": Postprocessing()}
    """Postprocessing by label."""
    thresholds: list[Threshold] = [HealthyQuantile(rule="healthy_quantile"), Burden(rule="burden")]
    """Threshold rules, which turn anomaly maps into predicted masks."""
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()
    track: Track = Track()
    report: Report = Report()
    decisions: PathText | None = None
    """Path of a tab-separated table of manual decisions on scans, which override quality control. Columns: dataset,
    scan (or subject), decision (`exclude` or `include`), reason, by; see docs/data.md. `~` and `${NAME}` are
    replaced."""
    native: bool = False
    """Also write anomaly maps and predicted masks of test scans on the grid of the original scan, under `native/`."""

    @model_validator(mode="before")
    @classmethod
    def _sequences_of_sets(cls, given: Any) -> Any:
        """Each data set with scans of its own gets the sequences of the study."""
        named = given.get("modalities") if isinstance(given, dict) else None
        sets = given.get("datasets") if isinstance(given, dict) else None
        if not isinstance(named, list) or not named or not isinstance(sets, dict):
            return given
        if len({str(each) for each in named}) < len(named):
            raise ValueError("modalities: one is listed twice")
        own = {"modality": named[0], "sequences": named[1:]}
        filled: dict[str, Any] = {}
        for label, settings in sets.items():
            if not isinstance(settings, dict) or "into" in settings:
                filled[label] = settings
                continue
            for key, value in own.items():
                if settings.get(key, value) != value:
                    raise ValueError(f"datasets.{label}.{key}: the study has `modalities`; take the key out")
            filled[label] = {**settings, **own}
        return {**given, "datasets": filled}

    @model_validator(mode="after")
    def _models_take_their_sequences(self) -> Study:
        there = self.modalities
        for label, dataset in self.scan_sets().items():
            if [dataset.modality, *dataset.sequences] != there and (there or dataset.sequences):
                raise ValueError(f"datasets.{label}.sequences: name them for all data sets, in `modalities`")
            if dataset.without and self.missing != "map_the_rest":
                raise ValueError(f"datasets.{label}.without: set `missing: map_the_rest`, it is {self.missing}")
        if isinstance(self.lesion_sign, dict):
            if not there:
                raise ValueError("lesion_sign: signs by sequence need `modalities`")
            if other := [name for name in self.lesion_sign if name not in there]:
                raise ValueError(f"lesion_sign: {other[0]} is none of the modalities {listed(there)}")
        for label, model in self.models.items():
            if model.modalities is not None and (other := [each for each in model.modalities if each not in there]):
                known = f"it has {listed(there)}" if there else "it has no `modalities`"
                raise ValueError(f"models.{label}.modalities: {other[0]} is none of the study, {known}")
            if len(seen := self.sequences_of(label)) > 1 and model.several == "refused":
                one = f"`set: {{modalities: [{seen[-1]}]}}`"
                why = f"{model.family} takes one sequence, and the study has {listed(seen)}; choose one by {one}"
                raise ValueError(f"models.{label}: {why}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        if self.study in RESERVED:
            raise ValueError(f"study: {self.study} is a folder of its own under results")
        if twice := {seed for seed in self.seeds if self.seeds.count(seed) > 1}:
            raise ValueError(f"seeds: {min(twice)} is listed twice")
        labels = [threshold.label for threshold in self.thresholds]
        if len(set(labels)) < len(labels):
            raise ValueError("thresholds: one is listed twice")
        for label in self.own_data:
            if not isinstance(self.datasets.get(label), OnDisk | None):
                raise ValueError(f"own_data: {label} does not hold scans from files, and is no paper's data")
        for label, dataset in self.datasets.items():
            if isinstance(dataset, Made):
                source = self.datasets.get(dataset.into)
                if not isinstance(source, Scans) or not source.healthy or source.split is None:
                    raise ValueError(f"datasets.{label}.into: {dataset.into} is no healthy data set with a split")
                registered = self.recipe.preprocess
                if isinstance(dataset, Inserted) and (registered.template != "mni152" or registered.centre):
                    raise ValueError(f"datasets.{label}: its masks lie in MNI152, the recipe's scans elsewhere")
                if not any(getattr(source.split, role) for role in dataset.roles):
                    roles = " or ".join(dataset.roles)
                    raise ValueError(f"datasets.{label}.into: {dataset.into} has no {roles} scans to be changed")
                if self.evaluate.space == "native" and "test" in dataset.roles:
                    why = "its scans are made on the template's grid; take it out, or give it `roles: [validation]`"
                    raise ValueError(f"evaluate.space: {label} cannot be scored on the scans' own grids: {why}")
            elif dataset.split and dataset.split.train and not dataset.healthy:
                raise ValueError(f"datasets.{label}.split.train: models learn from healthy subjects only")
        for label, patients in self.scan_sets().items():
            for name in patients.controls:
                named = self.scan_sets().get(name)
                if named is None or not named.healthy or not (named.split and named.split.test):
                    raise ValueError(f"datasets.{label}.controls: {name} is no healthy data set with a test share")
            if patients.calibrate:
                named = self.scan_sets().get(patients.calibrate)
                if named is None or not named.healthy or not (named.split and named.split.calibration):
                    why = f"{patients.calibrate} is no healthy data set with a calibration share"
                    raise ValueError(f"datasets.{label}.calibrate: {why}")
        trained = [d for d in self.scan_sets().values() if d.split and d.split.train]
        if not trained:
            raise ValueError("datasets: no healthy training subject; give one data set a split with train above 0")
        if not any(d.healthy and d.split and d.split.validation for d in trained):
            raise ValueError("datasets: no healthy validation subject; give a training set a validation share")
        return self

    def sequences(self) -> list[str]:
        """The sequences of each session, the first one first; none where a scan is one sequence."""
        return list(self.modalities) if len(self.modalities) > 1 else []

    def sequences_of(self, model: str) -> list[str]:
        """The sequences that a model sees, in the order of the study; none where a scan is one sequence."""
        settings, there = self.models[model], self.sequences()
        if settings.family == ENSEMBLE:  # it sees its members' maps
            return there[:1]
        return [each for each in there if settings.modalities is None or each in settings.modalities]

    def sign_of(self, sequence: str) -> Sign:
        """Intensity of lesions in a sequence."""
        return self.lesion_sign.get(sequence, "both") if isinstance(self.lesion_sign, dict) else self.lesion_sign  # type: ignore[call-overload]

    def signs_of(self, model: str) -> Sign | dict[str, Sign]:
        """Intensity of lesions in what a model sees: by sequence, where it sees several."""
        seen = self.sequences_of(model)
        if len(seen) > 1:
            return {sequence: self.sign_of(sequence) for sequence in seen}
        return self.sign_of((seen or self.modalities or [""])[0])

    def scan_sets(self) -> dict[str, AnyScans]:
        """The data sets with scans of their own, by label."""
        return {label: d for label, d in self.datasets.items() if not isinstance(d, Made)}

    def scored_sets(self) -> list[str]:
        """Labels of the data sets that are scored, in the order of the file."""
        return [label for label, d in self.datasets.items() if isinstance(d, Made) or d.split is not None]

    def origin(self, label: str) -> str:
        """The data set whose scans those of a data set are, or are made of."""
        d = self.datasets[label]
        return d.into if isinstance(d, Made) else label

    def own_calibration(self, label: str) -> str | None:
        """The healthy data set on which alone the thresholds for a data set rest, if it names one."""
        return self.scan_sets()[self.origin(label)].calibrate

    def set_aside(self) -> set[str]:
        """Healthy data sets that set the thresholds of those alone which name them; never one with training scans."""
        sets = self.scan_sets()
        named = {d.calibrate for d in sets.values() if d.calibrate}
        return {label for label in named if (split := sets[label].split) is None or not split.train}

    def threshold_role(self, healthy: bool) -> ThresholdRole:
        """Role of the scans from which thresholds are drawn: of healthy subjects, or of labelled patients."""
        aside = self.set_aside()
        splits = [d.split for label, d in self.scan_sets().items() if d.healthy == healthy and label not in aside]
        return "calibration" if any(split and split.calibration for split in splits) else "validation"

    def threshold_sets(self, scored: str | None = None) -> dict[str, ThresholdRole]:
        """The data sets from which thresholds may be drawn, with the role of their scans; for the data set `scored`."""
        own, aside = self.own_calibration(scored) if scored else None, self.set_aside()
        found: dict[str, ThresholdRole] = {}
        for label, d in self.datasets.items():
            source = self.origin(label)
            if label == own:
                found[label] = "calibration"
            elif source in aside - {own} or (own and d.healthy):
                continue
            role = self.threshold_role(d.healthy)
            if role in d.roles if isinstance(d, Made) else d.split is not None and getattr(d.split, role) > 0:
                found.setdefault(label, role)
        return found

    def trainings(self) -> dict[str, str]:
        """For each model the label it is trained under: of models that differ in `map` alone, the first in the file."""
        first: dict[str, str] = {}
        seen = self.sequences_of
        return {
            label: first.setdefault(model.sorted_json(exclude={"map", "cite", "modalities"}) + str(seen(label)), label)
            for label, model in self.models.items()
        }

    def baselines(self) -> list[str]:
        """Labels of the trivial baselines, against which the other models are compared."""
        return [label for label, model in self.models.items() if model.trivial_baseline]
