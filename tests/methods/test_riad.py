from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from brainuad.config.network import Train
from brainuad.methods.riad import Hiding, InpaintingLoss, Settings
from brainuad.methods.riad.method import RiadMethod
from brainuad.methods.riad.network import divide
from brainuad.methods.riad.objective import InpaintingObjective
from brainuad.methods.riad.similarity import dissimilarity, smooth
from brainuad.methods.shared.steady import SteadyObjective


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def method(**settings: object) -> RiadMethod:
    values = {"family": "riad", "network": {"size": 16, "channels": [2, 4]}, "train": {"steps": 1}} | settings
    return RiadMethod(Settings.model_validate(values))


@pytest.mark.parametrize(("shape", "side", "count"), [((12, 12), 3, 3), ((10, 14), 4, 2), ((8, 8), 16, 3)])
def test_every_pixel_is_in_one_set_and_squares_stay_whole(shape, side, count):
    sets = divide(shape, side, count)
    assert sets.shape == shape
    assert 0 <= sets.min() <= sets.max() < count
    assert len(sets[:side, :side].unique()) == 1
    numbers = [(sets[::side, ::side] == number).sum() for number in range(count)]
    assert max(numbers) - min(numbers) <= 1


def test_a_pixel_is_painted_without_being_seen():
    network, sets = method().network.eval(), divide((16, 16), 4, 3)
    batch = torch.rand(1, 1, 16, 16)
    changed = batch.clone()
    hidden = sets == sets[0, 0]
    changed[0, 0, hidden] += 1
    found, again = network(batch, sets), network(changed, sets)
    assert torch.equal(found[0, 0, hidden], again[0, 0, hidden])
    assert not torch.equal(found, again)


def test_similarity_sees_edges_and_not_brightness():
    flat, edge = torch.full((1, 1, 32, 32), 0.3), torch.full((1, 1, 32, 32), 0.3)
    edge[..., 16:] = 0.9
    assert dissimilarity(edge, edge).abs().max() < 1e-6
    assert dissimilarity(flat, flat + 0.4).abs().max() < 1e-6
    found = dissimilarity(edge, flat)[0, 0]
    assert 0.8 < found[16, 16] <= 1
    assert found[16, 0] < 0.1
    # two gradients of .2 and .6, far above the constant: 1 - 2ab / (a² + b²), at the finest scale
    ramp = torch.arange(3.0)[None, None, None] * torch.ones(1, 1, 3, 1)
    assert dissimilarity(0.1 * ramp, 0.3 * ramp)[0, 0, 1, 1].item() == pytest.approx(0.4 - 0.4 * 0.0065, abs=0.01)


def test_the_mean_filter_ends_at_the_border():
    assert torch.equal(smooth(torch.ones(1, 1, 5, 5), 3), torch.ones(1, 1, 5, 5))
    spike = torch.zeros(1, 1, 5, 5)
    spike[0, 0, 2, 2] = 9
    assert smooth(spike, 3)[0, 0, 1:4, 1:4].flatten().tolist() == pytest.approx([1.0] * 9)
    assert smooth(spike, 1) is spike


def test_the_loss_is_the_weighted_sum_of_its_parts():
    made, batch = method(), torch.rand(2, 1, 16, 16)
    weights = InpaintingLoss(squared=2, gradient=0.5, structure=0.25)
    terms = InpaintingObjective(made.network, Hiding(squares=[4]), weights, Train(steps=1)).terms(batch)
    expected = 2 * terms["squared"] + 0.5 * terms["gradient"] + 0.25 * terms["structure"]
    assert terms["loss"].item() == pytest.approx(expected.item())
    alone = InpaintingObjective(made.network, Hiding(), InpaintingLoss(gradient=0, structure=0), Train(steps=1))
    assert set(alone.terms(batch)) == {"loss", "squared"}
    terms["loss"].backward()
    assert all(parameter.grad is not None for parameter in made.network.parameters())


def test_the_same_slice_has_the_same_measures_in_any_batch():
    made = method(hiding={"squares": [2, 4]}, similarity={"mean_filter": 3})
    made.network.eval()
    batch = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        whole, part = made.measure(batch), made.measure(batch[1:2])
    torch.testing.assert_close(whole.signed[1:2], part.signed)
    torch.testing.assert_close(whole.absolute[1:2], part.absolute)
    torch.testing.assert_close(whole.signed, batch - whole.reconstruction)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"similarity": {"mean_filter": 4}}, "odd"),
        ({"hiding": {"sets": 1}}, "sets"),
        ({"loss": {"squared": 0, "gradient": 0, "structure": 0}}, "above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        method(**settings)


def test_the_methods_section_tells_every_setting():
    made = method(loss={"structure": 0, "gradient": 2}, hiding={"sets": 4}, similarity={"mean_filter": 7}).settings
    told = " ".join([*made.describe(), *made.map.describe("both")])
    assert "Further settings" not in told
    assert "2 times 1 - gradient" in told
    assert "structural" not in told


def test_validation_batches_differ_in_what_is_drawn_and_repeat_it():
    class Drawn(SteadyObjective):
        def terms(self, batch):
            return {"loss": torch.rand(())}

    drawn = Drawn(torch.nn.Linear(1, 1), Train(steps=1))
    first, second = (drawn.validation_step(torch.zeros(1), number)["loss"] for number in (0, 1))
    assert first != second
    assert first == drawn.validation_step(torch.zeros(1), 0)["loss"]
