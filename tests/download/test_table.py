"""Data sets that a plain table names: which lines enter, and everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainuad.config.datasets import Table
from brainuad.config.load import build_study
from brainuad.download.list_scans import list_scans
from brainuad.download.sources.content import SourceContent
from brainuad.download.sources.table import read_table
from brainuad.errors import ConfigError, InputError
from brainuad.formats import scans
from brainuad.plan import Plan

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path) -> Write:
    """Write a table, cells of a line parted by `|`, and the files that it is to name."""

    def make(
        *lines: str, name: str = "subjects.tsv", delimiter: str = "\t", files: str = "a.nii b.nii c.nii.gz"
    ) -> Path:
        for file in files.split():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_bytes(b"")
        path = tmp_path / name
        path.write_text("\n".join(line.replace("|", delimiter) for line in lines) + "\n", encoding="utf-8")
        return path

    return make


def listed(path: Path, **settings: Any) -> SourceContent:
    return read_table("x", Table(**{"source": "table", "file": str(path), "healthy": True, **settings}))


def fault(path: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        listed(path, **settings)
    return str(caught.value)


def subjects(path: Path, **settings: Any) -> list[str]:
    return [scan.subject for scan in listed(path, **settings).scans]


def test_two_columns_suffice_and_paths_start_at_the_table(write, tmp_path):
    path = write("subject|image", "P2|raw/b.nii", f"P1|{tmp_path}/a.nii", files="raw/b.nii a.nii")
    found = listed(path)
    assert [(scan.scan, scan.image) for scan in found.scans] == [
        ("sub-P1", str(tmp_path / "a.nii")),
        ("sub-P2", str(tmp_path / "raw/b.nii")),
    ]
    assert found.notes == []


def test_every_column_reaches_the_scan(write, tmp_path):
    path = write(
        "\ufeffSubject|Session|Image|Mask|Age|Sex|Site|Lesion_type|Handedness",
        "sub-1|ses-m12|a.nii|b.nii|41|F|Bonn|stroke|left",
        "",
        "sub-1|m0|c.nii.gz|n/a|40|F|Bonn",
    )
    found = listed(path, healthy=False)
    first, last = found.scans
    assert (first.scan, last.scan) == ("sub-1_ses-m0", "sub-1_ses-m12")
    assert (last.subject, last.mask, last.age, last.sex, last.site, last.lesion_type) == (
        *("sub-1", str(tmp_path / "b.nii"), "41", "F", "Bonn", "stroke"),
    )
    assert (first.mask, first.lesion_type) == ("", "")
    assert found.notes == [
        "subjects.tsv has columns that are not read: handedness",
        "1 of 2 scans of patients have no lesion mask and cannot be scored",
    ]


def test_scans_are_registered_with_those_of_another_column(write, tmp_path):
    path = write("subject|image|register_with", "A|a.nii|c.nii.gz", "B|b.nii|")
    references = {scan.scan: scan.reference for scan in listed(path, modality="FLAIR", register_with="T1w").scans}
    assert references == {"sub-A": str(tmp_path / "c.nii.gz"), "sub-B": ""}
    unasked = listed(path, modality="FLAIR")
    assert [scan.reference for scan in unasked.scans] == ["", ""]
    assert unasked.notes == ["subjects.tsv has columns that are not read: register_with"]
    path = write("subject|image|register_with", "A|a.nii|lost.nii")
    assert f"there is no file {tmp_path}/lost.nii" in fault(path, modality="FLAIR", register_with="T1w")
    path = write("subject|image", "A|a.nii")
    assert "has no column register_with" in fault(path, modality="FLAIR", register_with="T1w")


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_tables_of_spreadsheets_are_read(write, delimiter):
    path = write("subject|image|age", '"P 1"|a.nii|30', name="s.csv", delimiter=delimiter)
    assert [(scan.subject, scan.age) for scan in listed(path).scans] == [("sub-P1", "30")]


def test_names_become_bids_labels(write):
    assert subjects(write("subject|image", "Köln_07|a.nii", "x.1|b.nii")) == ["sub-Koln07", "sub-x1"]


def test_names_that_become_one_label_are_faults(write):
    lines = ["P-1|a.nii|a", "P1|b.nii|b", "p_1|c.nii|c", "Q|d.nii|v 1", "Q|e.nii|v-1", "Q|f.nii|??"]
    path = write("subject|image|session", *lines, files="a.nii b.nii c.nii d.nii e.nii f.nii")
    text = fault(path)
    assert "line 3: P1 and P-1 (line 2) both become sub-P1" in text
    assert "line 4: p_1 and P-1 (line 2) both become sub-p1" in text
    assert "line 6: Q, v-1 and Q, v 1 (line 5) both become sub-Q_ses-v1" in text
    assert "line 7: session ?? has no letter or digit" in text
    assert "4 problems" in text


def test_everything_that_is_wrong_is_told_at_once(write):
    path = write(
        "subject|image|mask|healthy|lesion_type",
        "A|a.nii||1",
        "sub-A|b.nii||1",
        "B|a.nii||1",
        "C|nowhere.nii|lost.nii|1",
        "|c.nii.gz||1",
        "D|||1",
        "E|scan.dcm||maybe",
        "F|f.nii||0|white matter",
        "G|g.nii||1|||more",
        files="a.nii b.nii c.nii.gz f.nii g.nii",
    )
    text = fault(path)
    folder = path.parent
    for words in (
        "line 3: sub-A is in line 2 already: give each scan a session of its own",
        "line 4: image a.nii is in line 2 already",
        f"line 5: there is no file {folder}/nowhere.nii",
        f"line 5: there is no file {folder}/lost.nii",
        "line 6: no subject",
        "line 7: no image",
        f"line 8: {folder}/scan.dcm does not end in .nii or .nii.gz",
        "line 8: healthy is maybe: write 1 or 0",
        "line 9: lesion_type is white matter: use letters",
        "line 10: 7 cells, the first line has 5",
    ):
        assert words in text
    assert "10 problems" in text


def test_a_long_list_of_faults_is_cut(write):
    text = fault(write("subject|image", *(f"P{n}|{n}.nii" for n in range(25))))
    assert "25 problems" in text
    assert "line 21: " in text
    assert "line 22: " not in text
    assert "and 5 more" in text


def test_a_single_fault_needs_no_list(write):
    assert "why   line 2: there is no file" in fault(write("subject|image", "P1|z.nii"))


def test_healthy_says_who_enters(write):
    path = write("subject|image|mask|healthy", "A|a.nii||yes", "B|b.nii|c.nii.gz|0")
    assert subjects(path) == ["sub-A"]
    assert subjects(path, healthy=False) == ["sub-B"]
    assert subjects(write("subject|image", "A|a.nii")) == ["sub-A"]


def test_groups_say_who_enters(write):
    head = "subject|image|mask|group"
    path = write(head, "A|a.nii||Healthy", "B|b.nii|c.nii.gz|patient")
    assert subjects(path) == ["sub-A"]
    assert subjects(path, healthy=False) == ["sub-B"]
    path = write(head, "A|a.nii||HC", "B|b.nii|c.nii.gz|MS")
    assert "line 2: group is HC: write healthy or patient, or say in `groups` which is which" in fault(path)
    groups = {"healthy": ["HC"], "patients": ["MS"]}
    assert subjects(path, groups=groups) == ["sub-A"]
    assert subjects(path, groups=groups, healthy=False) == ["sub-B"]
    path = write("subject|image|Diagnosis|healthy", "A|a.nii|HC|1", "B|b.nii|MS|1", "C|c.nii.gz||1")
    text = fault(path, groups={"column": "diagnosis", **groups})
    assert "line 3: healthy is 1 but diagnosis is MS" in text
    assert "line 4: diagnosis is empty" in text
    assert "has no column group" in fault(path, groups=groups)
    by_word = write("subject|image|healthy", "A|a.nii|HC", "B|b.nii|MS")
    assert subjects(by_word, groups={"column": "healthy", "healthy": ["HC"]}) == ["sub-A"]


def test_tables_that_cannot_serve_are_refused(write, tmp_path):
    assert "cannot read the table of x" in fault(tmp_path / "none.tsv")
    assert "has no column image" in fault(write("subject|scan", "A|a.nii"))
    assert "has no column subject" in fault(write(""))
    assert "x holds no scans" in fault(write("subject|image"))
    assert "no line is of a patient" in fault(write("subject|image|healthy", "A|a.nii|1"), healthy=False)
    assert "sub-Z is excluded but not in x" in fault(write("subject|image", "A|a.nii"), exclude=["sub-Z"])
    assert subjects(write("subject|image", "A|a.nii", "B|b.nii"), exclude=["sub-A"]) == ["sub-B"]
    path = write("subject|image", "A|a.nii")
    assert "x has no lesion mask to score by" in fault(path, healthy=False)
    assert subjects(path, healthy=False, split=None) == ["sub-A"]
    path.write_bytes("subject\timage\nKöln\ta.nii\n".encode("latin-1"))
    assert "it is not UTF-8 text" in fault(path)


def test_the_former_column_of_lesion_types_is_refused_with_its_new_name(write):
    assert "the column kind is now lesion_type" in fault(write("subject|image|kind", "A|a.nii|stroke"))


def test_columns_that_are_not_read_are_told_when_the_scans_are_listed(write, tmp_path, log):
    path = write("subject|image|handedness", "A|a.nii|left")
    list_scans("x", Table(source="table", file=str(path), healthy=True), tmp_path / "out/subjects.tsv")
    assert [row.scan for row in scans.read(tmp_path / "out/subjects.tsv")] == ["sub-A"]
    assert "x: subjects.tsv has columns that are not read: handedness" in log.getvalue()
    assert str(tmp_path) not in (tmp_path / "out/run.json").read_text(), "paths name machines and people"


def test_nobody_trains_as_healthy_and_is_tested_as_a_patient(tmp_path):
    lines = ["subject\tsession\timage\tmask\tgroup"]
    for number in range(8):
        for session, group in (("1", "healthy"), ("2", "patient" if number == 3 else "healthy")):
            image, mask = (f"{number}-{session}-{kind}.nii.gz" for kind in ("image", "mask"))
            (tmp_path / image).touch()
            (tmp_path / mask).touch()
            lines.append(f"{number}\t{session}\t{image}\t{mask if group == 'patient' else ''}\t{group}")
    (tmp_path / "subjects.tsv").write_text("\n".join(lines) + "\n")
    own = {"source": "table", "file": str(tmp_path / "subjects.tsv")}
    sets = {
        "controls": {**own, "healthy": True, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}},
        "patients": {**own, "healthy": False},
    }
    study = {"study": "mine", "datasets": sets, "recipe": "mri_2mm", "models": {"zscore_atlas": None}}
    demo = Path(__file__).parents[2] / "config.yaml"
    with pytest.raises(ConfigError, match="controls and patients share people") as caught:
        Plan(build_study(study, demo))
    assert "sub-3 is in controls" in (caught.value.why or "")
    assert "patients, a set of patients" in (caught.value.why or "")
    sets["controls"]["exclude"] = ["sub-3"]
    assert len(Plan(build_study(study, demo)).scans["controls"]) == 14


LINES = "subject\timage\tsite\nA\ta.nii\tx\nB\tb.nii\ty\n"


@pytest.mark.parametrize(
    ("content", "name", "note"),
    [
        (LINES.encode("utf-16"), "subjects.tsv", ""),
        (LINES.replace("\n", "\r\n").encode("utf-8-sig"), "subjects.tsv", ""),
        (LINES.replace("\n", "\r").encode(), "subjects.tsv", ""),
        (LINES.replace("x", '"left').encode(), "subjects.tsv", ""),
        (LINES.replace("\t", ";").encode(), "subjects.tsv", "separated by semicolons"),
        (LINES.replace("\t", ",").encode(), "subjects.txt", "separated by commas"),
        (LINES.encode(), "subjects.csv", ""),
        (LINES.replace("\t", ";").replace("site", "site, city").encode(), "subjects.csv", "not read: site, city"),
    ],
)
def test_tables_are_read_as_programs_write_them(write, content, name, note):
    path = write("", name=name)
    path.write_bytes(content)
    found = listed(path)
    assert [scan.subject for scan in found.scans] == ["sub-A", "sub-B"]
    assert note in "".join(found.notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04 xlsx", "it is a spreadsheet"),
        (LINES.replace("\t", "  ").encode(), "separated by blanks"),
        (b"subject\timage\nA\ta.nii\0\n" + b"x" * 300, "zero bytes"),
    ],
)
def test_files_that_are_no_tables_are_refused(write, content, words):
    path = write("")
    path.write_bytes(content)
    assert words in fault(path)


def test_a_mask_that_was_not_fetched_is_named(write):
    path = write("subject|image|mask", "A|a.nii|b.nii", "B|b.nii|c.nii.gz")
    (path.parent / "c.nii.gz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "c.nii.gz is a Git LFS pointer" in fault(path, healthy=False)


def test_paths_may_start_at_home_and_backslashes_are_told(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (scan,) = listed(write("subject|image", "A|~/a.nii")).scans
    assert scan.image == str(tmp_path / "a.nii")
    assert "write / in place of" in fault(write("subject|image", "A|raw\\a.nii"))


def test_masks_of_two_subjects_and_masks_that_are_the_scan_are_refused(write):
    lines = ("A|1|a.nii|m.nii", "A|2|b.nii|m.nii", "B|1|c.nii|m.nii", "C|1|d.nii|d.nii")
    text = fault(write("subject|session|image|mask", *lines, files="a.nii b.nii c.nii d.nii m.nii"), healthy=False)
    assert "line 3" not in text, "two sessions may share a mask"
    assert "line 4: mask m.nii is that of sub-A in line 2" in text
    assert "line 5: the mask is the image, d.nii" in text
    controls = write("subject|image|mask", "A|a.nii|empty.nii", "B|b.nii|empty.nii", files="a.nii b.nii empty.nii")
    assert len(listed(controls).scans) == 2, "healthy subjects may have one empty mask"


def test_a_quotation_mark_that_stays_open_is_named_by_its_line(write):
    for line in ('"A|a.nii|', '"A|a.nii|\nC|c.nii.gz|"'):
        path = write("subject|image|site", line, "B|b.nii|x", name="s.csv", delimiter=",")
        assert "line 2: a quotation mark that is not closed" in fault(path)
    path = write("subject|image|site", 'A|a.nii|"Bonn,\nRhein"', "B|nowhere.nii|x", name="s.csv", delimiter=",")
    assert "line 4: there is no file" in fault(path)


def test_a_quotation_mark_that_stays_open_in_a_long_table_is_named(write):
    path = write("subject|image|site", *['"A|a.nii|x'] + ["B|b.nii|x"] * 20_000, name="s.csv", delimiter=",")
    assert "close the quotation marks" in fault(path)


def test_a_column_that_is_read_may_not_be_there_twice(write):
    assert "two columns mask" in fault(write("subject|image|mask|Mask", "A|a.nii|b.nii|c.nii.gz"))


def test_groups_are_those_of_the_settings_in_any_case(write):
    path = write("subject|image|group", "A|a.nii|Controls ", "B|b.nii|PATIENT")
    groups = {"healthy": ["controls"], "patients": ["Patient"]}
    assert subjects(path, groups=groups) == ["sub-A"]
    assert subjects(path, groups={"patients": ["patient"]}) == ["sub-A"]


def test_an_empty_table_and_a_label_without_end_are_told(write):
    assert "it is empty" in fault(write("", ""))
    assert "at most 120" in fault(write("subject|image", f"{'A' * 300}|a.nii"))
