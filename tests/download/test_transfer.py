"""Downloads, against a server of this process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from brainuad import status_line
from brainuad.download.progress import Progress
from brainuad.download.transfer import http as transfer
from brainuad.download.transfer.files import fetch_files
from brainuad.download.transfer.http import Patience
from brainuad.download.transfer.remote import RemoteFile
from brainuad.errors import InputError

DATA = bytes(range(256)) * 2000
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
QUICK = Patience(connect=2, read=2, tries=3, first=0.01, longest=0.02, asked=1)
SECRETS = ("open-sesame", "token-7-7-7", "signed-query")


class Server:
    """What a test lets happen at each request; without a word, `DATA` with ranges."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.turns: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.files = {"/a.bin": DATA}
        self.etag = '"one"'
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append({"path": self.path, **{key.lower(): text for key, text in self.headers.items()}})
                turn = server.turns.pop(0) if server.turns else server.whole
                turn(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def whole(self, to: BaseHTTPRequestHandler, upto: int | None = None, length: bool = True) -> None:
        data = self.files.get(to.path.partition("?")[0])
        if data is None:
            return answer(404)(to)
        start = 0
        asked = to.headers.get("Range")
        if asked and to.headers.get("If-Range", self.etag) == self.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return answer(416, {"Content-Range": f"bytes */{len(data)}"})(to)
        to.send_response(206 if start else 200)
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if length:
            to.send_header("Content-Length", str(len(data) - start))
        if self.etag:
            to.send_header("ETag", self.etag)
        to.end_headers()
        to.wfile.write(data[start:upto])
        return None

    def broken(self, upto: int) -> Callable[[BaseHTTPRequestHandler], None]:
        return lambda to: self.whole(to, upto)


def answer(code: int, headers: dict[str, str] | None = None, body: bytes = b""):
    def turn(to: BaseHTTPRequestHandler) -> None:
        to.send_response(code)
        for key, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            to.send_header(key, text)
        to.end_headers()
        to.wfile.write(body)

    return turn


def serving():
    it = Server()
    yield it
    it.http.shutdown()
    it.http.server_close()


server, other = pytest.fixture(serving, name="server"), pytest.fixture(serving, name="other")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"BRAINUAD_PHYSIONET_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "set"


def remote(server: Server, checksum: str = SHA, **more) -> RemoteFile:
    return RemoteFile(f"{server.url}/a.bin", "a.bin", checksum, **more)


def get(folder: Path, *remotes: RemoteFile, patience: Patience = QUICK) -> None:
    fetch_files(list(remotes), folder, "https://set.example/", patience)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def aside(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".download").iterdir() if path.name != "lock")


def test_a_file_arrives_whole_and_is_not_downloaded_again(server, folder, log):
    get(folder, remote(server))
    get(folder, remote(server))
    assert (folder / "a.bin").read_bytes() == DATA
    assert len(server.asked) == 1
    assert aside(folder) == []
    assert log.getvalue().startswith("a.bin: 100% of 512.0 kB, ")


@pytest.mark.parametrize("checksum", [SHA, f"md5:{hashlib.md5(DATA).hexdigest().upper()}", ""])
def test_a_broken_download_goes_on_where_it_ended(server, folder, checksum, log):
    server.turns = [server.broken(200_000)]
    get(folder, remote(server, checksum))
    first, second = server.asked
    assert "range" not in first
    assert second["range"] == "bytes=200000-"
    assert second["if-range"] == '"one"'
    assert (folder / "a.bin").read_bytes() == DATA
    assert "the connection was lost; resuming at 200.0 kB" in log.getvalue()


