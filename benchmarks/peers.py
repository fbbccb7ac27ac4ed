"""Networks of other projects beside ours: their code on our scans, each for the same CPU minutes.

    python benchmarks/peers.py CLONES STUDY SCORES --minutes 5 --draws 1

`CLONES`: a folder with clones of AntanasKascenas/DenoisingAE and caiyu6666/MedIAnomaly; nothing of them is copied. What
these import and the networks here do not use (tensorboard, torchvision, medpy) is stood in for. `STUDY`: the results of
a study, such as `results/flagship_t1`, with the data sets `ixi`, `stroke_a` and `stroke_b`. `SCORES`: a folder for the
AUPRC of each scan; a network that has its table there is not trained again.

Each network learns from the axial slices of the training scans, padded to a square, with the loss, optimiser and noise
of its own code, on one thread. Its residuals are scored as brainuad scores maps, raw and smoothed by what is best on
the validation scans. Prints Markdown: the mean AUPRC per scan, the difference from models of the study, paired by
person, and CPU seconds a training step, turn by turn with our denoising network of as many channels.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor
from torch.nn import functional

from brainuad.formats import array_cache
from brainuad.formats.array_cache import ArrayCache
from brainuad.images.smooth import smooth_inside
from brainuad.methods import registry
from brainuad.methods.base import TrainingScans
from brainuad.metrics.statistics import means_of
from brainuad.metrics.voxelwise import scan_areas, scored_brain

MODELS = Path(__file__).parents[1] / "config" / "models"
SIDE = 128
"""Of the squares that slices are padded to, in voxels of 2 mm; MedIAnomaly sees them at half the size."""
SMOOTH_MM = (0.0, 2.0, 4.0, 6.0)
UNUSED = (
    *("torchvision", "torchvision.models", "sklearn", "sklearn.manifold", "sklearn.metrics", "medpy", "wandb", "thop"),
    *("joblib", "cv2", "torch.utils.tensorboard"),
)
"""What the clones import and the networks here do not use."""
LEAST_BRAIN = 0.01
"""Share of brain below which a slice trains nothing, as in our networks."""
SETS = ("stroke_a", "stroke_b")
OURS = ("zscore_atlas", "flagship_dae", "flagship_fast", "flagship")


@dataclass(frozen=True)
class Peer:
    """A network in use.

    `batch`: slices a step; `step`: trains on slices (n, 1, SIDE, SIDE) of 0 to about 1; `residual`: their anomaly maps,
    as the other project scores them.
    """

    batch: int
    step: Callable[[Tensor], object]
    residual: Callable[[Tensor], Tensor]
    parameters: int


def denoising_ae(clones: Path, width: int) -> Peer:
    """Kascenas 2022; 2 ** `width` channels at first, published with 6. All else as published."""
    code = _imported(clones / "DenoisingAE" / "src", "denoising")
    device = torch.device
    with mock.patch.object(torch, "device", return_value=device("cpu")):
        trainer = code.denoising("peer", data=None, lr=0.0001, depth=4, wf=width, n_input=1)
    trainer.state |= {"accumulation_steps": 1, "train_it": 0}

    def step(slices: Tensor) -> None:
        trainer.model.train()
        trainer.state["train_batch"] = [slices, slices]
        trainer.train_step(trainer)
        trainer.state["train_it"] += 1
        if trainer.state["train_it"] % 32 == 0:  # an epoch of theirs
            trainer.callback("after_train_epoch")

    return Peer(16, step, lambda slices: trainer.get_scores(trainer, [slices]), _size(trainer.model))


def medianomaly(clones: Path, kind: str) -> Peer:
    """Cai 2024 (MedIAnomaly): its AE or VAE with the published settings, at 64 x 64."""
    root = clones / "MedIAnomaly" / "reconstruction"
    network = _imported(root, f"networks.{kind}")
    losses = _imported(root, "utils.losses")
    net = getattr(network, kind.upper())(
        input_size=SIDE // 2, in_planes=1, base_width=16, expansion=1, mid_num=1024, latent_size=16,
        en_num_layers=1, de_num_layers=1,
    )  # fmt: skip
    criterion = losses.VAELoss() if kind == "vae" else losses.AELoss()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=0)

    def seen(slices: Tensor) -> Tensor:
        small = functional.interpolate(slices, size=SIDE // 2, mode="bilinear", antialias=True)
        return small.clamp(0, 1) * 2 - 1  # theirs are 8-bit images

    def step(slices: Tensor) -> None:
        net.train()
        images = seen(slices)
        told = criterion(images, net(images))
        optimiser.zero_grad()
        (told[0] if isinstance(told, tuple) else told).backward()
        optimiser.step()

    def residual(slices: Tensor) -> Tensor:
        net.eval()
        images = seen(slices)
        with torch.no_grad():
            found = criterion(images, net(images), anomaly_score=True, keepdim=True)
        return functional.interpolate(found, size=SIDE, mode="bilinear")

    return Peer(64, step, residual, _size(net))


PEERS: dict[str, Callable[[Path], Peer]] = {
    "DenoisingAE, 64 channels": lambda clones: denoising_ae(clones, 6),  # as published: minutes a step
    "DenoisingAE, 16 channels": lambda clones: denoising_ae(clones, 4),
    "MedIAnomaly AE": lambda clones: medianomaly(clones, "ae"),
    "MedIAnomaly VAE": lambda clones: medianomaly(clones, "vae"),
}


def _imported(folder: Path, name: str) -> Any:
    """A module of a clone. Those of the same names from another clone are forgotten."""
    unused = {stand_in: mock.MagicMock() for stand_in in UNUSED}
    before = {*sys.modules}
    with mock.patch.dict(sys.modules, unused), mock.patch.object(sys, "path", [str(folder), *sys.path]):
        module = __import__(name, fromlist=["_"])
        own = {key: each for key, each in sys.modules.items() if str(folder) in str(getattr(each, "__file__", ""))}
    for key in {*own} - before:
        sys.modules.pop(key, None)
    return module


def _size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def slices_of(image: np.ndarray, brain: np.ndarray) -> Tensor:
    """Axial slices (z, 1, SIDE, SIDE), padded, divided by the 99th percentile of the brain as DenoisingAE does."""
    scaled = np.where(brain, image / np.quantile(image[brain], 0.99), 0).astype(np.float32).clip(0)
    square = np.zeros((image.shape[2], 1, SIDE, SIDE), np.float32)
    square[:, 0, *_middle(image.shape)] = scaled.transpose(2, 0, 1)
    return torch.from_numpy(square)


def _middle(shape: tuple[int, ...]) -> tuple[slice, slice]:
    x, y = ((SIDE - each) // 2 for each in shape[:2])
    return slice(x, x + shape[0]), slice(y, y + shape[1])


def trained(peer: Peer, scans: ArrayCache, minutes: float) -> int:
    """Train for so many CPU minutes; the number of steps."""
    stacks = [slices_of(scans.image(row), scans.brain(row)) for row in range(len(scans.scans))]
    shares = [np.asarray(scans.brain(row)).mean(axis=(0, 1)) for row in range(len(scans.scans))]
    slices = torch.cat(
        [stack[torch.from_numpy(share > LEAST_BRAIN)] for stack, share in zip(stacks, shares, strict=True)]
    )
    generator, start, steps = np.random.default_rng(0), time.process_time(), 0
    while time.process_time() - start < 60 * minutes:
        peer.step(slices[generator.choice(len(slices), peer.batch, replace=False)].clone())
        steps += 1
    return steps


@dataclass(frozen=True)
class Mapped:
    """A scan with the peer's map of it."""

    scan: str
    subject: str
    role: str
    anomaly: np.ndarray
    brain: np.ndarray
    scored: np.ndarray
    lesion: np.ndarray


