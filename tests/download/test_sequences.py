"""Sequences of a session, joined by the name of the scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brainuad.config.datasets import Bids, Known, Phantoms, Table
from brainuad.download import fetch
from brainuad.download.list_scans import list_scans
from brainuad.download.source_of import source_of
from brainuad.errors import InputError
from brainuad.formats import scans, volume


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def bids(root: Path, **settings: Any) -> list[scans.Scan]:
    found = Bids(source="bids", root=str(root), healthy=True, sequences=["FLAIR"], **settings)
    listed = source_of("x", found).find_scans()
    assert listed is not None
    return listed


def test_each_session_of_a_bids_folder_has_its_own_sequence(tmp_path: Path) -> None:
    names = [f"sub-1/ses-{n}/anat/sub-1_ses-{n}_{end}" for n in (1, 2) for end in ("T1w.nii.gz", "FLAIR.nii.gz")]
    touched(tmp_path, *names, "sub-2/anat/sub-2_acq-a_T1w.nii.gz")
    by_scan = {scan.scan: scan.sequence_files() for scan in bids(tmp_path)}
    assert by_scan["sub-1_ses-2"] == {"FLAIR": str(tmp_path / names[3])}
    assert by_scan["sub-2"] == {}


def test_remarks_say_of_which_sequence_they_are(tmp_path: Path) -> None:
    touched(tmp_path, *(f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in (1, 2)), "sub-1/anat/sub-1_FLAIR.nii.gz")
    source = source_of("x", Bids(source="bids", root=str(tmp_path), healthy=True, sequences=["FLAIR"]))
    source.find_scans()
    assert source.remarks
    assert all(remark.startswith("FLAIR: ") for remark in source.remarks)


def test_a_t2w_in_the_plane_of_functional_scans_is_one(tmp_path: Path) -> None:
    touched(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_inplaneT2.nii.gz")
    settings = Bids(source="bids", root=str(tmp_path), healthy=True, sequences=["T2w"])
    (scan,) = source_of("x", settings).find_scans() or []
    assert scan.sequence_files()["T2w"].endswith("inplaneT2.nii.gz")


def test_any_other_t2w_goes_before_one_in_the_plane_of_functional_scans(tmp_path: Path) -> None:
    touched(tmp_path, "sub-1/anat/sub-1_inplaneT2.nii.gz", "sub-1/anat/sub-1_acq-highres_T2w.nii.gz")
    settings = Bids(source="bids", root=str(tmp_path), healthy=True, modality="T2w")
    (scan,) = source_of("x", settings).find_scans() or []
    assert scan.image.endswith("acq-highres_T2w.nii.gz")


def test_each_sequence_of_a_known_data_set_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Known(source="ixi", root=str(tmp_path / "ixi"), healthy=True, sequences=["T2w"])
    asked: list[str] = []

    def fetched(remotes: list[Any], folder: Path, page: str) -> None:
        asked.extend(remote.path for remote in remotes)
        kind = asked[-1].removeprefix("IXI-").removesuffix(".tar")
        touched(folder, f"IXI002-Guys-0828-{kind}.nii.gz")

    monkeypatch.setattr(fetch, "fetch_files", fetched)
    fetch.fetch("x", settings, tmp_path / "note.json")
    assert asked == ["IXI-T1.tar", "IXI-T2.tar"]
    (scan,) = source_of("x", settings).find_scans() or []
    assert scan.sequence_files()["T2w"].endswith("IXI002-Guys-0828-T2.nii.gz")
    fetch.fetch("x", settings, tmp_path / "note.json")
    assert len(asked) == 2


def test_entities_of_the_first_sequence_do_not_bind_the_others(tmp_path: Path) -> None:
    touched(tmp_path, "sub-1/anat/sub-1_acq-a_T1w.nii.gz", "sub-1/anat/sub-1_FLAIR.nii.gz")
    (scan,) = bids(tmp_path, entities={"acq": "a"})
    assert scan.sequence_files()["FLAIR"].endswith("sub-1_FLAIR.nii.gz")


def test_a_sequence_that_no_session_has_is_refused(tmp_path: Path) -> None:
    touched(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_FLAIR.nii.gz")
    with pytest.raises(InputError, match="FLAIR"):
        bids(tmp_path)
    (tmp_path / "sub-2/anat/sub-2_FLAIR.nii.gz").unlink()
    with pytest.raises(InputError, match="FLAIR"):
        bids(tmp_path)


def test_a_table_has_a_column_for_each_sequence(tmp_path: Path) -> None:
    touched(tmp_path, "a.nii", "b.nii", "c.nii")
    path = tmp_path / "scans.tsv"
    path.write_text("subject\timage\tFLAIR\n1\ta.nii\tb.nii\n2\tc.nii\t\n")
    settings = Table(source="table", file=str(path), healthy=True, sequences=["FLAIR"])
    found = source_of("x", settings).find_scans()
    assert found is not None
    assert [scan.sequence_files() for scan in found] == [{"FLAIR": str(tmp_path / "b.nii")}, {}]
    path.write_text("subject\timage\n1\ta.nii\n")
    with pytest.raises(InputError, match="flair"):
        source_of("x", settings).find_scans()
    path.write_text("subject\timage\tflair\n1\ta.nii\tgone.nii\n")
    with pytest.raises(InputError, match=r"gone\.nii"):
        source_of("x", settings).find_scans()


def test_the_sequences_of_a_phantom_show_one_head(tmp_path: Path) -> None:
    settings = Phantoms(source="phantom", subjects=1, healthy=False, lesions="ms", spacing=4.0, sequences=["FLAIR"])
    list_scans("ms", settings, tmp_path / "subjects.tsv", 1)
    (scan,) = scans.read(tmp_path / "subjects.tsv")
    t1, flair = volume.read(scan.image), volume.read(scan.sequence_files()["FLAIR"])
    mask = volume.read_mask(scan.mask)
    assert volume.same_grid(t1, flair)
    shell = volume.read(scan.image).data > 0
    inside = mask.data
    around = shell & ~inside
    assert t1.data[inside].mean() < t1.data[around & (t1.data > 100)].mean()
    assert flair.data[inside].mean() > flair.data[around & (flair.data > 100)].mean()
