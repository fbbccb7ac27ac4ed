"""What networks are made of and how they are trained: the sections that the model families share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainuad.config.section import Section

Channels = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class Optimisation(Section):
    """Optimisation by Adam; what it sees is the first stage's business (`Train`)."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the training examples; give this or `steps`."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; give this or `epochs`."""
    batch: int = Field(8, ge=1)
    """Slices (or volumes) per step, over all devices together."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's first decay rate."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's second decay rate."""
    validate_every: int = Field(100, ge=1)
    """Steps between checkpoints with a healthy validation loss, where `steps` is given; else after each epoch."""
    keep: Literal["best", "last"] = "best"
    """Weights of the bundle: those with the lowest healthy validation loss, or the last."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's name for the arithmetic; the mixed ones are for GPUs."""

    @model_validator(mode="after")
    def _one_length(self) -> Optimisation:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class Train(Optimisation):
    """The first, or only, stage of a training; later stages see the same examples."""

    min_brain: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are left out."""


class Grid(Section):
    """What a network takes in."""

    dims: Literal[2, 3] = 2
    """2: axial slices, one by one. 3: whole volumes."""
    size: int = Field(256, ge=8)
    """Side of the network's input, in pixels or voxels; slices and volumes are resized to it."""
    channels: Channels = [32, 64, 128, 128]
    """Output channels of the strided convolutions."""

    @model_validator(mode="after")
    def _halves_evenly(self) -> Grid:
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} cannot be halved {len(self.channels)} times; take a multiple of 2^n")
        return self


class Trunk(Grid):
    """Strided convolutions down and transposed ones up (models.md 1.1 to 1.4)."""

    kernel: int = Field(5, ge=3)
    """Kernel of the strided convolutions."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation after each of them; `layer` is over channels and pixels."""
    slope: float = Field(0.3, ge=0)
    """Negative slope of LeakyReLU."""
    bias: bool = True
    """Whether convolutions have a bias."""
    coords: bool = False
    """CoordConv: every strided convolution also sees the position, each axis from -1 to 1."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of values that are dropped after each convolution in training."""
    top: Literal["conv", "up"] = "conv"
    """How the decoder ends. `conv`: it doubles with the channels halved from the encoder's last number down to its
    first, then a 1x1 convolution. `up`: it mirrors the encoder, and the last doubling gives the image."""
    output: Literal["linear", "sigmoid"] = "linear"
    """What bounds the reconstruction."""


STRIDED = ("norm", "slope", "bias", "coords", "dropout", "top")
"""Settings that strided convolutions alone take."""


class Network(Trunk):
    """An encoder, a code and a decoder."""

    blocks: Literal["strided", "residual"] = "strided"
    """`strided`: convolutions alone. `residual`: bottleneck residual blocks after a first convolution, of which
    `channels` are the planes (Kuznetsov); they have ReLU and batch normalisation, and an odd `kernel`."""
    bottleneck: Literal["dense", "conv", "spatial"] = "dense"
    """`dense`: a vector through fully connected layers; `conv`: a vector through a convolution as large as the map;
    `spatial`: a map."""
    latent: int = Field(512, ge=1)
    """Length of the vector, or channels of the map."""
    reduce: int = Field(16, ge=1)
    """Channels before the dense layer."""
    variational: bool = False
    """Mean and log variance instead of one code; the mean is decoded at test time (trap T2)."""

    @model_validator(mode="after")
    def _residual_is_dense(self) -> Network:
        if self.blocks == "strided":
            return self
        if self.bottleneck != "dense" or self.dims != 2 or self.kernel % 2 == 0:
            raise ValueError("blocks: residual goes with bottleneck: dense, dims: 2 and an odd kernel")
        fields = type(self).model_fields
        set_in_vain = [key for key in STRIDED if getattr(self, key) != fields[key].default]
        if set_in_vain:
            raise ValueError(f"blocks: residual has no use for {', '.join(set_in_vain)}")
        return self


class Corruption(Section):
    """Squares (cubes in 3D) painted over the input, from which the clean image is to be rebuilt (trap T5)."""

    squares: tuple[int, int] = (1, 1)
    """Fewest and most per image; each image has its own (trap T6)."""
    largest: float = Field(0.5, gt=0, le=1)
    """Longest side, as a share of the image's; sides are drawn evenly up to it. The value is drawn between the batch's
    lowest and highest."""

    @model_validator(mode="after")
    def _ordered(self) -> Corruption:
        if not 0 <= self.squares[0] <= self.squares[1]:
            raise ValueError("squares must be two rising numbers from 0")
        return self


class Loss(Section):
    """Terms and weights. With a KL term reconstruction is summed over pixels, else averaged (models.md 0)."""

    reconstruction: Literal["l1", "l2", "gaussian"] = "l1"
    """Pixel-wise norm. `gaussian`: squared error over twice the `variance`, always summed."""
    variance: float = Field(1.0, gt=0)
    """Of the Gaussian."""
    scale: float = Field(1.0, gt=0)
    """Weight of all reconstruction terms."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to N(0, I)."""
    context: float = Field(0.0, ge=0)
    """Weight of context encoding: the distance of the clean image to what is rebuilt, by the mean of the code, from a
    corrupted one."""
    corruption: Corruption = Corruption()
    """How images are corrupted where `context` is above 0."""


class Adversarial(Section):
    """A critic that learns to tell images apart, in turns with the network that it judges."""

    kind: Literal["cross_entropy", "wasserstein"] = "cross_entropy"
    """`cross_entropy`: -log D; `wasserstein`: difference of means, with a gradient penalty."""
    weight: float = Field(1.0, ge=0)
    """Weight of the critic's opinion in the network's loss."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of the critic."""
    critic_steps: int = Field(1, ge=1)
    """Steps of the critic before each one of the network, every one on examples of its own."""
    penalty: float = Field(10.0, ge=0)
    """Weight of the gradient penalty (`wasserstein` alone)."""

    def shared_out(self, train: Train) -> Train:
        """The training with batches as large as all steps of the critic together need."""
        return train.model_copy(update={"batch": train.batch * self.critic_steps})
