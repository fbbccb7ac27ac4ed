"""A model file in use: the maps of infer, its thresholds, and scans that are unlike the training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from model_files import COMPUTE, manifest, toy_scans, trained

from brainuad.config import templates
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle, maps, model_file, volume
from brainuad.formats.model_file import Part
from brainuad.formats.raw import RawVolume
from brainuad.formats.volume import Volume
from brainuad.images.template import fingerprint
from brainuad.infer.inference import MapMaking, infer
from brainuad.infer.maps import Prediction
from brainuad.methods.shared import slices
from brainuad.predict import likeness
from brainuad.predict import model as model_module
from brainuad.predict.found import Given
from brainuad.predict.model import Model
from brainuad.predict.source import load

MODELS = {
    "atlas": {"family": "zscore_atlas", "map": {"per_scan": "robust"}},
    "histeq": {"family": "thresh_histeq", "map": {}},
    "mirror": {"family": "zscore_mirror", "map": {}},
    "parts": {"family": "pca", "components": 1, "map": {}},
    "vote": {"family": "ensemble", "of": ["atlas", "histeq"], "map": {"by": "rank"}},
}
MNI152 = {"name": templates.BUNDLED, "sha256": fingerprint(templates.BUNDLED)}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return trained(folder, toy_scans(folder / "toy"), MODELS)


@pytest.fixture(scope="module")
def model(places: dict[str, Path]) -> Model:
    """The ensemble, from its file."""
    folder = places["vote"].parents[2]
    model_file.write(folder / "toy.brainuad", manifest(MODELS, template=MNI152), _only_parts(folder))
    return load(folder / "toy.brainuad")


@pytest.mark.parametrize("label", MODELS)
def test_maps_are_those_of_infer_bit_by_bit(places, tmp_path, label):
    data = places[label].parents[2] / "toy"
    out = {each: tmp_path / each / "seed-0/toy" for each in MODELS}
    of = MODELS[label].get("of", [])
    for each in [*of, label]:
        making = MapMaking(MODELS[each]["map"], "bright", 1, [out[member] for member in MODELS[each].get("of", [])])
        infer(places[each], data, making, COMPUTE, out[each], {"model": each, "seed": "0", "dataset": "toy"})
    chosen = {each: MODELS[each] for each in [*of, label]}
    model_file.write(
        tmp_path / "one.brainuad", manifest(chosen, template=MNI152), _only_parts(places[label].parents[2], [*chosen])
    )
    opened = array_cache.read(data)
    made = load(tmp_path / "one.brainuad").map(opened.image(3), opened.brain(3))
    np.testing.assert_array_equal(made.anomaly, volume.read(maps.anomaly_path(out[label], "sub-3")).data)
    assert made.score == maps.read_scores(out[label])["sub-3"]


def test_thresholds_by_name_and_by_value(model):
    assert model.thresholds() == {"fixed_2": 2.0}
    assert model.thresholds(["fixed:0.5", "fixed_2"]) == {"fixed:0.5": 0.5, "fixed_2": 2.0}
    for wrong in ("fixed:much", "fixed:nan", "conformal_0.01"):
        with pytest.raises(InputError, match=wrong.partition(":")[2] or "fixed_2"):
            model.thresholds([wrong])


def test_another_modality_is_refused_before_any_work(model):
    scan = RawVolume(Volume(np.zeros((2, 2, 2)), np.eye(4)))
    with pytest.raises(InputError, match="another modality"):
        model.prepare(scan, Given(modality="FLAIR"), Path("sub-01_FLAIR.nii.gz"))


def test_an_array_is_no_scan(model):
    with pytest.raises(InputError, match="path or an image of nibabel") as refused:
        model.predict(np.zeros((5, 5, 5)))
    assert "ndarray" in str(refused.value.why)


def test_a_brain_mask_that_marks_nothing_is_refused(model, tmp_path):
    scan, mask = RawVolume(Volume(np.ones((4, 4, 4)), np.eye(4))), tmp_path / "mask.nii.gz"
    volume.write(mask, np.zeros((4, 4, 4), bool), np.eye(4))
    with pytest.raises(InputError, match="the brain mask is empty"):
        model.prepare(scan, Given(brain=mask), tmp_path / "scan.nii.gz")


def test_a_scan_that_fails_is_answered_with_what_was_said_of_it(model, tmp_path, monkeypatch):
    grid, mask = np.eye(4), tmp_path / "mask.nii.gz"
    volume.write(mask, np.ones((4, 4, 4), bool), grid)
    registered = SimpleNamespace(template=SimpleNamespace(affine=grid), transform=None)
    made = SimpleNamespace(image=None, brain=None, registered=registered, stripped=True, quality={}, notes=[])
    judged = SimpleNamespace(failed=["bad"], warned=[], remedies=["set skullstrip.backend to auto"])
    monkeypatch.setattr(model_module, "preprocess_volume", lambda *_, **__: made)
    monkeypatch.setattr(model_module.verdict, "verdict", lambda *_: judged)
    scan = RawVolume(Volume(np.ones((4, 4, 4)), grid))

    def remedy(given: Given) -> str:
        with pytest.raises(InputError, match="fails quality control") as refused:
            model.prepare(scan, given, tmp_path / "scan.nii.gz")
        return str(refused.value.do)

    assert remedy(Given()).startswith("give a brain mask with --mask; look")
    assert remedy(Given(brain=mask, registered=True)).startswith(
        "check whether --mask and --registered fit this scan; look"
    )


def test_another_template_is_refused(places, tmp_path):
    model_file.write(tmp_path / "toy.brainuad", manifest(MODELS), _only_parts(places["vote"].parents[2]))
    with pytest.raises(InputError, match="template is another one"):
        load(tmp_path / "toy.brainuad")


def _only_parts(folder: Path, labels: list[str] | None = None) -> Path:
    """A folder beside that of the models, with these of them alone."""
    import shutil

    out = folder / ("parts_" + "_".join(labels or MODELS))
    for label in labels or MODELS:
        shutil.copytree(folder / "models" / label, out / "models" / label, dirs_exist_ok=True)
    return out


def scan_like(rng: np.random.Generator, sign: float = 1.0) -> np.ndarray:
    """A scan of one pattern with a little noise; with the sign -1 dark and light tissue change places."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 24, 16)), indexing="ij")
    return (0.5 + 0.3 * sign * np.sin(4 * x) * np.cos(3 * y) * z + 0.02 * rng.standard_normal(x.shape)).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def known() -> tuple[dict[str, np.ndarray], dict[str, likeness.Cut]]:
    rng, brain = np.random.default_rng(0), np.ones((24, 24, 16), bool)
    maps_of = [np.abs(rng.standard_normal(brain.shape)).astype(np.float32) for _ in range(6)]
    training = [likeness.outline(scan_like(rng), brain, (4.0, 4.0, 4.0)) for _ in range(10)]
    held_out = [likeness.outline(scan_like(rng), brain, (4.0, 4.0, 4.0), each) for each in maps_of]
    return likeness.reference(training, held_out), likeness.cuts(training, held_out)


