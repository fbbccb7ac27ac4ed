from __future__ import annotations

import errno
import io
import os
import re
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from training import COMPUTE, KillAt, KilledError, kept, method, scans, weights

from brainuad.errors import InputError, StorageError
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.resources.live import CURVES
from brainuad.train import checkpoint
from brainuad.train.fit import CHECKPOINT, TrainingResult, TrainingRun, fit_network


def with_nan(healthy: TrainingScans) -> TrainingScans:
    healthy.images[-1][3, 3, 2] = np.nan
    return healthy


def fit(made: AutoencoderMethod, folder: Path, key: str = "k", seed: int = 0, **options: object) -> TrainingResult:
    data = options.pop("training", None) or scans(4, 0)
    held_out = options.pop("validation", scans(2, 1))
    return fit_network(made, data, held_out, TrainingRun(seed, COMPUTE, folder, key), **options)


SCHEDULED = {
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "warmup_steps": 5,
    "schedule": "cosine",
    "clip": 0.5,
    "ema": 0.9,
}


@pytest.mark.parametrize("kill", [4, 6, 8, 13, 14])
@pytest.mark.parametrize(
    "length", [{"keep": "last"}, {"keep": "best"}, {"epochs": 3, "keep": "last"}, SCHEDULED | {"keep": "last"}]
)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(kill, length, tmp_path):
    whole, broken = method(**length), method(**length)
    expected = fit(whole, tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(broken, tmp_path / "broken", callbacks=[KillAt(kill)])
    resumable = (tmp_path / "broken" / CHECKPOINT).exists()
    again = method(**length)
    found = fit(again, tmp_path / "broken")
    assert bool(found.facts["resumed_at_epoch"]) == resumable
    np.testing.assert_array_equal(weights(again), weights(whole))
    losses = [[row for row in fitted.curves if row[1] != "steps_per_second"] for fitted in (expected, found)]
    assert losses[0] == losses[1]


def test_a_training_killed_at_its_very_end_only_loads(tmp_path):
    first, second = method(), method()
    fit(first, tmp_path)
    found = fit(second, tmp_path, callbacks=[KillAt(1)])
    assert found.facts["resumed_at_epoch"] == 4
    np.testing.assert_array_equal(weights(first), weights(second))


def test_a_checkpoint_of_other_settings_is_put_aside(tmp_path, caplog):
    with pytest.raises(KilledError):
        fit(method(), tmp_path, key="old", callbacks=[KillAt(6)])
    found = fit(method(), tmp_path, key="new")
    assert re.search(r"other settings or data.* from the beginning", caplog.text)
    assert found.facts["resumed_at_epoch"] == 0
    assert kept(tmp_path) == [CURVES, CHECKPOINT, f"{CHECKPOINT}.old"]


def test_a_broken_checkpoint_is_put_aside(tmp_path, caplog):
    (tmp_path / CHECKPOINT).write_bytes(b"PK\x03\x04 half of a file")
    assert fit(method(), tmp_path).facts["steps"] == 14
    assert re.search(r"(?s)is broken .* put aside as last.ckpt.old", caplog.text)
    assert (tmp_path / f"{CHECKPOINT}.old").read_bytes() == b"PK\x03\x04 half of a file"


@pytest.fixture(scope="module")
def left_checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    with pytest.raises(KilledError):
        fit(method(), folder, callbacks=[KillAt(6)])
    return (folder / CHECKPOINT).read_bytes()


def flipped(member):
    """One bit in the middle of a part of the archive; between the parts are bytes that nothing reads."""

    def change(content):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = next(each for each in archive.infolist() if each.filename.endswith(member))
        header = info.header_offset
        start = header + 30 + sum(struct.unpack("<HH", content[header + 26 : header + 30]))
        place = start + info.file_size // 2
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return change


def without_state(_):
    file = io.BytesIO()
    torch.save({"state_dict": {}}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        *(flipped(member) for member in ("/data.pkl", "/data/0", "/data/3", "/version")),
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:70],
        lambda content: b"",
        lambda content: b"no archive at all" * 99,
        lambda content: b"\0" * len(content),
        without_state,
    ],
)
def test_a_damaged_checkpoint_is_noticed_and_not_taken_for_a_sick_disk(damage, left_checkpoint, tmp_path):
    path = tmp_path / CHECKPOINT
    path.write_bytes(left_checkpoint)
    checkpoint.read(path)
    path.write_bytes(damage(left_checkpoint))
    with pytest.raises(checkpoint.BrokenCheckpointError):
        checkpoint.read(path)


