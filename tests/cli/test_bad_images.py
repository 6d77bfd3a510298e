"""What folders hold besides good images is named, or with --skip-bad left out; never trained on."""

import builtins
import errno
import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRAIN = ("train", "--data", "set", "--max-steps", "1", "--model", "mlp", "--out", "r", "--json")


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(mode="RGB", size=(8, 8)):
    levels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def bomb():
    """A PNG of a few bytes that says it has ten thousand million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# Name of the file in the class folder, its content, and what is said of it.
BAD = {
    "no bytes": ("empty.png", b"", "an empty file"),
    "text": ("notes.jpg", b"not a picture at all", "not an image"),
    "another format": ("icon.png", encoded(noise(), "ICO"), "not an image"),
    "an animation": (
        "moving.gif",
        encoded(noise(), "GIF", save_all=True, append_images=[noise("L")]),
        "several",
    ),
    "cut off PNG": ("half.png", encoded(noise(size=(64, 64)), "PNG")[:3000], "damaged or cut off"),
    "cut off JPEG": ("half.jpg", encoded(noise(size=(64, 64)), "JPEG")[:1500], "damaged or cut off"),
    "damaged header": ("header.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "not an image"),
    "a bomb": ("bomb.png", bomb(), "more than 64000000 pixels"),
    "Chinese and spaces": ("一只 猫.png", b"", "an empty file"),
}


@pytest.mark.parametrize(("name", "content", "what"), BAD.values(), ids=BAD)
def test_an_image_that_cannot_be_read_is_named_or_left_out(pictures, command, name, content, what):
    bad = pictures("set") / "light" / name
    bad.write_bytes(content)
    done = command(*TRAIN)
    assert done.code == 3
    assert os.path.join("set", "light", name) in done.err and what in done.err
    assert not os.path.exists("r/checkpoints")
    done = command(*TRAIN, "--skip-bad")
    assert done.code == 0
    assert "1 images cannot be read and are left out" in done.err
    (line,) = Path("r/skipped.txt").read_text(encoding="utf-8").splitlines()
    assert line.startswith(f"light/{name}: ") and what in line
    assert command("data", "check", "set", "--skip-bad", "--json").json["images"]["training"] == 12


GOOD = {
    "wrong ending": ("really-a-png.jpg", encoded(noise(), "PNG")),
    "CMYK": ("print.jpg", encoded(noise("CMYK"), "JPEG")),
    "GIF": ("old.gif", encoded(noise("P"), "GIF")),
    "WebP": ("new.webp", encoded(noise(), "WEBP")),
    "palette": ("palette.png", encoded(noise("P"), "PNG")),
    "16 bits": ("deep.png", encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "PNG")),
    "alpha": ("clear.png", encoded(noise("RGBA"), "PNG")),
    "one bit": ("stamp.png", encoded(noise("1"), "PNG")),
    "Chinese and spaces": ("两只 狗.PNG", encoded(noise(), "PNG")),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD)
def test_every_kind_of_image_is_trained_on(pictures, command, name, content):
    (pictures("set") / "light" / name).write_bytes(content)
    assert command(*TRAIN).code == 0
    assert command("data", "check", "set", "--json").json["images"]["training"] == 13


def test_a_photograph_is_packed_as_its_viewer_shows_it(pictures, command):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    folder = pictures("set", sizes=((8, 12),))
    Image.fromarray(np.zeros((12, 8), np.uint8)).save(folder / "light" / "turned.png", exif=turned)
    done = command("data", "pack", "set", "packed", "--json")
    assert (done.json["image_shape"], done.json["note"]) == ([1, 8, 12], "")


def test_a_class_with_nothing_left_is_named(pictures, command):
    folder = pictures("set")
    for image in (folder / "light").iterdir():
        image.write_bytes(b"")
    done = command(*TRAIN, "--skip-bad")
    assert done.code == 3 and "no image of class 'light' can be read" in done.err


def test_an_empty_class_is_named(pictures, command):
    (pictures("set") / "empty").mkdir()
    done = command(*TRAIN)
    assert done.code == 3 and "no image" in done.err and os.path.join("set", "empty") in done.err


def test_links_in_a_circle_end(pictures, command):
    folder = pictures("set")
    (folder / "light" / "up").symlink_to(folder)
    (folder / "light" / "self.png").symlink_to("self.png")
    done = command(*TRAIN)
    assert done.code == 3 and "self.png" in done.err and "no such file" in done.err
    assert command(*TRAIN, "--skip-bad").code == 0
    assert Path("r/skipped.txt").read_text().startswith("light/self.png: ")


def forbid(monkeypatch, owner, name, secret):
    """Let a function that opens paths refuse one, as it would for anybody but the administrator."""
    really = getattr(owner, name)

    def refusing(path=".", *args, **kwargs):
        if str(path) == secret:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really(path, *args, **kwargs)

    monkeypatch.setattr(owner, name, refusing)


def test_a_file_that_may_not_be_read_is_named_or_left_out(pictures, command, monkeypatch):
    secret = os.path.join("set", "light", "0.png")
    pictures("set")
    forbid(monkeypatch, builtins, "open", secret)
    done = command(*TRAIN)
    assert done.code == 3 and f"{secret}: cannot be read: Permission denied" in done.err
    assert command(*TRAIN, "--skip-bad").code == 0
    assert Path("r/skipped.txt").read_text() == "light/0.png: cannot be read: Permission denied\n"


def test_a_folder_that_may_not_be_read_is_named(pictures, command, monkeypatch):
    secret = os.path.join("set", "light")
    pictures("set")
    forbid(monkeypatch, os, "scandir", secret)
    done = command(*TRAIN, "--skip-bad")
    assert done.code == 3 and f"{secret}: cannot be read: Permission denied" in done.err


def test_names_that_are_not_utf_8_are_written_with_escapes(pictures, command):
    pictures("set")
    (Path("set") / "light" / "bad.png").write_bytes(b"")
    try:
        os.rename(b"set/light/bad.png", b"set/light/\xe9.png")
        os.rename(b"set/light", b"set/l\xe9ger")
        os.rename(b"set", b"s\xe9t")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    odd = os.fsdecode(b"s\xe9t")
    done = command("data", "pack", odd, "out")
    assert done.code == 3 and r"\udce9.png" in done.err
    done = command("data", "check", odd, "--skip-bad")
    assert (done.code, r"left out: l\udce9ger/\udce9.png: " in done.out) == (0, True)
    os.rename(odd, "set")
    assert command(*TRAIN, "--skip-bad").code == 0
    assert Path("r/skipped.txt").read_text(encoding="utf-8").startswith(r"l\udce9ger/\udce9.png: ")
    assert r"l\udce9ger" in command("evaluate", "r").out


@pytest.mark.parametrize("label", ["-1", "65536", "9" * 30])
def test_labels_out_of_range_are_bad_input(pictures, command, label):
    pictures("other", images=1)
    with tarfile.open("set", "w") as tar:
        for number, text in enumerate(("0", "1", label)):
            for name, content in (
                (f"{number}.png", encoded(noise(), "PNG")),
                (f"{number}.cls", text.encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    os.rename("set", "set.tar")
    done = command("data", "pack", "set.tar", "out")
    assert done.code == 3 and f"set.tar: 2.cls: its label is {label}, expected 0 to 65535" in done.err
    done = command("data", "check", "set.tar", "--skip-bad", "--json")
    assert (done.code, done.json["images"]) == (0, {"training": 2})
    arrays = {"images": np.zeros((3, 8, 8), np.uint8), "labels": np.array([0, 1, int(label[:18])])}
    np.savez("set.npz", **arrays)
    done = command("data", "check", "set.npz")
    assert done.code == 3 and "labels[2]" in done.err


@pytest.mark.parametrize(
    ("images", "labels", "what"),
    [
        (np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, -1]), "-1"),
        (np.full((4, 8, 8), np.nan, np.float32), np.array([0, 1, 0, 1]), "images[0, 0, 0] is nan"),
    ],
    ids=["label out of range", "NaN"],
)
def test_arrays_that_are_no_images_are_refused(pictures, command, images, labels, what):
    pictures("other")
    np.savez("set.npz", images=images, labels=labels)
    done = command("train", "--data", "set.npz", "--max-steps", "1", "--out", "r")
    assert done.code == 3
    assert "set.npz" in done.err and what in done.err