@pytest.mark.parametrize(
    ("sign", "scale", "level", "doubts"),
    [(1, 1, 1, []), (-1, 1, 1, ["light and dark"]), (1, 2, 1, ["intensities"]), (1, 1, 4, ["map"])],
    ids=["alike", "other contrast", "other intensities", "high map"],
)
def test_a_scan_unlike_the_healthy_ones_is_doubted(known, sign, scale, level, doubts):
    rng, brain = np.random.default_rng(1), np.ones((24, 24, 16), bool)
    anomaly = level * np.abs(rng.standard_normal(brain.shape)).astype(np.float32)
    scan = likeness.outline(scale * scan_like(rng, sign), brain, (4.0, 4.0, 4.0), anomaly)
    found = likeness.doubts(likeness.distances(scan, known[0]), known[1])
    assert len(found) == len(doubts)
    for sentence, words in zip(found, doubts, strict=True):
        assert words in sentence


def test_a_large_lesion_raises_no_doubt_by_its_map(known):
    rng, brain = np.random.default_rng(2), np.ones((24, 24, 16), bool)
    anomaly = np.abs(rng.standard_normal(brain.shape)).astype(np.float32)
    anomaly[8:16, 8:16, 4:12] = 20  # 6 % of the brain
    assert likeness.map_level(anomaly, brain) < 1.5 * float(known[0][likeness.MAP_LEVEL][0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("template", "/etc/hostname", "template of its own"), ("brightness", 1, "another version")],
)
def test_a_recipe_of_another_version_or_with_a_file_of_its_own_is_refused(places, tmp_path, key, value, words):
    about = manifest(MODELS, template=MNI152)
    recipe = {**about.recipe, "preprocess": {**about.recipe["preprocess"], key: value}}
    model_file.write(
        tmp_path / "odd.brainuad", about.model_copy(update={"recipe": recipe}), _only_parts(places["vote"].parents[2])
    )
    with pytest.raises(InputError) as refused:
        load(tmp_path / "odd.brainuad")
    assert words in refused.value.what


