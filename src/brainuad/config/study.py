"""A study: data sets in roles, a recipe, models, seeds, postprocessing, evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainuad.config.datasets import AnyDataset, AnyScans, Inserted, Made, OnDisk, Scans
from brainuad.config.model import AnyModel
from brainuad.config.postprocessing import HealthyQuantile, Postprocessing, Threshold
from brainuad.config.recipe import Recipe
from brainuad.config.section import Section

Role = Literal["train", "validation", "test"]
Label = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
RESERVED = ("mlflow", "download", "preprocess")


class Evaluate(Section):
    """How maps and masks are scored."""

    erode_voxels: int = Field(1, ge=0)
    """The brain mask loses a rim of this depth before scoring; lesion voxels in the rim are not scored, and their share
    is reported."""
    bootstrap_resamples: int = Field(1000, ge=100)
    """Resamples of patients behind each 95 % interval."""
    min_lesion_ml: float = Field(0.08, ge=0)
    """Smaller lesions do not count in lesion recall."""
    detection_overlap: float = Field(0.1, gt=0, le=1)
    """Share of a lesion that must be predicted for it to count as detected."""
    min_component_voxels: int = Field(10, ge=1)
    """Smaller predicted components are not counted as false positives."""
    peak_distance_mm: float = Field(5.0, ge=0)
    """The highest value of a map hits a lesion if it lies in one or within this distance of one."""
    scan_threshold_quantile: float = Field(0.87, gt=0, lt=1)
    """Quantile of the scores of healthy validation scans above which a scan is called abnormal; 0.87 is the specificity
    that Simarro Viana 2020 reports."""


class Compute(Section):
    """Where the work is done. Threads and devices change the last bits of a training, and so rerun it."""

    threads: int = Field(2, ge=1)
    """Threads of training and inference; part of what a bit-identical rerun needs."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Lightning's name."""
    devices: int = Field(1, ge=1)
    """GPUs (or processes) for one training."""
    scans_per_job: int = Field(1, ge=1)
    """Scans that one preprocess job takes, one after the other: 25 makes 200 jobs of 5,000 scans. No other number
    changes what comes out or preprocesses a scan again, but what follows preprocessing then runs again: choose it
    before the first run."""
    scratch: str | None = None
    """Folder on a node's own disk, such as `${TMPDIR}`: training and inference copy their data there, read it from
    there, and take the copy away. `${NAME}` is replaced on the node. Where that cannot be, a sentence in the job's log
    says so, and the data is read from where it lies."""


class Track(Section):
    """MLflow."""

    uri: str | None = Field(None, pattern=r"^https?://")
    """Address of an MLflow server (http or https); a SQLite file under `results/mlflow` if none."""


class Report(Section):
    """The HTML page."""

    examples: int = Field(4, ge=0)
    """Test scans shown per data set, spread from the best to the worst; no scan is picked by hand."""
    interactive: int = Field(1, ge=0)
    """Of these, scans per data set that can be browsed slice by slice; left out where the page would grow too large."""
    overlays: int = Field(6, ge=0)
    """Registrations shown per data set where all is well; doubtful and failed ones are always shown, up to 40."""


class Study(Section):
    """A study file, after the files it names have been read in."""

    study: Label
    """Name: the folder under `results/` and the MLflow experiment."""
    title: str = ""
    """One sentence for the report."""
    paper: str | None = None
    """Key of the paper whose systems the study trains; `brainuad compare-paper` holds its numbers against the paper's.
    No job reads this, nor the two keys that follow."""
    own_data: dict[Label, str] = {}
    """Data sets that are the paper's own: label to the id in the paper's results. A number on any other is never called
    reproduced."""
    deviations: list[str] = []
    """How the study departs from the paper, in words, beside what is found by comparing settings."""
    results: str = "results"
    """Folder of everything that is written."""
    seed: int = Field(0, ge=0)
    """Seed of the split and of what is planted into scans."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)
    """Seeds of training: each model is trained once per seed."""
    lesion_sign: Literal["dark", "bright", "both"] = "both"
    """How lesions differ from healthy tissue on these scans; baselines and maps use it alike."""
    datasets: dict[Label, AnyDataset] = Field(min_length=1)
    """Data sets by label."""
    recipe_name: Label
    """Name of the recipe: a folder under `results/preprocess/`."""
    recipe: Recipe
    """The recipe's content."""
    models: dict[Label, AnyModel] = Field(min_length=1)
    """Models by label; the label is wildcard, folder and tag. Models that differ in `map` alone are trained once, under
    the first one's label."""
    postprocessing: dict[Label, Postprocessing] = {"none": Postprocessing()}
    """Postprocessing chains by label."""
    thresholds: list[Threshold] = [HealthyQuantile(rule="healthy_quantile")]
    """Rules that turn maps into masks."""
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()
    track: Track = Track()
    report: Report = Report()
    decisions: str | None = None
    """Your decisions on scans, which win over quality control: a tab-separated table, by path, with the columns
    dataset, scan (or a subject's label), decision (`exclude` or `include`), reason and by; docs/data.md. `${NAME}` is
    replaced by the environment variable."""
    native: bool = False
    """Whether maps and masks of test scans are also written on each scan's own grid, under `native/`."""

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        if self.study in RESERVED:
            raise ValueError(f"study: {self.study} is a folder of its own under results")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is listed twice")
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
                    shares = " or ".join(dataset.roles)
                    raise ValueError(f"datasets.{label}.into: {dataset.into} has no {shares} share to plant into")
            elif dataset.split and dataset.split.train and not dataset.healthy:
                raise ValueError(f"datasets.{label}.split.train: models learn from healthy subjects only")
        trained = [d for d in self.scan_sets().values() if d.split and d.split.train]
        if not trained:
            raise ValueError("datasets: no healthy training subject; give one data set a split with train above 0")
        if not any(d.healthy and d.split and d.split.validation for d in trained):
            raise ValueError("datasets: no healthy validation subject; give a training set a validation share")
        return self

    def scan_sets(self) -> dict[str, AnyScans]:
        """The data sets that hold scans of their own, by label."""
        return {label: d for label, d in self.datasets.items() if not isinstance(d, Made)}

    def scored_sets(self) -> list[str]:
        """Labels of the data sets that models see, in the order of the file."""
        return [label for label, d in self.datasets.items() if isinstance(d, Made) or d.split is not None]

    def validation_sets(self) -> list[str]:
        """Labels of the data sets from which thresholds may be drawn."""
        return [
            label
            for label, d in self.datasets.items()
            if ("validation" in d.roles if isinstance(d, Made) else d.split is not None and d.split.validation > 0)
        ]

    def trainings(self) -> dict[str, str]:
        """For each model the label it is trained under: of models that differ in `map` alone, the first in the file."""
        first: dict[str, str] = {}
        return {
            label: first.setdefault(model.sorted_json(exclude={"map", "cite"}), label)
            for label, model in self.models.items()
        }

    def baselines(self) -> list[str]:
        """Labels of the trivial baselines, against which the other models are compared."""
        return [label for label, model in self.models.items() if model.trivial_baseline]
