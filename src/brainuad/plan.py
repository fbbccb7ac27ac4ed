"""What the Snakefile needs of a study: its scans, its paths, and for each job the settings and code it depends on.

Imported each time a job parses the Snakefile, so nothing heavy is imported here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from brainuad.code_hash import code_hash
from brainuad.config import paths, templates, yaml_text
from brainuad.config.datasets import AnyScans, Inserted, Made
from brainuad.config.load import hint
from brainuad.config.study import Study
from brainuad.config.told import listed
from brainuad.download.source_of import source_of
from brainuad.errors import ConfigError, InputError
from brainuad.formats import decisions, done_file
from brainuad.formats.handling import Handling
from brainuad.formats.scans import Scan
from brainuad.jobs.base import Job
from brainuad.layout import Layout
from brainuad.normalize.leaks import refuse_shared_files, refuse_shared_people
from brainuad.normalize.mask_pool import LesionMaskPool
from brainuad.normalize.split import draw_split, fate_of_lacking
from brainuad.planned_jobs import BUILDERS, scan_settings
from brainuad.preprocess.job_inputs import batches, job_inputs
from brainuad.preprocess.settings import ScanSettings

NO_LEAK = (
    "It was checked that no person (by label, in one folder) and no scan (by its voxels) is in two of these roles."
)
TEMPLATE_MM3 = 9e6
"""Volume of a template's grid, with some room."""
OWN_MM = 0.8
"""Voxel size that scans' own grids are taken to have, where memory and disk are asked for."""

HANDLED = (
    Handling(
        "study",
        "`no`, `010`, `12:30`, dates and numbers in a study file, where a label or text is asked for",
        "accepted",
        "taken as the text that is written; `true`, `false` and `null` must be in quotes",
    ),
    Handling("study", "a key that is written twice", "refused", "both lines are named"),
    Handling(
        "study",
        f"a study file over {yaml_text.LARGEST / 1e3:g} kB, of more than {yaml_text.MOST_VALUES} values with its "
        f"aliases, or more than {yaml_text.DEEPEST} levels deep",
        "refused",
        "`brainuad check` refuses it at once; Snakemake itself does not: check unknown files before a run",
    ),
    Handling(
        "study",
        "`~`, `$NAME` and `${NAME}` in paths",
        "converted",
        "replaced by their values; a variable that is not set is refused",
    ),
    Handling(
        "names",
        "paths with `{name}` or `<name>`, which Snakemake would misread",
        "refused",
        "refused before the first job; in a BIDS folder that subject fails. Other characters are allowed in paths",
    ),
)


