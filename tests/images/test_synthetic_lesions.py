from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from brainuad.config.synthetic import ScannerChanges, SyntheticLesions
from brainuad.errors import InputError
from brainuad.figures.lesion_sheet import Tile, example_tiles, lesion_sheet
from brainuad.images.seeds import rng_for
from brainuad.images.synthetic_lesions.kinds import Levels
from brainuad.images.synthetic_lesions.lesions import HealthySlab, Sample, draw_lesions
from brainuad.images.synthetic_lesions.scanner import change_scanner
from brainuad.images.synthetic_lesions.shapes import draw_radius, draw_shape

SHAPE = (24, 28, 16)
SPACING = 2.0
ALWAYS = SyntheticLesions(healthy=0, radius_mm=(4, 8))


def slab(flat: bool = False) -> HealthySlab:
    rng = rng_for(0, "head")
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    brain = x**2 + y**2 + 0.3 * z**2 < 0.9
    structure = 0.0 if flat else 0.2 * np.cos(9 * x) * np.cos(8 * y) + 0.02 * rng.standard_normal(SHAPE)
    image = ((0.6 + structure) * brain).astype(np.float32)
    foreign = ((0.6 + np.roll(structure, 3)) * brain).astype(np.float32)
    return HealthySlab(image, brain, foreign, Levels(0.1, 0.6), SPACING, 6, 9)


def drawn(settings: SyntheticLesions, seed: int = 0, flat: bool = False) -> Sample:
    return draw_lesions(slab(flat), rng_for([0, seed], "test"), settings)


def test_a_seed_gives_the_same_sample_and_another_seed_another():
    one, again, other = drawn(ALWAYS, 3), drawn(ALWAYS, 3), drawn(ALWAYS, 4)
    for name in ("image", "dark", "bright"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("kind", ["towards", "added", "foreign", "grain", "moved", "texture"])
def test_only_lesions_change_and_only_changed_voxels_are_labelled(kind):
    settings = ALWAYS.model_copy(update={"kinds": {kind: 1.0}})
    healthy, labelled = slab(), 0
    for seed in range(6):
        sample = drawn(settings, seed)
        (lesion,) = sample.lesions
        weight = np.zeros(SHAPE, np.float32)
        weight[lesion.shape.window] = lesion.shape.weight
        assert lesion.kind == kind
        assert not (sample.image != healthy.image)[(weight == 0) | ~healthy.brain].any()
        label = sample.dark | sample.bright
        assert not label[(weight <= 0.5) | ~healthy.brain].any()
        labelled += int(label.sum())
    assert labelled


@pytest.mark.parametrize(("dark", "name", "other"), [(1.0, "dark", "bright"), (0.0, "bright", "dark")])
def test_a_visible_lesion_is_labelled_exactly_by_its_sign(dark, name, other):
    plain = {"kinds": {"added": 1.0}, "shift": (0.5, 0.5), "selective": 0.0, "edge_mm": (0.1, 0.1), "dark": dark}
    sample = drawn(ALWAYS.model_copy(update=plain), flat=True)
    changed = sample.image - slab(flat=True).image
    np.testing.assert_array_equal(getattr(sample, name), np.abs(changed) > 0.125)
    assert not getattr(sample, other).any()
    assert np.abs(changed).max() == pytest.approx(0.25)


def test_a_change_that_nobody_sees_is_no_lesion():
    faint = {"kinds": {"added": 1.0}, "shift": (0.01, 0.01)}
    sample = drawn(ALWAYS.model_copy(update=faint))
    assert sample.lesions
    assert not (sample.dark | sample.bright).any()


def test_a_smooth_lesion_is_as_large_as_its_radius_says():
    smooth = SyntheticLesions(radius_mm=(5, 12), roughness=(0, 0), fine_roughness=(0, 0), second=0)
    for seed in range(8):
        shape = draw_shape(rng_for([0, seed], "test"), (48, 48, 48), SPACING, np.full(3, 24.0), smooth)
        volume = (shape.weight > 0.5).sum() * SPACING**3
        assert 5 <= shape.radius_mm <= 12
        assert (volume * 0.75 / np.pi) ** (1 / 3) == pytest.approx(shape.radius_mm, rel=0.06)


def test_a_rough_border_and_a_second_part_keep_to_their_window():
    rough = SyntheticLesions(radius_mm=(6, 12), second=1)
    for seed in range(6):
        shape = draw_shape(rng_for([0, seed], "test"), (80, 80, 80), SPACING, np.full(3, 40.0), rough)
        inside = np.zeros_like(shape.weight, dtype=bool)
        inside[1:-1, 1:-1, 1:-1] = True
        assert not shape.weight[~inside].any()
        assert shape.weight.max() > 0.5


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.18), (1.0, 0.42), (2.0, 0.70), (3.0, 0.88)])
def test_the_power_of_radii_sets_the_share_of_lesions_below_5_ml(power, share):
    settings = SyntheticLesions(radius_power=power)
    rng = rng_for(0, "test")
    radii = np.array([draw_radius(rng, settings) for _ in range(4000)])
    assert radii.min() >= 4
    assert radii.max() <= 40
    assert (4 / 3 * np.pi * radii**3 < 5000).mean() == pytest.approx(share, abs=0.03)


