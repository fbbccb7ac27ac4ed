"""A scan and the files that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.config.reading import Reading


@dataclass(frozen=True)
class ScanFiles:
    """A scan and what belongs to it.

    `masks`: `mask` of lesions and `ignore`; further files of the same mask are `mask-2` and so on. `register_with`:
    modality of another scan of the session that is registered in its place, `reference` its file; without it the scan
    is registered by itself.
    `reading`: how the files are read; `problem`: what an earlier stage found wrong with the scan, if anything;
    `sequences`: files of further sequences of the session by modality, None for one that it lacks; `aligned`: whether
    these lie in the scan's space by their headers.
    """

    name: str
    modality: str
    image: Path
    masks: Mapping[str, Path] = field(default_factory=dict)
    healthy: bool = False
    register_with: str | None = None
    reference: Path | None = None
    reading: Reading = field(default_factory=Reading)
    problem: str = ""
    sequences: Mapping[str, Path | None] = field(default_factory=dict)
    aligned: bool = False

    def masks_named(self, name: str) -> list[Path]:
        """The files of one mask, in order."""
        return [path for key, path in self.masks.items() if key.partition("-")[0] == name]

    def by_name(self) -> dict[str, Path]:
        """Every file: scans by modality, masks by name."""
        other = {self.register_with: self.reference} if self.register_with and self.reference else {}
        further = {name: path for name, path in self.sequences.items() if path is not None}
        return {self.modality: self.image, **other, **further, **self.masks}
