import re
import shutil
from pathlib import Path

import pytest
import yaml

from brainuad.cli import main
from brainuad.cluster import site, site_block
from brainuad.errors import InputError

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "profiles/slurm/config.yaml"
ACCOUNTS = "[ $4 = user ] && echo lab || printf 'lab\\nclinic\\n'"


@pytest.mark.parametrize(
    ("gres", "found"),
    [
        ("(null)", {}),
        ("gpu:1", {"": 1}),
        ("gpu", {"": 1}),
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:4(S:0-1),gpu:v100:2,nvme:1", {"a100": 4, "v100": 2}),
        ("mps:100,gpu:a100", {"a100": 1}),
    ],
)
def test_gpus_are_read_as_slurm_writes_them(gres, found):
    assert site.parse_gpus(gres) == found


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("30:00", 30), ("4:00:00", 240), ("7-00:00:00", 10080), ("1-12:30:00", 2190), ("infinite", None)],
)
def test_time_limits_are_read_as_slurm_writes_them(limit, minutes):
    assert site.parse_minutes(limit) == minutes


def test_partitions_of_several_kinds_of_nodes_are_one(slurm):
    rows = {row.name: row for row in site.query_partitions()}
    assert list(rows) == ["short", "long", "gpu", "old"]
    assert rows["short"].is_default
    assert rows["gpu"].gpus == {"a100": 4, "v100": 2}
    assert not rows["old"].is_up


def test_the_proposal_takes_the_default_partition_and_one_with_gpus(slurm):
    found = site.suggest_site_values({})
    assert (found["slurm_partition"], found["gpu_partition"]) == ("short", "gpu")
    assert found["gpu_type"] is None, "any of the types will do"
    assert found["slurm_account"] is None
    assert found["brainuad-slurm-status-command"] == "squeue"


def test_a_cluster_without_gpus_gets_no_gpu_partition(slurm):
    slurm(sinfo="echo 'all*|up|infinite|3|(null)'")
    assert site.suggest_site_values({"gpu_partition": "gone"})["gpu_partition"] is None


def test_accounts_are_asked_where_slurm_keeps_them(slurm):
    slurm(sacctmgr=ACCOUNTS, sacct="true")
    found = site.suggest_site_values({})
    assert found["slurm_account"] == "lab"
    assert found["brainuad-slurm-status-command"] == "sacct"
    assert site.query_accounts() == ["lab", "clinic"]


def test_what_a_user_filled_in_is_kept_as_long_as_slurm_has_it(slurm):
    slurm(sacctmgr=ACCOUNTS)
    own = {
        "slurm_partition": "long",
        "gpu_partition": "old",
        "gpu_type": "v100",
        "qos": "low",
        "slurm_account": "Clinic",
    }
    found = site.suggest_site_values(own)
    assert found["slurm_partition"] == "long"
    assert found["gpu_partition"] == "gpu", "the one named is down"
    assert found["gpu_type"] == "v100"
    assert found["qos"] == "low"
    assert found["slurm_account"] == "Clinic"


def test_no_partition_up_is_an_error(slurm):
    slurm(sinfo="echo 'cpu*|down|infinite|3|(null)'")
    with pytest.raises(InputError, match="no partition of this cluster is up"):
        site.suggest_site_values({})


def test_site_writes_only_its_block_and_only_what_changed(slurm, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    shutil.copy(PROFILE, path)
    assert main(["site", "--profile", str(path)]) == 0
    assert path.read_text() == PROFILE.read_text(), "without --write it only prints"
    assert main(["site", "--profile", str(path), "--write"]) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    first = path.read_text()
    assert main(["site", "--profile", str(path), "--write"]) == 0
    assert "holds this already" in capsys.readouterr().out
    assert path.read_text() == first
    resources = yaml.safe_load(first)["default-resources"]
    sizes = {"mem_mb": 2000, "runtime": 30, "disk_mb": 1000}
    assert resources == {"slurm_partition": "short", "gpu_partition": "gpu", **sizes}
    outside = re.compile(rf"{site_block.FIRST_LINE}.*{site_block.LAST_LINE}", re.DOTALL)
    assert outside.sub("", first) == outside.sub("", PROFILE.read_text())


def test_names_that_snakemake_would_take_for_python_are_quoted(tmp_path):
    path = tmp_path / "config.yaml"
    shutil.copy(PROFILE, path)
    values = {"slurm_partition": "all", "constraint": "2-socket", "gpu_partition": "gpu-long", "jobs": 7}
    site_block.write_site_block(path, values)
    written = yaml.safe_load(path.read_text())["default-resources"]
    always = {"disk_mb": 1000}
    assert written == {"slurm_partition": "'all'", "constraint": "'2-socket'", "gpu_partition": "gpu-long", **always}
    assert site_block.read_site_block(path) == {**values, **always, "brainuad-slurm-status-command": "squeue"}


def test_a_profile_without_a_block_says_how_to_mark_one(tmp_path, capsys, slurm):
    path = tmp_path / "config.yaml"
    path.write_text("executor: brainuad-slurm\n")
    assert main(["site", "--profile", str(path)]) == 1
    assert "the profile has no site block" in capsys.readouterr().err


def test_the_shipped_block_is_as_it_would_be_written(tmp_path):
    path = tmp_path / "config.yaml"
    shutil.copy(PROFILE, path)
    assert not site_block.write_site_block(path, site_block.read_site_block(path))


def test_the_link_at_the_root_leads_to_the_profile():
    assert (REPOSITORY / "slurm/config.yaml").samefile(PROFILE)


def test_a_block_with_the_former_key_of_the_status_command_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(PROFILE.read_text().replace("brainuad-slurm-status-command: squeue", "slurm-status-command: sacct"))
    assert site_block.read_site_block(path)["brainuad-slurm-status-command"] == "sacct"
    assert "default-resources" in path.read_text()
