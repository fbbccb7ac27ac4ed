"""Heads that are not as usual: units of CT, backgrounds, slabs, tissue left by a poor strip. All are ellipsoids."""

from __future__ import annotations

import numpy as np
import pytest
from good_numbers import GOOD
from scipy import ndimage

from brainuad.config.recipe import Preprocess, Quality, SkullStrip
from brainuad.errors import InputError
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.template import mni152
from brainuad.preprocess.brain_mask.foreground import foreground
from brainuad.preprocess.brain_mask.outside_brain import measure_outside_brain
from brainuad.preprocess.brain_mask.skullstrip import examined, strip
from brainuad.preprocess.brain_mask.stripped import decide
from brainuad.preprocess.pipeline import Reference, preprocess_volume
from brainuad.preprocess.quality.appearance import ghosting_ratio, value_notes
from brainuad.preprocess.quality.hounsfield import in_hounsfield_units
from brainuad.preprocess.quality.measure import shear_deg
from brainuad.preprocess.quality.verdict import verdict
from brainuad.preprocess.registered_scan import resample_to_template
from brainuad.preprocess.steps.n4 import N4Step

SPACING = 5.0
AFFINE = np.diag([SPACING, SPACING, SPACING, 1.0])
MIDDLE = (23, 28, 23)
MM = SPACING * (np.indices((46, 56, 46)).transpose(1, 2, 3, 0) - MIDDLE)
RADIUS = np.sqrt(((MM / (66.0, 84.0, 66.0)) ** 2).sum(axis=-1))
"""1 on the surface of the brain, which has 1.5 litres."""
BRAIN, BONE, HEAD = RADIUS < 1, (RADIUS >= 1.05) & (RADIUS < 1.15), RADIUS < 1.25
CIRCLE = np.hypot(MM[..., 0], MM[..., 1]) < 120
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, BRAIN.shape)


def ct() -> np.ndarray:
    data = np.where(HEAD, 10.0, -1000.0) + 5 * NOISE
    data[BRAIN], data[BONE] = 33 + 5 * NOISE[BRAIN], 1200
    return data.round().astype(np.float32)


def t1() -> np.ndarray:
    data = np.where(HEAD, 900.0, 0.0)
    data[BONE | ((RADIUS >= 1) & (RADIUS < 1.05))] = 60
    data[BRAIN] = 600 + 60 * NOISE[BRAIN]
    return data.astype(np.float32)


def metal(data: np.ndarray, voxels: int) -> np.ndarray:
    data = data.copy()
    data[15 : 15 + voxels, 24:30, 22:24] = -32768
    return data


CT = {
    "as it should be": (lambda d: d, ""),
    "cut at -1024": (lambda d: np.maximum(d, -1024), ""),
    "a calibration of 10": (lambda d: d + 10, ""),
    "stored value + 1024": (
        lambda d: d + 1024,
        "air lies at 24, not at -1000|intercept was not applied|offset: -1024}",
    ),
    "unsigned, cut at 0": (lambda d: np.clip(d + 1024, 0, 4095), "air lies at 24|offset: -1024}"),
    "stored value + 1000": (lambda d: d + 1000, "air lies at 0|intercept was not applied|offset: -1000}"),
    "intercept twice": (lambda d: d - 1024, "air lies at -2024|applied twice|offset: 1024}"),
    "24 too high": (lambda d: d + 24, "air lies at -976 and tissue at 57|24 HU too high|offset: -24}"),
    "other offset": (lambda d: d + 300, "air lies at -700|300 HU too high|offset: -300}"),
    "stripped, intercept lost": (lambda d: np.where(BRAIN, d + 1024, 0), "not applied|offset: -1024}"),
    "8 bits of a brain window": (lambda d: (np.clip((d + 20) / 120, 0, 1) * 255).round(), "not in Hounsfield|0 to 255"),
    "8 bits of all": (lambda d: (np.clip((d + 1000) / 4000, 0, 1) * 255).round(), "not in Hounsfield units|0 to 140"),
    "0 to 1": (lambda d: np.clip((d + 1000) / 2000, 0, 1), "not in Hounsfield units"),
    "half": (lambda d: d / 2, "not in Hounsfield units|air at -5"),
    "negative as unsigned": (lambda d: np.where(d < 0, d + 65536, d), "values reach 65,5|unsigned"),
    "much overflow": (lambda d: metal(d, 16), "inside the head lie below -8192"),
}
CT_NOTES = {
    "padded": (lambda d: np.where(CIRCLE, d, -3024), "the value -3024"),
    "padded with the lowest number": (lambda d: np.where(CIRCLE, d, -32768), "the value -32768"),
    "metal": (lambda d: metal(d, 4), "48 voxels inside the head"),
    "window": (lambda d: np.clip(d, 0, 80), "clipped to 0 to 80 HU"),
    "stripped": (lambda d: np.where(BRAIN, d, -1000), ""),
    "stripped, air 0": (lambda d: np.where(BRAIN, d, 0), ""),
    "head, air 0": (lambda d: np.where(HEAD, d, 0), ""),
    "corners 0": (lambda d: np.where(CIRCLE, d, 0), ""),
}