def mapped(peer: Peer, folder: Path, draws: int) -> Iterator[Mapped]:
    """Maps of the validation and test scans of a data set, those of the first draws in each head."""
    scans = array_cache.read(folder)
    lesions = array_cache.read_lesions(folder)
    for row, scan in enumerate(scans.scans):
        if scan.role in ("validation", "test") and int(scan.scan.rpartition("-")[2]) <= draws:
            brain, lesion = np.asarray(scans.brain(row)), np.asarray(lesions[row]).astype(bool)
            shown = brain.any(axis=(0, 1))
            stack = peer.residual(slices_of(scans.image(row), brain)[torch.from_numpy(shown)]).numpy()
            anomaly = np.zeros(brain.shape, np.float32)
            anomaly[..., shown] = stack[:, 0, *_middle(brain.shape)].transpose(1, 2, 0)
            anomaly *= brain
            yield Mapped(scan.scan, scan.subject, scan.role, anomaly, brain, scored_brain(brain, 1), lesion)


def auprc(scan: Mapped, smooth_mm: float, spacing: tuple[float, float, float]) -> float:
    """Over the scored brain, lesion voxels outside it missed, as `brainuad` scores."""
    values = smooth_inside(scan.anomaly, scan.brain, smooth_mm, spacing) if smooth_mm else scan.anomaly
    inside = scan.lesion & scan.scored
    lost = int(scan.lesion.sum() - inside.sum())
    return scan_areas(values[inside], np.sort(values[scan.scored & ~scan.lesion]), lost)[0]


