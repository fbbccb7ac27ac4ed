from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from brainuad.config.insertion import Insertion
from brainuad.errors import InputError
from brainuad.images.insert import edge_weight, fluid_and_tissue, insert_lesion
from brainuad.images.seeds import rng_for

PLAIN = Insertion(mirror=0)
SUBTLE = Insertion(mirror=0, contrast=(0.1, 0.3))
SHAPE = (41, 44, 38)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    index = np.indices(SHAPE).astype(float)
    return sum((index[i] - centre[i]) ** 2 for i in range(3)) < radius**2


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    """Tissue of 1000 with fluid of 300 in the middle, noise of 20; the brain is a ball."""
    brain = ball((20, 22, 19), 17)
    image = np.where(ball((20, 22, 19), 5), 300.0, 1000.0) * brain
    return (image + 20 * rng_for(0, "noise").standard_normal(SHAPE)).astype(np.float32), brain


@pytest.fixture
def lesion() -> np.ndarray:
    return ball((30, 22, 19), 5)


def darkening(scan, lesion, settings, draws=8) -> float:
    """Mean share of the way to the fluid."""
    image, brain = scan
    found = []
    for draw in range(draws):
        planted, truth = insert_lesion(image, brain, lesion, rng_for(0, f"draw-{draw}"), settings)
        core = ndimage.binary_erosion(truth, iterations=2)
        found.append((image - planted)[core].mean() / 700)
    return float(np.mean(found))


def test_fluid_and_tissue_are_read_from_the_scan(scan):
    fluid, tissue = fluid_and_tissue(*scan)
    assert fluid == pytest.approx(300, abs=40)
    assert tissue == pytest.approx(1000, abs=20)


def test_the_lesion_is_the_mask_inside_the_brain_and_nothing_changes_far_from_it(scan, lesion):
    image, brain = scan
    lesion = lesion | ball((38, 22, 19), 4)  # overhangs the brain
    kept = image.copy()
    planted, truth = insert_lesion(image, brain, lesion, rng_for(1, "x"), PLAIN)
    np.testing.assert_array_equal(truth, lesion & brain)
    np.testing.assert_array_equal(planted[~brain], image[~brain])
    far = ndimage.distance_transform_edt(~truth) * 2 > PLAIN.edge_mm
    np.testing.assert_array_equal(planted[far], image[far])
    np.testing.assert_array_equal(image, kept)
    assert planted.dtype == np.float32


def test_lesions_are_dark_and_default_ones_darker_than_subtle_ones(scan, lesion):
    subtle, plain = darkening(scan, lesion, SUBTLE), darkening(scan, lesion, PLAIN)
    assert 0.08 < subtle < 0.32
    assert 0.4 < plain < 0.9
    full = Insertion(mirror=0, contrast=(1, 1), uneven=0, texture=0)
    assert darkening(scan, lesion, full, draws=1) == pytest.approx(1, abs=0.06)


def test_mirroring_flips_left_and_right(scan, lesion):
    image, brain = scan
    _, truth = insert_lesion(image, brain, lesion, rng_for(1, "x"), Insertion(mirror=1))
    np.testing.assert_array_equal(truth, (lesion & brain[::-1])[::-1])
    sides = [insert_lesion(image, brain, lesion, rng_for(s, "x"), Insertion())[1][30, 22, 19] for s in range(40)]
    assert 8 < sum(sides) < 32


def test_a_draw_repeats(scan, lesion):
    first, _ = insert_lesion(*scan, lesion, rng_for(1, "sub-1", "draw-1"), PLAIN)
    again, _ = insert_lesion(*scan, lesion, rng_for(1, "sub-1", "draw-1"), PLAIN)
    other, _ = insert_lesion(*scan, lesion, rng_for(1, "sub-1", "draw-2"), PLAIN)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_edge_is_soft_and_crosses_one_half_at_the_border(lesion):
    weight = edge_weight(lesion, 3.0)
    np.testing.assert_array_equal(weight > 0.5, lesion)
    assert ((weight > 0) & (weight < 1)).sum() > 100
    assert weight.max() == 1
    assert not edge_weight(np.zeros(SHAPE, bool), 3.0).any()


def test_a_lesion_outside_the_brain_or_on_another_grid_is_refused(scan, lesion):
    image, brain = scan
    with pytest.raises(InputError, match="outside the brain"):
        insert_lesion(image, brain, ball((1, 1, 1), 3), rng_for(0, "x"), PLAIN)
    with pytest.raises(InputError, match="another grid"):
        insert_lesion(image, brain, lesion[1:], rng_for(0, "x"), PLAIN)


def test_contrast_must_rise_within_its_bounds():
    for contrast in [(0.5, 0.2), (0.0, 0.5), (0.5, 1.2)]:
        with pytest.raises(ValidationError, match="contrast"):
            Insertion(contrast=contrast)
