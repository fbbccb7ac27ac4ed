"""A preprocess job goes through its scans, leaves alone what is there, and can stop anywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brainuad.config.recipe import Preprocess
from brainuad.errors import BrainuadError, ConfigError, InputError
from brainuad.formats import done_file, files, scans, status, volume
from brainuad.formats.scans import Scan
from brainuad.images.phantom import make_phantom
from brainuad.preprocess import scans as job
from brainuad.preprocess.job_inputs import batches, inputs_by_scan
from brainuad.preprocess.scans import preprocess_scans
from brainuad.preprocess.settings import ScanSettings

NAMES = ["sub-1", "sub-2", "sub-3"]


@dataclass
class Job:
    """A data set whose scans are broken files, which are preprocessed in no time, and jobs on it."""

    root: Path
    spacing: float = 4.0
    code: str = "abc"
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    table: str = ""

    def __post_init__(self) -> None:
        for name in NAMES:
            (self.root / f"{name}.nii.gz").write_bytes(b"no scan")
            self.inputs[name] = {"image": str(self.root / f"{name}.nii.gz")}

    @property
    def folder(self) -> Path:
        return self.root / "set"

    def run(self, *names: str, done: str = "batches/one.json") -> list[str]:
        """Run a job on these scans, all if none is named; the scans that it made anew."""
        before = self.made()
        recipe = Preprocess(spacing=self.spacing).model_dump(mode="json")
        chosen = names or tuple(NAMES)
        settings = ScanSettings(modality="T1w", healthy=True, recipe=recipe)
        files = {f"{name}/{kind}": path for name in chosen for kind, path in self.inputs[name].items()}
        (self.folder / done).unlink(missing_ok=True)  # as Snakemake does
        inputs = {"table": self.table} if self.table else files
        preprocess_scans(inputs_by_scan(inputs, chosen), settings, self.code, self.folder / done)
        assert (self.folder / done).is_file()
        return [name for name, when in self.made().items() if before.get(name) != when]

    def alone(self, name: str) -> list[str]:
        return self.run(name, done=f"{name}/{done_file.NAME}")

    def made(self) -> dict[str, int]:
        return {p.parent.name: p.stat().st_mtime_ns for p in sorted(self.folder.glob(f"*/{status.NAME}"))}


@pytest.fixture
def data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Job:
    caplog.set_level("INFO", "brainuad.preprocess")
    return Job(tmp_path)


class Killed(BaseException):
    pass


def broken_at(monkeypatch: pytest.MonkeyPatch, bad: str, error: BaseException) -> None:
    real = job.preprocess_scan

    def preprocess_scan(scan, *rest):
        if scan == bad:
            raise error
        return real(scan, *rest)

    monkeypatch.setattr(job, "preprocess_scan", preprocess_scan)


def test_good_and_bad_scans_are_done_and_the_done_file_names_them(data, caplog):
    phantom = make_phantom(3, "T1w", spacing=4.0)
    volume.write(data.inputs["sub-2"]["image"], phantom.image, phantom.affine)
    assert data.run() == NAMES
    told = files.read_json(data.folder / "batches/one.json")["scans"]
    assert list(told) == NAMES
    assert len(set(told.values())) == 3, "a scan's digest tells what its folder was made from"
    assert done_file.read([data.folder / "batches/one.json"]) == NAMES
    assert status.paths(data.folder / "sub-2")["image"].is_file()
    lines = caplog.messages
    assert [line.partition(" (")[0] for line in lines] == ["sub-1: no result", "sub-2: measured", "sub-3: no result"]
    assert "(2 of 3, " in lines[1]
    caplog.clear()
    assert data.run() == []
    assert caplog.messages == ["3 of 3 scans are there already"]
    assert files.read_json(data.folder / "batches/one.json")["scans"] == told


def test_what_a_kill_left_is_kept_and_the_rest_is_done(data, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        broken_at(patch, "sub-2", Killed())
        data.run()
    assert list(data.made()) == ["sub-1"]
    assert not (data.folder / "batches/one.json").exists()
    assert data.run() == ["sub-2", "sub-3"]


def test_a_folder_without_its_stamp_is_made_again(data, monkeypatch):
    data.run()
    data.code = "changed"
    write = files.write_json

    def killed_before_the_stamp(path, content):
        if path.name == job.STAMP:
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(job, "write_json", killed_before_the_stamp)
        data.run()
    data.code = "abc"  # sub-1 was made by the changed code: its former stamp must not speak for it
    assert data.run() == ["sub-1"]


def test_settings_code_environment_and_inputs_count(data, monkeypatch):
    data.run()
    data.spacing = 3.0
    assert data.run() == NAMES
    data.code = "abd"
    assert data.run() == NAMES
    path = Path(data.inputs["sub-2"]["image"])
    os.utime(path, ns=(1, 1))
    assert data.run() == ["sub-2"]
    path.write_bytes(b"no scan either")
    assert data.run() == ["sub-2"]
    data.inputs["sub-3"]["image"] = str(path)
    assert data.run() == ["sub-3"]
    data.inputs["sub-1"]["mask"] = str(path)
    assert data.run() == ["sub-1"]
    (data.folder / "sub-3/run.json").unlink()  # storage that is cleaned by age
    assert data.run() == ["sub-3"]
    monkeypatch.setattr("sys.prefix", "/envs/another")
    assert data.run() == NAMES
    assert data.run() == []


def test_another_size_makes_nothing_anew(data):
    for name in NAMES:
        assert data.alone(name) == [name]
    assert data.run() == []
    assert [data.alone(name) for name in NAMES] == [[], [], []]
    assert data.run("sub-1", "sub-2", done="batches/two.json") == []
    assert all((data.folder / path).is_file() for path in ("batches/one.json", "batches/two.json", "sub-3/done.json"))


def test_no_done_file_outlives_the_folder_that_it_stands_for(data):
    data.run("sub-1", "sub-2", done="batches/first.json")
    data.run("sub-3", done="batches/last.json")
    for name in NAMES:
        data.alone(name)
    data.spacing = 3.0
    assert data.run("sub-1", done="batches/other.json") == ["sub-1"]
    left = sorted(str(path.relative_to(data.folder)) for path in data.folder.glob("*/*.json"))
    assert [path for path in left if "batches" in path] == ["batches/last.json", "batches/other.json"]
    assert [path for path in left if "done" in path] == ["sub-2/done.json", "sub-3/done.json"]
    data.alone("sub-3")
    assert not (data.folder / "batches/last.json").exists()


def test_a_broken_done_file_is_removed_once_a_scan_is_made_anew_because_it_may_name_it(data):
    data.run("sub-1", "sub-2", done="batches/first.json")
    (data.folder / "batches/first.json").write_text("{")
    data.alone("sub-3")
    assert [path.name for path in (data.folder / "batches").iterdir()] == []
    data.run("sub-3", done="batches/last.json")
    (data.folder / "batches/last.json").write_text("{")
    data.alone("sub-3")
    assert (data.folder / "batches/last.json").exists(), "nothing was made anew"


def test_an_error_is_the_scan_s_own_and_a_fault_of_the_machine_stops_the_job(data, monkeypatch):
    monkeypatch.setattr("brainuad.preprocess.scan.read_raw", lambda path, _: fall(path))
    errors: dict[str, Exception] = {"sub-2": ZeroDivisionError("by zero")}

    def fall(path: Path) -> None:
        raise errors.get(path.name.partition(".")[0], InputError(f"{path.name} is broken"))

    assert data.run() == NAMES
    assert "ZeroDivisionError: by zero" in status.read(data.folder / "sub-2/status.json").reasons[0]
    assert data.run() == [], "a scan that fails is not tried again before something changes"
    data.code = "abd"
    errors["sub-2"] = MemoryError()
    with pytest.raises(BrainuadError, match="sub-2 needs more memory"):
        data.run()
    assert not (data.folder / "batches/one.json").exists()


def test_settings_that_fit_no_scan_stop_the_job_at_once(data, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ConfigError):
        broken_at(patch, "sub-2", ConfigError("no such template"))
        data.run()
    assert list(data.made()) == ["sub-1"]


def test_scans_that_another_job_made_are_found_by_its_table(data):
    table = data.root / "subjects.tsv"

    def listed(note: str) -> None:
        image = {name: given["image"] for name, given in data.inputs.items()}
        rows = [Scan(name, name, "set", image[name], state="failed" * (name == "sub-3"), note=note) for name in NAMES]
        scans.write(table, rows)

    data.table = str(table)
    listed("no head")
    assert data.run() == NAMES
    assert status.read(data.folder / "sub-3/status.json").reasons == ["no head"]
    os.utime(table, ns=(1, 1))
    assert data.run() == [], "the files count, not the table that names them"
    listed("half a head")
    assert data.run() == ["sub-3"]


def test_batches_say_who_is_in_them():
    names = [f"sub-{n:02d}" for n in range(10)]
    found = batches(reversed(names), 4)
    assert [len(part) for part in found.values()] == [4, 4, 2]
    assert [name for part in found.values() for name in part] == names
    assert all(key.startswith(f"{part[0]}_{len(part)}_") for key, part in found.items())
    more = batches([*names, "sub-10"], 4)
    assert list(more)[:2] == list(found)[:2]
    assert list(more)[2] != list(found)[2]
    swapped = batches([*names[:1], "sub-00a", *names[2:]], 4)
    assert next(iter(swapped)) != next(iter(found)), "the same first scan and number, another batch"
    assert batches([], 4) == {}


def test_a_done_file_that_another_job_is_writing_stays(tmp_path):
    made = Job(tmp_path)
    made.run()
    writing = made.folder / done_file.BATCHES / ".part-two.json-0123abcd-77t5-abcdefgh.json"
    writing.touch()
    made.code = "def"
    assert made.run() == NAMES
    assert writing.exists()
