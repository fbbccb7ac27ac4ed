"""Further sequences of a session: their place on the template's grid, and what is wrong with them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from good_numbers import GOOD
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainuad.config.reading import Reading
from brainuad.config.recipe import Preprocess, Quality
from brainuad.errors import InputError
from brainuad.formats import quality, scans, status, volume
from brainuad.formats.raw import read_raw
from brainuad.formats.scans import Scan
from brainuad.formats.status import SequenceStatus, Status
from brainuad.formats.volume import Volume
from brainuad.images.phantom import Phantom, make_phantom
from brainuad.preprocess.pipeline import PreprocessedScan, centre, preprocess_volume
from brainuad.preprocess.quality.table import write_quality_table
from brainuad.preprocess.quality.verdict import judged, sequence_verdict, unusable_sequences
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.sequences import Session

SETTINGS = Preprocess(spacing=2.0)
phantom = cache(make_phantom)


@cache
def first() -> PreprocessedScan:
    t1 = phantom(5, "T1w")
    return preprocess_volume(Volume(t1.image, t1.affine), "T1w", SETTINGS)


def posed(scan: Phantom, thick: bool) -> tuple[Volume, np.ndarray]:
    """The scan in another pose, perhaps in slices of 5 mm, and the transform from its world to that."""
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_euler("xyz", [8, -6, 9], degrees=True).as_matrix()
    truth[:3, 3] = (9, -7, 8)
    data, affine = scan.image, scan.affine
    if thick:
        index = np.meshgrid(
            *(np.arange(n, dtype=float) for n in (*data.shape[:2], data.shape[2] // 2.5)), indexing="ij"
        )
        data = ndimage.map_coordinates(
            ndimage.gaussian_filter1d(data, 1.0, axis=2), [*index[:2], 2.5 * index[2]], order=1
        )
        affine = affine @ np.diag([1, 1, 2.5, 1])
    return Volume(data.astype(np.float32), truth @ affine), truth


def test_a_sequence_in_another_pose_is_brought_to_the_scan() -> None:
    moved, truth = posed(phantom(5, "T2w"), thick=True)
    placed = Session(first(), SETTINGS).place(moved, "T2w")
    index = np.argwhere(first().brain)[::200]
    points = first().registered.template.affine @ np.column_stack([index, np.ones(len(index))]).T
    wanted = truth @ first().registered.transform.matrix
    error = np.linalg.norm(((wanted - placed.transform.matrix) @ points)[:3], axis=0)
    assert error.mean() < 0.7
    assert error.max() < 2.0
    assert placed.registered
    assert not placed.image[~first().brain].any()


def test_a_move_to_the_middle_of_the_grid_is_no_fault_of_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    flair = phantom(5, "FLAIR")
    volume = Volume(flair.image, flair.affine)
    plain = Session(first(), SETTINGS).place(volume, "FLAIR")
    monkeypatch.setattr("brainuad.preprocess.pipeline.shift_to_middle", lambda _: (2, -3))
    moved = Session(centre(first()), SETTINGS).place(volume, "FLAIR")
    np.testing.assert_allclose(moved.image[2:, :-3], plain.image[:-2, 3:], rtol=1e-3, atol=1e-2)
    for name in ("nmi", "half_turn_ratio"):
        assert moved.quality[name] == pytest.approx(plain.quality[name])


def test_what_the_header_says_is_taken_and_checked() -> None:
    flair = phantom(5, "FLAIR")
    there = Session(first(), SETTINGS).place(Volume(flair.image, flair.affine), "FLAIR")
    moved, _ = posed(flair, thick=False)
    wrong = Session(first(), SETTINGS, aligned=True).place(moved, "FLAIR")
    assert not there.registered
    assert not wrong.registered
    assert there.quality["shift_ratio"] < 1 < wrong.quality["shift_ratio"]
    told = [sequence_verdict(SequenceStatus(quality=each.quality), Quality(), "FLAIR") for each in (there, wrong)]
    assert not told[0].warned
    assert told[1].warned or told[1].failed


def test_a_session_is_written_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    t1, flair = phantom(5, "T1w"), phantom(5, "FLAIR")
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("T1w", "FLAIR", "T2w", "T1ce")}
    volume.write(paths["T1w"], t1.image, t1.affine)
    volume.write(paths["T2w"], t1.image, t1.affine)  # a copy under another name
    volume.write(paths["FLAIR"], flair.image, flair.affine)
    paths["T1ce"].write_bytes(b"no scan")
    further = {name: paths.get(name) for name in ("FLAIR", "T2w", "T1ce", "PDw")}
    scan = ScanFiles("sub-1", "T1w", paths["T1w"], sequences=further)
    state = preprocess(scan, SETTINGS, tmp_path / "out" / "sub-1")
    assert {name for name, told in state.sequences.items() if told.quality} == {"FLAIR"}
    assert state.sequences["FLAIR"].content == read_raw(paths["FLAIR"], Reading()).content
    assert "T1w" in state.sequences["T2w"].reasons[0]
    assert all(state.sequences[name].reasons for name in ("T1ce", "PDw"))
    files = status.checked_paths(tmp_path / "out" / "sub-1")
    image = volume.read(files[status.sequence_key("FLAIR")])
    brain = volume.read_mask(files[status.BRAIN])
    assert volume.same_grid(image, brain)
    assert np.ptp(image.data[brain.data]) > 0
    assert unusable_sequences(state, Quality()) == ["T2w", "T1ce", "PDw"]
    assert judged(state, Quality(), "leave_out_scan").state == "failed"
    assert judged(state, Quality(), "map_the_rest").state == "warned"


def test_what_the_study_says_of_missing_sequences_is_done(tmp_path: Path) -> None:
    lacking = Status(scan="sub-1", modality="T1w", state="ok", quality=GOOD, files={"image": "a"})
    told = {"FLAIR": SequenceStatus(reasons=["there is none"]), "T1ce": SequenceStatus(quality=GOOD, content="abc")}
    lacking = lacking.model_copy(update={"sequences": told})
    (tmp_path / "sub-1").mkdir()
    status.write(tmp_path / "sub-1" / status.NAME, lacking)
    scans.write(tmp_path / "table.tsv", [Scan("sub-1", "sub-1", "ms")])
    out, folders = tmp_path / "quality.tsv", {"sub-1": tmp_path / "sub-1"}
    for missing, state in (("leave_out_scan", "failed"), ("map_the_rest", "warned")):
        write_quality_table(tmp_path / "table.tsv", folders, Quality(), out, missing)
        (row,) = quality.read(out)
        assert (row.state, row.missing, row.sequence_contents) == (state, "FLAIR", "T1ce=abc")
        assert "FLAIR" in row.reasons
    with pytest.raises(InputError, match="sub-1"):
        write_quality_table(tmp_path / "table.tsv", folders, Quality(), out, "refuse")
