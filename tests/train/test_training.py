from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from training import COMPUTE, NETWORK, SHAPE, kept, neural, stored

from brainuad.cluster.stop_monitor import StopMonitor, TrainingStopped
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle, run
from brainuad.methods import registry
from brainuad.resources.live import CURVES
from brainuad.train import crossfit, training
from brainuad.train.fit import fit_network
from brainuad.train.training import train

ATLAS = registry.validate({"family": "zscore_atlas"})
TAGS = {"model": "toy", "seed": "1"}


def test_a_network_leaves_bundle_record_and_curves(tmp_path):
    out = tmp_path / "out"
    train([stored(tmp_path / "a")], neural(), 1, COMPUTE, out, TAGS)
    assert sorted(path.name for path in out.iterdir()) == [
        "arrays.safetensors",
        "bundle.json",
        "metrics.csv",
        "run.json",
    ]
    made = bundle.read(out)
    assert made.about["seed"] == 1
    assert made.about["training"]["labels"] == ["a/sub-0", "a/sub-1", "a/sub-2"]
    assert made.about["intensity"] == {"scale": "percentile"}
    assert made.about["shape"] == list(SHAPE)
    np.testing.assert_array_equal(made.arrays["scaling.landmarks"], np.arange(3.0))
    assert made.arrays["residual_training_absolute_mean"].shape == SHAPE
    assert not np.array_equal(made.arrays["residual_training_signed_sd"], made.arrays["residual_held_out_signed_sd"])
    record = run.read(out / "run.json")
    assert record["tags"] == TAGS
    assert record["data"] == made.about["training"]["hash"]
    assert record["facts"]["parameters"] == made.about["parameters"]
    curves = run.read_curves(out / "metrics.csv")
    assert set(curves["name"]) >= {"train_loss", "validation_loss", "steps_per_second"}
    assert list(curves[curves["name"] == "train_loss"]["step"]) == [3, 6]


