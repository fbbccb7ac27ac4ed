"""What a methods section is made of, and how it is written as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """A table. Cells are text."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    """Whether the page shows it on request only."""

    def markdown(self) -> str:
        """As a table of Markdown, with its caption above."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join([self.caption, "", *(f"| {' | '.join(map(_cell, line))} |" for line in lines)])


Block = str | Facts
Section = Mapping[str, Sequence[Block]]
"""Paragraphs, with citations as `[@key]`, and tables, by heading."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def texts(section: Section) -> list[str]:
    """All paragraphs, and the captions of tables."""
    return [block if isinstance(block, str) else block.caption for blocks in section.values() for block in blocks]


def markdown(section: Section) -> str:
    """The section in Markdown, citations as Pandoc reads them: `[@key]`."""
    parts = []
    for heading, blocks in section.items():
        if blocks:
            parts += [f"## {heading}", *(block if isinstance(block, str) else block.markdown() for block in blocks)]
    return "\n\n".join(parts) + "\n"
