"""Affine registration by SimpleITK and by ANTs: for comparison, and to polish another backend's affine.

Without an affine to start from, both start at the expected place of the head, without rotation. They run on one thread
with a fixed seed: with more threads, neither gives the same result twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from brainuad.formats.leftovers import temporary_folder
from brainuad.formats.volume import Volume
from brainuad.images.template import Template
from brainuad.preprocess.itk_image import RAS_TO_LPS, Matrix, in_world
from brainuad.preprocess.registration.input import RegistrationInput

if TYPE_CHECKING:
    import SimpleITK

MARGIN_MM = 6.0
"""Around the template's brain: what lies there is compared too."""
SEED = 1


@dataclass(frozen=True)
class Level:
    """Gaussian smoothing (mm), one resolution each, and the share of voxels that are compared."""

    sigmas_mm: tuple[float, ...]
    sampled: float


def simpleitk(moving: RegistrationInput, template: Template, start: Matrix | None) -> Matrix:
    """Mattes mutual information: rigid at 8 and 4 mm, then affine at 4, 2, 1 mm; from `start` affine at 2 and 1 mm."""
    import SimpleITK

    fixed, mask, scan = _images(template, moving)
    matrix = _start(moving) if start is None else start
    if start is None:
        centre = (matrix @ [*moving.template_point, 1])[:3] * [-1, -1, 1]
        rigid = SimpleITK.Euler3DTransform()
        rigid.SetCenter([float(v) for v in moving.template_point * [-1, -1, 1]])
        rigid.SetTranslation([float(v) for v in centre - moving.template_point * [-1, -1, 1]])
        for level in (Level((8.0,), 1.0), Level((4.0,), 0.1)):
            optimise(fixed, mask, scan, rigid, level)
        matrix = matrix_of(rigid)
    affine = SimpleITK.AffineTransform(3)
    lps = RAS_TO_LPS @ matrix @ RAS_TO_LPS
    centre = moving.template_point * [-1, -1, 1]
    affine.SetCenter([float(v) for v in centre])
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetTranslation((lps[:3, :3] @ centre + lps[:3, 3] - centre).tolist())
    optimise(fixed, mask, scan, affine, Level((4.0, 2.0, 1.0) if start is None else (2.0, 1.0), 0.1))
    return matrix_of(affine)


def optimise(fixed: Any, mask: Any, moving: Any, transform: Any, level: Level) -> None:
    """Gradient descent of Mattes mutual information on `transform`, in place. Images and transform are those of ITK."""
    method = _mattes(mask, level.sampled)
    method.SetOptimizerAsRegularStepGradientDescent(0.5, 0.01, 150)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([max(1, round(sigma / 4)) for sigma in level.sigmas_mm])
    method.SetSmoothingSigmasPerLevel(list(level.sigmas_mm))
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)


def mutual_information(fixed: Any, mask: Any, moving: Any, transform: Any) -> float:
    """Mattes mutual information of two images inside `mask` under `transform`: higher is better."""
    method = _mattes(mask, 1.0)
    method.SetInitialTransform(transform)
    return -float(method.MetricEvaluate(fixed, moving))


def _mattes(mask: Any, sampled: float) -> Any:
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    if sampled < 1:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(sampled, SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    return method


def matrix_of(transform: Any) -> Matrix:
    """A linear transform of ITK as a matrix between RAS+ worlds, mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return np.asarray(RAS_TO_LPS @ matrix @ RAS_TO_LPS)


def ants_affine(moving: RegistrationInput, template: Template, start: Matrix | None) -> Matrix:
    """ANTs, mutual information inside the dilated brain: rigid, then affine; from `start` affine alone."""
    mask = Volume(_brain_with_margin(template).astype(np.float32), template.affine)
    matrix = _start(moving) if start is None else start
    for transform in ("Rigid", "Affine") if start is None else ("Affine",):
        levels = {"aff_iterations": (200, 100, 50), "aff_shrink_factors": (4, 2, 1), "aff_smoothing_sigmas": (2, 1, 0)}
        matrix = _run_ants(moving, template, transform, initial_transform=matrix, mask=mask, **levels)
    return matrix


def ants_defaults(moving: RegistrationInput, template: Template) -> Matrix:
    """ANTs' `Affine` with its own start and defaults, which is far off on many heads: for comparison alone."""
    return _run_ants(moving, template, "Affine")


def _run_ants(moving: RegistrationInput, template: Template, transform: str, **options: Any) -> Matrix:
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read once, at ITK's first use
    os.environ["ANTS_RANDOM_SEED"] = str(SEED)  # the random_seed argument alone is not enough
    import ants

    with temporary_folder() as folder:
        if "initial_transform" in options:
            matrix, options["initial_transform"] = options["initial_transform"], str(folder / "before.mat")
            ants.write_transform(_to_ants(matrix), options["initial_transform"])
        if "mask" in options:
            options["mask"] = _ants_image(options["mask"])
        fixed, scan = _ants_image(Volume(template.t1, template.affine)), _ants_image(moving.volume)
        prefix = str(folder / "after")
        moved = ants.registration(
            fixed, scan, type_of_transform=transform, random_seed=SEED, outprefix=prefix, **options
        )
        return _from_ants(moved["fwdtransforms"])


def _ants_image(volume: Volume) -> Any:
    import ants

    lps, spacing = RAS_TO_LPS @ volume.affine, volume.spacing
    data = np.ascontiguousarray(volume.data, dtype=np.float32)
    header = {"origin": lps[:3, 3].tolist(), "spacing": spacing.tolist(), "direction": lps[:3, :3] / spacing}
    return ants.from_numpy(data, **header)


def _to_ants(matrix: Matrix) -> Any:
    import ants

    lps = RAS_TO_LPS @ matrix @ RAS_TO_LPS
    return ants.create_ants_transform(transform_type="AffineTransform", matrix=lps[:3, :3], offset=lps[:3, 3])


def _from_ants(names: list[str]) -> Matrix:
    import ants

    result = np.eye(4)
    for name in names:
        transform = ants.read_transform(name)
        columns = [transform.apply_to_point(tuple(point)) for point in (*np.eye(3), np.zeros(3))]
        step = np.eye(4)
        step[:3, 3] = columns[3]
        step[:3, :3] = (np.array(columns[:3]) - columns[3]).T
        result = result @ step
    return np.asarray(RAS_TO_LPS @ result @ RAS_TO_LPS)


def _start(moving: RegistrationInput) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, 3] = moving.scan_point - moving.template_point
    return matrix


def _brain_with_margin(template: Template) -> np.ndarray:
    return np.asarray(template.outside_mm <= MARGIN_MM)


def _images(template: Template, moving: RegistrationInput) -> tuple[SimpleITK.Image, SimpleITK.Image, SimpleITK.Image]:
    mask = Volume(_brain_with_margin(template).astype(np.uint8), template.affine)
    scan = Volume(moving.volume.data.astype(np.float32), moving.volume.affine)
    return in_world(Volume(template.t1.astype(np.float32), template.affine)), in_world(mask), in_world(scan)
