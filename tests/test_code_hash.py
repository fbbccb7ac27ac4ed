"""Edits of the package, each with the exact set of jobs that it reruns. Nothing is run: hashes are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.code_hash import PACKAGE, CodeHasher
from brainuad.jobs.registry import STAGE_OF, job_class, job_module

FAMILIES = ("zscore_atlas", "thresh_histeq", "autoencoder", "fanogan", "vqvae")
SETS = ("ixi", "mood")
STEPS = ("n4",)


def roots_of(rule: str) -> tuple[str, ...]:
    return (f"{job_module(rule)}:{job_class(rule).__name__}",)


def _jobs() -> dict[str, tuple[str, ...]]:
    """The jobs that are compared, by name: each rule, with each of some families, known data sets and steps."""
    found = {rule: roots_of(rule) for rule in STAGE_OF if rule not in ("train", "infer", "preprocess_batch")}
    for family in FAMILIES:
        found[f"train {family}"] = (*roots_of("train"), f"brainuad.methods.{family}")
        found[f"infer {family}"] = (*roots_of("infer"), f"brainuad.methods.{family}")
    for name in SETS:
        found[f"list_scans {name}"] = (*roots_of("list_scans"), f"brainuad.download.sets.{name}")
    for name in STEPS:
        found[f"preprocess {name}"] = (*roots_of("preprocess"), f"brainuad.preprocess.steps.{name}")
    return found


JOBS = _jobs()


def of(*words: str) -> set[str]:
    """The jobs whose names begin with one of these words, or are one of these names."""
    return {job for job in JOBS if any(job == word or job.split()[0] == word for word in words)}


NETWORKS = {f"{stage} {family}" for stage in ("train", "infer") for family in ("autoencoder", "fanogan", "vqvae")}
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.fixture(scope="module")
def hasher() -> CodeHasher:
    found = CodeHasher(PACKAGE)
    for roots in JOBS.values():
        found.code_hash(*roots)
    return found


def rerun_by(hasher: CodeHasher, place: str, old: str, new: str) -> set[str]:
    """The jobs whose hash changes with an edit: `old` stands once in the file `place`."""
    path = PACKAGE / place
    text = SOURCES[path]
    assert text.count(old) == 1, f"{place} holds {old!r} {text.count(old)} times"
    parts = Path("brainuad", place).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    edited = hasher.edited(module, text.replace(old, new))
    return {job for job, roots in JOBS.items() if edited.code_hash(*roots) != hasher.code_hash(*roots)}


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        # comments, docstrings, strings under fields
        (
            "methods/zscore_atlas.py",
            '"""Voxel-wise z-score against an atlas of',
            '# A comment.\n"""Z-score against an atlas of',
        ),
        ("methods/zscore_atlas.py", "scan and atlas smoothed alike.", "both smoothed alike."),
        ("formats/run.py", '"""Hash of the input scans."""', '"""SHA-256 of the input scans."""'),
        ("config/network.py", '"""Learning rate."""', '"""Learning rate of Adam."""'),
        ("images/smooth.py", "A constant inside the brain", "A constant value inside the brain"),
        ("config/evaluate.py", "lesion voxels in the rim", "lesion voxels of the rim"),
        # what is logged, shown and measured
        ("train/fit.py", '"resume %s at step %d"', '"%s goes on at step %d"'),
        ("resources/training_progress.py", "TOLD_SECONDS = 10.0", "TOLD_SECONDS = 20.0"),
        ("status_line.py", "LOG_SECONDS = 30.0", "LOG_SECONDS = 60.0"),
        ("resources/clock.py", "SAMPLE_SECONDS = 0.1", "SAMPLE_SECONDS = 2.0"),
        ("resources/recording.py", '"snakemake")', '"snakemake", "monai")'),
        ("logs.py", "logging.INFO)", "logging.WARNING)"),
        # words of errors, and the classes of errors
        ("errors.py", "code = 1", "code = 3"),
        ("formats/volume.py", 'do="export it again"', 'do="export it once more"'),
        ("methods/zscore_atlas.py", '"zscore_atlas has no atlas yet"', '"there is no atlas yet"'),
        # type hints
        ("methods/zscore_atlas.py", "def fit(self, training: TrainingScans, ", "def fit(self, training, "),
        ("images/seeds.py", "-> np.random.Generator:", "-> object:"),
        # the methods section
        ("preprocess/steps/n4.py", '"The bias field was removed with N4', '"A bias field was removed with N4'),
        ("train/train_job.py", "Model `", "The model `"),
        # fields, whose values are params; and the code around jobs
        ("config/evaluate.py", "erode_voxels: int = Field(1, ge=0)", "erode_voxels: int = Field(2, ge=0)"),
        ("preprocess/steps/n4.py", "shrink: int = Field(4, ge=1)", "shrink: int = Field(3, ge=1)"),
        ("jobs/base.py", "sort_keys=True", "sort_keys=False"),
        ("plan.py", "Job] = {}", "Job] = dict()"),
        ("cli.py", "no_args_is_help=True", "no_args_is_help=False"),
        ("units.py", "def format_size(", "def format_bytes("),
        ("__init__.py", '"0.1.0"', '"0.2.0"'),
    ],
)
def test_an_edit_that_can_change_no_number_reruns_nothing(hasher, place, old, new):
    assert rerun_by(hasher, place, old, new) == set()


