from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from evaluation_files import AFFINE, LABELS, SETTINGS, SHAPE, EvaluationFiles, brain
from scipy import stats
from sealed import sealed

from brainuad import metrics as declared
from brainuad.config.evaluate import Matching
from brainuad.errors import InputError
from brainuad.evaluate.evaluation import summarise
from brainuad.formats import array_cache, tables, thresholds, volume
from brainuad.formats import maps as files
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.report.lacking import without_sequences

NAMES = {re.sub("_<.+>$", "", name) for name in declared.by_name()}
"""Without the part of the data set."""
FOUND = 28 / 29
"""Share of the lesion voxels of each patient's scan in the scored brain; the others count as missed."""
CEILING = 2 * FOUND / (1 + FOUND)


@pytest.fixture
def world(tmp_path):
    world = EvaluationFiles(tmp_path)
    noise = world.rng.standard_normal
    for model, gain in (("dae", 4.0), ("zscore", 1.0)):
        for name in world.scans:
            world.infer(model, name, lambda lesion, gain=gain: noise(SHAPE) + gain * lesion)
    return world


def metrics(folder):
    table = tables.read(folder / "metrics.tsv", tables.METRICS)
    return table.set_index(["postprocessing", "threshold_rule", "metric"]).sort_index()


def test_masks_that_are_the_lesions_are_perfect(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    found = metrics(world.run("dae", "ms", posts, tmp_path / "out")).loc["none"].loc["fixed_2"]
    values = found["value"]
    lesions = ["lesion_recall", "lesion_recall_small", "lesion_precision", "lesion_f1", "froc", "froc_ml"]
    assert values[[*lesions, "precision_pooled", "precision_volume", "nsd"]].tolist() == [1] * 9
    assert values[["dice_pooled", "dice_volume", "dice_volume_small"]].tolist() == pytest.approx(
        [CEILING] * 3, rel=1e-5
    )
    shares = ["recall_pooled", "recall_volume", "jaccard_pooled", "jaccard_volume"]
    assert values[shares].tolist() == pytest.approx([FOUND] * 4, rel=1e-5)
    assert values["dice_slice"] == pytest.approx((3 + 2 / 3) / 4, rel=1e-5), "one slice of four has half its lesion"
    correlation = np.sqrt(FOUND * 404 / 405)  # of 432 scored voxels and one lost
    assert values[["mcc_pooled", "mcc_volume"]].tolist() == pytest.approx([correlation] * 2, rel=1e-5)
    assert values[["fp_per_scan", "fp_ml_per_scan", "voxel_fpr", "dice_empty", "hd95"]].tolist() == [0] * 5
    volume = ["volume_bias", "volume_agreement_low", "volume_agreement_high"]
    assert values[volume].tolist() == pytest.approx([-0.008] * 3), "the lost voxel of each scan"
    assert found.loc["threshold", "value"] == 1.5
    assert (found["n"] == 5).all()


def test_masks_of_the_whole_brain_reach_two_p_over_one_plus_p(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: ~lesion | lesion)}
    found = metrics(world.run("dae", "ms", posts, tmp_path / "out")).loc["none"]["value"]
    share = found["none", "prevalence"]
    assert share == pytest.approx((27 + 1) / (8 * 9 * 6), rel=1e-5)
    assert found["fixed_2", "dice_pooled"] == pytest.approx(2 * 28 / (8 * 9 * 6 + 29), rel=1e-5)
    assert found["fixed_2", "voxel_fpr"] == 1
    lesions = found["fixed_2"][["lesion_recall", "lesion_precision", "lesion_f1", "froc", "fp_per_scan"]]
    assert lesions.tolist() == [0, 0, 0, 0, 1], "one component that holds two lesions is neither of them"
    assert found["fixed_2", "fp_ml_per_scan"] == pytest.approx((8 * 9 * 6 - 28) * 0.008, rel=1e-5)


def test_scans_count_by_the_volume_of_their_lesions(world, tmp_path):
    """Two patients of large lesions, whose masks are right, and two of small ones, whose masks are empty."""
    factors = {"sub-0": "100", "sub-1": "100", "sub-2": "1", "sub-3": "2"}
    rewritten(world, [replace(scan, own_ml=factors.get(scan.subject, "")) for scan in world.scans["ms"]])
    turn = iter([True] * 6 + [False] * 4)
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion & next(turn))}
    found = metrics(world.run("dae", "ms", posts, tmp_path / "out")).loc["none", "fixed_2"]
    assert found.loc["dice_volume_small", ["value", "n"]].tolist() == [0, 2]
    assert found.loc["dice_volume_large", ["value", "n"]].tolist() == [pytest.approx(CEILING, rel=1e-5), 3]
    assert "dice_volume_medium" not in found.index
    assert found.loc["volume_bias", "value"] == pytest.approx(-0.008 * (100 + 100 + 29 + 58) / 4, rel=1e-5)
    maps = metrics(tmp_path / "out").loc["none", "none"]
    assert maps.loc[["auprc_scan_small", "auprc_scan_large"], "n"].tolist() == [2, 3]
    assert maps.loc["lesion_share_outside", "value"] == pytest.approx(1 / 29, rel=1e-5)
    assert maps.loc["dice_ceiling", "value"] == pytest.approx(CEILING, rel=1e-5)


