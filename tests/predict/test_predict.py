"""`brainuad predict`: what is written of each scan, what happens to bad ones, and to what is there already."""

from __future__ import annotations

import base64
import errno
import html
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import center_of_mass
from stub_model import AFFINE, MOVED, OTHER, OWN, RULE, Stub, found, manifest, rows

from brainuad.cli import main
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.files import sha256
from brainuad.formats.model_file import FileThreshold, ModelFile
from brainuad.formats.status import SequenceStatus
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.predict import command, describe, page, record
from brainuad.predict.found import Found, FurtherSequence


def test_a_scan_gets_maps_on_its_own_grid_a_record_and_a_row(predict):
    code, out = predict("sub-01_T1w")
    assert code == 0
    about = record.read(out / "sub-01" / record.NAME)
    assert set(about.files) == {"anomaly_map", "brain_mask", f"mask_{RULE}", f"mask_{OTHER}", "transform", "viewer"}
    assert all((out / path).is_file() for path in about.files.values())
    for name in ("anomaly_map", f"mask_{RULE}"):
        image = nib.load(out / about.files[name])
        assert image.shape == (25, 24, 22)
        assert np.array_equal(image.affine, OWN)
    assert about.threshold == RULE
    assert [finding["peak"] for finding in about.findings] == [2.5, 1]
    assert about.marked_ml == pytest.approx(29 * 0.064)
    row = rows(out)["sub-01"]
    assert (row["state"], row["findings"], row["p_healthy"]) == ("alike", "2", "0.5")
    assert {path.name for path in out.iterdir()} >= {"contact_sheets", "dataset_description.json", "sub-01_view.html"}


def test_a_preview_is_drawn_if_asked_for_and_goes_with_its_result(predict):
    _, out = predict("a", preview="", report="none")
    about = record.read(out / "sub-a" / record.NAME)
    with Image.open(out / about.files["preview"]) as drawn:
        colours = np.asarray(drawn)
    assert (colours == (255, 150, 0)).all(axis=2).sum() > 50  # the outline of the mask
    assert predict(overwrite="")[0] == 0
    assert not list(out.glob("*.png"))


def test_maps_in_both_spaces_and_the_reconstruction_if_asked_for(predict):
    code, out = predict("a", space="both", save_reconstruction="", threshold="fixed:1.5", report="none")
    assert code == 0
    about = record.read(out / "sub-a" / record.NAME)
    assert "space-MNI152NLin2009aSym" in about.files["anomaly_map_template"]
    both = ("mask_fixed:1.5", "reconstruction")
    assert {*both, *(f"{name}_template" for name in both)} <= set(about.files)
    assert about.marked_ml == pytest.approx(27 * 0.064)
    assert not list(out.glob("*.html"))


def test_a_bad_scan_is_listed_and_stops_no_other(predict, caplog):
    code, out = predict("a", "bad", "odd", "strange")
    assert code == 1
    found = rows(out)
    assert {name: row["state"] for name, row in found.items()} == {
        "sub-a": "alike", "sub-bad": "failed", "sub-odd": "failed", "sub-strange": "doubtful",
    }  # fmt: skip
    assert "no head" in found["sub-bad"]["remarks"]
    assert "unforeseen" in found["sub-odd"]["remarks"]
    assert "histogram" in found["sub-strange"]["remarks"]
    assert {path.name for path in (out / "sub-bad").iterdir()} == {record.NAME, "status.json"}


def test_results_that_are_there_are_kept_replaced_or_refused(predict, capsys):
    code, out = predict("a")
    first = (out / "sub-a" / record.NAME).stat().st_ino
    assert code == 0
    assert predict()[0] == 1
    assert "--overwrite" in capsys.readouterr().err
    assert predict("b", **{"continue": ""})[0] == 0
    assert (out / "sub-a" / record.NAME).stat().st_ino == first
    assert set(rows(out)) == {"sub-a", "sub-b"}
    assert predict(overwrite="", threshold="none", report="none")[0] == 0
    assert not list(out.glob("*.html"))
    assert not list(out.glob("*/anat/*lesion*"))
    assert rows(out)["sub-a"]["findings"] == ""


