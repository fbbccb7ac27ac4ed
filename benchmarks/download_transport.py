"""Downloads of brainuad, pooch and fsspec compared, case by case, against a server on this machine.

Compares what is installed. Pooch and fsspec belong into an environment of their own: `python -m venv other`, then
`other/bin/pip install pooch fsspec aiohttp tqdm` and `other/bin/python benchmarks/download_transport.py`.
docs/decisions/0023-download-transport.md holds the result.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import socket
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATA = bytes(range(256)) * 2000
SHA = hashlib.sha256(DATA).hexdigest()
PAGE = b"<html>log in</html>"
Turn = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers with the whole file, or with what each next turn says; keeps the headers of requests."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.asked: list[dict[str, str]] = []
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(DATA)))
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()

            def do_GET(self) -> None:
                with server.lock:
                    server.asked.append({key.lower(): value for key, value in self.headers.items()})
                    turn = server.turns.pop(0) if server.turns else whole
                turn(self)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.bin"


def whole(to: BaseHTTPRequestHandler) -> None:
    """The file, or the rest of it."""
    start = int(to.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
    to.send_response(206 if "Range" in to.headers else 200)
    if "Range" in to.headers:
        to.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
    to.send_header("ETag", '"one"')
    to.send_header("Content-Length", str(len(DATA) - start))
    to.end_headers()
    to.wfile.write(DATA[start:])


def cut_off(to: BaseHTTPRequestHandler) -> None:
    """200,000 bytes, then a closed connection."""
    to.send_response(200)
    to.send_header("ETag", '"one"')
    to.send_header("Content-Length", str(len(DATA)))
    to.end_headers()
    to.wfile.write(DATA[:200_000])
    to.wfile.flush()
    to.connection.shutdown(socket.SHUT_RDWR)
    to.close_connection = True


def answer(code: int, content: bytes, kind: str = "application/octet-stream", **headers: str) -> Turn:
    """A turn that answers so."""

    def turn(to: BaseHTTPRequestHandler) -> None:
        to.send_response(code)
        to.send_header("Content-Type", kind)
        to.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(content)

    return turn


def slow(to: BaseHTTPRequestHandler) -> None:
    """The file after half a second."""
    time.sleep(0.5)
    whole(to)


class Brainuad:
    """`fetch_files` and `unpack`."""

    def get(self, url: str, folder: Path, checksum: str | None = SHA) -> Path:
        from brainuad.download.transfer.files import fetch_files
        from brainuad.download.transfer.remote import RemoteFile

        fetch_files([RemoteFile(url, "a.bin", f"sha256:{checksum}" if checksum else "")], folder)
        return folder / "a.bin"

    def unpack(self, archive: Path, folder: Path) -> None:
        from brainuad.download.transfer.unpack import unpack

        folder.mkdir(exist_ok=True)
        unpack(archive, folder, folder.parent / "note.json")


class Pooch:
    """`Pooch.fetch` with three retries."""

    def get(self, url: str, folder: Path, checksum: str | None = SHA) -> Path:
        import pooch

        made = pooch.create(folder, "", registry={"a.bin": checksum}, urls={"a.bin": url}, retry_if_failed=3)
        return Path(made.fetch("a.bin"))

    def unpack(self, archive: Path, folder: Path) -> None:
        from pooch import Untar, Unzip

        class It:
            pass

        processor = Unzip if archive.suffix == ".zip" else Untar
        processor(extract_dir=str(folder))(str(archive), "download", It())


class Fsspec:
    """`fsspec.filesystem("http").get_file`."""

    def get(self, url: str, folder: Path, checksum: str | None = SHA) -> Path:  # noqa: ARG002 - it checks none
        import fsspec

        fsspec.filesystem("http", skip_instance_cache=True).get_file(url, str(folder / "a.bin"))
        return folder / "a.bin"


@contextmanager
def served() -> Iterator[tuple[Server, Path]]:
    """A server, and an empty folder."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        yield server, Path(folder)
    server.shutdown()


