"""Paths in settings: what is replaced, and what is refused before Snakemake would misread it."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.config.paths import expanded, misread, refuse_braces
from brainuad.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("NOWHERE", raising=False)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("~", "/home/me"),
        ("~/x", "/home/me/x"),
        ("./~/x", "./~/x"),
        ("a~b", "a~b"),
        ("$DATA/x", "/data/x"),
        ("x/$DATA", "x//data"),
        ("Données Müller [final] (it's 50%) & co", "Données Müller [final] (it's 50%) & co"),
        ("{} < a> {a b}", "{} < a> {a b}"),
    ],
)
def test_home_and_variables_are_replaced(written, path):
    assert expanded(written) == path


def test_a_folder_whose_name_holds_a_dollar_is_found():
    Path("for $DATA & co").mkdir()
    assert expanded("for $DATA & co") == "for $DATA & co"
    Path("$DATA").mkdir()
    assert expanded("$DATA") == "/data", "or results would lie in a folder of that name"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("~nobody_of_this_name/x", "no user nobody_of_this_name"),
        ("$NOWHERE/x", "NOWHERE is not set"),
        ("a/{v2}/b", "'{v2}'"),
        ("a/{ v2 , x{3}}/b", "misread"),
        ("a <b> c", "'<b>'"),
        ("a\nb", "misread"),
        ("", "empty"),
    ],
)
def test_what_cannot_be_a_path_is_refused(written, words):
    with pytest.raises(ValueError, match=words):
        expanded(written)


def test_only_what_snakemake_reads_is_refused():
    assert misread("/a/{dataset}/b") == "{dataset}"
    assert misread("a/{a-b}/<A>/{1 2}") is None


def test_a_clone_in_a_folder_with_braces_is_refused():
    refuse_braces("/home/it's 50% [x] <a>/brainuad")
    with pytest.raises(ConfigError, match="braces"):
        refuse_braces("/home/{v2}/brainuad")
