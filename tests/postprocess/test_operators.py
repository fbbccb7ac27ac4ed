from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from scipy import ndimage

from brainuad.config.postprocessing import IN_VOXELS, POSTPROCESSING, RENAMED_OPERATORS, Postprocessing
from brainuad.images import components
from brainuad.postprocess import kernels, operators
from brainuad.postprocess.apply import predicted_mask, process_map

POSTPROCESSINGS = Path(__file__).parents[2] / "config" / "postprocessing"
WHOLE = np.ones((9, 9, 5), bool)


def squares(*sides: int, shape: tuple[int, int, int] = (20, 20, 3)) -> np.ndarray:
    """Squares of these sides in the middle slice, in a row along y, one voxel apart."""
    mask, at = np.zeros(shape, bool), 1
    for side in sides:
        mask[1 : 1 + side, at : at + side, 1] = True
        at += side + 1
    return mask


def test_median_equals_the_plain_filter_in_the_brain_and_removes_a_lone_voxel():
    rng = np.random.default_rng(0)
    anomaly = rng.standard_normal((12, 13, 11)).astype(np.float32)
    brain = np.zeros(anomaly.shape, bool)
    brain[2:10, 1:, 3:9] = True
    expected = np.where(brain, ndimage.median_filter(anomaly, 5, mode="constant"), 0)
    np.testing.assert_array_equal(operators.median3d(anomaly, brain, (5, 5, 5)), expected)
    lone = np.zeros((9, 9, 5), np.float32)
    lone[4, 4, 2] = 7
    assert not operators.median3d(lone, WHOLE, (3, 3, 3)).any()


def test_gaussian_keeps_a_constant_map_up_to_the_edge_of_the_brain():
    brain = np.zeros((12, 12, 12), bool)
    brain[3:9, 3:9, 3:9] = True
    smooth = operators.gaussian(brain.astype(np.float32) * 2, brain, (1.5, 1.5, 1.5))
    np.testing.assert_allclose(smooth[brain], 2, rtol=1e-5)
    assert not smooth[~brain].any()


def test_erosion_takes_the_rim_of_the_brain_and_not_the_ends_of_a_slab():
    brain = np.zeros((13, 13, 5), bool)
    brain[2:11, 2:11] = True  # the brain leaves the grid below and above
    anomaly = np.where(brain, 1, 0).astype(np.float32)
    anomaly[2, 2, 0] = -3
    for rim in ((2, 2, 0), (2, 2, 2)):  # in slices, in 3D
        eroded = operators.erode_brain_mask(anomaly, brain, rim)
        assert eroded[4:9, 4:9].all()
        assert (eroded > 0).sum() == 5 * 5 * 5
        assert eroded[2, 2, 0] == -3
    brain[:, :, 3:] = False  # here the brain itself ends
    assert operators.erode_brain_mask(anomaly, brain, (2, 2, 2))[4:9, 4:9].any(axis=(0, 1)).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("depth", [1, 3])
def test_erosion_equals_repeated_erosion_by_the_nearest_neighbours(depth):
    brain = np.pad(np.random.default_rng(1).random((20, 21, 9)) < 0.99, 1)
    cross = ndimage.generate_binary_structure(3, 1)
    for structure, rim in ((cross, (depth,) * 3), (cross[:, :, 1:2], (depth, depth, 0))):
        eroded = operators.erode_brain_mask(brain.astype(np.float32), brain, rim)
        np.testing.assert_array_equal(eroded > 0, ndimage.binary_erosion(brain, structure, iterations=depth))


@pytest.mark.parametrize(
    ("mm", "edge", "odd", "plain"),
    [(5, 1, 5, 5), (5, 2, 3, 2), (3, 2, 1, 1), (3, 1, 3, 3), (4, 1, 3, 4), (5, 4, 1, 1), (12, 4, 3, 3), (1, 2, 1, 0)],
)
def test_mm_become_the_nearest_voxels_and_of_two_the_fewer(mm, edge, odd, plain):
    assert (kernels.odd_voxels(mm, edge), kernels.voxels(mm, edge)) == (odd, plain)


