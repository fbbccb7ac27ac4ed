"""Brain extraction by programs that are not here: small scripts of their names stand in for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from brainuad.config.recipe import SkullStrip
from brainuad.errors import InputError
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.template import mni152
from brainuad.preprocess.brain_mask.skullstrip import strip
from brainuad.preprocess.brain_mask.stripped import decide
from brainuad.preprocess.registered_scan import resample_to_template

COMMAND = {"robex": "runROBEX.sh", "hdbet": "hd-bet", "synthstrip": "mri_synthstrip"}
MASK_OF = {
    "robex": "argv[3]",
    "hdbet": "option('-o').replace('.nii.gz', '_bet.nii.gz')",
    "synthstrip": "option('-m')",
}
SCAN_OF = {"robex": "argv[1]", "hdbet": "option('-i')", "synthstrip": "option('-i')"}


@pytest.fixture
def registered():
    template = mni152(4.0)
    scan = Volume(np.where(template.brain, 100, 20).astype(np.float32), template.affine)
    return resample_to_template(scan, Affine(np.eye(4)), template, "T1w")


def install(folder: Path, name: str, body: str) -> None:
    path = folder / COMMAND[name]
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom sys import argv\nimport nibabel as nib\n"
        f"def option(name): return argv[argv.index(name) + 1]\n{body}\n"
    )
    path.chmod(0o755)


@pytest.mark.parametrize("name", COMMAND)
def test_the_program_s_mask_is_the_brain(name, registered, tmp_path, monkeypatch):
    body = (
        f"scan = nib.load({SCAN_OF[name]})\nmask = (scan.get_fdata() > 50).astype('u1')\nmask[:10] = 0\n"
        f"nib.save(nib.Nifti1Image(mask, scan.affine), {MASK_OF[name]})"
    )
    install(tmp_path, name, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    truth = registered.template.brain.copy()
    truth[:10] = False
    np.testing.assert_array_equal(strip(registered, SkullStrip(backend=name), False), truth)


@pytest.mark.parametrize("name", COMMAND)
def test_one_that_fails_says_why(name, registered, tmp_path, monkeypatch):
    install(tmp_path, name, "sys.exit('no weights found')")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match="failed") as caught:
        strip(registered, SkullStrip(backend=name), False)
    assert "no weights found" in caught.value.why


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [("robex", "ROBEX", "PATH"), ("hdbet", "HD-BET", "pip install hd-bet"), ("synthstrip", "SynthStrip", "FreeSurfer")],
)
def test_one_that_is_not_installed_says_how_to(name, title, words, registered, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=f"{title} is not installed") as caught:
        strip(registered, SkullStrip(backend=name), False)
    assert COMMAND[name] in caught.value.why
    assert words in caught.value.do


def test_programs_for_magnetic_resonance_refuse_ct(registered, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    ct = resample_to_template(registered.scan, registered.transform, registered.template, "ct")
    for name, words in (("robex", "does not take CT"), ("hdbet", "does not take CT"), ("synthstrip", "not installed")):
        with pytest.raises(InputError, match=words):
            strip(ct, SkullStrip(backend=name), False)


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "FLAIR", "CT"])
def test_stripped_input_is_recognised(contrast):
    phantom = make_phantom(4, contrast)
    assert not decide(Volume(phantom.image, phantom.affine), "T1w").stripped
    for background in (0, -1024) if contrast == "CT" else (0,):
        bare = np.where(phantom.brain, phantom.image, background).astype(np.float32)
        assert decide(Volume(bare, phantom.affine), "T1w").stripped, background
        cropped = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(np.pad(phantom.brain, 0)))
        close = Volume(np.pad(bare[cropped], 4, constant_values=background), phantom.affine)
        assert decide(close, "T1w").stripped == (phantom.brain[cropped].sum() / close.data.size < 0.6)
