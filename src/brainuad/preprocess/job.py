"""Preprocessing of one scan, from the settings and inputs of its job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainuad.config.recipe import Preprocess
from brainuad.formats import status
from brainuad.formats.status import Status
from brainuad.preprocess.scan import ScanFiles, preprocess


def preprocess_scan(
    settings: Mapping[str, Any], inputs: Mapping[str, str], scan: str, out: Path, fault: str = ""
) -> Status:
    """Preprocess one scan into the folder `out`; its status, before any limits are applied.

    `settings`: `about` its data set, and the `recipe`; `inputs`: the files `image`, `mask`, `reference`, `ignore` and
    those of a template where there are such; `fault`: what an earlier stage found wrong with it.
    """
    about = settings["about"]
    recipe = {**settings["recipe"], "template": inputs.get("template", settings["recipe"]["template"])}
    with_reference = about.get("register_with") and "reference" in inputs
    files = ScanFiles(
        name=scan,
        modality=about["modality"],
        image=Path(inputs["image"]),
        masks={name: Path(inputs[name]) for name in status.MASKS if name in inputs},
        healthy=about["healthy"],
        register_with=about.get("register_with"),
        reference=Path(inputs["reference"]) if with_reference else None,
        problem=fault,
    )
    return preprocess(files, Preprocess.model_validate(recipe), out)
