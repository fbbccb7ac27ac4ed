"""A person's decisions: whom they name, and what is said of a line that cannot be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.errors import InputError
from brainuad.formats import decisions
from brainuad.formats.decisions import Decision
from brainuad.formats.scans import Scan

SCANS = {
    "ixi": [Scan("sub-01", "sub-01", "ixi"), Scan("sub-02", "sub-02", "ixi")],
    "ms": [Scan(f"sub-01_ses-{i}", "sub-01", "ms") for i in (1, 2)],
}
HEAD = "dataset\tscan\tdecision\treason\tby\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "exclude.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_names_a_scan_or_all_scans_of_a_subject(tmp_path):
    text = f'\ufeff{HEAD}# looked at on Monday\n\nixi\tsub-02\texclude\tmoved, "badly"\tAB\nms\tsub-01\tinclude\n'
    assert decisions.read(table(tmp_path, text), SCANS) == {
        "ixi": {"sub-02": Decision("exclude", 'moved, "badly"', "AB")},
        "ms": {"sub-01_ses-1": Decision("include"), "sub-01_ses-2": Decision("include")},
    }
    assert Decision("exclude", "moved", "AB").text == "excluded by AB: moved"
    assert Decision("include").text == "included"


def test_columns_may_be_called_subject_and_stand_in_any_order(tmp_path):
    text = "decision\tsubject\tdataset\nexclude\tsub-01\tixi\n"
    assert decisions.read(table(tmp_path, text), SCANS) == {"ixi": {"sub-01": Decision("exclude")}}


BAD = {
    "unknown scan": ("ixi\tsub-02\texclude\nixi\tsub-1\texclude\n", "line 3: there is no scan sub-1", "sub-01"),
    "unknown set": ("ixl\tsub-02\texclude\n", "line 2: the study has no scans in 'ixl'", "did you mean ixi?"),
    "another word": ("ixi\tsub-02\tremove\n", "line 2: there is no decision remove", "exclude or include"),
    "no word": ("# kept\nixi\tsub-02\n", "line 3: there is no decision in this row", "exclude or include"),
    "twice": ("ms\tsub-01\texclude\nms\tsub-01_ses-2\tinclude\n", "sub-01_ses-2 is decided in line 2 already", "keep"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_line_that_cannot_be_followed_is_named(case, tmp_path):
    text, what, do = BAD[case]
    with pytest.raises(InputError, match=r"exclude\.tsv") as caught:
        decisions.read(table(tmp_path, HEAD + text), SCANS)
    assert what in caught.value.what
    assert do in (caught.value.do or "")


@pytest.mark.parametrize("text", ["", "dataset,scan,decision\nixi,sub-01,exclude\n"])
def test_a_table_without_tabs_or_columns_is_refused(text, tmp_path):
    with pytest.raises(InputError, match="has no column"):
        decisions.read(table(tmp_path, text), SCANS)


def test_a_table_that_is_not_there_says_how_to_write_one(tmp_path):
    with pytest.raises(InputError, match="cannot read the decisions") as caught:
        decisions.read(tmp_path / "exclude.tsv", SCANS)
    assert "dataset, scan, decision, reason, by" in (caught.value.do or "")


def test_lines_of_a_set_that_is_not_downloaded_yet_wait(tmp_path):
    path = table(tmp_path, HEAD + "brats\tsub-1\texclude\nixi\tsub-01\texclude\n")
    assert list(decisions.read(path, SCANS, not_downloaded=["brats"])) == ["ixi"]


def test_a_table_that_is_not_utf8_says_how_to_save_it(tmp_path):
    (tmp_path / "exclude.tsv").write_bytes(HEAD.encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8 text") as caught:
        decisions.read(tmp_path / "exclude.tsv", SCANS)
    assert "save it as UTF-8" in (caught.value.do or "")
