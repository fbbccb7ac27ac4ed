"""A model: a file in `config/models/`. Its `family` is the module of `brainuad.methods` that holds settings and method.

A family is found by its name in that folder, so a new one is listed nowhere. Its module is light to import and has a
class `Settings`, derived from `MethodSettings`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter

from brainuad.config.datasets import Modality
from brainuad.config.section import Section
from brainuad.config.told import Told, first_sentence, listed, with_settings

PACKAGE = "brainuad.methods"
TOLD_ELSEWHERE = ("family", "cite", "map", "modalities")
"""Settings that `describe` leaves to others."""
NOT_FAMILIES = ("base", "registry", "shared")
"""Modules of the package that hold no family."""
ENSEMBLE = "ensemble"
"""The family whose models combine others."""
PROPERTIES = ("learns", "uses_gpu", "reconstructs", "trivial_baseline")
"""What each family's `Settings` must declare."""


Combination = Literal["mean_asinh", "rank", "maximum"]
"""How several maps of a scan become one."""
Fusion = Literal["mean", "maximum", "mahalanobis", "direction"]
"""How the maps of the sequences of a scan become one."""
Lacking = Literal["map_the_rest", "nothing"]
"""What a session without one of a model's sequences gets from it."""
FUSED: dict[Fusion, str] = {
    "mean": "the mean of the sequences' z, divided by its sd in the healthy training scans",
    "maximum": "the largest z of the sequences",
    "mahalanobis": "the Mahalanobis length of the sequences' z above 0",
    "direction": "the z of the sequences in the direction in which all rise alike, weighted by the inverse of their "
    "correlation",
}
"""In the methods section, each z being that of a map over the brains of the healthy training scans."""
LESIONS = {"dark": "dark", "bright": "bright", "both": "either"}
EACH = "each"
"""The lesion sign of maps of several sequences with different signs, in sentences."""


Several = Literal["refused", "each", "joint"]
"""What a method does with several sequences of a scan: it takes one, or maps each by itself, or sees all as channels of
one input. The maps of the sequences are then fused."""


class MapSettings(Section, ABC):
    """How what was learnt becomes an anomaly map, with sentences on it."""

    per_scan: Literal["none", "robust"] = "none"
    """`robust`: maps in units of their own scan, (map - median) / (1.4826 MAD) over its scored brain. This holds the
    false-positive rate on other scanners; large lesions lower the values of their scan."""
    fuse: Fusion = "mean"
    """Of a model that sees several sequences of a scan: how the maps of these become one. Each map becomes a z, by
    the mean and sd of such maps over the brains of healthy training scans. `mean` of these z, with an sd of 1, too, and
    `maximum`;
    `mahalanobis`: the length of what is above 0, by the correlation of the sequences in healthy scans; `direction`:
    their sum weighted by the inverse of that correlation, so that what healthy brains have in several sequences counts
    less."""
    lacking: Lacking = "map_the_rest"
    """Of a model that sees several sequences: what it gives a session that lacks one of them, where `missing` of the
    study is `map_the_rest`. `nothing`: a map of zeros, which an ensemble leaves out, so that its other members, of the
    sequences that are there, speak for such a session."""

    @abstractmethod
    def describe(self, lesion_sign: str) -> list[str]:
        """For the methods section: what follows `The map`, then sentences. `lesion_sign`: that of the study."""


def map_text(settings: Section, lesion_sign: str) -> list[str]:
    """What `MapSettings.describe` says; of a section without sentences of its own, what it is with all settings."""
    if isinstance(settings, MapSettings):
        told_elsewhere = {"per_scan": "none", "fuse": "mean", "lacking": "map_the_rest"}
        told = settings.model_copy(update=told_elsewhere).describe(lesion_sign)
        return [*told, PER_SCAN] if settings.per_scan == "robust" else told
    return [f"is made from what was learnt ({with_settings(settings)})."]


def fusion_text(settings: Section, signs: Mapping[str, str]) -> list[str]:
    """On the maps of several sequences, `signs` of their lesions."""
    how = FUSED[getattr(settings, "fuse", "mean")]
    lesions = ", ".join(f"{sequence} {LESIONS[sign]}" for sequence, sign in signs.items())
    told = [f"Such a map was made of each sequence (lesions: {lesions}), and the map is {how}."]
    if getattr(settings, "lacking", "map_the_rest") == "nothing":
        told.append("A session that lacks one of these sequences gets a map of zeros.")
    return told


