from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass

from brainuad.methods.autoencoder import Settings as Autoencoder
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.volumes import VolumeView, from_cube, to_cube

SHAPE, SPACING = (20, 24, 17), (2.0, 2.0, 2.0)
NETWORK = {"dims": 3, "size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}


def scan(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE, dtype=np.float32)


def blob(centre: tuple[float, ...], width: float = 2.0) -> np.ndarray:
    axes = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    apart = sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True))
    return np.exp(-apart / (2 * width**2)).astype(np.float32)


@pytest.mark.parametrize("shape", [(20, 24, 17), (24, 24, 24), (5, 24, 23)])
def test_padding_alone_is_undone_exactly(shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    cube = to_cube(image, 24)
    assert cube.shape == (1, 1, 24, 24, 24)
    assert cube.sum().item() == pytest.approx(image.sum(), rel=1e-4)
    np.testing.assert_array_equal(from_cube(cube, shape), image)


@pytest.mark.parametrize("size", [12, 24, 30])
def test_padding_and_cropping_a_volume_leave_every_voxel_as_it_is(size):
    image, view, brain = scan(0), VolumeView(size, "pad"), np.ones(SHAPE, bool)
    ((position, batch),) = view.inputs(image, brain)
    assert batch.shape == (1, 1, size, size, size)
    back = image.copy()
    view.insert(batch, position, back)
    np.testing.assert_array_equal(back, image)
    view.insert(batch * 0, position, back)
    assert (back == 0).sum() == np.prod([min(size, length) for length in SHAPE])


@pytest.mark.parametrize("size", [8, 16, 31, 40])
@pytest.mark.parametrize("centre", [(6, 7, 8), (14, 17, 10)])
def test_a_blob_keeps_its_place_through_resizing(size, centre):
    image = blob(centre)
    cube = to_cube(image, size)
    ratio = 24 / size
    start = [(24 - n) // 2 for n in SHAPE]
    inside = (np.array(center_of_mass(cube[0, 0].numpy())) + 0.5) * ratio - 0.5 - start
    assert np.abs(inside - centre).max() < 0.03
    back = from_cube(cube, SHAPE)
    assert back.shape == SHAPE
    assert np.abs(np.subtract(center_of_mass(back), centre)).max() < 0.15
    assert np.abs(np.subtract(np.unravel_index(back.argmax(), SHAPE), centre)).max() <= max(1, ratio / 2)


def test_shrinking_averages_noise_out():
    inner = to_cube(scan(0), 12)[0, 0, 4:8, 4:8, 4:8]
    assert inner.std() < 0.2 * scan(0).std()  # the mean of eight voxels, all that resizing takes, leaves 0.35


def test_an_image_is_not_changed():
    image = scan(0)
    before = image.copy()
    to_cube(image, 24)[:] = 0
    np.testing.assert_array_equal(image, before)


def test_examples_are_whole_scans_in_the_order_that_is_asked_for():
    healthy = TrainingScans([scan(seed) for seed in range(3)], [np.ones(SHAPE, bool)] * 3, SPACING)
    examples = VolumeView(16).examples(healthy)
    assert len(examples) == 3
    batch = examples.fetch([2, 0])
    assert batch.shape == (2, 1, 16, 16, 16)
    for item, seed in zip(batch, (2, 0), strict=True):
        assert torch.equal(item, to_cube(scan(seed), 16)[0])
    assert torch.equal(examples.fetch([2, 0]), batch)


def test_a_scan_is_one_batch_and_one_without_brain_is_none():
    view, image = VolumeView(16), scan(0)
    ((position, batch),) = view.inputs(image, np.ones(SHAPE, bool))
    assert torch.equal(batch, to_cube(image, 16))
    target = np.zeros(SHAPE, np.float32)
    view.insert(batch, position, target)
    np.testing.assert_array_equal(target, from_cube(batch, SHAPE))
    assert not list(view.inputs(image, np.zeros(SHAPE, bool)))


@pytest.mark.parametrize("variational", [False, True])
def test_an_autoencoder_of_volumes_maps_a_scan_on_its_own_grid(variational):
    loss = {"kl": float(variational)}
    method = AutoencoderMethod(
        Autoencoder(family="autoencoder", network=NETWORK | {"variational": variational}, loss=loss, train={"steps": 1})
    )
    brain = blob((10, 12, 8), 5) > 0.3
    image = scan(1) * brain
    anomaly, rebuilt = method.predict(image, brain, SPACING, "both")
    assert anomaly.shape == rebuilt.shape == SHAPE
    assert not anomaly[~brain].any()
    assert not rebuilt[~brain].any()
    np.testing.assert_allclose(anomaly[brain], np.abs(image - rebuilt)[brain], rtol=1e-6)
    with torch.no_grad():
        whole = method.network.eval().reconstruct(to_cube(image, 16))
    np.testing.assert_array_equal(rebuilt[brain], from_cube(whole, SHAPE)[brain])
