"""A model: a file in `config/models/`. One class per family; `family` says which."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainuad.config.section import Section


class Map(Section):
    """How a reconstruction becomes an anomaly map; a change here retrains nothing."""

    residual: Literal["absolute", "signed"] = "absolute"
    """`signed` follows the study's `lesion_sign`: reconstruction minus scan for `dark`, the reverse for `bright`, and
    the absolute residual for `both`."""
    standardise: bool = False
    """Subtract the mean and divide by the sd of the training residuals, voxel by voxel."""
    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""


class Train(Section):
    """Optimisation by Adam."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the training slices; give this or `steps`."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; give this or `epochs`."""
    batch: int = Field(8, ge=1)
    """Slices (or volumes) per step."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's first decay rate."""
    min_brain: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are left out."""
    validate_every: int = Field(100, ge=1)
    """Steps between checkpoints with a healthy validation loss, where `steps` is given; else after each epoch."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's name for the arithmetic; the mixed ones are for GPUs."""

    @model_validator(mode="after")
    def _one_length(self) -> Train:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class Model(Section):
    """What every model file says."""

    cite: str | None = None
    """Key of the paper."""


class ThreshHisteq(Model):
    """The scan itself after histogram equalisation inside the brain (Meissen 2021); no training."""

    family: Literal["thresh_histeq"]
    levels: int = Field(4096, ge=256)
    """Grey levels before equalising; never fewer than the scan holds (trap T10)."""


class ZscoreAtlas(Model):
    """Voxel-wise z-score against the healthy training subjects, scan and atlas smoothed alike."""

    family: Literal["zscore_atlas"]
    smooth_mm: float = Field(4.0, ge=0)
    """Sigma of the smoothing of scans before mean and sd are taken, in mm."""
    smooth_map_mm: float = Field(2.0, ge=0)
    """Sigma of the smoothing of the map, in mm."""
    sd_floor: float = Field(0.05, ge=0)
    """Smallest sd, as a share of the median sd."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Voxels inside the brain of a smaller share of training subjects are ignored."""


class Network(Section):
    """A convolutional encoder and decoder (models.md 1.4)."""

    size: int = Field(256, ge=16)
    """Rows and columns of the network's input; slices are resized to it."""
    channels: list[int] = [32, 64, 128, 128]
    """Output channels of the strided convolutions."""
    kernel: int = Field(5, ge=3)
    """Kernel of the strided convolutions; odd."""
    bottleneck: Literal["dense", "spatial"] = "dense"
    """`dense`: a vector; `spatial`: a map."""
    latent: int = Field(512, ge=1)
    """Length of the vector, or channels of the map."""
    reduce: int = Field(16, ge=1)
    """Channels before the dense layer."""
    variational: bool = False
    """Mean and log variance instead of one code; the mean is decoded at test time (trap T2)."""


class Loss(Section):
    """Terms and weights. With a KL term reconstruction is summed over pixels, else averaged (models.md 0)."""

    reconstruction: Literal["l1", "l2"] = "l1"
    """Pixel-wise norm."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to N(0, I)."""


class Autoencoder(Model):
    """Autoencoders and variational autoencoders on axial slices."""

    family: Literal["autoencoder"]
    network: Network = Network()
    loss: Loss = Loss()
    train: Train = Train(epochs=150, beta1=0.5)
    map: Map = Map()


AnyModel = Annotated[ThreshHisteq | ZscoreAtlas | Autoencoder, Field(discriminator="family")]
MODEL: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)
