"""Sentences on the models' grid and on scans that were made of healthy ones, for the methods section."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import AnyMade, Artificial, Corrupted, Inserted
from brainuad.config.recipe import Normalize
from brainuad.config.told import Told, between, count, in_words, listed


def models_grid(recipe: Normalize) -> list[str]:
    """What models see of the template's grid."""
    told = Told(recipe)
    slices, box, shape, resize = told.slices, told.box, told.shape, recipe.resize
    text = f"Models saw the {slices} axial slices around the middle of the template's grid"
    if isinstance(slices, tuple):
        text = f"Models saw the axial slices from z = {slices[0]:g} to {slices[1]:g} mm of the template's space"
    if box is not None:
        text += f", from x = {between(box[0])} mm and y = {between(box[1])} mm"
    if shape is not None:
        text += f", padded or cropped to {shape[0]} x {shape[1]} voxels"
    sentences = [f"{text}."]
    if resize is not None:
        size = " x ".join(str(n) for n in told.resize.shape)
        smoothed = f"smoothed by a Gaussian of {told.resize.smooth:g} times the ratio of voxel sizes and "
        smoothed = smoothed if told.resize.smooth else ""
        sentences.append(f"This volume was {smoothed}interpolated linearly to {size} voxels.")
    if told.storage_dtype != "float32":
        sentences.append(f"Intensities were stored as {told.storage_dtype}.")
    return [*sentences, *told.rest("intensity")]


def made_scans(label: str, made: AnyMade, seed: int) -> list[str]:
    """How scans were made of healthy ones."""
    told = Told(made)
    into, draws, roles = told.into, told.draws, listed(list(made.roles))
    each = f"{count(draws, 'scan')} of each {roles} scan of `{into}` (seed {seed})"
    match made:
        case Inserted():
            folders = listed([f"`{Path(folder).name}`" for folder in told.masks])
            insertion = told.insertion
            low, high = insertion.contrast
            sentences = [
                f"Data set `{label}`: {each}, with a real lesion mask of {folders} inserted before intensities were "
                "scaled; "
                "validation and test used different masks, and no training subject was used.",
                f"Inserted lesions change tissue towards the intensity of fluid by {low:g} to {high:g} of the "
                "distance, with "
                f"a soft edge of {insertion.edge_mm:g} mm; {100 * insertion.mirror:g} % of the masks were mirrored, "
                "and those "
                f"with less than {insertion.min_ml:g} ml in the brain refused.",
            ]
        case Artificial():
            anomaly = told.anomaly
            sentences = [
                f"Data set `{label}`: {each}, with an artificial anomaly ({listed(list(told.anomaly_types))}; one "
                "type a "
                f"scan) of radius {between(anomaly.radius_mm, 'mm')} and strength {between(anomaly.strength)}.",
            ]
        case Corrupted():
            types = listed([name.replace("_", " ") for name in told.corruption_types])
            settings = in_words(made.corruption)
            sentences = [
                f"Data set `{label}`: {each}, corrupted as a whole ({types}; one type a scan; {settings}) and scored "
                "as whole "
                "scans only.",
            ]
    return [*sentences, *told.rest("source", "healthy", "roles", "corruption")]
