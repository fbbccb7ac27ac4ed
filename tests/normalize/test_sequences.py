"""Array caches with several sequences of each session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainuad.config.anomalies import Anomaly
from brainuad.config.datasets import Artificial, Corrupted, Inserted, Split
from brainuad.config.insertion import Insertion
from brainuad.config.recipe import Intensity, Normalize
from brainuad.errors import InputError
from brainuad.formats import array_cache, names, quality, scans, status, transform, volume
from brainuad.formats.names import Naming
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.formats.transform import Affine
from brainuad.normalize.caching import normalize, normalize_made
from brainuad.normalize.made import Making
from brainuad.normalize.scaling import fit_scaling
from brainuad.normalize.source import Source
from brainuad.normalize.split import SplitRules, split

SHAPE = (20, 24, 18)
AFFINE = np.array([[4.0, 0, 0, -38], [0, 4, 0, -48], [0, 0, 4, -36], [0, 0, 0, 1]])
RECIPE = Normalize(slices=(-40, 40), intensity=Intensity(method="nyul", clip=(0, 2)))
SEQUENCES = ["T1w", "FLAIR"]
BRAIN = np.zeros(SHAPE, bool)
BRAIN[3:-3, 3:-3, 3:-3] = True


def session(folder: Path, name: str, rng: np.random.Generator, sequences: list[str]) -> None:
    """A session as preprocess leaves it: FLAIR is bright where T1w is dark."""
    tissue = rng.normal(0, 1, SHAPE)
    images = {"image": 100 + 20 * tissue, "image_FLAIR": 5 - tissue}
    files = {
        "image": names.preprocessed(name, Naming("T1w")),
        "brain": names.brain_mask(name, Naming("T1w")),
        "transform": names.transform(name, Naming("T1w")),
    }
    if "FLAIR" in sequences:
        files["image_FLAIR"] = names.preprocessed(name, Naming("FLAIR"))
    for key, path in files.items():
        if key == "transform":
            transform.write(folder / path, Affine(np.eye(4)))
        elif key == "brain":
            volume.write(folder / path, BRAIN, AFFINE)
        else:
            volume.write(folder / path, np.where(BRAIN, images[key], 0).astype(np.float32), AFFINE)
    status.write(folder / name / status.NAME, status.Status(scan=name, modality="T1w", state="ok", files=files))


@pytest.fixture
def healthy(tmp_path: Path) -> Source:
    """Eight sessions, of which `sub-6` in test and `sub-0` in training lack FLAIR."""
    rng, labels = np.random.default_rng(0), [f"sub-{i}" for i in range(8)]
    rows = [Scan(name, name, "toy") for name in labels]
    scans.write(tmp_path / "listed.tsv", rows)
    quality.write(tmp_path / "first.tsv", [QualityRow("toy", each, each, "ok", has_image=True) for each in labels])
    rules = SplitRules(Split(train=0.5, validation=0.25, test=0.25), healthy=True, seed=0)
    split(tmp_path / "listed.tsv", tmp_path / "first.tsv", rules, tmp_path / "roles.tsv")
    roles = {row.scan: row.role for row in scans.read(tmp_path / "roles.tsv")}
    lacking = {next(name for name in labels if roles[name] == role) for role in ("train", "test")}
    for name in labels:
        session(tmp_path / "pre", name, rng, ["T1w"] if name in lacking else SEQUENCES)
    verdicts = [
        QualityRow("toy", name, name, "warned", has_image=True, missing="FLAIR" if name in lacking else "")
        for name in labels
    ]
    quality.write(tmp_path / "quality.tsv", verdicts)
    split(tmp_path / "listed.tsv", tmp_path / "quality.tsv", rules, tmp_path / "toy.tsv")
    source = Source(tmp_path / "toy.tsv", tmp_path / "pre", SEQUENCES)
    fit_scaling([source], RECIPE.intensity, tmp_path / "scaling.safetensors")
    return source


def test_each_sequence_is_scaled_by_itself_and_can_be_opened(healthy: Source, tmp_path: Path) -> None:
    normalize(healthy, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    both, flair, t1 = (array_cache.read(tmp_path / "cache", each) for each in (SEQUENCES, ["FLAIR"], ()))
    whole = [row for row, scan in enumerate(both.scans) if not scan.missing]
    assert both.images.shape == (*t1.images.shape, 2)
    for row in whole:
        np.testing.assert_array_equal(both.image(row)[..., 0], t1.image(row))
        np.testing.assert_array_equal(both.image(row)[..., 1], flair.image(row))
        inside = t1.brain(row)
        assert np.corrcoef(t1.image(row)[inside], flair.image(row)[inside])[0, 1] < -0.9
        assert 0.3 < flair.image(row)[inside].mean() < 0.7
    assert set(t1.scaling) == set(flair.scaling) == {"landmarks"}
    assert set(both.scaling) == {"T1w.landmarks", "FLAIR.landmarks"}
    assert flair.naming.modality == "FLAIR"
    with pytest.raises(InputError, match="T2w"):
        array_cache.read(tmp_path / "cache", ["T2w"])


def test_only_test_sessions_may_lack_a_sequence(healthy: Source, tmp_path: Path) -> None:
    rows = scans.read(healthy.table)
    assert [(row.role, row.missing) for row in rows if row.state == "failed"] == [("train", "FLAIR")]
    normalize(healthy, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    made = array_cache.read(tmp_path / "cache", SEQUENCES)
    lacking = [row for row, scan in enumerate(made.scans) if scan.missing_sequences == ["FLAIR"]]
    assert [made.scans[row].role for row in lacking] == ["test"]
    assert not made.image(lacking[0])[..., 1].any()
    assert made.image(lacking[0])[..., 0].any()


@pytest.mark.parametrize(("decision", "state"), [("include", "failed"), ("exclude", "excluded")])
@pytest.mark.parametrize("verdict", ["failed", "warned"])
def test_a_decision_brings_no_session_without_a_sequence_into_training(
    decision: str, state: str, verdict: str, tmp_path: Path
) -> None:
    names = ["sub-1", "sub-2"]
    scans.write(tmp_path / "listed.tsv", [Scan(name, name, "toy") for name in names])
    rows = [QualityRow("toy", name, name, verdict, has_image=True, missing="FLAIR") for name in names]
    quality.write(tmp_path / "quality.tsv", rows)
    rules = SplitRules(Split(train=0.5, test=0.5), True, 0, dict.fromkeys(names, decision))
    split(tmp_path / "listed.tsv", tmp_path / "quality.tsv", rules, tmp_path / "toy.tsv")
    states = {row.role: row.state for row in scans.read(tmp_path / "toy.tsv")}
    assert states == {"train": state, "test": f"{decision}d"}


def test_made_scans_change_all_sequences_in_one_place(healthy: Source, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for number in range(4):
        lesion = np.zeros(SHAPE, np.uint8)
        lesion[7:12, 9:14, 6 + number : 9 + number] = 1
        volume.write(masks / f"lesion{number}.nii.gz", lesion, AFFINE)
    scaling, signs = tmp_path / "scaling.safetensors", {"T1w": "dark", "FLAIR": "bright"}
    insertion = Insertion(contrast=(1.0, 1.0), edge_mm=0.1, texture=0, uneven=0)
    sets = {
        "inserted": Inserted(source="inserted", into="toy", masks=[str(masks)], insertion=insertion),
        "artificial": Artificial(source="artificial", into="toy", anomaly_types=["uniform"], anomaly=Anomaly()),
        "corrupted": Corrupted(source="corrupted", into="toy", corruption_types=["hole"]),
    }
    whole = next(row for row in healthy.rows("test") if not row.missing)
    before = healthy.read(whole)
    for name, settings in sets.items():
        normalize_made(healthy, Making(name, settings, 0, signs), scaling, RECIPE, tmp_path / name)
        made = array_cache.read(tmp_path / name, SEQUENCES)
        row = next(i for i, scan in enumerate(made.scans) if scan.subject == whole.subject)
        normalize(healthy, scaling, RECIPE, tmp_path / "plain")
        plain = array_cache.read(tmp_path / "plain", SEQUENCES)
        index = next(i for i, scan in enumerate(plain.scans) if scan.scan == whole.scan)
        difference = made.image(row) - plain.image(index)
        changed = np.abs(difference) > 0.3 * np.abs(difference).max(axis=(0, 1, 2))
        assert changed.any()
        if name == "inserted":
            lesion = array_cache.read_lesions(tmp_path / name)[row]
            darker, brighter = difference[lesion].mean(axis=0)
            assert darker < -0.1
            assert brighter > 0.1
        elif name == "artificial":
            assert changed.all(axis=-1).sum() > 0.6 * changed.any(axis=-1).sum()
        else:
            hole = (made.image(row) == 0) & (plain.image(index) != 0)
            assert (hole[..., 0] & hole[..., 1]).sum() > 0.9 * hole.any(axis=-1).sum() > 0
    assert before.sequences.keys() == {"FLAIR"}
