"""Preprocessing steps: what each one is, and which there are.

A step is one module in `brainuad/preprocess/steps/` with one class derived from `Step`. Nothing else names it: its
settings are valid in a recipe, it runs, and it is described as soon as its file exists.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from brainuad.config.section import Section

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float

PACKAGE = "brainuad.preprocess.steps"
FOLDER = Path(__file__).parents[1] / "preprocess" / "steps"


class Step(Section, ABC):
    """A step on a scan's own voxels, after the brain mask and before the template grid.

    The fields are its settings; a subclass narrows `step` to a `Literal` of its module's name. Modules of steps are
    imported while the Snakefile is parsed, so `apply` imports what computes.
    """

    step: str
    """Which step: the name of its module."""
    modalities: ClassVar[frozenset[str] | None] = None
    """BIDS suffixes, in lower case, of the scans that it changes; all if None."""

    @abstractmethod
    def apply(
        self, data: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], spacing: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "x y z"]:
        """The changed scan. `brain`: brain mask on the same voxels; `spacing`: voxel size in mm."""

    @abstractmethod
    def describe(self) -> str:
        """One sentence for a methods section, with citations as `[@key]`."""

    def changes(self, modality: str) -> bool:
        """Whether the step changes scans of this BIDS suffix."""
        return self.modalities is None or modality.lower() in self.modalities


def step_module(name: str) -> str:
    """The module of a step."""
    return f"{PACKAGE}.{name}"


def step_class(name: str) -> type[Step]:
    """The class of a step. Raises TypeError unless its module holds exactly one."""
    module = importlib.import_module(step_module(name))
    found = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Step) and c is not Step]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} holds {len(found)} classes derived from Step, not one")
    return found[0]


def step_classes() -> list[type[Step]]:
    """The classes of all steps, by name."""
    return [step_class(path.stem) for path in sorted(FOLDER.glob("[!_]*.py"))]
