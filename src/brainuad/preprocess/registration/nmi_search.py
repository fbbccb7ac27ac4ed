"""Affine registration by normalised mutual information (Studholme 1999): a grid of starts, then gradient ascent.

One start is not enough on heads with necks, where optimisers converge near any start, so many coarse poses are scored
first. Linear Parzen windows make the measure differentiable. Same input, same bits: own generator, one thread.
docs/decisions/0021-own-registration.md compares it with SimpleITK and ANTs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import pad

from brainuad.formats.volume import Volume
from brainuad.images.template import Template
from brainuad.images.threads import single_thread
from brainuad.preprocess.registration.histogram import MARGIN_VOXELS, Bins, joint_histogram, sampled
from brainuad.preprocess.registration.input import Point, RegistrationInput

Order = Int[np.ndarray, "points 3"]
PITCH_DEG = (-20.0, -8.0, 4.0, 16.0, 28.0)  # heads nod more than they tilt
SHIFT_UP_MM = (-14.0, 0.0, 14.0)
SHIFT_FORWARD_MM = (-12.0, 0.0, 12.0)
LOG_SCALES = (-0.28, -0.16, -0.05, 0.05)  # the first for children
RETRIED_LOG_SCALES = (-0.16, 0.0, 0.1)  # relative to the best, tried once more at the finer levels
MEAN_LOG_SCALE = -0.1  # heads are on average a tenth smaller than the template
STARTS_KEPT = 8
MARGIN_MM = 6.0  # around the template's brain: skull and scalp show where the brain ends
BRAIN_CENTRE_MNI = np.array([0.0, -18.0, 8.0])  # mm
UNITS = (1.0,) * 3 + (0.02,) * 9  # one step of the optimiser: 1 mm, 0.02 rad, 2 % of size, 0.02 of shear


@dataclass(frozen=True)
class Level:
    """One resolution: `sigma` (mm) smooths both images, `points` voxels of the fixed one are compared.

    `free`: how many parameters are optimised: `RIGID`, `SCALED` or `AFFINE`.
    """

    sigma: float
    points: int
    steps: int
    rate: float
    free: int


RIGID, SCALED, AFFINE = 6, 9, 12
COARSE = Level(3.0, 4_000, 60, 2.0, SCALED)
FINE = (Level(1.5, 10_000, 80, 0.8, AFFINE), Level(0.5, 20_000, 50, 0.3, AFFINE))


def search(moving: RegistrationInput, template: Template, seed: int = 0) -> Float[np.ndarray, "4 4"]:
    """The affine from the template's world to the scan's (mm) of the highest similarity found."""
    with single_thread():
        measure = _measure(moving, template, COARSE, seed)
        parameters = _starts(moving)
        scores = torch.cat([measure.nmi(chunk) for chunk in parameters.split(27)])
        best = ascend(measure, parameters[_best_of_each_size(scores)], COARSE)
        for level in FINE:
            measure = _measure(moving, template, level, seed)
            # compared on sharper images: on blurred ones a brain enlarged to the scalp may score above the right one
            best = best[measure.objective(best).argmax()][None]
            if level is FINE[0]:  # and all poses that were optimised on blurred images may be too large
                best = best + _retried_sizes()
            best = ascend(measure, best, level)
        return measure.matrix(best[0])


def _retried_sizes() -> Float[Tensor, "sizes 12"]:
    """Changes of a pose: smaller, the same, larger."""
    change = torch.zeros(len(RETRIED_LOG_SCALES), 12)
    change[:, 6:9] = torch.tensor(RETRIED_LOG_SCALES)[:, None] / UNITS[6]
    return change


def _best_of_each_size(scores: Float[Tensor, "starts"]) -> Int[Tensor, "kept"]:
    """Indices of the best starts, as many of each size: else all may be of one wrong size."""
    sizes = len(LOG_SCALES)
    return torch.cat(
        [torch.topk(scores[size::sizes], STARTS_KEPT // sizes).indices * sizes + size for size in range(sizes)]
    )


def nmi_and_half_turn_ratio(
    moving: RegistrationInput, template: Template, matrix: Float[np.ndarray, "4 4"], seed: int = 0
) -> tuple[float, float]:
    """Normalised mutual information, 1 (none) to 2, under `matrix`, template world to scan world, at the finest level.

    Second: the best of three half-turns' excess over 1, divided by that of `matrix`. Measured: 97 real scans in place
    at most 0.55; six of them turned or mirrored in five ways, all but one at least 0.65.
    """
    matrices, centre = [matrix], template.at(BRAIN_CENTRE_MNI)
    for axis in range(3):
        half_turn = -np.eye(4)
        half_turn[axis, axis] = half_turn[3, 3] = 1
        half_turn[:3, 3] = centre - half_turn[:3, :3] @ centre
        matrices.append(matrix @ half_turn)
    with single_thread(), torch.no_grad():
        measure = _measure(moving, template, FINE[-1], seed)
        nmi, *turned = measure.nmi_of(torch.tensor(np.stack(matrices), dtype=torch.float32)).tolist()
    return nmi, (max(turned) - 1) / max(nmi - 1, 1e-9)


@dataclass(frozen=True)
class Fixed:
    """What a scan is compared with: `values` in [0, 1] at `points` (world, mm).

    `centre`, about which transforms rotate, is expected at `expected` in the scan's world.
    """

    points: Float[Tensor, "points 3"]
    values: Float[Tensor, "points"]
    centre: Point
    expected: Point


class NmiMeasure:
    """Normalised mutual information of batches of transforms; `sigma` (mm) smooths the scan."""

    def __init__(self, volume: Volume, fixed: Fixed, sigma: float):
        self.template_point = torch.tensor(fixed.centre, dtype=torch.float32)
        self.scan_point = torch.tensor(fixed.expected, dtype=torch.float32)
        self.points = fixed.points.T.contiguous()  # (3, points)
        smooth = ndimage.gaussian_filter(volume.data, sigma / volume.spacing)
        self.image = pad(torch.from_numpy(smooth), (MARGIN_VOXELS,) * 6)
        to_voxels = np.linalg.inv(volume.affine)
        to_voxels[:3, 3] += MARGIN_VOXELS
        self.to_voxels = torch.tensor(to_voxels, dtype=torch.float32)
        self.fixed = Bins(fixed.values)

    def nmi(self, parameters: Float[Tensor, "batch 12"]) -> Float[Tensor, "batch"]:
        return self.nmi_of(_matrices(parameters, self.template_point, self.scan_point))

    def nmi_of(self, matrices: Float[Tensor, "batch 4 4"]) -> Float[Tensor, "batch"]:
        grid = self.to_voxels @ matrices
        where = grid[:, :3, :3] @ self.points + grid[:, :3, 3:]
        values = sampled(where.transpose(0, 1).flatten(1), self.image).reshape(len(matrices), -1)
        joint = joint_histogram(values, self.fixed)
        return (_entropy(joint.detach().sum(dim=2)) + _entropy(joint.sum(dim=1))) / _entropy(joint.flatten(1))

    def objective(self, parameters: Float[Tensor, "batch 12"]) -> Float[Tensor, "batch"]:
        """Normalised mutual information less a penalty on unlikely sizes and shears."""
        scale, shear = parameters[:, 6:9] * UNITS[6], parameters[:, 9:] * UNITS[9]
        penalty = (((scale - MEAN_LOG_SCALE) / 0.12) ** 2).sum(dim=1) + ((shear / 0.05) ** 2).sum(dim=1)
        return self.nmi(parameters) - 0.001 * penalty

    def matrix(self, parameters: Float[Tensor, "12"]) -> Float[np.ndarray, "4 4"]:
        exact = _matrices(parameters[None].double(), self.template_point.double(), self.scan_point.double())
        return np.asarray(exact[0].numpy())


def _measure(moving: RegistrationInput, template: Template, level: Level, seed: int) -> NmiMeasure:
    fixed = Fixed(*_sample(template, level, seed), moving.template_point, moving.scan_point)
    return NmiMeasure(moving.volume, fixed, level.sigma)


def ascend(measure: NmiMeasure, parameters: Float[Tensor, "batch 12"], level: Level) -> Float[Tensor, "batch 12"]:
    """Each of the transforms after the level's steps of gradient ascent."""
    free = torch.ones(12)
    free[level.free :] = 0
    mean, spread = torch.zeros_like(parameters), torch.zeros_like(parameters)
    for step in range(1, level.steps + 1):  # Adam (Kingma 2015) by hand: importing torch.optim costs 1.3 s
        variable = parameters.requires_grad_()
        (gradient,) = torch.autograd.grad(measure.objective(variable).sum(), variable)
        gradient = gradient * free
        mean = 0.9 * mean + 0.1 * gradient
        spread = 0.999 * spread + 0.001 * gradient**2
        rate = level.rate * (1 + np.cos(np.pi * (step - 1) / level.steps)) / 2
        move = rate * (mean / (1 - 0.9**step)) / ((spread / (1 - 0.999**step)).sqrt() + 1e-8)
        parameters = (variable + move).detach()
    return parameters


