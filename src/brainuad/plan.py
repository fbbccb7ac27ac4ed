"""What the Snakefile needs of a study: its scans, its paths, and for each job the settings and code it depends on.

Imported each time a job parses the Snakefile, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from brainuad.closure import code_hash
from brainuad.config import templates
from brainuad.config.datasets import AnyScans, Inserted, Known, Made, Phantoms, Scans, WithReference
from brainuad.config.study import Study
from brainuad.download.known import known_set
from brainuad.download.listed import list_scans
from brainuad.errors import InputError
from brainuad.formats import batch, decisions
from brainuad.formats.scans import Scan
from brainuad.layout import Layout
from brainuad.normalize.mask_pool import LesionMaskPool
from brainuad.normalize.split import draw_split, refuse_two_roles

ENTRY = {
    "fetch": "brainuad.download.job",
    "download": "brainuad.download.job",
    # of both what makes a scan: `preprocess.batch`, which they call, decides only which ones are made
    "preprocess": "brainuad.preprocess.job",
    "preprocess_batch": "brainuad.preprocess.job",
    "quality": "brainuad.preprocess.summary",
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


class Plan(Layout):
    """A study laid out as jobs.

    A data set that can be downloaded and is not there yet has no scans, and is among `absent`. Raises InputError if a
    folder of scans or masks or the table of decisions cannot be used, or a data set has too few subjects for its split;
    ConfigError for a data set that the user must bring and has not, and for a person in two roles.
    """

    def __init__(self, study: Study):
        super().__init__(study)
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
            label: [path for files in LesionMaskPool([Path(m) for m in dataset.masks]).files.values() for path in files]
            for label, dataset in study.datasets.items()
            if isinstance(dataset, Inserted)
        }
        self._rows = {(row.dataset, row.scan): row for rows in self.scans.values() for row in rows}
        size = study.compute.batch
        self._batches = {label: batch.batches([row.scan for row in rows], size) for label, rows in self.scans.items()}
        self._template = templates.files_of(study.recipe.preprocess.template)
        self._chains = {label: self._chain(label) for label in self.scans}

    # What jobs read

    def marks(self, dataset: str) -> list[Path]:
        """The marks of a data set's preprocessed scans, one per job; raises InputError if it is not downloaded yet."""
        if self.absent:
            names = " and ".join(self.absent)
            do = "type `snakemake download` with the same options, then the command that you typed"
            raise InputError(f"{names} must be downloaded before the study can be laid out", do=do)
        folder = self.preprocessed(dataset)
        if self.study.compute.batch == 1:
            return [folder / row.scan / batch.DONE for row in self.scans[dataset]]
        return [folder / batch.FOLDER / f"{name}.json" for name in self._batches[dataset]]

    def files(self, dataset: str, scan: str) -> dict[str, str]:
        """What the preprocess job of a scan reads, by the names of `formats.batch`."""
        return self._inputs(dataset, [scan])

    def batch_files(self, dataset: str, name: str) -> dict[str, str]:
        """The same of a batch."""
        return self._inputs(dataset, self._batches[dataset][name])

    def _inputs(self, dataset: str, scans: list[str]) -> dict[str, str]:
        table = {"table": str(self.root / "download" / dataset / "subjects.tsv")} if self._is_made(dataset) else {}
        return batch.wanted((self._rows[dataset, scan] for scan in scans), {**table, **self._template})

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
        return {**self._chains[dataset], "scans": [scan]}

    def _preprocess_batch(self, dataset: str, batch: str) -> Any:
        return {**self._chains[dataset], "scans": self._batches[dataset][batch]}

    def _chain(self, dataset: str) -> Any:
        """What is done to each scan of a data set."""
        settings = self._scans(dataset)
        made = _content(settings, without={"subjects"}) if isinstance(settings, Phantoms) else {}
        about = {"modality": settings.modality, "healthy": settings.healthy, **made}
        if isinstance(settings, WithReference) and settings.register_with:
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

    def _postprocess(self, model: str, seed: str, dataset: str, postprocessing: str) -> Any:  # noqa: ARG002
        rules = [rule.model_dump(mode="json") for rule in self.study.thresholds]
        return {
            "postprocessing": self.study.postprocessing[postprocessing].model_dump(mode="json", exclude={"cite"}),
            "thresholds": rules,
        }

    def _native(self, model: str, seed: str, dataset: str, postprocessing: str) -> Any:  # noqa: ARG002 - all of it are inputs
        return {}

    def _evaluate(self, model: str, seed: str, dataset: str) -> Any:  # noqa: ARG002
        rules = [rule.model_dump(mode="json") for rule in self.study.thresholds]
        located = [label for label, postprocessing in self.study.postprocessing.items() if postprocessing.locates()]
        return {"evaluate": self.study.evaluate.model_dump(mode="json"), "thresholds": rules, "located": located}

    def _summarise(self) -> Any:
        return {"evaluate": self.study.evaluate.model_dump(mode="json"), "baselines": self.study.baselines()}

    def _track(self) -> Any:
        runs = [[model, seed, label] for model, label in self._trainings.items() for seed in self.study.seeds]
        return {"uri": self.study.track.uri, "attempt": self.track_attempt(), "runs": runs}

    def _report(self) -> Any:
        cited = [
            self.study.recipe.cite,
            *(part.cite for part in (*self.study.models.values(), *self.study.postprocessing.values())),
        ]
        shown = {"title": self.study.title, "cites": cited, "postprocessing": list(self.study.postprocessing)}
        decided = {
            label: {scan: decision.text for scan, decision in each.items()} for label, each in self.decisions.items()
        }
        return {"report": self.study.report.model_dump(mode="json"), "decisions": decided, **shown}

    def track_attempt(self) -> int:
        """How many imports into MLflow found no server; a change makes Snakemake try again."""
        path = self.attempts()
        return int(path.read_text()) if path.exists() else 0


def _row(scan: Scan) -> list[Any]:
    files = {kind: Path(path).name for kind, path in scan.files().items()}
    return [scan.scan, files, scan.age, scan.sex, scan.site, scan.lesion_type]


def _content(settings: Scans, without: set[str] | None = None) -> dict[str, Any]:
    """The settings that decide what a data set holds, its roles left out."""
    return settings.model_dump(mode="json", exclude={"split", "exclude", *(without or set())})
