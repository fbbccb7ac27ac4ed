"""Damage to what passes between stages: each file, what happened to it, and the words that name it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brainuad.errors import InputError
from brainuad.formats import (
    array_cache,
    bundle,
    checksums,
    done_file,
    maps,
    postprocessed,
    run,
    scans,
    status,
    tensors,
    thresholds,
    transform,
    volume,
)
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.bundle import Bundle
from brainuad.formats.maps import MapWriter
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold

SHAPE = (4, 3, 2)
AFFINE = np.diag([2.0, 2, 2, 1])
TAGS = {"model": "dae", "seed": "0", "dataset": "ms"}
Damage = Callable[[Path], object]


def flip(place: int) -> Damage:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return change


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def put_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def lose_a_row(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def write(text: str) -> Damage:
    return lambda path: path.write_text(text)


def save(array: np.ndarray) -> Damage:
    return lambda path: np.save(path, array)


def replace(old: str, new: str) -> Damage:
    def change(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def move_affine(path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 1
    volume.write(path, volume.read(path, constant=True).data, moved)


def swap_with(other: str) -> Damage:
    def change(path: Path) -> None:
        kept = path.read_bytes()
        second = path.with_name(other) if "/" not in other else path.parents[2] / other
        path.write_bytes(second.read_bytes())
        second.write_bytes(kept)

    return change


def cache(folder: Path, level: float = 0.0) -> Path:
    rng = np.random.default_rng(0)
    entries = [
        Entry(Scan(f"sub-{i}", f"sub-{i}", "ms", role="test"), image, image > 0.2, image > 0.8, image > 0.9)
        for i, image in enumerate(rng.random((3, *SHAPE), dtype=np.float32) + np.float32(level))
    ]
    header = CacheHeader(AFFINE, {"scale": "percentile"}, {"landmarks": np.arange(3.0)})
    array_cache.write(folder, entries, header)
    return folder


def use_cache(folder: Path) -> None:
    opened = array_cache.read(folder)
    lesions, ignored = array_cache.read_lesions(folder), array_cache.read_ignored(folder)
    assert ignored is not None
    for row in range(len(opened.scans)):
        assert opened.image(row).shape == opened.brain(row).shape == lesions[row].shape == ignored[row].shape


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("images.npy", flip(-1), r"volume 3 of images\.npy was altered"),
        ("images.npy", flip(200), r"volume 1 of images\.npy was altered"),
        ("brains.npy", flip(130), r"volume 1 of brains\.npy was altered"),
        ("lesions.npy", flip(-1), r"volume 3 of lesions\.npy was altered"),
        ("ignored.npy", flip(-1), r"volume 3 of ignored\.npy was altered"),
        ("lesions.npy", swap_with("ignored.npy"), r"of lesions\.npy was altered"),
        ("images.npy", cut, r"cannot open images\.npy"),
        ("lesions.npy", cut, r"cannot open lesions\.npy"),
        ("lesions.npy", write(""), r"cannot open lesions\.npy"),
        ("brains.npy", Path.unlink, r"cannot open brains\.npy"),
        ("ignored.npy", Path.unlink, r"cannot open ignored\.npy"),
        ("images.npy", save(np.zeros((3, *SHAPE), np.float64)), r"images\.npy was altered"),
        ("images.npy", save(np.zeros((2, *SHAPE), np.float32)), r"images\.npy was altered"),
        ("images.npy", save(np.zeros((3, 4, 6), np.float32)), r"images\.npy was altered"),
        ("lesions.npy", save(np.array([{}], dtype=object)), r"cannot open lesions\.npy"),
        ("scans.tsv", lose_a_row, r"scans\.tsv was altered"),
        ("scans.tsv", replace("sub-1", "sub-7"), r"scans\.tsv was altered"),
        ("array_cache.json", write("{}"), r"array_cache\.json was altered"),
        ("array_cache.json", write("[]"), r"array_cache\.json was altered"),
        ("array_cache.json", replace("percentile", "zscore"), r"array_cache\.json was altered"),
        ("array_cache.json", Path.unlink, r"cannot read array_cache\.json"),
        ("scaling.safetensors", cut, r"scaling\.safetensors was altered"),
        ("scaling.safetensors", flip(-1), r"scaling\.safetensors was altered"),
        ("checksums.json", write("{}"), r"checksums\.json was altered"),
        ("checksums.json", write("[]"), r"checksums\.json was altered"),
        ("checksums.json", cut, r"checksums\.json"),
        ("checksums.json", replace("scans.tsv", "other.tsv"), r"checksums\.json was altered"),
        ("checksums.json", Path.unlink, r"there is no checksums\.json in cache(?s:.*)older version"),
    ],
)
def test_a_damaged_array_cache(file, damage, says, tmp_path):
    folder = cache(tmp_path / "cache")
    use_cache(folder)
    damage(folder / file)
    with pytest.raises(InputError, match=says) as caught:
        use_cache(folder)
    assert file in str(caught.value.file)
    assert f"delete {folder} and run the same command again" in str(caught.value.do)


def test_the_array_cache_of_another_data_set(tmp_path):
    folder = cache(tmp_path / "ixi")
    array_cache.require_data_set(folder, "ms")
    with pytest.raises(InputError, match=r"another data set(?s:.*)those of ms, the job is for ixi"):
        array_cache.require_data_set(folder, folder.name)


def inferred(folder: Path, seed: int = 0) -> Path:
    writer, rng = MapWriter(folder, AFFINE, Naming()), np.random.default_rng(seed)
    for i in range(2):
        writer.anomaly(f"sub-{i}", rng.random(SHAPE, dtype=np.float32))
        writer.mask(f"sub-{i}", rng.random(SHAPE) > 0.5, "fixed_1", FoundThreshold(1.0, "paper constant"))
    (folder / maps.SCORES).write_text("scan\tscore\nsub-0\t1.5\nsub-1\t2.5\n")
    thresholds.write(folder, {"fixed_1": FoundThreshold(1.0, "paper constant")})
    postprocessed.write(folder, changes_maps=False)
    writer.finish([maps.SCORES, thresholds.NAME, postprocessed.NAME], TAGS, array_cache="a", bundle="b")
    return folder


def use_maps(folder: Path) -> None:
    maps.checked(folder, TAGS, array_cache="a", bundle="b")
    maps.read_scores(folder)
    thresholds.read(folder)
    postprocessed.changes_maps(folder)
    for i in range(2):
        maps.read_map(maps.anomaly_path(folder, f"sub-{i}"), SHAPE)
        maps.read_mask(maps.mask_path(folder, f"sub-{i}", "fixed_1"), SHAPE)


MAP = "sub-{}/anat/sub-{}_space-MNI152NLin2009aSym_anomalymap.nii.gz"
MASK = "sub-0/anat/sub-0_space-MNI152NLin2009aSym_label-lesion_desc-fixed1_mask.nii.gz"


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        (MAP.format(0, 0), swap_with(MAP.format(1, 1)), r"sub-0\S*_anomalymap\.nii\.gz was altered"),
        (MAP.format(0, 0), move_affine, r"anomalymap\.nii\.gz was altered"),
        (MAP.format(1, 1), flip(-20), r"sub-1\S*_anomalymap\.nii\.gz was altered"),
        (MAP.format(1, 1), cut, r"anomalymap\.nii\.gz was altered"),
        (MAP.format(1, 1), Path.unlink, r"anomalymap\.nii\.gz"),
        (MASK, flip(-20), r"mask\.nii\.gz was altered"),
        ("scores.tsv", lose_a_row, r"scores\.tsv was altered"),
        ("scores.tsv", replace("2.5", "nan"), r"scores\.tsv was altered"),
        ("scores.tsv", Path.unlink, r"cannot read scores\.tsv"),
        ("thresholds.json", write("{}"), r"thresholds\.json was altered"),
        ("thresholds.json", replace("1.0", "NaN"), r"thresholds\.json was altered"),
        ("thresholds.json", replace("1.0", "1.1"), r"thresholds\.json was altered"),
        ("postprocessing.json", write("[]"), r"postprocessing\.json was altered"),
        ("postprocessing.json", replace("false", "true"), r"postprocessing\.json was altered"),
        ("checksums.json", replace('"model": "dae"', '"model": "vae"'), r"checksums\.json was altered"),
        ("checksums.json", Path.unlink, r"there is no checksums\.json"),
        ("checksums.json", write("[" * 100_000), r"cannot read checksums\.json"),
        (MAP.format(1, 1), put_a_pipe, r"anomalymap\.nii\.gz"),
    ],
)
def test_a_damaged_folder_of_maps(file, damage, says, tmp_path):
    folder = inferred(tmp_path / "maps")
    use_maps(folder)
    damage(folder / file)
    with pytest.raises(InputError, match=says) as caught:
        use_maps(folder)
    assert Path(file).name in str(caught.value.file)
    assert f"delete {folder} and run the same command again" in str(caught.value.do)


def test_a_map_of_another_model_is_noticed(tmp_path):
    folder, other = inferred(tmp_path / "maps"), inferred(tmp_path / "other", seed=1)
    shutil.copy(other / MAP.format(0, 0), folder / MAP.format(0, 0))
    with pytest.raises(InputError, match=r"anomalymap\.nii\.gz was altered"):
        use_maps(folder)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "vae"}, "the model dae, and not vae"),
        ({"seed": "1"}, "the seed 0, and not 1"),
        ({"dataset": "ixi"}, "the dataset ms, and not ixi"),
        ({"array_cache": "x"}, "the array cache a, and not x"),
        ({"bundle": "x"}, "the bundle b, and not x"),
    ],
)
def test_a_folder_of_maps_in_anothers_place(changed, says, tmp_path):
    told = {**TAGS, "array_cache": "a", "bundle": "b", **changed}
    made_of = {name: told.pop(name) for name in ("array_cache", "bundle")}
    with pytest.raises(InputError, match=says):
        maps.checked(inferred(tmp_path / "maps"), told, **made_of)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("scores.tsv", "scan\tscore\nsub-0\tnan\n", "a score is no number(?s:.*)sub-0"),
        ("scores.tsv", "scan\nsub-0\n", "cannot read the scores"),
        ("thresholds.json", '{"fixed_1": {"value": NaN, "source": "x", "scans": []}}', "a threshold is no number"),
        ("thresholds.json", '{"fixed_1": {"value": 1}}', "cannot read the thresholds"),
        ("thresholds.json", "[]", "cannot read the thresholds"),
        ("postprocessing.json", "{}", "cannot read what the postprocessing did"),
    ],
)
def test_what_a_job_wrote_wrongly_is_not_used(file, content, says, tmp_path):
    folder = inferred(tmp_path / "maps")
    (folder / file).write_text(content)
    checksums.write(folder, checksums.of_files(folder, json.loads((folder / checksums.NAME).read_text())["files"]))
    with pytest.raises(InputError, match=says):
        use_maps(folder)


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("bundle.json", write("{}"), r"bundle\.json does not describe a bundle"),
        ("bundle.json", write("[1]"), r"bundle\.json does not describe a bundle"),
        ("bundle.json", write("{"), r"cannot read bundle\.json"),
        ("bundle.json", replace('"format": 2', '"format": 1'), "of another version"),
        ("bundle.json", replace("percentile", "zscore"), r"bundle\.json was altered"),
        ("bundle.json", replace('"seed": 1', '"seed": 2'), r"bundle\.json was altered"),
        ("arrays.safetensors", flip(-1), "the weights were altered"),
        ("arrays.safetensors", cut, "the weights were altered"),
        ("arrays.safetensors", write(""), "the weights were altered"),
        ("arrays.safetensors", Path.unlink, "cannot read the weights"),
    ],
)
def test_a_damaged_bundle(file, damage, says, tmp_path):
    bundle.write(tmp_path, Bundle({"w": np.arange(6.0)}, {"seed": 1, "intensity": {"scale": "percentile"}}))
    bundle.read(tmp_path)
    damage(tmp_path / file)
    with pytest.raises(InputError, match=says) as caught:
        bundle.read(tmp_path)
    assert caught.value.file == tmp_path / file


def preprocessed(folder: Path) -> Path:
    files = {status.IMAGE: "i.nii.gz", status.BRAIN: "b.nii.gz", "mask": "m.nii.gz", status.TRANSFORM: "t.json"}
    for place, name in enumerate(("i.nii.gz", "b.nii.gz", "m.nii.gz")):
        volume.write(folder / name, np.eye(3, dtype=np.float32)[..., None] + place, AFFINE)
    transform.write(folder / "t.json", transform.Affine(np.eye(4)))
    sums = {name: checksums.of_file(folder / file) for name, file in files.items()}
    state = status.Status(scan="sub-1", state="ok", files=files, checksums=sums)
    status.write(folder / "sub-1/status.json", state)
    return folder / "sub-1"


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("i.nii.gz", flip(-9), r"i\.nii\.gz was altered"),
        ("i.nii.gz", swap_with("b.nii.gz"), r"i\.nii\.gz was altered"),
        ("b.nii.gz", cut, r"b\.nii\.gz was altered"),
        ("m.nii.gz", move_affine, r"m\.nii\.gz was altered"),
        ("t.json", replace("1.0", "2.0"), r"t\.json was altered"),
        ("t.json", Path.unlink, r"cannot read t\.json"),
    ],
)
def test_a_damaged_preprocessed_scan(file, damage, says, tmp_path):
    out = preprocessed(tmp_path)
    assert len(status.checked_paths(out)) == 4
    damage(tmp_path / file)
    with pytest.raises(InputError, match=says) as caught:
        status.checked_paths(out)
    assert f"delete {out} and run" in str(caught.value.do)
    (tmp_path / done_file.BATCHES).mkdir()
    with pytest.raises(InputError) as caught:
        status.checked_paths(out)
    assert f"delete {out} and {tmp_path / done_file.BATCHES} and run" in str(caught.value.do)


def arrays_file(path: Path) -> None:
    tensors.write(path, {"a": np.arange(9.0)})


def read_arrays(path: Path) -> object:
    return tensors.read(path, "run again")


def done(path: Path) -> None:
    done_file.write(path, {"a": "b"})


def read_done(path: Path) -> object:
    return done_file.read([path])


def scan_table(path: Path) -> None:
    scans.write(path, [Scan("sub-1", "sub-1", "x", role="test"), Scan("sub-2", "sub-2", "x", role="train")])


@pytest.mark.parametrize(
    ("write_file", "read_file", "damage", "says"),
    [
        (scan_table, scans.read, replace("\ttest\t", "\t"), "line 2 has not as many cells"),
        (scan_table, scans.read, replace("\ttest\t", "\ttest\tx\t"), "line 2 has not as many cells"),
        (scan_table, scans.read, replace("\ttest\t", "\tbest\t"), "sub-1 has the role 'best'"),
        (scan_table, scans.read, write(""), "a column is missing"),
        (done, read_done, write("{}"), "no scans"),
        (done, read_done, write("[]"), "no scans"),
        (write(""), run.read, write("{}"), "no run record(?s:.*)lacks"),
        (write(""), run.read, write("[]"), "no run record"),
        (write(""), run.read_curves, write(""), "cannot read"),
        (write(""), run.read_curves, write("step,name,value\n1,a\n2,b,x\n"), "cannot read"),
        (write(""), transform.read, write("[]"), "no invertible"),
        (write(""), transform.read, write('{"matrix": "x"}'), "no invertible"),
        (arrays_file, read_arrays, cut, "cannot read"),
        (arrays_file, read_arrays, flip(-1), "altered"),
        (arrays_file, read_arrays, write(""), "cannot"),
        (arrays_file, read_arrays, write("[]"), "cannot"),
    ],
)
def test_a_damaged_file_of_its_own(write_file, read_file, damage, says, tmp_path):
    path = tmp_path / "file"
    write_file(path)
    damage(path)
    with pytest.raises(InputError, match=says) as caught:
        read_file(path)
    assert caught.value.file == path
