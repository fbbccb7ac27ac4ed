from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.anomalies import Anomaly
from brainuad.config.datasets import Artificial, Corrupted, Inserted, Split
from brainuad.config.recipe import Intensity, Normalize, Resize
from brainuad.errors import ConfigError, InputError
from brainuad.formats import array_cache, names, quality, run, scans, status, transform, volume
from brainuad.formats.names import Naming
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.formats.transform import Affine
from brainuad.normalize.caching import normalize, normalize_made
from brainuad.normalize.grid import window
from brainuad.normalize.made import Making
from brainuad.normalize.mask_pool import LesionMaskPool
from brainuad.normalize.scaling import fit_scaling
from brainuad.normalize.source import Source
from brainuad.normalize.split import SplitRules, split

SHAPE = (20, 24, 18)
AFFINE = np.array([[4.0, 0, 0, -40], [0, 4, 0, -48], [0, 0, 4, -36], [0, 0, 0, 1]])
TO_SCAN = (0.9, 0.8, 1.1)
"""Scaling from the template to the scans."""
RECIPE = Normalize(slices=(-20, 20))
NAMING = Naming()
RULES = SplitRules(Split(train=0.6, validation=0.2, test=0.2), healthy=True, seed=0)


def preprocessed(folder, labels, failed=(), lesion=()):
    """Scans as the preprocess stage leaves them."""
    rng = np.random.default_rng(1)
    brain = np.zeros(SHAPE, bool)
    brain[3:-3, 3:-3, 3:-3] = True
    for name in labels:
        place = folder / name
        place.mkdir(parents=True)
        state = "failed" if name in failed else "ok"
        images = {}
        if state == "ok":
            images = {"image": np.where(brain, rng.normal(100, 20, SHAPE), 0), "brain": brain}
        if name in lesion:
            images["mask"] = np.zeros(SHAPE, bool)
            images["mask"][8:11, 8:11, 8:11] = True
        add(place, images, status.Status(scan=name, state=state, reasons=["broken"] * (state != "ok")))


def add(place, images, state):
    """Write images of a scan, and its status with them."""
    paths = {"image": names.preprocessed(place.name, NAMING), "brain": names.brain_mask(place.name, NAMING)}
    paths |= {name: names.reference_mask(place.name, NAMING, name) for name in status.MASKS}
    for name, image in images.items():
        volume.write(place.parent / paths[name], image, AFFINE)
    listed = {name: paths[name] for name in images} | {"transform": names.transform(place.name, NAMING)}
    transform.write(place.parent / listed["transform"], Affine(np.diag([*TO_SCAN, 1.0])))
    status.write(place / status.NAME, state.model_copy(update={"files": state.files | listed}))


def judged(path, labels, failed=()):
    """The table of quality with the verdict on these scans."""
    rows = [
        QualityRow("ixi", name, name, "failed" if name in failed else "ok", "broken" * (name in failed), has_image=True)
        for name in labels
    ]
    quality.write(path, rows)
    return path


@pytest.fixture
def healthy(tmp_path):
    labels = [f"sub-{i:02d}" for i in range(10)]
    preprocessed(tmp_path / "pre", labels, failed=["sub-03"])
    rows = [Scan(scan=name, subject=name, dataset="ixi") for name in labels]
    scans.write(tmp_path / "table.tsv", rows)
    verdicts = judged(tmp_path / "quality.tsv", labels, failed=["sub-03"])
    split(tmp_path / "table.tsv", verdicts, RULES, tmp_path / "ixi.tsv")
    source = Source(tmp_path / "ixi.tsv", tmp_path / "pre")
    fit_scaling([source], Intensity(method="nyul"), tmp_path / "scaling.safetensors")
    return source


