from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainuad.config.model import ResidualMap, Standardised
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle, checksums, maps, names, run, volume
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.infer.inference import MapMaking, infer
from brainuad.infer.maps import reconstruction_similarity
from brainuad.methods import registry
from brainuad.train.training import train

SHAPE = (12, 16, 5)
COMPUTE = Compute(threads=1, accelerator="cpu")
ATLAS = {"family": "zscore_atlas"}
NETWORK = {
    "family": "autoencoder",
    "network": {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2},
    "train": {"steps": 2, "batch_size": 4},
}


def stored(path: Path, shape=SHAPE, intensity=None, landmarks=3.0, affine=None, template="mni152") -> Path:
    rng = np.random.default_rng(0)
    brain = np.zeros(shape, bool)
    brain[2:-2, 2:-2, :] = True
    roles = ["train"] * 3 + ["validation", "test", "test"]
    entries = [
        array_cache.Entry(
            Scan(f"sub-{i}", f"sub-{i}", "toy", role=role), rng.random(shape, dtype=np.float32) * brain, brain
        )
        for i, role in enumerate(roles)
    ]
    header = CacheHeader(
        np.diag([2.0, 2, 2, 1]) if affine is None else affine,
        {"scale": "percentile", "clip": None} | (intensity or {}),
        {"landmarks": np.arange(landmarks)},
        naming=Naming("T1w", template),
    )
    array_cache.write(path, entries, header)
    return path


@pytest.fixture
def made(tmp_path):
    data = stored(tmp_path / "store")

    def make(settings: dict) -> tuple[Path, Path]:
        train([data], registry.validate(settings), 0, COMPUTE, tmp_path / "bundle", {"model": "toy"})
        return tmp_path / "bundle", data

    return make


def test_maps_scores_and_record_of_validation_and_test_scans(made, tmp_path):
    trained, data = made(NETWORK)
    out = tmp_path / "maps"
    infer(trained, data, MapMaking(ResidualMap(standardise=True), "dark"), COMPUTE, out, {"model": "toy"})
    of_the_set = {checksums.NAME, names.DESCRIPTION, names.README, names.IGNORE, "scores.tsv", "run.json"}
    assert {path.name for path in out.iterdir()} == {"sub-3", "sub-4", "sub-5"} | of_the_set
    for i in (3, 4, 5):
        stems = [f"sub-{i}_space-MNI152NLin2009aSym_{end}" for end in ("anomalymap", "desc-reconstruction_T1w")]
        wanted = {f"{stem}{end}" for stem in stems for end in (".nii.gz", ".json")}
        assert {path.name for path in (out / f"sub-{i}" / "anat").iterdir()} == wanted
    seen, method = array_cache.read(data), registry.load_method(bundle.read(trained), ResidualMap(standardise=True))
    scores = pd.read_csv(out / "scores.tsv", sep="\t")
    assert list(scores.columns) == ["scan", "subject", "role", "score"]
    assert list(scores["role"]) == ["validation", "test", "test"]
    for i, row in zip((3, 4, 5), scores.itertuples(), strict=True):
        written = volume.read(maps.anomaly_path(out, f"sub-{i}"))
        expected = method.anomaly_map(seen.images[i], seen.brains[i], seen.spacing, "dark")
        np.testing.assert_array_equal(written.data, expected)
        np.testing.assert_array_equal(written.affine, seen.affine)
        assert row.score == pytest.approx(expected[seen.brains[i]].clip(min=0).mean(), rel=1e-5)
    record = run.read(out / "run.json")
    assert record["facts"]["scans"] == 3
    assert record["settings"]["map"]["standardise"] == "training"
    assert record["settings"]["lesion_sign"] == "dark"


def test_map_settings_and_sign_apply_without_training_again(made, tmp_path):
    trained, data = made(ATLAS)
    for name, settings, sign in (
        ("sharp", {"smooth_mm": 0.0}, "bright"),
        ("smooth", Standardised(smooth_mm=6), "bright"),
        ("dark", {"smooth_mm": 0.0}, "dark"),
    ):
        infer(trained, data, MapMaking(settings, sign), COMPUTE, tmp_path / name, {})
    found = {n: volume.read(maps.anomaly_path(tmp_path / n, "sub-4")).data for n in ("sharp", "smooth", "dark")}
    assert found["smooth"].std() < 0.7 * found["sharp"].std()
    np.testing.assert_array_equal(found["dark"], -found["sharp"])
    assert not maps.reconstruction_path(tmp_path / "sharp", "sub-4").exists()


def test_map_settings_of_another_family_are_refused(made, tmp_path):
    trained, data = made(ATLAS)
    with pytest.raises(InputError, match="do not fit"):
        infer(trained, data, MapMaking({"levels": 300}, "dark"), COMPUTE, tmp_path / "out", {})