def outcome(work: Callable[[], object]) -> str:
    """`ok`, or the exception's class."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:70]}"
    return "ok"


def cases(library: Brainuad | Pooch | Fsspec) -> Iterator[tuple[str, str]]:
    """Name of a case, and what was seen."""
    with served() as (server, folder):
        server.turns = [cut_off]
        said = outcome(lambda: library.get(server.url, folder))
        right = (folder / "a.bin").is_file() and (folder / "a.bin").read_bytes() == DATA
        resumed = any("range" in asked for asked in server.asked[1:])
        yield "cut-off download", f"{said}; right: {right}; requests: {len(server.asked)}; Range asked: {resumed}"
        left = [(path.name, path.stat().st_size) for path in folder.iterdir()]
        yield "  left in the folder", str(left)
    with served() as (server, folder):
        server.turns = [cut_off] * 9
        outcome(lambda: library.get(server.url, folder))
        server.turns, asked = [], len(server.asked)
        outcome(lambda: library.get(server.url, folder))
        later = server.asked[asked:]
        yield "a later run goes on", f"Range asked: {any('range' in each for each in later)}"
    with served() as (server, folder):
        server.turns = [answer(503, b"", Retry_After="1"), whole]
        start = time.monotonic()
        said = outcome(lambda: library.get(server.url, folder))
        yield "503 with Retry-After: 1", f"{said} after {time.monotonic() - start:.1f} s"
    with served() as (server, folder):
        server.turns = [answer(200, b"wrong")] * 9
        yield "wrong checksum", outcome(lambda: library.get(server.url, folder))
    with served() as (server, folder):
        server.turns = [answer(200, PAGE, "text/html")] * 9
        said = outcome(lambda: library.get(server.url, folder, None))
        yield "web page in place of the file, no checksum known", said
    with served() as (server, folder):
        server.turns = [answer(200, DATA, Content_Encoding="gzip")] * 9
        yield "Content-Encoding that is none", outcome(lambda: library.get(server.url, folder))
    with served() as (server, folder):
        server.turns = [slow, slow]
        jobs = [threading.Thread(target=lambda: outcome(lambda: library.get(server.url, folder))) for _ in range(2)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        yield "two at once", f"downloads: {len(server.asked)}"
    yield from archives(library)


def archives(library: Brainuad | Pooch | Fsspec) -> Iterator[tuple[str, str]]:
    """What is done with hostile archives."""
    if isinstance(library, Fsspec):
        yield "unpacking", "none to a folder"
        return
    content = {"tar ../evil": ("a.tar", "../evil"), "zip ../evil": ("a.zip", "../evil")}
    for case, (name, member) in content.items():
        with tempfile.TemporaryDirectory() as top:
            archive, folder = Path(top) / name, Path(top) / "in" / "set"
            folder.mkdir(parents=True)
            if name.endswith("zip"):
                with zipfile.ZipFile(archive, "w") as pack:
                    pack.writestr("good", b"x")
                    pack.writestr(member, b"x")
            else:
                with tarfile.open(archive, "w") as pack:
                    for each in ("good", member):
                        info = tarfile.TarInfo(each)
                        info.size = 1
                        pack.addfile(info, io.BytesIO(b"x"))
            said = outcome(lambda a=archive, f=folder: library.unpack(a, f))
            files = [str(path.relative_to(top)) for path in Path(top).rglob("*") if path.is_file() and path != archive]
            yield case, f"{said}; files: {files}"
    with tempfile.TemporaryDirectory() as top:
        archive, folder = Path(top) / "a.zip", Path(top) / "set"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack, pack.open("bomb", "w") as member:
            for _ in range(12):
                member.write(bytes(100_000_000))
        said = outcome(lambda: library.unpack(archive, folder))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        yield "1.2 GB of zeros in a zip of 1.2 MB", f"{said}; {size:.0f} MB written"
    with tempfile.TemporaryDirectory() as top:
        archive, folder = Path(top) / "a.zip", Path(top) / "set"
        with zipfile.ZipFile(archive, "w") as pack:
            pack.writestr("good", b"x" * 1000)
            pack.writestr("bad", b"y" * 1000)
        archive.write_bytes(archive.read_bytes().replace(b"y" * 10, b"z" * 10))
        said = outcome(lambda: library.unpack(archive, folder))
        yield "broken archive", f"{said}; left: {sorted(path.name for path in folder.rglob('*'))}"
        again = outcome(lambda: library.unpack(archive, folder))
        yield "  unpacked again", again


if __name__ == "__main__":
    for name, library in (("brainuad", Brainuad()), ("pooch", Pooch()), ("fsspec", Fsspec())):
        if importlib.util.find_spec(name) is not None:
            print(f"\n{name} {__import__(name).__version__}")
            for case, seen in cases(library):
                print(f"  {case:<52} {seen}")