class MethodSettings(Section, ABC):
    """Settings that all families have.

    The `map` section says how what was learnt becomes an anomaly map. A change there retrains nothing; all the rest is
    training. Class properties tell the pipeline what it must know of a family.
    """

    learns: ClassVar[bool]
    """Whether training scans change the method's state."""
    uses_gpu: ClassVar[bool]
    """Whether training and inference run on a GPU where there is one."""
    reconstructs: ClassVar[bool]
    """Whether each scan gets a reconstruction beside its map."""
    trivial_baseline: ClassVar[bool]
    """Whether the report compares the other models with this one, as a method that any of them should outperform."""
    draws_examples: ClassVar[bool] = False
    """Whether training examples are drawn by `compute.workers` processes beside the training."""
    several: ClassVar[Several] = "refused"
    """What becomes of several sequences of a scan."""

    family: str
    """Name of the module in `brainuad.methods`."""
    cite: str | None = None
    """Key of the paper."""
    modalities: Annotated[list[Modality], Field(min_length=1)] | None = None
    """Of a study with several sequences: those that the model sees. By default all, where the method takes several."""
    map: Section

    def describe(self) -> list[str]:
        """For the methods section: what follows `Model <label> is`, then sentences on what was learnt and how.

        The map has a `describe` of its own.
        """
        learnt = "It learns from the healthy training scans." if self.learns else "It needs no training."
        what = f"of the family `{self.family}`: {first_sentence(type(self))}"
        return [what, learnt, *Told(self).rest(*TOLD_ELSEWHERE)]

    def describe_sequences(self, sequences: Sequence[str]) -> list[str]:
        """For the methods section, where a scan has several sequences: those that the model sees, and how."""
        return [f"It sees {listed(sequences)}."]

    def pinned(self) -> Self:
        """The settings with what they take from files outside pinned by a checksum, so that other content trains again.

        Raises InputError for a file that is not there.
        """
        return self

    @classmethod
    @abstractmethod
    def method_class(cls) -> type[Any]:
        """The class of the method (a `brainuad.methods.base.Method`), built from these settings; imported late."""

    @classmethod
    def joint_class(cls) -> type[Any]:
        """The same for several sequences as channels, built from settings, sequences and signs, if it takes them so."""
        raise TypeError(f"{cls.__module__} sees no sequences as channels")

    def member_labels(self) -> list[str]:
        """Labels of the models of the study whose maps the method combines; none for a method that maps scans."""
        return []

    def input_size(self) -> tuple[int, ...] | None:
        """Pixels or voxels of one input of the method; None where this is the whole scan on its grid."""
        return None


Source = Literal["training", "held_out", "crossfit"]
"""Healthy scans that the statistics of residuals come from."""
DEFAULT_SOURCE: Source = "training"
"""What `standardise: true` stands for (docs/decisions/0042)."""


def _source(value: Any) -> Any:
    """Short and long spellings of `standardise`: true, and {from: ...}."""
    if isinstance(value, Mapping) and set(value) == {"from"}:
        value = value["from"]
    return DEFAULT_SOURCE if value is True else value


Standardise = Annotated[
    Literal[False] | Source,
    BeforeValidator(_source, json_schema_input_type=bool | Source | dict[Literal["from"], Source]),
]


class Standardised(MapSettings):
    """How healthy statistics turn a value into a z-score, voxel by voxel."""

    sd_floor: float = Field(0.05, ge=0)
    """Smallest sd, as a share of the median sd."""
    sd_added: float = Field(0.0, ge=0)
    """Added to each sd after that, as a share of the median sd."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Voxels inside the brain of a smaller share of training scans are 0."""
    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        return [f"{standardised(told)}{smoothed(told.smooth_mm)}{SIGNS[lesion_sign]}.", *told.rest()]


def standardised(told: Told) -> str:
    """A z-score by the settings of `Standardised`, in the methods section."""
    return f"is the z-score of each voxel against the healthy training scans {sds(told)}"


