"""Real heads are placed: with neck, defaced, stripped, another contrast, CT in thick slices."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from brainuad.config.recipe import Preprocess, Quality
from brainuad.formats import status, volume
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles

SCANS = {
    "neck": "ixi/sub-IXI302/anat/sub-IXI302_T1w.nii.gz",
    "defaced": "ds000011/sub-02/anat/sub-02_res-2mm_T1w.nii.gz",
    "thick slices": "ds000011/sub-02/anat/sub-02_inplaneT2.nii.gz",
    "stripped": "ds002748/sub-54/anat/sub-54_res-2mm_T1w.nii.gz",
    "stroke": "stroke_t2/sub-01/anat/sub-01_T2w.nii.gz",
    "ct": "ct/sub-01/ct/sub-01_ct.nii.gz",
}


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("BRAINUAD_REAL_DATA")
    assert folder, "set BRAINUAD_REAL_DATA to the folder of real scans"
    return Path(folder)


@pytest.mark.parametrize("name", SCANS)
def test_real_head_is_placed(data, name, tmp_path):
    path = data / SCANS[name]
    modality = path.name.removesuffix(".nii.gz").split("_")[-1]
    masks = {"mask": path.with_name("sub-01_desc-lesion_mask.nii.gz")} if name == "stroke" else {}
    state = preprocess(ScanFiles("sub-01", modality, path, masks), Preprocess(), tmp_path / "out")
    state = judged(state, Quality())
    assert (state.state, state.reasons) == ("ok", [])
    assert state.quality["nmi"] > 1.055
    assert state.quality["half_turn_ratio"] < 0.55
    assert state.quality["template_dice"] > 0.93
    assert 1000 < state.quality["volume_ml"] < 1800
    if masks:
        lesion = volume.read_mask(status.paths(tmp_path / "out")["mask"]).data
        brain = volume.read_mask(status.paths(tmp_path / "out")["brain"]).data
        assert lesion.any()
        assert (lesion & brain).sum() > 0.95 * lesion.sum()


def test_real_head_upside_down_is_refused(data, tmp_path):
    scan = volume.read(data / SCANS["stripped"])
    volume.write(tmp_path / "turned_T1w.nii.gz", np.flip(scan.data, (0, 1)), scan.affine)
    out = tmp_path / "out"
    state = preprocess(ScanFiles("sub-01", "T1w", tmp_path / "turned_T1w.nii.gz"), Preprocess(), out)
    state = judged(state, Quality())
    assert state.state == "failed"
    assert "does not lie as its header says" in " ".join(state.reasons)


def test_sequences_of_a_real_session_are_placed(data, tmp_path):
    """T2w in slices of 5 mm, 15 degrees and 20 mm from its header; FLAIR on the grid of the T1w."""
    moved = data / "ds000011/sub-06/anat"
    t1, t2 = moved / "sub-06_res-2mm_T1w.nii.gz", moved / "sub-06_inplaneT2.nii.gz"
    aligned = data / "openms/sub-26/anat"
    flair, first = (aligned / f"sub-26_space-MNI152_{name}.nii.gz" for name in ("FLAIR", "T1w"))
    sessions = {
        "moved": ScanFiles("sub-06", "T1w", t1, sequences={"T2w": t2}),
        "aligned": ScanFiles("sub-26", "T1w", first, sequences={"FLAIR": flair}),
    }
    for name, session in sessions.items():
        state = judged(preprocess(session, Preprocess(spacing=2.0), tmp_path / name), Quality())
        assert (state.state, state.reasons) == ("ok", [])
        ((sequence, told),) = state.sequences.items()
        assert told.registered == (name == "moved")
        assert told.quality["nmi"] > 1.055
        contrast = told.quality["csf_grey_contrast"]
        assert contrast > 0.4 if sequence == "T2w" else contrast < 0
