from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning import Callback
from pydantic import ValidationError
from torch import nn
from training import COMPUTE, SPACING, KilledError, scans

from brainuad.config.network import Train
from brainuad.errors import InputError
from brainuad.methods import registry
from brainuad.methods.shared import objective
from brainuad.methods.vqvae import Quantised, QuantisedLoss
from brainuad.methods.vqvae.network import QuantisedAutoencoder
from brainuad.methods.vqvae.objective import QuantisedObjective
from brainuad.methods.vqvae_transformer import Settings as VqVaeTransformer
from brainuad.methods.vqvae_transformer.method import THRESHOLD, VqVaeTransformerMethod
from brainuad.methods.vqvae_transformer.network import CodeModel
from brainuad.methods.vqvae_transformer.objective import CodeLikelihood
from brainuad.train.fit import TrainingRun, fit_network

SIZE = {"size": 16, "channels": [2, 4], "codes": 8, "codebook_decay": 0.5}
STRIDED = SIZE | {"kernel": 4, "norm": "none", "decoder_end": "up", "coord_conv": True, "embedding": 4}
MONAI = SIZE | {"kernel": 5, "norm": "none", "slope": 0.0, "decoder_end": "up", "blocks": "monai", "embedding": 3}
KINDS = {"strided": STRIDED, "monai": MONAI, "volumes": STRIDED | {"dims": 3, "size": 8, "output": "sigmoid"}}
TRANSFORMER = {"width": 8, "depth": 2, "heads": 2, "dropout": 0.2}


def autoencoder(kind: str = "strided", **over: object) -> QuantisedAutoencoder:
    torch.manual_seed(1)
    return QuantisedAutoencoder(Quantised(**KINDS[kind] | over))


def batch(kind: str = "strided", seed: int = 0) -> torch.Tensor:
    size = (KINDS[kind]["size"],) * KINDS[kind].get("dims", 2)
    return torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(seed))


