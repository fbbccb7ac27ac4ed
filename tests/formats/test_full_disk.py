"""Writers on a disk that takes no more: RLIMIT_FSIZE lets a file have a few bytes, and the system then refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from full_disk import no_file_larger_than

from brainuad.errors import StorageError
from brainuad.formats import array_cache, bundle, checksums, files, run, scans, status, tables, tensors, volume
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.bundle import Bundle
from brainuad.formats.scans import Scan

NOISE = np.random.default_rng(0).random((24, 20, 16), dtype=np.float32)
AFFINE = np.diag([2.0, 2, 2, 1])
SCANS = [Scan(f"sub-{i}", f"sub-{i}", "x", role="test") for i in range(999)]


def write_cache(out: Path) -> None:
    entries = (Entry(row, NOISE, NOISE > 0.5, NOISE > 0.9) for row in SCANS[:3])
    array_cache.write(out, entries, CacheHeader(AFFINE))


def write_record(out: Path) -> None:
    run.write(out, run.Record("train", {}, {}, curves=[(i, "loss", 1.0) for i in range(999)]), {})


def write_spool(out: Path) -> None:
    with files.atomic_folder(out) as folder:
        np.save(folder / "values.npy", NOISE)


@pytest.mark.parametrize(
    "write",
    [
        write_cache,
        write_record,
        write_spool,
        lambda out: bundle.write(out, Bundle({"w": NOISE}, {})),
        lambda out: tensors.write(out / "scaling.safetensors", {"a": NOISE}),
        lambda out: volume.write(out / "map.nii.gz", NOISE, AFFINE),
        lambda out: volume.write(out / "map.nii", NOISE, AFFINE),
        lambda out: scans.write(out / "scans.tsv", SCANS),
        lambda out: tables.write(out / "t.tsv", pd.DataFrame({"a": range(9999)}), {"a": ""}),
        lambda out: files.write_json(out / "a.json", list(range(9999))),
        lambda out: checksums.write(out, {f"{i}.nii.gz": i for i in range(999)}),
        lambda out: status.write(out / "status.json", status.Status(scan="a", state="failed", reasons=["x" * 9999])),
    ],
)
def test_what_does_not_fit_ends_in_a_sentence_and_leaves_nothing(write: Callable[[Path], None], tmp_path):
    with no_file_larger_than(4096), pytest.raises(StorageError, match="cannot write") as caught:
        write(tmp_path / "out")
    assert "run the same command again" in str(caught.value.do)
    assert caught.value.why
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")] == []
    write(tmp_path / "out")
    assert any(path.is_file() for path in tmp_path.rglob("*"))
