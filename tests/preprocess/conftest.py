from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from brainuad.config.recipe import Preprocess
from brainuad.formats import volume
from brainuad.formats.status import Status
from brainuad.images.phantom import Phantom, make_phantom
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles


@dataclass(frozen=True)
class Ready:
    """A phantom with a lesion, written as a scan and preprocessed into `out`."""

    phantom: Phantom
    path: Path
    mask: Path
    out: Path
    status: Status


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    folder = tmp_path_factory.mktemp("phantom")
    phantom = make_phantom(3, "T1w", "tumour")
    path, mask = folder / "sub-07_T1w.nii.gz", folder / "sub-07_mask.nii.gz"
    volume.write(path, phantom.image, phantom.affine)
    volume.write(mask, phantom.lesion, phantom.affine)
    scan = ScanFiles("sub-07", "T1w", path, {"mask": mask, "ignore": mask})
    return Ready(phantom, path, mask, folder / "out", preprocess(scan, Preprocess(), folder / "out"))
