"""The `brainuad` command: help, exit codes, messages, output for other programs."""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from brainuad import __version__
from brainuad.cli import app, main

REPOSITORY = Path(__file__).parents[1]
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "brainuad.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def test_help_groups_the_commands_and_names_the_exit_codes(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    panels = ["Studies", "Data and models", "Cluster", "Documentation"]
    assert [text.index(f" {panel} ") for panel in panels] == sorted(text.index(f" {panel} ") for panel in panels)
    assert all(name in text for name in COMMANDS)
    assert re.search(r"Exit codes: 0 success, 1 .*, 2 wrong usage", text)
    assert "BRAINUAD_LOG" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_a_group(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"brainuad {name}" in capsys.readouterr().out.split("Example", maxsplit=1)[1]
    (command,) = (each for each in app.registered_commands if (each.name or each.callback.__name__) == name)
    assert isinstance(command.rich_help_panel, str)


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["nothing"], ["datasets", "nothing"], ["site", "--nothing"], ["-v", "-q", "models"], []],
    ids=lambda arguments: " ".join(arguments) or "no command",
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    assert main(arguments) == 2


def test_a_problem_exits_with_1_and_a_sentence(tmp_path, capsys):
    assert main(["efficiency", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: no job has recorded what it used\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [(OSError(errno.ENOSPC, "full"), "TMPDIR"), (OSError(errno.EROFS, "read-only", "/there/x"), "/there/x")],
    ids=str,
)
def test_a_disk_that_fails_is_told_in_a_sentence(error, words, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("brainuad.predict.verify.verify", fail)
    assert main(["verify", "x.brainuad"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told


@pytest.mark.parametrize(
    "command", [["show"], ["report"], ["multiverse"], ["clean"], ["efficiency"], ["compare"], ["export"], ["register"]]
)
def test_a_folder_of_results_that_is_not_there_is_named_with_the_nearest(command, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/sources.json").touch()
    more = {"compare": [str(tmp_path / "mine")], "export": ["dae", "-o", "dae.brainuad"]}.get(command[0], [])
    assert main([*command, str(tmp_path / "mime"), *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: there is no {'folder ' * (command != ['register'])}{tmp_path / 'mime'}\n")
    assert ("results/<study>" if command == ["register"] else f"did you mean {tmp_path / 'mine'}?") in said


def test_an_unknown_log_level_is_named(monkeypatch, capsys):
    monkeypatch.setenv("BRAINUAD_LOG", "loud")
    assert main(["datasets"]) == 1
    assert "take DEBUG, INFO, WARNING, ERROR" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "level"), [("-v", "INFO"), ("-vv", "DEBUG"), ("-q", "ERROR")])
def test_verbosity_sets_the_level_of_messages_also_for_processes_of_jobs(option, level, monkeypatch, capsys):
    monkeypatch.setenv("BRAINUAD_LOG", "WARNING")
    assert main([option, "datasets"]) == 0
    assert os.environ["BRAINUAD_LOG"] == level
    terminals = [each for each in logging.getLogger("brainuad").handlers if each.get_name() == "terminal"]
    assert [logging.getLevelName(each.level) for each in terminals] == [level]


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"brainuad {__version__}\n"


def test_tables_in_a_pipe_are_plain_and_uncut():
    lines = run("models").stdout.splitlines()
    assert lines[0].split()[:3] == ["model", "family", "paper"]
    assert any(line.startswith("kuz_vqvae_t ") for line in lines)
    assert not any("\x1b" in line or "…" in line for line in lines)


def test_outdated_pages_are_listed(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setattr("brainuad.reference.PAGES", {page: lambda: "new\n"})
    assert main(["reference", "--check"]) == 1
    assert f"{page} is outdated" in capsys.readouterr().out
    assert main(["reference"]) == 0
    assert page.read_text() == "new\n"
    assert main(["reference", "--check"]) == 0


def test_completion_offers_results_folders_and_data_sets(monkeypatch, tmp_path):
    from brainuad import cli

    (tmp_path / "results/demo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert cli._results("results/d") == ["results/demo"]
    assert "mslub" in cli._dataset_names("ms")
    assert typer.main.get_command(app).params, "the options that install completion"


def test_help_imports_nothing_heavy():
    code = "import sys; from brainuad.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    for name in ("numpy", "pandas", "torch", "pydantic", "yaml", "snakemake"):
        assert f"'{name}'" not in loaded
