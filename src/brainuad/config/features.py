"""Methods that compare features of a pretrained network: the network, weights that the user brings, memory and map."""

from __future__ import annotations

import hashlib
import os
import re
from abc import abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from brainuad.config.model import MethodSettings, Standardised, sds, smoothed
from brainuad.config.paths import PathText
from brainuad.config.section import Section
from brainuad.config.told import Told
from brainuad.errors import InputError

ResNetName = Literal["resnet18", "resnet50", "wide_resnet50_2"]
PUBLISHED = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "wide_resnet50_2": "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth",
    "dinov2_vits14": "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
}
"""Where the weights of each network were published. brainuad fetches nothing from there."""
NAMED_BY_CHECKSUM = re.compile(r"-([0-9a-f]{8})\.pth$")
"""End of the names of torchvision's files: the first digits of their SHA-256."""


class Pretrained(Section):
    """A network with weights that the user brings; they are never changed."""

    weights: PathText | None = None
    """Path of a file (`.safetensors`, or `.pt` and `.pth`, which are loaded without running code), or without `/` the
    name of one in the cache of torch hub, `$TORCH_HOME/hub/checkpoints`. None: the published file there. It must lie
    there already: nothing is downloaded."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 that the file must have. None: that of the file as the study is laid out. A change of the file trains
    again; its checksum is in the run record and in the bundle."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the published network."""

    def path(self) -> Path:
        """Where the weights are expected."""
        if self.weights is not None and "/" in self.weights:
            return Path(self.weights)
        return hub_folder() / (self.weights or PUBLISHED[self.name].rpartition("/")[2])

    def checked(self) -> Self:
        """The same with the checksum of the file. Raises InputError if the file is not there, or is another."""
        path = self.path()
        if not path.is_file():
            url = PUBLISHED[self.name]
            raise InputError(
                f"the weights of {self.name} are not there",
                file=path,
                why="brainuad downloads no weights",
                do=f"put {url} there, or set backbone.weights to a file that you have",
            )
        try:
            status = path.stat()
            found = _sha256(path, status.st_mtime_ns, status.st_size)
        except OSError as error:
            do = "check the disk and the permissions"
            raise InputError(f"cannot read {path.name}", file=path, why=error.strerror, do=do) from None
        named = NAMED_BY_CHECKSUM.search(path.name)
        expected = self.sha256 or (named.group(1) if named else found)
        if not found.startswith(expected):
            whose = "backbone.sha256" if self.sha256 else "its name"
            why = f"their SHA-256 begins with {found[:8]}, {whose} says {expected[:8]}"
            raise InputError("these are other weights, or a part of them", file=path, why=why, do="fetch them again")
        return self.model_copy(update={"sha256": found})


class ResNetBackbone(Pretrained):
    """A residual network in the layout of torchvision's, pretrained on ImageNet."""

    network: ResNetName = "resnet18"
    """As torchvision calls it."""
    width: int = Field(64, ge=1)
    """Channels of its first convolution; published weights have 64."""

    @property
    def name(self) -> str:
        return self.network


class ViTBackbone(Pretrained):
    """A vision transformer in the layout of DINOv2; the published ViT-S/14 unless the numbers say otherwise."""

    patch: int = Field(14, ge=1)
    """Side of a patch in pixels."""
    width: int = Field(384, ge=1)
    """Length of a token."""
    depth: int = Field(12, ge=1)
    """Blocks."""
    heads: int = Field(6, ge=1)
    """Heads of each attention layer."""
    positions: int = Field(37, ge=1)
    """Patches along a side of the images that it was trained on; positions are interpolated to other sizes."""

    @property
    def name(self) -> str:
        return "dinov2_vits14"


class MemoryBank(Section):
    """Patch features of healthy scans, to which those of a scan are compared."""

    candidates: int = Field(100_000, ge=1)
    """Patches that are drawn at random from all training scans, at most; bounds the memory of the training."""
    share: float = Field(0.1, gt=0, le=1)
    """Share of the candidates that is kept, by greedy search for the one farthest from those kept (a coreset)."""
    largest: int = Field(10_000, ge=1)
    """Patches that are kept, at most."""


class FeatureMap(Standardised):
    """How distances of features become an anomaly map."""

    standardise: bool = False
    """Subtract the mean and divide by the sd of the maps of the healthy training scans, voxel by voxel; where there is
    a memory bank, each without its own patches."""

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        text = "is the distance of features from health, slice by slice, interpolated to the scan's grid"
        unused: tuple[str, ...] = ("sd_floor", "sd_added", "min_coverage")
        if told.standardise:
            text += ", minus the mean and divided by the sd of the maps of the healthy training scans, voxel by voxel "
            text += sds(told)
            unused = ()
        return [f"{text}{smoothed(told.smooth_mm)}{UNSIGNED[lesion_sign]}.", *told.rest(*unused)]


UNSIGNED = {
    "dark": "; brighter tissue counts as well, though lesions are darker",
    "bright": "; darker tissue counts as well, though lesions are brighter",
    "both": "",
}
"""Distances do not follow `lesion_sign`; in the methods section."""


class FeatureSettings(MethodSettings):
    """Settings of a family whose method compares features of slices."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = True
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False

    backbone: ResNetBackbone | ViTBackbone
    size: int = Field(224, ge=8)
    """Slices are padded to a square and resized to this side, in pixels."""
    map: FeatureMap = FeatureMap()

    def input_size(self) -> tuple[int, ...]:
        return (self.size, self.size)

    def pinned(self) -> Self:
        return self.model_copy(update={"backbone": self.backbone.checked()})


def hub_folder() -> Path:
    """Where torch hub keeps weights; torch itself is not needed to know."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser() / "hub" / "checkpoints"


def backbone_text(settings: Told) -> str:
    """The pretrained network and what it sees, in the methods section."""
    backbone = settings.backbone
    checksum, path = backbone.sha256, backbone.weights
    of = f" `{Path(path).name}`" if path else ""
    of += f" (SHA-256 {checksum[:8]})" if checksum else ""
    size = settings.size
    return (
        f"Axial slices are padded to squares and resized to {size} x {size} pixels, repeated in three channels and "
        f"scaled by the mean and sd of ImageNet, for a network with pretrained weights{of} that are not changed."
    )


def bank_text(bank: Told) -> str:
    """The memory bank, in the methods section."""
    return (
        f"Of the patches in the brains of the training scans, up to {bank.candidates:,} are drawn at random, and of "
        f"these {100 * bank.share:g} %, {bank.largest:,} at most, are kept: each is the one farthest from those kept "
        "already, in random projections."
    )


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - a changed file is read again
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
