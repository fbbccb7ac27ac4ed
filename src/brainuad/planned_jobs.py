"""The job of each rule of a study: its files and its settings, from the plan.

One function a rule, named like the rule. Wildcards are text, as Snakemake has them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainuad.config.datasets import Inserted, Made, OnDisk, Scans, WithReference
from brainuad.config.network import NetworkSettings
from brainuad.config.reading import Reading
from brainuad.download.fetch_job import FetchJob, FetchOutputs
from brainuad.download.list_scans_job import ListScansInputs, ListScansJob, ListScansOutputs
from brainuad.evaluate.evaluate_job import EvaluateInputs, EvaluateJob, EvaluateOutputs
from brainuad.evaluate.summarise_job import SummariseInputs, SummariseJob, SummariseOutputs
from brainuad.infer.infer_job import InferInputs, InferJob, InferOutputs
from brainuad.jobs.base import InputsByName, Job
from brainuad.normalize.normalize_job import NormalizeInputs, NormalizeJob, NormalizeOutputs
from brainuad.normalize.scaling_job import ScalingInputs, ScalingJob, ScalingOutputs
from brainuad.normalize.split_job import SplitInputs, SplitJob, SplitOutputs
from brainuad.normalize.subjects_job import SubjectsInputs, SubjectsJob, SubjectsOutputs
from brainuad.postprocess.ceilings_job import CeilingsInputs, CeilingsJob, CeilingsOutputs
from brainuad.postprocess.native_job import NativeInputs, NativeJob, NativeOutputs
from brainuad.postprocess.postprocess_job import PostprocessInputs, PostprocessJob, PostprocessOutputs
from brainuad.preprocess.contact_sheets_job import ContactSheetsInputs, ContactSheetsJob, ContactSheetsOutputs
from brainuad.preprocess.preprocess_job import PreprocessJob, PreprocessOutputs
from brainuad.preprocess.quality_job import QualityInputs, QualityJob, QualityOutputs
from brainuad.preprocess.settings import ScanSettings
from brainuad.report.report_job import ReportInputs, ReportJob, ReportOutputs
from brainuad.track.track_job import TrackInputs, TrackJob, TrackOutputs
from brainuad.train.train_job import TrainInputs, TrainJob, TrainOutputs

if TYPE_CHECKING:
    from brainuad.formats.scans import Scan
    from brainuad.plan import Plan


def fetch(plan: Plan, dataset: str) -> FetchJob:
    """Of a data set that is known by name."""
    settings: Any = plan.study.datasets[dataset]
    remotes = [(remote.url, remote.checksum) for remote in plan.remotes(dataset)]
    out = FetchOutputs(note=plan.fetch_note(dataset))
    return FetchJob(outputs=out, label=dataset, dataset=settings, remotes=remotes)


def list_scans(plan: Plan, dataset: str) -> ListScansJob:
    """Of a data set that holds scans of its own."""
    settings = plan.scan_set(dataset)
    if settings.synthesised:
        content = {"label": dataset, **_content(settings)}
    else:
        content = {"label": dataset, "scans": [_listed(row) for row in plan.scans[dataset]]}
    return ListScansJob(
        inputs=ListScansInputs(note=plan.fetched(dataset), scans=[Path(p) for p in plan.converted(dataset)]),
        outputs=ListScansOutputs(table=plan.scan_table(dataset)),
        label=dataset,
        dataset=settings,
        content=content,
    )


def preprocess(plan: Plan, dataset: str, scan: str) -> PreprocessJob:
    """Of one scan."""
    return _preprocess(plan, dataset, plan.scan_done_file(dataset, scan), [scan])


def preprocess_batch(plan: Plan, dataset: str, batch: str) -> PreprocessJob:
    """Of a batch of scans."""
    return _preprocess(plan, dataset, plan.batch_done_file(dataset, batch), plan.batch(dataset, batch))


def _preprocess(plan: Plan, dataset: str, done: Path, scans: list[str]) -> PreprocessJob:
    return PreprocessJob(
        inputs=InputsByName(files=plan.scan_files(dataset, scans)),
        outputs=PreprocessOutputs(done=done),
        settings=plan.scan_settings(dataset),
        scans=scans,
    )


def quality(plan: Plan, dataset: str) -> QualityJob:
    """Of a data set that holds scans of its own."""
    return QualityJob(
        inputs=QualityInputs(table=plan.scan_table(dataset), done=plan.done_files(dataset)),
        outputs=QualityOutputs(table=plan.quality(dataset)),
        limits=plan.study.recipe.preprocess.quality,
        missing=plan.study.missing if plan.study.sequences() else "leave_out_scan",
        exclude=plan.scan_set(dataset).exclude,
        preprocessed=plan.preprocessed(dataset),
    )


def contact_sheets(plan: Plan, dataset: str) -> ContactSheetsJob:
    """Of a data set that holds scans of its own."""
    return ContactSheetsJob(
        inputs=ContactSheetsInputs(quality=plan.quality(dataset)),
        outputs=ContactSheetsOutputs(folder=plan.contact_sheet(dataset)),
        label=dataset,
        preprocessed=plan.preprocessed(dataset),
    )


def split(plan: Plan, dataset: str) -> SplitJob:
    """Of a data set that holds scans of its own."""
    settings = plan.scan_set(dataset)
    return SplitJob(
        inputs=SplitInputs(table=plan.scan_table(dataset), quality=plan.quality(dataset)),
        outputs=SplitOutputs(table=plan.roles_table(dataset)),
        split=settings.split,
        seed=plan.study.seed,
        healthy=settings.healthy,
        decisions={scan: decision.word for scan, decision in plan.decisions.get(dataset, {}).items()},
    )


def subjects(plan: Plan) -> SubjectsJob:
    """Of the study."""
    tables = [plan.roles_table(label) for label in plan.sources()]
    return SubjectsJob(inputs=SubjectsInputs(tables=tables), outputs=SubjectsOutputs(table=plan.subjects_table()))


def scaling(plan: Plan) -> ScalingJob:
    """Of the study."""
    labels = plan.training_sets()
    return ScalingJob(
        inputs=ScalingInputs(tables=[plan.roles_table(label) for label in labels]),
        outputs=ScalingOutputs(scaling=plan.scaling()),
        intensity=plan.study.recipe.normalize.intensity,
        preprocessed=[plan.preprocessed(label) for label in labels],
        sequences=plan.study.sequences(),
    )


def normalize(plan: Plan, dataset: str) -> NormalizeJob:
    """Of a data set that models see."""
    settings, origin = plan.study.datasets[dataset], plan.origin(dataset)
    made, sequences = None, plan.study.sequences()
    if isinstance(settings, Made):
        made = {**settings.model_dump(mode="json", exclude={"masks"}), "seed": plan.study.seed}
    return NormalizeJob(
        inputs=NormalizeInputs(
            table=plan.roles_table(origin),
            done=plan.done_files(origin),
            masks=plan.masks(dataset),
            scaling=plan.scaling(),
        ),
        outputs=NormalizeOutputs(array_cache=plan.array_cache(dataset)),
        label=dataset,
        recipe=plan.study.recipe.normalize,
        made=made,
        mask_folders=settings.masks if isinstance(settings, Inserted) else [],
        preprocessed=plan.preprocessed(origin),
        sequences=sequences,
        signs={name: plan.study.sign_of(name) for name in sequences} if isinstance(settings, Inserted) else {},
    )


def train(plan: Plan, model: str, seed: str) -> TrainJob:
    """Of one model and seed."""
    settings, compute, folder = plan.study.models[model], plan.study.compute, plan.train_folder(model, seed)
    return TrainJob(
        inputs=TrainInputs(array_caches=[plan.array_cache(label) for label in plan.training_sets()]),
        outputs=TrainOutputs(
            weights=folder / "arrays.safetensors", bundle=folder / "bundle.json", record=folder / "run.json"
        ),
        model=settings.pinned().model_dump(mode="json", exclude={"map", "cite", "modalities"}),
        seed=int(seed),
        label=model,
        threads=compute.threads,
        devices=compute.devices,
        accelerator=compute.accelerator,
        workers=compute.workers,
        scratch=compute.scratch,
        cite=settings.cite,
        sequences=plan.study.sequences_of(model),
    )


def infer(plan: Plan, model: str, seed: str, dataset: str) -> InferJob:
    """Of one model, seed and data set."""
    settings, compute, bundle = plan.study.models[model], plan.study.compute, plan.bundle(model, seed)
    members = settings.member_labels()
    by_scan = bool(members) or getattr(settings.map, "per_scan", "none") != "none"
    return InferJob(
        inputs=InferInputs(
            weights=bundle / "arrays.safetensors",
            bundle=bundle / "bundle.json",
            array_cache=plan.array_cache(dataset),
            members=[plan.maps(label, seed, dataset) for label in members],
        ),
        outputs=InferOutputs(maps=plan.maps(model, seed, dataset)),
        family=settings.family,
        map=settings.map.model_dump(mode="json"),
        lesion_sign=plan.study.signs_of(model),
        erode_voxels=plan.study.evaluate.erode_voxels if by_scan else 0,
        threads=compute.threads,
        accelerator=compute.accelerator,
        scratch=compute.scratch,
    )


def postprocess(plan: Plan, model: str, seed: str, dataset: str, postprocessing: str) -> PostprocessJob:
    """Of one model, seed, data set and postprocessing."""
    validation = plan.study.threshold_sets(dataset)
    return PostprocessJob(
        inputs=PostprocessInputs(
            maps=plan.maps(model, seed, dataset),
            array_cache=plan.array_cache(dataset),
            validation_maps=[plan.maps(model, seed, label) for label in validation],
            validation_array_caches=[plan.array_cache(label) for label in validation],
        ),
        outputs=PostprocessOutputs(masks=plan.predicted(model, seed, dataset, postprocessing)),
        label=postprocessing,
        postprocessing=plan.study.postprocessing[postprocessing],
        thresholds=plan.study.thresholds,
        validation_healthy=[plan.study.datasets[label].healthy for label in validation],
        validation_roles=list(validation.values()),
        erode_voxels=plan.study.evaluate.erode_voxels,
    )


def native(plan: Plan, model: str, seed: str, dataset: str, postprocessing: str) -> NativeJob:
    """Of one model, seed, data set and postprocessing."""
    return NativeJob(
        inputs=NativeInputs(
            maps=plan.maps(model, seed, dataset),
            masks=plan.predicted(model, seed, dataset, postprocessing),
            table=plan.roles_table(dataset),
        ),
        outputs=NativeOutputs(folder=plan.native(model, seed, dataset, postprocessing)),
        preprocessed=plan.preprocessed(dataset),
    )


def ceilings(plan: Plan, dataset: str) -> CeilingsJob:
    """Of a data set that is scored."""
    study = plan.study
    networks = [model.network_input() for model in study.models.values() if isinstance(model, NetworkSettings)]
    return CeilingsJob(
        inputs=CeilingsInputs(array_cache=plan.array_cache(dataset)),
        outputs=CeilingsOutputs(folder=plan.ceilings(dataset)),
        postprocessing=study.postprocessing,
        networks=list({network.name: network for network in networks}.values()),
        lesion_sign=study.sign_of(study.modalities[0] if study.modalities else ""),
        erode_voxels=study.evaluate.erode_voxels,
    )


def evaluate(plan: Plan, model: str, seed: str, dataset: str) -> EvaluateJob:
    """Of one model, seed and data set."""
    study, controls, calibration = plan.study, plan.controls(dataset), plan.calibration_sets(dataset)
    own, origin = study.evaluate.space == "native", plan.origin(dataset)
    return EvaluateJob(
        inputs=EvaluateInputs(
            maps=plan.maps(model, seed, dataset),
            masks=[plan.predicted(model, seed, dataset, label) for label in study.postprocessing],
            array_cache=plan.array_cache(dataset),
            control_maps=[plan.maps(model, seed, label) for label in controls],
            control_array_caches=[plan.array_cache(label) for label in controls],
            calibration_maps=[plan.maps(model, seed, label) for label in calibration],
            calibration_array_caches=[plan.array_cache(label) for label in calibration],
        ),
        outputs=EvaluateOutputs(folder=plan.evaluation(model, seed, dataset)),
        evaluate=study.evaluate,
        thresholds=study.thresholds,
        locating=[label for label, each in study.postprocessing.items() if each.locates()],
        calibration_role=plan.calibration_role(dataset),
        preprocessed=plan.preprocessed(origin) if own else None,
        reading=plan.scan_settings(origin).reading if own else None,
        sequence=study.sequences_of(model)[0] if study.sequences() and study.models[model].reconstructs else "",
    )


def summarise(plan: Plan) -> SummariseJob:
    """Of the study."""
    return SummariseJob(
        inputs=SummariseInputs(subjects=plan.subjects_table(), folders=plan.evaluations()),
        outputs=SummariseOutputs.model_validate({path.stem: path for path in plan.tables()}),
        seeds=len(plan.study.seeds),
        baselines=plan.study.baselines(),
    )


def track(plan: Plan) -> TrackJob:
    """Of the study."""
    runs = [(model, seed, label) for model, label in plan.study.trainings().items() for seed in plan.study.seeds]
    records = [folder / "run.json" for folder in plan.bundles()]
    return TrackJob(
        inputs=TrackInputs(tables=plan.tables(), records=records),
        outputs=TrackOutputs(mark=plan.folder / "track.json"),
        uri=plan.study.track.uri,
        attempt=plan.track_attempt(),
        runs=runs,
        models=list(plan.study.models),
    )


def report(plan: Plan) -> ReportJob:
    """Of the study."""
    study, folder = plan.study, plan.folder
    page = folder / "report/index.html"
    decided = {label: {scan: each.text for scan, each in by.items()} for label, by in plan.decisions.items()}
    cited = [study.recipe.cite, *(model.cite for model in study.models.values())]
    cited += [each.cite for each in study.postprocessing.values()]
    shown = {
        "title": study.title,
        "cites": cited,
        "postprocessing": list(study.postprocessing),
        "report": study.report.model_dump(mode="json"),
    }
    return ReportJob(
        inputs=ReportInputs(
            tables=plan.tables(),
            subjects=plan.subjects_table(),
            qualities=plan.qualities(),
            contact_sheets=plan.contact_sheets(),
            ceilings=[plan.ceilings(label) for label in study.scored_sets()],
        ),
        outputs=ReportOutputs(page=page, failures=folder / "failures.tsv", costs=folder / "costs.tsv"),
        shown=shown,
        methods=list(plan.methods().items()),
        decisions=decided,
        controls={label: plan.controls_in_words(label) for label in study.scored_sets() if plan.controls(label)},
        study=study,
        preprocessed=plan.root / "preprocess" / study.recipe_name,
    )


BUILDERS: dict[str, Callable[..., Job]] = {
    build.__name__: build
    for build in (
        fetch,
        list_scans,
        preprocess,
        preprocess_batch,
        quality,
        contact_sheets,
        split,
        subjects,
        scaling,
        normalize,
        train,
        infer,
        postprocess,
        native,
        ceilings,
        evaluate,
        summarise,
        track,
        report,
    )
}


def _listed(scan: Scan) -> list[Any]:
    files = {name: Path(path).name for name, path in scan.files().items()}
    return [scan.scan, files, scan.age, scan.sex, scan.site, scan.lesion_type]


def _content(settings: Scans) -> dict[str, Any]:
    """The settings that decide what a data set holds, its roles left out."""
    left_out = {"split", "exclude", "controls", "aligned", *(() if settings.sequences else ("sequences", "without"))}
    return settings.model_dump(mode="json", exclude=left_out)


def scan_settings(plan: Plan, dataset: str) -> ScanSettings:
    """What the preprocessing of a data set's scans depends on."""
    settings = plan.scan_set(dataset)
    source = _content(settings) if settings.synthesised else {}
    source.pop("subjects", None)
    register_with = settings.register_with if isinstance(settings, WithReference) else None
    recipe = plan.study.recipe.preprocess.model_dump(mode="json", exclude={"quality"})
    return ScanSettings(
        modality=settings.modality,
        healthy=settings.healthy,
        register_with=register_with,
        reading=settings.reading if isinstance(settings, OnDisk) else Reading(),
        source=source,
        recipe={**recipe, "template": Path(recipe["template"]).name},
        sequences=settings.sequences,
        aligned=settings.aligned and bool(settings.sequences),
    )
