"""Downloading: from a server of our own, which may cut off, lie or be away."""

import gzip
import hashlib
import io
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minicnn.data import fetch as module
from minicnn.data.fetch import FILES, Remote, fetch
from minicnn.errors import FormatError, OptionError

CONTENT = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves ``files``; gives at most ``limit`` bytes of one, and knows ``asked``."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.limit, self.asked, self.ranges = {}, None, [], True
        self.base = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
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
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *words):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server, and a data set `mnist` of one file that it has."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.files["train-images-idx3-ubyte.gz"] = gzip.compress(CONTENT)
        digest = hashlib.sha256(CONTENT).hexdigest()
        remote = Remote("train-images-idx3-ubyte.gz", (), 1 << 20, digest, True)
        monkeypatch.setitem(FILES, "mnist", (remote,))
        yield running
        running.shutdown()
        thread.join()


def test_a_file_is_brought_checked_and_kept(tmp_path, server):
    told = []
    folder = fetch("mnist", tmp_path, url_base=server.base, progress=lambda *what: told.append(what))
    assert folder == tmp_path / "MNIST" / "raw"
    assert gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()) == CONTENT
    assert told[-1][1] == told[-1][2] > 0
    fetch("MNIST", tmp_path, url_base=server.base)
    assert len(server.asked) == 1  # it is there
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    fetch("mnist", tmp_path, url_base=server.base)
    assert gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()) == CONTENT


def test_a_copy_that_was_compressed_anew_is_as_good(tmp_path, server):
    server.files["train-images-idx3-ubyte.gz"] = gzip.compress(CONTENT, 1, mtime=7)
    fetch("mnist", tmp_path, url_base=server.base)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(tmp_path, server, ranges):
    server.limit, server.ranges = 100, ranges
    with pytest.raises(OSError, match=r"ended after 100 of \d+ bytes.*--url-base"):
        fetch("mnist", tmp_path, url_base=server.base)
    assert not list(tmp_path.rglob("train*"))
    server.limit = None
    fetch("mnist", tmp_path, url_base=server.base)
    assert server.asked[1][1] == ("bytes=100-" if ranges else None)
    assert len(list(tmp_path.rglob("*.gz*"))) == 1


def test_a_whole_part_is_taken(tmp_path, server):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / ".train-images-idx3-ubyte.gz.part").write_bytes(server.files["train-images-idx3-ubyte.gz"])
    fetch("mnist", tmp_path, url_base=server.base)
    assert (folder / "train-images-idx3-ubyte.gz").is_file()


@pytest.mark.parametrize(
    "content, what",
    [
        (b"<html>", "is not the file with SHA-256"),
        (gzip.compress(CONTENT[:-1]), "is not the file with SHA-256"),
        (bytes(2 << 20), "more than the 1048576 bytes"),
    ],
)
def test_what_is_not_the_file_is_not_kept(tmp_path, server, content, what):
    server.files["train-images-idx3-ubyte.gz"] = content
    with pytest.raises(FormatError, match=what):
        fetch("mnist", tmp_path, url_base=server.base)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_where_nobody_answers_the_message_says_what_to_do(tmp_path, server):
    with pytest.raises(OSError, match=r"404|Not Found") as caught:
        fetch("mnist", tmp_path, url_base=server.base + "elsewhere")
    assert "--url-base names another place, or put the file into" in str(caught.value)
    with pytest.raises(OSError, match="cannot download"):
        fetch("mnist", tmp_path, url_base="http://127.0.0.1:9/")


def test_the_second_place_serves_where_the_first_does_not(tmp_path, server, monkeypatch):
    remote = FILES["mnist"][0]
    bases = ("http://127.0.0.1:9/", server.base)
    monkeypatch.setitem(FILES, "mnist", (Remote(remote.name, bases, remote.size, remote.sha256, True),))
    fetch("mnist", tmp_path)


def test_only_the_named_files_of_an_archive_are_taken_out(tmp_path, server, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("bins/train.bin", "bins/readme.txt", "../../evil.bin", "/test.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    archive = buffer.getvalue()
    server.files["c.tar.gz"] = archive
    remote = Remote(
        "c.tar.gz", (), 9999, hashlib.sha256(archive).hexdigest(), members=("train.bin", "test.bin")
    )
    monkeypatch.setitem(FILES, "cifar100", (remote,))
    folder = fetch("cifar100", tmp_path, url_base=server.base)
    assert sorted(os.listdir(folder)) == ["test.bin", "train.bin"]
    fetch("cifar100", tmp_path, url_base=server.base)
    assert len(server.asked) == 1


def test_https_is_not_left_for_http():
    handler = module._NoDowngrade()
    request = module.urllib.request.Request("https://a.example/x")
    with pytest.raises(module.urllib.error.URLError, match="not https"):
        handler.redirect_request(request, None, 302, "", {}, "http://b.example/x")
    assert handler.redirect_request(request, None, 302, "", {}, "https://b.example/x") is not None


def test_two_processes_do_not_write_one_file(tmp_path):
    part = tmp_path / ".x.part"
    busy = pytest.raises(OptionError, match="another process is downloading x")
    with module._alone(part), busy, module._alone(part):
        pass


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(OptionError, match="expected a data set out of mnist"):
        fetch("imagenet", tmp_path)


def test_all_places_are_https():
    for remotes in FILES.values():
        for remote in remotes:
            assert remote.bases
            assert all(base.startswith("https://") and base.endswith("/") for base in remote.bases)
            assert len(remote.sha256) == 64


def test_the_sums_are_those_of_mnist(shared_data):
    for remote in FILES["mnist"]:
        assert module._is_whole(shared_data / "mnist" / remote.name, remote)
