"""A model: a file in `config/models/`. One class per family; `family` says which.

Every family has a `map` section: how what was learnt becomes an anomaly map. A change there retrains nothing; all the
rest is training.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainuad.config.section import Section


class EqualisedMap(Section):
    """How an equalised scan becomes an anomaly map."""

    levels: int = Field(4096, ge=256)
    """Grey levels that the brain is quantised to first; integers of a scan in [0, 1] would leave two (trap T10)."""
    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""


class Standardised(Section):
    """How healthy statistics turn a value into a z-score, voxel by voxel."""

    sd_floor: float = Field(0.05, ge=0)
    """Smallest sd, as a share of the median sd."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Voxels inside the brain of a smaller share of training scans are 0."""
    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""


class ResidualMap(Standardised):
    """How a reconstruction becomes an anomaly map."""

    residual: Literal["absolute", "signed"] = "absolute"
    """`absolute` takes the size of each voxel's residual first. `signed` standardises and smooths it with its sign, so
    that noise cancels out, and then follows the study's `lesion_sign`: what is darker or brighter than its
    reconstruction, or for `both` the size of either."""
    standardise: bool = False
    """Subtract the mean and divide by the sd of the training residuals, voxel by voxel."""


class Train(Section):
    """Optimisation by Adam."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the training slices; give this or `steps`."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; give this or `epochs`."""
    batch: int = Field(8, ge=1)
    """Slices (or volumes) per step, over all devices together."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's first decay rate."""
    min_brain: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are left out."""
    validate_every: int = Field(100, ge=1)
    """Steps between checkpoints with a healthy validation loss, where `steps` is given; else after each epoch."""
    keep: Literal["best", "last"] = "best"
    """Weights of the bundle: those with the lowest healthy validation loss, or the last."""
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
    map: EqualisedMap = EqualisedMap()


class ZscoreAtlas(Model):
    """Voxel-wise z-score against the healthy training scans, scan and atlas smoothed alike."""

    family: Literal["zscore_atlas"]
    smooth_mm: float = Field(4.0, ge=0)
    """Sigma of the smoothing of scans before mean and sd are taken, in mm."""
    map: Standardised = Standardised(smooth_mm=2.0)


class Network(Section):
    """A convolutional encoder and decoder (models.md 1.4)."""

    size: int = Field(256, ge=16)
    """Rows and columns of the network's input; slices are resized to it."""
    channels: list[Annotated[int, Field(ge=1)]] = Field([32, 64, 128, 128], min_length=1)
    """Output channels of the strided convolutions; the decoder halves the last one down to the first."""
    kernel: int = Field(5, ge=3)
    """Kernel of the strided convolutions; odd."""
    slope: float = Field(0.3, ge=0)
    """Negative slope of LeakyReLU."""
    bottleneck: Literal["dense", "spatial"] = "dense"
    """`dense`: a vector; `spatial`: a map."""
    latent: int = Field(512, ge=1)
    """Length of the vector, or channels of the map."""
    reduce: int = Field(16, ge=1)
    """Channels before the dense layer."""
    variational: bool = False
    """Mean and log variance instead of one code; the mean is decoded at test time (trap T2)."""

    @model_validator(mode="after")
    def _halves_evenly(self) -> Network:
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} cannot be halved {len(self.channels)} times; take a multiple of 2^n")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; take an odd one")
        return self


class Loss(Section):
    """Terms and weights. With a KL term reconstruction is summed over pixels, else averaged (models.md 0)."""

    reconstruction: Literal["l1", "l2"] = "l1"
    """Pixel-wise norm."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to N(0, I)."""


class Autoencoder(Model):
    """Autoencoders and variational autoencoders on axial slices (Baur 2018)."""

    family: Literal["autoencoder"]
    network: Network = Network()
    loss: Loss = Loss()
    train: Train = Train(epochs=150, beta1=0.5)
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _kl_needs_a_variance(self) -> Autoencoder:
        if self.network.variational != (self.loss.kl > 0):
            raise ValueError("a variational network needs loss.kl above 0, and no other one takes it")
        return self


AnyModel = Annotated[ThreshHisteq | ZscoreAtlas | Autoencoder, Field(discriminator="family")]
AnyMap = EqualisedMap | Standardised | ResidualMap
MODEL: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)
