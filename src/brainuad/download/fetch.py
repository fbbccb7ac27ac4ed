"""Downloads that resume, are checked, and are unpacked without leaving their folder."""

from __future__ import annotations

from pathlib import Path

from brainuad.download.known import Remote


def fetch(remotes: list[Remote], folder: Path) -> None:
    """Download each file into `folder` and unpack archives there."""
    raise NotImplementedError