def test_a_scan_that_fails_under_overwrite_keeps_its_earlier_result(predict, monkeypatch, caplog, capsys):
    _, out = predict("a", "b", report="none")
    before = {path: path.read_bytes() for path in (out / "sub-a").rglob("*") if path.is_file()}
    monkeypatch.setattr(Stub, "predict", lambda *_: 1 / 0)
    assert predict(overwrite="")[0] == 1
    assert {path: path.read_bytes() for path in (out / "sub-a").rglob("*") if path.is_file()} == before
    assert rows(out)["sub-a"]["state"] == "alike"
    assert "sub-a failed" in caplog.text + capsys.readouterr().err  # where it goes depends on who set up logs before


def test_a_kept_result_of_another_model_is_no_row_of_the_table(predict, monkeypatch):
    _, out = predict("a", report="none")
    path = out / "sub-a" / record.NAME
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    monkeypatch.setattr(Stub, "predict", lambda *_: 1 / 0)
    assert predict(overwrite="")[0] == 1
    assert record.read(path).model.sha256 == "1" * 64
    assert rows(out)["sub-a"]["state"] == "failed"


def test_a_scan_that_failed_is_tried_again(predict, monkeypatch):
    assert predict("bad")[0] == 1
    monkeypatch.setattr(Stub, "predict", lambda self, path, _: found(path, self.thresholds([RULE]), []))
    code, out = predict(**{"continue": ""})
    assert (code, rows(out)["sub-bad"]["state"]) == (0, "alike")


def test_results_of_another_model_are_not_continued(predict, capsys):
    _, out = predict("a")
    path = out / "sub-a" / record.NAME
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    assert predict(**{"continue": ""})[0] == 1
    assert "another model" in capsys.readouterr().err


def test_a_fault_while_writing_leaves_nothing(predict, monkeypatch):
    monkeypatch.setattr(command.page, "write", lambda *_: 1 / 0)
    code, out = predict("a")
    assert (code, rows(out)["sub-a"]["state"]) == (1, "failed")
    assert not list(out.rglob("*.nii.gz"))
    assert not list(out.glob(".part-*"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "--device"),
        (OSError(errno.ENOSPC, "No space left on device"), "space"),
    ],
    ids=["memory", "gpu", "disk"],
)
def test_faults_of_the_machine_stop_all_and_keep_earlier_results(predict, monkeypatch, capsys, error, told):
    def fails(*_: object) -> Found:
        raise error

    out = predict("a", "b", report="none")[1]
    monkeypatch.setattr(Stub, "predict", fails)
    assert predict(overwrite="")[0] == 1
    assert told in capsys.readouterr().err
    assert {row["state"] for row in rows(out).values()} == {"alike"}
    assert record.read(out / "sub-a" / record.NAME).state == "alike"


def test_the_record_says_which_file_and_which_options(predict, tmp_path):
    about = record.read(predict("a", report="none", space="mni")[1] / "sub-a" / record.NAME)
    assert about.input == sha256(tmp_path / "in" / "a.nii.gz")
    assert (about.options["space"], about.options["thresholds"][0]) == ("mni", RULE)


def test_labels_for_a_single_file_are_wrong_usage(tmp_path, capsys):
    (tmp_path / "a.nii").touch()
    call = ["predict", "-i", str(tmp_path / "a.nii"), "-o", str(tmp_path / "out"), "-m", "x"]
    assert main([*call, "--participant-label", "01"]) == 2
    assert main([*call, "--session-label", "1"]) == 2


def test_a_gpu_is_counted_among_those_that_are_allowed(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(InputError, match="cuda:2"):
        command._accelerator("cuda:2")
    assert command._accelerator("cuda:1") == "gpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


def test_without_a_gpu_the_message_names_the_option(predict, monkeypatch, capsys):
    def lacks(*_: object) -> None:
        raise InputError("there is no GPU here", do="set compute.accelerator to auto or cpu")

    monkeypatch.setattr(command, "Model", lacks)
    assert predict("a", device="cuda")[0] == 1
    assert "--device cpu" in capsys.readouterr().err


def test_a_dry_run_refuses_an_unknown_threshold(predict, capsys):
    assert predict("a", dry_run="", threshold="healthy:0.5")[0] == 1
    assert RULE in capsys.readouterr().err


def test_a_dry_run_writes_nothing(predict, capsys):
    code, out = predict("a", "b", dry_run="")
    assert code == 0
    assert not out.exists()
    assert "sub-b" in capsys.readouterr().out


def test_a_dry_run_counts_and_names_what_cannot_be_read(predict, tmp_path, capsys):
    (tmp_path / "in/gone.nii.gz").symlink_to("nowhere")
    assert predict("a", dry_run="")[0] == 0
    said = capsys.readouterr().out
    assert "gone.nii.gz: it is a broken link" in said
    assert "1 of 2 scans would be mapped" in said


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"num_parts": "2"}, 2, "--part-id"),
        ({"intensity_offset": "nan"}, 2, "--intensity-offset"),
        ({"modality": "FLAIR"}, 1, "--modality says FLAIR"),
        ({"mask": "nowhere.nii.gz"}, 1, "there is no such file"),
        ({"mask": "."}, 1, "it is a folder"),
    ],
    ids=str,
)
def test_options_that_fit_nothing_are_refused_before_a_scan_is_read(predict, capsys, options, code, words):
    found, out = predict("a", dry_run="", **options)
    assert (found, out.exists()) == (code, False)
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_run_that_is_stopped_says_how_to_go_on(predict, monkeypatch, capsys):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stub, "predict", stop)
    assert predict("a")[0] == 130
    assert "--continue maps the rest" in capsys.readouterr().out


