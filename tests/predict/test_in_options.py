"""What the pipeline tells of a scan names options of `brainuad predict`, and no settings of a study."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import brainuad
from brainuad.predict.in_options import in_options

PACKAGE = Path(brainuad.__file__).parent
READ_BY_PREDICT = (
    *(PACKAGE / f"formats/{name}.py" for name in ("raw", "stored", "header", "missing_values", "volume", "whole_file")),
    *(
        path
        for part in ("quality", "brain_mask", "registration")
        for path in (PACKAGE / "preprocess" / part).glob("*.py")
    ),
    PACKAGE / "preprocess/pipeline.py",
)
OF_A_STUDY = re.compile(r"`reading|`skullstrip|skullstrip\.|decisions`|data set|recipe|the subject")


def told(path: Path) -> list[str]:
    """The sentences of a module: its strings but for docstrings and the table of inputs; `1` where a value stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Handling":
            left_out |= {id(each) for each in ast.walk(node)}
    texts = []
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            texts.append(
                "".join(
                    str(getattr(part, "value", "1")) if isinstance(part, ast.Constant) else "1" for part in node.values
                )
            )
            left_out |= {id(part) for part in node.values}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


@pytest.mark.parametrize("path", READ_BY_PREDICT, ids=lambda path: path.stem)
def test_no_sentence_of_the_pipeline_names_a_setting(path):
    assert [text for text in map(in_options, told(path)) if OF_A_STUDY.search(text)] == []


def test_settings_become_the_options_that_do_the_same():
    assert "--volume 0 (to 4)" in in_options("choose one by `reading: {volume: 0}` (to 4) of the data set")
    offset = "set `reading: {intensity_offset: -1024}` of the data set, in addition to one that is set already"
    assert in_options(offset).startswith("set --intensity-offset -1024")
    assert in_options("give the 3D scan") == "give the 3D scan"