def scored(peer: Peer, study: Path, draws: int, keep: Path | None) -> pd.DataFrame:
    """AUPRC by scan and smoothing, of the first draws in each head. `keep`: where the maps of the test scans go."""
    rows = []
    for name in SETS:
        folder = cache_of(study, name)
        spacing = array_cache.read(folder).spacing
        for scan in mapped(peer, folder, draws):
            if keep is not None and scan.role == "test":
                (keep / name).mkdir(parents=True, exist_ok=True)
                np.savez_compressed(keep / name / f"{scan.scan}.npz", anomaly=scan.anomaly.astype(np.float16))
            rows += [
                {"dataset": name, "scan": scan.scan, "subject": scan.subject, "role": scan.role, "mm": mm,
                 "auprc": auprc(scan, mm, spacing)}
                for mm in SMOOTH_MM
            ]  # fmt: skip
    return pd.DataFrame(rows)


def cache_of(study: Path, dataset: str) -> Path:
    """The array cache of a data set."""
    return study / "normalize" / dataset


def of_the_study(study: Path, model: str) -> pd.DataFrame:
    """AUPRC of the test scans by one of our models, seed 0."""
    tables = [study / "evaluate" / model / "seed-0" / name / "scans.tsv" for name in SETS]
    rows = pd.concat([pd.read_csv(table, sep="\t") for table in tables])
    rows = rows[rows["postprocessing"] == "none"]
    return rows.drop_duplicates(["dataset", "scan"])[["dataset", "scan", "subject", "auprc"]]


def by_person(rows: pd.DataFrame, dataset: str, scans: pd.Series) -> pd.Series:
    """Mean over the scans of each person, of `scans` alone."""
    return rows[(rows["dataset"] == dataset) & rows["scan"].isin(scans)].groupby("subject")["auprc"].mean()


def difference(theirs: pd.Series, ours: pd.Series) -> str:
    """Of the means by person, with a paired 95 % interval, uncorrected."""
    test = means_of((theirs - ours.reindex(theirs.index)).to_numpy()[:, None])
    low, high = (float(each) for each in test.interval())
    return f"{float(test.value):+.3f} [{low:+.3f} {high:+.3f}]"


def our_step(scans: TrainingScans, changes: dict[str, Any]) -> Callable[[], object]:
    """A training step of our denoising network, 16 slices. Not `trainer.py`'s, whose name a clone's module has."""
    raw = yaml.safe_load((MODELS / "dae_mixed.yaml").read_text(encoding="utf-8"))
    method = registry.build(registry.validate({**raw, **changes})).neural()
    assert method is not None
    method.initialise(0)
    method.observe(scans)
    method.to("cpu")
    (stage,) = method.stages()
    examples, module, generator = method.examples(scans), stage.objective(), np.random.default_rng(0)
    optimiser = module.configure_optimizers()
    module.total_steps = stage.train.steps
    module.on_fit_start()
    module.train()

    def step() -> None:
        indices = generator.choice(len(examples), 16, replace=False).tolist()
        optimiser.zero_grad()
        module.terms(examples.fetch(indices))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), stage.train.clip)
        optimiser.step()

    return step


