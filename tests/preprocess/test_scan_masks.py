"""Masks as programs leave them: which are taken, converted with a note, warned of or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainuad.config.reading import Reading
from brainuad.errors import InputError
from brainuad.formats.mask_grid import Grid, place
from brainuad.formats.raw import read_raw
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.preprocess.scan_masks import ScanMasks, misplaced_lesions, read_masks

SHAPE = (40, 48, 36)
LESION = np.zeros(SHAPE, bool)
LESION[8:16, 20:28, 10:18] = True
VOXEL_ML = 2 * 2.5 * 3 / 1000
ML = LESION.sum() * VOXEL_ML
BRAIN = np.zeros(SHAPE, bool)
BRAIN[2:-2, 2:-2, 2:-2] = True
IMAGE = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)


def turned(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return matrix


AFFINE = turned(7) @ np.diag([2, 2.5, 3, 1.0])
AFFINE[:3, 3] = -41.234567, -55.345678, -48.456789


def moved(*mm: float, affine: np.ndarray = AFFINE) -> np.ndarray:
    out = affine.copy()
    out[:3, 3] += mm
    return out


def image(data: np.ndarray, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    return nib.Nifti1Image(data, affine)


def lesion(dtype: Any = np.uint8, value: float = 1, background: float = 0) -> np.ndarray:
    return np.where(LESION, value, background).astype(dtype)


def scaled() -> nib.Nifti1Image:
    out = image(lesion())
    out.header.set_slope_inter(1 / 255, 0)
    return out


def flipped(*axes: int, keep_affine: bool = False) -> nib.Nifti1Image:
    matrix = np.eye(4)
    for axis in axes:
        matrix[axis, axis], matrix[axis, 3] = -1, SHAPE[axis] - 1
    return image(lesion() if keep_affine else np.flip(lesion(), axes), AFFINE @ matrix)


def permuted() -> nib.Nifti1Image:
    return image(lesion().transpose(2, 0, 1), AFFINE @ np.eye(4)[:, [2, 0, 1, 3]])


def coded(data: np.ndarray, sform: np.ndarray | None, qform: np.ndarray | None, codes: tuple[int, int]) -> Any:
    out = nib.Nifti1Image(data, sform if sform is not None else qform)
    out.set_sform(sform, codes[0])
    out.set_qform(qform, codes[1])
    return out


def half() -> np.ndarray:
    return lesion()[::2, ::2, ::2]


def finer() -> nib.Nifti1Image:
    matrix = np.diag([0.5, 0.5, 0.5, 1.0])
    matrix[:3, 3] = -0.25
    return image(np.kron(lesion(), np.ones((2, 2, 2), np.uint8)), AFFINE @ matrix)


def cut_out(*shift: float) -> nib.Nifti1Image:
    matrix = np.eye(4)
    matrix[:3, 3] = 6, 18, 8
    return image(lesion()[6:20, 18:32, 8:22], moved(*shift, affine=AFFINE @ matrix))


def colour() -> nib.Nifti1Image:
    return image(np.zeros(SHAPE, dtype=[(each, "u1") for each in "RGB"]))


def soft() -> np.ndarray:
    out = lesion(np.float32)
    for axis in range(3):
        out = (np.roll(out, 1, axis) + 2 * out + np.roll(out, -1, axis)) / 4
    return out


def two_levels() -> np.ndarray:
    """A lesion, and another that does not reach the threshold."""
    out = lesion(np.float32)
    out[25:30, 20:25, 10:15] = 0.45
    return out


def labels() -> np.ndarray:
    return lesion() * np.array([1, 2, 4], np.uint8)[np.indices(SHAPE)[0] % 3]


def no_affine() -> nib.Nifti1Image:
    out = image(lesion())
    out.set_sform(None, 0)
    out.set_qform(None, 0)
    return out


def with_gaps(*boxes: tuple[slice, slice, slice], background: float = 0) -> nib.Nifti1Image:
    out = lesion(np.float32, 1, background)
    for box in boxes:
        out[box] = np.nan
    return image(out)


def ring() -> nib.Nifti1Image:
    """NaN wherever there is no lesion, in its middle as well."""
    return with_gaps(HOLE, background=np.nan)


HOLE = np.s_[10:12, 22:24, 12:14]
Made = Callable[[], nib.Nifti1Image]
SAME: dict[str, tuple[Made, str]] = {
    "0 and 1": (lambda: image(lesion()), ""),
    "0 and 255": (lambda: image(lesion(value=255)), ""),
    "labels 1, 2, 4": (lambda: image(labels()), ""),
    "almost 1": (lambda: image(lesion(np.float32, 0.9999)), ""),
    "background of -1": (lambda: image(lesion(np.int16, 1, -1)), ""),
    "a fourth axis of one": (lambda: image(lesion()[..., None]), ""),
    "big-endian": (lambda: nib.Nifti1Image(lesion(np.int16), AFFINE, nib.Nifti1Header(endianness=">")), ""),
    "flipped": (lambda: flipped(0, 1), ""),
    "another order of axes": (permuted, ""),
    "0.02 mm off": (lambda: image(lesion(), moved(0.02, 0.02, 0.02)), "0.035 mm beside"),
    "0.15 mm off": (lambda: image(lesion(), moved(0.15, 0, 0)), "0.15 mm beside"),
    "affine of 2 digits": (lambda: image(lesion(), AFFINE.round(2)), "mm beside"),
    "affine of 4 digits": (lambda: image(lesion(), AFFINE.round(4)), ""),
    "NaN outside": (lambda: image(lesion(np.float32, 1, np.nan)), "background"),
    "NaN amid the lesion": (lambda: with_gaps(HOLE, np.s_[8:9, 24:25, 11:12]), "9 voxels amid its lesions"),
    "NaN beside the lesion": (lambda: with_gaps(np.s_[7:8, 24:25, 11:12]), "background"),
    "NaN at the edge of the volume": (lambda: with_gaps(np.s_[:8], np.s_[:, :20]), "background"),
    "grey values": (lambda: image((np.indices(SHAPE)[0] * 3.3 * LESION).astype(np.float32)), "values up to"),
    "a part below 0.5": (lambda: image(two_levels()), "125 of its 637 voxels above 0"),
}
REFUSED: dict[str, tuple[Made, str]] = {
    "scaled by 1/255": (scaled, "highest value is 0.00392.*scaled by 1/255.*mask_threshold"),
    "0.0039": (lambda: image(lesion(np.float32, 0.0039)), "highest value is 0.0039.*scaled by 1/255"),
    "up to 0.45": (lambda: image(lesion(np.float32, 0.45)), "highest value is 0.45.*mask_threshold: 0.2"),
    "negative labels": (lambda: image(lesion(np.int16, -1)), "highest value is 0, its lowest -1.*above 0"),
    "NaN in place of the lesion": (lambda: image(lesion(np.float32, np.nan)), "no number in 0.74%"),
    "NaN in half the lesion": (lambda: with_gaps(np.s_[8:12, 20:28, 10:18]), "256 voxels in or beside its lesions"),
    "axes in another order": (lambda: image(lesion().transpose(1, 0, 2)), "another order.*48x40x36.*40x48x36"),
    "half the voxels, the scan's affine": (lambda: image(half()), "1 voxel for 2 x 2 x 2 along its axes"),
    "half the slices, the scan's affine": (lambda: image(lesion()[:, :, ::2]), "1 voxel for 1 x 1 x 2 along its axes"),
    "twice the voxels, the scan's affine": (
        lambda: image(np.kron(lesion(), np.ones((2, 2, 2), np.uint8))),
        "voxels for 1 of the scan: 2 x 2 x 2",
    ),
    "NaN and 0": (lambda: image(lesion(np.float32, 0, np.nan)), "no number in 99.26%"),
    "lesion 2 in a brain of 1": (lambda: image(1 + lesion()), "marks .* ml.*mask_threshold"),
    "infinite": (lambda: image(lesion(np.float32, np.inf)), "infinite"),
    "complex": (lambda: image(lesion(np.complex64)), "complex"),
    "colour": (colour, "colou?r|RGB"),
    "two volumes": (lambda: image(np.stack([lesion()] * 2, -1)), "volume"),
    "inverted": (lambda: image(1 - lesion()), r"marks 1,0\d\d ml.*inverted"),
    "1 mm off": (lambda: image(lesion(), moved(1, 1, 1)), r"1\.73 mm.*1 x 1 x 1 mm.*resample"),
    "0.3 mm off": (lambda: image(lesion(), moved(0.3, 0, 0)), r"0\.3 mm"),
    "turned": (lambda: image(lesion(), turned(3) @ AFFINE), "mm beside.*corner"),
    "mirrored in the header": (lambda: image(lesion(), np.diag([-1, 1, 1, 1]) @ AFFINE), "mm"),
    "voxel size lost": (lambda: image(lesion(), np.eye(4)), "mm beside"),
    "another grid without origin": (lambda: image(half(), np.diag([4, 5, 6, 1.0])), "without an origin"),
    "another grid far away": (lambda: image(half(), moved(0, 0, 80) @ np.diag([2, 2, 2, 1])), "elsewhere"),
    "a cut-out outside": (lambda: cut_out(100, 0, 0), "elsewhere"),
    "a template's space": (
        lambda: coded(half(), AFFINE @ np.diag([2, 2, 2, 1]), None, (4, 0)),
        "another space",
    ),
    "no affine": (no_affine, "no affine.*copy the scan's affine"),
}  # fmt: skip
EMPTY = {
    "zeros": (lambda: image(lesion() * 0), "highest value is 0"),
    "-1 everywhere": (lambda: image(lesion(np.int16, -1, -1)), "highest value is -1"),
    "zeros on another grid": (lambda: image(half() * 0, moved(50, 0, 0)), "highest value is 0"),
    "NaN everywhere": (lambda: image(lesion(np.float32, np.nan, np.nan)), "highest value is 0"),
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ScanMasks]:
    def read(
        *masks: nib.Nifti1Image, scan: nib.Nifti1Image | None = None, name: str = "mask", **settings: Any
    ) -> ScanMasks:
        nib.save(scan or image(IMAGE), tmp_path / "scan.nii")
        paths = {f"{name}-{i + 1}" if i else name: tmp_path / f"lesion{i}.nii" for i in range(len(masks))}
        for mask, path in zip(masks, paths.values(), strict=True):
            nib.save(mask, path)
        reading = Reading(**{key: value for key, value in settings.items() if key != "healthy"})
        healthy = settings.get("healthy", False)
        files = ScanFiles("sub-1", "T1w", tmp_path / "scan.nii", paths, healthy=healthy, reading=reading)
        return read_masks(files, read_raw(files.image, reading))

    return read


def told(error: pytest.ExceptionInfo[InputError]) -> str:
    return f"{error.value.what} {error.value.why} {error.value.do}"


@pytest.mark.parametrize("case", SAME)
def test_masks_that_mark_the_lesion_voxel_by_voxel(case, read):
    make, note = SAME[case]
    found = read(make())
    np.testing.assert_array_equal(found.masks["mask"], LESION)
    assert found.numbers == {"lesion_ml": pytest.approx(ML)}
    assert not found.warnings
    assert note in " ".join(found.notes) if note else not found.notes


@pytest.mark.parametrize("case", REFUSED)
def test_masks_that_cannot_be_used(case, read):
    make, reason = REFUSED[case]
    with pytest.raises(InputError, match=r"lesion0\.nii") as error:
        read(make())
    assert re.search(reason, told(error)), told(error)


def test_an_affine_of_two_digits_is_rounding_even_where_the_last_voxel_lies_one_off():
    data = np.random.default_rng(0).random((256, 4, 5)) > 0.5
    exact = turned(20)[[1, 2, 0, 3]][:, [1, 0, 2, 3]] @ np.diag([0.83, 0.83, 0.83, 1.0])
    exact[:3, 3] = -100.1249, 80.3349, 20.5551
    grid = Grid(data.shape, [exact], 1)
    placed = place(data, replace(grid, affines=[exact.round(2)]), grid)
    np.testing.assert_array_equal(placed.data, data)
    assert "rounded" in placed.notes[0]
    with pytest.raises(InputError, match="mm beside"):
        place(data, replace(grid, affines=[moved(0.5, affine=exact).round(2)]), grid)


@pytest.mark.parametrize("case", EMPTY)
def test_a_patients_mask_that_marks_nothing_is_warned_of(case, read):
    make, held = EMPTY[case]
    found = read(make())
    assert not found.masks["mask"].any()
    assert found.numbers == {"lesion_ml": 0}
    assert ["marks nothing" in text and held in text for text in found.warnings] == [True]
    assert not read(make(), healthy=True).warnings
    assert not read(make(), name="ignore").warnings


def test_weak_values_count_where_the_data_set_says_so(read):
    np.testing.assert_array_equal(read(scaled(), mask_threshold=0.002).masks["mask"], LESION)
    grey = np.where(LESION, 200, 90).astype(np.uint8)
    np.testing.assert_array_equal(read(image(grey), mask_threshold=127).masks["mask"], LESION)


@pytest.mark.parametrize(
    "make",
    [
        lambda: image(half(), AFFINE @ np.diag([2, 2, 2, 1])),
        finer,
        lambda: cut_out(0, 0, 0),
        lambda: cut_out(0.2, 0, 0),
    ],
)
def test_another_grid_in_the_same_space_is_resampled_by_mm_with_both_volumes(make, read):
    found = read(make())
    overlap = 2 * (found.masks["mask"] & LESION).sum() / (found.masks["mask"].sum() + LESION.sum())
    assert overlap > 0.65, "half a voxel of the scan is open where one in two was drawn"
    assert found.numbers["lesion_ml"] == pytest.approx(ML, rel=0.05)
    (note,) = found.notes
    assert "resampled" in note
    assert f"{ML:.3g} ml before, {found.numbers['lesion_ml']:.3g} ml after" in note


def test_a_mask_drawn_on_another_sequence_of_the_session_is_resampled(read):
    """Thick slices of another direction, with their own field of view, 8 mm aside."""
    thick = np.diag([1.5, 6, 1.5, 1.0])
    thick[:3, 3] = -41 + 8, -66, -60
    index = np.linalg.inv(AFFINE) @ thick
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (54, 20, 72)), indexing="ij"), -1)
    place = np.rint(grid @ index[:3, :3].T + index[:3, 3]).astype(int)
    inside = ((place >= 0) & (place < SHAPE)).all(-1)
    mask = inside & LESION[tuple(np.clip(place, 0, np.array(SHAPE) - 1).transpose(3, 0, 1, 2))]
    found = read(image(mask.astype(np.uint8), thick))
    assert 2 * (found.masks["mask"] & LESION).sum() / (found.masks["mask"].sum() + LESION.sum()) > 0.75
    assert "72 voxels of 1.5 x 6 x 1.5 mm" in found.notes[0]


def test_a_lesion_smaller_than_a_voxel_of_the_scan_is_warned_of(read):
    mask = np.zeros([4 * n for n in SHAPE], np.uint8)
    mask[80, 96, 72] = 1
    found = read(image(mask, AFFINE @ np.diag([0.25, 0.25, 0.25, 1.0])))
    assert "less than a voxel" in found.warnings[0]


def test_a_mask_by_the_other_affine_of_the_scan_is_taken_voxel_by_voxel(read):
    other = moved(3, -12, 5, affine=turned(6) @ AFFINE)
    scan = coded(IMAGE, other, AFFINE, (2, 1))
    found = read(coded(lesion(), AFFINE, AFFINE, (1, 1)), scan=scan)
    np.testing.assert_array_equal(found.masks["mask"], LESION)
    assert "the scan's sform and qform" in found.notes[0]
    assert "mm apart" in found.notes[0]
    back = read(coded(lesion(), other, AFFINE, (2, 1)))  # the mask has both affines, the scan one
    np.testing.assert_array_equal(back.masks["mask"], LESION)
    assert "mask's sform and qform" in " ".join(back.notes)


def test_another_grid_beside_two_different_affines_is_refused(read):
    scan = coded(IMAGE, moved(3, -12, 5), AFFINE, (2, 1))
    with pytest.raises(InputError) as error:
        read(image(half(), AFFINE @ np.diag([2, 2, 2, 1])), scan=scan)
    assert "sform and qform lie 13.3 mm apart" in told(error)


def test_a_mask_on_the_grid_of_a_template_is_not_that_of_a_scan_beside_it():
    data = np.zeros((91, 109, 91), bool)
    mni = np.diag([2, 2, 2, 1.0])
    mni[:3, 3] = -90, -126, -72
    scan = Grid((90, 120, 120), [moved(1.3, -20.7, 10.2, affine=mni)], 1)
    with pytest.raises(InputError, match="another space"):
        place(data, Grid(data.shape, [mni], 2), scan)
    for size, corner in ((3, (-78, -112, -50)), (1.5, (-90, -126, -72)), (2, (-98, -134, -72))):
        grid = np.diag([-size, size, size, 1.0])
        grid[:3, 3] = corner
        shape = (57, 63, 53)
        grid[0, 3] += (shape[0] - 1) * size
        with pytest.raises(InputError, match="another space"):
            place(np.zeros(shape, bool), Grid(shape, [grid], 1), scan)
    finer = np.diag([1, 1, 1, 1.0])
    finer[:3, 3] = mni[:3, 3]
    assert place(data, Grid(data.shape, [mni], 2), Grid((182, 218, 182), [finer], 1)).data.shape == (182, 218, 182)


def test_several_masks_are_united_and_told(read):
    left, right = lesion(), lesion() * 0
    right[30:32, 20:22, 10:12] = 1
    found = read(image(left), image(right))
    np.testing.assert_array_equal(found.masks["mask"], (left + right) > 0)
    assert f"2 masks are taken as one: lesion0.nii ({ML:.3g} ml), lesion1.nii (0.12 ml)" in found.notes[0]


def test_lesions_of_a_healthy_subject_are_refused(read):
    with pytest.raises(InputError, match="declared healthy"):
        read(image(lesion()), healthy=True)


def test_lesions_that_fill_the_brain_or_lie_beside_it_or_are_lost_are_told():
    files = ScanFiles("sub-1", "T1w", Path("scan.nii"), {"mask": Path("lesion.nii.gz")})

    def told(lesion, brain=BRAIN, ml=ML):
        return misplaced_lesions(files, ScanMasks(numbers={"lesion_ml": ml}), {"mask": lesion}, brain)

    assert told(LESION) == told(LESION & ~LESION, ml=0) == []
    assert "100% of the lesion mask" in told(LESION, BRAIN & ~LESION)[0]
    assert "less than a voxel of the template" in told(LESION & ~LESION)[0]
    with pytest.raises(InputError, match=r"lesion\.nii\.gz marks 9\d% of the brain"):
        told(BRAIN & ~LESION, ml=(BRAIN & ~LESION).sum() * VOXEL_ML)
    assert told(LESION, LESION) == [], "a brain of 8 ml is the fault of the skull-strip"


def test_a_ring_on_a_background_of_nan_keeps_its_hole(read):
    np.testing.assert_array_equal(np.argwhere(LESION & ~read(ring()).masks["mask"]), np.argwhere(_box(HOLE)))


def _box(place: Any) -> np.ndarray:
    out = np.zeros(SHAPE, bool)
    out[place] = True
    return out


@pytest.mark.parametrize("cut", [np.s_[:, :, :-1], np.s_[:-3, :-2], np.s_[:, :, :20]])
def test_a_mask_that_was_cropped_behind_its_lesion_is_taken(read, cut):
    np.testing.assert_array_equal(read(image(lesion()[cut])).masks["mask"], LESION)
