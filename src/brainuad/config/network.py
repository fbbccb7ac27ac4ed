"""What networks are made of and how they are trained: the sections that the model families share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.model import MethodSettings, ResidualMap
from brainuad.config.section import Section

Fit = Literal["resize", "pad"]
Channels = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class Optimisation(Section):
    """Optimisation by gradients. All stages of a training see the examples of the first (`Train`)."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the training examples; give this or `steps`."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps; give this or `epochs`."""
    batch_size: int = Field(8, ge=1)
    """Slices (or volumes) per step, over all devices together."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's first decay rate."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's second decay rate."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """`adamw` decays weights by themselves, `adam` through the gradient."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises to `lr`, linearly."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The learning rate after that. `cosine`: half a cosine down to `lr_end`."""
    lr_end: float = Field(0.02, ge=0, le=1)
    """Last learning rate of `cosine`, as a share of `lr`."""
    clip: float = Field(0.0, ge=0)
    """Largest norm of the gradient over all weights together; 0 for any."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay rate of a running mean of the weights, which is validated and kept in their place; 0 for none. It starts
    lower: at most (1 + n) / (10 + n) after n steps."""
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

    min_brain_share: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are not used."""
    crossfit: int = Field(0, ge=0)
    """Folds for `map.standardise: crossfit`: for each a network is trained without the fold's subjects, and the
    residuals of these subjects are its own. Every fold costs another training; 0 trains none."""

    @model_validator(mode="after")
    def _two_folds(self) -> Train:
        if self.crossfit == 1:
            raise ValueError("crossfit needs at least two folds; 0 for none")
        return self


class UNetwork(Section):
    """A U-Net: at each level two convolutions of kernel 3, each with group normalisation and SiLU.

    Levels are joined by average pooling down, and by the nearest pixel and concatenation up.
    """

    channels: Channels = [16, 32, 64]
    """Channels of each level, from the finest to the coarsest."""
    patch: int = Field(2, ge=1, le=4)
    """The finest level has a pixel for each `patch` x `patch` pixels, whose values are its channels. 2 costs a third of
    the time of 1."""
    groups: int = Field(8, ge=1)
    """Groups of each normalisation, but never of fewer than four channels."""

    @property
    def multiple(self) -> int:
        """What the sides of an input must be multiples of, in pixels."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    @model_validator(mode="after")
    def _even_groups(self) -> UNetwork:
        for channels in self.channels:
            if channels % self.groups_of(channels):
                raise ValueError(f"{channels} channels cannot be divided into {self.groups_of(channels)} groups")
        return self

    def groups_of(self, channels: int) -> int:
        """Groups of the normalisation of a level."""
        return max(1, min(self.groups, channels // 4))


class Grid(Section):
    """Input of a network."""

    dims: Literal[2, 3] = 2
    """2: axial slices, one by one. 3: whole volumes."""
    size: int = Field(256, ge=8)
    """Side of the network's input, in pixels or voxels."""
    fit: Fit = "resize"
    """How slices and volumes come to that size. `resize`: padded to a square or cube, then interpolated. `pad`: padded
    or cropped around the centre, no voxel is changed; refused if that cuts off brains."""
    channels: Channels = [32, 64, 128, 128]
    """Output channels of the strided convolutions."""

    @model_validator(mode="after")
    def _halves_evenly(self) -> Grid:
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} cannot be halved {len(self.channels)} times; take a multiple of 2^n")
        return self


class Trunk(Grid):
    """Strided convolutions down and transposed ones up (docs/methods/)."""

    kernel: int = Field(5, ge=3)
    """Kernel of the strided convolutions."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation after each of them; `layer` is over channels and pixels."""
    slope: float = Field(0.3, ge=0)
    """Negative slope of LeakyReLU."""
    bias: bool = True
    """Whether convolutions have a bias."""
    coord_conv: bool = False
    """CoordConv: every strided convolution also sees the position, each axis from -1 to 1."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of values that are dropped after each convolution in training."""
    decoder_end: Literal["conv", "up"] = "conv"
    """How the decoder ends. `conv`: it doubles with the channels halved from the encoder's last number down to its
    first, then a 1x1 convolution. `up`: it mirrors the encoder, and the last doubling gives the image."""
    output: Literal["linear", "sigmoid"] = "linear"
    """Last layer of the decoder: a sigmoid bounds the reconstruction to [0, 1]."""


STRIDED = ("norm", "slope", "bias", "coord_conv", "dropout", "decoder_end")
"""Settings that only strided convolutions have."""


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
    dense_channels: int = Field(16, ge=1)
    """Channels before the dense layer."""
    variational: bool = False
    """Mean and log variance instead of one code; the mean is decoded at test time."""

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


class Masking(Section):
    """Squares (cubes in 3D) that cover parts of the input; the target of the reconstruction is the uncovered image."""

    squares: tuple[int, int] = (1, 1)
    """Fewest and most per image; they are drawn for each image by itself."""
    largest: float = Field(0.5, gt=0, le=1)
    """Longest side, as a share of the image's; sides are drawn uniformly up to it. The value of a square is drawn
    between the batch's lowest and highest."""

    @model_validator(mode="after")
    def _ordered(self) -> Masking:
        if not 0 <= self.squares[0] <= self.squares[1]:
            raise ValueError("squares must be two rising numbers from 0")
        return self


class Loss(Section):
    """Terms and weights. Reconstruction is averaged over pixels, or beside a KL term or a critic summed over them."""

    reconstruction: Literal["l1", "l2", "gaussian"] = "l1"
    """Pixel-wise norm. `gaussian`: squared error over twice the `variance`, always summed. With a `kl` of 1 the loss is
    the evidence lower bound: for `l1` of a Laplace distribution of scale 1, for `l2` of a Gaussian of variance 1/2, for
    `gaussian` of one of this `variance`."""
    variance: float = Field(1.0, gt=0)
    """Variance of the Gaussian."""
    scale: float = Field(1.0, gt=0)
    """Weight of all reconstruction terms."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence to N(0, I)."""
    context_encoding: float = Field(0.0, ge=0)
    """Weight of context encoding: the distance between the image and the reconstruction, by the mean of the code, of a
    masked copy."""
    masking: Masking = Masking()
    """How images are masked where `context_encoding` is above 0."""


class Adversarial(Section):
    """A critic that learns to tell generated images from scans, in turns with the generator."""

    loss: Literal["cross_entropy", "wasserstein"] = "cross_entropy"
    """`cross_entropy`: -log D; `wasserstein`: difference of means, with a gradient penalty."""
    weight: float = Field(1.0, ge=0)
    """Weight of the adversarial loss in the generator's loss."""
    lr: float = Field(1e-4, gt=0)
    """Learning rate of the critic."""
    critic_steps: int = Field(1, ge=1)
    """Steps of the critic before each one of the generator, every one on examples of its own."""
    gradient_penalty: float = Field(10.0, ge=0)
    """Weight of the gradient penalty (`wasserstein` alone)."""

    def with_critic_batches(self, train: Train) -> Train:
        """The training with a batch size that gives each step of the critic examples of its own."""
        return train.model_copy(update={"batch_size": train.batch_size * self.critic_steps})


GRID = "grid"
"""The input of models that see scans on their own grid."""


class NetworkInput(Section):
    """How a scan comes to a network, and the network's residual back to the scan's grid."""

    dims: Literal[2, 3]
    size: int
    fit: Fit
    at_network: bool
    """Whether the residual is taken at the network's own resolution."""
    absolute: bool
    """Whether its absolute value is taken before it is smoothed."""
    smooth_mm: float
    """Sigma of the Gaussian over the map."""

    @property
    def size_and_fit(self) -> str:
        """In words, for tables."""
        return f"{' x '.join([str(self.size)] * self.dims)} ({self.fit})"

    @property
    def of_perfect_map(self) -> str:
        """What a perfect map passes: a residual that is taken at the scan has the edges of the scan."""
        return self.size_and_fit if self.at_network else GRID

    @property
    def name(self) -> str:
        """All of it, in words."""
        parts = [self.size_and_fit, f"residual at {'network' if self.at_network else 'scan'}"]
        parts += [] if self.absolute else ["signed"]
        parts += [f"smoothed by {self.smooth_mm:g} mm"] if self.smooth_mm else []
        return ", ".join(parts)


class TrainedSettings(MethodSettings):
    """Settings of a family whose method trains a network and reconstructs scans."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = True
    reconstructs: ClassVar[bool] = True
    trivial_baseline: ClassVar[bool] = False

    train: Train
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _residuals_of_the_folds(self) -> TrainedSettings:
        if self.map.standardise == "crossfit" and not self.train.crossfit:
            raise ValueError("map.standardise: crossfit needs train.crossfit, the number of folds")
        return self


class NetworkSettings(TrainedSettings):
    """The same of a network that sees slices or volumes of a size of its own."""

    network: Grid

    def input_size(self) -> tuple[int, ...]:
        return (self.network.size,) * self.network.dims

    def network_input(self) -> NetworkInput:
        """How scans come to the network and residuals back."""
        grid, anomaly = self.network, self.map
        return NetworkInput(
            dims=grid.dims,
            size=grid.size,
            fit=grid.fit,
            at_network=anomaly.at_network(),
            absolute=anomaly.residual == "absolute",
            smooth_mm=anomaly.smooth_mm,
        )


def check_turns(train: Train) -> None:
    """Raise ValueError for settings that the turns of a generator and its critic do not know."""
    if train.ema or train.warmup_steps or train.schedule != "constant":
        raise ValueError("a generator and its critic have a constant learning rate: no ema, warmup_steps or schedule")


def check_last_weights(train: Train) -> None:
    """Raise ValueError for a GAN of which the best weights are to be kept."""
    check_turns(train)
    if train.keep != "last":
        raise ValueError("a GAN's loss does not choose weights: give train keep: last")


def check_kl(network: Network, loss: Loss) -> None:
    """Raise ValueError unless a KL term and a variational network go together."""
    if network.variational != (loss.kl > 0):
        raise ValueError("a variational network needs loss.kl above 0, and no other one takes it")
