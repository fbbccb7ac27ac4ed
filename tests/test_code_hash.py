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
