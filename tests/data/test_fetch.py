"""Downloading: from a server of our own, which may cut off, lie or be away."""

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import pytest

from minicnn.data import fetch as module
from minicnn.data.fetch import FILES, Remote, fetch
from minicnn.errors import FormatError, OptionError
from minicnn.io import locking

CONTENT = bytes(range(256)) * 4000
NAME = "train-images-idx3-ubyte.gz"
GOOD = gzip.compress(CONTENT)


class Server(ThreadingHTTPServer):
    """Serves ``files``; gives at most ``limit`` bytes of one, ``chunked`` or not, and knows ``asked``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.limit, self.asked, self.ranges, self.chunked = {}, None, [], True, False
        self.base = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # that of chunks

    def do_GET(self):
        content = self.server.files.get(self.path.lstrip("/"))
        wanted = self.headers.get("Range") if self.server.ranges else None
        self.server.asked.append((self.path, wanted))
        if content is None:
            self.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted else 0
        if start >= len(content) and wanted:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % (len(content) - start))
        else:
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.files[NAME] = GOOD
        yield running
        running.shutdown()
        thread.join()


def known(*servers):
    """A data set of one file that the servers have."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    return (Remote(NAME, tuple(one.base for one in servers), 1 << 20, digest, True),)


@pytest.fixture
def server(monkeypatch):
    """A server, and a data set `mnist` of one file that it has."""
    monkeypatch.setitem(FILES, "mnist", known())
    with serving() as running:
        yield running


@pytest.fixture
def mirrors(monkeypatch):
    """Two servers that have the file of `mnist`, tried in this order."""
    with serving() as first, serving() as second:
        monkeypatch.setitem(FILES, "mnist", known(first, second))
        yield first, second


def test_a_file_is_brought_checked_and_kept(tmp_path, server):
    told = []
    folder = fetch("mnist", tmp_path, url_base=server.base, progress=lambda *what: told.append(what))
    assert folder == tmp_path / "MNIST" / "raw"
    assert gzip.decompress((folder / NAME).read_bytes()) == CONTENT
    assert told[-1][1] == told[-1][2] > 0
    fetch("MNIST", tmp_path, url_base=server.base)
    assert len(server.asked) == 1  # it is there
    (folder / NAME).write_bytes(b"damaged")
    fetch("mnist", tmp_path, url_base=server.base)
    assert gzip.decompress((folder / NAME).read_bytes()) == CONTENT


def test_a_copy_that_was_compressed_anew_is_as_good(tmp_path, server):
    server.files[NAME] = gzip.compress(CONTENT, 1, mtime=7)
    fetch("mnist", tmp_path, url_base=server.base)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(tmp_path, server, ranges):
    server.limit, server.ranges = 100, ranges
    with pytest.raises(OSError, match=r"ended after 100 of \d+ bytes.*--url-base"):
        fetch("mnist", tmp_path, url_base=server.base)
    assert not list(tmp_path.rglob("train*"))
    server.limit = None
    fetch("mnist", tmp_path, url_base=server.base)
    # Without ranges all of it comes, and takes the place of what was there.
    assert server.asked[1:] == [(f"/{NAME}", "bytes=100-" if ranges else None)]
    assert len(list(tmp_path.rglob("*.gz*"))) == 1


def test_a_whole_part_is_taken(tmp_path, server):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / ".train-images-idx3-ubyte.gz.part").write_bytes(server.files[NAME])
    fetch("mnist", tmp_path, url_base=server.base)
    assert (folder / NAME).is_file()


@pytest.mark.parametrize(
    "content, what",
    [
        (b"<html>", "is not the file with SHA-256"),
        (gzip.compress(CONTENT[:-1]), "is not the file with SHA-256"),
        (bytes(2 << 20), "more than the 1048576 bytes"),
    ],
)
def test_what_is_not_the_file_is_not_kept(tmp_path, server, content, what):
    server.files[NAME] = content
    with pytest.raises(FormatError, match=what):
        fetch("mnist", tmp_path, url_base=server.base)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_where_nobody_answers_the_message_says_what_to_do(tmp_path, server):
    with pytest.raises(OSError, match=r"404|Not Found") as caught:
        fetch("mnist", tmp_path, url_base=server.base + "elsewhere")
    assert "--url-base names another place, or put the file into" in str(caught.value)
    with pytest.raises(OSError, match="cannot download"):
        fetch("mnist", tmp_path, url_base="http://127.0.0.1:9/")


def break_off(server):
    """After 100 bytes of a chunk: HTTPException where the length of the whole is not known."""
    server.chunked, server.limit = True, 100


