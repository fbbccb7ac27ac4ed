from __future__ import annotations

import re

import pytest

from brainuad.bibliography import ENTRIES, REFERENCES, bibtex


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_has_the_same_facts_as_text_and_as_bibtex(key: str) -> None:
    entry, text = ENTRIES[key].bibtex(key), REFERENCES[key]
    assert entry.startswith(f"@{ENTRIES[key].kind}{{{key},")
    assert entry.count("{") == entry.count("}")
    fields = dict(re.findall(r"^  (\w+) = \{+(.*?)\}+,$", entry, re.MULTILINE))
    assert fields["author"]
    for name in {*fields} - {"author", "archiveprefix"}:
        assert fields[name].replace("\\", "") in text
    assert ("et al." in text) == fields["author"].endswith("and others")


def test_a_bib_file_has_what_the_text_cites_once_and_names_what_is_unknown() -> None:
    made = bibtex("After [@holm1979], [@nobody2020] and [@holm1979]; [@baur2018].")
    assert re.findall(r"^@\w+\{(\w+),", made, re.MULTILINE) == ["holm1979", "baur2018"]
    assert "% nobody2020" in made
