"""Maps in units of their own scan, and ensembles: maps made of the maps of other models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats import array_cache, checksums, maps, volume
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.infer.inference import MapMaking, infer
from brainuad.methods import registry
from brainuad.methods.shared.per_scan import combined, robust_z, with_alone
from brainuad.metrics.voxelwise import scored_brain
from brainuad.train.training import train

SHAPE = (8, 9, 5)
COMPUTE = Compute(threads=1, accelerator="cpu")
MODELS = {
    "atlas": {"family": "zscore_atlas"},
    "histeq": {"family": "thresh_histeq"},
    "vote": {"family": "ensemble", "of": ["atlas", "histeq"]},
}
TAGS = {"seed": "0", "dataset": "toy"}
BRAIN = np.zeros(SHAPE, bool)
BRAIN[1:-1, 1:-1] = True
SCORED = scored_brain(BRAIN, 1)


def stored(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    roles = ["train"] * 2 + ["validation", "test"]
    entries = [
        array_cache.Entry(
            Scan(f"sub-{i}", f"sub-{i}", "toy", role=role), rng.random(SHAPE, dtype=np.float32) * BRAIN, BRAIN
        )
        for i, role in enumerate(roles)
    ]
    array_cache.write(path, entries, CacheHeader(np.diag([2.0, 2, 2, 1]), {}, {}))
    return path


def run(folder: Path, data: Path, model: str, making: MapMaking) -> Path:
    bundle, out = folder / "train" / model / "seed-0", folder / "infer" / model / "seed-0" / "toy"
    if not bundle.exists():
        train([data], registry.validate(MODELS[model]), 0, COMPUTE, bundle, {"model": model, **TAGS})
    infer(bundle, data, making, COMPUTE, out, {"model": model, **TAGS})
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("members")
    data = stored(folder / "toy")
    for model in ("atlas", "histeq"):
        run(folder, data, model, MapMaking({}, "bright"))
    return folder


@pytest.fixture
def members(trained: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """An array cache, and the maps of two models."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "toy", [tmp_path / f"infer/{model}/seed-0/toy" for model in ("atlas", "histeq")]


def read(folder: Path, scan: str = "sub-3") -> np.ndarray:
    return volume.read(maps.anomaly_path(folder, scan)).data


@pytest.mark.parametrize("settings", [{}, {"by": "rank", "weights": {"atlas": 3}}, {"by": "maximum"}], ids=str)
def test_an_ensemble_is_made_of_the_maps_of_its_members(members, tmp_path, settings):
    data, folders = members
    out = run(tmp_path, data, "vote", MapMaking(settings, "dark", 1, folders))
    weights = [3.0, 1.0] if "weights" in settings else None
    expected = combined([read(each) for each in folders], BRAIN, SCORED, settings.get("by", "mean_asinh"), weights)
    np.testing.assert_array_equal(read(out), expected)
    assert maps.read_scores(out)["sub-3"] == pytest.approx(expected[BRAIN].clip(min=0).mean(), rel=1e-5)
    bundles = {checksums.read(each).made_of["bundle"] for each in [*folders, out]}
    assert len(bundles) == 3, "other weights of a member are noticed"


def test_a_member_that_counts_alone_is_no_part_of_the_mean(members, tmp_path):
    data, folders = members
    out = run(tmp_path, data, "vote", MapMaking({"softening": 8, "alone": {"histeq": 0.8}}, "dark", 1, folders))
    mean, alone = combined([read(folders[0])], BRAIN, SCORED, "mean_asinh", softening=8), read(folders[1])
    np.testing.assert_allclose(read(out), with_alone(mean, [(alone, 0.8)], BRAIN, SCORED), rtol=1e-5)


def test_maps_in_units_of_their_own_scan(members, tmp_path):
    data, (atlas, _) = members
    plain = read(atlas)
    for rim in (0, 1):
        found = read(run(tmp_path, data, "atlas", MapMaking({"per_scan": "robust"}, "bright", rim)))
        np.testing.assert_array_equal(found, robust_z(plain, BRAIN, scored_brain(BRAIN, rim)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data, folders: stored(data, seed=1), "do not belong here"),
        (lambda data, folders: folders.reverse(), "do not belong here"),
        (lambda data, folders: maps.anomaly_path(folders[1], "sub-3").unlink(), "sub-3.* no file|cannot read"),
    ],
    ids=["of other scans", "of another model", "one is gone"],
)
def test_maps_of_members_that_do_not_fit(members, tmp_path, spoil, says):
    data, folders = members
    spoil(data, folders)
    with pytest.raises(InputError, match=says):
        run(tmp_path, data, "vote", MapMaking({}, "dark", 1, folders))
    assert not (tmp_path / "infer/vote/seed-0/toy").exists()


def test_an_ensemble_maps_no_scan_by_itself(members, tmp_path):
    with pytest.raises(InputError, match="without its members"):
        run(tmp_path, members[0], "vote", MapMaking({}, "dark"))
