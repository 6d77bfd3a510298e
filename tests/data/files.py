"""Makes tiny data files, and damages them."""

import gzip
import io
import struct
import tarfile

import numpy as np

from minicnn.errors import FormatError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    """An array as an IDX file."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path, array):
    """Write an IDX file, compressed if its name says so; returns the path."""
    content = idx_bytes(np.asarray(array))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def write_mnist(folder, train=6, test=4, gz=True, first_label=0, size=28):
    """The four files of a data set like MNIST, with random images; labels count up from ``first_label``."""
    rng = np.random.default_rng(1)
    for part, count in (("train", train), ("t10k", test)):
        end = ".gz" if gz else ""
        images = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
        labels = ((np.arange(count) + first_label) % 10).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{end}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{end}", labels)
    return folder


def cifar_bytes(labels, extra=()):
    """Records of CIFAR: ``extra`` are the coarse labels of CIFAR-100."""
    rng = np.random.default_rng(2)
    records = []
    for i, label in enumerate(labels):
        head = bytes([extra[i], label]) if extra else bytes([label])
        records.append(head + rng.integers(0, 256, 3072, dtype=np.uint8).tobytes())
    return b"".join(records)


def write_cifar10(folder):
    """The six files of CIFAR-10, with two images each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}.bin").write_bytes(cifar_bytes([i, 0]))
    (folder / "test_batch.bin").write_bytes(cifar_bytes([9, 3]))
    return folder


def write_folders(root, counts, size=(6, 5), mode="RGB", seed=3):
    """A folder of class folders with random PNG files; ``counts`` is by class name."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    shape = size if mode == "L" else (*size, 3)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


def write_tar(path, files, mode="w"):
    """A tar file of names and contents."""
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def damaged(content, rng, mutations):
    """The content cut off at every byte of the first 64 and some others, and with random changes."""
    cuts = list(range(min(64, len(content)))) + rng.integers(len(content), size=40).tolist()
    for cut in sorted(set(cuts)):
        yield content[:cut]
    special = [b"\0" * 4, b"\0\0\0\1", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x80" + b"\0" * 7]
    for _ in range(mutations):
        changed = bytearray(content)
        place = int(rng.integers(min(len(content), 64) if rng.random() < 0.5 else len(content)))
        kind = rng.integers(3)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            piece = special[int(rng.integers(len(special)))]
            changed[place : place + len(piece)] = piece
        else:
            other = int(rng.integers(len(content)))
            changed[place:place] = content[other : other + 16]
        yield bytes(changed)


def survives(read, path, content, rng, mutations=300):
    """Read damaged versions of a file; returns how many were refused. Other errors pass through."""
    refused = 0
    for piece in damaged(content, rng, mutations):
        path.unlink(missing_ok=True)  # some file systems write to the disk at once what replaces a file
        path.write_bytes(piece)
        try:
            read(path)
        except FormatError as error:
            assert error.path == str(path)
            refused += 1
    return refused