def test_a_name_as_long_as_file_systems_allow_is_mapped(predict):
    code, out = predict("x" * 240, "x" * 239 + "y", preview="")
    assert code == 0
    assert len(rows(out)) == 2


def test_parts_make_one_table(predict):
    assert predict("a", "b", "c", num_parts="2", part_id="0")[0] == 0
    code, out = predict(num_parts="2", part_id="1")
    assert (code, set(rows(out))) == (0, {"sub-a", "sub-b", "sub-c"})


@pytest.mark.parametrize(
    "options",
    [
        {"continue": "", "overwrite": ""},
        {"num_parts": "2", "part_id": "2"},
        {"device": "tpu"},
        {"modality": "T9"},
        {"space": "moon"},
        {"threads": "0"},
    ],
    ids=str,
)
def test_wrong_usage_ends_with_2(predict, options, capsys):
    assert predict("a", **options)[0] == 2


def test_short_names_of_thresholds():
    assert command.wanted_thresholds("healthy:0.98", manifest()) == [RULE]
    assert command.wanted_thresholds(OTHER, manifest()) == [OTHER]
    assert command.wanted_thresholds("fixed:2", manifest()) == ["fixed:2"]
    assert command.wanted_thresholds("none", manifest()) == []
    assert command.wanted_thresholds(None, manifest())[0] == RULE
    for wrong in ("fixed:x", "fixed:nan", "healthy:0.9", "healthy"):
        with pytest.raises(InputError):
            command.wanted_thresholds(wrong, manifest())


def test_the_strictest_rule_of_a_kind_comes_first():
    values = {"conformal_0.02_of_0.1": 1.0, "conformal_0.1_of_0.2": 2.0, OTHER: 9.0}
    thresholds = {rule: FileThreshold(value=value, source="x", scans=1) for rule, value in values.items()}
    about = manifest().model_copy(update={"thresholds": thresholds})
    assert command.wanted_thresholds(None, about) == ["conformal_0.1_of_0.2", "conformal_0.02_of_0.1", OTHER]
    assert command.wanted_thresholds("conformal:0.02", about) == ["conformal_0.02_of_0.1"]
    assert command.wanted_thresholds("conformal:0.1", about) == ["conformal_0.1_of_0.2"]