def test_tries_count_only_where_nothing_new_comes(server, folder):
    server.turns = [server.broken(upto) for upto in range(50_000, 500_000, 50_000)]
    get(folder, remote(server))
    assert len(server.asked) == 10
    assert (folder / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("path", ["../a.bin", "/a.bin", "x/../../a.bin", ".download/a.bin", ""])
def test_a_list_of_files_never_leads_out_of_the_folder(server, folder, path):
    with pytest.raises(InputError, match="the download destination is"):
        get(folder, RemoteFile(f"{server.url}/a.bin", path))
    assert server.asked == []


def test_another_run_goes_on_with_what_an_earlier_one_left(server, folder):
    server.turns = [server.broken(200_000), *[answer(503)] * 3]
    with pytest.raises(InputError, match=r"cannot download a\.bin") as caught:
        get(folder, remote(server))
    assert "answers 503; stopped after 3 attempts" in caught.value.why
    assert visible(folder) == []
    get(folder, remote(server))
    assert server.asked[-1]["range"] == "bytes=200000-"
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_file_that_changed_between_two_tries_starts_anew(server, folder):
    new = DATA[::-1]

    def break_and_change(to):
        server.whole(to, 200_000)
        server.etag, server.files["/a.bin"] = '"two"', new

    server.turns = [break_and_change]
    get(folder, remote(server, ""))
    assert server.asked[1]["if-range"] == '"one"'
    assert (folder / "a.bin").read_bytes() == new


def test_without_any_validator_the_total_length_tells_a_changed_file(server, folder):
    server.etag = ""

    def break_and_grow(to):
        server.whole(to, 200_000)
        server.files["/a.bin"] = DATA + b"more"

    def ranged(to):
        size = len(DATA) + 4
        answer(206, {"Content-Range": f"bytes 200000-{size - 1}/{size}"}, DATA[200_000:] + b"more")(to)

    server.turns = [break_and_grow, ranged]
    get(folder, remote(server, ""))
    assert [asked.get("range") for asked in server.asked] == [None, "bytes=200000-", None]
    assert (folder / "a.bin").read_bytes() == DATA + b"more"


def test_a_weak_validator_is_not_sent(server, folder):
    server.etag = 'W/"one"'
    server.turns = [
        server.broken(200_000),
        lambda to: answer(206, {"Content-Range": "bytes 200000-511999/512000"}, DATA[200_000:])(to),
    ]
    get(folder, remote(server, ""))
    assert "if-range" not in server.asked[1]
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_server_that_ignores_ranges_starts_anew(server, folder):
    server.turns = [server.broken(200_000), answer(200, {}, DATA)]
    get(folder, remote(server))
    assert server.asked[1]["range"] == "bytes=200000-"
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_server_that_always_breaks_at_the_same_byte_is_given_up(server, folder):
    def breaks(to):
        to.headers.replace_header("Range", "") if "Range" in to.headers else None
        server.whole(to, 1000)

    server.turns = [breaks] * 9
    with pytest.raises(InputError, match="cannot download"):
        get(folder, remote(server))
    assert len(server.asked) == 3


def test_a_whole_part_is_recognised_by_416(server, folder):
    server.turns = [lambda to: server.whole(to, length=False)]
    get(folder, remote(server, ""))
    (folder / "a.bin").rename(folder / ".download/a.bin.part")
    state = {"url": f"{server.url}/a.bin", "validator": '"one"', "total": None}
    (folder / ".download/a.bin.part.json").write_text(json.dumps(state))
    get(folder, remote(server, ""))
    assert server.asked[-1]["range"] == f"bytes={len(DATA)}-"
    assert len(server.asked) == 2
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_part_longer_than_the_file_starts_anew(server, folder):
    (folder / ".download").mkdir(parents=True)
    (folder / ".download/a.bin.part").write_bytes(DATA + b"more")
    state = {"url": f"{server.url}/a.bin", "validator": '"one"', "total": None}
    (folder / ".download/a.bin.part.json").write_text(json.dumps(state))
    get(folder, remote(server))
    assert [asked.get("range") for asked in server.asked] == [f"bytes={len(DATA) + 4}-", None]
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_wrong_checksum_is_tried_once_more_from_nothing(server, folder, log):
    server.turns = [answer(200, {}, b"spoilt")]
    get(folder, remote(server))
    assert (folder / "a.bin").read_bytes() == DATA
    assert "downloading it again" in log.getvalue()
    assert "range" not in server.asked[1]


def test_a_checksum_wrong_twice_names_both_sums(server, folder):
    wanted = "sha256:" + "0" * 64
    with pytest.raises(InputError, match=r"a\.bin has a wrong checksum") as caught:
        get(folder, remote(server, wanted))
    assert SHA in caught.value.why
    assert wanted in caught.value.why
    assert len(server.asked) == 2
    assert aside(folder) == visible(folder) == []


def test_where_no_checksum_is_published_the_first_one_counts(server, folder):
    get(folder, RemoteFile(f"{server.url}/a.bin?key=signed-query", "a.bin"))
    note = json.loads((folder / ".download/a.bin.sha256.json").read_text())
    assert (f"sha256:{note['sha256']}", note["size"], note["url"]) == (SHA, len(DATA), f"{server.url}/a.bin")
    (folder / "a.bin").write_bytes(b"edited")
    with pytest.raises(InputError, match=r"a\.bin has changed"):
        get(folder, remote(server, ""))
    (folder / "a.bin").unlink()
    server.files["/a.bin"] = b"a new release"
    with pytest.raises(InputError, match="wrong checksum") as caught:
        get(folder, remote(server, ""))
    assert "was sha256" in caught.value.why
    (folder / ".download/a.bin.sha256.json").unlink()
    get(folder, remote(server, ""))
    assert (folder / "a.bin").read_bytes() == b"a new release"
    assert len(server.asked) == 2, "what was downloaded is kept until the user decides"


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_says_how_to_log_in(server, folder, code):
    server.turns = [answer(code)]
    with pytest.raises(InputError) as caught:
        get(folder, remote(server, login="physionet"))
    assert str(code) in caught.value.why
    for name in ("BRAINUAD_PHYSIONET_USER", "BRAINUAD_PHYSIONET_PASSWORD", "BRAINUAD_PHYSIONET_TOKEN", "~/.netrc"):
        assert name in caught.value.do
    assert "https://set.example/" in caught.value.do
    assert len(server.asked) == 1


@pytest.mark.parametrize("tried", [True, False])
def test_a_missing_file_says_whether_the_address_was_ever_tried(server, folder, tried):
    with pytest.raises(InputError) as caught:
        get(folder, RemoteFile(f"{server.url}/gone.bin?key=signed-query", "gone.bin", tried=tried))
    assert "404" in caught.value.why
    assert ("never used" in caught.value.why) is not tried
    assert "https://set.example/" in caught.value.do
    assert "signed-query" not in str(caught.value)


def credentials(monkeypatch, tmp_path, kind):
    if kind == "token":
        monkeypatch.setenv("BRAINUAD_PHYSIONET_TOKEN", "token-7-7-7")
    elif kind == "environment":
        monkeypatch.setenv("BRAINUAD_PHYSIONET_USER", "ada")
        monkeypatch.setenv("BRAINUAD_PHYSIONET_PASSWORD", "open-sesame")
    else:
        (tmp_path / "netrc").write_text("default login ada password open-sesame\n")


@pytest.mark.parametrize("kind", ["token", "environment", "netrc"])
@pytest.mark.parametrize("login", ["physionet", ""])
def test_credentials_go_to_the_service_that_needs_them_and_to_no_other_host(
    server, other, folder, monkeypatch, tmp_path, capfd, log, kind, login
):
    credentials(monkeypatch, tmp_path, kind)
    server.turns = [
        answer(302, {"Location": "/b.bin"}),
        answer(302, {"Location": f"{other.url}/a.bin?key=signed-query"}),
    ]
    other.turns = [other.broken(200_000), answer(500), answer(403)]
    server.turns += server.turns + server.turns
    with pytest.raises(InputError) as caught:
        get(folder, remote(server, login=login))
    sent = "Bearer token-7-7-7" if kind == "token" else "Basic YWRhOm9wZW4tc2VzYW1l"
    assert {asked.get("authorization") for asked in server.asked} == {sent if login else None}
    assert [asked["path"] for asked in server.asked[:2]] == ["/a.bin", "/b.bin"]
    assert [asked.get("authorization") for asked in other.asked] == [None] * 3
    out = "".join(capfd.readouterr()) + log.getvalue() + str(caught.value) + repr(caught.value)
    kept = "".join(path.read_text() for path in (folder / ".download").glob("*.json"))
    for secret in (*SECRETS, "YWRhOm9wZW4tc2VzYW1l"):
        assert secret not in out
        assert secret not in kept


def test_a_web_page_in_place_of_a_file_is_no_file(server, folder):
    server.turns = [answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>please log in</html>")]
    with pytest.raises(InputError) as caught:
        get(folder, remote(server, "", login="physionet"))
    assert "web page" in caught.value.why
    assert visible(folder) == []


def test_a_file_of_unknown_length_arrives(server, folder, log):
    server.turns = [lambda to: server.whole(to, length=False)]
    get(folder, remote(server, ""))
    assert (folder / "a.bin").read_bytes() == DATA
    assert "%" not in log.getvalue()


def test_a_chunked_download_goes_on_where_it_ended(server, folder):
    def chunks(to):
        to.send_response(200)
        to.send_header("Transfer-Encoding", "chunked")
        to.send_header("ETag", server.etag)
        to.end_headers()
        to.wfile.write(b"%x\r\n%b\r\n" % (100_000, DATA[:100_000]))

    server.turns = [chunks]
    get(folder, remote(server, ""))
    assert server.asked[1]["range"] == "bytes=100000-"
    assert (folder / "a.bin").read_bytes() == DATA


def test_bytes_are_kept_as_they_are_sent(server, folder):
    """A server that calls a .gz file an encoding must not have it unpacked on the way."""
    import gzip

    packed = gzip.compress(DATA)
    server.turns = [answer(200, {"Content-Encoding": "gzip"}, packed)]
    get(folder, RemoteFile(f"{server.url}/a.bin", "t1.nii.gz"))
    assert (folder / "t1.nii.gz").read_bytes() == packed


def test_a_silent_server_is_left_and_asked_again(server, folder, log):
    hold = threading.Event()

    def silent(to):
        server.whole(to, 200_000)
        to.wfile.flush()
        hold.wait(5)

    server.turns = [silent]
    try:
        get(folder, remote(server), patience=Patience(read=0.3, first=0.01))
    finally:
        hold.set()
    assert int(server.asked[1]["range"].removeprefix("bytes=").removesuffix("-")) > 100_000
    assert (folder / "a.bin").read_bytes() == DATA
    assert "silent" in log.getvalue()


def test_passing_faults_are_waited_for_longer_each_time(server, folder, monkeypatch):
    waits: list[float] = []
    real, own = time.sleep, threading.current_thread()
    # threads that other tests left behind sleep as well
    monkeypatch.setattr(time, "sleep", lambda s: waits.append(s) if threading.current_thread() is own else real(s))
    server.turns = [answer(500), answer(502), answer(429, {"Retry-After": "7"}), answer(503)]
    get(folder, remote(server), patience=Patience(tries=6, first=1, longest=3))
    assert waits == [1, 2, 7, 3]
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_server_that_asks_for_too_long_a_wait_ends_it(server, folder):
    server.turns = [answer(429, {"Retry-After": "86400"})]
    with pytest.raises(InputError) as caught:
        get(folder, remote(server))
    assert "asks to wait 86400 s" in caught.value.why


def test_no_server_at_all_is_told(server, folder):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InputError) as caught:
        get(folder, remote(server))
    assert "no connection to 127.0.0.1" in caught.value.why
    assert "HTTPS_PROXY" in caught.value.do


def test_a_full_disk_keeps_what_came(server, folder, monkeypatch):
    opened = Path.open

    class Full(io.FileIO):
        def write(self, block):
            if self.tell() + len(block) > 300_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(block)

    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "open", lambda p, mode="r", **k: Full(p, "a") if p.suffix == ".part" else opened(p, mode, **k)
        )
        with pytest.raises(InputError, match=r"cannot write a\.bin\.part") as caught:
            get(folder, remote(server))
    assert "No space left" in caught.value.why
    assert len(server.asked) == 1
    kept = (folder / ".download/a.bin.part").stat().st_size
    assert kept > 200_000
    get(folder, remote(server))
    assert server.asked[-1]["range"] == f"bytes={kept}-"
    assert (folder / "a.bin").read_bytes() == DATA


