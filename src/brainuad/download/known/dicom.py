"""CT series in DICOM: choice of a series, checks of its slices, and the volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from brainuad.errors import InputError

_UNEVEN = 0.1
"""Largest difference between slice gaps, in mm."""
_TILT = 0.5
"""Largest angle between the direction from slice to slice and their normal, in degrees: 1.3 mm over a head."""
_OBLIQUE = 45.0
_COVERED = 100.0
"""Least height of a head scan, in mm: shorter ones are scouts or parts."""
_CONTRAST = re.compile(r"contrast|cect|\bc\+|(^|\W)c(\W|$)|oral", re.IGNORECASE)
_PLAIN = re.compile(r"pre\W*contrast|non\W*contrast|plain", re.IGNORECASE)
_BONE = re.compile(r"bone|hrct", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """One series. `positions`: first voxels of the slices, in mm; `orientations`: of rows and columns; both LPS."""

    name: str
    files: tuple[str, ...]
    positions: Float[np.ndarray, "slices 3"]
    orientations: Float[np.ndarray, "slices 6"]


def find_series(folder: Path) -> list[Series]:
    """Every series below a folder; the name of a series is its folder's name and its description."""
    import SimpleITK

    found = []
    for place in sorted({path.parent for path in folder.rglob("*.dcm")}):
        for uid in SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(place)):
            files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(place), uid)
            heads = [head for file in files if (head := _head(file))]
            if len(heads) < len(files):  # a report, not slices
                continue
            positions, orientations, names = zip(*heads, strict=True)
            name = " ".join(dict.fromkeys([place.name, names[0]])).strip()
            found.append(Series(name, tuple(files), np.array(positions), np.array(orientations)))
    return found


def slice_step(
    positions: Float[np.ndarray, "slices 3"], orientations: Float[np.ndarray, "slices 6"]
) -> tuple[Shaped[np.ndarray, "slices"], Float[np.ndarray, "3"]]:
    """Order of the slices along their normal, and the step from one to the next, in mm.

    Raises InputError for a series that is not axial, for a tilted gantry, for uneven or duplicate slices, and for a
    height below 100 mm.
    """
    if np.ptp(orientations, axis=0).max() > 1e-3:
        raise InputError("its slices lie in several directions")
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    if _degrees(normal, np.array([0.0, 0.0, 1.0])) > _OBLIQUE:
        raise InputError("its slices are not axial")
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    if len(gaps) < 1 or along.max() - along.min() < _COVERED:
        raise InputError(f"it covers {np.ptp(along):.0f} mm, less than a head")
    if np.ptp(gaps) > _UNEVEN or gaps.min() <= _UNEVEN:
        raise InputError(f"its slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart")
    step = (positions[order[-1]] - positions[order[0]]) / len(gaps)
    if (tilt := _degrees(step, normal)) > _TILT:
        raise InputError(f"its gantry is tilted by {tilt:.1f} degrees")
    return order, step


def choose(series: list[Series]) -> tuple[Series, list[str]]:
    """The thinnest plain axial series, and the reason against each other one; raises InputError if there is none."""
    usable: list[tuple[float, str, Series]] = []
    why = []
    for candidate in series:
        if (_CONTRAST.search(candidate.name) and not _PLAIN.search(candidate.name)) or _BONE.search(candidate.name):
            why.append(f"{candidate.name}: with contrast agent or for bone")
            continue
        try:
            _, step = slice_step(candidate.positions, candidate.orientations)
        except InputError as error:
            why.append(f"{candidate.name}: {error.what}")
        else:
            usable.append((round(float(np.linalg.norm(step)), 2), candidate.name, candidate))
    if not usable:
        raise InputError("no series can be used", why="; ".join(why) or "there is none")
    return min(usable, key=lambda item: item[:2])[2], why


def read_series(series: Series) -> tuple[Shaped[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """The volume in Hounsfield units, slope and intercept applied, and its affine to RAS+ mm."""
    import SimpleITK

    order, step = slice_step(series.positions, series.orientations)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([series.files[i] for i in order])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise InputError(f"the series {series.name} is broken", why=lines[-1] if lines else None) from None
    data = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    across, down = image.GetSpacing()[:2]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = series.orientations[0, :3] * across, series.orientations[0, 3:] * down
    affine[:3, 2], affine[:3, 3] = step, series.positions[order[0]]
    dtype = np.int16 if data.dtype.kind in "iu" else np.float32
    return data.astype(dtype), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _head(file: str) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "6"], str] | None:
    """Position, orientation and description of a slice; None for a file that has none, such as a report."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
        values = [[float(part) for part in reader.GetMetaData(key).split("\\")] for key in ("0020|0032", "0020|0037")]
        position, orientation = (np.array(value) for value in values)
    except (RuntimeError, ValueError):
        return None
    if position.shape != (3,) or orientation.shape != (6,):
        return None
    name = reader.GetMetaData("0008|103e").strip() if reader.HasMetaDataKey("0008|103e") else ""
    return position, orientation, name


def _degrees(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    """Angle between two lines, regardless of their direction."""
    cosine = abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(min(1.0, cosine))))
