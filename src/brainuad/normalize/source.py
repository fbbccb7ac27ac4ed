"""Preprocessed scans as the normalize stage reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from brainuad.formats import scans, status, transform, volume
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Preprocessed:
    """A preprocessed scan on the template grid. `lesion`, `ignored`: None where the scan has no such mask.

    `affine`: voxel index to the template's mm; `own_ml`: millilitres of the scan's own space in one of the template's;
    `sequences`: further ones of the session that can be used.
    """

    image: Image
    brain: Mask
    lesion: Mask | None
    ignored: Mask | None
    affine: Float[np.ndarray, "4 4"]
    own_ml: float = 1.0
    sequences: Mapping[str, Image] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A preprocessed data set. `table`: its scans with roles; `folder`: holds a folder for each scan.

    `sequences`: of each session, the first one first; none where a scan is one sequence.
    """

    table: Path
    folder: Path
    sequences: Sequence[str] = ()

    def rows(self, *roles: str) -> list[Scan]:
        """Usable scans in these roles."""
        return scans.with_role(scans.read(self.table), *roles)

    def read(self, row: Scan) -> Preprocessed:
        """Raises InputError for missing, broken or altered files."""
        folder = self.folder / row.scan
        paths = status.checked_paths(folder)
        image, brain = volume.read(paths[status.IMAGE]), volume.read_mask(paths[status.BRAIN])
        lesion, ignored = (volume.read_mask(paths[name]).data if name in paths else None for name in status.MASKS)
        own_ml = abs(float(np.linalg.det(transform.read(paths[status.TRANSFORM]).matrix[:3, :3])))
        keys = {name: status.sequence_key(name) for name in self.sequences[1:] if name not in row.missing_sequences}
        others = {name: volume.read(paths[key]).data for name, key in keys.items() if key in paths}
        return Preprocessed(image.data, brain.data, lesion, ignored, brain.affine, own_ml, others)

    def naming(self) -> Naming:
        """What file names say of the scans; the default where there is no usable scan."""
        row = next(iter(self.rows(*scans.ROLES[:-1])), None)
        return Naming() if row is None else status.read(self.folder / row.scan / status.NAME).naming


@dataclass(frozen=True)
class TrainingImages:
    """Images and brain masks of training scans, read anew in each iteration: memory holds one scan at a time.

    `sequence`: a further one of the sessions, whose images are read, where there is one; the first if empty.
    """

    rows: Sequence[tuple[Source, Scan]]
    sequence: str = ""

    def __iter__(self) -> Iterator[tuple[Image, Mask]]:
        for source, row in self.rows:
            scan = source.read(row)
            if not self.sequence:
                yield scan.image, scan.brain
            elif self.sequence in scan.sequences:
                yield scan.sequences[self.sequence], scan.brain