def step_times(clones: Path, rounds: int) -> None:
    """Print CPU seconds a step, turn by turn on slices of SIDE x SIDE, and ratios to DenoisingAE of 16 channels."""
    rng, full = np.random.default_rng(0), (SIDE, SIDE, 24)
    volume, brain = rng.random(full, dtype=np.float32), np.ones(full, bool)
    scans = TrainingScans([volume] * 2, [brain] * 2, (2.0, 2.0, 2.0))
    peer, slices = denoising_ae(clones, 4), slices_of(volume, brain)
    steps: dict[str, Callable[[], object]] = {
        "DenoisingAE, 16 to 128 channels": lambda: peer.step(slices[:16].clone()),
        "ours, 16 to 128 channels": our_step(scans, {"network": {"channels": [16, 32, 64, 128], "patch": 1}}),
        "ours, `dae_mixed`": our_step(scans, {}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(3):
                step()
            if turn:  # the first warms up
                seconds[name].append((time.process_time() - start) / 3)
    print("\n| step of 16 slices, 128 x 128 | CPU s | ratio to the first (range) |\n| --- | --- | --- |")
    first = seconds["DenoisingAE, 16 to 128 channels"]
    for name, each in seconds.items():
        ratios = [one / other for one, other in zip(each, first, strict=True)]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(each):.2f} | {told} |")


def scores_of(name: str, options: argparse.Namespace) -> pd.DataFrame:
    """Train a network and score it, or read its scores where they are."""
    table = options.scores / f"{name}.tsv"
    if not table.exists():
        torch.manual_seed(0)
        random.seed(0)
        peer = PEERS[name](options.clones)
        steps = trained(peer, array_cache.read(cache_of(options.study, "ixi")).select("train"), options.minutes)
        rows = scored(peer, options.study, options.draws, options.maps and options.maps / name)
        options.scores.mkdir(parents=True, exist_ok=True)
        rows.assign(steps=steps, weights=peer.parameters).to_csv(table, sep="\t", index=False)
    return pd.read_csv(table, sep="\t")


def told(name: str, rows: pd.DataFrame, ours: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Lines of the table: raw maps, and those with the smoothing that is best on validation scans."""
    valid = rows[rows["role"] == "validation"].groupby("mm")["auprc"].mean()
    for mm in dict.fromkeys([0.0, float(valid.index.to_numpy()[valid.to_numpy().argmax()])]):
        tested = rows[(rows["role"] == "test") & (rows["mm"] == mm)]
        for dataset in SETS:
            people = by_person(tested, dataset, tested["scan"])
            cells = [difference(people, by_person(each, dataset, tested["scan"])) for each in ours.values()]
            first = [name, f"{rows['weights'][0]:,}", rows["steps"][0], dataset, f"{mm:g} mm", f"{people.mean():.3f}"]
            yield f"| {' | '.join(map(str, first + cells))} |"


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", type=Path)
    parser.add_argument("study", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=[*PEERS], default=[*PEERS])
    parser.add_argument("--models", nargs="+", default=OURS, help="of the study")
    parser.add_argument("--rounds", type=int, default=5, help="of the step times; 0 measures none")
    parser.add_argument("--maps", type=Path, help="write the maps of the test scans there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rounds:
        step_times(options.clones, options.rounds)
    tables = {name: scores_of(name, options) for name in options.peers}
    if not tables:
        return
    ours = {model: of_the_study(options.study, model) for model in options.models}
    print("\n| network | weights | steps | data set | smoothing | AUPRC |", *(f" - `{model}` |" for model in ours))
    print("| --- " * (6 + len(ours)) + "|")
    for name, rows in tables.items():
        print(*told(name, rows, ours), sep="\n")
    scans = pd.concat(tables.values())["scan"]
    for model, rows in ours.items():
        means = [f"{dataset} {by_person(rows, dataset, scans).mean():.3f}" for dataset in SETS]
        print(f"| `{model}` | | | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
