"""Downloading the data sets known by name: checked against pinned sums, resumable, whole or absent.

The sum of an MNIST file is that of what it holds, so a copy that was compressed anew is as good. Of the
others, whose contents nobody publishes the sums of, it is that of the file itself.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError

from minicnn.data.catalog import CATALOG
from minicnn.data.formats.files import PathLike
from minicnn.data.packing import Progress
from minicnn.errors import FormatError, OptionError
from minicnn.io import atomic, locking

__all__ = ["FILES", "Remote", "fetch"]

_CHUNK = 1 << 18  # bytes
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes
    ----------
    name : str
        What it is called, there and here.
    bases : tuple of str
        Folders on the web that have it, in the order they are tried.
    size : int
        Its largest size in bytes; a mirror may have compressed it a little worse.
    sha256 : str
        Of the file, or of what gzip holds in it.
    of_content : bool
        Which of the two.
    members : mapping of str to int
        Of an archive, the files to take out, and their sizes; it is not kept.
    """

    name: str
    bases: tuple[str, ...]
    size: int
    sha256: str
    of_content: bool = False
    members: Mapping[str, int] = field(default_factory=dict)


# Sums of MNIST's contents: measured on the original files. The others, with their sizes, are those of
# TensorFlow Datasets (url_checksums/fashion_mnist.txt, kmnist.txt, cifar10.txt, cifar100.txt).
_MNIST = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_FASHION = ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",)
_KMNIST = ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _idx(bases: tuple[str, ...], of_content: bool, *files: tuple[int, str]) -> tuple[Remote, ...]:
    pairs = zip(_IDX, files, strict=True)
    return tuple(Remote(f"{name}.gz", bases, size, digest, of_content) for name, (size, digest) in pairs)


