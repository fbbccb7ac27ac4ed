"""What the Snakefile needs of a study: its scans, its paths, and for each job the settings and code it depends on.

Imported each time a job parses the Snakefile, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from brainuad.closure import code_hash
from brainuad.config import templates
from brainuad.config.datasets import AnyScans, Guided, Inserted, Known, Made, Phantoms, Scans
from brainuad.config.study import Study
from brainuad.download.known import known_set
from brainuad.download.listed import list_scans
from brainuad.errors import InputError
from brainuad.formats import decisions
from brainuad.formats.scans import Scan
from brainuad.normalize.bank import Bank
from brainuad.normalize.split import draw_split, refuse_two_roles

ENTRY = {
    "fetch": "brainuad.download.job",
    "download": "brainuad.download.job",
    "preprocess": "brainuad.preprocess.job",
    "quality": "brainuad.preprocess.job",
    "split": "brainuad.normalize.job",
    "scaling": "brainuad.normalize.job",
    "normalize": "brainuad.normalize.job",
    "train": "brainuad.train.job",
    "infer": "brainuad.infer.job",
    "postprocess": "brainuad.postprocess.job",
    "native": "brainuad.postprocess.native",
    "evaluate": "brainuad.evaluate.job",
    "summarise": "brainuad.evaluate.job",
    "track": "brainuad.track.job",
    "report": "brainuad.report.job",
}
TABLES = ("metrics", "scans", "lesions", "curves", "comparisons")


class Plan:
    """A study laid out as jobs.

    A data set that can be downloaded and is not there yet has no scans, and is among `absent`. Raises InputError if a
    folder of scans or masks or the table of decisions cannot be used, or a data set has too few subjects for its split;
    ConfigError for a data set that the user must bring and has not, and for a person in two roles.
    """

    def __init__(self, study: Study):
        self.study = study
        self.root = Path(study.results)
        self.folder = self.root / study.study
        templates.check(study.recipe.preprocess.template)
        found = {label: list_scans(label, dataset) for label, dataset in study.scan_sets().items()}
        self.absent = [label for label, scans in found.items() if scans is None]
        self.scans: dict[str, list[Scan]] = {label: scans or [] for label, scans in found.items()}
        for label, dataset in study.scan_sets().items():
            if dataset.split is not None and label not in self.absent:
                draw_split(self.scans[label], dataset.split, study.seed)  # too few subjects are refused here
        refuse_two_roles(study, self.scans)
        table = study.decisions
        self.decisions = decisions.read(table, self.scans, self.absent) if table else {}
        self._masks = {
            label: [path for files in Bank([Path(m) for m in dataset.masks]).files.values() for path in files]
            for label, dataset in study.datasets.items()
            if isinstance(dataset, Inserted)
        }
        self._trainings = study.trainings()
        self._rows = {(row.dataset, row.scan): row for rows in self.scans.values() for row in rows}

    # What there is

    def sources(self) -> list[str]:
        """Labels of the data sets that hold scans of their own."""
        return list(self.scans)

    def origin(self, dataset: str) -> str:
        """The data set whose preprocessed scans a data set is made of: itself, or the one that `into` names."""
        settings = self.study.datasets[dataset]
        return settings.into if isinstance(settings, Made) else dataset

    def training_sets(self) -> list[str]:
        """Labels of the data sets with training subjects."""
        return [label for label, d in self.study.scan_sets().items() if d.split and d.split.train]

    def healthy_sets(self, dataset: str) -> list[str]:
        """Healthy data sets whose test scans stand against this one's in scan-level numbers.

        The data set that it was made of or, for patients, those that models were trained on.
        """
        settings = self.study.datasets[dataset]
        labels = [settings.into] if isinstance(settings, Made) else [] if settings.healthy else self.training_sets()
        splits = {label: d.split for label, d in self.study.scan_sets().items()}
        return [label for label in labels if (split := splits[label]) and split.test]

    def gpus(self, model: str) -> int:
        """GPUs that training and inference of a model ask for: none for methods without a network."""
        neural = hasattr(self.study.models[model], "network") and self.study.compute.accelerator != "cpu"
        return self.study.compute.devices if neural else 0

    # Where it lies

    def preprocessed(self, dataset: str) -> Path:
        """The folder of a data set's preprocessed scans."""
        return self.root / "preprocess" / self.study.recipe_name / dataset

    def qualities(self) -> list[Path]:
        """The folder of each data set with its verdicts and contact sheets."""
        return [self.folder / "preprocess" / label for label in self.scans]

    def natives(self) -> list[Path]:
        """The folders of maps and masks on scans' own grids, if the study asks for them; made scans have none."""
        runs = [(model, seed, label) for model, seed, label in self.runs() if label in self.scans]
        chains = self.study.chains if self.study.native else ()
        return [self.folder / f"native/{m}/seed-{seed}/{label}/{chain}" for m, seed, label in runs for chain in chains]

    def scan_folders(self, dataset: str) -> list[Path]:
        """One folder per scan; raises InputError for a data set that is not downloaded yet."""
        if self.absent:
            names = " and ".join(self.absent)
            do = "type `snakemake download` with the same options, then the command that you typed"
            raise InputError(f"{names} must be downloaded before the study can be laid out", do=do)
        return [self.preprocessed(dataset) / scan.scan for scan in self.scans[dataset]]

    def files(self, dataset: str, scan: str) -> dict[str, str]:
        """What a preprocess job reads: files of the scan or, of a set made first, its `table`; and the template's."""
        template = templates.files_of(self.study.recipe.preprocess.template)
        if self._is_made(dataset):
            return {"table": str(self.root / "download" / dataset / "subjects.tsv"), **template}
        return {**self._rows[dataset, scan].files(), **template}

    def fetched(self, dataset: str) -> list[Path]:
        """The note that a data set has been downloaded, where it can be."""
        settings = self.study.datasets[dataset]
        known = isinstance(settings, Known) and known_set(settings.source).remotes(settings)
        return [self.root / "download" / dataset / "fetched.json"] if known else []

    def converted(self, dataset: str) -> list[str]:
        """The files of which a known set's scans are made; none of a set whose scans are read where they lie."""
        if not isinstance(self.study.datasets[dataset], Known) or not self._is_made(dataset):
            return []
        paths = [path.partition("#")[0] for row in self.scans[dataset] for path in row.files().values()]
        return [path for path in dict.fromkeys(paths) if Path(path).is_file()]

    def _is_made(self, dataset: str) -> bool:
        """Whether the files of a data set's scans are made by its download job."""
        settings = self.study.datasets[dataset]
        return isinstance(settings, Phantoms) or (isinstance(settings, Known) and known_set(settings.source).converts)

    def masks(self, dataset: str) -> list[Path]:
        """The lesion masks that are inserted to make a data set; none for one that holds scans of its own."""
        return self._masks.get(dataset, [])

    def runs(self, dataset: str | None = None) -> list[tuple[str, int, str]]:
        """Every model, seed and scored data set."""
        sets = [dataset] if dataset else self.study.scored_sets()
        return [(model, seed, label) for model in self.study.models for seed in self.study.seeds for label in sets]

    def bundle(self, model: str, seed: int | str) -> Path:
        """The folder of the training that a model uses."""
        return self.folder / f"train/{self._trainings[model]}/seed-{seed}"

    def bundles(self) -> list[Path]:
        """The folder of each training."""
        each = [self.bundle(model, seed) for model in self.study.models for seed in self.study.seeds]
        return list(dict.fromkeys(each))

    def evaluations(self) -> list[Path]:
        """The folder of each evaluate job."""
        return [self.folder / f"evaluate/{model}/seed-{seed}/{label}" for model, seed, label in self.runs()]

    def tables(self) -> list[Path]:
        """The tables of the study."""
        return [self.folder / f"evaluate/{name}.tsv" for name in TABLES]

    # What a job depends on

    def config(self, stage: str, **wildcards: str) -> str:
        """The settings that this job reads, as sorted JSON.

        Paths and the machine's accelerator are not among them.
        """
        return json.dumps(getattr(self, f"_{stage}")(**wildcards), sort_keys=True)

    def code(self, stage: str, **wildcards: str) -> str:
        """The hash of the code that this job runs; of the methods only the model's own family."""
        entries = [ENTRY[stage]]
        if stage in ("train", "infer"):
            entries.append(f"brainuad.methods.{self.study.models[wildcards['model']].family}")
        settings = self.study.datasets.get(wildcards.get("dataset", ""))
        if stage in ("fetch", "download") and isinstance(settings, Known):
            entries.append(f"brainuad.download.sets.{settings.source}")
        return code_hash(*entries)

    def _scans(self, dataset: str) -> AnyScans:
        settings = self.study.datasets[dataset]
        assert isinstance(settings, Scans)
        return settings

    def _fetch(self, dataset: str) -> Any:
        settings = self._scans(dataset)
        assert isinstance(settings, Known)
        return [[remote.url, remote.checksum] for remote in known_set(settings.source).remotes(settings)]

    def _download(self, dataset: str) -> Any:
        settings = self._scans(dataset)
        if not isinstance(settings, Phantoms):
            return {"label": dataset, "scans": [_row(row) for row in self.scans[dataset]]}
        return {"label": dataset, **_content(settings)}

    def _preprocess(self, dataset: str, scan: str) -> Any:
        settings = self._scans(dataset)
        made = _content(settings, without={"subjects"}) if isinstance(settings, Phantoms) else {}
        about = {"modality": settings.modality, "healthy": settings.healthy, "scan": scan, **made}
        if isinstance(settings, Guided) and settings.register_with:
            about["register_with"] = settings.register_with
        recipe = self.study.recipe.preprocess.model_dump(mode="json", exclude={"quality"})
        return {"about": about, "recipe": {**recipe, "template": Path(recipe["template"]).name}}

    def _quality(self, dataset: str) -> Any:
        limits = self.study.recipe.preprocess.quality.model_dump(mode="json")
        return {"exclude": self._scans(dataset).exclude, "limits": limits}

    def _split(self, dataset: str) -> Any:
        settings = self._scans(dataset)
        shares = settings.split.model_dump(mode="json") if settings.split else None
        decided = {scan: decision.word for scan, decision in self.decisions.get(dataset, {}).items()}
        about = {"healthy": settings.healthy, "decisions": decided, **self._quality(dataset)}
        return {"split": shares, "seed": self.study.seed, **about}

    def _scaling(self) -> Any:
        return self.study.recipe.normalize.intensity.model_dump(mode="json")

    def _normalize(self, dataset: str) -> Any:
        settings = self.study.datasets[dataset]
        made = None
        if isinstance(settings, Made):
            made = {**settings.model_dump(mode="json", exclude={"masks"}), "seed": self.study.seed}
        return {"recipe": self.study.recipe.normalize.model_dump(mode="json"), "made": made}

    def _train(self, model: str, seed: str) -> Any:
        settings = self.study.models[model].model_dump(mode="json", exclude={"map", "cite"})
        compute = self.study.compute
        return {"model": settings, "seed": int(seed), "threads": compute.threads, "devices": compute.devices}

    def _infer(self, model: str, seed: str, dataset: str) -> Any:  # noqa: ARG002 - the bundle and the store are inputs
        settings = self.study.models[model].model_dump(mode="json", include={"family", "map"})
        return {"model": settings, "lesion_sign": self.study.lesion_sign}

    def _postprocess(self, model: str, seed: str, dataset: str, chain: str) -> Any:  # noqa: ARG002
        rules = [rule.model_dump(mode="json") for rule in self.study.thresholds]
        return {"chain": self.study.chains[chain].model_dump(mode="json", exclude={"cite"}), "thresholds": rules}

    def _native(self, model: str, seed: str, dataset: str, chain: str) -> Any:  # noqa: ARG002 - all of it are inputs
        return {}

    def _evaluate(self, model: str, seed: str, dataset: str) -> Any:  # noqa: ARG002
        rules = [rule.model_dump(mode="json") for rule in self.study.thresholds]
        located = [label for label, chain in self.study.chains.items() if chain.locates()]
        return {"evaluate": self.study.evaluate.model_dump(mode="json"), "thresholds": rules, "located": located}

    def _summarise(self) -> Any:
        return {"evaluate": self.study.evaluate.model_dump(mode="json"), "baselines": self.study.baselines()}

    def _track(self) -> Any:
        runs = [[model, seed, label] for model, label in self._trainings.items() for seed in self.study.seeds]
        return {"uri": self.study.track.uri, "attempt": self.track_attempt(), "runs": runs}

    def _report(self) -> Any:
        cited = [
            self.study.recipe.cite,
            *(part.cite for part in (*self.study.models.values(), *self.study.chains.values())),
        ]
        shown = {"title": self.study.title, "cites": cited, "chains": list(self.study.chains)}
        told = {label: {scan: told.text for scan, told in each.items()} for label, each in self.decisions.items()}
        return {"report": self.study.report.model_dump(mode="json"), "decisions": told, **shown}

    def track_attempt(self) -> int:
        """How many imports into MLflow found no server; a change makes Snakemake try again."""
        path = self.attempts()
        return int(path.read_text()) if path.exists() else 0

    def attempts(self) -> Path:
        """Where that number is kept: beside the job's outputs, for these are deleted when it starts."""
        return self.folder / "track.attempts"


def _row(scan: Scan) -> list[str]:
    files = (Path(path).name for path in (scan.image, scan.mask, *[scan.guide] * bool(scan.guide)))
    return [scan.scan, *files, scan.age, scan.sex, scan.site, scan.kind]


def _content(settings: Scans, without: set[str] | None = None) -> dict[str, Any]:
    """The settings that decide what a data set holds, its roles left out."""
    return settings.model_dump(mode="json", exclude={"split", "exclude", *(without or set())})