def test_an_array_cache_on_another_grid(made, tmp_path):
    trained, _ = made(ATLAS)
    with pytest.raises(InputError, match="another grid"):
        infer(trained, stored(tmp_path / "b", (12, 16, 6)), MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"intensity": {"scale": "zscore"}}, "other intensities(?s:.*)scale was percentile .* is zscore"),
        ({"intensity": {"clip": [0, 1]}}, "other intensities(?s:.*)clip was None"),
        ({"landmarks": 4.0}, "other intensities(?s:.*)landmarks was learnt from other training scans"),
        ({"affine": np.diag([2.0, 2, 3, 1])}, "another grid(?s:.*)affines differ by up to 1"),
        ({"template": "sri24.nii.gz"}, "another space(?s:.*)sri24"),
    ],
)
def test_an_array_cache_that_looks_alike_and_is_of_another_recipe(made, tmp_path, other, says):
    trained, _ = made(ATLAS)
    with pytest.raises(InputError, match=says):
        infer(trained, stored(tmp_path / "b", **other), MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_the_bundle_of_another_seed(made, tmp_path):
    trained, data = made(ATLAS)
    with pytest.raises(InputError, match=r"another training(?s:.*)seed 0, the job has seed 3"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {"seed": "3"})


def test_a_bundle_in_the_folder_of_another_model(made, tmp_path):
    trained, data = made(ATLAS)
    for place in ("toy/seed-0", "other/seed-0", "toy/seed-1"):
        shutil.copytree(trained, tmp_path / "train" / place)
    infer(tmp_path / "train/toy/seed-0", data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    for place in ("other/seed-0", "toy/seed-1"):
        with pytest.raises(InputError, match=rf"another training(?s:.*)as toy/seed-0, and lies in {place}"):
            infer(tmp_path / "train" / place, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "none", {})


def test_the_array_cache_of_another_data_set(made, tmp_path):
    trained, data = made(ATLAS)
    with pytest.raises(InputError, match=r"another data set(?s:.*)those of toy, the job is for mine"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {"dataset": "mine"})
    infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {"dataset": "toy"})


def test_an_altered_volume_is_not_mapped(made, tmp_path):
    trained, data = made(ATLAS)
    content = bytearray((data / "images.npy").read_bytes())
    content[-1] ^= 64
    (data / "images.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"volume 6 of images\.npy was altered"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


def test_altered_weights(made, tmp_path):
    trained, data = made(NETWORK)
    file = trained / "arrays.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="weights were altered"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})


def test_a_bundle_of_another_version(made, tmp_path):
    trained, data = made(ATLAS)
    about = json.loads((trained / "bundle.json").read_text())
    (trained / "bundle.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(InputError, match="another version") as caught:
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    assert "train the model again" in str(caught.value)


def test_a_bundle_whose_settings_are_unknown_here(made, tmp_path):
    trained, data = made(ATLAS)
    read = bundle.read(trained)
    read.about["model"]["temperature"] = 3
    bundle.write(trained, read)
    with pytest.raises(InputError, match="do not fit"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})


def test_a_failure_leaves_no_half_written_folder(made, tmp_path, monkeypatch):
    trained, data = made(ATLAS)
    monkeypatch.setattr(volume, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="cannot write"):
        infer(trained, data, MapMaking({}, "dark"), COMPUTE, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".part*"))


def test_the_record_has_the_similarity_of_reconstructions_and_the_number_of_slices(made, tmp_path):
    trained, data = made(NETWORK)
    infer(trained, data, MapMaking(ResidualMap(), "dark"), COMPUTE, tmp_path / "maps", {"model": "toy"})
    facts = run.read(tmp_path / "maps/run.json")["facts"]
    assert (facts["scans"], facts["slices"]) == (3, 15)
    assert facts["reconstruction_explained_variance"] < 1
    assert -1 <= facts["reconstruction_correlation"] <= 1


@pytest.mark.parametrize(
    ("change", "explained", "correlation"),
    [
        (lambda image: image, 1.0, 1.0),
        (lambda image: np.full_like(image, image.mean()), 0.0, 0.0),
        (lambda image: image / 2, 0.75 - 0.25 * 0.5**2 / (1 / 12), 1.0),
        (lambda image: 0 * image, -(0.5**2) / (1 / 12), 0.0),
    ],
    ids=["itself", "its mean", "half as bright", "black"],
)
def test_a_reconstruction_that_does_not_follow_its_scan_explains_nothing_of_it(change, explained, correlation):
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    found = reconstruction_similarity(image, change(image), np.ones(image.shape, bool))
    assert found["explained_variance"] == pytest.approx(explained, abs=0.01)
    assert found["correlation"] == pytest.approx(correlation, abs=1e-3)