FAULTS = {
    "is away": lambda server: server.files.clear(),
    "gives another file": lambda server: server.files.update({NAME: gzip.compress(CONTENT[::-1])}),
    "gives too much": lambda server: server.files.update({NAME: bytes(2 << 20)}),
    "breaks off": break_off,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_second_place_serves_where_the_first_does_not(tmp_path, mirrors, fault):
    FAULTS[fault](mirrors[0])
    folder = fetch("mnist", tmp_path)
    assert (folder / NAME).read_bytes() == GOOD
    assert mirrors[1].asked == [(f"/{NAME}", None)]  # from the beginning


def test_where_all_places_fail_each_is_named_with_its_reason(tmp_path, mirrors):
    FAULTS["gives another file"](mirrors[0])
    FAULTS["breaks off"](mirrors[1])
    with pytest.raises(OSError, match="cannot download") as caught:
        fetch("mnist", tmp_path)
    assert f"{mirrors[0].base}{NAME}: what came is not the file with SHA-256" in str(caught.value)
    assert f"{mirrors[1].base}{NAME}: IncompleteRead" in str(caught.value)


def test_where_all_places_give_something_else_the_file_is_at_fault(tmp_path, mirrors):
    FAULTS["gives another file"](mirrors[0])
    FAULTS["gives too much"](mirrors[1])
    with pytest.raises(FormatError) as caught:
        fetch("mnist", tmp_path)
    assert all(server.base in str(caught.value) for server in mirrors)


@pytest.mark.parametrize("there", [b"of another file", GOOD + b"more"])
def test_a_part_that_is_of_no_use_is_downloaded_once_more(tmp_path, server, there):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / f".{NAME}.part").write_bytes(there)
    fetch("mnist", tmp_path, url_base=server.base)
    assert (folder / NAME).read_bytes() == GOOD
    assert [wanted for _, wanted in server.asked] == [f"bytes={len(there)}-", None]


def test_a_damaged_file_stays_until_there_is_a_whole_one(tmp_path, server):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"damaged")
    FAULTS["is away"](server)
    with pytest.raises(OSError, match="cannot download"):
        fetch("mnist", tmp_path, url_base=server.base)
    assert (folder / NAME).read_bytes() == b"damaged"


def test_where_there_are_no_locks_it_downloads_all_the_same(tmp_path, server, monkeypatch):
    monkeypatch.setattr("minicnn.io.locking.fcntl", None)
    folder = fetch("mnist", tmp_path, url_base=server.base)
    assert (folder / NAME).read_bytes() == GOOD


def test_only_the_named_files_of_an_archive_are_taken_out(tmp_path, server, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("bins/train.bin", "bins/readme.txt", "../../evil.bin", "/test.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    archive = buffer.getvalue()
    server.files["c.tar.gz"] = archive
    digest, sizes = hashlib.sha256(archive).hexdigest(), {"train.bin": 3, "test.bin": 3}
    monkeypatch.setitem(FILES, "cifar100", (Remote("c.tar.gz", (), 9999, digest, members=sizes),))
    folder = fetch("cifar100", tmp_path, url_base=server.base)
    assert sorted(os.listdir(folder)) == ["test.bin", "train.bin"]
    assert not (tmp_path / "evil.bin").exists()
    fetch("cifar100", tmp_path, url_base=server.base)
    assert len(server.asked) == 1
    for repair in (lambda file: file.write_bytes(b"ab"), os.unlink):  # cut off, or gone
        repair(folder / "test.bin")
        fetch("cifar100", tmp_path, url_base=server.base)
        assert (folder / "test.bin").read_bytes() == b"abc"


def test_an_archive_that_somebody_put_there_is_used(tmp_path, server, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("test.bin"))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    monkeypatch.setitem(FILES, "cifar100", (Remote("c.tar.gz", (), 9999, digest, members={"test.bin": 0}),))
    with pytest.raises(OSError, match=r"put the file into .*cifar-100") as caught:
        fetch("cifar100", tmp_path, url_base=server.base)
    folder = next(tmp_path.iterdir())
    assert str(folder) in str(caught.value)
    (folder / "c.tar.gz").write_bytes(buffer.getvalue())
    fetch("cifar100", tmp_path, url_base=server.base)
    assert (folder / "test.bin").is_file() and (folder / "c.tar.gz").is_file()


def test_an_archive_without_its_files_is_refused(tmp_path, server, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("train.bin"))
    server.files["c.tar.gz"] = buffer.getvalue()
    digest, sizes = hashlib.sha256(buffer.getvalue()).hexdigest(), {"train.bin": 0, "test.bin": 3}
    monkeypatch.setitem(FILES, "cifar100", (Remote("c.tar.gz", (), 9999, digest, members=sizes),))
    with pytest.raises(FormatError, match="test.bin is not in it"):
        fetch("cifar100", tmp_path, url_base=server.base)


def test_https_is_not_left_for_http():
    handler = module._NoDowngrade()
    request = module.urllib.request.Request("https://a.example/x")
    with pytest.raises(URLError, match="not https"):
        handler.redirect_request(request, None, 302, "", {}, "http://b.example/x")
    assert handler.redirect_request(request, None, 302, "", {}, "https://b.example/x") is not None


def test_two_processes_do_not_write_one_file(tmp_path, server):
    pytest.importorskip("fcntl")
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    busy = pytest.raises(OptionError, match=r"another process is downloading into .*raw")
    with locking.directory(folder, pytest.fail), busy:
        fetch("mnist", tmp_path, url_base=server.base)
    fetch("mnist", tmp_path, url_base=server.base)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(OptionError, match="expected a data set out of mnist"):
        fetch("imagenet", tmp_path)


def test_all_places_are_https():
    for remotes in FILES.values():
        for remote in remotes:
            assert remote.bases
            assert all(base.startswith("https://") and base.endswith("/") for base in remote.bases)
            assert len(remote.sha256) == 64


def test_the_sizes_are_those_of_cifar():
    """Records of one or two bytes of labels and 3,072 of pixels."""
    (ten,), (hundred,) = FILES["cifar10"], FILES["cifar100"]
    assert set(ten.members.values()) == {10_000 * 3073} and len(ten.members) == 6
    assert hundred.members == {"train.bin": 50_000 * 3074, "test.bin": 10_000 * 3074}


def test_the_sums_are_those_of_mnist(shared_data):
    for remote in FILES["mnist"]:
        assert module._is_whole(shared_data / "mnist" / remote.name, remote)
