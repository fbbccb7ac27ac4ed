"""Methods on pretrained features: the user's weights, the networks that they fit, the memory bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_weights import VIT, WIDTH, tiny_backbone, write_tiny_weights

from brainuad.config.features import PUBLISHED, ResNetBackbone, ViTBackbone
from brainuad.errors import InputError
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.methods.patchcore import Settings as PatchCore
from brainuad.methods.shared.memory_bank import coreset, nearest_distance
from brainuad.methods.shared.pretrained import load_pretrained
from brainuad.methods.shared.resnet import ResNet
from brainuad.methods.shared.vit import VisionTransformer

SPACING = (2.0, 2.0, 2.0)
TINY = ResNetBackbone(network="resnet18", width=WIDTH, weights="resnet18.pt")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    write_tiny_weights(tmp_path)
    return tmp_path / "hub" / "checkpoints"


def patchcore(**changes) -> PatchCore:
    memory = {"candidates": 100, "share": 0.2, "largest": 12}
    backbone = tiny_backbone({"network": "resnet18"})
    settings = {"family": "patchcore", "backbone": backbone, "size": 32, "layers": (1, 2), "memory": memory}
    return PatchCore.model_validate(settings | changes)


def scans(count: int) -> TrainingScans:
    rng = np.random.default_rng(0)
    brain = np.zeros((12, 10, 4), bool)
    brain[2:10, 2:9, 1:3] = True
    images = [(rng.random(brain.shape) * brain).astype(np.float32) for _ in range(count)]
    return TrainingScans(images, [brain] * count, SPACING)


@pytest.mark.parametrize(
    ("network", "parameters", "classifier"),
    [
        ("resnet18", 11_689_512, 513_000),
        ("resnet50", 25_557_032, 2_049_000),
        ("wide_resnet50_2", 68_883_240, 2_049_000),
    ],
)
def test_residual_networks_are_those_that_published_weights_fit(network, parameters, classifier):
    with torch.device("meta"):
        whole = ResNet(network, 64, 4)
    assert sum(each.numel() for each in whole.parameters()) == parameters - classifier
    names = {"conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"}
    assert names <= whole.state_dict().keys()


def test_the_vision_transformer_is_the_one_that_published_weights_fit():
    with torch.device("meta"):
        whole = VisionTransformer(ViTBackbone())
    assert sum(each.numel() for each in whole.parameters()) == 22_056_576 - 384  # without the token for masked patches
    assert {"patch_embed.proj.bias", "blocks.11.ls2.gamma", "blocks.0.attn.qkv.weight"} <= whole.state_dict().keys()
    vit = VisionTransformer(ViTBackbone(**VIT))
    for rows in (4, 6):  # of the size that it was trained on, and of another
        assert vit(torch.zeros(2, 3, 4 * rows, 4 * rows)).shape == (2, 8, rows, rows)


def test_without_weights_the_message_says_what_to_get_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for settings in (ResNetBackbone(network="resnet50"), ViTBackbone()):
        with pytest.raises(InputError) as error:
            settings.checked()
        said = str(error.value)
        assert PUBLISHED[settings.name] in said
        assert str(tmp_path / "hub" / "checkpoints") in said
        assert "downloads no" in said


def test_weights_are_taken_from_a_path_or_from_the_cache_and_the_rest_of_the_file_is_left_out(hub):
    network = ResNet("resnet18", WIDTH, 3)
    checksums = set()
    for weights in ("resnet18.pt", str(hub / "resnet18.pt")):
        checksums.add(load_pretrained(network, TINY.model_copy(update={"weights": weights})))
    expected = torch.load(hub / "resnet18.pt", weights_only=True)
    assert torch.equal(network.state_dict()["layer3.1.conv2.weight"], expected["layer3.1.conv2.weight"])
    assert len(checksums) == 1
    assert not any(each.requires_grad for each in network.parameters())


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (b"no weights", {}, "cannot read"),
        ({"conv1.weight": torch.zeros(1)}, {}, "lack bn1.weight"),
        (None, {"width": 5}, "5 x 3 x 7 x 7 are expected"),
        ({"state_dict": {}}, {}, "no weights in the file"),
        (None, {"sha256": "0" * 64}, "other weights"),
        ({"x": torch.zeros(1)}, {"weights": "resnet18-01234567.pth"}, "its name says 01234567"),
    ],
)
def test_files_that_do_not_fit_are_refused(hub, content, changes, said):
    settings = TINY.model_copy(update=changes)
    if isinstance(content, bytes):
        settings.path().write_bytes(content)
    elif content is not None:
        torch.save(content, settings.path())
    with pytest.raises(InputError, match=said):
        load_pretrained(ResNet("resnet18", settings.width, 3), settings)


def test_other_content_of_the_file_changes_the_settings_of_the_training(hub):
    before = patchcore().pinned()
    assert before == patchcore().pinned()
    torch.save({"x": torch.zeros(1)}, hub / "resnet18.pt")
    assert patchcore().pinned().sorted_json() != before.sorted_json()


def test_the_bank_is_bounded_and_comes_back_without_the_file(hub):
    method = registry.build(patchcore())
    method.initialise(3)
    method.fit(scans(3))
    facts = method.facts()
    assert facts["bank"] == 12  # `largest`, of the 20 that `share` would keep
    assert facts["weights_sha256"] == patchcore().pinned().backbone.sha256
    again = registry.build(patchcore())
    (hub / "resnet18.pt").unlink()
    again.load(method.state())
    test = scans(4)
    for asked in (method, again):
        found = asked.anomaly_map(test.images[3], test.brains[3], SPACING, "both")
        np.testing.assert_array_equal(found, method.anomaly_map(test.images[3], test.brains[3], SPACING, "dark"))
        assert found[test.brains[3]].min() > 0


def test_a_training_scan_is_not_compared_with_itself(hub):
    memory = {"candidates": 10_000, "share": 1.0, "largest": 10_000}
    method = registry.build(patchcore(memory=memory))
    method.initialise(0)
    training = scans(2)
    method.fit(training)
    image, brain = training.images[0], training.brains[0]
    assert method.distances(image, brain).max() < 1e-2  # all its patches are in the bank
    assert method.training_map(0, image, brain).max() > 0.1


def test_a_coreset_covers_what_is_there_and_distances_are_those_to_the_nearest():
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    points = (corners[:, None] + 0.1 * torch.rand(4, 20, 2, generator=torch.Generator().manual_seed(0))).flatten(0, 1)
    chosen = coreset(points, 4, np.random.default_rng(0))
    assert sorted((chosen // 20).tolist()) == [0, 1, 2, 3]
    assert len(coreset(points, 100, np.random.default_rng(0))) == 80
    exact = torch.cdist(points, points[chosen]).amin(1).square()
    torch.testing.assert_close(nearest_distance(points, points[chosen]), exact, atol=1e-4, rtol=1e-4)
