"""Sequences of a session, joined by the name of the scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brainuad.config.datasets import Bids, Known, Phantoms, Table
from brainuad.config.load import build_study
from brainuad.download import fetch
from brainuad.download.list_scans import list_scans
from brainuad.download.source_of import source_of
from brainuad.errors import ConfigError, InputError
from brainuad.formats import scans, volume
from brainuad.normalize.split import draw_split
from brainuad.plan import Plan

DEMO = Path(__file__).parents[2] / "config.yaml"


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


def test_sessions_without_a_sequence_are_named_with_reasons_and_not_as_left_out(tmp_path: Path) -> None:
    touched(tmp_path, *(f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in (1, 2, 3)), "sub-1/anat/sub-1_FLAIR.nii.gz")
    touched(tmp_path, "sub-4/anat/sub-4_FLAIR.nii.gz")
    (tmp_path / "sub-2/anat/sub-2_FLAIR.nii.gz").symlink_to("gone")
    source = source_of("x", Bids(source="bids", root=str(tmp_path), healthy=True, sequences=["FLAIR"]))
    source.find_scans()
    left, fourth, head, second, third = source.remarks
    assert (left, head) == ("subjects left out: 1", "sessions without FLAIR: 2")
    for line, words in ((fourth, ("sub-4", "T1w")), (second, ("sub-2", "broken link")), (third, ("sub-3", "FLAIR"))):
        assert all(word in line for word in words)
    notes = {row.scan: row.note for row in source.make_scans(tmp_path / "out")}
    assert notes["sub-2"].startswith("FLAIR: sub-2_FLAIR.nii.gz")
    assert notes["sub-1"] == ""


@pytest.mark.parametrize("missing", ["leave_out_scan", "map_the_rest", "refuse"])
def test_a_plan_says_what_becomes_of_sessions_without_a_sequence(missing: str, tmp_path: Path) -> None:
    for n in range(8):
        touched(tmp_path, f"sub-{n}/anat/sub-{n}_T1w.nii.gz", *[f"sub-{n}/anat/sub-{n}_FLAIR.nii.gz"] * (n == 0))
    sets = {"one": {"source": "bids", "root": str(tmp_path), "healthy": True}}
    sets["one"]["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    study = {"study": "mine", "recipe": "mri_2mm", "models": {"zscore_atlas": None}, "missing": missing}
    plan = Plan(build_study(study | {"datasets": sets, "modalities": ["T1w", "FLAIR"]}, DEMO))
    told = plan.remarks("one")[-1]
    tested = {row.scan for row in draw_split(plan.scans["one"], plan.scan_set("one").split, 0) if row.role == "test"}
    kept = len(tested - {"sub-0"})
    assert missing in told
    assert (f"{kept} will be kept and {7 - kept} left out" in told) == (missing == "map_the_rest")
    assert "7 sessions" in told
    assert ("end the study" in told) == (missing == "refuse")


def test_notes_say_which_file_of_a_sequence_was_chosen(tmp_path: Path) -> None:
    touched(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii.gz", "sub-1/anat/sub-1_run-2_T1w.nii.gz")
    touched(tmp_path, "sub-1/anat/sub-1_run-1_FLAIR.nii.gz", "sub-1/anat/sub-1_run-2_FLAIR.nii.gz")
    touched(tmp_path, "sub-1/anat/sub-1_run-1_label-lesion_mask.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    touched(tmp_path, "sub-2/anat/sub-2_FLAIR.nii.gz", "sub-1/anat/sub-1_run-2_label-lesion_mask.nii.gz")
    settings = Bids(source="bids", root=str(tmp_path), healthy=False, sequences=["FLAIR"])
    list_scans("x", settings, tmp_path / "out/subjects.tsv")
    notes = {row.scan: row.note.split("; ") for row in scans.read(tmp_path / "out/subjects.tsv")}
    assert [each for each in notes["sub-1"] if "FLAIR" in each] == ["FLAIR: sub-1_run-1_FLAIR.nii.gz of 2 files"]
    assert notes["sub-1"][0] == "sub-1_run-1_T1w.nii.gz of 2 files"


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


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"entities": {"acq": "a"}}, "sub-1_FLAIR"),
        ({"entities": {"acq": "a", "desc": "preproc"}}, "sub-1_acq-b_desc-preproc_FLAIR"),
        ({"entities": {"acq": "a", "desc": "preproc"}, "entities_of": {"FLAIR": {"acq": "c"}}}, "sub-1_acq-c_FLAIR"),
        ({"entities": {"sub": 2}, "entities_of": {"FLAIR": {"acq": "b"}}}, "sub-2_acq-b_FLAIR"),
    ],
)
def test_entities_of_a_pipeline_bind_all_sequences_and_others_the_one_that_they_are_given_to(
    settings: dict[str, Any], chosen: str, tmp_path: Path
) -> None:
    for sub, names in {"1": ("", "_acq-b_desc-preproc", "_acq-c"), "2": ("_acq-b",)}.items():
        touched(tmp_path, *(f"sub-{sub}/anat/sub-{sub}{name}_FLAIR.nii.gz" for name in names))
    touched(tmp_path, "sub-1/anat/sub-1_acq-a_desc-preproc_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    (scan,) = bids(tmp_path, **settings)
    assert Path(scan.sequence_files()["FLAIR"]).name == f"{chosen}.nii.gz"


def test_entities_of_no_further_sequence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="T1w is none of the further"):
        bids(tmp_path, entities_of={"T1w": {"acq": "a"}})


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
    list_scans("ms", settings, tmp_path / "subjects.tsv")
    (scan,) = scans.read(tmp_path / "subjects.tsv")
    t1, flair = volume.read(scan.image), volume.read(scan.sequence_files()["FLAIR"])
    mask = volume.read_mask(scan.mask)
    assert volume.same_grid(t1, flair)
    shell = volume.read(scan.image).data > 0
    inside = mask.data
    around = shell & ~inside
    assert t1.data[inside].mean() < t1.data[around & (t1.data > 100)].mean()
    assert flair.data[inside].mean() > flair.data[around & (flair.data > 100)].mean()


def test_a_data_set_can_be_read_without_a_sequence(tmp_path: Path) -> None:
    ends = ("T1w.nii.gz", "T2w.nii.gz", "FLAIR.nii.gz")
    touched(tmp_path, *(f"sub-1/anat/sub-1_{end}" for end in ends))
    touched(tmp_path, "table.csv").joinpath("table.csv").write_text("subject,image,t2w,flair\n1,a.nii,b.nii,c.nii\n")
    touched(tmp_path, "a.nii", "b.nii", "c.nii")
    of = {"healthy": True, "sequences": ["T2w", "FLAIR"], "without": ["FLAIR"]}
    for settings in (
        Bids.model_validate({"source": "bids", "root": str(tmp_path), **of}),
        Table.model_validate({"source": "table", "file": str(tmp_path / "table.csv"), **of}),
        Phantoms.model_validate({"source": "phantom", "subjects": 1, **of}),
    ):
        source = source_of("x", settings)
        (scan,) = source.make_scans(tmp_path / "made") if source.makes_files else source.find_scans() or []
        assert [*scan.sequence_files()] == ["T2w"], settings.source
        assert "FLAIR" in source.remarks[-1] + source.read_without()[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"without": ["T1w"]}, "without"),
        ({"without": ["FLAIR"], "split": {"train": 0.5, "validation": 0.5}}, "whole sessions"),
        ({"without": ["FLAIR"], "missing": "leave_out_scan"}, "map_the_rest"),
    ],
)
def test_what_cannot_be_read_without_a_sequence(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    whole = {"source": "phantom", "subjects": 4, "healthy": True, "split": {"train": 0.5, "validation": 0.5}}
    lacking = {"source": "phantom", "subjects": 2, "healthy": True, "seed": 1}
    study = {"study": "mine", "recipe": "mri_2mm", "models": {"zscore_atlas": None}, "modalities": ["T1w", "FLAIR"]}
    missing = changes.pop("missing", "map_the_rest")
    sets = {"whole": whole, "lacking": {**lacking, **changes}}
    with pytest.raises(ConfigError, match=words):
        build_study(study | {"datasets": sets, "missing": missing}, DEMO)
