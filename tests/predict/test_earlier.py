"""What earlier calls of `brainuad predict` left in the output folder: what is kept, refused, and not read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brainuad.errors import InputError
from brainuad.formats import status
from brainuad.predict import outputs, record
from brainuad.predict.asked import Input
from brainuad.predict.earlier import Way, checksum, options_of, to_do
from brainuad.predict.options import Request
from brainuad.predict.record import ModelName, Record

MODEL = "0" * 64


@pytest.fixture
def item(tmp_path) -> Input:
    path = tmp_path / "T1.nii.gz"
    path.write_bytes(b"one")
    return Input("sub-T1", path)


def request(folder: Path, **options) -> Request:
    return Request(input=[folder], output=folder / "out", model=folder / "m", **options)


def finish(out: Path, item: Input, model: str = MODEL, **about) -> Path:
    """Write what a finished scan leaves, with its record."""
    place = out / item.scan / record.NAME
    outputs.describe(out, "tiny")
    name = ModelName(name="tiny", study="s", label="l", sha256=model)
    record.write(place, Record(scan=item.scan, file=item.image.name, model=name, state="alike", **about))
    place.with_name(status.NAME).write_text("{}")
    return place


def left(item: Input, asked: Request) -> list[str]:
    return [each.scan for each in to_do(asked, [item], [item], Way(MODEL, options_of(asked, ["rule"])))]


def fault(item: Input, asked: Request) -> str:
    with pytest.raises(InputError) as caught:
        left(item, asked)
    return str(caught.value)


def test_a_finished_scan_is_kept_if_its_file_and_the_options_are_the_same(item, tmp_path):
    asked = request(tmp_path, goes_on=True)
    finish(asked.output, item, input=checksum(item.image), options=options_of(asked, ["rule"]))
    assert left(item, asked) == []


@pytest.mark.parametrize("options", [{}, {"goes_on": True}, {"overwrite": True}, {"dry_run": True}], ids=str)
def test_results_never_replace_what_is_no_result(item, tmp_path, options):
    scan = tmp_path / "bids" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.write_bytes(b"raw")
    raw = Input("sub-01", scan)
    asked = replace(request(tmp_path, **options), input=[tmp_path / "bids"], output=tmp_path / "bids")
    assert "the output folder is the folder of the scans" in fault(raw, asked)
    assert "would replace sub-01_T1w.nii.gz" in fault(raw, replace(asked, input=[scan]))
    link = tmp_path / "link.nii.gz"
    link.symlink_to(scan)
    assert "would replace link.nii.gz" in fault(Input("sub-01", link), replace(asked, input=[link]))
    assert "sub-01 is not from `brainuad predict`" in fault(
        Input("sub-01", item.image), replace(asked, input=[item.image])
    )
    (tmp_path / "README.md").write_text("mine")
    assert "README.md is not from" in fault(item, replace(asked, input=[item.image], output=tmp_path))


def test_a_brain_mask_among_the_results_is_not_lost(item, tmp_path):
    asked = request(tmp_path, overwrite=True)
    mask = finish(asked.output, item).with_name("sub-T1_desc-mine_mask.nii.gz")
    mask.write_bytes(b"mask")
    assert "would replace sub-T1_desc-mine_mask.nii.gz" in fault(item, replace(asked, mask=mask))


def test_another_scan_of_the_same_name_is_refused(item, tmp_path):
    asked = request(tmp_path, goes_on=True)
    finish(asked.output, item, input=checksum(item.image))
    item.image.write_bytes(b"two")
    assert "other bytes" in fault(item, asked)
    assert left(item, replace(asked, goes_on=False, overwrite=True)) == ["sub-T1"]


@pytest.mark.parametrize(
    "other", [{"space": "mni"}, {"stripped": True}, {"registered": True}, {"volume": 1}, {"magnitude": True}], ids=str
)
def test_results_of_other_options_are_refused(item, tmp_path, other):
    asked = request(tmp_path, goes_on=True)
    finish(asked.output, item, options=options_of(asked, ["rule"]))
    assert next(iter(other)) in fault(item, replace(asked, **other))


def test_results_of_another_threshold_or_brain_mask_are_refused(item, tmp_path):
    asked = request(tmp_path, goes_on=True)
    finish(asked.output, item, options=options_of(asked, ["none"]))
    assert "thresholds none" in fault(item, asked)
    mask = tmp_path / "mask.nii.gz"
    mask.write_bytes(b"1")
    finish(asked.output, item, options=options_of(replace(asked, mask=mask), ["rule"]))
    assert "mask" in fault(item, asked)


@pytest.mark.parametrize("options", [{}, {"goes_on": True}, {"overwrite": True}], ids=str)
def test_results_of_two_models_are_not_mixed(item, tmp_path, options):
    asked = request(tmp_path, **options)
    finish(asked.output, replace(item, scan="sub-other"), model="1" * 64)
    assert "another model" in fault(item, asked)


def test_overwrite_replaces_results_of_another_model_and_broken_ones(item, tmp_path):
    asked = request(tmp_path, overwrite=True)
    place = finish(asked.output, item, model="1" * 64)
    assert left(item, asked) == ["sub-T1"]
    place.write_text("{")
    assert left(item, asked) == ["sub-T1"]


def test_broken_and_unfinished_records_are_left_out_of_the_table(item, tmp_path, caplog):
    good = finish(tmp_path, item)
    finish(tmp_path, replace(item, scan="sub-broken")).write_text("{")
    finish(tmp_path, replace(item, scan="sub-part")).with_name(status.NAME).unlink()
    assert [each.scan for each in record.read_all(tmp_path)] == [good.parent.name]
    assert "sub-broken is left out" in caplog.text
