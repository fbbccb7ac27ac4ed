from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.model import validate
from brainuad.config.network import NetworkInput
from brainuad.config.postprocessing import Postprocessing
from brainuad.formats import array_cache, ceilings
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.postprocess.ceilings import identity_map, perfect_map
from brainuad.postprocess.ceilings_job import CeilingsInputs, CeilingsJob, CeilingsOutputs
from brainuad.report.ceilings import lines, marks, rows

SHAPE = (24, 24, 8)
PADDED = NetworkInput(dims=2, size=32, fit="pad", at_network=False, absolute=True, smooth_mm=0)
COARSE = NetworkInput(dims=2, size=8, fit="resize", at_network=False, absolute=True, smooth_mm=0)
COARSE_MAP = COARSE.model_copy(update={"at_network": True})
MODELS = {
    "zscore_atlas": validate({"family": "zscore_atlas"}),
    **{
        label: validate(
            {
                "family": "autoencoder",
                "network": {"size": each.size, "fit": each.fit, "channels": [4, 8]},
                "train": {"steps": 1},
                "map": {"residual_at": "network" if each.at_network else "scan"},
            }
        )
        for label, each in {"padded": PADDED, "coarse": COARSE_MAP}.items()
    },
}
CHAINS = {
    "none": Postprocessing(),
    "opened": Postprocessing.model_validate({"operators": [{"op": "opening", "radius_mm": 12}]}),
    "median": Postprocessing.model_validate({"operators": [{"op": "median3d", "size_mm": 14}]}),
    "smooth": Postprocessing.model_validate({"operators": [{"op": "gaussian", "sigma_mm": 2}]}),
}


def brain() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 1:-1] = True
    return mask


def lesion(outside: int = 0) -> np.ndarray:
    """A box of 4 x 4 x 2 voxels, and as many voxels as asked outside of the brain."""
    mask = np.zeros(SHAPE, bool)
    mask[8:12, 8:12, 3:5] = True
    mask[0, :outside, 3] = True
    return mask


@pytest.fixture
def found(tmp_path):
    """The table of a data set of 2 mm, with two scans of one patient, one of another, and a healthy one."""

    def run(outside: int = 0, sick: bool = True, **scan_facts):
        rng = np.random.default_rng(0)
        entries = []
        for name, person in {"sub-1": "a", "sub-2": "a", "sub-3": "b", "sub-4": "healthy"}.items():
            scan = Scan(name, person, "ms", role="test", **scan_facts)
            mask = lesion(outside) & (sick and person != "healthy")
            entries.append(array_cache.Entry(scan, (rng.random(SHAPE) * brain()).astype(np.float32), brain(), mask))
        array_cache.write(tmp_path / "cache", entries, CacheHeader(np.diag([2.0, 2, 2, 1])))
        CeilingsJob(
            inputs=CeilingsInputs(array_cache=tmp_path / "cache"),
            outputs=CeilingsOutputs(folder=tmp_path / "out"),
            postprocessing=CHAINS,
            networks=[PADDED, COARSE, COARSE_MAP],
            lesion_sign="both",
            erode_voxels=1,
            tags={"dataset": "ms"},
        ).run()
        return ceilings.read([tmp_path / "out", tmp_path / "of_another_data_set"])

    return run


def by_map(table):
    return {(row.postprocessing, row.kind, row.input): row for row in rows(table)}


def test_a_perfect_map_is_perfect_where_nothing_is_done_to_it(found):
    table = found()
    row = by_map(table)["none", "ceiling", "grid"]
    assert (row.auprc, row.dice, row.n) == (1, 1, 3)
    assert not row.marked
    assert row.models(MODELS) == ["zscore_atlas", "padded"]
    assert (table["dataset"] == "ms").all()


@pytest.mark.parametrize(("chain", "auprc", "dice"), [("opened", 1, 0), ("median", 0.05, 0)])
def test_a_chain_that_is_wider_than_the_lesion_leaves_nothing_and_is_marked(found, chain, auprc, dice):
    table = found()
    row = by_map(table)[chain, "ceiling", "grid"]
    assert row.auprc == pytest.approx(auprc, abs=0.05)
    assert row.dice == pytest.approx(dice)
    (sentence,) = [each for each in marks(table) if f"postprocessing {chain} leaves" in each]
    assert "Dice 0.000 on ms" in sentence
    assert f"! {sentence}" in lines(table)
    assert any(line.startswith("an input of 8 x 8 (resize) and postprocessing none leave") for line in lines(table))


def test_smoothing_is_judged_at_its_best_threshold(found):
    row = by_map(found())["smooth", "ceiling", "grid"]
    assert row.dice > 0.7


def test_lesion_voxels_outside_of_the_scored_brain_are_missed_by_a_perfect_map_too(found):
    row = by_map(found(outside=8))["none", "ceiling", "grid"]
    assert row.auprc == pytest.approx(32 / 40)
    assert row.dice == pytest.approx(2 * 32 / (32 + 40))
    assert row.marked


def test_resizing_costs_where_the_residual_is_taken_at_the_networks_resolution_and_marks_where_it_is_not(found):
    maps = by_map(found())
    assert maps["none", "ceiling", COARSE.size_and_fit].models(MODELS) == ["coarse"]
    assert maps["none", "floor", COARSE_MAP.name].models(MODELS) == ["coarse"]
    assert maps["none", "ceiling", COARSE.size_and_fit].dice < 0.95
    assert maps["none", "floor", COARSE.name].residual > 0.3
    assert maps["none", "floor", COARSE_MAP.name].residual == 0
    assert maps["none", "floor", PADDED.name].residual == 0
    chance = 32 / (18 * 18 * 4)
    assert maps["none", "floor", PADDED.name].auprc == pytest.approx(chance, abs=1e-6)


def test_healthy_scans_have_a_floor_alone_and_corrupted_ones_neither(found):
    table = found(sick=False)
    assert set(table["metric"]) == {"residual_p98"}
    assert lines(table) == marks(table) == []
    assert found(corrupted="blur").empty


@pytest.mark.parametrize("dims", [2, 3])
def test_an_identity_network_that_pads_or_crops_marks_exactly_nothing(dims):
    image = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    for size in (8, 32):
        network = PADDED.model_copy(update={"dims": dims, "size": size})
        assert not identity_map(image, brain(), network, (1, 1, 1), "both").any()
    mask = perfect_map(lesion(), brain(), PADDED.model_copy(update={"dims": dims}))
    np.testing.assert_array_equal(mask, lesion())