@pytest.mark.parametrize(
    ("place", "old", "new", "jobs"),
    [
        ("download/sets/ixi.py", '"T2w": "T2"', '"T2w": "T3"', of("list_scans ixi")),
        ("images/seeds.py", "sha256", "sha512", of("list_scans", "normalize")),
        ("images/template.py", "BRAIN_ML = (900.0", "BRAIN_ML = (950.0", of("preprocess")),
        ("preprocess/pipeline.py", "REGISTRATION_SPACING_MM = 2.0", "REGISTRATION_SPACING_MM = 3.0", of("preprocess")),
        ("preprocess/registration/histogram.py", "BINS = 32", "BINS = 64", of("preprocess")),
        ("preprocess/brain_mask/skullstrip.py", "CSF_MM = 2.0", "CSF_MM = 3.0", of("preprocess")),
        ("preprocess/steps/n4.py", "n // 16", "n // 8", of("preprocess n4")),
        ("preprocess/review/contact_sheet.py", "LINE_LENGTH = 62", "LINE_LENGTH = 70", of("contact_sheets")),
        ("images/resample.py", "> 0.5", "> 0.6", of("preprocess", "normalize")),
        ("images/native.py", "> 0.5", "> 0.6", of("native", "evaluate")),
        ("normalize/mask_pool.py", "i % 3 != 1", "i % 3 != 2", of("normalize")),
        ("normalize/intensity.py", "high, 256)", "high, 128)", of("scaling", "normalize")),
        (
            "formats/coding.py",
            "STEPS = 254",
            "STEPS = 253",
            of("normalize", "train", "infer", "postprocess", "ceilings", "evaluate", "report"),
        ),
        (
            "config/network.py",
            "train.batch_size * self.critic_steps",
            "train.batch_size",
            of("train fanogan", "infer fanogan"),
        ),
        ("images/smooth.py", "sigma_mm / size for", "2 * sigma_mm / size for", of("train", "infer", "ceilings")),
        ("images/equalise.py", "(levels - 1) /", "levels /", of("train thresh_histeq", "infer thresh_histeq")),
        (
            "methods/zscore_atlas.py",
            "finished(z, brain",
            "finished(-z, brain",
            of("train zscore_atlas", "infer zscore_atlas"),
        ),
        ("methods/fanogan/objective.py", "image + self", "image - self", of("train fanogan", "infer fanogan")),
        ("methods/shared/reconstruction.py", "self.network.eval()", "self.network.train()", NETWORKS),
        ("train/sampler.py", "SeedSequence([seed, stage])", "SeedSequence([stage, seed])", of("train")),
        ("postprocess/operators.py", "total // 2]", "total // 3]", of("postprocess", "ceilings")),
        ("postprocess/native.py", "> 0.5", "> 0.6", of("native")),
        (
            "metrics/mask_metrics.py",
            "2 * masks.true_positives",
            "masks.true_positives",
            of("evaluate", "report", "track"),
        ),
        (
            "metrics/statistics.py",
            "FEWEST_PATIENTS = 3",
            "FEWEST_PATIENTS = 4",
            of("evaluate", "summarise", "report", "track"),
        ),
        ("evaluate/comparisons.py", "p_adjusted < LEVEL", "p_adjusted > LEVEL", of("summarise")),
        ("figures/curves.py", "RESIDUAL_BINS = 20", "RESIDUAL_BINS = 30", of("report")),
        ("track/run_import.py", "MOST_SHADES = 16, 5, 24", "MOST_SHADES = 20, 5, 24", of("track")),
    ],
)
def test_an_edit_that_can_change_a_number_reruns_what_depends_on_it(hasher, place, old, new, jobs):
    assert rerun_by(hasher, place, old, new) == jobs
