"""The whole pipeline on a phantom whose position, brain and lesion are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brainuad.config.reading import Reading
from brainuad.config.recipe import Preprocess, Quality
from brainuad.formats import status, transform, volume
from brainuad.formats.files import sha256
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.resample import resample_mask
from brainuad.images.template import mni152
from brainuad.preprocess.pipeline import Told, preprocess_volume
from brainuad.preprocess.quality.verdict import Findings, judged, verdict
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_files_on_the_template_grid(ready):
    assert {p.name for p in ready.out.iterdir() if p.is_file()} == {"overlay.png", "status.json", "run.json"}
    paths = status.paths(ready.out)
    assert set(paths) == {"image", "brain", "mask", "ignore", "transform"}
    start = "sub-07_space-MNI152NLin2009aSym"
    images = ["desc-preproc_T1w", "desc-brain_mask", "label-lesion_mask", "label-ignored_mask"]
    wanted = {f"{start}_{name}{end}" for name in images for end in (".nii.gz", ".json")}
    wanted.add("sub-07_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.json")
    assert {p.name for p in (ready.out.parent / "sub-07" / "anat").iterdir()} == wanted
    image, brain = volume.read(paths["image"]), volume.read_mask(paths["brain"])
    template = mni152(2.0)
    assert volume.same_grid(image, Volume(template.t1, template.affine))
    assert volume.same_grid(brain, image)
    assert (image.data[~brain.data] == 0).all()
    assert (image.data[brain.data] != 0).mean() > 0.99


def test_brain_and_lesion_lie_where_they_are(ready):
    phantom, affine = ready.phantom, transform.read(status.paths(ready.out)["transform"]).matrix
    template = mni152(2.0)
    grid = (template.brain.shape, template.affine, affine)
    brain = volume.read_mask(status.paths(ready.out)["brain"]).data
    lesion = volume.read_mask(status.paths(ready.out)["mask"]).data
    assert dice(brain, resample_mask(phantom.brain, phantom.affine, *grid)) > 0.96
    truth = resample_mask(
        phantom.lesion, phantom.affine, template.brain.shape, template.affine, phantom.template_to_scan
    )
    assert dice(lesion, truth) > 0.75
    np.testing.assert_array_equal(volume.read_mask(status.paths(ready.out)["ignore"]).data, lesion)
    ml = np.linalg.det(affine[:3, :3]) * np.linalg.det(template.affine[:3, :3]) / 1000
    assert lesion.sum() * ml == pytest.approx(phantom.lesion.sum() * 0.008, rel=0.05)


def test_status_tells_where_it_came_from(ready):
    state = status.read(ready.out / "status.json")
    assert (state.state, state.reasons, state.remedy) == ("ok", [], None)
    assert judged(state, Quality()) == state
    assert state.provenance["inputs"]["T1w"] == {"file": "sub-07_T1w.nii.gz", "sha256": sha256(ready.path)}
    assert state.provenance["settings"]["spacing"] == 2.0
    assert "quality" not in state.provenance["settings"], "limits are no part of what was done"
    assert state.quality["volume_ml"] == pytest.approx(ready.phantom.brain.sum() * 0.008, rel=0.06)


def test_overlay_shows_no_more_than_the_brain(ready):
    picture = np.asarray(Image.open(ready.out / "overlay.png"))
    assert picture.ndim == 3
    assert picture.std() > 20
    assert (picture[:, -3:] == 0).all()
    assert (picture.reshape(-1, 3) == (255, 190, 0)).all(axis=1).sum() > 500
    pink = (picture == (255, 70, 160)).all(axis=2)
    assert pink.sum() > 20, "the contour of the lesion"
    assert pink[:, pink.shape[1] * 3 // 4 :].any(), "in a slice of its own"


def test_same_input_same_bytes(ready, tmp_path):
    masks = {"mask": ready.mask, "ignore": ready.mask}
    preprocess(ScanFiles("sub-07", "T1w", ready.path, masks), Preprocess(), tmp_path / "again")
    for path in set(ready.out.iterdir()) - {ready.out / "run.json"}:  # it holds times, and nothing is made of them
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_n4_and_curvature_flow_flatten_the_brain(ready):
    phantom = ready.phantom
    ramp = np.linspace(0.6, 1.4, phantom.image.shape[1], dtype=np.float32)[None, :, None]
    settings = Preprocess.model_validate(
        {"steps": [{"step": "n4", "iterations": [20, 20]}, {"step": "curvature_flow"}]}
    )
    result = preprocess_volume(Volume(phantom.image * ramp, phantom.affine), "T1w", settings)
    white = (mni152(2.0).white > 0.95) & result.brain

    def spread(image):
        return image[white].std() / image[white].mean()

    assert spread(result.image) < 0.8 * spread(result.registered.image)


def test_stripped_scan_keeps_its_own_mask_though_its_background_is_noise(ready, tmp_path):
    phantom = ready.phantom
    noise = 0.06 * np.percentile(phantom.image, 99) * np.random.default_rng(0).normal(size=phantom.image.shape)
    volume.write(tmp_path / "scan.nii.gz", np.where(phantom.brain, phantom.image, np.abs(noise)), phantom.affine)
    scan = ScanFiles("sub-08", "T1w", tmp_path / "scan.nii.gz", reading=Reading(stripped=True))
    state = preprocess(scan, Preprocess(), tmp_path / "sub-08")
    told = judged(state, Quality())
    assert (told.state, told.stripped, told.reasons) == ("ok", True, [])
    assert [note.partition(",")[0] for note in told.notes] == ["its background was not of one value"]
    assert told.quality["outside_brain_fraction"] < 0.001
    paths, template = status.paths(tmp_path / "sub-08"), mni152(2.0)
    affine = transform.read(paths["transform"]).matrix
    truth = resample_mask(phantom.brain, phantom.affine, template.brain.shape, template.affine, affine)
    assert dice(volume.read_mask(paths["brain"]).data, truth) > 0.98


def test_a_brain_mask_that_is_told_is_used_as_it_is(ready):
    """A dark block at the surface of the brain is brain, and a part of it that the mask leaves out is not."""
    phantom = ready.phantom
    image, told = phantom.image.copy(), phantom.brain.copy()
    x, y, z = (np.flatnonzero(told.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    image[x[0] : x[len(x) // 4], :, z[len(z) // 2] :] = image.min()
    told[:, : y[len(y) // 8]] = False
    placed = transform.read(status.paths(ready.out)["transform"])
    scan = Volume(image, phantom.affine)
    result = preprocess_volume(scan, "T1w", Preprocess(), told=Told(placed=placed, brain=told))
    template = mni152(2.0)
    expected = resample_mask(told, phantom.affine, template.brain.shape, template.affine, placed.matrix)
    np.testing.assert_array_equal(result.brain, expected & result.registered.field_of_view())
    assert result.stripped
    assert {"outside_brain_fraction", "volume_ml"} <= set(result.quality)


def test_head_that_does_not_lie_as_its_header_says_is_refused(ready):
    upside_down = np.flip(ready.phantom.image, (1, 2)).copy()
    result = preprocess_volume(Volume(upside_down, ready.phantom.affine), "T1w", Preprocess())
    assert any("rotated by 180 degrees" in reason for reason in verdict(result.quality, Quality(), "T1w").failed)


@pytest.mark.parametrize("contrast", ["FLAIR", "T2w", "CT"])
def test_other_contrasts(contrast):
    phantom = make_phantom(5, contrast)
    window = [{"step": "window", "limits_hu": [0, 80]}]  # changes CT alone
    settings = Preprocess.model_validate({"steps": window})
    result = preprocess_volume(Volume(phantom.image, phantom.affine), contrast, settings)
    assert ((result.image.min(), result.image.max()) == (0, 80)) == (contrast == "CT")
    assert verdict(result.quality, Quality(), contrast) == Findings()
    template = mni152(2.0)
    truth = resample_mask(
        phantom.brain, phantom.affine, template.brain.shape, template.affine, result.registered.transform.matrix
    )
    assert dice(result.brain, truth) > 0.97