def bytes_of(view: dict, name: str) -> np.ndarray:
    """A picture of the page as a volume, as the page's script reads it."""
    with Image.open(io.BytesIO(base64.b64decode(view[name].partition(",")[2]))) as picture:
        sheet = np.asarray(picture.convert("L"))
    nx, ny, nz = view["shape"]
    tiles = [
        sheet[z // view["columns"] * ny : (z // view["columns"] + 1) * ny, z % view["columns"] * nx :][:, :nx]
        for z in range(nz)
    ]
    return np.stack([tile[::-1].T for tile in tiles], axis=2)


def test_the_page_needs_no_other_file_and_shows_findings_where_they_are(predict):
    _, out = predict("sub-01_T1w", "strange")
    text = (out / "sub-01_view.html").read_text()
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "histogram" in (out / "sub-strange_view.html").read_text()
    view = json.loads(re.search(r'id="view-data">(.*?)</script>', text, re.DOTALL)[1])
    mask, steps = bytes_of(view, "mask"), bytes_of(view, "map")
    first = record.read(out / "sub-01" / record.NAME).findings[0]
    assert mask[tuple(view["findings"][0])] == 255
    assert steps[tuple(view["findings"][0])] > 200
    in_scan = (np.array(view["toScan"]) @ [*view["findings"][0], 1])[:3]
    assert np.abs(in_scan - first["peak_scan_mm"]).max() <= 2.5  # half a voxel
    assert np.abs((np.array(view["toMni"]) @ [*view["findings"][0], 1])[:3] - first["peak_mni_mm"]).max() <= 2.5
    spot = np.array(center_of_mass(steps > 150))
    true = MOVED @ AFFINE @ [9, 13, 11, 1]
    assert np.linalg.norm((np.array(view["toScan"]) @ [*spot, 1] - true)[:3]) < 3


def test_the_grid_of_the_page_keeps_thick_slices_and_stays_small(monkeypatch):
    brain = np.zeros((100, 100, 20), bool)
    brain[20:80, 10:90, 2:18] = True
    affine = np.diag([1.0, 1.0, 6.0, 1.0])
    grid = page.view_grid(Volume(np.zeros(brain.shape), affine), brain)
    assert np.array_equal(grid.affine[:3, :3], affine[:3, :3])
    monkeypatch.setattr(page, "MOST_VOXELS", 20_000)
    small = page.view_grid(Volume(np.zeros(brain.shape), affine), brain)
    assert np.prod(small.shape) <= 20_000
    assert small.affine[2, 2] == 6
    corner = np.array(grid.affine @ [-0.5, -0.5, -0.5, 1])
    assert np.allclose(small.affine @ [-0.5, -0.5, -0.5, 1], corner)


def test_a_result_lists_findings_and_shows_its_viewer(tmp_path, monkeypatch):
    path, opened = tmp_path / "sub-07_T1w.nii.gz", []
    nib.save(nib.Nifti1Image(np.arange(13_200, dtype=np.int16).reshape(25, 24, 22), OWN), path)
    made = replace(found(path, {RULE: 0.5, OTHER: 2.2}, ["a doubt"]), file=path.name)
    assert [len(made.findings()), len(made.findings(OTHER))] == [2, 1]
    monkeypatch.setattr(describe.webbrowser, "open", opened.append)
    shown = made.show()
    assert opened == [shown.as_uri()]
    text = shown.read_text()
    shutil.rmtree(shown.parent)
    assert "sub-07" in text
    assert "a doubt" in text
    frame = made._repr_html_()
    assert html.unescape(frame).count("<html") == 1
    assert frame.count("<") == 1  # all else is escaped, and no page of its own in the notebook
    assert 'sandbox="allow-scripts"' in frame


def test_a_result_shows_itself_in_a_notebook(tmp_path, monkeypatch):
    path, shown = tmp_path / "a.nii.gz", []
    nib.save(nib.Nifti1Image(np.arange(13_200, dtype=np.int16).reshape(25, 24, 22), OWN), path)
    made = found(path, {}, [])
    monkeypatch.setitem(sys.modules, describe.NOTEBOOK, ModuleType("ipykernel"))
    display = ModuleType("IPython.display")
    display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert made.show() is None
    assert shown == [made]


FLAIR_MOVED = np.eye(4)
FLAIR_MOVED[:3, 3] = (10, 0, 0)
"""From the template's world to that of the FLAIR."""


class SessionStub(Stub):
    """In place of a model that takes T1w and FLAIR."""

    def predict(self, files, options):
        made = found(files["T1w"], self.thresholds(options.thresholds), [])
        further = {}
        if "FLAIR" in files:
            flair = volume.read(files["FLAIR"])
            own, told = Affine(FLAIR_MOVED), SequenceStatus(quality={"nmi": 1.1}, registered=True)
            further = {"FLAIR": FurtherSequence(flair, files["FLAIR"].name, made.prepared.image, own, told)}
        names = {name: path.name for name, path in files.items()}
        return replace(made, prepared=replace(made.prepared, further=further), files=names)


@pytest.fixture
def session(predict, tmp_path, monkeypatch):
    """Maps sessions of T1w and FLAIR; one voxel of the FLAIR is bright, at the first finding."""
    signs = {"T1w": "dark", "FLAIR": "bright"}
    file = ModelFile(manifest().model_copy(update={"sequences": [*signs], "signs": signs}), {}, {}, {}, "0" * 64)
    monkeypatch.setattr(command.source, "read", lambda _: file)
    monkeypatch.setattr(command, "Model", SessionStub)
    data, affine = np.zeros((24, 26, 22), np.float32), FLAIR_MOVED @ AFFINE
    data[9, 13, 11] = 100

    def run(*names: str, **options: str) -> tuple[int, Path]:
        for name in names:
            nib.save(nib.Nifti1Image(data, affine), tmp_path / "in" / f"{name}.nii.gz")
        return predict(**options)

    return run


def test_a_session_is_recorded_with_all_its_files(session, predict, tmp_path):
    predict("sub-01_T1w", "sub-02_T1w")
    code, out = session("sub-01_FLAIR", overwrite="", space="both")
    assert code == 0
    about = record.read(out / "sub-01" / record.NAME)
    assert about.sequences == {"T1w": "sub-01_T1w.nii.gz", "FLAIR": "sub-01_FLAIR.nii.gz"}
    raw = json.loads((out / about.files["anomaly_map"].replace(".nii.gz", ".json")).read_text())["RawSources"]
    assert raw == ["sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz"]
    own = json.loads((out / about.files["preprocessed_scan_FLAIR_template"].replace(".nii.gz", ".json")).read_text())
    assert own["RawSources"] == ["sub-01_FLAIR.nii.gz"]
    assert (out / about.files["transform_FLAIR"]).is_file()
    state = json.loads((out / "sub-01" / "status.json").read_text())
    assert state["sequences"]["FLAIR"]["registered"]
    assert record.read(out / "sub-02" / record.NAME).sequences == {"T1w": "sub-02_T1w.nii.gz"}
    session("sub-02_FLAIR")
    assert predict(**{"continue": "", "space": "both"})[0] == 1  # another input by the same name


def test_a_dry_run_says_which_sequences_a_session_has(session, predict, capsys):
    predict("sub-01_T1w", "sub-02_T1w", dry_run="")
    session("sub-01_FLAIR", "sub-03_FLAIR", dry_run="")
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("sub-")}
    assert "T1w and FLAIR" in shown["sub-01"]
    assert "lacks FLAIR" in shown["sub-02"]
    assert "lacks T1w" in shown["sub-03"]


