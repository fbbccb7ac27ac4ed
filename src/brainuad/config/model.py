"""A model: a file in `config/models/`. One class per family; `family` says which.

Every family has a `map` section: how what was learnt becomes an anomaly map. A change there retrains nothing; all the
rest is training.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainuad.config.gan import Dcgan, EncodedGan, Search
from brainuad.config.mixture import MixtureNetwork
from brainuad.config.network import Adversarial, Loss, Network, Optimisation, Train
from brainuad.config.quantised import Healing, Quantised, QuantisedLoss, Transformer
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


class Autoencoder(Model):
    """Autoencoders and variational autoencoders, with context encoding if wanted, on slices or volumes."""

    family: Literal["autoencoder"]
    network: Network = Network()
    loss: Loss = Loss()
    train: Train = Train(epochs=150, beta1=0.5)
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _kl_needs_a_variance(self) -> Autoencoder:
        _check_kl(self.network, self.loss)
        return self


class AdversarialAutoencoder(Model):
    """An autoencoder whose reconstructions a critic learns to tell from scans (Baur 2018: AE-GAN, VAE-GAN)."""

    family: Literal["adversarial_autoencoder"]
    network: Network = Network(bottleneck="spatial", latent=64)
    loss: Loss = Loss()
    adversarial: Adversarial = Adversarial()
    train: Train = Train(epochs=150, beta1=0.5)
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _kl_needs_a_variance(self) -> AdversarialAutoencoder:
        _check_kl(self.network, self.loss)
        return self


class GmVae(Model):
    """A variational autoencoder whose code comes from a mixture of Gaussians (Dilokthanakul et al. 2016).

    `loss.kl` weighs the divergences of the code, of w and of the component alike.
    """

    family: Literal["gmvae"]
    network: MixtureNetwork = MixtureNetwork()
    loss: Loss = Loss(reconstruction="gaussian", kl=1.0)
    train: Train = Train(epochs=100)
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _kl_and_no_context(self) -> GmVae:
        _check_kl(self.network, self.loss)
        if self.loss.context:
            raise ValueError("a Gaussian mixture takes no loss.context")
        return self


class VqVae(Model):
    """Autoencoders whose code is a map of entries of a codebook, with context encoding if wanted."""

    family: Literal["vqvae"]
    network: Quantised = Quantised()
    loss: QuantisedLoss = QuantisedLoss(reconstruction="l2")
    train: Train = Train(epochs=200)
    map: ResidualMap = ResidualMap()


class VqVaeTransformer(Model):
    """A VQ-VAE whose unlikely codes a transformer replaces."""

    family: Literal["vqvae_transformer"]
    network: Quantised = Quantised()
    loss: QuantisedLoss = QuantisedLoss(reconstruction="l2")
    train: Train = Train(epochs=50)
    transformer: Transformer = Transformer()
    transformer_train: Optimisation = Optimisation(epochs=50)
    """The transformer's training, after that of the VQ-VAE and on the same slices."""
    healing: Healing = Healing()
    map: ResidualMap = ResidualMap()


class AnoGan(Model):
    """A GAN on slices, among whose images the nearest to each slice is searched for (Schlegl 2017)."""

    family: Literal["anogan"]
    network: Dcgan = Dcgan()
    adversarial: Adversarial = Adversarial()
    train: Train = Train(epochs=82, lr=1e-4, beta1=0.5, keep="last")
    search: Search = Search()
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _last_weights(self) -> AnoGan:
        _check_keep(self.train)
        return self


class FAnoGan(Model):
    """A Wasserstein GAN on slices or volumes, and an encoder that finds a scan's code at once (Schlegl 2019).

    Scans are taken to be in [0, 1].
    """

    family: Literal["fanogan"]
    network: EncodedGan = EncodedGan()
    adversarial: Adversarial = Adversarial(kind="wasserstein", lr=2e-4, critic_steps=5)
    feature_weight: float = Field(1.0, ge=0)
    """Weight of the critic's features (kappa), in the encoder's loss and in the scan's score."""
    train: Train = Train(steps=200_000, batch=4, lr=2e-4, beta1=0, beta2=0.9, validate_every=1000, keep="last")
    """The training of generator and critic."""
    encoder_train: Optimisation = Optimisation(steps=50_000, batch=4, lr=2e-4, validate_every=1000)
    """The training of the encoder after that, generator and critic frozen."""
    fine_tune_train: Optimisation | None = None
    """The training of encoder and generator after that, the critic frozen; null leaves it out."""
    map: ResidualMap = ResidualMap()

    @model_validator(mode="after")
    def _last_weights(self) -> FAnoGan:
        _check_keep(self.train)
        return self


def _check_keep(train: Train) -> None:
    if train.keep != "last":
        raise ValueError("a GAN's loss does not choose weights: give train keep: last")


def _check_kl(network: Network, loss: Loss) -> None:
    if network.variational != (loss.kl > 0):
        raise ValueError("a variational network needs loss.kl above 0, and no other one takes it")


AnyModel = Annotated[
    ThreshHisteq
    | ZscoreAtlas
    | Autoencoder
    | AdversarialAutoencoder
    | GmVae
    | VqVae
    | VqVaeTransformer
    | AnoGan
    | FAnoGan,
    Field(discriminator="family"),
]
AnyMap = EqualisedMap | Standardised | ResidualMap
MODEL: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)
