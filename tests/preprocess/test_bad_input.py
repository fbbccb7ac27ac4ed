"""Bad data ends in a `failed` status that says what is wrong and what to do, and leaves nothing half-written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainuad.config.recipe import Preprocess, Quality, SkullStrip
from brainuad.errors import BrainuadError, StorageError
from brainuad.formats import names, status
from brainuad.formats.transform import Affine
from brainuad.preprocess.job_inputs import ScanInputs
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.scan import preprocess, preprocess_scan
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.settings import ScanSettings

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def with_header(path: Path, **fields: object) -> Path:
    image = nib.Nifti1Image(noise(20, 20, 20), None)
    image.header.set_sform(AFFINE, code=1)
    for name, value in fields.items():
        image.header[name] = value
    raw = image.header.binaryblock + b"\0" * 4 + image.get_fdata(dtype=np.float32).tobytes(order="F")
    path.write_bytes(raw)
    return path


def truncated(path: Path) -> Path:
    save(path, noise(30, 30, 30))
    path.write_bytes(path.read_bytes()[:20_000])
    return path


def corrupted(path: Path, value: float) -> Path:
    data = noise(20, 20, 20)
    data[5:10, 5:10, 5:10] = value
    return save(path, data)


def text(path: Path) -> Path:
    path.write_bytes(b"subject,age\n1,33\n" * 40)
    return path


@pytest.fixture
def placed(monkeypatch):
    """Registration, which takes seconds, finds every scan where it is."""
    monkeypatch.setattr("brainuad.preprocess.pipeline.register", lambda *_: Affine(np.eye(4)))


OF_THE_SET = {names.DESCRIPTION, names.README, names.IGNORE}
CASES = {
    "missing": (lambda p: p, "scan.nii.gz does not exist", "correct the path"),
    "truncated": (truncated, "scan.nii.gz is broken", "copy it again"),
    "foreign": (text, "scan.nii.gz is", "it"),
    "4D": (
        lambda p: save(p, noise(20, 20, 20, 3)),
        "is not a 3D volume (it has the shape (20, 20, 20, 3))",
        "volume: 0",
    ),
    "NaN": (lambda p: corrupted(p, np.nan), "no numbers (125 voxels inside the head (1.5", "export it again"),
    "infinite": (lambda p: corrupted(p, np.inf), "holds values that are no numbers", "export it again"),
    "zeros": (lambda p: save(p, np.zeros((20, 20, 20), np.float32)), "is empty (every voxel is 0)", "exclude"),
    "no affine": (lambda p: with_header(p.with_suffix(""), sform_code=0, qform_code=0), "has no affine", "scanner"),
    "voxel size 0": (
        lambda p: with_header(p.with_suffix(""), srow_x=[0, 0, 0, 0]),
        "has a singular affine (a voxel has the size 0)",
        "scanner",
    ),
    "noise": (lambda p: save(p, noise(90, 100, 90)), "the registration to the template failed", "overlay.png"),
    "tiny": (lambda p: save(p, np.pad(noise(6, 6, 6), 20)), "no head is found", "look at the scan"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_scan_fails_with_reason_and_remedy(case, tmp_path):
    make, what, remedy = CASES[case]
    path = make(tmp_path / "scan.nii.gz")
    out = tmp_path / "results" / "sub-01"
    state = preprocess(ScanFiles("sub-01", "T1w", path), Preprocess(), out)
    assert status.read(out / "status.json") == state
    told = judged(state, Quality())
    assert told.state == "failed"
    assert what in told.reasons[0].replace("scan.nii ", "scan.nii.gz ")
    assert remedy in (told.remedy or "")
    written = {p.name for p in out.iterdir() if p.is_file()}
    assert written >= {"status.json", "run.json"}
    # what came as far as a verdict keeps its files, for a person may include it
    assert ({"image", "brain", "transform"} == set(state.files) and "overlay.png" in written) or len(written) == 2
    assert bool(state.files) == bool(state.quality)
    assert all(path.is_file() for path in status.paths(out).values())
    assert {p.name for p in out.parent.iterdir()} == {"sub-01", *OF_THE_SET}


def test_no_path_of_the_machine_is_written(tmp_path):
    preprocess(ScanFiles("sub-01", "T1w", tmp_path / "scan.nii.gz"), Preprocess(), tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "status.json").read_text()


def test_a_mask_beside_the_scan_fails_it_with_the_distance(tmp_path):
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    affine = AFFINE.copy()
    affine[0, 3] = 3
    mask = save(tmp_path / "mask.nii.gz", np.ones((20, 20, 20), np.uint8), affine)
    state = preprocess(ScanFiles("sub-01", "T1w", scan, {"mask": mask}), Preprocess(), tmp_path / "out")
    assert state.state == "failed"
    assert state.reasons[0].startswith("mask.nii.gz lies 3 mm beside the scan's voxels")
    assert "resample the mask" in (state.remedy or "")


@pytest.mark.usefixtures("placed")
def test_a_patient_whose_mask_marks_nothing_is_warned_of(tmp_path):
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    mask = save(tmp_path / "mask.nii.gz", np.zeros((20, 20, 20), np.uint8))
    state = preprocess(ScanFiles("sub-01", "T1w", scan, {"mask": mask}), Preprocess(), tmp_path / "out")
    told = status.read(tmp_path / "out/status.json")
    assert state == told
    assert (told.state, told.quality["lesion_ml"]) == ("warned", 0)
    assert "marks nothing (mask.nii.gz: its highest value is 0)" in told.reasons[0]
    assert "mask" in (told.remedy or "")
    assert told.reasons[0] in judged(told, Quality()).reasons


@pytest.mark.usefixtures("placed")
def test_what_is_not_scored_lies_on_the_grid_too_and_makes_no_patient(tmp_path):
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    settings = ScanSettings(modality="T1w", healthy=True, recipe={"template": "mni152"})
    beside = AFFINE + np.eye(4)[:, [3, 1, 2, 0]] * [0, 0, 0, 3]
    for affine, reason in ((beside, ["odd.nii.gz lies 3 mm beside the scan's voxels"]), (AFFINE, [])):
        odd = save(tmp_path / "odd.nii.gz", np.ones((20, 20, 20), np.uint8), affine)
        preprocess_scan("sub-01", ScanInputs({"image": str(scan), "ignore": str(odd)}), settings, tmp_path / "out")
        told = status.read(tmp_path / "out/status.json")
        assert [text.partition(" (")[0] for text in told.reasons] == reason


@pytest.mark.parametrize("kind", ["missing", "broken"])
@pytest.mark.usefixtures("placed")
def test_a_scan_whose_reference_is_missing_or_broken_is_registered_by_itself_and_marked(kind, tmp_path):
    inputs = {"image": str(save(tmp_path / "scan.nii.gz", noise(20, 20, 20)))}
    if kind == "broken":
        inputs["reference"] = str(truncated(tmp_path / "t1.nii.gz"))
    settings = ScanSettings(modality="FLAIR", healthy=True, register_with="T1w", recipe={"template": "mni152"})
    preprocess_scan("sub-01", ScanInputs(inputs), settings, tmp_path / "out")
    told = status.read(tmp_path / "out/status.json")
    assert (told.state, len(told.reasons)) == ("warned", 1)
    reason = {"missing": "there is no T1w of its session", "broken": "t1.nii.gz is broken"}[kind]
    assert told.reasons[0].startswith(f"it is registered by itself: {reason}")
    assert "register_with" in (told.remedy or "")
    assert status.paths(tmp_path / "out")["image"].exists()
    assert told.reasons[0] in judged(told, Quality()).reasons


def test_lesions_of_a_healthy_subject(tmp_path):
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[:3, 0, 0] = 1
    masks = {"mask": save(tmp_path / "mask.nii.gz", mask)}
    state = preprocess(ScanFiles("sub-01", "T1w", scan, masks, healthy=True), Preprocess(), tmp_path / "out")
    assert state.state == "failed"
    assert state.reasons == ["sub-01 is declared healthy but has a lesion mask (3 voxels of mask.nii.gz are set)"]
    assert "participants.tsv" in (state.remedy or "")


def test_a_fault_leaves_the_previous_folder(tmp_path, monkeypatch):
    scan = tmp_path / "scan.nii.gz"
    before = preprocess(ScanFiles("sub-01", "T1w", scan), Preprocess(), tmp_path / "out")

    def fall(*_: object) -> None:
        raise RuntimeError("our own fault")

    monkeypatch.setattr(status, "write", fall)
    with pytest.raises(RuntimeError, match="our own fault"):
        preprocess(ScanFiles("sub-01", "T1w", scan), Preprocess(), tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"out", *OF_THE_SET}
    assert status.read(tmp_path / "out" / "status.json") == before


@pytest.mark.parametrize("error", [TypeError("no promotion"), np.linalg.LinAlgError("singular"), OverflowError()])
def test_any_error_is_the_failure_of_the_scan_and_its_traceback_is_in_the_log_alone(
    error, tmp_path, monkeypatch, caplog
):
    def fall(*_: object, **__: object) -> None:
        raise error

    caplog.set_level("INFO")
    monkeypatch.setattr("brainuad.preprocess.scan.preprocess_volume", fall)
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    state = preprocess(ScanFiles("sub-01", "T1w", scan), Preprocess(), tmp_path / "out")
    assert status.read(tmp_path / "out/status.json") == state
    assert state.state == "failed"
    assert type(error).__name__ in state.reasons[0]
    assert "log" in (state.remedy or "")
    assert {record.levelname: bool(record.exc_info) for record in caplog.records} == {"WARNING": False, "INFO": True}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 1 GiB"), "sub-01 needs more memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (StorageError("cannot write x"), "cannot write x"),
    ],
)
def test_a_fault_of_the_machine_is_none_of_the_scan(error, words, tmp_path, monkeypatch):
    def fall(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("brainuad.preprocess.scan.preprocess_volume", fall)
    scan = save(tmp_path / "scan.nii.gz", noise(20, 20, 20))
    with pytest.raises(BrainuadError, match=words):
        preprocess(ScanFiles("sub-01", "T1w", scan), Preprocess(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pipe_does_not_stop_the_job(tmp_path):
    os.mkfifo(tmp_path / "scan.nii.gz")
    state = preprocess(ScanFiles("sub-01", "T1w", tmp_path / "scan.nii.gz"), Preprocess(), tmp_path / "out")
    assert "pipe" in state.reasons[0]


def test_notes_of_the_files_are_in_the_status_also_of_a_scan_that_fails(tmp_path):
    image = nib.Nifti1Image(np.pad(noise(6, 6, 6), 20), np.diag([0.002, 0.002, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = ScanFiles("sub-01", "FLAIR", tmp_path / "scan.nii.gz", register_with="T1w", reference=tmp_path / "t1.nii.gz")
    nib.save(image, tmp_path / "t1.nii.gz")
    state = preprocess(scan, Preprocess(), tmp_path / "out")
    assert (state.state, "no head" in state.reasons[0]) == ("failed", True)
    assert [note.partition(" ")[0] for note in state.notes] == ["lengths", "t1.nii.gz:"]


@pytest.mark.usefixtures("placed")
def test_robex_that_is_not_installed(tmp_path, monkeypatch, ready):
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Preprocess(skullstrip=SkullStrip(backend="robex"))
    state = preprocess(ScanFiles("sub-01", "T1w", ready.path), settings, tmp_path / "out")
    assert state.state == "failed"
    assert state.reasons[0].startswith("ROBEX is not installed")
    assert "PATH" in (state.remedy or "")