def test_room_is_looked_for_before(server, folder, monkeypatch):
    class Usage:
        free = len(DATA) - 1

    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="does not fit on the disk") as caught:
        get(folder, remote(server))
    assert "512.0 kB are needed" in caught.value.why
    assert not (folder / ".download/a.bin.part").exists()


def zipped(**content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zip_archive:
        for name, data in content.items():
            zip_archive.writestr(name, data)
    return file.getvalue()


def test_an_archive_is_unpacked_beside_itself_once(server, folder):
    server.files["/a.zip"] = zipped(scan=b"1", table=b"2")
    it = RemoteFile(f"{server.url}/a.zip", "part1/a.zip")
    get(folder, it)
    assert visible(folder / "part1") == ["a.zip", "scan", "table"]
    (folder / "part1/a.zip").unlink()
    get(folder, it)
    assert len(server.asked) == 1, "the archive may be deleted"
    (folder / "part1/scan").unlink()
    get(folder, it)
    assert (folder / "part1/scan").read_bytes() == b"1"
    assert len(server.asked) == 2


def test_a_set_is_there_whole_or_not_at_all(server, folder):
    with pytest.raises(InputError):
        get(folder, remote(server), RemoteFile(f"{server.url}/gone.bin", "gone.bin"))
    assert visible(folder) == []
    server.files["/gone.bin"] = b"back"
    get(folder, remote(server), RemoteFile(f"{server.url}/gone.bin", "gone.bin"))
    assert visible(folder) == ["a.bin", "gone.bin"]
    assert [asked["path"] for asked in server.asked] == ["/a.bin", "/gone.bin", "/gone.bin"]
    assert not (folder / ".download/unfinished").exists()


def test_a_set_whose_archive_cannot_be_unpacked_counts_as_absent(server, folder):
    server.files["/a.zip"] = b"no archive"
    with pytest.raises(InputError, match=r"cannot unpack a\.zip"):
        get(folder, remote(server), RemoteFile(f"{server.url}/a.zip", "a.zip"))
    assert (folder / ".download/unfinished").exists()


def test_a_second_job_waits_and_finds_the_work_done(server, folder, log):
    go = threading.Event()

    def slow(to):
        go.wait(5)
        server.whole(to)

    server.turns = [slow]
    problems: list[Exception] = []

    def job():
        try:
            get(folder, remote(server))
        except Exception as error:
            problems.append(error)

    jobs = [threading.Thread(target=job) for _ in range(2)]
    for each in jobs:
        each.start()
    until = time.monotonic() + 5
    while "waiting for that one" not in (shown := log.getvalue()) and time.monotonic() < until:
        time.sleep(0.01)
    go.set()
    for each in jobs:
        each.join(5)
    assert problems == []
    assert "set: another job is downloading it; waiting for that one" in shown
    assert len(server.asked) == 1
    assert (folder / "a.bin").read_bytes() == DATA


def test_a_finished_set_needs_no_lock_and_no_right_to_write(server, folder):
    get(folder, remote(server))
    with (folder / ".download/lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        get(folder, remote(server))
    assert len(server.asked) == 1


def shown_progress(monkeypatch, terminal, total):
    now = [0.0]
    monkeypatch.setattr(status_line.sys.stderr, "isatty", lambda: terminal, raising=False)
    it = Progress("a.bin", 0, total, clock=lambda: now[0])
    for _ in range(100):
        now[0] += 2.0
        it.add(10_000)
    it.close()


def test_progress_is_a_line_each_tenth_in_a_log(log, monkeypatch):
    shown_progress(monkeypatch, False, 10**6)
    lines = log.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "a.bin: 10% of 1.0 MB, 5.0 kB/s, 3 min left"


def test_progress_of_unknown_length_is_a_line_each_half_minute(log, monkeypatch):
    shown_progress(monkeypatch, False, None)
    lines = log.getvalue().splitlines()
    assert len(lines) == 7
    assert lines[0] == "a.bin: 150.0 kB, 5.0 kB/s"


def test_progress_is_rewritten_in_a_terminal(capsys, monkeypatch):
    shown_progress(monkeypatch, True, 10**6)
    text = capsys.readouterr().err
    assert text.count("\r") == 101
    assert text.count("\n") == 1
