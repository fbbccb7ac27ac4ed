"""GanObjective adversarial networks: their losses by hand, the search, and what each stage of training moves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning import Callback
from pydantic import ValidationError
from torch import Tensor, nn
from training import COMPUTE, SPACING, KillAt, KilledError, scans

from brainuad.config.network import Adversarial, Train, Trunk
from brainuad.methods import registry
from brainuad.methods.adversarial_autoencoder.method import Critic as AutoencoderCritic
from brainuad.methods.anogan import Dcgan, Search
from brainuad.methods.anogan import Settings as AnoGan
from brainuad.methods.anogan.method import AnoGanMethod, mapping_distance, search, starting_codes
from brainuad.methods.anogan.network import dcgan
from brainuad.methods.base import TrainingScans
from brainuad.methods.fanogan import Settings as FAnoGan
from brainuad.methods.fanogan.method import FAnoGanMethod
from brainuad.methods.shared.adversarial import gradient_penalty
from brainuad.methods.shared.gan import Critic, Gan
from brainuad.methods.shared.gan_objective import GanObjective
from brainuad.methods.shared.neural import NeuralMethod
from brainuad.train.fit import TrainingResult, TrainingRun, fit_network

TINY = {"size": 16, "channels": [2, 4], "latent": 3}
FLAT = {"architecture": "schlegl", "dims": 2}
LENGTH = {"steps": 6, "validate_every": 2, "batch_size": 2, "lr": 0.01}


class Watch(Callback):
    """The weights that each stage starts and ends with."""

    def __init__(self):
        self.stages: list[list[dict[str, Tensor]]] = []

    def on_train_start(self, trainer, module):
        self.stages.append([self._copy(module)])

    def on_train_end(self, trainer, module):
        self.stages[-1].append(self._copy(module))

    def _copy(self, module):
        return {name: tensor.clone() for name, tensor in module.network.state_dict().items()}

    def moved(self, stage: int) -> set[str]:
        before, after = self.stages[stage]
        return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def fanogan(network: dict | None = None, steps: int = 2, **settings: object) -> FAnoGanMethod:
    return FAnoGanMethod(
        FAnoGan(
            family="fanogan",
            network=TINY | (network or {}),
            adversarial={"loss": "wasserstein", "critic_steps": steps, "lr": 0.01},
            train=LENGTH | {"keep": "last"},
            encoder_train=LENGTH,
            **({"fine_tune_train": LENGTH} | settings),
        )
    )


def fit(method: NeuralMethod, folder: Path, *callbacks: Callback) -> TrainingResult:
    return fit_network(method, scans(4, 0), scans(2, 1), TrainingRun(0, COMPUTE, folder, "k"), callbacks)


class Slope(nn.Module):
    """A critic whose gradient is the same everywhere; its value comes from one voxel or from all."""

    def __init__(self, slope: Tensor):
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, batch: Tensor) -> Tensor:
        return (batch * self.slope).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 3, 3), (1, 2, 3, 4)])
def test_the_penalty_is_the_squared_excess_of_the_norm_over_everything_but_the_batch(shape):
    slope = torch.arange(1.0, 1 + math.prod(shape)).reshape(shape)
    found = gradient_penalty(Slope(slope), torch.rand(5, *shape), torch.rand(5, *shape))
    assert found.item() == pytest.approx((math.sqrt(slope.square().sum().item()) - 1) ** 2, rel=1e-5)
    found.backward()  # the critic learns from it


def test_the_penalty_is_taken_at_a_point_of_its_own_between_each_pair():
    seen = []

    def critic(batch: Tensor) -> Tensor:
        seen.append(batch.detach())
        return batch.flatten(1).sum(1)

    torch.manual_seed(0)
    gradient_penalty(critic, torch.ones(6, 2, 3, 3), torch.zeros(6, 2, 3, 3))
    places = seen[0].flatten(1)
    assert torch.equal(places.min(1).values, places.max(1).values)  # one share for all channels and voxels
    assert len(places[:, 0].unique()) == 6
    assert ((places > 0) & (places < 1)).all()


class Fixed(GanObjective):
    """Fakes that are known."""

    def generated(self, batch: Tensor) -> Tensor:
        return torch.full_like(batch, 2.0)


def duel(kind: str) -> Fixed:
    critic = Critic(nn.Identity(), Slope(torch.tensor([[[0.5]]])))
    network = Gan(nn.Linear(1, 1), critic, latent=1)
    return Fixed(network, Train(steps=1), Adversarial(loss=kind, weight=3.0, gradient_penalty=10.0))


def test_wasserstein_losses_by_hand():
    module, real = duel("wasserstein"), torch.tensor([1.0, 7.0]).reshape(2, 1, 1, 1)
    of_critic = module.critic_terms(real)
    assert of_critic["critic"].item() == pytest.approx(0.5 * 2 - 0.5 * 4)
    assert of_critic["penalty"].item() == pytest.approx(0.25)
    assert of_critic["loss"].item() == pytest.approx(-1 + 10 * 0.25)
    assert module.generator_terms(real)["loss"].item() == pytest.approx(3 * -0.5 * 2)


def test_cross_entropy_losses_by_hand():
    module, real = duel("cross_entropy"), torch.tensor([1.0, 7.0]).reshape(2, 1, 1, 1)
    chance = {logit: 1 / (1 + math.exp(-logit)) for logit in (0.5, 3.5, 1.0)}
    by_hand = -(math.log(chance[0.5]) + math.log(chance[3.5])) / 2 - math.log(1 - chance[1.0])
    assert module.critic_terms(real)["loss"].item() == pytest.approx(by_hand)
    assert module.generator_terms(real)["loss"].item() == pytest.approx(-3 * math.log(chance[1.0]))


MODELS = Path(__file__).parents[2] / "config" / "models"


@pytest.mark.parametrize("name", ["baur_aegan", "baur_vaegan"])
def test_the_weight_of_the_critic_is_relative_to_the_same_reconstruction_term(name):
    raw = yaml.safe_load((MODELS / f"{name}.yaml").read_text())
    raw["network"] |= {"size": 16, "channels": [2, 4], "latent": 3}
    settings = registry.validate(raw)
    torch.manual_seed(0)
    method = registry.build(settings)
    batch = torch.rand(2, 1, 16, 16)
    terms = method.objective().eval().generator_terms(batch)
    rebuilt = method.network.autoencoder.eval()(batch).reconstruction
    assert terms["reconstruction"].item() == pytest.approx((batch - rebuilt).abs().sum().item() / 2, rel=1e-5)
    rest = terms["loss"] - terms["reconstruction"] - terms.get("kl", 0)
    assert rest.item() == pytest.approx(terms["adversarial"].item(), rel=1e-4)  # all weights are 1


def test_the_first_layer_of_an_autoencoders_critic_has_no_normalisation():
    critic = AutoencoderCritic(Trunk(size=16, channels=[2, 4, 8], kernel=3))
    kinds = [type(layer).__name__ for layer in critic[0]]
    assert kinds == ["Conv2d", "LeakyReLU", *2 * ["Conv2d", "BatchNorm2d", "LeakyReLU"]]


def test_every_step_of_the_critic_sees_examples_of_its_own():
    method = fanogan(steps=3)
    assert [stage.train.batch_size for stage in method.stages()] == [6, 2, 2]
    module = method.objective()
    seen: list[Tensor] = []
    module.critic_terms = lambda part: seen.append(part) or {"loss": torch.zeros(())}
    module.generator_terms = lambda part: {"loss": torch.zeros(())}
    module.optimizers = lambda: (None, None)
    module._step = lambda optimizer, terms: terms()
    for count, expected in ((6, [2, 2, 2]), (4, [2, 1, 1]), (2, [1, 1])):
        seen.clear()
        batch = torch.arange(float(count))
        module.training_step(batch)
        assert [len(part) for part in seen] == expected
        assert torch.equal(torch.cat(seen), batch)


@pytest.fixture
def hidden() -> tuple[Gan, Tensor]:
    """A generator and images that it can make, in double precision."""
    torch.manual_seed(0)
    network = dcgan(Dcgan(size=16, channels=[4, 8], kernel=3, latent=5)).double().eval()
    with torch.no_grad():
        return network, network.generator(2 * torch.randn(4, 5, dtype=torch.float64))


def test_slices_searched_together_give_the_same_images_as_alone(hidden):
    network, slices = hidden
    settings = Search(steps=60, lr=0.05, starts=2)
    together = search(network, slices, settings)
    alone = torch.cat([search(network, piece, settings) for piece in slices.split(1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-9)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_the_search_reduces_the_distance_and_does_not_change_the_networks(hidden):
    network, slices = hidden
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    distances = [
        (slices - search(network, slices, Search(steps=steps, lr=0.05, feature_share=0))).abs().mean().item()
        for steps in (1, 20, 200)
    ]
    assert distances[2] < 0.5 * distances[0]
    assert distances[2] < distances[1] < distances[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_of_two_starts_each_slice_takes_the_nearer(hidden):
    network, slices = hidden
    features = network.critic.features(slices)
    pairs = [mapping_distance(network, code, slices, features, 0.1) for code in starting_codes(slices, 2, 5)]
    # a step too small to matter, so that the starts themselves are compared
    found = search(network, slices, Search(steps=1, lr=1e-12, starts=2))
    nearer = torch.stack([distance for distance, _ in pairs]).argmin(0)
    assert len(nearer.unique()) == 2
    expected = torch.stack([pairs[int(start)][1][n] for n, start in enumerate(nearer)])
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-8)


def test_each_slice_starts_from_codes_of_its_own():
    slices = torch.rand(40, 1, 4, 4)
    codes = starting_codes(slices, 3, 50)
    assert codes.shape == (3, 40, 50)
    assert len(codes.flatten(0, 1).unique(dim=0)) == 3 * 40
    assert codes.mean().item() == pytest.approx(0, abs=0.05)
    assert codes.std().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(starting_codes(slices[7:8], 3, 50), codes[:, 7:8], rtol=0, atol=0)


def test_the_paper_s_search_reaches_any_code():
    raw = yaml.safe_load((MODELS / "baur_anogan.yaml").read_text())
    settings = registry.validate(raw).search
    far = 6.0  # two draws of N(0, 1) are nearer in all but 2 of 100,000 cases
    generator = nn.Sequential(nn.Unflatten(1, (1, 1, 1)))
    network = Gan(generator, Critic(nn.Identity(), nn.Flatten()), latent=1)
    found = search(network, torch.full((1, 1, 1, 1), far), settings)
    assert found.item() == pytest.approx(far, abs=0.2)


def test_the_mapping_distance_by_hand():
    critic = Critic(nn.AvgPool2d(2), nn.Flatten())
    network = Gan(nn.Unflatten(1, (1, 2, 2)), critic, latent=4)
    code, image = torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([1.0, 1.0, 1.0, 1.0]).reshape(1, 1, 2, 2)
    found, _ = mapping_distance(network, code, image, critic.features(image), 0.1)
    assert found.item() == pytest.approx(0.9 * (1 + 0 + 1 + 2) / 4 + 0.1 * abs(1 - 1.5))


def test_a_generated_slice_is_in_the_range_of_scans(hidden):
    _, slices = hidden
    assert slices.min() >= 0
    assert slices.max() <= 1
    assert slices.std() > 0.01


def test_an_anogan_reconstructs_by_its_search():
    settings = {"train": LENGTH | {"keep": "last"}, "network": {"size": 16, "channels": [4, 8], "kernel": 3}}
    few, many = (AnoGanMethod(AnoGan(family="anogan", search={"steps": n, "lr": 0.1}, **settings)) for n in (1, 60))
    image, brain = scans(1, 0).images[0], np.ones((12, 16, 5), bool)
    first, last = (np.abs(image - method.reconstruct(image, brain)).mean() for method in (few, many))
    assert last < first
    np.testing.assert_array_equal(many.reconstruct(image, brain), many.reconstruct(image, brain))


@pytest.mark.parametrize("network", [{}, FLAT], ids=["kwon", "schlegl"])
def test_each_stage_moves_its_own_parts_and_no_other(network, tmp_path):
    watch = Watch()
    found = fit(fanogan(network), tmp_path, watch)
    assert [watch.moved(stage) for stage in range(3)] == [
        {"generator", "critic"},
        {"encoder"},
        {"encoder", "generator"},
    ]
    assert any("running" in name for name in watch.stages[0][0])  # the comparison is of statistics too
    names = {name for _, name, _ in found.curves}
    expected = {"train_penalty", "train_critic", "train_adversarial", "encoder_train_features", "fine_tune_train_loss"}
    assert expected <= names


def test_without_fine_tuning_there_are_two_stages():
    assert [stage.name for stage in fanogan(fine_tune_train=None).stages()] == ["", "encoder"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    method = fanogan(FLAT)
    return method, fit(method, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize(("kill", "resumed"), [(3, (2, 0, 0)), (9, (6, 2, 0)), (17, (6, 6, 4))])
def test_a_training_killed_in_any_stage_ends_with_the_weights_of_an_unbroken_one(unbroken, kill, resumed, tmp_path):
    whole, expected = unbroken
    with pytest.raises(KilledError):
        fit(fanogan(FLAT), tmp_path, KillAt(kill))
    again = fanogan(FLAT)
    found = fit(again, tmp_path)
    facts = [found.facts[f"{stage}resumed_at_epoch"] for stage in ("", "encoder_", "fine_tune_")]
    assert facts == [step // 2 for step in resumed]
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(again.weights()[name], array)
    curves = [[row for row in fitted.curves if "per_second" not in row[1]] for fitted in (expected, found)]
    assert curves[0] == curves[1]


def stubbed(network: dict, weight: float) -> FAnoGanMethod:
    """Encoder and generator that halve what they see, and a critic that sees three times as much."""
    method = fanogan(network, feature_weight=weight)
    method.network.encoder, method.network.generator = nn.Identity(), Scale(0.5)
    method.network.critic = Critic(Scale(3.0), nn.Flatten())
    return method


class Scale(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, batch: Tensor) -> Tensor:
        return self.factor * batch


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_the_score_of_a_volume_by_hand(weight):
    image = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    brain, centred = np.ones(image.shape, bool), 2 * image - 1
    voxels = np.square(0.5 * centred).mean()
    found = stubbed({}, weight).anomaly_score(np.zeros_like(image), brain, image)
    assert found == pytest.approx(voxels + weight * 9 * voxels, rel=1e-5)


def test_the_score_of_slices_is_the_mean_over_those_with_brain():
    image = np.random.default_rng(0).random((16, 16, 40), dtype=np.float32)
    brain = np.zeros(image.shape, bool)
    brain[4, 4, 3:39] = True  # more slices than are rebuilt at once
    voxels = np.square(0.5 * (2 * image[:, :, 3:39] - 1)).mean()
    method = stubbed(FLAT, 1.0)
    assert method.anomaly_score(np.zeros_like(image), brain, image) == pytest.approx(10 * voxels, rel=1e-5)
    assert method.anomaly_score(np.zeros_like(image), np.zeros_like(brain), image) == 0


def test_intensities_are_centred_for_the_network_and_put_back():
    image = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    method = stubbed({}, 1.0)
    rebuilt = method.reconstruct(image, np.ones(image.shape, bool))
    np.testing.assert_allclose(rebuilt, (0.5 * (2 * image - 1) + 1) / 2, atol=1e-6)
    examples = method.examples(TrainingScans([image], [np.ones(image.shape, bool)], SPACING))
    np.testing.assert_allclose(examples.fetch([0])[0, 0].numpy(), 2 * image - 1, atol=1e-6)


@pytest.mark.parametrize("network", [{}, FLAT], ids=["kwon", "schlegl"])
def test_the_tanh_of_a_code_is_optional(network):
    bound, free = fanogan(network), fanogan(network | {"latent_tanh": False})
    batch = torch.randn(4, 1, *[16] * (3 if not network else 2))
    for method in (bound, free):
        method.network.encoder.load_state_dict(bound.network.encoder.state_dict())
        method.network.eval()
    codes = bound.network.encoder(batch), free.network.encoder(batch)
    assert codes[0].shape == (4, 3)
    torch.testing.assert_close(codes[0], codes[1].tanh())


@pytest.mark.parametrize("network", [{}, FLAT], ids=["kwon", "schlegl"])
def test_no_critic_and_no_encoder_mixes_the_examples_of_a_batch(network):
    method = fanogan(network)
    method.network.train()
    batch = torch.randn(3, 1, *[16] * (3 if not network else 2))
    for part in (method.network.critic, method.network.encoder):
        torch.testing.assert_close(part(batch)[:1], part(batch[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": LENGTH}, "keep: last"),
        ({"network": {"architecture": "kwon", "dims": 2}}, "goes with dims: 3"),
        ({"network": {"size": 100}}, "cannot be halved"),
        ({"encoder_train": LENGTH | {"min_brain_share": 0.5}}, "Extra inputs"),
        ({"fine_tune_train": LENGTH | {"min_brain_share": 0.5}}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        FAnoGan(**{"family": "fanogan", "train": LENGTH | {"keep": "last"}} | change)