def test_a_failed_subject_is_not_used_and_changes_no_role(healthy, tmp_path):
    rows = {row.scan: row for row in scans.read(healthy.table)}
    assert rows["sub-03"].state == "failed"
    assert "broken" in rows["sub-03"].note
    normalize(healthy, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    assert "sub-03" not in [row.scan for row in array_cache.read(tmp_path / "cache").scans]
    again = tmp_path / "again.tsv"
    split(tmp_path / "table.tsv", judged(tmp_path / "mended.tsv", rows), RULES, again)
    assert {row.scan: row.role for row in scans.read(again)} == {name: row.role for name, row in rows.items()}


def test_the_array_cache_is_on_the_cropped_grid(healthy, tmp_path):
    normalize(healthy, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    made = array_cache.read(tmp_path / "cache")
    assert made.images.shape == (9, 20, 24, 11)
    np.testing.assert_allclose((made.affine @ [0, 0, 0, 1])[:3], [-40, -48, -20])
    assert not np.asarray(made.images)[~np.asarray(made.brains)].any()
    assert "landmarks" in made.scaling


def test_a_resized_and_coded_array_cache_holds_the_same_brains(healthy, tmp_path):
    scaling, shape = tmp_path / "scaling.safetensors", (10, 12, 8)
    small = RECIPE.model_copy(update={"resize": Resize(shape=shape)})
    normalize(healthy, scaling, small, tmp_path / "plain")
    normalize(healthy, scaling, small.model_copy(update={"storage_dtype": "uint8"}), tmp_path / "coded")
    plain, coded = array_cache.read(tmp_path / "plain"), array_cache.read(tmp_path / "coded")
    assert plain.images.shape == coded.images.shape == (9, *shape)
    np.testing.assert_allclose(plain.spacing, (8, 8, 5.5))
    np.testing.assert_array_equal(plain.brains, coded.brains)
    assert not np.asarray(plain.images)[~np.asarray(plain.brains)].any()
    assert 0 < np.abs(np.asarray(coded.images) - plain.images).max() <= 2 / 254 / 2 + 1e-6
    kept = np.asarray(plain.brains[0]).mean()
    normalize(healthy, scaling, RECIPE, tmp_path / "whole")
    assert kept == pytest.approx(
        array_cache.read(tmp_path / "whole").brains[0].mean(), rel=0.3
    )  # half voxels at its border are lost


def test_test_scans_do_not_change_the_scaling(healthy, tmp_path):
    before = (tmp_path / "scaling.safetensors").read_bytes()
    for row in healthy.rows("test", "validation"):
        path = status.paths(tmp_path / "pre" / row.scan)["image"]
        image = volume.read(path)
        volume.write(path, image.data * 5 + 7, image.affine)
    fit_scaling([healthy], Intensity(method="nyul"), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == before
    row = healthy.rows("train")[0]
    path = status.paths(tmp_path / "pre" / row.scan)["image"]
    image = volume.read(path)
    volume.write(path, image.data**2, image.affine)
    fit_scaling([healthy], Intensity(method="nyul"), tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() != before, "training scans do"


def test_a_patient_without_a_mask_cannot_be_scored(tmp_path):
    preprocessed(tmp_path / "pre", ["sub-1", "sub-2"], lesion=["sub-1"])
    rows = [Scan("sub-1", "sub-1", "p", mask="m.nii.gz"), Scan("sub-2", "sub-2", "p", note="two raters")]
    scans.write(tmp_path / "table.tsv", rows)
    verdicts = judged(tmp_path / "quality.tsv", [row.scan for row in rows])
    split(tmp_path / "table.tsv", verdicts, SplitRules(Split(test=1), False, 0), tmp_path / "p.tsv")
    found = {row.scan: row for row in scans.read(tmp_path / "p.tsv")}
    assert found["sub-1"].state == "ok"
    assert found["sub-2"].state == "failed"
    assert "no lesion mask" in found["sub-2"].note
    assert "two raters" in found["sub-2"].note


@pytest.mark.parametrize("healthy_set", [True, False])
def test_patients_whose_mask_marks_nothing_are_told_from_healthy_subjects(healthy_set, tmp_path):
    verdicts = [
        QualityRow("p", name, name, "ok", has_image=True, numbers={"lesion_ml": ml})
        for name, ml in (("sub-1", 0.0), ("sub-2", 1.5))
    ]
    quality.write(tmp_path / "quality.tsv", verdicts)
    scans.write(tmp_path / "table.tsv", [Scan(row.scan, row.scan, "p", mask="m.nii.gz") for row in verdicts])
    rules = SplitRules(Split(test=1), healthy_set, 0)
    split(tmp_path / "table.tsv", tmp_path / "quality.tsv", rules, tmp_path / "p.tsv")
    found = {row.scan: (row.unmarked, bool(row.mask), row.state) for row in scans.read(tmp_path / "p.tsv")}
    patients = {"sub-1": ("1", True, "ok"), "sub-2": ("", True, "ok")}
    assert found == (dict.fromkeys(found, ("", False, "ok")) if healthy_set else patients)


def test_the_array_cache_has_the_volume_of_the_scans_own_space_and_keeps_lost_lesions(healthy, tmp_path):
    """A lesion without a voxel on the template's grid is still one."""
    rows = [scans.changed(row, mask="lost.nii.gz") for row in scans.read(healthy.table)]
    scans.write(healthy.table, rows)
    normalize(healthy, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    settings = Corrupted(source="corrupted", into="ixi")
    normalize_made(healthy, Making("bad", settings, 0), tmp_path / "scaling.safetensors", RECIPE, tmp_path / "made")
    for name in ("cache", "made"):
        made = array_cache.read(tmp_path / name).scans
        assert [row.own_volume for row in made] == pytest.approx([0.9 * 0.8 * 1.1] * len(made))
        assert {row.mask for row in made} == {"lost.nii.gz"}


def test_ignore_masks_are_in_the_array_cache(tmp_path):
    labels = ["sub-1", "sub-2"]
    preprocessed(tmp_path / "pre", labels, lesion=labels)
    mask = np.zeros(SHAPE, bool)
    mask[5:7, 8:11, 8:11] = True
    for name, ignored in (("sub-2", mask), ("sub-1", mask & ~mask)):
        place = tmp_path / "pre" / name
        add(place, {"ignore": ignored}, status.read(place / status.NAME))
    scans.write(tmp_path / "p.tsv", [Scan(name, name, "p", mask="m", ignore="i", role="train") for name in labels])
    source = Source(tmp_path / "p.tsv", tmp_path / "pre")
    fit_scaling([source], Intensity(), tmp_path / "scaling.safetensors")
    normalize(source, tmp_path / "scaling.safetensors", RECIPE, tmp_path / "cache")
    ignored = np.asarray(array_cache.read_ignored(tmp_path / "cache"))
    assert [int(part.sum()) for part in ignored] == [0, mask.sum()]
    assert [scan.ignore for scan in array_cache.read(tmp_path / "cache").scans] == ["", "i"], "an empty mask is none"


def mask_pool(folder, n=30, radius=3):
    x, y, z = np.meshgrid(*(np.arange(s) for s in SHAPE), indexing="ij")
    for i in range(n):
        ball = (x - 6 - i % 8) ** 2 + (y - 12) ** 2 + (z - 9) ** 2 <= radius**2
        volume.write(folder / f"m{i:02d}.nii.gz", ball, AFFINE)
    return folder


def test_lesions_are_inserted_by_subject_and_draw(healthy, tmp_path):
    masks = mask_pool(tmp_path / "mask_pool")
    (masks / "m00.nii.gz").write_bytes(b"broken")  # one bad mask never stops a study
    settings = Inserted(source="inserted", into="ixi", masks=[str(masks)], draws=2, roles=["validation", "test"])
    for name in ("one", "two"):
        scaling = tmp_path / "scaling.safetensors"
        normalize_made(healthy, Making("planted", settings, 0), scaling, RECIPE, tmp_path / name)
    made, again = array_cache.read(tmp_path / "one"), array_cache.read(tmp_path / "two")
    np.testing.assert_array_equal(made.images, again.images)
    assert [row.scan[-6:] for row in made.scans[:2]] == ["draw-1", "draw-2"]
    used = {role: {row.mask for row in made.scans if row.role == role} for role in ("validation", "test")}
    assert used["validation"]
    assert not used["validation"] & used["test"], "the two roles share no mask"
    assert np.asarray(array_cache.read_lesions(tmp_path / "one")).reshape(len(made.scans), -1).any(axis=1).all()


def test_a_scan_that_no_mask_fits_into_is_excluded_and_named(healthy, tmp_path):
    masks = [str(mask_pool(tmp_path / "mask_pool"))]
    settings = Inserted(source="inserted", into="ixi", masks=masks, roles=["validation", "test"])
    scaling, first = tmp_path / "scaling.safetensors", healthy.rows("validation", "test")[0].scan
    normalize_made(healthy, Making("planted", settings, 0), scaling, RECIPE, tmp_path / "whole")
    sliver = np.zeros(SHAPE, bool)
    sliver[3:-3, 3:-3, 3] = True
    volume.write(status.paths(healthy.folder / first)["brain"], sliver, AFFINE)
    normalize_made(healthy, Making("planted", settings, 0), scaling, RECIPE, tmp_path / "short")
    whole, short = array_cache.read(tmp_path / "whole"), array_cache.read(tmp_path / "short")
    kept = [i for i, row in enumerate(whole.scans) if not row.scan.startswith(first)]
    assert [row.scan for row in short.scans] == [whole.scans[i].scan for i in kept]
    np.testing.assert_array_equal(short.images, whole.images[kept])
    lesions = [np.asarray(array_cache.read_lesions(tmp_path / name)) for name in ("short", "whole")]
    np.testing.assert_array_equal(lesions[0], lesions[1][kept])
    assert "outside the brain" in run.read(tmp_path / "short" / run.NAME)["facts"]["excluded"][f"{first}_draw-1"]


def test_an_empty_folder_of_masks_is_refused(healthy, tmp_path):
    empty = tmp_path / "mask_pool"
    empty.mkdir()
    settings = Inserted(source="inserted", into="ixi", masks=[str(empty)])
    with pytest.raises(InputError, match="mask"):
        normalize_made(
            healthy, Making("planted", settings, 0), tmp_path / "scaling.safetensors", RECIPE, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_anomalies_depend_on_subject_and_draw_not_on_the_order(healthy, tmp_path):
    anomaly, scaling = Anomaly(radius_mm=(8, 12)), tmp_path / "scaling.safetensors"
    settings = Artificial(
        source="artificial",
        into="ixi",
        anomaly_types=["uniform", "noise"],
        draws=2,
        roles=["validation", "test"],
        anomaly=anomaly,
    )
    normalize_made(healthy, Making("odd", settings, 0), scaling, RECIPE, tmp_path / "one")
    made = array_cache.read(tmp_path / "one")
    lesions = np.asarray(array_cache.read_lesions(tmp_path / "one"))
    assert {row.role for row in made.scans} == {"validation", "test"}
    for subject in {row.subject for row in made.scans}:
        assert {row.lesion_type for row in made.scans if row.subject == subject} == {"uniform", "noise"}
    assert {(row.dataset, row.origin, row.corrupted) for row in made.scans} == {("odd", "ixi", "")}
    assert all(row.mask == row.lesion_type for row in made.scans)
    assert not (lesions & ~np.asarray(made.brains)).any()
    assert lesions.reshape(len(lesions), -1).any(axis=1).all(), "in the levels that models see"
    rows = scans.read(healthy.table)
    scans.write(healthy.table, rows[::-1])
    normalize_made(healthy, Making("odd", settings, 0), scaling, RECIPE, tmp_path / "two")
    again, others = array_cache.read(tmp_path / "two"), np.asarray(array_cache.read_lesions(tmp_path / "two"))
    place = {row.scan: i for i, row in enumerate(again.scans)}
    assert [row.scan for row in again.scans] != [row.scan for row in made.scans]
    for i, row in enumerate(made.scans):
        np.testing.assert_array_equal(made.images[i], again.images[place[row.scan]])
        np.testing.assert_array_equal(lesions[i], others[place[row.scan]])
    normalize_made(healthy, Making("odd", settings, 1), scaling, RECIPE, tmp_path / "three")
    assert (np.asarray(array_cache.read(tmp_path / "three").images) != np.asarray(again.images)).any()


def test_corrupted_scans_are_test_scans_without_a_labelled_voxel(healthy, tmp_path):
    settings = Corrupted(source="corrupted", into="ixi", draws=6)
    normalize_made(healthy, Making("bad", settings, 0), tmp_path / "scaling.safetensors", RECIPE, tmp_path / "bad")
    made = array_cache.read(tmp_path / "bad")
    assert {row.role for row in made.scans} == {"test"}
    assert {row.lesion_type for row in made.scans[:6]} == set(settings.corruption_types)
    assert {(row.corrupted, row.mask) for row in made.scans} == {("1", "")}
    assert not np.asarray(array_cache.read_lesions(tmp_path / "bad")).any()
    assert not np.asarray(made.images)[~np.asarray(made.brains)].any()


def test_empty_mask_pools_and_windows_are_refused(tmp_path):
    with pytest.raises(InputError, match="no lesion masks"):
        LesionMaskPool([tmp_path])
    with pytest.raises(ConfigError, match="leaves no axial level"):
        window(SHAPE, AFFINE, Normalize(slices=(500, 600)))


def test_no_training_subject_left_is_refused(tmp_path):
    preprocessed(tmp_path / "pre", ["sub-1"], failed=["sub-1"])
    scans.write(tmp_path / "t.tsv", [Scan("sub-1", "sub-1", "x", role="train", state="failed")])
    with pytest.raises(InputError, match="no healthy training subject is left"):
        fit_scaling([Source(tmp_path / "t.tsv", tmp_path / "pre")], Intensity(), tmp_path / "s")
    assert not (tmp_path / "s").exists()