class Plan(Layout):
    """A study laid out as jobs.

    A data set that can be downloaded and is not there yet has no scans, and is among `absent`. Raises InputError if a
    folder of scans or masks or the table of decisions cannot be used, or a data set has too few subjects for its split;
    ConfigError for a data set that the user has to provide and did not, and for a person in two roles.
    """

    def __init__(self, study: Study):
        super().__init__(study)
        templates.check(study.recipe.preprocess.template)
        for model in study.models.values():
            model.pinned()  # a file that is missing is told before the first job
        self._sources = {label: source_of(label, dataset) for label, dataset in study.scan_sets().items()}
        found = {label: source.find_scans() for label, source in self._sources.items()}
        self.absent = [label for label, scans in found.items() if scans is None]
        self.scans: dict[str, list[Scan]] = {label: scans or [] for label, scans in found.items()}
        self._drawn = {label: self._with_roles(label) for label in self.scans}  # too few subjects are refused here
        refuse_shared_people(study, self._drawn)
        table = study.decisions
        self.decisions = decisions.read(table, self.scans, self.absent) if table else {}
        self._masks = {
            label: [path for files in LesionMaskPool([Path(m) for m in dataset.masks]).files.values() for path in files]
            for label, dataset in study.datasets.items()
            if isinstance(dataset, Inserted)
        }
        _refuse_misread(study, self.scans, self._masks)
        self._rows = {(row.dataset, row.scan): row for rows in self.scans.values() for row in rows}
        size = study.compute.scans_per_job
        self._batches = {label: batches([row.scan for row in rows], size) for label, rows in self.scans.items()}
        self._template = templates.files_of(study.recipe.preprocess.template)
        self._scan_settings = {label: scan_settings(self, label) for label in self.scans}
        self._jobs: dict[tuple[str, tuple[tuple[str, str], ...]], Job] = {}

    def job(self, rule: str, **wildcards: str) -> Job:
        """The job of a rule for these wildcards, with its files, settings and the hash of its code.

        Raises InputError where a data set must be downloaded first.
        """
        key = rule, tuple(sorted(wildcards.items()))
        if key not in self._jobs:
            job = BUILDERS[rule](self, **wildcards)
            tags = {"study": self.study.study, **wildcards}
            code = code_hash(f"{type(job).__module__}:{type(job).__name__}", *job.code_roots())
            self._jobs[key] = job.model_copy(update={"tags": tags, "code": code})
        return self._jobs[key]

    def wildcards(self, rule: str, given: Sequence[str]) -> dict[str, str]:
        """The wildcards of a rule from `name=value` texts.

        Raises ConfigError for an unknown rule or wildcard, for a missing one, and for a value that the study lacks.
        """
        if rule not in BUILDERS:
            raise ConfigError(f"there is no rule {rule}", do=hint(rule, list(BUILDERS)))
        names = list(inspect.signature(BUILDERS[rule]).parameters)[1:]
        example = " ".join([rule, *(f"{name}=..." for name in names)])
        found = dict(text.partition("=")[::2] for text in given)
        if set(found) != set(names) or len(found) < len(given):
            wanted = ", ".join(names) or "none"
            raise ConfigError(f"the wildcards of {rule} are: {wanted}", why=f"given: {' '.join(given)}", do=example)
        for name, value in found.items():
            if value not in (known := self._values(name, found.get("dataset", ""))):
                raise ConfigError(f"the study has no {name} {value}", do=hint(value, known))
        return found

    def _values(self, wildcard: str, dataset: str) -> list[str]:
        """The values of a wildcard in this study."""
        values = {
            "dataset": list(self.study.datasets),
            "model": list(self.study.models),
            "seed": [str(seed) for seed in self.study.seeds],
            "postprocessing": list(self.study.postprocessing),
            "scan": [row.scan for row in self.scans.get(dataset, [])],
            "batch": list(self._batches.get(dataset, {})),
        }
        return values[wildcard]

    def methods(self) -> dict[str, list[str]]:
        """Paragraphs of the methods section by heading, in the order of the work, with citations as `[@key]`."""
        sources, scored, study = self.sources(), self.study.scored_sets(), self.study
        made = [label for label in scored if label not in sources]
        first = {"model": next(iter(study.models)), "seed": str(study.seeds[0]), "dataset": scored[0]}
        listing = [self._describe("list_scans", dataset=label) for label in sources]
        splits, making, grid, preprocessing = [], [], [], []
        if not self.absent:
            splits = [self._describe("split", dataset=label) for label in sources]
            making = [self._describe("normalize", dataset=label) for label in made]
            preprocessing = [*self._of_each_set("preprocess"), *self._of_each_set("quality")]
            grid = [self._describe("normalize", dataset=label) for label in scored if label in sources]
        masks = [self._describe("postprocess", **first, postprocessing=label) for label in study.postprocessing]
        paragraphs = {
            "Data": [
                *map(_joined, listing),
                _joined([*(each for part in splits for each in part), NO_LEAK]),
                *map(_joined, making),
            ],
            "Preprocessing": [self._recipe(), *preprocessing],
            "Input of the models": [_joined(self._describe("scaling")), *map(_joined, grid)],
            "Models": [*self._models(), *self._maps(), self._seeds()],
            "Predicted masks": [_joined(list(dict.fromkeys(each for part in masks for each in part)))],
            "Evaluation": [
                _joined([*self._describe("evaluate", **first), *self._describe("ceilings", dataset=scored[0])]),
                *self._controls(),
            ],
            "Statistics": [_joined(self._describe("summarise"))],
        }
        return {heading: list(filter(None, dict.fromkeys(texts))) for heading, texts in paragraphs.items()}

    def _describe(self, rule: str, **wildcards: str) -> list[str]:
        return BUILDERS[rule](self, **wildcards).describe()

    def _controls(self) -> Iterator[str]:
        """With which healthy scans each data set is compared as whole scans."""
        told: dict[str, list[str]] = {}
        for label in self.study.scored_sets():
            if controls := self.controls(label):
                foreign = ", which come from another source: scanner may look like disease" * self.foreign_controls(
                    label
                )
                told.setdefault(listed([f"`{name}`" for name in controls]) + foreign, []).append(f"`{label}`")
        for controls_text, labels in told.items():
            yield f"As whole scans, those of {listed(labels)} were compared with healthy test scans of {controls_text}."

    def _recipe(self) -> str:
        cite = self.study.recipe.cite
        return f"Scans were preprocessed by the recipe `{self.study.recipe_name}`" + (
            f", after [@{cite}]." if cite else "."
        )

    def _of_each_set(self, rule: str) -> list[str]:
        """On a rule that runs for each data set with scans of its own; where the text differs, of which set it is."""
        told: dict[str, list[str]] = {}
        for label in self.sources():
            if rows := self.scans[label]:
                more = {"scan": rows[0].scan} if rule == "preprocess" else {}
                told.setdefault(_joined(self._describe(rule, dataset=label, **more)), []).append(f"`{label}`")
        if len(told) == 1:
            return list(told)
        return [f"{'Data set' if len(of) == 1 else 'Data sets'} {listed(of)}: {text}" for text, of in told.items()]

    def _models(self) -> Iterator[str]:
        """What each model is; of models that differ in their maps alone, which training they share."""
        for model, first in self.study.trainings().items():
            if first == model:
                yield _joined(self._describe("train", model=model, seed=str(self.study.seeds[0])))
            else:
                yield f"Model `{model}` is the training of `{first}` with another map."

    def _maps(self) -> Iterator[str]:
        """How the maps of the models are made, those that are made alike together."""
        told: dict[str, list[str]] = {}
        for model in self.study.models:
            wildcards = {"model": model, "seed": str(self.study.seeds[0]), "dataset": self.study.scored_sets()[0]}
            told.setdefault(_joined(self._describe("infer", **wildcards)), []).append(f"`{model}`")
        for text, models in told.items():
            yield text.replace("The map", f"The map of {listed(models)}", 1)

    def _seeds(self) -> str:
        seeds = [str(seed) for seed in self.study.seeds]
        often = (
            f"once, with the seed {seeds[0]}"
            if len(seeds) == 1
            else f"{len(seeds)} times, with the seeds {listed(seeds)}"
        )
        return f"Each model that learns was trained {often}, on healthy scans alone."

    def refuse_leaks(self) -> None:
        """Raise InputError if a file is in two roles. It opens every scan's file, which no job needs to repeat."""
        refuse_shared_files(self._drawn)

    def _with_roles(self, dataset: str) -> list[Scan]:
        """The scans with the roles that the split will give them; none for a data set that is only preprocessed."""
        shares, rows = self.study.scan_sets()[dataset].split, self.scans[dataset]
        return rows if shares is None or dataset in self.absent else draw_split(rows, shares, self.study.seed)

    # What jobs read

    def done_files(self, dataset: str) -> list[Path]:
        """The done files of a data set's preprocess jobs; raises InputError if it is not downloaded yet."""
        if self.absent:
            names = " and ".join(self.absent)
            do = "type `snakemake download` with the same options, then the command that you typed"
            raise InputError(f"{names} must be downloaded before the study can be laid out", do=do)
        if self.study.compute.scans_per_job == 1:
            return [self.scan_done_file(dataset, row.scan) for row in self.scans[dataset]]
        return [self.batch_done_file(dataset, name) for name in self._batches[dataset]]

    def batches(self, dataset: str) -> dict[str, list[str]]:
        """The batches of a data set's scans."""
        return self._batches[dataset]

    def batch(self, dataset: str, name: str) -> list[str]:
        """The scans of a batch."""
        return self._batches[dataset][name]

    def scan_done_file(self, dataset: str, scan: str) -> Path:
        """The done file of a scan with a job of its own."""
        return self.preprocessed(dataset) / scan / done_file.NAME

    def batch_done_file(self, dataset: str, name: str) -> Path:
        """The done file of a batch."""
        return self.preprocessed(dataset) / done_file.BATCHES / f"{name}.json"

    def scan_files(self, dataset: str, scans: list[str]) -> dict[str, str]:
        """What the preprocess job of these scans reads, by the names of `preprocess.job_inputs`."""
        table = {"table": str(self.scan_table(dataset))} if self._is_made(dataset) else {}
        return job_inputs((self._rows[dataset, scan] for scan in scans), {**table, **self._template})

    def scan_settings(self, dataset: str) -> ScanSettings:
        """What the preprocessing of a data set's scans depends on."""
        return self._scan_settings[dataset]

    def remarks(self, dataset: str) -> list[str]:
        """What was noticed as the scans of a data set were listed: notes, who is left out, what sessions lack."""
        source = self._sources[dataset]
        lacking = {scan.scan for name in self.study.sequences()[1:] for scan in source.lacking(name)}
        rows = [row for row in self._drawn[dataset] if row.scan in lacking]
        return [*source.remarks, *fate_of_lacking(rows, self.study.missing)]

    def remotes(self, dataset: str) -> Any:
        """The files that are downloaded for a data set that is known by name."""
        return self._sources[dataset].remotes()

    def fetched(self, dataset: str) -> list[Path]:
        """The note that a data set has been downloaded, where it can be."""
        return [self.fetch_note(dataset)] if self.remotes(dataset) else []

    def converted(self, dataset: str) -> list[str]:
        """The files that are converted to a data set's scans; none if the scans are read where they are."""
        return self._sources[dataset].files_to_convert(self.scans[dataset])

    def _is_made(self, dataset: str) -> bool:
        """Whether the files of a data set's scans are made by its download job."""
        return dataset in self._sources and self._sources[dataset].makes_files

    def masks(self, dataset: str) -> list[Path]:
        """The lesion masks that are inserted to make a data set; none for one that holds scans of its own."""
        return self._masks.get(dataset, [])

    def scan_set(self, dataset: str) -> AnyScans:
        """The settings of a data set that holds scans of its own."""
        return self.study.scan_sets()[dataset]

    # What jobs request

    def megabytes(self, program: int, volumes: int = 0, rows: int = 0) -> int:
        """Memory to request: the program's, and what grows with the study, generously.

        `volumes`: float32 volumes on the template's grid that a job may hold at once; `rows`: of tables, 10 kB each.
        """
        voxels = TEMPLATE_MM3 / self.study.recipe.preprocess.spacing**3
        return round(program + volumes * voxels * 4e-6 + rows * 0.01)

    def scored_voxels(self) -> float:
        """Voxels of the grid that is scored for one of the template's; scans' own grids are taken as `OWN_MM` fine."""
        own = self.study.evaluate.space == "native"
        return max(1.0, (self.study.recipe.preprocess.spacing / OWN_MM) ** 3) if own else 1.0

    def scan_count(self, dataset: str) -> int:
        """Scans of a data set, made ones included."""
        settings = self.study.datasets[dataset]
        return len(self.scans[self.origin(dataset)]) * (settings.draws if isinstance(settings, Made) else 1)

    def scored_rows(self) -> int:
        """Rows of the table of scans under one postprocessing, all roles counted."""
        return sum(self.scan_count(dataset) for _, _, dataset in self.runs())

    def track_attempt(self) -> int:
        """How many imports into MLflow found no server; a change makes Snakemake try again."""
        path = self.attempts()
        return int(path.read_text()) if path.exists() else 0


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(sentences)


def _refuse_misread(study: Study, scans: Mapping[str, Sequence[Scan]], pools: Mapping[str, Sequence[Path]]) -> None:
    """Raise InputError for a file of a data set whose path Snakemake would misread."""
    files = [(label, path) for label, rows in scans.items() for row in rows for path in row.files().values()]
    files += [(label, str(path)) for label, masks in pools.items() for path in masks]
    for label, path in files:
        if part := paths.misread(path):
            do = f"rename it, or set datasets.{label}.exclude" if label in study.scan_sets() else "rename it"
            raise InputError(f"Snakemake would misread {part!r} in the path of a file of {label}", file=path, do=do)
