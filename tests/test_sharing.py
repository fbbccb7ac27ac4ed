"""Two studies under one results folder: a label or recipe of one is never overwritten by other content of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad.config.load import load_study
from brainuad.errors import InputError
from brainuad.sharing import NAME, claim, refuse_other_content

PEOPLE = {"source": "bids", "root": "data", "healthy": True, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name: str, recipe: Any = "mri_2mm", **settings: Any) -> Path:
        """The file of a study whose data set is `people`."""
        people = {key: value for key, value in {**PEOPLE, **settings}.items() if value is not None}
        content = {"study": name, "datasets": {"people": people}, "recipe": recipe, "models": {"zscore_atlas": None}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / f"{name}.yaml"

    return write


def started(file: Path) -> None:
    claim(load_study(file), file)


def fault(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        refuse_other_content(load_study(file))
    return str(caught.value)


def own_recipe(**settings: Any) -> dict[str, Any]:
    return {"use": "mri_2mm", "label": "own", "set": {"preprocess": settings}}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"root": "elsewhere"}, ["root is", "/data in one", "/elsewhere in two"]),
        ({"entities": {"ses": "2"}}, ["entities is {} in one", "2"]),
        ({"modality": "FLAIR"}, ["modality is T1w in one and FLAIR in two"]),
        ({"mask": "*.nii"}, ["mask is"]),
        ({"source": "phantom", "subjects": 8, "root": None}, ["source is bids in one and phantom in two"]),
    ],
)
def test_another_data_set_under_the_same_label_is_refused(make, other, words):
    one, two = make("one"), make("two", **other)
    started(two)
    text = fault(one)
    for each in [
        *words,
        "people of one",
        "of two",
        "another label",
        "--config results=results_one",
        "delete results/two",
        f"results/two/{NAME}",
    ]:
        assert each in text
    with pytest.raises(InputError):
        started(one)
    assert not Path("results/one").exists(), "a study that is refused claims nothing"


@pytest.mark.parametrize("other", [{}, {"exclude": ["sub-1"]}, {"groups": {"healthy": ["a"]}}, {"optional": True}])
def test_a_choice_among_the_same_scans_is_no_other_data_set(make, other):
    Path("data").mkdir()
    started(make("one"))
    started(make("two", split={"train": 0.6, "validation": 0.2, "test": 0.2}, **other))


def test_a_study_may_change_its_own_data(make):
    started(make("one"))
    started(make("one", root="elsewhere"))
    assert "elsewhere" in Path("results/one", NAME).read_text()
    started(make("one"))


def test_another_file_of_the_same_study_is_noted(make, capsys):
    started(make("one"))
    started(make("one"))
    assert capsys.readouterr().err == ""
    copy = Path("copy.yaml")
    copy.write_text(Path("one.yaml").read_text())
    started(copy)
    assert "results/one was last made from" in capsys.readouterr().err
    Path("results/one", NAME).write_text("broken")
    started(copy)
    assert "copy.yaml" in Path("results/one", NAME).read_text()


def test_data_that_moved_for_both_studies_is_no_conflict(make):
    started(make("one"))
    started(make("two"))
    moved = make("one", root="moved")
    assert "data in two" in fault(moved)
    make("two", root="moved")
    started(moved)


def test_the_same_folder_by_another_path_is_the_same(make, tmp_path):
    started(make("one"))
    (tmp_path / "link").symlink_to("data")
    refuse_other_content(load_study(make("two", root=f"{tmp_path}/x/../link")))


def test_another_recipe_under_the_same_name_is_refused(make):
    started(make("one", recipe=own_recipe(spacing=3.0)))
    text = fault(make("two", recipe=own_recipe(spacing=4.0)))
    for words in ("the recipe own", "spacing is 4.0 in two and 3.0 in one", "another label"):
        assert words in text
    refuse_other_content(load_study(make("two", recipe=own_recipe(spacing=3.0, quality={"min_nmi": 1.2}))))
    refuse_other_content(load_study(make("two")))


def test_a_study_that_is_gone_or_unreadable_is_no_hindrance(make, tmp_path):
    file = make("one")
    started(file)
    file.unlink()
    assert "data in one" in fault(make("two", root="elsewhere")), "its results are still there"
    Path("results/one", NAME).write_text("{}")
    refuse_other_content(load_study(make("two", root="elsewhere")))


def test_results_that_cannot_be_a_folder_are_told_before_the_first_job(make, tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(InputError, match="results is a file"):
        started(make("one"))
    (tmp_path / "results").unlink()
    (tmp_path / "results").symlink_to("nowhere/deep")
    with pytest.raises(InputError, match=r"cannot write sources\.json"):
        started(make("one"))