def nearest(network: QuantisedAutoencoder, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is encoded, place by place in raster order, and the numbers of the nearest codes."""
    encoded = network.encoder(images).movedim(1, -1).flatten(0, -2)
    return encoded, torch.cdist(encoded, network.codebook.embedding.weight).argmin(-1)


def codebook(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.codebook.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_commitment_is_the_squared_distance_to_the_nearest_codes(kind):
    network, images = autoencoder(kind).eval(), batch(kind)
    encoded, numbers = nearest(network, images)
    by_hand = (encoded - network.codebook.embedding.weight[numbers]).square().mean()
    loss = QuantisedLoss(reconstruction="l2", commitment=0.5)
    terms = QuantisedObjective(network, loss, Train(steps=1)).eval().terms(images)
    assert terms["commitment"].item() == pytest.approx(by_hand.item(), rel=1e-4)
    mse = (network(images).reconstruction - images).square().mean()
    assert terms["loss"].item() == pytest.approx((mse + 0.5 * by_hand).item(), rel=1e-4)
    share = numbers.bincount().double() / len(numbers)
    entropy = -(share[share > 0] * share[share > 0].log()).sum()
    assert terms["perplexity"].item() == pytest.approx(math.exp(entropy), rel=1e-5)


def test_codes_become_moving_averages_of_what_is_assigned_to_them():
    network, images = autoencoder(), batch()
    before = network.codebook.embedding.weight.clone()
    encoded, numbers = nearest(network, images)
    network.quantise_and_reconstruct(images)
    counts = numbers.bincount(minlength=8)
    for number in numbers.unique():
        summed = 0.5 * before[number] + 0.5 * encoded[numbers == number].sum(0)
        expected = summed / (0.5 * counts[number])
        torch.testing.assert_close(network.codebook.embedding.weight[number], expected, rtol=1e-3, atol=1e-4)


def test_the_codebook_moves_in_training_steps_alone():
    network = autoencoder()
    before = codebook(network)
    network.reconstruct(batch())
    network.eval().quantise_and_reconstruct(batch())
    assert same(before, codebook(network))
    network.train().quantise_and_reconstruct(batch())
    assert not same(before, codebook(network))


def test_gradients_pass_the_codebook_straight_through():
    network = autoencoder()
    network.quantise_and_reconstruct(batch()).output.reconstruction.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.encoder.parameters())
    assert network.codebook.embedding.weight.grad is None


def test_context_encoding_aims_at_the_clean_image_and_leaves_the_codebook(monkeypatch):
    masked, clean = batch(seed=5), batch()
    monkeypatch.setattr(objective, "mask_squares", lambda images, settings: masked)
    books = []
    for weight in (0.0, 2.0):
        network = autoencoder()
        loss = QuantisedLoss(reconstruction="l2", context_encoding=weight, commitment=0.0)
        terms = QuantisedObjective(network, loss, Train(steps=1)).train().terms(clean)
        books.append(codebook(network))
    by_hand = (clean - network.reconstruct(masked)).square().mean()
    assert terms["context"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + 2 * by_hand).item(), rel=1e-5)
    assert same(*books)


@pytest.mark.parametrize("kind", KINDS)
def test_the_codes_of_an_image_decode_to_its_reconstruction(kind):
    network, images = autoencoder(kind).eval(), batch(kind)
    tokens = network.tokens(images)
    assert tokens.flatten().tolist() == nearest(network, images)[1].tolist()
    torch.testing.assert_close(network.decode(tokens), network(images).reconstruction)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 18}, "cannot be halved 2 times"),
        ({"embedding": 5}, "embedding is the last of channels, 4"),
        ({"blocks": "monai"}, "blocks: monai needs"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        Quantised(**STRIDED | change)


def model(**over: object) -> VqVaeTransformer:
    length = {"steps": 8, "validate_every": 4, "batch_size": 4, "lr": 0.01}
    parts = {"network": STRIDED, "transformer": TRANSFORMER, "train": length, "transformer_train": length}
    return registry.validate({"family": "vqvae_transformer", **parts, **over})


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"loss": {"kl": 1.0}}, "takes no loss.kl"),
        ({"transformer": {"width": 6, "heads": 4}}, "cannot be shared by 4 heads"),
        ({"transformer_train": {"steps": 8, "min_brain_share": 0.2}}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(over, words):
    with pytest.raises(ValidationError, match=words):
        model(**over)


class Counting(nn.Module):
    """Expects the next number after the last token, the start's own token even more; after the start 0."""

    def __init__(self, codes: int):
        super().__init__()
        self.codes = codes

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        following = torch.where(tokens == self.codes, 0, (tokens + 1) % self.codes)
        logits = 2.0 * nn.functional.one_hot(following, self.codes + 1)
        logits[..., -1] = 3.0
        return logits


def counting() -> CodeModel:
    made = CodeModel(model())
    made.transformer = Counting(8)
    return made


def test_resampling_replaces_unlikely_codes_alone_from_left_to_right():
    tokens = torch.tensor([[0, 1, 7, 7, 4, 5], [5, 1, 2, 6, 4, 5], [3, 3, 3, 3, 3, 3]])
    unlikely = torch.zeros(3, 6, dtype=torch.bool)
    unlikely[0, 2:4] = unlikely[1, 0] = unlikely[1, 3] = True
    healed = counting().resample_unlikely(tokens, unlikely)
    assert healed.tolist() == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]]
    assert tokens[0].tolist() == [0, 1, 7, 7, 4, 5]


def test_log_likelihood_by_hand():
    total = math.log(math.exp(2) + math.exp(3) + 7)
    found = counting().log_likelihood(torch.tensor([[0, 1, 4, 5]]))
    assert found.tolist() == [pytest.approx([2 - total, 2 - total, -total, 2 - total])]


def test_the_cross_entropy_is_the_mean_negative_log_likelihood():
    made = CodeModel(model()).eval()
    loss = CodeLikelihood(made, Train(steps=1)).eval().terms(batch())["loss"]
    assert loss.item() == pytest.approx(-made.log_likelihood(made.tokens(batch())).mean().item(), rel=1e-5)


def test_a_code_is_expected_from_those_before_it_alone():
    made = CodeModel(model()).eval()
    tokens = torch.randint(0, 8, (2, 16), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 5] = (tokens[:, 5] + 1) % 8
    before, after = made.logits(tokens), made.logits(changed)
    assert before.shape == (2, 16, 9)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6], after[:, 6])


