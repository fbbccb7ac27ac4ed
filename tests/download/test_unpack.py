"""Archives: what is in them arrives, and nothing leaves the folder."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from brainuad.download.transfer import unpack as module
from brainuad.download.transfer.unpack import Limits, is_archive, unpack
from brainuad.errors import InputError

CONTENT = {"ixi/IXI002.nii.gz": b"scan" * 1000, "ixi/sub/table.csv": b"age,sex\n", "readme": b"read me"}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "outer/set"
    place.mkdir(parents=True)
    return place


def tar_archive(path: Path, *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as file:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def regular(name: str, data: bytes = b"data", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info, data


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_archive(path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def packed_link(path: Path, name: str, target: str) -> Path:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, target)
    return path


def lies_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    unpack(archive, folder, folder.parent / "note.unpacked", limits)


def refused(archive: Path, folder: Path, member: str, why: str, limits: Limits | None = None) -> None:
    """Refused by name, and nothing is left in the folder or around it."""
    before = sorted(path for path in folder.parent.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        put(archive, folder, limits)
    assert repr(member) in caught.value.what
    assert why in caught.value.why
    assert sorted(path for path in folder.parent.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "A.ZIP"])
def test_members_arrive_as_they_lie(tmp_path, folder, name):
    path = tmp_path / name
    if name.lower().endswith("zip"):
        zip_archive(path, CONTENT)
    else:
        tar_archive(path, special("ixi", tarfile.DIRTYPE), *[regular(*item) for item in CONTENT.items()])
    assert is_archive(name)
    put(path, folder)
    assert lies_in(folder) == CONTENT
    assert path.exists()


def test_scans_are_no_archives():
    assert not is_archive("IXI002-Guys-0828-T1.nii.gz")


def test_an_archive_is_unpacked_once_unless_its_members_are_gone(tmp_path, folder):
    path = zip_archive(tmp_path / "a.zip", CONTENT)
    put(path, folder)
    (folder / "readme").write_bytes(b"noted by a participant")
    put(path, folder)
    assert lies_in(folder)["readme"] == b"noted by a participant"
    shutil.rmtree(folder / "ixi")
    put(path, folder)
    assert lies_in(folder) == CONTENT


def test_folders_of_two_archives_are_joined(tmp_path, folder):
    put(zip_archive(tmp_path / "a.zip", {"ixi/one": b"1", "ixi/licence": b"old"}), folder)
    unpack(zip_archive(tmp_path / "b.zip", {"ixi/two": b"2", "ixi/licence": b"new"}), folder, tmp_path / "b.unpacked")
    assert lies_in(folder) == {"ixi/one": b"1", "ixi/two": b"2", "ixi/licence": b"new"}


def test_a_folder_never_replaces_a_file(tmp_path, folder):
    (folder / "a").mkdir()
    (folder / "a/ixi").write_bytes(b"a file")
    path = zip_archive(tmp_path / "a.zip", {"a/new": b"1", "a/ixi/one": b"1"})
    with pytest.raises(InputError, match="ixi as another type of file"):
        put(path, folder)
    assert lies_in(folder) == {"a/ixi": b"a file"}


@pytest.mark.parametrize("name", ["../evil", "good/../../evil", "/tmp/evil", "//host/evil", "C:/evil", "c:evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_outside_the_folder_are_refused(tmp_path, folder, name, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zip_archive(path, {"good/file": b"", name: b"evil"})
    else:
        tar_archive(path, regular("good/file"), regular(name))
    refused(path, folder, name, "")


def test_backslashes_of_a_zip_are_folders(tmp_path, folder):
    refused(zip_archive(tmp_path / "a.zip", {"..\\evil": b"evil"}), folder, "../evil", "outside the folder")
    put(zip_archive(tmp_path / "b.zip", {"ixi\\one": b"1"}), folder)
    assert lies_in(folder) == {"ixi/one": b"1"}


LEAVING = ["/etc/passwd", "../outside", "sub/../../../outside", "../..", "."]


@pytest.mark.parametrize("target", LEAVING)
def test_symlinks_out_of_the_folder_are_refused(tmp_path, folder, target):
    refused(tar_archive(tmp_path / "a.tar", special("link", tarfile.SYMTYPE, target)), folder, "link", "")
    refused(packed_link(tmp_path / "a.zip", "link", target), folder, "link", "outside the folder")


def test_a_path_through_a_link_is_refused(tmp_path, folder):
    members = [special("dir", tarfile.DIRTYPE), special("link", tarfile.SYMTYPE, "dir"), regular("LINK/evil")]
    refused(tar_archive(tmp_path / "a.tar", *members), folder, "LINK/evil", "through a link")


def test_links_within_the_folder_arrive(tmp_path, folder):
    members = [
        regular("store/scan", b"scan"),
        special("sub/scan", tarfile.SYMTYPE, "../store/scan"),
        special("hard", tarfile.LNKTYPE, "store/scan"),
    ]
    put(tar_archive(tmp_path / "a.tar", *members), folder)
    assert lies_in(folder) == {"store/scan": b"scan", "sub/scan": b"scan", "hard": b"scan"}
    assert str((folder / "sub/scan").readlink()) == "../store/scan"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "link", "nothing"])
def test_hardlinks_lead_to_files_of_the_archive_only(tmp_path, folder, target):
    (folder.parent / "outside").write_bytes(b"outside")
    members = [regular("file"), special("link", tarfile.SYMTYPE, "file"), special("hard", tarfile.LNKTYPE, target)]
    refused(tar_archive(tmp_path / "a.tar", *members), folder, "hard", "")


def test_a_file_in_place_of_a_link_is_not_written_through_it(tmp_path, folder):
    members = [regular("file", b"1"), special("hard", tarfile.LNKTYPE, "file"), regular("hard", b"2")]
    members += [special("soft", tarfile.SYMTYPE, "file"), regular("soft", b"3")]
    put(tar_archive(tmp_path / "a.tar", *members), folder)
    assert lies_in(folder) == {"file": b"1", "hard": b"2", "soft": b"3"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, folder, kind):
    refused(tar_archive(tmp_path / "a.tar", special("device", kind)), folder, "device", "")


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tgz"])
def test_bombs_are_refused(tmp_path, folder, name):
    zeros = bytes(2_000_000)
    path = tmp_path / name
    if name.endswith("zip"):
        zip_archive(path, {"small": b"", "zeros": zeros})
    else:
        tar_archive(path, regular("small"), regular("zeros", zeros))
    refused(path, folder, "zeros", "grows to more than", Limits(least=1000))
    put(path, folder)
    assert len(lies_in(folder)["zeros"]) == len(zeros), "what is small is no bomb"


def test_the_sizes_of_all_members_add_up(tmp_path, folder):
    path = zip_archive(tmp_path / "a.zip", {f"{i}": bytes(1000) for i in range(5)}, zipfile.ZIP_STORED)
    refused(path, folder, "3", "grows to more than 3.5 kB", Limits(ratio=0, least=3500))


def test_a_zip_that_lies_of_its_sizes_is_refused(tmp_path, folder):
    path = zip_archive(tmp_path / "a.zip", {"zeros": bytes(1_000_000)})
    data = path.read_bytes().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot unpack a\.zip"):
        put(path, folder)
    assert lies_in(folder) == {}


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_too_many_members_are_refused(tmp_path, folder, name):
    content = {str(i): b"" for i in range(11)}
    path = tmp_path / name
    if name.endswith("zip"):
        zip_archive(path, content)
    else:
        tar_archive(path, *[regular(*item) for item in content.items()])
    refused(path, folder, "10", "more than 10 members", Limits(members=10))


def test_a_disk_too_small_is_told(tmp_path, folder, monkeypatch):
    class Usage:
        free = 3000

    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="does not fit on the disk") as caught:
        put(zip_archive(tmp_path / "a.zip", CONTENT), folder)
    assert "3.0 kB" in caught.value.why
    assert lies_in(folder) == {}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_broken_archive_is_told_and_leaves_nothing(tmp_path, folder, name):
    path = tmp_path / name
    content = {"first": os.urandom(40_000), "second": os.urandom(40_000)}
    if name.endswith("zip"):
        zip_archive(path, content)
        data = bytearray(path.read_bytes())
        data[60_000] ^= 1
        path.write_bytes(data)
    else:
        tar_archive(path, *[regular(*item) for item in content.items()])
        path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(InputError, match=f"cannot unpack {name}") as caught:
        put(path, folder)
    assert "download it again" in caught.value.do
    assert list(folder.iterdir()) == []
    assert not (folder.parent / "note.unpacked").exists()


def test_rights_are_those_of_any_new_file(tmp_path, folder):
    put(tar_archive(tmp_path / "a.tar", special("dir", tarfile.DIRTYPE), regular("dir/file", mode=0o4000)), folder)
    (tmp_path / "new").touch()
    assert stat.S_IMODE((folder / "dir/file").stat().st_mode) == stat.S_IMODE((tmp_path / "new").stat().st_mode)
    assert (folder / "dir").stat().st_mode & 0o700 == 0o700


def test_names_are_read_as_they_were_meant(tmp_path, folder):
    path = zip_archive(tmp_path / "a.zip", {"patient_aXX": b"1", "größe": b"2"})
    path.write_bytes(path.read_bytes().replace(b"aXX", "aé".encode()))  # UTF-8 without its flag
    put(path, folder)
    assert sorted(lies_in(folder)) == ["größe", "patient_aé"]
    with tarfile.open(tmp_path / "b.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as file:
        file.addfile(tarfile.TarInfo("Schädel"))
    unpack(tmp_path / "b.tar", folder, tmp_path / "b.unpacked")
    assert "Schädel" in lies_in(folder)