class ResidualMap(Standardised):
    """How a reconstruction becomes an anomaly map."""

    residual: Literal["absolute", "signed"] = "absolute"
    """`absolute` takes the absolute value of each voxel's residual first, whatever `lesion_sign` says, as the papers
    do; the methods section says so. `signed` standardises and smooths it with its sign, so that noise cancels out, and
    then follows the study's `lesion_sign`: what is darker or brighter than its
    reconstruction, or for `both` the absolute value of either."""
    residual_at: Literal["scan", "network"] = "scan"
    """Where the residual is taken. `network`: between input and output of the network; it is then brought to the scan's
    grid. `scan`: the output is brought to the scan's grid first, so that what resizing loses is residual, too. They are
    the same where nothing is resized. Standardised residuals are always taken at `scan`, as those of the training scans
    are."""
    standardise: Standardise = False
    """Subtract the mean and divide by the sd of healthy residuals, voxel by voxel. `training`: those of the network's
    own training scans, which it has learnt to make small. `held_out`: the same, with the sd rescaled region by region
    to the residuals of healthy validation scans. `crossfit`: the same, with the sd of residuals of training scans by
    networks that were trained without them (`train.crossfit`). `true` stands for `training`; `{from: ...}` is another
    spelling."""

    def at_network(self) -> bool:
        """Whether the residual is taken at the network's own resolution."""
        return self.residual_at == "network" and not self.standardise

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        text = f"is the {told.residual} difference of scan and reconstruction"
        if told.standardise:
            text += (
                f", minus the mean and divided by the sd of these differences in {SOURCES[told.standardise]}, voxel by "
                f"voxel {sds(told)}"
            )
            unused: tuple[str, ...] = ()
        else:
            unused = "sd_floor", "sd_added", "min_coverage"
        if told.residual_at == "network" and not told.standardise:
            text += ", taken between input and output of the network and then brought to the scan's grid"
        sign = SIGNS[lesion_sign] if told.residual == "signed" else ABSOLUTE[lesion_sign]
        return [f"{text}{smoothed(told.smooth_mm)}{sign}.", *told.rest(*unused)]


SOURCES: dict[Source, str] = {
    "training": "the healthy training scans",
    "held_out": "the healthy training scans (the sd rescaled to that of the healthy validation scans)",
    "crossfit": "the healthy training scans (each reconstructed by a network that was trained without it)",
}
"""Where residual statistics come from, in the methods section."""
SIGNS = {
    "dark": "; its sign was changed, since lesions are darker than tissue",
    "bright": "; lesions are brighter than tissue",
    "both": "; its absolute value was taken, since lesions may be darker or brighter than tissue",
    "each": "; its sign follows the sequence",
}
"""What follows from the study's `lesion_sign`, in the methods section."""
ABSOLUTE = {
    "dark": "; what is brighter than its reconstruction counts as well, though lesions are darker than tissue",
    "bright": "; what is darker than its reconstruction counts as well, though lesions are brighter than tissue",
    "both": "",
    "each": "; what differs from its reconstruction the other way counts as well",
}
"""The same of absolute residuals, which do not follow `lesion_sign`."""


def sds(told: Told) -> str:
    """What becomes of the sds under the settings of `Standardised`, in the methods section, in brackets."""
    floor, added = told.sd_floor, told.sd_added
    parts = [f"an sd below {floor:g} of the median sd counts as that"] * bool(floor)
    parts += [f"{added:g} of the median sd was added to each"] * bool(added)
    parts.append(f"voxels in the brain of less than {100 * told.min_coverage:g} % of the training scans are 0")
    return f"({'; '.join(parts)})"


def smoothed(sigma_mm: float) -> str:
    """The smoothing of a map, in the methods section."""
    return f", smoothed by a 3D Gaussian of sigma {sigma_mm:g} mm inside the brain" if sigma_mm else ""


PER_SCAN = "Each map was standardised by the median and 1.4826 MAD of the scored brain of its own scan."
"""On `map.per_scan`, in the methods section."""


def families() -> list[str]:
    """Names of all families, by the modules and packages of `brainuad.methods`; none is imported."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    names = (module.name for module in pkgutil.iter_modules(spec.submodule_search_locations))
    return sorted(name for name in names if name not in NOT_FAMILIES)


def settings_class(family: str) -> type[MethodSettings]:
    """The `Settings` of a family.

    Raises ValueError for an unknown family, and TypeError for one that does not declare its properties.
    """
    if family not in families():
        raise ValueError(f"there is no family {family}; there are {', '.join(families())}")
    found: type[MethodSettings] = importlib.import_module(f"{PACKAGE}.{family}").Settings
    missing = [name for name in PROPERTIES if not isinstance(getattr(found, name, None), bool)]
    if missing:
        raise TypeError(f"{PACKAGE}.{family}.Settings does not declare {', '.join(missing)}")
    return found


def validate(content: Any) -> MethodSettings:
    """Settings from a mapping with the key `family`. Raises ValueError (pydantic's) for whatever is wrong in it."""
    if isinstance(content, MethodSettings):
        return content
    family = content.get("family") if isinstance(content, Mapping) else None
    if family is None:
        raise ValueError("a model needs the key family")
    return settings_class(str(family)).model_validate(content)


def schema() -> dict[str, Any]:
    """JSON schema of a model of any family."""
    classes = tuple(settings_class(family) for family in families())
    union: Any = Annotated[Union[classes], Field(discriminator="family")]  # noqa: UP007 - of classes known at run time
    return TypeAdapter(union).json_schema()


AnyModel = Annotated[SerializeAsAny[MethodSettings], BeforeValidator(validate)]
