"""YAML files: text stays as it is written, and hostile or broken files end in a sentence at once."""

from __future__ import annotations

import itertools
import string
import time
from pathlib import Path
from typing import Any

import pytest

from brainuad.config.load import build_study, load_study, study_content
from brainuad.config.yaml_text import DEEPEST, LARGEST, read_yaml
from brainuad.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
STUDY = """
study: mine
datasets:
  people:
    source: bids
    root: x
    healthy: {healthy}
    exclude: {exclude}
    entities: {entities}
    groups: {{healthy: {values}, patients: [2.50, 2020-01-02, n/a]}}
    split: {{train: .5, validation: 0.25, test: 0.25}}
recipe: mri_2mm
models: {{zscore_atlas: }}
"""


def study(tmp_path: Path, **values: str) -> Path:
    """A study file with these values, as written."""
    given = {"healthy": "true", "exclude": "[]", "entities": "{}", "values": "[a]"} | values
    (tmp_path / "study.yaml").write_text(STUDY.format(**given))
    return tmp_path / "study.yaml"


@pytest.fixture
def read(tmp_path):
    def parse(content: str | bytes) -> Any:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "x.yaml").write_bytes(data)
        return read_yaml(tmp_path / "x.yaml")

    return parse


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("010", "010"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2020-01-02", "2020-01-02"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("1" * 60, "1" * 60),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("10", 10),
        ("-3", -3),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1.0e-3", 0.001),
        ("1.0e3", "1.0e3"),
        ("True", True),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
    ],
)
def test_a_scalar_is_what_it_looks_like(read, written, meant):
    found = read(f"key: {written}\n")["key"]
    assert found == meant
    assert isinstance(found, type(meant))


def test_keys_are_text_and_aliases_and_merges_work(read):
    content = "010: a\nno: {1: x}\nbase: &b {x: 1, y: [2]}\nmore: {<<: *b, x: 3}\nboth: {<<: [*b, {z: 4, x: 5}]}\n"
    assert read(content) == {
        "010": "a",
        "no": {"1": "x"},
        "base": {"x": 1, "y": [2]},
        "more": {"x": 3, "y": [2]},
        "both": {"x": 1, "y": [2], "z": 4},
    }


@pytest.mark.parametrize("content", ["\ufeffa: é\r\nb: 2\r\n", "a: é\nb: 2".encode("utf-16")])
def test_marks_and_line_ends_of_windows_are_read(read, content):
    assert read(content) == {"a": "é", "b": 2}


def bomb() -> str:
    """Nine to the power of twelve values, by aliases."""
    pairs = itertools.pairwise(string.ascii_lowercase[:13])
    lines = (f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairs)
    return "\n".join(["a: &a [x]", *lines])


def chain() -> str:
    """A deep value, by aliases."""
    return "\n".join(["k0: &k0 [x]", *(f"k{n}: &k{n} [*k{n - 1}]" for n in range(1, 3000))])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bomb(), "values"),
        (chain(), f"{DEEPEST} levels"),
        ("a: " + "[" * 100_000, f"{DEEPEST} levels"),
        ("{a: " * 50_000, f"{DEEPEST} levels"),
        ("a: " + "x" * LARGEST, "too large"),
        ("a: &a [*a]", "stands in itself"),
        ("a: &a {<<: *a}", "stands in itself"),
        ("a: *b", "no &b before"),
        ("a: 1\nb: 2\na: 3", "lines 1 and 3"),
        ("a: 1\n---\nb: 2", "several documents"),
        ("a:\n\t- 1", "not tabs"),
        ("a: [1", "line 1"),
        ("a: !!python/object/apply:os.system [x]", "tag"),
        ("a: !env x", "tag"),
        ("? [a]\n: 1", "a key is a list"),
        ("- 1", "holds no settings"),
        ("", "holds no settings"),
        (b"a: K\xf6ln", "no UTF-8"),
        (b"a: \0", "control characters"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "bytes",
)
def test_broken_and_hostile_files_end_in_a_sentence_at_once(read, content, words):
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert time.monotonic() - start < 1
    assert words in str(caught.value)
    assert "x.yaml" in str(caught.value)


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        load_study(tmp_path)


def test_labels_and_group_values_are_taken_as_they_are_written(tmp_path):
    path = study(
        tmp_path, healthy="yes", entities="{ses: 010, run: 1, acq: 1.50, rec: [no, 07]}", values="[no, 0, 1.0]"
    )
    people = load_study(path).datasets["people"]
    assert people.healthy is True
    assert people.entities == {"ses": "010", "run": 1, "acq": "1.50", "rec": ["no", "07"]}
    assert people.groups.healthy == ["no", "0", "1.0"]
    assert people.groups.patients == ["2.50", "2020-01-02", "n/a"]
    assert load_study(study(tmp_path, exclude="[007, 8]")).datasets["people"].exclude == ["007", "8"]


@pytest.mark.parametrize("values", [{"values": "[true]"}, {"values": "[~]"}, {"entities": "{acq: true}"}])
def test_what_has_no_text_must_be_in_quotes(tmp_path, values):
    with pytest.raises(ConfigError, match="in quotes"):
        load_study(study(tmp_path, **values))


def test_files_are_read_again_from_what_snakemake_was_given(tmp_path):
    first = study(tmp_path)
    second = tmp_path / "second.yaml"
    second.write_text("datasets: {people: {entities: {ses: 010}, split: {train: 0.6, validation: 0.2, test: 0.2}}}")
    content = study_content([first, second], {"seed": 3, "datasets": {"people": {"exclude": ["sub-1"]}}})
    built = build_study(content, first)
    people = built.datasets["people"]
    assert (people.entities, people.split.train, people.exclude, built.seed) == ({"ses": "010"}, 0.6, ["sub-1"], 3)


@pytest.mark.parametrize(("line", "key"), [("seed: true", "seed"), ("seed: False", "seed")])
def test_truth_is_no_number(tmp_path, line, key):
    path = study(tmp_path)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ConfigError, match=f"{key} must be a number, not {line.split()[1].lower()}"):
        load_study(path)
    assert load_study(study(tmp_path, healthy="yes")).datasets["people"].healthy is True
