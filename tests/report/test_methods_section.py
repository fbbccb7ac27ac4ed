"""What the methods section says of the results: numbers that add up, citations that exist, failed scans as missed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainuad.bibliography import CITATION
from brainuad.config.recipe import Recipe
from brainuad.config.study import Study
from brainuad.formats import array_cache, scans, tables
from brainuad.formats.scans import Scan
from brainuad.metrics import statistics
from brainuad.report.methods_section import checklist, cuts, lesions, participants, scoring, section
from brainuad.report.methods_section.blocks import Facts, markdown
from brainuad.report.methods_section.section import Found
from brainuad.report.missed import counted_as_missed
from brainuad.report.subgroups import subgroups

SETS: dict[str, Any] = {
    "controls": {"source": "table", "file": "controls.tsv", "healthy": True}
    | {"split": {"train": 0.5, "validation": 0.25, "test": 0.25}},
    "ms": {"source": "table", "file": "ms.tsv", "healthy": False},
    "odd": {"source": "artificial", "into": "controls"},
}


def study(**more: Any) -> Study:
    given = {"study": "fake", "recipe_name": "mri", "recipe": Recipe(), "datasets": SETS}
    models = {"z": {"family": "zscore_atlas"}, "eq": {"family": "thresh_histeq"}}
    return Study.model_validate(given | {"models": models} | more)


def scan(name: str, dataset: str, role: str, state: str = "ok", **more: str) -> Scan:
    return Scan(name, name.split("_")[0], dataset, role=role, state=state, **more)  # type: ignore[arg-type]


ROWS = [
    scan("sub-01", "controls", "train", age="30", sex="F", site="A"),
    scan("sub-02", "controls", "train", age="40", sex="M", site="A", state="warned"),
    scan("sub-02_ses-2", "controls", "train", age="41", sex="M", site="A"),
    scan("sub-03", "controls", "train", state="failed"),
    scan("sub-04", "controls", "validation", age="n/a"),
    scan("sub-05", "controls", "test", state="excluded"),
    scan("sub-06", "controls", "test", state="included"),
    scan("sub-07", "controls", "", state="failed"),
    scan("p-1", "ms", "test", age="50", sex="F", mask="1.nii"),
    scan("p-2", "ms", "test", age="60", sex="M", mask="2.nii", unmarked="1"),
    scan("p-3", "ms", "test", mask="3.nii", state="failed"),
    scan("p-4", "ms", "test", state="failed"),
]


@pytest.fixture
def found(tmp_path: Path) -> list[participants.Group]:
    made = [scan("sub-06_draw-1", "odd", "test", origin="controls")]
    (tmp_path / "normalize/odd").mkdir(parents=True)
    scans.write(tmp_path / "normalize/odd" / array_cache.TABLE, made)
    return participants.groups(study(), ROWS, tmp_path, {"odd": ["sub-06_draw-2"]})


def test_the_flow_of_scans_adds_up(found: list[participants.Group]) -> None:
    table = participants.table(found)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    for row in rows:
        parts = [int(row[name]) for name in ("failed", "excluded by a person", "scans used")]
        assert int(row["scans listed"]) == sum(parts)
    own = [row for row in rows if row["data set"] != "odd"]
    assert sum(int(row["scans listed"]) for row in own) == len(ROWS)
    assert [(row["data set"], row["role"], row["scans used"], row["subjects used"]) for row in rows] == [
        ("controls", "training", "3", "2"),
        ("controls", "validation", "1", "1"),
        ("controls", "test", "1", "1"),
        ("controls", "no role", "0", "0"),
        ("ms", "test", "2", "2"),
        ("odd", "test", "1", "1"),
    ]
    assert [row["unmarked"] for row in rows if row["data set"] == "ms"] == ["1"]
    assert rows[-1]["failed"] == "1"


def test_people_are_described_by_what_is_known_of_them(found: list[participants.Group]) -> None:
    training, validation = participants.table(found).rows[:2]
    assert training[-3:] == ["35.0 ± 7.1 (30 to 40)", "F 1, M 1", "A 2"]
    assert validation[-3:] == ["not known"] * 3
    half_known = [*(scan(f"s-{i}", "x", "test", age=str(20 + i)) for i in range(3)), scan("s-9", "x", "test")]
    assert "known of 3 of 4" in participants.age_text(half_known)
    assert participants.counted(["A", "A", "B", "C", ""], most=1) == "A 2, 2 more with 2, not known 1"


def test_the_sentence_has_the_numbers_of_the_table(found: list[participants.Group]) -> None:
    text = participants.sentences(found)
    assert "8 scans of `controls`" in text
    assert "2 failed and 1 excluded" in text
    assert "3 (training), 1 (validation) and 1 (test)" in text
    assert "odd" not in text
    assert "lacked" not in text
    lacking = participants.Group("tumours", "test", used=[scan("t-1", "tumours", "test", missing="FLAIR")])
    assert "1 lacked FLAIR" in participants.sentences([*found, lacking])


def scored(**columns: Any) -> pd.DataFrame:
    base = {"model": "z", "seed": 0, "dataset": "ms", "postprocessing": "none", "threshold_rule": "none"}
    return pd.DataFrame(base | columns).reindex(columns=list(tables.SCANS))


def test_scans_that_failed_count_as_missed(found: list[participants.Group]) -> None:
    names = ["p-1", "p-1_ses-2", "p-2"]
    table = scored(scan=names, subject=["p-1", "p-1", "p-2"], auprc=[0.2, 0.4, np.nan], dice=[0.1, 0.3, 0.6])
    (missed,) = counted_as_missed(study(), table, found)
    assert (missed.failed, missed.listed) == (1, 3)  # p-4 has no mask: nothing could be missed
    ((model, _, numbers),) = missed.rows
    assert model == "z"
    assert numbers["auprc"] == pytest.approx((0.3, 0.15))
    assert numbers["dice"] == pytest.approx(((0.2 + 0.6) / 2, (0.2 + 0.6) / 3))
    reported = statistics.patient_mean(table["dice"].to_numpy(), list(table["subject"]), None)[0]
    assert numbers["dice"][0] == pytest.approx(reported)


def test_without_failed_scans_there_is_nothing_to_count(found: list[participants.Group]) -> None:
    healthy = [group for group in found if group.dataset == "controls"]
    assert counted_as_missed(study(), scored(scan=["p-1"], subject=["p-1"], auprc=[0.2], dice=[0.1]), healthy) == []


def test_subgroups_split_the_patients_of_a_set() -> None:
    people = [
        scan(f"p-{i:02d}", "ms", "test", sex="F" if i < 12 else "M", age=str(20 + i), site="one") for i in range(15)
    ]
    names = [row.scan for row in people] * 2
    values = np.linspace(0.1, 0.8, 15).tolist() * 2
    table = scored(scan=names, subject=names, auprc=values)
    table["model"] = ["z"] * 15 + ["eq"] * 15
    found = subgroups(study(), table, people)
    assert [(each.attribute, each.value, each.patients) for each in found] == [
        *(("sex", "F", 12), ("sex", "M", 3)),
        *(("age", "up to 24", 5), ("age", "25 to 29", 5), ("age", "above 29", 5)),
    ]
    women, men = found[:2]
    assert women.numbers["z"][0] == pytest.approx(np.mean(values[:12]))
    assert women.numbers["z"][1] < women.numbers["z"][0] < women.numbers["z"][2]
    assert np.isnan(men.numbers["eq"][1:]).all()


@pytest.mark.parametrize(
    ("ages", "names"),
    [
        ([30.2, 30.4, 30.45], ["up to 30.2", "30.4 to 30.4", "above 30.4"]),
        ([30, 30, 31], ["up to 30", "above 30"]),
        ([30, 30, 30, 30, 40], ["up to 30", "above 30"]),
    ],
)
def test_age_thirds_are_named_by_the_ages_in_them(ages: list[float], names: list[str]) -> None:
    people = [scan(f"p-{i}", "ms", "test", age=str(age)) for i, age in enumerate(ages)]
    rows = [row.scan for row in people]
    found = subgroups(study(), scored(scan=rows, subject=rows, auprc=[0.5] * len(rows)), people)
    assert [each.value for each in found] == names


def test_lesions_are_counted_once_and_masks_of_unknown_origin_are_said_to_be(tmp_path: Path) -> None:
    table = scored(scan=["p-1", "p-2"], subject=["p-1", "p-2"], lesion_ml=[2.0, 0.7], lesion_share_outside=[0.1, 1.0])
    table["lesion_type"] = ["ms", ""]
    twice = pd.concat([table, table.assign(model="eq")], ignore_index=True)
    folder = tmp_path / "evaluate/z/seed-0/ms"
    folder.mkdir(parents=True)
    rows = [["z", 0, "ms", "none", "p-1", rule, n, ml] for rule in ("a", "b") for n, ml in ((1, 1.5), (2, 0.5))]
    named = pd.DataFrame(rows, columns=[*list(tables.JOB_COLUMNS), "scan", "threshold_rule", "lesion", "ml"])
    tables.write(folder / "lesions.tsv", named.reindex(columns=list(tables.LESIONS)), tables.LESIONS)
    made = lesions.table(study(), twice, tmp_path)
    assert made is not None
    (row,) = made.rows
    told = dict(zip(made.columns, row, strict=True))
    assert told["test scans"] == "2"
    assert told["with lesion"].startswith("2 (1 of them")
    assert told["lesions counted"] == "2"
    assert told["ml per lesion"] == "1 (0.5 to 1.5)"
    assert told["masks drawn by"] == lesions.NOT_KNOWN
    assert "exactly" in lesions.drawn_by(study(), "odd")


def metrics(rows: list[tuple[str, str, str, float, int]]) -> pd.DataFrame:
    columns = ["dataset", "threshold_rule", "metric", "value", "n"]
    found = pd.DataFrame(rows, columns=columns).assign(model="z", seed=0, postprocessing="none")
    return found.reindex(columns=list(tables.METRICS))


def test_metrics_are_defined_where_they_have_values() -> None:
    rows = [("ms", "none", "auprc_scan", 0.5, 3), ("ms", "none", "auprc_scan_large", 0.5, 3)]
    rows += [("ms", "a", "lesion_recall_small", 1.0, 3), ("odd", "none", "auroc_scan_blur", 1.0, 3)]
    table = scoring.metrics_table(metrics(rows))
    assert table is not None
    assert [row[0] for row in table.rows] == [
        *("auprc_scan", "auprc_scan_<lesion_load>", "lesion_recall_<lesion_size>", "auroc_scan_<lesion_type>"),
    ]
    assert all(row[2] for row in table.rows)
    assert scoring.metrics_table(metrics([])) is None
    settings = scoring.settings_table(study().evaluate)
    assert [row[0] for row in settings.rows] == list(type(study().evaluate).model_fields)
    assert all(row[2] for row in settings.rows)


def test_the_section_cites_what_the_bib_file_holds(found: list[participants.Group], tmp_path: Path) -> None:
    planned = {"Data": ["Scans were read."], "Models": ["A model [@baur2018], after [@tustison2010]."]}
    provenance = {"versions": {"brainuad": ["1"], "torch": ["2"]}, "commits": ["a" * 40], "hosts": []}
    results: Any = type("Results", (), {"scans": scored(scan=[], subject=[]), "metrics": metrics([]), "records": []})
    about = Found(found, [], provenance, pd.DataFrame({"cpu_seconds": [3600.0], "peak_memory_mb": [2000.0]}))
    made = section.methods_section(study(), planned, results, tmp_path, about)
    assert list(made)[:2] == ["Data", "Models"]
    section.write(made, study(), tmp_path)
    text = (tmp_path / section.TEXT).read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(\w+),", (tmp_path / section.REFERENCES).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(keys) == set(CITATION.findall(text))
    assert keys[:2] == ["baur2018", "tustison2010"]
    assert "| controls | training | 4 | 1 |" in text
    assert "No test scan with a lesion mask failed" in text
    assert "1 hours" in text
    numbered, references = section.numbered(made)
    assert numbered["Models"] == ["A model [1], after [2]."]
    assert len(references) == len(keys)


def test_a_table_in_markdown_keeps_its_columns() -> None:
    made = markdown({"Data": ["Text.", Facts("Caption.", ["a", "b"], [["1|2", "3"]])], "Nothing": []})
    assert "| 1\\|2 | 3 |" in made
    assert "Nothing" not in made


def test_each_item_of_the_checklist_is_filled_in_or_left_to_the_authors(
    found: list[participants.Group], tmp_path: Path
) -> None:
    filled = checklist.facts(study(), found, [], [])
    checklist.write(study(), filled, tmp_path)
    text = (tmp_path / checklist.NAME).read_text(encoding="utf-8")
    items = [item for part in checklist.SECTIONS.values() for item in part]
    assert all(item.filled or item.authors != checklist.AUTHORS_ALONE for item in items)
    numbers = [int(n) for item in items for n in re.findall(r"\d+", item.tripod)]
    assert set(numbers) == set(range(1, 28))  # TRIPOD+AI has 27 items
    assert "scans: 3 training, 1 validation, 3 test" in text
    assert "4 scans failed, 1 were excluded" in text
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|"))


def test_a_study_without_results_has_no_thresholds(tmp_path: Path) -> None:
    assert cuts.table(study(), metrics([]), tmp_path) is None