def test_sessions_without_a_sequence_are_named_and_other_tables_are_as_ever(world, tmp_path):
    def scored(model, out):
        return world.run(model, "ms", {"none": world.post(model, "ms", "none", lambda lesion: lesion)}, out)

    whole = scored("zscore", tmp_path / "whole")
    rewritten(world, [replace(scan, missing="FLAIR" * (scan.subject == "sub-1")) for scan in world.scans["ms"]])
    lacking = scored("dae", tmp_path / "lacking")
    summarise([whole, lacking], [], tmp_path / "all")
    assert list(tables.SCANS) == (whole / "scans.tsv").read_text().splitlines()[0].split("\t")
    for name in ("metrics.tsv", "lesions.tsv", "curves.tsv"):
        assert "missing" not in (tmp_path / "all" / name).read_text().splitlines()[0]
    table = tables.read(tmp_path / "all" / "scans.tsv", tables.SCANS)
    told = table.loc[table["missing"].notna(), ["model", "scan", "missing"]].drop_duplicates()
    assert told.to_numpy().tolist() == [["dae", "sub-1_ses-2", "FLAIR"]]
    assert without_sequences(table) == {"ms": "1 of 5 (FLAIR 1)"}
    assert "scans_without_sequence" not in metrics(whole).loc["none", "none"].index
    assert metrics(lacking).loc["none", "none"].loc["scans_without_sequence", ["value", "n"]].tolist() == [1, 5]


def test_limits_of_agreement_are_bland_and_altmans(world, tmp_path):
    grown = iter([0, 2, 4, 6, 8] * 2)

    def more(lesion):
        mask = lesion.copy()
        mask[6, 3, 3 : 3 + next(grown)] = True
        return mask

    posts = {"none": world.post("dae", "ms", "none", more)}
    out = world.run("dae", "ms", posts, tmp_path / "out")
    scans = tables.read(out / "scans.tsv", tables.SCANS)
    bias = (scans["predicted_ml"] - scans["lesion_ml"]).to_numpy()
    expected = [bias.mean() + side * 1.96 * bias.std(ddof=1) for side in (-1, 1)]
    found = metrics(out).loc["none", LABELS[0]]
    limits = found.loc[["volume_agreement_low", "volume_agreement_high"]]
    assert limits["value"].tolist() == pytest.approx(expected, rel=1e-4)
    assert (limits["ci_low"] <= limits["value"]).all()
    assert (limits["value"] <= limits["ci_high"]).all()


def test_what_is_not_scored_is_in_no_number(world, tmp_path):
    odd = np.zeros(SHAPE, bool)
    odd[9:12, 9:12, 3:6] = True  # its voxels along the rim are eroded

    def fooled(lesion):
        return np.where(odd, 2.0, lesion)

    world.infer("sharp", "ms", fooled)
    world.infer("sharp", "ixi", lambda lesion: lesion * 0.0)
    posts = {"none": world.post("sharp", "ms", "none", lambda lesion: lesion | odd)}
    counted = metrics(world.run("sharp", "ms", posts, tmp_path / "counted")).loc["none"]["value"]
    assert counted["none", "auprc_pooled"] < 1
    path = world.root / "array_caches/ms"
    opened, lesions = array_cache.read(path), np.array(world.lesions("ms"))
    entries = [
        array_cache.Entry(*four, odd) for four in zip(opened.scans, opened.images, opened.brains, lesions, strict=True)
    ]
    array_cache.write(tmp_path / "again", entries, CacheHeader(AFFINE))
    (tmp_path / "again").replace(path.rename(path.with_name("old")).with_name("ms"))
    found = metrics(world.run("sharp", "ms", posts, tmp_path / "out")).loc["none"]["value"]
    assert found["none", "peak_hit_rate"] == 1
    assert found["none", "auprc_pooled"] == pytest.approx(FOUND, rel=1e-5)
    assert found["fixed_2", "dice_pooled"] == pytest.approx(CEILING, rel=1e-5)
    assert found["fixed_2", "fp_per_scan"] == found["fixed_2", "fp_ml_per_scan"] == 0
    assert found["none", "prevalence"] > counted["none", "prevalence"]
    left = tables.read(tmp_path / "out/scans.tsv", tables.SCANS)["brain_ml"]
    whole = tables.read(tmp_path / "counted/scans.tsv", tables.SCANS)["brain_ml"]
    assert (whole - left).tolist() == pytest.approx([np.count_nonzero(odd[3:-3, 3:-3, 3:-3]) * 0.008] * 5)


def test_a_scan_of_other_pathology_alone_is_not_healthy(world, tmp_path):
    """Five scans: two with lesions, one without any, one with other pathology, and one that lost its on the way."""
    odd, empty = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    odd[9:12, 9:12, 3:6] = True
    masks = {2: (empty, empty), 3: (empty, odd), 4: (empty, empty)}
    world.scans["ms"][4] = replace(world.scans["ms"][4], ignore="lost.nii.gz")
    entries = []
    for i, scan in enumerate(world.scans["ms"]):
        lesion, other = masks.get(i, (world.entry(scan, "ms").lesion, empty))
        entries.append(array_cache.Entry(scan, np.zeros(SHAPE, np.float32), brain(), lesion, other))
    array_cache.write(world.root / "array_caches/ms", entries, CacheHeader(AFFINE))
    world.scans["ixi"][2] = replace(world.scans["ixi"][2], ignore="other.nii.gz")
    array_cache.write(
        world.root / "array_caches/ixi",
        [world.entry(scan, "ixi") for scan in world.scans["ixi"]],
        CacheHeader(AFFINE),
    )
    for name in world.scans:
        world.infer("sharp", name, lambda lesion: lesion * 1.0)
    posts = {"none": world.post("sharp", "ms", "none", lambda lesion: lesion)}
    out = world.run("sharp", "ms", posts, tmp_path / "out")
    assert tables.read(out / "scans.tsv", tables.SCANS)["healthy"].tolist() == [0, 0, 1, 0, 0]
    found = metrics(out).loc["none"].loc["none"]
    assert found.loc["prevalence_scan", ["value", "n"]].tolist() == [pytest.approx(4 / 7), 7], "one of ixi is out, too"


