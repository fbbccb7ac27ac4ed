"""Every file in config/models, with its networks shrunk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_weights import tiny_backbone, write_tiny_weights

from brainuad.config.model import MethodSettings
from brainuad.config.study import Compute
from brainuad.formats import bundle
from brainuad.formats.bundle import Bundle
from brainuad.methods import registry
from brainuad.methods.base import Method, TrainingScans
from brainuad.train.fit import TrainingRun, fit_network

FILES = sorted(Path(__file__).parents[2].joinpath("config", "models").glob("*.yaml"))
EVERY = [path.stem for path in FILES]
NAMES = [name for name in EVERY if "family: ensemble" not in (FILES[0].parent / f"{name}.yaml").read_text()]
"""Those that map scans; ensembles combine their maps."""
SHAPE, SPACING = (20, 24, 6), (2.0, 2.0, 2.0)
CODEBOOK = {"codes": 32, "embedding": 8, "codebook_decay": 0.5}
U_NET = {"groups": 4, "res_blocks": 1, "attention_sides": [], "head_channels": 4, "fold": 2, "convolutions": 1}
TINY = {"size": 32, "channels": [4, 8], "kernel": 3, "latent": 4, "dense_channels": 2}
SMALL = {"network": TINY | CODEBOOK | U_NET, "corruption": {"radius": (2, 6)}, "hiding": {"squares": [4, 8]}}
SMALL |= {"similarity": {"mean_filter": 3}}
SMALL |= {"restoration": {"phases": [{"steps": 3, "size": 0.05}], "weights": [0.1, 0.3], "slices": 4}}
"""What a network is shrunk to; keys that a family's network lacks are left out."""
STEPS = {"epochs": None, "steps": 40, "batch_size": 8, "validate_every": 10, "lr": 0.01}
SHORT = {"train": STEPS, "transformer_train": STEPS, "encoder_train": STEPS, "fine_tune_train": STEPS}
CALM = {part: {"lr": 0.002} for part in ("train", "encoder_train")}
DUEL = {"adversarial": {"lr": 0.002, "critic_steps": 2}}
FEATURES = {"channels": [4, 8], "memory": {"candidates": 200, "share": 0.5, "largest": 60}}
"""The same of families that compare features."""
BY_FAMILY = {
    "anomaly_dino": {"size": 32, "map": {"smooth_mm": 0.0}},
    "feature_autoencoder": {"size": 64, "map": {"smooth_mm": 0.0, "standardise": True}},
    "patchcore": {"size": 64, "layers": (1, 2), "map": {"smooth_mm": 0.0, "standardise": True}},
    "rd4ad": {"size": 96, "map": {"smooth_mm": 0.0, "standardise": True}},
}
"""What such a family needs to see a blob of four voxels with the features of a tiny random network."""
LESIONS = {
    "lesions": {"radius_mm": (4, 9), "kinds": {"added": 1.0}, "dark": 0.5, "shift": (0.3, 2.0), "selective": 0.0},
    "train": {"warmup_steps": 3, "batch_size": 4, "ema": 0.0, "steps": 30},
    "inputs": {"coarse_mm": 4.0},
}
DENOISER = {
    "network": {"size": 16, "fit": "resize"},
    "diffusion": {"statistics_scans": 2},
    "partial": {"start": 200, "passes": 2},
    "aggregation": {"passes": 2},
    "patches": {"side": 8},
    "train": {"ema": 0.0, "warmup_steps": 0, "steps": 8, "batch_size": 4, "validate_every": 4},
}
CONDITIONED = DENOISER | {
    "network": {"size": 64, "fit": "resize"},
    "encoder": {"blocks": "basic", "layers": [1, 1, 1, 1], "width": 2, "features": 4},
    "encoder_train": {"steps": 2, "batch_size": 2},
}
OWN = {
    **dict.fromkeys(("andi", "andi_small", "anoddpm", "anoddpm_small", "pddpm", "pddpm_small"), DENOISER),
    **dict.fromkeys(("cddpm", "cddpm_small"), CONDITIONED),
    "baur_anogan": {"search": {"steps": 15}},
    "fanogan2d": DUEL | {"train": {"lr": 0.002, "steps": 20}, "encoder_train": {"lr": 0.0005}},
    "fanogan3d": CALM | DUEL | {"network": {"size": 16}},
    "riad": {"map": {"residual": "signed"}},  # gradients of a flat blob differ at its border alone
    **{
        name: {"train": {"warmup_steps": 5, "ema": 0.5}}
        for name in ("dae", "dae_x", "dae_fast", "dae_mixed", "dae_sequences")
    },
    "disyre": {"severity": {"asked": [74, 24]}, "train": {"steps": 20}},
    "disyre_small": {"train": {"steps": 20}},
    "you_gmvae": {"train": {"lr": 0.001}},
    "synseg": LESIONS,
    "synseg_fast": LESIONS,
    "mao_aeu": {"network": {"hidden": 64}},
    "mao_aeu_small": {"network": {"hidden": 64}, "train": {"lr": 0.003}},
}
"""What a model needs besides."""
FALLS = {"anogan": None, "disyre": ("", 0.95), "riad": ("", 0.8), "fanogan": ("encoder_", 0.95)}
FALLS |= {"feature_autoencoder": ("", 0.8), "synseg": ("", 0.9)} | dict.fromkeys(("andi", "anoddpm", "cddpm", "pddpm"))
"""By family the stage whose loss falls, and to what share; that of two who play against each other need not, nor
that at random time steps within a dozen steps."""
PARAMETERS = {
    "baur_dae": 5_562_865,
    "baur_dvae": 7_660_529,
    "baur_sae1": 1_811_969,
    "baur_sae2": 1_363_953,
    "baur_sae3": 1_376_289,
    "baur_svae": 1_384_545,
    "baur_aegan": 1_376_289 + 700_161,
    "baur_vaegan": 1_384_545 + 700_161,
    "chatterjee_vae": 50_938_368,
    "kuz_ae": 512_329,
    "kuz_resvae": 545_129,
    "kuz_vae": 3_460_721,
    "mao_aeu": 4_487_504,
    "paolini_ae": 93_740_576,
    "paolini_ceae": 93_740_576,
    "paolini_vae1": 138_215_968,
    "paolini_cevae1": 138_215_968,
    "paolini_vae2": 135_278_624,
    "paolini_cevae2": 135_278_624,
    "paolini_vqvae": 3_183_649,
    "paolini_cevqvae": 3_183_649,
    "kuz_vqvae": 1_481_025,
    "kuz_vqvae_t": 1_481_025 + 54_881,
    "fanogan3d": 86_568_512 + 92_939_396 + 11_049_665,
    "dae": 3 * 4 * 16 * 9 + 119_108,
    "dae_x": 119_108,
    "dae_fast": 119_108,
    "dae_mixed": 119_108,
    "dae_sequences": 132_772,
    "fanogan2d": 8_539_329 + 8_531_200 + 7_490_689,
    "fae": 25 * 130_600 + 36 * 130_600 + 2 * 1_456 + 256 * 256,
    "patchcore": 0,
    "anomaly_dino": 0,
}
"""Trainable numbers, each confirmed layer by layer (docs/methods/)."""
UNSTATED = {
    "andi",
    "anoddpm",
    "baur_anogan",
    "cddpm",
    "chatterjee_ae3d",
    "chatterjee_gmvae",
    "disyre",
    "pddpm",
    "riad",
    "strega_ccevae",
    "rd4ad",
    "you_gmvae",
    "synseg",
    "synseg_fast",
    "zimmerer_cevae",
}
"""Full-size networks without an independent count: ours would prove nothing."""
VARIANTS = [
    *[
        ("kuz_ae", {"latent": latent}, count)
        for latent, count in ((64, 577_897), (128, 709_033), (256, 971_305), (512, 1_495_849))
    ],
    *[
        ("kuz_resvae", {"latent": latent}, count)
        for latent, count in ((64, 643_497), (128, 840_233), (256, 1_233_705), (512, 2_020_649))
    ],
    *[
        ("kuz_vae", {"latent": latent}, count)
        for latent, count in ((64, 3_559_089), (128, 3_755_825), (256, 4_149_297), (512, 4_936_241))
    ],
    *[
        ("kuz_vae", {"norm": "batch", "latent": latent}, count)
        for latent, count in ((32, 1_463_345), (64, 1_561_713), (128, 1_758_449), (256, 2_151_921), (512, 2_938_865))
    ],
    ("kuz_vqvae", {"codes": 512}, 1_481_025),
    ("kuz_vqvae_t", {"codes": 512}, 1_481_025 + 86_081),
    ("chatterjee_vae", {"size": 128}, 13_189_632),
    ("chatterjee_vae", {"size": 64}, 3_752_448),  # Zimmerer's own
]
"""Other settings of `network` with an independent count."""