FILES: dict[str, tuple[Remote, ...]] = {
    "mnist": _idx(
        _MNIST,
        True,
        (11 << 20, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        (64 << 10, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        (2 << 20, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        (16 << 10, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    "fashion-mnist": _idx(
        _FASHION,
        False,
        (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    "kmnist": _idx(
        _KMNIST,
        False,
        (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    "cifar10": (
        Remote(
            "cifar-10-binary.tar.gz",
            _TORONTO,
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            members=dict.fromkeys(
                (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"), 30730000
            ),
        ),
    ),
    "cifar100": (
        Remote(
            "cifar-100-binary.tar.gz",
            _TORONTO,
            168513733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            members={"train.bin": 153700000, "test.bin": 30740000},
        ),
    ),
}


def fetch(
    name: str,
    directory: PathLike = "data",
    *,
    url_base: str | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Path:
    """Download a data set known by name, as far as it is not there yet.

    A download that was stopped goes on where it ended. A file takes its name only when it is whole and its
    SHA-256 is the one that minicnn knows.

    Parameters
    ----------
    name : str
        ``mnist``, ``fashion-mnist``, ``kmnist``, ``cifar10`` or ``cifar100``.
    directory : path-like
        The data folder; the files go into the sub-folder that torchvision makes.
    url_base : str, optional
        A folder on the web that has the files, in place of those that minicnn knows.
    progress : callable
        Called as ``progress(file, bytes so far, bytes in all)``; in all may be 0.

    Returns
    -------
    pathlib.Path
        The folder with the files.

    Raises
    ------
    OptionError
        If there is nothing to download for the name, or another process downloads it just now.
    FormatError
        If what came is not the file, from any of the places; nothing of it is kept.
    OSError
        If no place gave it, or the disk is full; what came is kept to go on from.
    """
    key = name.lower().replace("_", "-")
    if key not in FILES:
        raise OptionError(expected=f"a data set out of {', '.join(FILES)}", got=repr(name), op="data fetch")
    folder = Path(directory) / CATALOG[key].folders[0]
    atomic.make_directory(folder)
    with locking.directory(folder, lambda seconds: _refuse_busy(folder)):
        for remote in FILES[key]:
            if not _is_there(remote, folder):
                _fetch_one(remote, folder, (url_base,) if url_base else remote.bases, progress)
    return folder


def _refuse_busy(folder: Path) -> None:
    raise OptionError(f"another process is downloading into {folder}")


def _is_there(remote: Remote, folder: Path) -> bool:
    """Whether what shall be kept of it is; of an archive's files the sizes must do."""
    if not remote.members:
        return _is_whole(folder / remote.name, remote)
    files = [(folder / name, size) for name, size in remote.members.items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def _fetch_one(remote: Remote, folder: Path, bases: tuple[str, ...], progress: Progress) -> None:
    if remote.members and _is_whole(folder / remote.name, remote):  # somebody put it there
        return _take_out(folder / remote.name, remote, folder)
    part = folder / f".{remote.name}.part"
    part.touch()
    _download(remote, bases, part, progress)
    if remote.members:
        _take_out(part, remote, folder)
        part.unlink()
    else:
        os.replace(part, folder / remote.name)
        atomic.sync_directory(folder)


def _download(remote: Remote, bases: tuple[str, ...], part: Path, progress: Progress) -> None:
    """Bring the file, or the rest of it, from the first place that gives it."""
    failures: list[tuple[str, Exception]] = []
    for base in bases:
        url = base.rstrip("/") + "/" + remote.name
        try:
            return _bring(url, remote, part, progress)
        except (URLError, TimeoutError, ConnectionError) as error:  # what came is good to go on from
            failures.append((url, error))
        except (HTTPException, FormatError) as error:
            part.write_bytes(b"")
            failures.append((url, error))
    reasons = "; ".join(f"{url}: {_reason(error)}" for url, error in failures)
    hint = f"--url-base names another place, or put the file into {part.parent}"
    if all(isinstance(error, FormatError) for _, error in failures):
        raise FormatError(f"{reasons}; nothing of it is kept", path=part.parent / remote.name, hint=hint)
    raise OSError(f"cannot download {remote.name} ({reasons}); {hint}")


def _reason(error: Exception) -> str:
    if isinstance(error, FormatError):
        return error.message
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _bring(url: str, remote: Remote, part: Path, progress: Progress) -> None:
    """Download what is missing; all of it, where what was there turns out to be of another file."""
    resumed = part.stat().st_size > 0
    try:
        _transfer(url, remote, part, progress)
        if not _is_whole(part, remote):
            raise FormatError(f"what came is not the file with SHA-256 {remote.sha256[:16]}...")
    except FormatError:
        if not resumed:
            raise
        part.write_bytes(b"")
        _bring(url, remote, part, progress)


def _transfer(url: str, remote: Remote, part: Path, progress: Progress) -> None:
    there = part.stat().st_size
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = _opener().open(request, timeout=_TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # there is no more of it than what is there
            return
        raise
    with response, open(part, "ab") as file:
        if response.status != 206:  # from the start, whatever was asked for
            file.truncate(0)
            there = 0
        total = there + int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(_CHUNK):
            there += len(chunk)
            if there > remote.size:
                raise FormatError(f"more than the {remote.size} bytes of {remote.name}")
            file.write(chunk)
            progress(remote.name, there, total)
        file.flush()
        os.fsync(file.fileno())
    if there < total:
        raise ConnectionError(f"the connection ended after {there} of {total} bytes")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise URLError(f"sent on to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoDowngrade)


def _is_whole(path: Path, remote: Remote) -> bool:
    """Whether the file is the one that is known."""
    try:
        with open(path, "rb") as file, gzip.open(file) if remote.of_content else file as stream:
            return _sha256(stream) == remote.sha256  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error):  # no gzip
        return False


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _take_out(archive: Path, remote: Remote, folder: Path) -> None:
    """Write the named files of an archive, wherever they lie in it, into the folder."""
    missing = set(remote.members)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = os.path.basename(member.name)
            if member.isfile() and name in missing:
                content = tar.extractfile(member)
                assert content is not None  # it is a regular file
                atomic.write(folder / name, content.read())
                missing.remove(name)
    if missing:
        raise FormatError(f"{min(missing)} is not in it", path=archive)
