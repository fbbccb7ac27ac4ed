from __future__ import annotations

from by_study import sharing


def test_what_asks_for_the_shared_study_by_a_fixture_shares_it_too(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text(
        "def finished(): ...\ndef paper(finished): ...\ndef test_a(paper, tmp_path): ...\n"
        "def test_b(finished): ...\ndef test_c(tmp_path): ...\n"
    )
    assert sharing(file) == {"finished", "paper", "test_a", "test_b"}
