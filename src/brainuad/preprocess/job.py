"""The job around one subject's chain: which of its files is what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainuad.config.recipe import Preprocess
from brainuad.formats import status
from brainuad.formats.status import Status
from brainuad.preprocess.subject import preprocess


def preprocess_scan(
    settings: Mapping[str, Any], inputs: Mapping[str, str], scan: str, out: Path, fault: str = ""
) -> Status:
    """Preprocess one scan into the folder `out` and return what is said of it, before any limits judge.

    `settings`: `about` its data set, and the `recipe`; `inputs`: the files `image`, `mask`, `guide`, `ignore` and those
    of a template where there are such; `fault`: what an earlier stage found wrong with it.
    """
    about = settings["about"]
    recipe = {**settings["recipe"], "template": inputs.get("template", settings["recipe"]["template"])}
    asked = about.get("register_with")
    reference = {asked: Path(inputs["reference"])} if "reference" in inputs else {}
    return preprocess(
        scan_paths={about["modality"]: Path(inputs["image"]), **reference},
        masks={name: Path(inputs[name]) for name in status.MASKS if name in inputs},
        modality=about["modality"],
        subject=scan,
        settings=Preprocess.model_validate(recipe),
        out=out,
        healthy=about["healthy"],
        register_with=asked,
        fault=fault,
    )