def fitted(folder, callbacks: tuple[Callback, ...] = (), **over: object) -> VqVaeTransformerMethod:
    made = VqVaeTransformerMethod(model(**over))
    fit_network(made, scans(4, 0), scans(2, 1), TrainingRun(0, COMPUTE, folder, "k"), callbacks)
    return made


class KillTransformerAt(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_train_batch_end(self, trainer, module, *args):
        if isinstance(module, CodeLikelihood) and trainer.global_step == self.step:
            raise KilledError


@pytest.mark.parametrize("kill", [2, 6, 8])
def test_a_transformer_killed_in_training_ends_with_the_weights_of_an_unbroken_one(kill, tmp_path):
    whole = fitted(tmp_path / "whole")
    with pytest.raises(KilledError):
        fitted(tmp_path / "broken", [KillTransformerAt(kill)])
    again = fitted(tmp_path / "broken")
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(array, again.weights()[name])


def test_the_transformer_learns_while_the_autoencoder_is_frozen(tmp_path):
    made = fitted(tmp_path)
    first = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["training"]["best"]["weights"]
    for name, tensor in made.network.state_dict().items():
        if name.startswith("autoencoder."):
            assert torch.equal(tensor, first[name]), name
    assert not torch.equal(made.network.transformer.to_logits.weight, first["transformer.to_logits.weight"])
    assert all(p.requires_grad for p in made.network.transformer.parameters())


def test_the_healthy_threshold_leaves_its_quantile_of_the_codes_of_held_out_scans_below(tmp_path):
    made = fitted(tmp_path, resampling={"quantile": 0.1})
    training, held_out = scans(4, 0), scans(2, 1)
    with pytest.raises(InputError, match="no healthy validation scan"):
        made.fit(training)
    made.fit(training, held_out)
    likelihood = [
        made.network.log_likelihood(made.network.tokens(part)).flatten()
        for image, brain in zip(held_out.images, held_out.brains, strict=True)
        for _, part in made.view.inputs(image, brain)
    ]
    below, reached = ((torch.cat(likelihood) - made.threshold < apart).float().mean().item() for apart in (-1e-5, 1e-5))
    assert 0 < below <= 0.1 <= reached
    state = made.state()
    again = VqVaeTransformerMethod(made.settings)
    again.load(state)
    assert again.threshold == made.threshold
    image, brain = scans(1, 7).images[0], training.brains[0]
    first = made.anomaly_map(image, brain, SPACING, "both")
    np.testing.assert_array_equal(first, made.anomaly_map(image, brain, SPACING, "both"))
    np.testing.assert_array_equal(first, again.anomaly_map(image, brain, SPACING, "both"))
    del state[THRESHOLD]
    with pytest.raises(InputError, match="lacks likelihood_threshold"):
        again.load(state)


def resampled_codes(made: VqVaeTransformerMethod, images: torch.Tensor, monkeypatch) -> torch.Tensor:
    """The codes that `reconstruct_batch` resamples."""
    seen = []
    monkeypatch.setattr(made.network, "resample_unlikely", lambda tokens, unlikely: seen.append(unlikely) or tokens)
    made.network.eval()
    made.reconstruct_batch(images)
    return seen[0]


def test_each_rule_takes_its_own_codes_for_unlikely(monkeypatch):
    images = batch()
    per_image = VqVaeTransformerMethod(model(resampling={"rule": "per_image", "quantile": 0.2}))
    assert THRESHOLD not in per_image.state()
    likelihood = per_image.network.eval().log_likelihood(per_image.network.tokens(images)).detach()
    unlikely = resampled_codes(per_image, images, monkeypatch)
    for row, found in zip(likelihood, unlikely, strict=True):
        assert found.tolist() == (row < np.quantile(row.numpy(), 0.2)).tolist()
    assert unlikely.any()
    healthy = VqVaeTransformerMethod(model())
    with pytest.raises(InputError, match="no healthy likelihoods"):
        healthy.reconstruct_batch(images)
    healthy.threshold = float(likelihood.median())
    assert torch.equal(resampled_codes(healthy, images, monkeypatch), likelihood < healthy.threshold)
