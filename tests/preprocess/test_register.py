"""Registration finds a pose that is known, whatever the backend, and the same one every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float

from brainuad.config.recipe import Quality, Registration
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.pose import draw_pose
from brainuad.images.seeds import rng_for, seed_words
from brainuad.images.template import mni152
from brainuad.preprocess.brain_mask.stripped import decide
from brainuad.preprocess.quality.measure import measure
from brainuad.preprocess.quality.verdict import verdict
from brainuad.preprocess.registered_scan import resample_to_template
from brainuad.preprocess.registration.input import registration_input
from brainuad.preprocess.registration.nmi_search import nmi_and_half_turn_ratio
from brainuad.preprocess.registration.register import register


def distance(a: Float[np.ndarray, "4 4"], b: Float[np.ndarray, "4 4"]) -> float:
    template = mni152(2.0)
    points = np.argwhere(template.brain)[::101] @ template.affine[:3, :3].T + template.affine[:3, 3]
    apart = points @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def scan_of(ready) -> Volume:
    return Volume(ready.phantom.image, ready.phantom.affine)


def registered(scan: Volume, modality: str, settings: Registration) -> Affine:
    template = mni152(2.0)
    return register(registration_input(scan, modality, False, template), template, settings)


def test_known_pose(ready):
    found = registered(scan_of(ready), "T1w", Registration())
    assert distance(found.matrix, ready.phantom.template_to_scan) < 2.5


def test_thick_slices_and_oblique_axes(ready):
    tilt = np.deg2rad(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    thick = np.diag([1.0, 1.0, 3.0, 1.0])
    thick[2, 3] = 1.0
    data = ready.phantom.image
    data = data[:, :, : data.shape[2] // 3 * 3].reshape(*data.shape[:2], -1, 3).mean(axis=3)
    scan = Volume(data, turn @ ready.phantom.affine @ thick)
    found = registered(scan, "T1w", Registration())
    assert distance(found.matrix, turn @ ready.phantom.template_to_scan) < 3


@pytest.mark.parametrize("settings", [{"backend": "simpleitk"}, {"polish": "simpleitk"}, {"polish": "ants"}])
def test_other_optimisers(ready, settings):
    found = registered(scan_of(ready), "T1w", Registration.model_validate(settings))
    assert distance(found.matrix, ready.phantom.template_to_scan) < 4


def test_finds_the_right_size_where_a_blurred_one_misleads():
    phantom = make_phantom(94, "T2w")  # its best blurred match is a brain blown up to the scalp
    found = registered(Volume(phantom.image, phantom.affine), "T2w", Registration())
    assert distance(found.matrix, phantom.template_to_scan) < 2.5


def test_finds_a_child():
    pose = draw_pose(rng_for(0, "hard", "pilot-010", "child"))
    x, y, z = (0.8 * scale for scale in pose.scale)  # from an adult's size one comes to its scalp
    phantom = make_phantom(seed_words(0, "pilot-010"), "T1w", pose=replace(pose, scale=(x, y, z)))
    found = registered(Volume(phantom.image, phantom.affine), "T1w", Registration())
    assert distance(found.matrix, phantom.template_to_scan) < 2.5


def test_stripped_input_is_told_from_heads(ready):
    phantom = ready.phantom
    assert decide(Volume(phantom.image * phantom.brain, phantom.affine), "T1w").stripped
    assert not decide(scan_of(ready), "T1w").stripped


@pytest.mark.parametrize("shift", [(15, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 15), (0, 0, -15)])
def test_misplaced_by_15_mm_is_refused(ready, shift):
    template, scan = mni152(2.0), scan_of(ready)
    off = ready.phantom.template_to_scan.copy()
    off[:3, 3] += shift
    placed = resample_to_template(scan, Affine(off), template, "T1w")
    moving = registration_input(scan, "T1w", False, template)
    nmi, half_turn_ratio = nmi_and_half_turn_ratio(moving, template, off)
    numbers = measure(placed, template.brain, placed.to_scan(template.brain))
    numbers |= {"nmi": nmi, "half_turn_ratio": half_turn_ratio}
    assert any("registration" in reason for reason in verdict(numbers, Quality(), "T1w").failed)