def test_the_mean_of_seeds_is_the_mean_of_their_maps(places, tmp_path):
    """The second seed is the first with another atlas; the ensemble of each combines members of its own seed."""
    folder = tmp_path / "parts"
    labels = ["atlas", "histeq", "vote"]
    chosen, other = {label: MODELS[label] for label in labels}, tmp_path / "other"
    for label in labels:
        first = bundle.read(places[label])
        scaled = {name: each / 2 if name.endswith("_mean") else each for name, each in first.arrays.items()}
        about = {**first.about, "trained_as": f"{label}/seed-1", "seed": 1}
        for place, seed, made in (
            (folder, 0, first), (folder, 1, bundle.Bundle(scaled, about)), (other, 1, bundle.Bundle(scaled, about)),
        ):  # fmt: skip
            bundle.write(place / "models" / label / f"seed-{seed}", made)
    parts = [
        Part(label=label, bundle=f"{label}/seed-{seed}", map=MODELS[label]["map"])
        for seed in (0, 1)
        for label in labels
    ]
    opened = array_cache.read(places["atlas"].parents[2] / "toy")

    def mapped(name: str, seeds: list[int], place: Path) -> Prediction:
        mine = [part for part in parts if part.seed in seeds]
        about = manifest(chosen, template=MNI152, parts=mine, seeds=seeds)
        model_file.write(tmp_path / name, about, place)
        return load(tmp_path / name).map(opened.image(3), opened.brain(3))

    alone = [
        mapped("0.brainuad", [0], _only_parts(places["atlas"].parents[2], labels)), mapped("1.brainuad", [1], other),
    ]  # fmt: skip
    both = mapped("both.brainuad", [0, 1], folder)
    assert np.abs(alone[0].anomaly - alone[1].anomaly).max() > 0
    np.testing.assert_allclose(both.anomaly, (alone[0].anomaly + alone[1].anomaly) / 2, atol=1e-6)
    assert both.score == pytest.approx((alone[0].score + alone[1].score) / 2)


def test_a_model_keeps_to_the_slices_that_fit_into_a_gpu(places, tmp_path, monkeypatch):
    chosen = {"atlas": MODELS["atlas"]}
    file = tmp_path / "one.brainuad"
    model_file.write(file, manifest(chosen, template=MNI152), _only_parts(places["atlas"].parents[2], ["atlas"]))
    opened, model = array_cache.read(places["atlas"].parents[2] / "toy"), load(file, batch=8)
    usual, seen = model_module.maps.predict, []

    def predict(*arguments):
        seen.append(slices.SLICES_AT_ONCE)
        if seen[-1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(*arguments)

    monkeypatch.setattr(model_module.maps, "predict", predict)
    for _ in range(2):
        model.map(opened.image(3), opened.brain(3))
    assert seen == [8, 4, 4]
