"""Scoring on the scans' own grids: the lesions of the mask as it was drawn, and the mask that `native` gives."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sealed import sealed

from brainuad.config.evaluate import Evaluate
from brainuad.config.load import load_study
from brainuad.config.postprocessing import Fixed
from brainuad.config.reading import Reading
from brainuad.errors import ConfigError, InputError
from brainuad.evaluate.evaluate_job import EvaluateInputs
from brainuad.evaluate.evaluation import evaluate
from brainuad.evaluate.scored import Scoring
from brainuad.evaluate.scoring_grid import OwnScans, placed_scans
from brainuad.formats import array_cache, files, maps, names, postprocessed, scans, status, tables, thresholds, volume
from brainuad.formats import transform as transforms
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold
from brainuad.formats.transform import Affine
from brainuad.images.resample import resample_mask
from brainuad.postprocess.native import native

GRID, TEMPLATE = (30, 32, 28), np.diag([3.0, 3, 3, 1])
TEMPLATE[:3, 3] = (-45, -48, -42)
TO_SCAN = np.diag([0.9, 0.9, 0.9, 1.0])
TO_SCAN[:3, 3] = (5, -3, 2)
OWN_SHAPE, OWN_MM = (60, 56, 44), (1.5, 1.5, 2.0)
VOXEL_ML = 4.5 / 1000
SETTINGS = Evaluate(space="native", erode_voxels=0, min_lesion_ml=0)
RULE = Fixed(rule="fixed", value=0.5)


class World:
    """One test scan, oblique and stored from left to right, with three lesions; two of them lie a voxel apart."""

    def __init__(self, root):
        self.root = root
        self.affine = np.eye(4)
        turn = Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix()
        self.affine[:3, :3] = turn @ np.diag([-1.5, 1.5, 2.0])
        self.affine[:3, 3] = TO_SCAN[:3, 3] - self.affine[:3, :3] @ (np.array(OWN_SHAPE) - 1) / 2
        self.lesion = np.zeros(OWN_SHAPE, bool)
        self.lesion[20:26, 20:26, 20:24] = self.lesion[27:33, 20:26, 20:24] = self.lesion[40, 40, 30] = True
        self.image, self.mask = root / "sub-01_T1w.nii.gz", root / "sub-01_mask.nii.gz"
        nib.save(
            nib.Nifti1Image(np.arange(self.lesion.size, dtype=np.int32).reshape(OWN_SHAPE), self.affine), self.image
        )
        nib.save(nib.Nifti1Image(self.lesion.astype(np.uint8), self.affine), self.mask)
        told = {p.name: {"file": p.name, "sha256": files.sha256(p)} for p in (self.image, self.mask)}
        folder = root / "pre" / "sub-01"
        kept = {"transform": names.transform("sub-01", Naming())}
        status.write(
            folder / status.NAME, status.Status(scan="sub-01", state="ok", files=kept, provenance={"inputs": told})
        )
        transforms.write(status.paths(folder)["transform"], Affine(TO_SCAN))
        self.brain = np.zeros(GRID, bool)
        self.brain[4:-4, 4:-4, 4:-4] = True
        self.scan = Scan("sub-01", "sub-01", "ms", str(self.image), str(self.mask), role="test", own_ml="0.729")
        self.write_cache(GRID)

    def write_cache(self, shape):
        lesion = resample_mask(self.lesion, self.affine, GRID, TEMPLATE, TO_SCAN)
        box = tuple(slice(n) for n in shape)
        entry = Entry(self.scan, np.zeros(shape, np.float32), self.brain[box], lesion[box])
        array_cache.write(self.root / "cache", [entry], CacheHeader(TEMPLATE))

    def truth(self, own=True, settings=SETTINGS):
        opened = array_cache.read(self.root / "cache")
        where = OwnScans(self.root / "pre", Reading()) if own else None
        (found,) = placed_scans(opened, self.root / "cache", settings, where)
        return found

    def evaluate(self, predicted):
        """The metrics of a mask on the template's grid, whose map is 1 in it."""
        cache, seal = self.root / "cache", array_cache.read(self.root / "cache").seal
        infer, post = self.root / "infer", self.root / "post" / "none"
        volume.write(maps.anomaly_path(infer, "sub-01"), predicted.astype(np.float32), TEMPLATE)
        (infer / "scores.tsv").write_text("scan\tsubject\trole\tscore\nsub-01\tsub-01\ttest\t0.5\n")
        made = {"model": "m", "seed": "0", "dataset": "ms"}
        sealed(infer, **made, array_cache=seal)
        volume.write(maps.mask_path(post, "sub-01", RULE.label), predicted, TEMPLATE)
        postprocessed.write(post, changes_maps=False)
        thresholds.write(post, {RULE.label: FoundThreshold(0.5, "paper constant")})
        record = maps.checked(infer, made)
        sealed(post, **made, postprocessing="none", maps=record.seal)
        inputs = EvaluateInputs(maps=infer, masks=[post], array_cache=cache, control_maps=[], control_array_caches=[])
        own = OwnScans(self.root / "pre", Reading())
        evaluate(inputs, Scoring(SETTINGS, [RULE], own=own), self.root / "out", made)
        table = tables.read(self.root / "out/metrics.tsv", tables.METRICS)
        return table.set_index(["threshold_rule", "metric"])["value"]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_lesions_are_those_of_the_mask_as_it_was_drawn(world):
    own, template = world.truth(), world.truth(own=False)
    assert own.truth.facts.lesion_ml == pytest.approx(world.lesion.sum() * VOXEL_ML)
    assert (own.truth.facts.lesions, template.truth.facts.lesions) == (3, 1), "3 mm hide the gap and the small one"
    assert own.grid.spacing == pytest.approx(OWN_MM)
    brain_ml = world.brain.sum() * 0.027 * 0.729
    assert own.truth.facts.brain_ml == pytest.approx(brain_ml, rel=0.02)
    eroded = world.truth(settings=SETTINGS.model_copy(update={"erode_voxels": 2}))
    inner = (22 - 4) * (24 - 4) * (20 - 4) * 0.027 * 0.729
    assert eroded.truth.facts.brain_ml == pytest.approx(inner, rel=0.03), "voxels of the template's grid"