OPERATORS = [
    {"op": "median3d", "size_mm": 10},
    {"op": "erode_brain_mask", "depth_mm": 4},
    {"op": "opening", "radius_mm": 4},
    {"op": "closing", "radius_mm": 4, "shape": "square"},
    {"op": "dilation", "radius_mm": 4},
    {"op": "area_opening", "min_mm2": 200},
    {"op": "remove_small_components", "min_ml": 1.2},
]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator["op"])
def test_an_operator_reaches_equally_far_in_mm_at_1_and_2_mm(operator):
    postprocessing = Postprocessing.model_validate({"operators": [operator]})
    volumes = []
    for edge in (1, 2):
        brain = np.zeros((64 // edge,) * 3, bool)
        brain[(slice(4 // edge, 60 // edge),) * 3] = True
        anomaly = np.zeros(brain.shape, np.float32)
        for start, side in ((2, 8), (20, 12), (36, 24)):  # mm
            anomaly[tuple(slice(a // edge, (a + side) // edge) for a in (start, start, start))] = 1
        spacing = (float(edge),) * 3
        anomaly = process_map(anomaly, anomaly, brain, spacing, postprocessing.on_map())
        volumes.append(predicted_mask(anomaly, brain, spacing, 0.5, postprocessing.on_mask()).sum() * edge**3)
    assert volumes[1] == pytest.approx(volumes[0], rel=0.12)


def test_the_record_says_what_operators_are_on_the_grid_and_which_do_nothing():
    path = POSTPROCESSINGS / "baur2018.yaml"
    steps = POSTPROCESSING.validate_python(yaml.safe_load(path.read_text())).operators
    fine, coarse = (kernels.on_grid(steps, (edge,) * 3) for edge in (1.0, 2.0))
    assert [step["voxels"] for step in fine[:2]] == [[5, 5, 5], [3, 3, 0]]
    assert [step["voxels"] for step in coarse[:2]] == [[3, 3, 3], [1, 1, 0]]
    assert (fine[2]["min_voxels"], coarse[2]["min_voxels"], coarse[2]["idle"]) == (6, 1, True)


def test_hyperintensity_prior_looks_at_the_brain_alone():
    image = np.full((10, 10, 1), 100.0, np.float32)
    brain = np.zeros(image.shape, bool)
    brain[0] = True
    image[0, :, 0] = np.arange(10)
    kept = operators.hyperintensity_prior(np.ones_like(image), brain, image, 0.5)
    assert kept[0, :, 0].tolist() == [0] * 5 + [1] * 5


def test_closing_bridges_a_gap_within_a_slice_and_not_between_slices():
    mask = np.zeros((9, 9, 3), bool)
    mask[4, [2, 4], 1] = True
    closed = operators.closing(mask, (1, 1), "square")
    assert closed[4, 3, 1]
    assert not closed[:, :, [0, 2]].any()
    border = np.zeros((9, 9, 1), bool)
    border[0:3, 0:3] = True
    np.testing.assert_array_equal(operators.closing(border, (2, 2), "disk"), border)


def test_opening_drops_what_is_thinner_than_the_element():
    mask = squares(3, 2)
    np.testing.assert_array_equal(operators.opening(mask, (1, 1), "square"), squares(3))


def test_dilation_by_a_disk_and_a_square():
    dot = np.zeros((7, 7, 3), bool)
    dot[3, 3, 1] = True
    assert operators.dilation(dot, (1, 1), "disk").sum() == 5
    assert operators.dilation(dot, (1, 1), "square").sum() == 9
    assert operators.footprint((2, 2), "disk").sum() == 13
    assert operators.footprint((2, 1), "disk").sum() == 7


def test_holes_are_filled_in_slices_or_in_3d():
    tube = np.zeros((7, 7, 3), bool)
    tube[2:5, 2:5] = True
    tube[3, 3] = False
    assert components.fill_holes(tube, per_slice=True)[3, 3].all()
    np.testing.assert_array_equal(components.fill_holes(tube), tube)
    box = np.ones((5, 5, 5), bool)
    box[2, 2, 2] = False
    assert components.fill_holes(box).all()


def test_a_diagonal_wall_encloses_in_a_slice():
    ring = np.zeros((5, 5, 1), bool)
    ring[[1, 2, 2, 3], [2, 1, 3, 2], 0] = True  # four voxels that touch at corners: one component of 8 neighbours
    assert components.label(ring, per_slice=True)[1] == 1
    assert components.fill_holes(ring, per_slice=True).sum() == 5


def test_area_openings():
    np.testing.assert_array_equal(operators.area_opening(squares(4, 3, 2), 9), squares(4, 3))
    relative = operators.relative_area_opening(squares(5, 4, 3), 0.6)  # 25, 16 (0.64), 9 (0.36)
    np.testing.assert_array_equal(relative, squares(5, 4))


def test_the_largest_component_is_sought_in_each_slice():
    mask = np.zeros((20, 20, 2), bool)
    mask[:10, :10, 0] = True
    mask[15:17, 15:17, 1] = True
    np.testing.assert_array_equal(operators.relative_area_opening(mask, 0.6), mask)


def test_components_under_six_voxels_go_and_six_stay():
    mask = np.zeros((20, 5, 5), bool)
    mask[0:6, 0, 0] = True
    mask[10:15, 0, 0] = True
    assert operators.remove_small_components(mask, 6).sum() == 6
    corner = np.zeros((4, 4, 4), bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True  # 26 neighbours: one component of two voxels
    assert operators.remove_small_components(corner, 2).sum() == 2


def test_top_components_by_size_and_by_residual():
    mask = squares(4, 3, 2)
    anomaly = mask.astype(np.float32)
    anomaly[1:3, 10:12, 1] = 10  # the smallest square holds the largest sum
    np.testing.assert_array_equal(operators.top_components(mask, None, 2, per_slice=False), squares(4, 3))
    best = operators.top_components(mask, anomaly, 1, per_slice=False)
    assert best.sum() == 4
    assert best[1, 10, 1]


def test_top_components_of_each_slice():
    mask = np.zeros((9, 9, 2), bool)
    mask[0:2, 0:2, 0] = mask[5, 5, 0] = mask[5, 5, 1] = True
    kept = operators.top_components(mask, None, 1, per_slice=True)
    assert kept.sum(axis=(0, 1)).tolist() == [4, 1]


@pytest.mark.parametrize("path", sorted(POSTPROCESSINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_predicted_in_a_flat_map(path):
    postprocessing = POSTPROCESSING.validate_python(yaml.safe_load(path.read_text()))
    flat = np.zeros(WHOLE.shape, np.float32)
    anomaly = process_map(flat, flat, WHOLE, (2, 2, 2), postprocessing.on_map())
    assert not predicted_mask(anomaly, WHOLE, (2, 2, 2), 0.0, postprocessing.on_mask()).any()
    assert predicted_mask(anomaly, WHOLE, (2, 2, 2), -1.0, postprocessing.on_mask()).any()


def test_masks_stay_in_the_brain_and_above_the_threshold():
    brain = np.zeros((9, 9, 5), bool)
    brain[2:7, 2:7, 1:4] = True
    postprocessing = Postprocessing.model_validate({"operators": [{"op": "dilation", "radius_mm": 2}]})
    anomaly = np.where(brain, np.float32(0.5), 0)
    anomaly[2, 2, 2] = 1
    grown = predicted_mask(anomaly, brain, (1, 1, 1), 0.5, postprocessing.on_mask())
    assert grown.sum() == 6  # a quarter of the disk of 13, with its axes
    assert not (grown & ~brain).any()


def test_a_map_operator_behind_a_mask_operator_is_refused():
    with pytest.raises(ValidationError, match="median3d works on maps"):
        Postprocessing.model_validate({"operators": [{"op": "closing"}, {"op": "median3d"}]})


@pytest.mark.parametrize(("old", "new"), RENAMED_OPERATORS.items())
def test_an_operator_by_its_old_name_is_refused_with_the_new_one(old, new):
    with pytest.raises(ValidationError, match=f"the operator {old} is now {new}"):
        Postprocessing.model_validate({"operators": [{"op": old}]})
    Postprocessing.model_validate({"operators": [{"op": new}]})


@pytest.mark.parametrize(("operator", "keys"), IN_VOXELS.items())
def test_a_key_that_counted_voxels_is_refused_with_the_one_in_mm(operator, keys):
    with pytest.raises(ValidationError, match=f"{keys[0]} counted voxels and is now {keys[1]}"):
        Postprocessing.model_validate({"operators": [{"op": operator, keys[0]: 3}]})
    Postprocessing.model_validate({"operators": [{"op": operator, keys[1]: 3}]})


@pytest.mark.parametrize("path", sorted(POSTPROCESSINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_postprocessings_are_valid(path):
    postprocessing = POSTPROCESSING.validate_python(yaml.safe_load(path.read_text()))
    assert postprocessing.operators == [*postprocessing.on_map(), *postprocessing.on_mask()]


def test_the_postprocessing_of_baur_2018_is_the_papers():
    postprocessing = POSTPROCESSING.validate_python(yaml.safe_load((POSTPROCESSINGS / "baur2018.yaml").read_text()))
    assert [step.op for step in postprocessing.operators] == ["median3d", "erode_brain_mask", "remove_small_components"]
    assert postprocessing.operators[0].size_mm == 5
    assert postprocessing.operators[2].min_ml == 0.006