def test_some_samples_stay_healthy_and_others_have_several_lesions():
    settings = SyntheticLesions(healthy=0.5, count=(2, 3), radius_mm=(4, 6))
    counts = [len(drawn(settings, seed).lesions) for seed in range(24)]
    assert set(counts) == {0, 2, 3}
    untouched = drawn(settings, counts.index(0))
    np.testing.assert_array_equal(untouched.image, slab().image)
    assert not (untouched.dark | untouched.bright).any()


def test_a_slab_without_brain_stays_as_it_is():
    empty = HealthySlab(*[np.zeros(SHAPE, kind) for kind in (np.float32, bool, np.float32)], Levels(0, 1), 2.0, 6, 9)
    assert not draw_lesions(empty, rng_for(0, "test"), ALWAYS).image.any()


def test_another_scanner_changes_brain_alone_and_keeps_contrast():
    healthy = slab()
    changed = [
        change_scanner(healthy.image, healthy.brain, healthy.levels, SPACING, rng_for([0, seed], "test"), settings)
        for seed, settings in enumerate([ScannerChanges(), ScannerChanges(strong=1), ScannerChanges(strong=1)])
    ]
    for image in changed:
        assert image.dtype == np.float32
        assert not image[~healthy.brain].any()
        assert np.corrcoef(image[healthy.brain], healthy.image[healthy.brain])[0, 1] > 0.8
    assert not np.array_equal(changed[1], changed[2])
    off = ScannerChanges(gamma=0, gain=0, blur=0, noisy=0)
    same = change_scanner(healthy.image, healthy.brain, healthy.levels, SPACING, rng_for(0, "test"), off)
    np.testing.assert_allclose(same, healthy.image, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"radius_mm": (0, 4)}, {"edge_mm": (3, 2)}, {"kinds": {}}, {"kinds": {"added": -1.0}}, {"kind": 1}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        SyntheticLesions(**wrong)


def test_the_sheet_shows_each_slice_with_the_outline_of_its_label():
    sample = drawn(ALWAYS.model_copy(update={"kinds": {"added": 1.0}, "shift": (0.5, 0.5)}))
    level = int(np.argmax((sample.dark | sample.bright).sum((0, 1))))
    tile = Tile("added 5 mm", *[part[:, :, level] for part in (slab().image, sample.image, sample.dark, sample.bright)])
    page = np.asarray(lesion_sheet("lesions", [tile] * 5))
    coloured = page.max(2).astype(int) - page.min(2) > 60
    assert ndimage.label(coloured)[1] >= 5


def test_examples_are_of_each_kind_that_is_drawn_from_small_to_large():
    settings = ALWAYS.model_copy(update={"kinds": {"added": 1.0, "towards": 0.0, "moved": 2.0}})
    healthy = slab()
    tiles = example_tiles([healthy.image] * 2, [healthy.brain] * 2, SPACING, settings)
    kinds, radii = zip(*[tile.caption.split(", ")[:2] for tile in tiles], strict=True)
    assert kinds == ("added",) * 8 + ("moved",) * 8
    sizes = [float(radius.split()[0]) for radius in radii]
    assert sizes[:8] == sorted(sizes[:8])
    assert all((tile.dark | tile.bright).any() for tile in tiles)
    with pytest.raises(InputError, match="visible"):
        example_tiles(
            [healthy.image],
            [healthy.brain],
            SPACING,
            settings.model_copy(update={"visible": 9.0, "kinds": {"added": 1.0}}),
        )
