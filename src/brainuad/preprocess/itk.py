"""Affine registration by SimpleITK and by ANTs: for comparison, and to polish another backend's affine.

Without an affine to start from, both begin at the head's expected place, unturned. One thread and a fixed seed: with
more, neither gives the same result twice.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from brainuad.formats.volume import Volume
from brainuad.images.template import Template
from brainuad.preprocess.head import RegistrationInput

if TYPE_CHECKING:
    import SimpleITK

Matrix = Float[np.ndarray, "4 4"]
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS+, ours, and LPS+, that of ITK
MARGIN = 6.0  # mm around the template's brain that takes part
SEED = 1


def simpleitk(moving: RegistrationInput, template: Template, start: Matrix | None) -> Matrix:
    """Mattes mutual information: rigid at 8 and 4 mm, then affine at 4, 2, 1 mm; from `start` affine at 2 and 1 mm."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, mask, scan = _images(template, moving)
    matrix = _translation(moving) if start is None else start
    if start is None:
        centre = (matrix @ [*moving.anchor, 1])[:3] * [-1, -1, 1]
        rigid = SimpleITK.Euler3DTransform()
        rigid.SetCenter([float(v) for v in moving.anchor * [-1, -1, 1]])
        rigid.SetTranslation([float(v) for v in centre - moving.anchor * [-1, -1, 1]])
        for sigma, share in ((8.0, 1.0), (4.0, 0.1)):
            optimise(fixed, mask, scan, rigid, (sigma,), share)
        matrix = from_itk(rigid)
    affine = SimpleITK.AffineTransform(3)
    lps = FLIP @ matrix @ FLIP
    centre = moving.anchor * [-1, -1, 1]
    affine.SetCenter([float(v) for v in centre])
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetTranslation((lps[:3, :3] @ centre + lps[:3, 3] - centre).tolist())
    optimise(fixed, mask, scan, affine, (4.0, 2.0, 1.0) if start is None else (2.0, 1.0), 0.1)
    return from_itk(affine)


def optimise(fixed: Any, mask: Any, scan: Any, transform: Any, sigmas: tuple[float, ...], share: float) -> None:
    """Gradient descent on `transform`, in place, one level per `sigma` (mm), on `share` of the voxels."""
    method = _measure(mask, share)
    method.SetOptimizerAsRegularStepGradientDescent(0.5, 0.01, 150)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([max(1, round(sigma / 4)) for sigma in sigmas])
    method.SetSmoothingSigmasPerLevel(list(sigmas))
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, scan)


def information(fixed: Any, mask: Any, scan: Any, transform: Any) -> float:
    """Mattes mutual information of two images inside `mask` under `transform`: the higher, the better."""
    method = _measure(mask, 1.0)
    method.SetInitialTransform(transform)
    return -float(method.MetricEvaluate(fixed, scan))


def _measure(mask: Any, share: float) -> Any:
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    if share < 1:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    return method


def from_itk(transform: Any) -> Matrix:
    """A linear transform of ITK between RAS+ worlds, mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return np.asarray(FLIP @ matrix @ FLIP)


def ants_affine(moving: RegistrationInput, template: Template, start: Matrix | None) -> Matrix:
    """ANTs, mutual information inside the dilated brain: rigid, then affine; from `start` affine alone."""
    mask = Volume(_near(template).astype(np.float32), template.affine)
    matrix = _translation(moving) if start is None else start
    for kind in ("Rigid", "Affine") if start is None else ("Affine",):
        levels = {"aff_iterations": (200, 100, 50), "aff_shrink_factors": (4, 2, 1), "aff_smoothing_sigmas": (2, 1, 0)}
        matrix = _run_ants(moving, template, kind, initial_transform=matrix, mask=mask, **levels)
    return matrix


def ants_as_it_comes(moving: RegistrationInput, template: Template) -> Matrix:
    """ANTs' `Affine` with its own start and defaults, which land far off on many heads: for comparison alone."""
    return _run_ants(moving, template, "Affine")


def _run_ants(moving: RegistrationInput, template: Template, kind: str, **options: Any) -> Matrix:
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read once, at ITK's first use
    os.environ["ANTS_RANDOM_SEED"] = str(SEED)  # the random_seed argument alone is not enough
    import ants

    with tempfile.TemporaryDirectory() as folder:
        if "initial_transform" in options:
            matrix, options["initial_transform"] = options["initial_transform"], str(Path(folder) / "before.mat")
            ants.write_transform(_to_ants(matrix), options["initial_transform"])
        if "mask" in options:
            options["mask"] = _ants_image(options["mask"])
        fixed, scan = _ants_image(Volume(template.t1, template.affine)), _ants_image(moving.volume)
        prefix = str(Path(folder) / "after")
        moved = ants.registration(fixed, scan, type_of_transform=kind, random_seed=SEED, outprefix=prefix, **options)
        return _from_ants(moved["fwdtransforms"])


def _ants_image(volume: Volume) -> Any:
    import ants

    lps, spacing = FLIP @ volume.affine, volume.spacing
    data = np.ascontiguousarray(volume.data, dtype=np.float32)
    place = {"origin": lps[:3, 3].tolist(), "spacing": spacing.tolist(), "direction": lps[:3, :3] / spacing}
    return ants.from_numpy(data, **place)


def _to_ants(matrix: Matrix) -> Any:
    import ants

    lps = FLIP @ matrix @ FLIP
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
    return np.asarray(FLIP @ result @ FLIP)


def _translation(moving: RegistrationInput) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, 3] = moving.start - moving.anchor
    return matrix


def _near(template: Template) -> np.ndarray:
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    return np.asarray(ndimage.distance_transform_edt(~template.brain) * spacing <= MARGIN)


def _images(template: Template, moving: RegistrationInput) -> tuple[SimpleITK.Image, SimpleITK.Image, SimpleITK.Image]:
    mask = Volume(_near(template).astype(np.uint8), template.affine)
    scan = Volume(moving.volume.data.astype(np.float32), moving.volume.affine)
    return to_itk(Volume(template.t1.astype(np.float32), template.affine)), to_itk(mask), to_itk(scan)


def to_itk(volume: Volume) -> SimpleITK.Image:
    """An image of ITK in its place."""
    import SimpleITK

    lps = FLIP @ volume.affine
    result = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.data.T))
    result.SetSpacing(volume.spacing.tolist())
    result.SetOrigin(lps[:3, 3].tolist())
    result.SetDirection((lps[:3, :3] / volume.spacing).ravel().tolist())
    return result
