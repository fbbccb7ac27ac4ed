"""What a person sees of a data set: a table with a row per scan, and sheets with the worst on top."""

from __future__ import annotations

import numpy as np
from good_numbers import GOOD
from PIL import Image

from brainuad.config.recipe import Quality
from brainuad.figures.unrecognisable import unrecognisable
from brainuad.formats import quality, scans, status
from brainuad.formats.scans import Scan
from brainuad.preprocess.quality.table import write_quality_table
from brainuad.preprocess.review import contact_sheet

BLUE = (10, 20, 250)


def numbers(i, state):
    """Of scan `i`, which is of this state by the usual limits; `noise` tells its number."""
    if state == "failed":
        return {}
    measured = {name: value for name, value in GOOD.items() if name != "ghosting_ratio"}
    return measured | {"noise_ratio": 0.001 * i, "rotation_deg": 60.0 if state == "warned" else 0.0}


def preprocessed(root, count, bad):
    """Folders as preprocess leaves them; `bad`: state and reason by number, and no picture where there is no reason."""
    folders, rows = {}, []
    for i in range(count):
        name = f"sub-{i:03d}"
        state, reason = bad.get(i, ("ok", ""))
        about = {"state": state, "reasons": [reason] * bool(reason), "quality": numbers(i, state)}
        about["files"] = {"image": "x"} if about["quality"] else {}
        found = status.Status(scan=name, modality="T1w", **about)
        status.write(root / "pre" / name / status.NAME, found)
        if not (state == "failed" and reason == "no head"):
            Image.new("RGB", (300, 110), BLUE).save(root / "pre" / name / "overlay.png")
        folders[name] = root / "pre" / name
        rows.append(Scan(name, name, "ixi"))
    rows.append(Scan("sub-gone", "sub-gone", "ixi", state="failed", note="no *_T1w.nii.gz in anat/"))
    rows.append(Scan("sub-out", "sub-out", "ixi"))
    scans.write(root / "table.tsv", rows)
    return folders


def test_a_row_per_scan_worst_first(tmp_path):
    folders = preprocessed(tmp_path, 6, {4: ("failed", "no head"), 2: ("warned", "the head leans; a bit")})
    write_quality_table(tmp_path / "table.tsv", folders, Quality(), tmp_path / "quality.tsv")
    rows = quality.read(tmp_path / "quality.tsv")
    assert [row.scan for row in rows[:3]] == ["sub-004", "sub-gone", "sub-002"]
    assert [row.state for row in rows] == ["failed"] * 2 + ["warned"] + ["ok"] * 4
    assert rows[1].reasons == "no *_T1w.nii.gz in anat/"
    assert rows[2].numbers["noise_ratio"] == 0.002
    assert "ghosting_ratio" not in rows[2].numbers, "what was not measured is empty"
    assert [row.has_image for row in rows[:3]] == [False, None, True]


def test_sheets_hold_sixty_and_colour_the_bad(tmp_path):
    folders = preprocessed(tmp_path, 65, {30: ("failed", "no head"), 40: ("warned", "leans")})
    write_quality_table(tmp_path / "table.tsv", folders, Quality(), tmp_path / "quality.tsv")
    contact_sheet.write_contact_sheets("ixi", tmp_path / "quality.tsv", tmp_path / "pre", tmp_path / "sheets")
    assert sorted(p.name for p in (tmp_path / "sheets").glob("*.png")) == ["page-1.png", "page-2.png"]
    first, second = (np.asarray(Image.open(tmp_path / "sheets" / name)) for name in ("page-1.png", "page-2.png"))
    assert first.shape[0] > 5 * second.shape[0]
    assert max(first.shape) < 3000

    def corner(page, place):
        x = contact_sheet.GAP + place % contact_sheet.COLUMNS * (contact_sheet.WIDTH + contact_sheet.GAP)
        y = (
            contact_sheet.TITLE_HEIGHT
            + contact_sheet.GAP
            + place // contact_sheet.COLUMNS * (contact_sheet.HEIGHT + contact_sheet.CAPTION + contact_sheet.GAP)
        )
        return tuple(page[y, x]), tuple(page[y + contact_sheet.HEIGHT // 2, x + contact_sheet.WIDTH // 2])

    colours = contact_sheet.COLOURS
    assert [corner(first, i)[0] for i in range(4)] == [colours["failed"]] * 2 + [colours["warned"], colours["ok"]]
    assert corner(first, 0)[1] != BLUE, "a scan without a picture has its reason there"
    assert [corner(first, i)[1] for i in (2, 59)] == [BLUE] * 2


def test_a_set_of_which_nothing_came_has_an_empty_sheet(tmp_path):
    scans.write(tmp_path / "table.tsv", [])
    write_quality_table(tmp_path / "table.tsv", {}, Quality(), tmp_path / "quality.tsv")
    assert quality.read(tmp_path / "quality.tsv") == []
    contact_sheet.write_contact_sheets("ixi", tmp_path / "quality.tsv", tmp_path / "pre", tmp_path / "sheets")
    assert (tmp_path / "sheets" / "page-1.png").exists()


def test_long_reasons_are_cut_to_what_fits():
    lines = contact_sheet._wrapped("word " * 100, 2).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert max(map(len, lines)) <= contact_sheet.LINE_LENGTH
    assert max(map(len, contact_sheet._wrapped("x" * 200, 2).splitlines())) == contact_sheet.LINE_LENGTH


def test_no_detail_of_a_failed_scan_is_drawn_but_its_contours():
    rng = np.random.default_rng(0)
    detail = np.repeat(rng.integers(0, 255, (110, 300, 1), dtype=np.uint8), 3, axis=2)
    detail[50:52] = (255, 190, 0)
    shown = np.asarray(unrecognisable(Image.fromarray(detail)))
    assert (shown[50:52] == (255, 190, 0)).all()
    assert shown[:40].std() < detail[:40].std() / 4