@pytest.mark.parametrize("case", CT)
def test_ct_in_other_units_is_refused_with_the_offset(case):
    change, words = CT[case]
    scan = Volume(change(ct()).astype(np.float32), AFFINE)
    if not words:
        assert in_hounsfield_units(scan) == (scan, [])
        return
    with pytest.raises(InputError) as caught:
        in_hounsfield_units(scan)
    told = f"{caught.value.what} ({caught.value.why}); {caught.value.do}"
    assert [part for part in words.split("|") if part not in told] == [], told


@pytest.mark.parametrize("case", CT_NOTES)
def test_ct_that_can_be_used_is_noted(case):
    change, words = CT_NOTES[case]
    checked, notes = in_hounsfield_units(Volume(change(ct()).astype(np.float32), AFFINE))
    assert len(notes) == bool(words)
    assert words in "".join(notes)
    assert checked.data[BRAIN].min() >= 0


def test_ct_of_the_session_in_other_units_is_named():
    scan, other = Volume(t1() + np.float32(1), AFFINE), Volume(ct() + np.float32(1024), AFFINE)
    with pytest.raises(InputError, match="the ct that it is registered with: air lies at 24"):
        preprocess_volume(scan, "T1w", Preprocess(), reference=Reference(other, "ct"))


STRIPPED = np.where(BRAIN, t1(), 0)
SLAB = np.where(MM[..., 2] >= 10, t1(), 0)[:, :, MIDDLE[2] :]
NOISY = np.where(BRAIN, t1(), 0) + np.abs(5 * NOISE)
LOOSE = np.where(BRAIN, np.where(RADIUS > 0.85, 60, t1()), 0)
ZSCORES = np.where(BRAIN, NOISE + np.sin(MM[..., 0] / 8), 0)
KINDS = {
    "head": (t1() + np.abs(20 * NOISE), None, False, ""),
    "head, air 0": (t1(), None, False, ""),
    "slab of a head, air 0": (SLAB, None, False, "taken as a head"),
    "slab that is called stripped": (SLAB, True, True, ""),
    "stripped": (STRIPPED, None, True, ""),
    "stripped that is called a head": (STRIPPED, False, False, ""),
    "tiny noise": (STRIPPED + 1e-4 * NOISE, None, True, "background"),
    "noise": (NOISY, None, True, "background"),
    "0 and 1": (STRIPPED + (NOISE > 0), None, True, "background"),
    "ringing": (ndimage.zoom(STRIPPED, 1.2, order=3), None, True, "background"),
    "noise, and called stripped": (NOISY, True, True, "background"),
    "much noise": (STRIPPED + np.abs(30 * NOISE), None, False, ""),
    "much noise, and called stripped": (STRIPPED + np.abs(30 * NOISE), True, True, "background"),
    "z-scores": (ZSCORES, None, True, ""),
    "z-scores and tiny noise": (ZSCORES + 1e-4 * NOISE, None, True, "background"),
    "loose mask of a dark fluid": (LOOSE, None, True, ""),
    "noise alone": (np.abs(600 * NOISE), None, False, ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_stripped_or_not(kind):
    data, stated, stripped, words = KINDS[kind]
    affine = AFFINE / 1.2 if kind == "ringing" else AFFINE
    found = decide(Volume(data.astype(np.float32), affine), "T1w", stated)
    assert (found.stripped, len(found.notes)) == (stripped, bool(words)), found.notes
    assert words in "".join(found.notes)
    if words == "background":
        truth = BRAIN if kind != "ringing" else ndimage.zoom(BRAIN.astype(float), 1.2, order=1) > 0.5
        inside = foreground(found.scan)
        assert 2 * (inside & truth).sum() / (inside.sum() + truth.sum()) > 0.97


@pytest.mark.parametrize(("where", "stripped"), [(HEAD, False), (BRAIN, True)])
def test_bone_tells_a_slab_of_ct_from_a_brain(where, stripped):
    data = np.where(where & (MM[..., 2] >= 10), ct(), -1000)[:, :, MIDDLE[2] :]
    assert decide(Volume(data.astype(np.float32), AFFINE), "ct").stripped == stripped


TEMPLATE = mni152(4.0)
X, Y, Z = (
    TEMPLATE.affine[i, 3] + 4 * np.arange(n)[(slice(None), *[None] * (2 - i))]
    for i, n in enumerate(TEMPLATE.brain.shape)
)
NEAR = ndimage.distance_transform_edt(~TEMPLATE.brain) * 4
PIECES = {
    "nothing": (np.zeros_like(TEMPLATE.brain), "ok"),
    "a rim of 4 mm": (NEAR <= 4, "ok"),
    "eyes": (np.hypot(np.hypot(np.abs(X) - 32, Y - 65), Z + 35) < 16, "warned"),
    "scalp": ((NEAR > 8) & (NEAR < 20) & (X > 20) & (Z > 20), "warned"),
    "a face": ((Y > 20) & (Z < 0) & (NEAR < 60), "failed"),
}


@pytest.mark.parametrize("piece", PIECES)
def test_tissue_that_a_poor_strip_left(piece):
    added, state = PIECES[piece]
    mask = TEMPLATE.brain | added
    found = measure_outside_brain(Volume(mask, TEMPLATE.affine), np.eye(4), TEMPLATE)
    beside = added & (NEAR > 6)
    assert found.ml == pytest.approx(0.064 * beside.sum(), rel=0.02, abs=0.1)
    told = verdict(GOOD | found.numbers(), Quality(), "T1w")
    assert ("failed" if told.failed else "warned" if told.warned else "ok") == state
    assert all("outside the brain" in reason for reason in told.failed + told.warned)
    assert ("restrip: auto" in "".join(told.remedies)) == (state != "ok")


def test_a_neck_below_the_grid_of_the_template_counts():
    longer = np.pad(TEMPLATE.brain, ((0, 0), (0, 0), (10, 0)))
    longer[20:30, 15:25, :9] = True
    affine = TEMPLATE.affine.copy()
    affine[2, 3] -= 40
    assert measure_outside_brain(Volume(longer, affine), np.eye(4), TEMPLATE).ml > 20


@pytest.mark.parametrize(("restrip", "cut"), [("never", False), ("auto", True), ("always", True)])
def test_a_poor_strip_is_repeated_where_the_recipe_says_so(restrip, cut):
    eyes = PIECES["eyes"][0]
    scan = Volume(np.where(eyes & ~TEMPLATE.brain, 0.8, TEMPLATE.t1).astype(np.float32), TEMPLATE.affine)
    registered = resample_to_template(scan, Affine(np.eye(4)), TEMPLATE, "T1w")
    settings = SkullStrip(restrip=restrip)
    given = strip(registered, settings, True)
    brain, numbers, notes = examined(registered, given, settings, True, TEMPLATE)
    assert (numbers["outside_brain_fraction"] < 0.001, bool(notes)) == (cut, cut)
    assert (brain & TEMPLATE.brain).sum() > 0.98 * TEMPLATE.brain.sum()


def test_masks_from_the_template_are_not_measured():
    scan = Volume(TEMPLATE.t1.astype(np.float32), TEMPLATE.affine)
    registered = resample_to_template(scan, Affine(np.eye(4)), TEMPLATE, "T1w")
    assert examined(registered, TEMPLATE.brain, SkullStrip(), False, TEMPLATE)[1:] == ({}, [])


@pytest.mark.parametrize("degrees", [0.0, 18.0])
def test_a_tilted_gantry_is_told_where_the_head_is_not_placed(degrees):
    shear, turn = np.eye(4), np.eye(4)
    shear[1, 2] = np.tan(np.radians(degrees))
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    scan = Volume(t1(), turn @ shear @ np.diag([1, 1, 5.0, 1]))
    assert shear_deg(scan) == pytest.approx(degrees, abs=1e-6)
    numbers = {"shear_deg": shear_deg(scan)}
    assert verdict(GOOD | numbers, Quality(), "ct").failed == verdict(GOOD, Quality(), "ct").failed
    told = verdict(GOOD | numbers | {"half_turn_ratio": 0.7}, Quality(), "ct")
    assert ("shear of 18 degrees" in told.failed[0]) == bool(degrees)
    assert told.remedies == (["take the tilt out of the header, or out of the voxels as well"] if degrees else [])


def test_what_shows_no_tissue_is_told():
    bottle = {"nmi": 1.03, "white_grey_contrast": 0.001, "csf_grey_contrast": 0.002}
    assert "no brain" in verdict(GOOD | bottle, Quality(), "T1w").failed[-1]


N4_VALUES = {
    "as they are": lambda d: d,
    "below 0": lambda d: d - 250,
    "cut just above 0": lambda d: np.maximum(d - 250, 1e-3),
}


@pytest.mark.parametrize("values", N4_VALUES)
def test_n4_fits_scans_whose_values_reach_0(values):
    trend = np.linspace(0.7, 1.3, 20)[:, None, None]
    tissue = np.where(np.indices((20, 20, 20)).sum(axis=0) % 12 < 5, 300, 800)
    data = N4_VALUES[values](tissue * trend).astype(np.float32)
    corrected = N4Step(shrink=1, iterations=[3]).apply(data, tissue > 0, np.full(3, 6.0))
    ends = [image[-1].mean() - image[0].mean() for image in (data, corrected)]
    assert ends[1] < 0.995 * ends[0]


def test_n4_that_can_fit_nothing_is_refused():
    empty = np.zeros((16, 16, 16), np.float32)
    with pytest.raises(InputError, match="no bias field"):
        N4Step(shrink=1).apply(empty, empty == 0, np.full(3, 2.0))


def test_values_that_no_scanner_gives_are_noted():
    plain = Volume(t1() + np.abs(20 * NOISE).astype(np.float32), AFFINE)
    spiked = plain.data.copy()
    spiked[2:40:9, 3, 5] = 1e6
    levels = Volume((plain.data / 300).round(), AFFINE)
    assert value_notes(plain) == []
    assert [note.partition(" ")[0] for note in value_notes(Volume(spiked, AFFINE))] == ["5"]
    assert [note for note in value_notes(levels) if "different values" in note]
    assert ghosting_ratio(Volume(spiked, AFFINE), BRAIN) == pytest.approx(ghosting_ratio(plain, BRAIN), abs=0.02)


@pytest.mark.parametrize("lowest", [0, 1, 5])
def test_a_head_in_ct_whose_air_was_cut_is_no_brain_although_bone_outshines_tissue(lowest):
    """The skull is open below, so that its inside is not taken for filled."""
    data = np.where((RADIUS >= 1) & (RADIUS < 1.2) & (MM[..., 2] > -50), 2500, np.where(HEAD, ct(), -1000))
    data[HEAD & (data < 100)] = 30
    assert not decide(Volume(np.maximum(data, lowest).astype(np.float32), AFFINE), "ct").stripped
