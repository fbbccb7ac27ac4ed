"""Models that see several sequences of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainuad.config.evaluate import Evaluate
from brainuad.config.study import Compute
from brainuad.evaluate.collect import collect
from brainuad.evaluate.evaluate_job import EvaluateInputs
from brainuad.evaluate.scored import Scoring
from brainuad.formats import array_cache, bundle, maps
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.infer.inference import MapMaking, infer
from brainuad.methods import registry
from brainuad.methods.shared.sequences import fused_values
from brainuad.train.training import train

SHAPE, COMPUTE, SEQUENCES = (12, 16, 6), Compute(threads=1, accelerator="cpu"), ["T1w", "FLAIR"]
LESION = np.s_[5:8, 7:10, 2:4]
MAPPING = ["zscore_atlas", "zscore_mirror", "matched_filter", "pca", "gaussian_features", "knn_memory", "thresh_histeq"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten healthy sessions and two with a lesion that is dark in T1w and bright in FLAIR; the last lacks FLAIR."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("sequences") / "cache"
    brain = np.zeros(SHAPE, bool)
    brain[1:-1, 1:-1, :] = True
    anatomy = rng.normal(0.5, 0.1, SHAPE)

    def entry(number: int) -> array_cache.Entry:
        role = "train" if number < 8 else "validation" if number < 10 else "test"
        scan = Scan(f"sub-{number:02d}", f"sub-{number:02d}", "toy", role=role, missing="FLAIR" * (number == 11))  # type: ignore[arg-type]
        t1, flair = (anatomy + rng.normal(0, 0.05, SHAPE) for _ in range(2))
        lesion = np.zeros(SHAPE, bool)
        if role == "test":
            lesion[LESION] = True
            t1[LESION] -= 0.2
            flair[LESION] += 0.2
        further = {} if scan.missing else {"FLAIR": (flair * brain).astype(np.float32)}
        return array_cache.Entry(scan, (t1 * brain).astype(np.float32), brain, lesion, sequences=further)

    header = CacheHeader(
        np.diag([2.0, 2, 2, 1]),
        {"method": "percentile"},
        {f"{name}.landmarks": np.arange(2.0) for name in SEQUENCES},
        SHAPE,
        sequences=("T1w", "FLAIR"),
    )
    array_cache.write(path, (entry(number) for number in range(12)), header)
    return path


def mapped(data: Path, out: Path, settings: dict[str, Any], sequences: list[str], **signs: Any) -> list[np.ndarray]:
    """Maps of the two test sessions."""
    making = MapMaking(settings.get("map", {}), signs if len(sequences) > 1 else signs[sequences[0]])
    model = registry.validate(settings)
    if not (out / "bundle").exists():
        train([data], model, 0, COMPUTE, out / "bundle", {"model": "toy"}, sequences)
    infer(out / "bundle", data, making, COMPUTE, out / "maps", {"model": "toy"})
    return [maps.read_map(maps.anomaly_path(out / "maps", f"sub-{n}"), SHAPE) for n in (10, 11)]


def contrast(anomaly: np.ndarray) -> float:
    """How far the lesion stands out, in sds of the rest."""
    rest = np.ones(SHAPE, bool)
    rest[LESION] = False
    return float((anomaly[LESION].mean() - anomaly[rest].mean()) / anomaly[rest].std())


Z = {"family": "zscore_atlas", "smooth_mm": 0.0, "map": {"smooth_mm": 0.0}}


def test_signs_follow_the_sequence_and_both_sequences_show_more_than_one(data: Path, tmp_path: Path) -> None:
    both = mapped(data, tmp_path / "both", Z, SEQUENCES, T1w="dark", FLAIR="bright")
    alone = mapped(data, tmp_path / "t1", Z, ["T1w"], T1w="dark")
    wrong = mapped(data, tmp_path / "both", Z, SEQUENCES, T1w="bright", FLAIR="dark")
    assert contrast(both[0]) > contrast(alone[0]) > 1
    assert contrast(wrong[0]) < -1
    assert bundle.read(tmp_path / "both" / "bundle").sequences == SEQUENCES


def test_a_session_without_a_sequence_is_mapped_by_the_rest(data: Path, tmp_path: Path) -> None:
    both = mapped(data, tmp_path / "both", Z, SEQUENCES, T1w="dark", FLAIR="bright")
    alone = mapped(data, tmp_path / "t1", Z, ["T1w"], T1w="dark")
    flair = mapped(data, tmp_path / "flair", Z, ["FLAIR"], FLAIR="bright")
    inside = alone[1] != 0
    assert np.corrcoef(both[1][inside], alone[1][inside])[0, 1] > 0.999
    assert not flair[1].any()
    assert flair[0].any()


def test_where_a_model_wants_whole_sessions_an_ensemble_of_it_and_one_of_the_rest_is_that_one(
    data: Path, tmp_path: Path
) -> None:
    of_whole = Z | {"map": {"smooth_mm": 0.0, "lacking": "nothing"}}
    whole = mapped(data, tmp_path / "whole", of_whole, SEQUENCES, T1w="dark")
    alone = mapped(data, tmp_path / "t1", Z, ["T1w"], T1w="dark")
    assert whole[0].any()
    assert not whole[1].any()
    settings = registry.validate({"family": "ensemble", "of": ["whole", "alone"], "map": {}})
    method = registry.build(settings, [], {})
    inside = alone[1] != 0
    fused = [method.combined_map(pair, inside, inside) for pair in zip(whole, alone, strict=True)]
    order = np.argsort(alone[1][inside])
    assert (np.diff(fused[1][inside][order]) >= 0).all()
    assert np.corrcoef(fused[0][inside], whole[0][inside])[0, 1] > 0.5


def test_a_reconstruction_is_compared_with_the_sequence_that_the_model_sees(data: Path, tmp_path: Path) -> None:
    seen, made = array_cache.read(data, ["FLAIR"]), tmp_path / "maps"
    writer, rows = maps.MapWriter(made, seen.affine, seen.naming), ["scan\tsubject\trole\tscore"]
    for row, scan in enumerate(seen.scans):
        writer.anomaly(scan.scan, seen.image(row))
        rows.append(f"{scan.scan}\t{scan.subject}\t{scan.role}\t0.0")
    writer.reconstruction("sub-10", seen.image(10) + np.float32(0.5))
    (made / maps.SCORES).write_text("\n".join(rows) + "\n")
    writer.finish([maps.SCORES], {}, array_cache=seen.seal)
    lists: dict[str, Any] = {key: [] for key in EvaluateInputs.model_fields} | {"maps": made, "array_cache": data}
    scored, _ = collect(EvaluateInputs(**lists), Scoring(Evaluate(erode_voxels=0), [], sequence="FLAIR"), tmp_path)
    np.testing.assert_allclose(scored.residual_rms, [0.5, np.nan], rtol=1e-5)


def test_every_family_says_what_it_does_with_several_sequences() -> None:
    said = {family: registry.settings_class(family).several for family in registry.families()}
    assert {family for family, several in said.items() if several == "each"} == {*MAPPING}
    assert [family for family, several in said.items() if several == "joint"] == ["dae"]


@pytest.mark.parametrize("family", MAPPING)
def test_every_method_that_maps_sequences_does(family: str, data: Path, tmp_path: Path) -> None:
    made = mapped(data, tmp_path, {"family": family}, SEQUENCES, T1w="dark", FLAIR="bright")
    assert all(np.isfinite(each).all() and each.any() for each in made)


DAE = {
    "family": "dae",
    "network": {"channels": [4, 8], "patch": 1},
    "inputs": ["z"],
    "noise": [{"sd": 0.2, "cell_mm": 6}],
    "train": {"steps": 100, "batch_size": 8, "lr": 1e-2, "keep": "last"},
    "map": {"residual": "signed"},
}


def test_a_network_with_sequences_as_channels_follows_their_signs_and_maps_the_rest(data: Path, tmp_path: Path) -> None:
    both = mapped(data, tmp_path, DAE, SEQUENCES, T1w="dark", FLAIR="bright")
    wrong = mapped(data, tmp_path, DAE, SEQUENCES, T1w="bright", FLAIR="dark")
    assert all(contrast(each) > 1 for each in both)  # the second session has no FLAIR
    assert all(contrast(each) < -1 for each in wrong)


@pytest.mark.parametrize("missing", [None, 0, 1])
def test_healthy_sessions_have_maps_of_sd_1_whatever_they_lack(missing: int | None, data: Path, tmp_path: Path) -> None:
    # without inputs from the atlas training scans are shown as new ones are
    model = {**DAE, "inputs": [], "map": {**DAE["map"], "standardise": "training"}}
    mapped(data, tmp_path, model, SEQUENCES, T1w="dark", FLAIR="bright")
    method = registry.load_method(bundle.read(tmp_path / "bundle"), model["map"], {"T1w": "dark", "FLAIR": "bright"})
    opened, values = array_cache.read(data, SEQUENCES).select("train"), []
    for row in range(len(opened.scans)):
        image, brain = opened.image(row).copy(), opened.brain(row)
        if missing is not None:
            image[..., missing] = 0
        values.append(method.predict(image, brain, (2.0, 2.0, 2.0), "both")[0][brain])
    every = np.concatenate(values)
    assert every.mean() == pytest.approx(0, abs=0.01)
    assert every.std() == pytest.approx(1, abs=0.01)
    assert np.abs(np.mean(values, axis=0)).max() < 0.01  # in every voxel, what the network finds on average is removed


def test_a_bundle_that_knows_whole_sessions_alone_still_maps_others(data: Path, tmp_path: Path) -> None:
    model = {**DAE, "train": {**DAE["train"], "steps": 2}}
    mapped(data, tmp_path, model, SEQUENCES, T1w="dark", FLAIR="bright")
    stored = bundle.read(tmp_path / "bundle")
    whole = {name: array for name, array in stored.arrays.items() if "without_" not in name}
    assert len(whole) < len(stored.arrays)
    method, former = (registry.load_method(stored, model["map"]) for _ in range(2))
    former.load(whole)
    image, brain = array_cache.read(data, SEQUENCES).image(10), np.ones(SHAPE, bool)
    maps_of = [each.predict(image, brain, (2.0, 2.0, 2.0), "both")[0] for each in (method, former)]
    np.testing.assert_array_equal(*maps_of)
    lacking = image * np.array([1, 0], np.float32)
    assert former.predict(lacking, brain, (2.0, 2.0, 2.0), "both")[0].any()


def test_a_channel_that_is_missing_is_not_reconstructed(data: Path, tmp_path: Path) -> None:
    model = {**DAE, "train": {**DAE["train"], "steps": 2}}
    mapped(data, tmp_path, model, SEQUENCES, T1w="dark", FLAIR="bright")
    method = registry.load_method(bundle.read(tmp_path / "bundle"), model["map"])
    image, brain = array_cache.read(data, SEQUENCES).image(10).copy(), np.ones(SHAPE, bool)
    anomaly, reconstruction = method.predict(image, brain, (2.0, 2.0, 2.0), "both")
    assert reconstruction is not None
    image[..., 0] = 0
    anomaly, reconstruction = method.predict(image, brain, (2.0, 2.0, 2.0), "both")
    assert anomaly.any()
    assert reconstruction is None


@pytest.mark.parametrize("source", ["training", "held_out", "crossfit"])
def test_residuals_of_each_channel_are_standardised(source: str, data: Path, tmp_path: Path) -> None:
    model = {**DAE, "train": {**DAE["train"], "steps": 4, "crossfit": 2}, "map": {**DAE["map"], "standardise": source}}
    both = mapped(data, tmp_path, model, SEQUENCES, T1w="dark", FLAIR="bright")
    assert all(np.isfinite(each).all() and each.any() for each in both)
    arrays = bundle.read(tmp_path / "bundle").arrays
    assert arrays[f"FLAIR.residual_{source}_signed_sd"].shape == SHAPE


@pytest.mark.parametrize("how", ["mean", "maximum", "mahalanobis", "direction"])
def test_how_maps_are_fused_needs_no_training(how: str, data: Path, tmp_path: Path) -> None:
    mapped(data, tmp_path, Z, SEQUENCES, T1w="dark", FLAIR="bright")
    before = (tmp_path / "bundle" / "arrays.safetensors").stat().st_mtime_ns
    fused = mapped(data, tmp_path, {**Z, "map": {**Z["map"], "fuse": how}}, SEQUENCES, T1w="dark", FLAIR="bright")
    assert contrast(fused[0]) > 1
    assert (tmp_path / "bundle" / "arrays.safetensors").stat().st_mtime_ns == before


def test_the_arithmetic_of_fusion() -> None:
    z, related = np.array([[2.0, -1.0], [2.0, 3.0]]), np.array([[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(fused_values(z, related, "mean"), np.array([2, 1]) / np.sqrt(0.75))
    np.testing.assert_allclose(fused_values(z, related, "maximum"), [2, 3])
    np.testing.assert_allclose(fused_values(z, related, "mahalanobis"), [4 / np.sqrt(3), 3 / np.sqrt(0.75)])
    np.testing.assert_allclose(fused_values(z, related, "direction"), [4 / np.sqrt(3), 2 / np.sqrt(3)])
