"""The parts of a study and the paths of its results, from the study file alone.

Every job imports this when it parses the Snakefile, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from brainuad.config.datasets import AnyScans, Made, OnDisk, Phantoms
from brainuad.config.postprocessing import ThresholdRole
from brainuad.config.study import Study

TABLES = ("metrics", "scans", "lesions", "curves", "comparisons")


def same_source(one: AnyScans, two: AnyScans) -> bool:
    """Whether two data sets come from one place: the same folder, table or known data set, and the same modality."""
    if one.modality != two.modality or one.source != two.source:
        return False
    if isinstance(one, Phantoms) and isinstance(two, Phantoms):
        return one.spacing == two.spacing
    return isinstance(one, OnDisk) and isinstance(two, OnDisk) and one.location.resolve() == two.location.resolve()


def _and(labels: list[str]) -> str:
    return " and ".join(f"`{label}`" for label in labels)


class Layout:
    """The parts of a study and the paths of its results, whether they exist or not."""

    def __init__(self, study: Study):
        self.study = study
        self.root = Path(study.results)
        self.folder = self.root / study.study
        self._trainings = study.trainings()

    # Parts

    def sources(self) -> list[str]:
        """Labels of the data sets that hold scans of their own."""
        return list(self.study.scan_sets())

    def origin(self, dataset: str) -> str:
        """The data set whose preprocessed scans a data set uses: itself, or the one that `into` names."""
        return self.study.origin(dataset)

    def training_sets(self) -> list[str]:
        """Labels of the data sets with training subjects."""
        return [label for label, d in self.study.scan_sets().items() if d.split and d.split.train]

    def controls(self, dataset: str) -> list[str]:
        """The healthy data sets whose test scans a data set is compared with as whole scans.

        The data set that it was made of; for patients those that the study names, else those of the same source, else
        the training sets; none for a healthy data set.
        """
        settings = self.study.datasets[dataset]
        if isinstance(settings, Made):
            return self._with_share("test", [settings.into])
        if settings.healthy:
            return []
        return settings.controls or self._of_own_source(dataset) or self._with_share("test", self.training_sets())

    def foreign_controls(self, dataset: str) -> bool:
        """Whether patients are compared with healthy people of another source, so that scanner looks like disease."""
        settings = self.study.datasets[dataset]
        patients = not isinstance(settings, Made) and not settings.healthy and not settings.controls
        return patients and bool(self.controls(dataset)) and not self._of_own_source(dataset)

    def controls_in_words(self, dataset: str) -> str:
        """Which healthy scans a data set's scans are compared with, and which set the threshold of their scores."""
        sets = _and(self.calibration_sets(dataset))
        cut = f"the threshold of scores rests on {self.calibration_role(dataset)} scans of {sets}"
        text = f"controls are the healthy test scans of {_and(self.controls(dataset))}"
        if self.foreign_controls(dataset):
            text += ", another source than the patients: scanner and disease are confounded"
        return f"{text}; {cut}."

    def calibration_role(self, dataset: str) -> ThresholdRole:
        """Role of the healthy scans that set the threshold of a data set's scores."""
        return "calibration" if self.study.own_calibration(dataset) else self.study.threshold_role(healthy=True)

    def calibration_sets(self, dataset: str) -> list[str]:
        """The healthy data sets whose scans set the threshold of a data set's scores: of its own source if they can.

        Else the training sets or, where they have no share for it, all healthy data sets that have one. A data set that
        names one with `calibrate` has that alone.
        """
        if own_calibration := self.study.own_calibration(dataset):
            return [own_calibration]
        aside = self.study.set_aside()
        role, origin = self.study.threshold_role(healthy=True), self.origin(dataset)
        healthy = [label for label, d in self.study.scan_sets().items() if d.healthy and label not in aside]
        own = [origin] if origin in healthy else self.controls(dataset)
        candidates = (self._with_share(role, labels) for labels in (own, self.training_sets(), healthy))
        return next((labels for labels in candidates if labels), [])

    def _of_own_source(self, dataset: str) -> list[str]:
        """Healthy data sets with test scans that come from the same place as these patients."""
        sets = self.study.scan_sets()
        healthy = self._with_share("test", [label for label, d in sets.items() if d.healthy])
        return [label for label in healthy if same_source(sets[dataset], sets[label])]

    def _with_share(self, role: str, labels: Iterable[str]) -> list[str]:
        splits = {label: d.split for label, d in self.study.scan_sets().items()}
        return [label for label in labels if (split := splits[label]) and getattr(split, role)]

    def gpus(self, model: str) -> int:
        """GPUs that training and inference of a model ask for."""
        uses_gpu = self.study.models[model].uses_gpu and self.study.compute.accelerator != "cpu"
        return self.study.compute.devices if uses_gpu else 0

    def processes(self, model: str) -> int:
        """Processes of one training, each with threads of its own."""
        return self.study.compute.devices if self.study.models[model].uses_gpu else 1

    def training_threads(self, model: str) -> int:
        """Threads of one training with all its processes, and those of the processes that draw its examples."""
        compute = self.study.compute
        workers = compute.workers if self.study.models[model].draws_examples else 0
        return self.processes(model) * (compute.threads + workers)

    def runs(self, dataset: str | None = None) -> list[tuple[str, int, str]]:
        """Every model, seed and scored data set."""
        sets = [dataset] if dataset else self.study.scored_sets()
        return [(model, seed, label) for model in self.study.models for seed in self.study.seeds for label in sets]

    # Paths

    def preprocessed(self, dataset: str) -> Path:
        """The folder of a data set's preprocessed scans."""
        return self.root / "preprocess" / self.study.recipe_name / dataset

    def fetch_note(self, dataset: str) -> Path:
        """The file that says that a data set has been downloaded."""
        return self.root / "download" / dataset / "fetched.json"

    def scan_table(self, dataset: str) -> Path:
        """The table of a data set's scans."""
        return self.root / "download" / dataset / "subjects.tsv"

    def quality(self, dataset: str) -> Path:
        """The table of the verdicts on a data set's scans."""
        return self.folder / "preprocess" / dataset / "quality.tsv"

    def contact_sheet(self, dataset: str) -> Path:
        """The folder of a data set's contact sheets."""
        return self.folder / "preprocess" / dataset / "contact_sheets"

    def roles_table(self, dataset: str) -> Path:
        """The table of a data set's scans with role and state."""
        return self.folder / f"normalize/{dataset}.tsv"

    def subjects_table(self) -> Path:
        """The same of all data sets."""
        return self.folder / "subjects.tsv"

    def scaling(self) -> Path:
        """The fitted intensity scaling."""
        return self.folder / "normalize/scaling.safetensors"

    def array_cache(self, dataset: str) -> Path:
        """The normalised scans of a data set."""
        return self.folder / "normalize" / dataset

    def train_folder(self, model: str, seed: int | str) -> Path:
        """The folder of a training."""
        return self.folder / f"train/{model}/seed-{seed}"

    def maps(self, model: str, seed: int | str, dataset: str) -> Path:
        """The folder of anomaly maps."""
        return self.folder / f"infer/{model}/seed-{seed}/{dataset}"

    def predicted(self, model: str, seed: int | str, dataset: str, postprocessing: str) -> Path:
        """The folder of predicted masks."""
        return self.folder / f"postprocess/{model}/seed-{seed}/{dataset}/{postprocessing}"

    def native(self, model: str, seed: int | str, dataset: str, postprocessing: str) -> Path:
        """The folder of maps and masks on the scans' own grids."""
        return self.folder / f"native/{model}/seed-{seed}/{dataset}/{postprocessing}"

    def ceilings(self, dataset: str) -> Path:
        """The folder of what a perfect map and an identity network score on a data set."""
        return self.folder / "ceilings" / dataset

    def evaluation(self, model: str, seed: int | str, dataset: str) -> Path:
        """The folder of an evaluate job's tables."""
        return self.folder / f"evaluate/{model}/seed-{seed}/{dataset}"

    def qualities(self) -> list[Path]:
        """The table of the verdicts on each data set's scans."""
        return [self.quality(label) for label in self.sources()]

    def contact_sheets(self) -> list[Path]:
        """The folder of each data set's contact sheets."""
        return [self.contact_sheet(label) for label in self.sources()]

    def natives(self) -> list[Path]:
        """The folders of maps and masks on scans' own grids, if the study asks for them; made scans have none."""
        own = self.sources()
        runs = [(model, seed, label) for model, seed, label in self.runs() if label in own]
        chosen = self.study.postprocessing if self.study.native else ()
        return [self.native(*run, postprocessing) for run in runs for postprocessing in chosen]

    def bundle(self, model: str, seed: int | str) -> Path:
        """The folder of the training that a model uses."""
        return self.train_folder(self._trainings[model], seed)

    def bundles(self) -> list[Path]:
        """The folder of each training."""
        each = [self.bundle(model, seed) for model in self.study.models for seed in self.study.seeds]
        return list(dict.fromkeys(each))

    def evaluations(self) -> list[Path]:
        """The folder of each evaluate job."""
        return [self.evaluation(*run) for run in self.runs()]

    def tables(self) -> list[Path]:
        """The tables of the study."""
        return [self.folder / f"evaluate/{name}.tsv" for name in TABLES]

    def attempts(self) -> Path:
        """The number of imports into MLflow that found no server.

        It is no output of the job, because Snakemake deletes outputs when a job starts.
        """
        return self.folder / "track.attempts"
