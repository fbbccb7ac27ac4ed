"""Templates that a recipe can name, and how to get those that are not bundled."""

from __future__ import annotations

from pathlib import Path

from brainuad.errors import ConfigError

BUNDLED = "mni152"
GET = {
    # addresses and licences: https://www.nitrc.org/projects/sri24 and the LICENSE in its archive (Rohlfing 2010)
    "sri24": "download SRI24 (CC BY-SA) from https://www.nitrc.org/projects/sri24; spgr.nii is its stripped T1",
    # https://surfer.nmr.mgh.harvard.edu/fswiki/FreeSurferSoftwareLicense
    "fsaverage": "install FreeSurfer (its own licence) from https://surfer.nmr.mgh.harvard.edu and link or copy its "
    "subjects/fsaverage; mri/brain.mgz is the stripped T1",
}
"""Instructions, by a word in the path."""


def files_of(template: str) -> dict[str, str]:
    """Files of the template that a recipe names: `template`, and `template_mask` if there is one; none if bundled."""
    if template == BUNDLED:
        return {}
    mask = mask_of(Path(template))
    return {"template": template, **({"template_mask": str(mask)} if mask.is_file() else {})}


def mask_of(path: Path) -> Path:
    """Path of the brain mask of a template, which may not exist."""
    return path.with_name(path.name.split(".")[0] + "_mask.nii.gz")


def title(template: str) -> str:
    """Name of a template in sentences."""
    return "the MNI152 template" if template == BUNDLED else f"the template `{Path(template).name}`"


def check(template: str) -> None:
    """Raise ConfigError, with instructions, for a template that does not exist."""
    if template == BUNDLED or Path(template).is_file():
        return
    get = next((text for word, text in GET.items() if word in template.lower()), "correct the path")
    do = f"{get}. Put it there, or set preprocess.template in the recipe to its path or to {BUNDLED}"
    raise ConfigError("the recipe's template is not there", file=template, do=do)