def test_a_baseline_goes_through_the_same_job(tmp_path):
    train([stored(tmp_path / "a")], ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
    assert bundle.read(tmp_path / "out").arrays["atlas_mean"].shape == SHAPE


def test_training_scans_come_from_all_array_caches(tmp_path):
    array_caches = [stored(tmp_path / "a"), stored(tmp_path / "b", seed=5)]
    train(array_caches, ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
    images = np.concatenate([array_cache.read(path).select("train").images for path in array_caches])
    made = bundle.read(tmp_path / "out")
    assert len(made.about["training"]["labels"]) == len(images) == 6


def test_map_settings_change_nothing_that_is_learnt(tmp_path):
    data = stored(tmp_path / "a")
    for name, settings in (("plain", {}), ("other", {"residual": "signed", "standardise": True, "smooth_mm": 4})):
        train([data], neural(map=settings), 1, COMPUTE, tmp_path / name, TAGS)
    for file in ("arrays.safetensors", "bundle.json"):
        assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_without_validation_scans_there_are_no_held_out_residuals(tmp_path):
    train([stored(tmp_path / "a", ["train"] * 3)], neural(), 1, COMPUTE, tmp_path / "out", TAGS)
    made = bundle.read(tmp_path / "out")
    assert {name.split("_")[1] for name in made.arrays if name.startswith("residual")} == {"training"}
    method = registry.load_method(made, {"standardise": "held_out"})
    with pytest.raises(InputError, match="no held_out residuals"):
        method.residuals.standardised(np.ones(SHAPE, np.float32), np.ones(SHAPE, bool))


def test_crossfit_takes_the_sd_of_networks_that_were_trained_without_the_scan(tmp_path, monkeypatch):
    seen = []

    def recorded(method, training, *rest):
        seen.append([float(image.sum()) for image in training.images])
        return fit_network(method, training, *rest)

    monkeypatch.setattr(crossfit, "fit_network", recorded)
    settings = {"network": NETWORK, "train": {"steps": 4, "batch_size": 4, "crossfit": 3}}
    data = stored(tmp_path / "a")
    train([data], registry.validate({"family": "autoencoder", **settings}), 1, COMPUTE, tmp_path / "out", TAGS)
    sums = [float(image.sum()) for image in array_cache.read(data).select("train").images]
    assert seen == [[total for j, total in enumerate(sums) if j != i] for i in range(3)]
    arrays = bundle.read(tmp_path / "out").arrays
    np.testing.assert_array_equal(arrays["residual_crossfit_signed_mean"], arrays["residual_training_signed_mean"])
    assert not np.array_equal(arrays["residual_crossfit_signed_sd"], arrays["residual_training_signed_sd"])


def test_all_scans_of_a_subject_are_in_one_fold():
    assert crossfit.fold_of(["a", "a", "b", "c", "b", "d"], 2) == [0, 0, 1, 0, 1, 1]


def test_crossfitted_maps_need_folds():
    with pytest.raises(ValueError, match=r"needs train\.crossfit"):
        neural(map={"standardise": "crossfit"})


def test_the_hash_follows_the_data(tmp_path):
    hashes = set()
    for seed in (0, 0, 1):
        train([stored(tmp_path / "a", seed=seed)], ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
        hashes.add(bundle.read(tmp_path / "out").about["training"]["hash"])
    assert len(hashes) == 2


def test_no_training_scan(tmp_path):
    with pytest.raises(InputError, match="there is no training scan"):
        train([stored(tmp_path / "a", ["validation", "test"])], ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
    assert not (tmp_path / "out").exists()


def test_a_scan_with_a_lesion_trains_nothing(tmp_path):
    with pytest.raises(InputError, match="sub-0 is not healthy") as caught:
        train([stored(tmp_path / "a", lesion=True)], ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
    assert caught.value.why == "its mask of lesions has 1 voxels"


def test_a_scan_with_other_pathology_trains_nothing(tmp_path):
    with pytest.raises(InputError, match="sub-0 is not healthy") as caught:
        train([stored(tmp_path / "a", ignored=True)], ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)
    assert caught.value.why == "its mask of other pathology has 2 voxels"


def test_array_caches_on_different_grids(tmp_path):
    array_caches = [stored(tmp_path / "a"), stored(tmp_path / "b", shape=(12, 16, 6))]
    with pytest.raises(InputError, match="different grids"):
        train(array_caches, ATLAS, 0, COMPUTE, tmp_path / "out", TAGS)


def test_a_failed_training_writes_no_bundle(tmp_path):
    with pytest.raises(InputError, match="training loss is nan"):
        train([stored(tmp_path / "a", value=np.nan)], neural(), 0, COMPUTE, tmp_path / "out", TAGS)
    assert kept(tmp_path / "out") == [CURVES], "of no use to any job"


def test_a_second_training_gives_the_same_bytes(tmp_path):
    data = stored(tmp_path / "a")
    for name in ("one", "two"):
        train([data], neural(), 3, COMPUTE, tmp_path / name, TAGS)
    assert (
        json.loads((tmp_path / "one" / "bundle.json").read_text())["arrays_sha256"]
        in (tmp_path / "two" / "bundle.json").read_text()
    )


CHECKPOINTS = "resume/*/last.ckpt"


class StopAt(StopMonitor):
    def __init__(self, step):
        super().__init__()
        self.last = step

    def record_step(self, step, seconds):
        super().record_step(step, seconds)
        if step == self.last:
            self._handle_signal(signal.SIGTERM, None)


def test_a_record_counts_all_turns_of_a_training(tmp_path, monkeypatch):
    data, out = stored(tmp_path / "a"), tmp_path / "out"
    with pytest.raises(TrainingStopped), monkeypatch.context() as patch:
        patch.setattr(training, "stop_monitor", lambda: nullcontext(StopAt(4)))
        train([data], neural(), 1, COMPUTE, out, TAGS)
    (checkpoint,) = out.glob(CHECKPOINTS)
    saved = torch.load(checkpoint, weights_only=True)
    used = saved["callbacks"]["training"]["used"]
    assert time.time() - 60 < used["started"] < time.time()
    assert 0 < used["seconds"] < 60
    assert 0 < used["cpu_seconds"] < 60
    used |= {"started": 1e9, "seconds": 40_000.0, "cpu_seconds": 30_000.0}
    torch.save(saved, checkpoint)
    with pytest.raises(TrainingStopped), monkeypatch.context() as patch:
        patch.setattr(training, "stop_monitor", lambda: nullcontext(StopAt(5)))
        train([data], neural(), 1, COMPUTE, out, TAGS)
    carried = torch.load(checkpoint, weights_only=True)["callbacks"]["training"]["used"]
    assert 40_000 < carried["seconds"] < 40_060
    train([data], neural(), 1, COMPUTE, out, TAGS)
    record = run.read(out / "run.json")
    assert record["facts"]["resumed_at_step"] == 5
    assert record["started"] == 1e9
    assert carried["seconds"] < record["seconds"] < 40_120
    assert carried["cpu_seconds"] < record["cpu_seconds"] < 30_120
    train([data], neural(), 1, COMPUTE, tmp_path / "whole", TAGS)
    for file in ("arrays.safetensors", "bundle.json"):
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


CHILD = """
import json
import sys
from pathlib import Path
from brainuad.cluster.stop_monitor import StopMonitor, TrainingStopped
from brainuad.methods import registry
from brainuad.config.study import Compute
from brainuad.train import training
from brainuad.train.training import train
model = registry.validate(json.loads(sys.argv[1]))
train([Path(sys.argv[2])], model, 3, Compute(threads=1, accelerator="cpu"), Path(sys.argv[3]), {})
"""


def test_a_training_killed_by_the_system_resumes_to_the_same_bundle(tmp_path):
    data, length = stored(tmp_path / "a"), {"steps": 150, "validate_every": 15, "batch_size": 4}
    model = neural(train=length)
    child = subprocess.Popen([sys.executable, "-c", CHILD, model.model_dump_json(), data, tmp_path / "killed"])
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob(CHECKPOINTS)) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "bundle.json").exists()
    for name in ("killed", "whole"):
        train([data], model, 3, COMPUTE, tmp_path / name, {})
    assert run.read(tmp_path / "killed" / "run.json")["facts"]["resumed_at_epoch"] > 0
    for file in ("arrays.safetensors", "bundle.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (tmp_path / "killed/resume").exists()


def test_settings_changed_for_a_while_lose_no_training(tmp_path, monkeypatch, caplog):
    data, out = stored(tmp_path / "a"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(training, "stop_monitor", lambda: nullcontext(StopAt(4)))
        with pytest.raises(TrainingStopped):
            train([data], neural(), 1, COMPUTE, out, TAGS)
        for seed in (2, 3):
            caplog.clear()
            with pytest.raises(TrainingStopped):
                train([data], neural(), seed, COMPUTE, out, TAGS)
            assert "resumes when these are restored" in caplog.text
    train([data], neural(), 1, COMPUTE, out, TAGS)
    assert run.read(out / "run.json")["facts"]["resumed_at_step"] == 4