def test_a_perfect_map_a_constant_one_and_scan_level_scores(world, tmp_path):
    for model, make in (("sharp", lambda lesion: lesion * 1.0), ("flat", lambda lesion: lesion * 0.0)):
        for name in world.scans:
            world.infer(model, name, make)
    posts = {"none": world.post("sharp", "ms", "none", lambda lesion: lesion)}
    sharp = metrics(world.run("sharp", "ms", posts, tmp_path / "a")).loc["none"]["value"]
    assert sharp["none"][["auprc_pooled", "auprc_scan"]].tolist() == pytest.approx([FOUND] * 2, rel=1e-5)
    assert sharp["none", "auroc_pooled"] == sharp["none", "auroc_scan"] == 1
    assert sharp["oracle"][["dice_pooled", "dice_volume"]].tolist() == pytest.approx([CEILING] * 2, rel=1e-5)
    assert [sharp["oracle", f"oracle_youden_{name}"] for name in ("sensitivity", "specificity", "accuracy")] == [1] * 3
    assert sharp["none", "ap_scan"] == 1
    curves = tables.read(tmp_path / "a/curves.tsv", tables.CURVES)
    roc = curves[(curves["curve"] == "roc_scan") & (curves["postprocessing"] == "none")]
    assert roc[["x", "y"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert np.trapezoid(roc["y"], roc["x"]) == 1
    flat = metrics(world.run("flat", "ms", posts, tmp_path / "b")).loc["none"]["value"]
    assert flat["none", "auprc_pooled"] == pytest.approx(flat["none", "prevalence"] * FOUND, rel=1e-5)
    assert flat["none", "auroc_pooled"] == flat["none", "auroc_scan"] == 0.5
    assert flat["none", "ap_scan"] == flat["none", "prevalence_scan"] == 5 / 8
    assert flat["oracle", "oracle_youden_accuracy"] in (3 / 8, 5 / 8)


def test_the_oracle_stands_under_its_own_name_alone_and_every_metric_is_explained(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    table = tables.read(world.run("dae", "ms", posts, tmp_path / "out") / "metrics.tsv", tables.METRICS)
    assert {re.sub("_(small|medium|large)$", "", name) for name in table["metric"]} <= NAMES
    assert set(table["threshold_rule"]) == {"none", "oracle", *LABELS}
    oracle = set(table.loc[table["threshold_rule"] == "oracle", "metric"])
    youden = {f"oracle_youden_{name}" for name in ("sensitivity", "specificity", "accuracy")}
    assert oracle == {"threshold", "dice_pooled", "dice_volume"} | youden
    assert not youden & set(table.loc[table["threshold_rule"] != "oracle", "metric"])
    scans = tables.read(tmp_path / "out" / "scans.tsv", tables.SCANS)
    assert set(scans["threshold_rule"]) == {LABELS[0]}


def test_one_row_for_each_scan_and_postprocessing_and_validation_scans_are_not_scored(world, tmp_path):
    posts = {
        postprocessing: world.post("dae", "ms", postprocessing, lambda lesion: lesion)
        for postprocessing in ("none", "paolini")
    }
    table = tables.read(world.run("dae", "ms", posts, tmp_path / "out") / "scans.tsv", tables.SCANS)
    assert len(table) == 2 * 5
    assert not table.duplicated(["scan", "postprocessing"]).any()
    assert "sub-9" not in set(table["subject"])
    first = table.iloc[0]
    assert first["lesion_share_outside"] == pytest.approx(1 / 29, rel=1e-4)
    assert first["lesion_ml"] == pytest.approx(29 * 0.008)
    assert first["dice"] == first["dice_ceiling"] == pytest.approx(CEILING, rel=1e-5)
    assert (first["lesions"], first["lesions_detected"], first["false_ml"]) == (2, 2, 0)


def test_postprocessings_that_change_maps_are_scored_on_their_own_maps(world, tmp_path):
    posts = {
        "none": world.post("dae", "ms", "none", lambda lesion: lesion),
        "sharp": world.post("dae", "ms", "sharp", lambda lesion: lesion, changed=lambda lesion: lesion * 9.0),
    }
    found = metrics(world.run("dae", "ms", posts, tmp_path / "out"))["value"]
    assert found["sharp", "none", "auprc_pooled"] == pytest.approx(FOUND, rel=1e-5)
    assert found["none", "none", "auprc_pooled"] < FOUND
    assert found["sharp", "oracle", "threshold"] == 9


def test_a_healthy_data_set_has_false_positives_and_no_auprc(world, tmp_path):
    def one_voxel(lesion):
        mask = np.zeros_like(lesion)
        mask[6, 6, 6] = True
        return mask

    posts = {"none": world.post("dae", "ixi", "none", one_voxel)}
    out = world.run("dae", "ixi", posts, tmp_path / "out")
    table = tables.read(out / "metrics.tsv", tables.METRICS)
    realised = {"nominal_fpr", "healthy_fpr", "healthy_fpr_min", "healthy_fpr_max", "healthy_fp_ml_max"}
    assert set(table["metric"]) == {"threshold", "fp_per_scan", "fp_ml_per_scan", "voxel_fpr"} | realised
    found = metrics(out)["value"]["none", "fixed_2"]
    assert found["fp_per_scan"] == 1
    assert found["fp_ml_per_scan"] == 0.008
    assert found["voxel_fpr"] == pytest.approx(1 / (8 * 9 * 6), rel=1e-5)
    scans = tables.read(out / "scans.tsv", tables.SCANS)
    assert (scans["healthy"] == 1).all()
    assert scans[["auprc", "auroc", "dice", "lesion_share_outside"]].isna().all(axis=None)
    assert set(tables.read(out / "curves.tsv", tables.CURVES)["curve"]) == {"healthy"}
    assert tables.read(out / "lesions.tsv", tables.LESIONS).empty


def test_realised_rates_of_false_positives_stand_beside_the_nominal_one(world, tmp_path):
    sites = ("Guys 1.5T", "HH", "Guys 1.5T")
    world.scans["ixi"] = [replace(scan, site=site) for scan, site in zip(world.scans["ixi"], sites, strict=True)]
    entries = [world.entry(scan, "ixi") for scan in world.scans["ixi"]]
    array_cache.write(world.root / "array_caches" / "ixi", entries, CacheHeader(AFFINE))
    world.infer("dae", "ixi", lambda lesion: lesion * 0.0)
    voxels = iter([1, 1, 2, 2, 6, 6])  # of each scan, for both rules

    def some(lesion):
        mask = np.zeros_like(lesion)
        mask[6, 6, 3 : 3 + next(voxels)] = True
        return mask

    posts = {"none": world.post("dae", "ixi", "none", some)}
    found = metrics(world.run("dae", "ixi", posts, tmp_path / "out"))["value"]["none"]
    scored = 8 * 9 * 6
    rates = found[LABELS[0]]
    values = {"nominal_fpr": 0.02, "healthy_fpr": 3 / scored, "healthy_fpr_min": 1 / scored}
    values |= {"healthy_fpr_max": 6 / scored, "healthy_fp_ml_max": 6 * 0.008}
    values |= {"healthy_fpr_guys_1_5t": 3.5 / scored, "healthy_fpr_hh": 2 / scored}
    assert rates[list(values)].to_dict() == pytest.approx(values, rel=1e-4)
    assert "nominal_fpr" not in found["fixed_2"].index, "a constant aims at nothing"
    assert set(tables.read(tmp_path / "out/scans.tsv", tables.SCANS)["site"]) == set(sites)
    patients = world.run("dae", "ms", {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}, tmp_path / "ms")
    assert not [name for name in metrics(patients).index.get_level_values("metric") if name.startswith("healthy_")]


def test_intervals_are_empty_under_three_patients(world, tmp_path):
    world.scans["ms"] = [world.scans["ms"][i] for i in (0, 1, 2)]  # three scans of two patients
    entries = [world.entry(scan, "ms") for scan in world.scans["ms"]]
    array_cache.write(world.root / "array_caches" / "ms", entries, CacheHeader(AFFINE))
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    table = metrics(world.run("dae", "ms", posts, tmp_path / "out"))
    voxelwise = table.drop(["auroc_scan", "ap_scan"], level="metric")  # with three healthy patients beside
    assert voxelwise[["ci_low", "ci_high"]].isna().all(axis=None)
    assert table["value"].notna().all()
    assert table.loc[("none", "none", "auprc_pooled"), "n"] == 3


def test_intervals_hold_the_value(world, tmp_path):
    posts = {"none": world.post("zscore", "ms", "none", lambda lesion: np.roll(lesion, 1, axis=0))}
    table = metrics(world.run("zscore", "ms", posts, tmp_path / "out")).dropna(subset="ci_low")
    assert len(table) > 8
    assert (table["ci_low"] <= table["value"] * (1 + 1e-5)).all()
    assert (table["value"] <= table["ci_high"] * (1 + 1e-5)).all()


def test_lesions_and_curves(world, tmp_path):
    """The larger lesion of each scan is predicted with one voxel of each row beside it: 18 of 27, 18 of 36."""
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: np.roll(lesion, 1, axis=1))}
    for iou, detected in ((0.49, [1, 0]), (0.5, [0, 0])):
        settings = SETTINGS.model_copy(update={"matching": Matching(iou=iou)})
        out = world.run("dae", "ms", posts, tmp_path / f"{iou}", settings=settings)
        lesions = tables.read(out / "lesions.tsv", tables.LESIONS)
        assert lesions["detected"].tolist() == detected * 5 * len(LABELS)
    np.testing.assert_allclose(lesions["overlap"].to_numpy().reshape(-1, 2), [[18 / 27, 0]] * 10, rtol=1e-5)
    np.testing.assert_allclose(lesions["share_outside"].to_numpy().reshape(-1, 2), [[0, 0.5]] * 10)
    curves = tables.read(out / "curves.tsv", tables.CURVES).groupby("curve")
    assert curves.size()["pr"] <= 200
    assert curves.get_group("froc")[["x", "y"]].iloc[-1].tolist() == [2, 0], "each of two components is false"
    for name in ("normal", "lesion"):
        histogram = curves.get_group(name)
        assert len(histogram) == 80
        width = np.diff(histogram["x"]).mean()
        assert histogram["y"].sum() * width == pytest.approx(1, abs=1e-3)


def test_the_run_record_says_what_was_scored(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    record = json.loads((world.run("dae", "ms", posts, tmp_path / "out", seed=3) / "run.json").read_text())
    assert (record["stage"], record["seed"], record["facts"]) == ("evaluate", 3, {"scans": 5})
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_missing_score_and_a_foreign_mask_are_named(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    path = files.mask_path(posts["none"], "sub-0_ses-0", "fixed_2")
    volume.write(path, np.zeros((2, 2, 2), bool), AFFINE)
    with pytest.raises(InputError, match=r"desc-fixed2_mask\.nii\.gz is not on the array cache's grid"):
        world.run("dae", "ms", posts, tmp_path / "out")
    (world.root / "infer" / "dae" / "ixi" / "scores.tsv").write_text("scan\tscore\nsub-0\t1\n")
    with pytest.raises(InputError, match="sub-1 has no score"):
        world.run("dae", "ms", posts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folder", "made_of", "says"),
    [
        ("infer/dae/ms", {"model": "vae"}, "do not belong here(?s:.*)the model vae, and not dae"),
        ("infer/dae/ms", {"array_cache": "other"}, "do not belong here(?s:.*)the array cache other"),
        ("infer/dae/ixi", {"seed": "1"}, "do not belong here(?s:.*)the seed 1, and not 0"),
        ("post/dae/ms/none", {"maps": "other"}, "do not belong here(?s:.*)the maps other"),
        ("post/dae/ms/none", {"postprocessing": "baur2018"}, "do not belong here(?s:.*)baur2018, and not none"),
        ("post/dae/ms/none", {"dataset": "ixi"}, "do not belong here(?s:.*)the dataset ixi, and not ms"),
    ],
)
def test_folders_that_do_not_belong_together(world, tmp_path, folder, made_of, says):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    with pytest.raises(InputError, match=says) as caught:
        world.run("dae", "ms", posts, tmp_path / "out", made_of={folder: made_of})
    assert caught.value.file == world.root / folder


def test_a_threshold_or_a_reconstruction_that_is_missing_is_no_reason_to_score_less(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    found = thresholds.read(sealed(posts["none"]))
    thresholds.write(posts["none"], {rule: each for rule, each in found.items() if rule != "fixed_2"})
    with pytest.raises(InputError, match=r"a threshold is missing(?s:.*)fixed_2"):
        world.run("dae", "ms", posts, tmp_path / "out")
    thresholds.write(posts["none"], found)
    path = files.reconstruction_path(world.root / "infer/dae/ms", "sub-1_ses-2")
    volume.write(path, np.zeros(SHAPE, np.float32), AFFINE)
    folder = sealed(world.root / "infer/dae/ms")
    assert files.read_reconstruction(folder, "sub-1_ses-2", Naming(), SHAPE) is not None
    assert files.read_reconstruction(folder, "sub-2_ses-3", Naming(), SHAPE) is None
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*reconstruction"):
        files.read_reconstruction(folder, "sub-1_ses-2", Naming(), SHAPE)


@pytest.mark.parametrize("table", ["metrics.tsv", "scans.tsv", "lesions.tsv", "curves.tsv"])
def test_an_altered_table_of_a_job_is_named(world, tmp_path, table):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    out = world.run("dae", "ms", posts, tmp_path / "one")
    text = (out / table).read_text()
    (out / table).write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="was altered") as caught:
        summarise([out], [], tmp_path / "study")
    assert caught.value.file == out / table
    (out / table).write_text(text)
    shutil.copytree(out, tmp_path / "two")
    with pytest.raises(InputError, match="in another's place"):
        summarise([out, tmp_path / "two"], [], tmp_path / "study")


def test_the_study_tables_are_byte_identical_whatever_the_order_of_the_jobs(world, tmp_path):
    def study(name, reverse):
        jobs = []
        for model in ("dae", "zscore"):
            for dataset in ("ms", "ixi"):
                posts = {"none": world.post(model, dataset, "none", lambda lesion: lesion)}
                jobs.append(world.run(model, dataset, posts, tmp_path / name / model / dataset))
        summarise(jobs[::-1] if reverse else jobs, ["zscore"], tmp_path / name)
        return tmp_path / name

    first, second = study("a", False), study("b", True)
    names = ["comparisons.tsv", "curves.tsv", "lesions.tsv", "metrics.tsv", "scans.tsv"]
    assert sorted(path.name for path in first.glob("*.tsv")) == names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    (row,) = tables.read(first / "comparisons.tsv", tables.COMPARISONS).to_dict("records")
    assert (row["dataset"], row["model"], row["reference"], row["n"]) == ("ms", "dae", "zscore", 4)
    assert row["difference"] > 0
    assert row["ci_low"] > 0
    assert row["verdict"] == "too few"


def test_the_peak_lies_in_a_lesion_or_near_one(world, tmp_path):
    def near(lesion):
        x, y, z = np.argwhere(lesion[..., 4:7]).max(axis=0)
        return x, y + 3, z + 4  # 6 mm in front

    def beside(lesion):
        anomaly = np.zeros(SHAPE)
        anomaly[near(lesion)] = 1
        return anomaly

    world.infer("beside", "ms", beside)
    world.infer("beside", "ixi", lambda lesion: lesion * 0.0)
    posts = {"none": world.post("beside", "ms", "none", lambda lesion: lesion)}
    for reach, rate in ((5.9, 0), (6, 1)):
        settings = SETTINGS.model_copy(update={"peak_distance_mm": reach})
        out = world.run("beside", "ms", posts, tmp_path / f"{reach}", settings=settings)
        found = metrics(out).loc["none"].loc["none"].loc["peak_hit_rate"]
        assert (found["value"], found["n"]) == (rate, 5)
    scans = tables.read(out / "scans.tsv", tables.SCANS)
    places = np.array([near(lesion) for lesion in world.lesions("ms")[:5]])
    np.testing.assert_allclose(scans[["peak_x_mm", "peak_y_mm", "peak_z_mm"]], places * 2)


def test_a_postprocessing_that_leaves_one_component_bounds_the_peak(world, tmp_path):
    def corner(lesion):
        anomaly = 1.0 * lesion
        anomaly[9, 4, 8] = 9
        return anomaly

    world.infer("odd", "ms", corner)
    world.infer("odd", "ixi", lambda lesion: lesion * 0.0)
    posts = {
        postprocessing: world.post("odd", "ms", postprocessing, lambda lesion: lesion)
        for postprocessing in ("none", "top")
    }
    posts["empty"] = world.post("odd", "ms", "empty", lambda lesion: lesion & False)
    out = world.run(
        "odd",
        "ms",
        posts,
        tmp_path / "out",
        settings=SETTINGS.model_copy(update={"peak_distance_mm": 0}),
        locating=["top", "empty"],
    )
    found = metrics(out)["value"]
    assert found["none", "none", "peak_hit_rate"] == 0
    assert found["top", LABELS[0], "peak_hit_rate"] == 1
    assert found["empty", LABELS[0], "peak_hit_rate"] == 0, "no location is no hit"
    scans = tables.read(out / "scans.tsv", tables.SCANS).set_index("postprocessing")
    assert scans.loc["empty", "peak_x_mm"].isna().all()
    assert scans.loc["none", "peak_x_mm"].tolist() == [18.0] * 5


def test_the_residual_is_a_root_mean_square_over_the_scored_brain(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    before = tables.read(world.run("dae", "ms", posts, tmp_path / "a") / "scans.tsv", tables.SCANS)
    assert before["residual_rms"].isna().all()
    for scan in world.scans["ms"]:
        rebuilt = np.full(SHAPE, 99.0)
        rebuilt[brain()] = 3
        rebuilt[7, 7, 6] = 5
        path = files.reconstruction_path(world.root / "infer" / "dae" / "ms", scan.scan)
        volume.write(path, rebuilt.astype(np.float32), AFFINE)
    after = tables.read(world.run("dae", "ms", posts, tmp_path / "b") / "scans.tsv", tables.SCANS)
    np.testing.assert_allclose(after["residual_rms"], np.sqrt(9 + 16 / 432), rtol=1e-5)


def test_structural_similarity_is_that_of_the_scored_brain(world, tmp_path):
    entries = [world.entry(scan, "ms") for scan in world.scans["ms"]]
    entries = [
        replace(entry, image=np.where(brain(), world.rng.random(SHAPE), 0).astype(np.float32)) for entry in entries
    ]
    array_cache.write(world.root / "array_caches/ms", entries, CacheHeader(AFFINE))
    for i, entry in enumerate(entries):
        rebuilt = entry.image + (0.1 * i * world.rng.standard_normal(SHAPE) if i else 5.0 * ~brain())
        path = files.reconstruction_path(world.root / "infer" / "dae" / "ms", entry.scan.scan)
        volume.write(path, rebuilt.astype(np.float32), AFFINE)
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    out = world.run("dae", "ms", posts, tmp_path / "out")
    scans = tables.read(out / "scans.tsv", tables.SCANS)["ssim"]
    assert scans[0] == 1, "what lies outside the brain does not count"
    assert (np.diff(scans) < 0).all()
    mean = np.mean([scans[:2].mean(), *scans[2:]])  # two scans of one patient
    assert metrics(out).loc[("none", "none", "ssim"), ["value", "n"]].tolist() == [pytest.approx(mean, rel=1e-5), 5]


@pytest.mark.parametrize("role", ["validation", "calibration"])
def test_scans_are_called_abnormal_above_a_conformal_cut_of_healthy_scans(role, world, tmp_path):
    healthy = [Scan(f"sub-{i}", f"sub-{i}", "ixi", role=role if i < 4 else "test") for i in range(8)]
    healthy += [Scan("sub-8", "sub-8", "ixi", role="validation")] * (role == "calibration")
    world.scans["ixi"] = healthy
    array_cache.write(
        world.root / "array_caches" / "ixi", (world.entry(s, "ixi") for s in healthy), CacheHeader(AFFINE)
    )
    values = iter([1.0, 2.0, 3.0, 4.0, 0.0, 2.4, 2.5, 9.0, 99.0])
    world.infer("known", "ixi", lambda lesion: np.full(SHAPE, next(values)))
    scores = iter([9.0, 0.0, 2.6, 3.0, 9.0, 0.0])
    world.infer("known", "ms", lambda lesion: np.full(SHAPE, next(scores)))
    posts = {"none": world.post("known", "ms", "none", lambda lesion: lesion)}
    settings = SETTINGS.model_copy(update={"scan_threshold_quantile": 0.5})
    found = metrics(world.run("known", "ms", posts, tmp_path / "out", settings=settings, role=role)).loc["none"]
    found = found.loc["conformal_specificity_0.5"]
    values = {"threshold_scan": 3, "nominal_specificity_scan": 0.5, "sensitivity_scan": 0.4, "specificity_scan": 0.75}
    assert found["value"].to_dict() == values
    assert found["n"].to_dict() == dict(zip(values, (4, 4, 5, 4), strict=True))
    exact = stats.binomtest(3, 4).proportion_ci(method="exact")
    assert found.loc["specificity_scan", ["ci_low", "ci_high"]].tolist() == pytest.approx([exact.low, exact.high], 1e-4)
    scans = tables.read(tmp_path / "out" / "scans.tsv", tables.SCANS)
    assert scans["p_healthy"].tolist() == pytest.approx([0.2, 1, 0.6, 0.6, 0.2])
    few = metrics(world.run("known", "ms", posts, tmp_path / "few", role=role)).loc["none"]
    few = few.loc["conformal_specificity_0.8"]
    assert few.loc["threshold_scan", "value"] == 4
    assert few.loc["nominal_specificity_scan", "value"] == 0.8, "four people allow no more"


def test_validation_scans_do_not_stand_in_for_calibration_scans_that_all_failed(world, tmp_path, caplog):
    posts = {"none": world.post("known", "ms", "none", lambda lesion: lesion)}
    world.infer("known", "ixi", lambda lesion: np.ones(SHAPE))
    world.infer("known", "ms", lambda lesion: np.ones(SHAPE))
    out = world.run("known", "ms", posts, tmp_path / "out", role="calibration")
    assert tables.read(out / "scans.tsv", tables.SCANS)["p_healthy"].isna().all()
    assert not any(rule.startswith("conformal") for rule in metrics(out).loc["none"].index.get_level_values(0))
    assert "no healthy calibration scan" in caplog.text


def of_types(world, **changes):
    """The patients' scans as if they were made, half of each type; a subject's scans are adjacent."""
    types = ["blur", "noise", "blur", "noise", "blur", "noise"]
    world.scans["ms"] = [
        replace(scan, lesion_type=each, **changes) for scan, each in zip(world.scans["ms"], types, strict=True)
    ]
    entries = [world.entry(scan, "ixi" if changes else "ms") for scan in world.scans["ms"]]
    array_cache.write(world.root / "array_caches" / "ms", entries, CacheHeader(AFFINE))


def test_each_type_of_anomaly_has_its_own_areas(world, tmp_path):
    of_types(world)
    turn = iter([True, False] * 3)
    world.infer("half", "ms", lambda lesion: lesion * (1.0 if next(turn) else 0.0))
    world.infer("half", "ixi", lambda lesion: lesion * 0.0)
    posts = {"none": world.post("half", "ms", "none", lambda lesion: lesion)}
    out = world.run("half", "ms", posts, tmp_path / "out")
    found = metrics(out).loc["none"].loc["none"]
    assert found.loc["auprc_scan_blur", ["value", "n"]].tolist() == [pytest.approx(FOUND, rel=1e-5), 3]
    assert found.loc["auprc_scan_noise", "value"] == pytest.approx(found.loc["prevalence", "value"] * FOUND, rel=1e-5)
    assert found.loc["auroc_scan_blur", ["value", "n"]].tolist() == [1, 6], "against all three healthy scans"
    assert found.loc["auroc_scan_noise", "value"] == 0.5
    assert found.loc["ap_scan_noise", "value"] == pytest.approx(2 / 5)
    assert tables.read(out / "scans.tsv", tables.SCANS)["lesion_type"].tolist() == [
        "blur",
        "noise",
        "blur",
        "noise",
        "blur",
    ]
    named = {re.sub("_(blur|noise|small)$", "", name) for _, name in metrics(out).loc["none"].index}
    assert named <= NAMES


def test_a_scan_of_several_types_counts_for_each(world, tmp_path):
    types = ["subdural;epidural", "epidural", "subdural", "epidural", "epidural", ""]
    world.scans["ms"] = [replace(scan, lesion_type=each) for scan, each in zip(world.scans["ms"], types, strict=True)]
    array_cache.write(
        world.root / "array_caches/ms",
        [world.entry(scan, "ms") for scan in world.scans["ms"]],
        CacheHeader(AFFINE),
    )
    turn = iter([True, False, True, False, False, False])
    world.infer("half", "ms", lambda lesion: lesion * (1.0 if next(turn) else 0.0))
    world.infer("half", "ixi", lambda lesion: lesion * 0.0)
    posts = {"none": world.post("half", "ms", "none", lambda lesion: lesion)}
    found = metrics(world.run("half", "ms", posts, tmp_path / "out")).loc["none"].loc["none"]
    assert found.loc["auprc_scan_subdural", ["value", "n"]].tolist() == [pytest.approx(FOUND, rel=1e-5), 2]
    assert found.loc["auprc_scan_epidural", "n"] == 4
    share = found.loc["prevalence", "value"]
    expected = FOUND * ((1 + share) / 2 + 2 * share) / 3
    assert found.loc["auprc_scan_epidural", "value"] == pytest.approx(expected, rel=1e-5)
    assert found.loc["auroc_scan_subdural", ["value", "n"]].tolist() == [1, 2 + 3]
    assert found.loc["auroc_scan_epidural", ["value", "n"]].tolist() == [(1 + 3 * 0.5) / 4, 4 + 3]
    assert found.loc["ap_scan_subdural", "value"] == 1
    assert not [name for name in found.index if ";" in name]


def test_corrupted_scans_count_as_a_whole_and_no_voxel_of_them_is_scored(world, tmp_path):
    of_types(world, corrupted="1")
    world.infer("dae", "ms", lambda lesion: lesion + 5.0)
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: ~lesion)}
    out = world.run("dae", "ms", posts, tmp_path / "out")
    table = tables.read(out / "metrics.tsv", tables.METRICS)
    assert all("scan" in name or name.startswith("oracle_youden") for name in table["metric"])
    found = metrics(out)["value"]["none", "none"]
    assert found[["auroc_scan", "ap_scan", "auroc_scan_blur", "auroc_scan_noise"]].tolist() == [1] * 4
    scans = tables.read(out / "scans.tsv", tables.SCANS)
    assert (scans["healthy"] == 0).all()
    assert scans[["lesion_share_outside", "auprc", "dice", "false_positives", "peak_hit"]].isna().all(axis=None)
    assert set(tables.read(out / "curves.tsv", tables.CURVES)["curve"]) == {"roc_scan"}
    assert tables.read(out / "lesions.tsv", tables.LESIONS).empty


def rewritten(world, scans):
    """The array cache `ms` with these scans, and the lesions that it had, but for patients without a marked one."""
    lesions = np.array(world.lesions("ms"))
    entries = [
        array_cache.Entry(scan, np.zeros(SHAPE, np.float32), brain(), lesion & (not scan.unmarked))
        for scan, lesion in zip(scans, lesions, strict=True)
    ]
    world.scans["ms"] = list(scans)
    array_cache.write(world.root / "array_caches/ms", entries, CacheHeader(AFFINE))


def test_volumes_are_those_of_the_scans_own_space(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    before = world.run("dae", "ms", posts, tmp_path / "before")
    factors = [0.7, 40.0, 1.0, 1.0, 1.0]  # the second one's lesions are of another size
    factor_of = dict(zip((scan.scan for scan in world.scans["ms"]), factors, strict=False))
    rewritten(world, [replace(scan, own_ml=str(factor_of.get(scan.scan, ""))) for scan in world.scans["ms"]])
    after = world.run("dae", "ms", posts, tmp_path / "after")
    for name, columns, volumes in (
        ("scans.tsv", tables.SCANS, ["brain_ml", "lesion_ml", "predicted_ml", "false_ml"]),
        ("lesions.tsv", tables.LESIONS, ["ml"]),
    ):
        old, new = tables.read(before / name, columns), tables.read(after / name, columns)
        expected = old[volumes].mul(old["scan"].map(factor_of), axis=0)
        np.testing.assert_allclose(new[volumes], expected, rtol=1e-5)
        assert old.drop(columns=volumes).equals(new.drop(columns=volumes))
    old, new = (metrics(out).loc["none", "fixed_2"]["n"] for out in (before, after))
    names = ["lesion_recall_small", "lesion_recall_medium", "lesion_recall"]
    assert old.reindex(names, fill_value=0).tolist() == [5, 0, 5]
    assert new[names].tolist() == [5, 1, 5], "the smaller lesion of the second one stays small"


def test_a_patient_without_a_marked_lesion_is_neither_healthy_nor_abnormal(world, tmp_path):
    unmarked = ["", "", "1", "", "", ""]
    rewritten(
        world,
        [replace(scan, mask="m", unmarked=each) for scan, each in zip(world.scans["ms"], unmarked, strict=True)],
    )
    for name in world.scans:
        world.infer("sharp", name, lambda lesion: lesion * 1.0)
    posts = {"none": world.post("sharp", "ms", "none", lambda lesion: lesion)}
    out = world.run("sharp", "ms", posts, tmp_path / "out")
    scans = tables.read(out / "scans.tsv", tables.SCANS)
    assert scans["unmarked"].tolist() == [0, 0, 1, 0, 0]
    assert (scans["healthy"] == 0).all()
    assert scans["lesion_share_outside"].isna().tolist() == [False, False, True, False, False]
    found = metrics(out).loc["none"].loc["none"]
    assert found.loc["unmarked_scans", ["value", "n"]].tolist() == [1, 5]
    assert found.loc["prevalence_scan", ["value", "n"]].tolist() == [pytest.approx(4 / 7), 7], (
        "four patients, three controls"
    )
    assert found.loc["auroc_scan", "n"] == 7


def test_a_rim_deeper_than_every_brain_is_said(world, tmp_path):
    posts = {"none": world.post("dae", "ms", "none", lambda lesion: lesion)}
    deep = SETTINGS.model_copy(update={"erode_voxels": 20})
    with pytest.raises(InputError, match="erode_voxels is 20"):
        world.run("dae", "ms", posts, tmp_path / "out", settings=deep)