def settings(name: str) -> MethodSettings:
    return registry.validate(yaml.safe_load((FILES[0].parent / f"{name}.yaml").read_text()))


def shrunk(name: str) -> MethodSettings:
    raw = settings(name).model_dump()
    if "backbone" in raw:
        raw |= {key: value for key, value in {**FEATURES, **BY_FAMILY[raw["family"]]}.items() if key in raw}
        raw["backbone"] = tiny_backbone(raw["backbone"])
    for part, values in [*(SMALL | SHORT).items(), *OWN.get(name, {}).items()]:
        if raw.get(part):
            raw[part] |= {key: value for key, value in values.items() if key in raw[part]}
    if "backbone" in raw and "train" in raw:
        raw["train"] |= {"steps": 20}
    return registry.validate(raw)


def scans(count: int, seed: int) -> TrainingScans:
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    brain = x**2 + y**2 + (z / 2) ** 2 < 0.8
    images = [
        ((0.5 + 0.2 * np.cos(3 * x + 0.1 * rng.normal()) + 0.02 * rng.normal(size=SHAPE)) * brain).astype(np.float32)
        for _ in range(count)
    ]
    return TrainingScans(images, [brain] * count, SPACING)


def trained(model: MethodSettings, folder: Path, seed: int = 0) -> tuple[Method, dict[str, list[float]]]:
    method = registry.build(model)
    method.initialise(seed)
    curves: dict[str, list[float]] = {}
    if (neural := method.neural()) is not None:
        run = TrainingRun(seed, Compute(threads=1, accelerator="cpu", workers=0), folder, "k")
        found = fit_network(neural, scans(6, 0), scans(2, 1), run)
        for _, name, value in found.curves:
            curves.setdefault(name, []).append(value)
    method.fit(scans(6, 0), scans(2, 1))
    return method, curves