def test_the_mask_that_is_scored_is_the_one_that_native_gives(world):
    predicted = np.zeros(GRID, bool)
    predicted[12:17, 12:17, 11:15] = True
    found = world.evaluate(predicted)
    scans.write(world.root / "ms.tsv", [world.scan])
    native(
        world.root / "infer", world.root / "post/none", world.root / "ms.tsv", world.root / "pre", world.root / "own"
    )
    (path,) = (world.root / "own").rglob("*_mask.nii.gz")
    mask = np.asarray(nib.load(path).dataobj) > 0
    both = (mask & world.lesion).sum()
    assert both > 0
    assert found["fixed_0.5", "dice_pooled"] == pytest.approx(2 * both / (mask.sum() + world.lesion.sum()), rel=1e-5)
    row = tables.read(world.root / "out/scans.tsv", tables.SCANS).iloc[0]
    assert row["predicted_ml"] == pytest.approx(mask.sum() * VOXEL_ML, rel=1e-5)
    assert row["lesion_ml"] == pytest.approx(world.lesion.sum() * VOXEL_ML, rel=1e-5)
    place = np.linalg.inv(TO_SCAN) @ world.affine @ [*np.argwhere(mask).mean(axis=0), 1]
    assert np.linalg.norm(place[:3] - row[["peak_x_mm", "peak_y_mm", "peak_z_mm"]].astype(float)) < 12, "in MNI mm"


def test_what_no_model_sees_is_no_lesion(world):
    world.write_cache((30, 32, 16))
    cut = world.truth().truth.facts
    assert 0 < cut.lesions < 3
    assert cut.lesion_ml < world.lesion.sum() * VOXEL_ML


@pytest.mark.parametrize("changed", ["image", "mask"])
def test_a_file_that_changed_since_is_refused(world, changed):
    path = getattr(world, changed)
    nib.save(nib.Nifti1Image(np.ones(OWN_SHAPE, np.uint8), world.affine), path)
    with pytest.raises(InputError, match=f"{path.name} is not what was preprocessed"):
        world.truth()


def test_a_file_that_is_gone_is_named(world):
    world.mask.unlink()
    with pytest.raises(InputError, match=f"cannot read {world.mask.name}"):
        world.truth()


def test_sets_without_masks_of_their_own_are_refused_by_name(tmp_path):
    study = tmp_path / "x.yaml"
    study.write_text(
        "study: x\nrecipe: mri_2mm\nmodels: {zscore_atlas: }\nevaluate: {space: native}\ndatasets:\n"
        "  ixi: {source: phantom, subjects: 4, healthy: true, split: {train: 0.5, validation: 0.25, test: 0.25}}\n"
        "  odd: {source: artificial, into: ixi, roles: ROLES}\n"
    )
    whole = study.read_text()
    study.write_text(whole.replace("ROLES", "[validation, test]"))
    with pytest.raises(ConfigError, match="odd") as caught:
        load_study(study)
    assert "roles: [validation]" in str(caught.value)
    study.write_text(whole.replace("ROLES", "[validation]"))
    assert load_study(study).evaluate.space == "native"
