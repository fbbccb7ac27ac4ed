from __future__ import annotations

import io
from itertools import pairwise
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from PIL import Image

from brainuad.figures.ranks import open_runs, rank_picture


@pytest.mark.parametrize(
    ("decided", "runs"),
    [("", [(0, 3)]), ("ad", [(0, 2), (1, 3)]), ("ab bc cd", []), ("ab ac ad bd", [(1, 2), (2, 3)])],
)
def test_bars_join_the_longest_runs_without_a_decision(decided: str, runs: list[tuple[int, int]]) -> None:
    """Models a to d, best first; which two are decided."""
    pairs = {frozenset(pair) for pair in decided.split()}
    assert open_runs(list("abcd"), lambda a, b: frozenset((a, b)) in pairs) == runs


def test_the_picture_holds_eighteen_models_and_escapes_their_names() -> None:
    ranks = {f"model_<{i:02}>_of_a_long_name": 1 + i for i in range(18)}
    drawn = rank_picture("ranks $1", ranks, [(0, 4), (3, 17)])
    root = ET.fromstring(drawn.svg())
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    texts = [each for each in root if each.tag == "text"]
    dots = [each for each in root if each.tag == "circle"]
    assert [text.text for text in texts if text.text.startswith("model")] == list(ranks)
    assert all(0 < float(dot.attrib["cx"]) < width and 0 < float(dot.attrib["cy"]) < height for dot in dots)
    places = sorted(float(text.attrib["y"]) for text in texts if text.text.startswith("model"))
    assert min(b - a for a, b in pairwise(places)) > 14  # rows do not overlap
    files = drawn.files()
    assert files == drawn.files()
    assert set(ranks) <= {each.text for each in ET.fromstring(files["svg"]).iter("{http://www.w3.org/2000/svg}text")}
    table = pd.read_csv(io.BytesIO(files["tsv"]), sep="\t", dtype={"bars": str})
    assert dict(zip(table["model"], table["average rank"], strict=True)) == ranks
    assert list(table["bars"][[2, 3, 17]]) == ["1", "1, 2", "2"]
    with Image.open(io.BytesIO(files["png"])) as picture:
        assert picture.width == 2 * round(width)
