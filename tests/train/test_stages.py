"""Training in stages and against a critic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from training import COMPUTE, KillAt, KilledError, Whole, adversarial, curves, kept, scans, staged

from brainuad.errors import InputError
from brainuad.methods.shared.adversarial import AdversarialReconstruction
from brainuad.methods.shared.neural import NeuralMethod
from brainuad.resources.clock import Clock
from brainuad.resources.live import CURVES
from brainuad.train.fit import CHECKPOINT, TrainingResult, TrainingRun, fit_network


def fit(made: NeuralMethod, folder: Path, clock: Clock | None = None, **options: object) -> TrainingResult:
    run = TrainingRun(0, COMPUTE, folder, "k", clock=clock or Clock())
    return fit_network(made, scans(4, 0), scans(2, 1), run, **options)


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("kind", ["cross_entropy", "wasserstein"])
def test_both_sides_learn_and_say_how(kind, tmp_path):
    method = adversarial(kind, critic_steps=2, keep="last")
    method.initialise(0)
    before = method.weights()
    found = fit(method, tmp_path)
    after = method.weights()
    for part in ("autoencoder.encoder.0.weight", "autoencoder.decoder.0.weight", "critic.2.weight"):
        assert not np.array_equal(before[f"network.{part}"], after[f"network.{part}"])
    names = {name for _, name, _ in found.curves}
    assert {f"train_{part}" for part in ("loss", "reconstruction", "kl", "adversarial", "critic")} <= names
    assert ("train_penalty" in names) == (kind == "wasserstein")
    curve = [value for _, name, value in found.curves if name == "train_reconstruction"]
    assert curve[-1] < curve[0]
    assert found.facts["steps"] == 14


def test_the_critic_does_not_choose_the_weights(tmp_path):
    found = fit(adversarial(), tmp_path)
    by_name = {name: [v for _, n, v in found.curves if n == name] for _, name, _ in found.curves}
    assert by_name["validation_loss"] == by_name["validation_reconstruction"]
    assert found.facts["best_validation_loss"] == min(by_name["validation_reconstruction"])


def test_a_critics_step_leaves_the_network_alone_and_the_other_way_round():
    method = adversarial()
    module = AdversarialReconstruction(method.network, method.settings.loss, method.train, method.settings.adversarial)
    network, critic = module.configure_optimizers()
    held = {p for group in network.param_groups for p in group["params"]}
    judging = {p for group in critic.param_groups for p in group["params"]}
    assert held == set(method.network.autoencoder.parameters())
    assert judging == set(method.network.critic.parameters())
    module.critic_terms(torch.rand(3, 1, 16, 16))["loss"].backward()
    assert all(parameter.grad is None for parameter in held)
    assert all(parameter.grad is not None for parameter in judging)


@pytest.fixture(scope="module", params=[{}, {"loss": "wasserstein", "critic_steps": 2, "keep": "last"}])
def duel(request, tmp_path_factory):
    method = adversarial(**request.param)
    return request.param, method, fit(method, tmp_path_factory.mktemp("duel"))


@pytest.mark.parametrize("kill", [2, 4, 9, 14])
def test_a_killed_duel_ends_with_the_weights_of_an_unbroken_one(duel, kill, tmp_path):
    settings, whole, expected = duel
    again = adversarial(**settings)
    with pytest.raises(KilledError):
        fit(adversarial(**settings), tmp_path / "broken", callbacks=[KillAt(kill)])
    found = fit(again, tmp_path / "broken")
    assert found.facts["resumed_at_epoch"] == (kill - 1) // 4
    assert same(again.weights(), whole.weights())
    assert curves(found) == curves(expected)


def test_stages_follow_each_other(tmp_path):
    method = staged()
    found = fit(method, tmp_path)
    assert kept(tmp_path) == [CURVES, CHECKPOINT, "refine.ckpt"]
    assert found.facts["steps"] == 14 + 2 * 4  # two passes over twenty slices in batches of five
    assert found.facts["refine_kept_step"] == 8
    steps = {name: [step for step, n, _ in found.curves if n == name] for _, name, _ in found.curves}
    assert steps["train_loss"] == steps["validation_loss"] == [4, 8, 12, 14]
    assert steps["refine_train_loss"] == steps["refine_validation_loss"] == [18, 22]


def test_a_stage_starts_from_what_the_one_before_has_kept_and_leaves_frozen_parts_alone(tmp_path):
    method = staged(lr=0.1)
    found = fit(method, tmp_path)
    assert found.facts["kept_step"] < 14
    best = torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]["training"]["best"]
    assert best["step"] == found.facts["kept_step"]
    kept = {f"network.{name}": tensor.numpy() for name, tensor in best["weights"].items()}
    assert same(method.started_from, kept)
    after = method.weights()
    for name, array in kept.items():
        assert np.array_equal(array, after[name]) == name.startswith("network.first.")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    method = staged()
    return method, fit(method, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("kill", [3, 6, 14, 15, 18, 20, 22])
def test_a_training_killed_in_any_stage_ends_with_the_weights_of_an_unbroken_one(unbroken, kill, tmp_path):
    (whole, expected), again = unbroken, staged()
    with pytest.raises(KilledError):
        fit(staged(), tmp_path / "broken", callbacks=[KillAt(kill)])
    found = fit(again, tmp_path / "broken")
    assert found.facts["resumed_at_epoch"] == ((kill - 1) // 4 if kill <= 14 else 4)
    assert found.facts["refine_resumed_at_epoch"] == (0 if kill <= 18 else 1)
    assert same(again.weights(), whole.weights())
    assert curves(found) == curves(expected)


@pytest.mark.parametrize(("kill", "costs"), [(15, {"last": 100.0}), (20, {"last": 100.0, "refine": 300.0})])
def test_the_costs_of_earlier_turns_are_those_of_the_last_checkpoint_of_any_stage(kill, costs, tmp_path):
    with pytest.raises(KilledError):
        fit(staged(), tmp_path, callbacks=[KillAt(kill)])
    assert {path.stem for path in tmp_path.glob("*.ckpt")} == costs.keys()
    for name, seconds in costs.items():
        saved = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
        saved["callbacks"]["training"]["used"]["seconds"] = seconds
        torch.save(saved, tmp_path / f"{name}.ckpt")
    clock = Clock()
    fit(staged(), tmp_path, clock=clock)
    last = torch.load(tmp_path / "refine.ckpt", weights_only=True)["callbacks"]["training"]["used"]
    assert max(costs.values()) < last["seconds"] < clock.so_far()["seconds"] < max(costs.values()) + 60


def test_a_nan_loss_in_a_later_stage_keeps_the_good_checkpoints(tmp_path):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if isinstance(module, Whole) and trainer.global_step == 5:
                batch[:] = torch.nan

    with pytest.raises(InputError, match=r"nan at step 6 \(batch 2 of epoch 2\)") as caught:
        fit(staged(), tmp_path, callbacks=[Poison()])
    assert caught.value.file == tmp_path / "refine.ckpt"
    saved = torch.load(caught.value.file, weights_only=True)
    assert saved["callbacks"]["training"]["step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in saved["state_dict"].values())


def test_a_nan_loss_of_the_critic_ends_the_training(tmp_path):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.current_epoch == 1 and index == 2:
                with torch.no_grad():
                    module.critic[-1].weight[:] = torch.nan

    with pytest.raises(InputError, match=r"nan at step 7 \(batch 3 of epoch 2\)"):
        fit(adversarial(), tmp_path, callbacks=[Poison()])
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]["training"]["step"] == 4