@pytest.fixture(scope="module", autouse=True)
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("torch")
        patch.setenv("TORCH_HOME", str(folder))
        write_tiny_weights(folder)
        yield


def test_every_family_has_a_module_and_a_model_file():
    listed = {settings(name).family for name in EVERY}
    assert listed == set(registry.families())


@pytest.mark.parametrize("name", NAMES)
def test_finds_a_bright_blob_and_comes_back_from_its_bundle(name, tmp_path):
    model = shrunk(name)
    method, curves = trained(model, tmp_path)
    healthy = scans(1, 9)
    image, brain = healthy.images[0].copy(), healthy.brains[0]
    blob = np.zeros(SHAPE, bool)
    blob[7:11, 9:13, 2:5] = True
    image[blob] += 0.8
    before = image.copy()
    for sign in ("bright", "dark", "both"):
        anomaly, rebuilt = method.predict(image, brain, SPACING, sign)
        assert anomaly.shape == SHAPE
        assert anomaly.dtype == np.float32
        assert np.isfinite(anomaly).all()
        assert not anomaly[~brain].any()
        assert np.isfinite(method.anomaly_score(anomaly, brain, image))
        assert rebuilt is None or (rebuilt.shape == SHAPE and not rebuilt[~brain].any())
        if sign != "dark":
            assert anomaly[blob].mean() > 1.5 * anomaly[brain & ~blob].mean()
    np.testing.assert_array_equal(image, before)

    bundle.write(tmp_path, Bundle(method.state(), {"model": model.model_dump(mode="json", exclude={"map"})}))
    again = registry.load_method(bundle.read(tmp_path), model.map)
    found, rebuilt_again = again.predict(image, brain, SPACING, "both")
    np.testing.assert_array_equal(found, anomaly)
    np.testing.assert_array_equal(found, again.anomaly_map(image, brain, SPACING, "both"))
    assert (rebuilt is None) == (rebuilt_again is None)
    falls = FALLS.get(model.family, ("", 0.7))
    if curves and falls is not None:
        stage, share = falls
        assert curves[f"{stage}train_loss"][-1] < share * curves[f"{stage}train_loss"][0]
        assert min(curves[f"{stage}validation_loss"]) < curves[f"{stage}validation_loss"][0]


@pytest.mark.parametrize("name", ["baur_dvae_small", "baur_sae3_small"])
def test_a_seed_gives_the_same_weights_and_another_seed_others(name, tmp_path):
    states = [trained(shrunk(name), tmp_path / str(run), seed)[0].state() for run, seed in enumerate((3, 3, 4))]
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key])
    assert any(not np.array_equal(array, states[2][key]) for key, array in states[0].items())


def parameters(model: MethodSettings) -> int:
    with torch.device("meta"):  # counts layers without filling them
        count: int = registry.build(model).facts()["parameters"]
    return count


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameters_at_full_size(name, count):
    assert parameters(settings(name)) == count


@pytest.mark.parametrize(("name", "network", "count"), VARIANTS)
def test_parameters_of_what_the_papers_sweep(name, network, count):
    raw = settings(name).model_dump()
    raw["network"] |= network
    assert parameters(registry.validate(raw)) == count


def test_every_full_size_network_is_counted_or_known_to_have_no_stated_count():
    networks = {name for name in NAMES if settings(name).uses_gpu and not name.endswith("_small")}
    assert networks == set(PARAMETERS) | UNSTATED
    assert not set(PARAMETERS) & UNSTATED


def test_a_scan_without_brain_gives_an_empty_map(tmp_path):
    for name in ("thresh_histeq", "zscore_atlas", "baur_dae_small"):
        method, _ = trained(shrunk(name), tmp_path / name)
        empty = np.zeros(SHAPE, bool)
        anomaly = method.anomaly_map(np.zeros(SHAPE, np.float32), empty, SPACING, "bright")
        assert not anomaly.any()
        assert method.anomaly_score(anomaly, empty, anomaly) == 0


def test_the_score_is_the_mean_of_what_is_abnormal_in_the_asked_direction():
    anomaly, brain = np.array([[[-3.0, 1.0, 5.0, 99.0]]], np.float32), np.array([[[True, True, True, False]]])
    assert registry.build(shrunk("zscore_atlas")).anomaly_score(anomaly, brain, anomaly) == 2