def test_a_flipped_weight_is_not_trained_on(left_checkpoint, tmp_path, caplog):
    (tmp_path / CHECKPOINT).write_bytes(flipped("/data/0")(left_checkpoint))
    again, whole = method(), method()
    assert fit(again, tmp_path).facts["resumed_at_epoch"] == 0
    assert re.search(r"(?s)is broken .* put aside as last.ckpt.old", caplog.text)
    fit(whole, tmp_path / "whole")
    np.testing.assert_array_equal(weights(again), weights(whole))


def test_a_checkpoint_needs_no_folder_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    assert fit(method(steps=2), tmp_path / "run").facts["steps"] == 2


def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_half_written(tmp_path, monkeypatch):
    def full(_, __, path, storage_options=None):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(KilledError):
        fit(method(), tmp_path, callbacks=[KillAt(6)])
    before = (tmp_path / CHECKPOINT).read_bytes()
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="No space left on device"):
        patch.setattr(checkpoint.DirectCheckpointIO, "save_checkpoint", full)
        fit(method(), tmp_path)
    assert kept(tmp_path) == [CURVES, CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert fit(method(), tmp_path).facts["resumed_at_epoch"] == 1


@pytest.mark.parametrize(
    ("fault", "raised", "says"),
    [
        (OSError(errno.ESTALE, "Stale file handle"), InputError, r"cannot read last\.ckpt\n.*\n.*Stale file handle"),
        (MemoryError(), MemoryError, None),
    ],
)
def test_a_checkpoint_that_cannot_be_read_for_a_moment_is_kept(fault, raised, says, tmp_path, monkeypatch):
    with pytest.raises(KilledError):
        fit(method(), tmp_path, callbacks=[KillAt(6)])

    def fail(*_, **__):
        raise fault

    with monkeypatch.context() as patch, pytest.raises(raised, match=says):
        patch.setattr(torch, "load", fail)
        fit(method(), tmp_path)
    assert fit(method(), tmp_path).facts["resumed_at_epoch"] == 1


def test_a_checkpoint_is_on_the_disk_before_it_takes_the_place_of_the_last_one(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def note(number):
        same = os.fstat(number).st_ino == (tmp_path / "last.part").stat().st_ino
        synced.append((same, (tmp_path / CHECKPOINT).exists()))
        sync(number)

    monkeypatch.setattr(os, "fsync", note)
    with pytest.raises(KilledError):
        fit(method(), tmp_path, callbacks=[KillAt(6)])
    assert synced == [(True, False)]


def test_the_checkpoint_holds_no_pickled_classes(tmp_path):
    fit(method(), tmp_path)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["callbacks"]["training"]["key"] == "k"
    assert kept(tmp_path) == [CURVES, CHECKPOINT]


def test_the_best_weights_are_those_of_the_lowest_validation_loss(tmp_path):
    best, last = method(lr=0.3), method(lr=0.3, keep="last")
    found = fit(best, tmp_path / "best")
    fit(last, tmp_path / "last")
    curve = {step: value for step, name, value in found.curves if name == "validation_loss"}
    assert found.facts["kept_step"] == min(curve, key=curve.__getitem__)
    assert found.facts["best_validation_loss"] == min(curve.values())
    assert (found.facts["kept_step"] == 14) == np.array_equal(weights(best), weights(last))


def test_without_validation_scans_the_last_weights_are_kept(tmp_path):
    found = fit(method(), tmp_path, validation=None)
    assert found.facts["kept_step"] == 14
    assert {name for _, name, _ in found.curves} == {
        "train_loss",
        "train_reconstruction",
        "train_kl",
        "steps_per_second",
    }


def test_a_nan_loss_ends_the_training_and_names_the_step(tmp_path):
    with pytest.raises(InputError, match=r"training loss is nan at step [1-4]\b") as caught:
        fit(method(), tmp_path, training=with_nan(scans(4, 0)))
    assert "lower train.lr" in caught.value.do
    assert caught.value.why == "no epoch was complete before"
    assert not (tmp_path / CHECKPOINT).exists()


def test_the_last_good_checkpoint_survives_an_infinite_loss(tmp_path):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.global_step == 9:
                batch[:] = torch.inf

    with pytest.raises(InputError, match=r"at step 10 \(batch 2 of epoch 3\)") as caught:
        fit(method(), tmp_path, callbacks=[Poison()])
    assert caught.value.file == tmp_path / CHECKPOINT
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["callbacks"]["training"]["step"] == 8
    assert all(torch.isfinite(tensor).all() for tensor in saved["state_dict"].values())


def test_odd_validation_scans_are_named(tmp_path):
    with pytest.raises(InputError, match="healthy validation loss is nan after step 4"):
        fit(method(), tmp_path, validation=with_nan(scans(2, 1)))


def test_global_switches_are_put_back(tmp_path):
    fit(method(steps=2), tmp_path)
    assert not torch.are_deterministic_algorithms_enabled()