def test_files_of_a_session_are_given_one_by_one(session, predict, tmp_path, capsys):
    predict("sub-01_T1w", dry_run="")
    session("sub-01_FLAIR", dry_run="")
    files = [text for name in ("T1w", "FLAIR") for text in ("-i", str(tmp_path / "in" / f"sub-01_{name}.nii.gz"))]
    call = ["predict", *files, "-o", str(tmp_path / "one"), "-m", "x"]
    assert main([*call, "--modality", "T1w"]) == 2
    assert main(call) == 0
    assert main(["predict", *files[:2], "-o", str(tmp_path / "two"), "-m", "x"]) == 1
    assert "several" in capsys.readouterr().err
    assert set(rows(tmp_path / "one")) == {"sub-01"}


def test_the_page_shows_each_sequence_in_its_place(session, predict):
    predict("sub-01_T1w", "sub-02_T1w", dry_run="")
    _, out = session("sub-01_FLAIR")
    texts = [(out / f"sub-0{number}_view.html").read_text() for number in (1, 2)]
    assert ['id="sequence"' in text for text in texts] == [True, False]
    view, one = (json.loads(re.search(r'id="view-data">(.*?)</script>', text, re.DOTALL)[1]) for text in texts)
    assert view["names"] == ["T1w", "FLAIR"]
    assert not {"names", "further"} & one.keys()
    (address,) = view["further"]
    picture = bytes_of({**view, "further": address}, "further")
    brightest = np.unravel_index(picture.argmax(), picture.shape)
    assert np.abs(np.array(brightest) - view["findings"][0]).max() <= 1


def test_a_page_with_much_noise_is_coarser_and_not_too_large(session, predict, monkeypatch):
    predict("sub-01_T1w", dry_run="")
    monkeypatch.setattr(page, "MOST_VOXELS", 8000)
    monkeypatch.setattr(page, "LARGEST", 100)
    _, out = session("sub-01_FLAIR")
    text = (out / "sub-01_view.html").read_text()
    view = json.loads(re.search(r'id="view-data">(.*?)</script>', text, re.DOTALL)[1])
    assert np.prod(view["shape"]) <= 2000
