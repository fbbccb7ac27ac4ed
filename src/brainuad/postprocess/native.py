"""Maps and masks on each scan's own grid, to view them over the scan and to measure volumes."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path

import numpy as np

from brainuad.errors import InputError
from brainuad.formats import checksums, files, names, postprocessed, scans, status, thresholds, transform, volume
from brainuad.formats import maps as images
from brainuad.formats.names import Naming
from brainuad.images.native import to_native

logger = getLogger(__name__)


def native(maps: Path, masks: Path, table: Path, preprocessed: Path, out: Path) -> None:
    """Write the folder `out`: of each test scan the anomaly map, the processed map if there is one, and every mask.

    `maps`, `masks`: what infer and postprocess wrote of one data set; `table`: its scans, with roles and files;
    `preprocessed`: their folders. The names of files lose their space.
    """
    changed = postprocessed.changes_maps(masks)
    rules = [rule for rule, threshold in thresholds.read(masks).items() if threshold.value is not None]
    with files.atomic_folder(out) as part:
        names.describe_dataset(part, "Anomaly maps and masks on the scans' own grids")
        for row in scans.with_role(scans.read(table), "test"):
            found = [images.anomaly_path(maps, row.scan), *(images.mask_path(masks, row.scan, rule) for rule in rules)]
            found += [images.processed_path(masks, row.scan)] if changed else []
            try:
                for path in found:
                    to_own_grid(
                        checksums.check(path), preprocessed / row.scan, Path(row.image), names.native_path(path, part)
                    )
            except (InputError, FileNotFoundError) as error:  # one scan that moved or changed stops no other
                logger.warning("%s has no maps on its own grid: %s", row.scan, error)


def to_own_grid(path: Path, preprocessed: Path, scan: Path, out: Path) -> None:
    """Write `out`: the map or mask `path`, which lies on the template's grid, on the grid of `scan`.

    `preprocessed`: the scan's folder of the preprocess stage. Shape and affine are those of the file `scan`, bit by
    bit. A file of zeros and ones counts as a mask. Raises InputError if `scan` is not the file that was preprocessed.
    """
    status.require_preprocessed(preprocessed, scan)
    template_to_scan = transform.read(status.path(preprocessed, status.TRANSFORM))
    found = volume.read(path, constant=True)
    data = found.data > 0.5 if np.isin(found.data, (0, 1)).all() else found.data
    shape, affine = volume.read_grid(scan)
    volume.write_like(out, to_native(data, found.affine, shape, affine, template_to_scan.matrix), scan)
    about = files.read_json(names.sidecar(path)) if names.sidecar(path).exists() else {}
    names.write_sidecar(
        out, Naming(template=""), {key: value for key, value in about.items() if key != "SpatialReference"}
    )