def _starts(moving: RegistrationInput) -> Float[Tensor, "starts 12"]:
    poses = []
    for pitch_deg, up, forward, log_scale in product(PITCH_DEG, SHIFT_UP_MM, SHIFT_FORWARD_MM, LOG_SCALES):
        nearer = moving.depth_mm * (1 - np.exp(log_scale - MEAN_LOG_SCALE))  # a small head's middle, to its vertex
        poses.append([0, forward, up + nearer, np.deg2rad(pitch_deg), 0, 0, *(log_scale,) * 3, 0, 0, 0])
    return torch.tensor(poses, dtype=torch.float32) / torch.tensor(UNITS)


def _matrices(
    parameters: Float[Tensor, "batch 12"], template_point: Float[Tensor, "3"], scan_point: Float[Tensor, "3"]
) -> Float[Tensor, "batch 4 4"]:
    """Translation, rotations about x, y, z, log scales and shears xy, xz, yz; `template_point` goes to `scan_point`."""
    p = parameters * torch.tensor(UNITS, dtype=parameters.dtype)
    zero, one = torch.zeros_like(p[:, 0]), torch.ones_like(p[:, 0])
    (cx, cy, cz), (sx, sy, sz) = p[:, 3:6].cos().T, p[:, 3:6].sin().T

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).reshape(-1, 3, 3)

    rotation = (
        matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
        @ matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
        @ matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    )
    shear = matrix(one, p[:, 9], p[:, 10], zero, one, p[:, 11], zero, zero, one)
    linear = rotation @ shear @ torch.diag_embed(p[:, 6:9].exp())
    shift = scan_point + p[:, :3] - linear @ template_point
    last = torch.tensor([0.0, 0, 0, 1], dtype=p.dtype).expand(len(p), 1, 4)
    return torch.cat([torch.cat([linear, shift[:, :, None]], dim=2), last], dim=1)


@lru_cache(maxsize=4)
def _order(template: Template, seed: int) -> Order:
    """Template voxels in and near the brain, shuffled."""
    index = np.argwhere(template.outside_mm <= MARGIN_MM)
    return np.asarray(index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed)).numpy()])


@lru_cache(maxsize=16)  # a job's scans share the template and the levels
def _sample(template: Template, level: Level, seed: int) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
    """The first of the shuffled points: world coordinates and template values in [0, 1]."""
    smooth = ndimage.gaussian_filter(template.t1, level.sigma / np.linalg.norm(template.affine[:3, 0]))
    index = _order(template, seed)[: level.points]
    values = np.clip(smooth[tuple(index.T)] / np.percentile(smooth[template.brain], 99.5), 0, 1)
    world = index @ template.affine[:3, :3].T + template.affine[:3, 3]
    return torch.tensor(world, dtype=torch.float32), torch.from_numpy(values.astype(np.float32))


def _entropy(p: Float[Tensor, "... bins"]) -> Float[Tensor, "..."]:
    return -(p * (p + 1e-10).log()).sum(dim=-1)
