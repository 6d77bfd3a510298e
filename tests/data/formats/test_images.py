"""Image files: what opens, how it is turned into grey or colour, and what is refused."""

import io
import os
import runpy
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.data.formats.images import FORMATS, image_header, open_image
from minicnn.errors import FormatError, OptionError

Image = pytest.importorskip("PIL.Image")

FILES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "files.py")))


def picture(mode="RGB", size=(7, 5)):
    levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def saved(path, image, kind, **options):
    path.write_bytes(encoded(image, kind, **options))
    return path


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("PNG", "L", "L"),
        ("PNG", "1", "L"),
        ("PNG", "LA", "L"),
        ("PNG", "RGB", "RGB"),
        ("PNG", "RGBA", "RGB"),
        ("PNG", "P", "RGB"),
        ("JPEG", "L", "L"),
        ("JPEG", "RGB", "RGB"),
        ("JPEG", "CMYK", "RGB"),
        ("WEBP", "RGB", "RGB"),
        ("WEBP", "RGBA", "RGB"),
        ("GIF", "P", "RGB"),
        ("BMP", "RGB", "RGB"),
        ("BMP", "L", "L"),
        ("PPM", "RGB", "RGB"),
        ("PPM", "L", "L"),
        ("PPM", "1", "L"),
    ],
)
def test_every_mode_becomes_grey_or_colour(tmp_path, kind, mode, expected):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = saved(tmp_path / "a", picture(mode), kind, **options)
    image = open_image(path)
    assert (image.mode, image.size) == (expected, (7, 5))
    assert [open_image(path, wanted).mode for wanted in ("L", "RGB")] == ["L", "RGB"]
    if kind != "JPEG" and mode != "P":
        assert np.array_equal(np.asarray(image), np.asarray(picture(mode).convert(expected)))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    path = saved(tmp_path / "a.png", Image.fromarray(levels), "PNG")
    assert np.asarray(open_image(path)).tolist() == [[0, 0, 1, 128, 255]]
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535 " + bytes([1, 0, 255, 255]))
    assert np.asarray(open_image(tmp_path / "a.pgm")).tolist() == [[1, 255]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_exif_orientation_is_applied(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    image = picture(size=(32, 16))
    path = saved(tmp_path / "a", image, kind, exif=exif)
    turned = open_image(path)
    assert turned.size == (16, 32)
    assert (image_header(path)["width"], image_header(path)["height"]) == (16, 32)
    if kind == "PNG":
        assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(image), -1))


def test_a_header_says_what_the_image_will_be(tmp_path):
    path = saved(tmp_path / "a.png", picture("LA"), "PNG")
    assert image_header(path) == {
        "format": "PNG", "mode": "LA", "grey": True, "width": 7, "height": 5, "orientation": 1,
    }  # fmt: skip


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width, height):
    """A PNG whose header claims a size that its few pixels do not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


BAD = {
    "empty": (b"", "an empty file"),
    "text": (b"hello" * 20, "not an image in one of the formats PNG, JPEG, WEBP, GIF, BMP, PPM"),
    "webp": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(40), "damaged or cut off"),
    "icon": (encoded(picture(), "ICO"), "not an image"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image"),
    "pixels": (png_claiming(8001, 8000), "8001 x 8000 pixels, not 1 to 64000000"),
    "many pixels": (png_claiming(10_000, 10_000), "pixels"),
    "bomb": (png_claiming(100_000, 100_000), "more than 64000000 pixels"),
    "lies": (png_claiming(4000, 4000), "damaged or cut off"),
    "float": (b"Pf\n2 1\n-1.0\n" + bytes(8), "floating point pixels"),
    **{
        f"animated {kind}": (
            encoded(picture(), kind, save_all=True, append_images=[picture("L").convert("RGB")]),
            "several images in one file",
        )
        for kind in ("PNG", "WEBP", "GIF")
    },
    "truncated png": (encoded(picture(), "PNG")[:-30], "damaged or cut off"),
    "truncated jpeg": (encoded(picture(size=(64, 64)), "JPEG")[:-200], "damaged or cut off"),
    "truncated webp": (encoded(picture(size=(64, 64)), "WEBP")[:-200], "damaged or cut off"),
    "truncated gif": (encoded(picture("P", (64, 64)), "GIF")[:-200], "damaged or cut off"),
    "tiff": (encoded(picture(), "TIFF"), "not an image"),
    "truncated bmp": (encoded(picture(), "BMP")[:-9], "damaged or cut off"),
    "truncated ppm": (encoded(picture(), "PPM")[:-9], "damaged or cut off"),
}


@pytest.mark.parametrize(("content", "what"), BAD.values(), ids=BAD)
def test_bad_files_are_refused(tmp_path, content, what):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a program: a warning alone must not be what refuses it
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(FormatError, match=what) as caught:
            open_image(path)
    assert caught.value.path == str(path)


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", picture(), "PNG")

    def exhausted(self):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", exhausted)
    with pytest.raises(MemoryError):
        open_image(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_give_an_image_or_a_format_error(tmp_path, rng, kind):
    exif = Image.Exif()
    exif[0x0112] = 3
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    content = encoded(picture(), kind, **options)
    refused = FILES.survives(open_image, tmp_path / "damaged", content, rng, mutations=150)
    refused += FILES.survives(image_header, tmp_path / "damaged", content, rng, mutations=50)
    assert refused > 50


def test_other_modes_and_paths_are_refused(tmp_path):
    with pytest.raises(OptionError, match="CMYK"):
        open_image(tmp_path, "CMYK")
    with pytest.raises(FormatError, match="no such file"):
        open_image(tmp_path / "missing.png")
    with pytest.raises(FormatError, match="not a regular file"):
        open_image(tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by way of /proc")
def test_files_are_closed(tmp_path):
    path = saved(tmp_path / "a.png", picture(), "PNG")
    (tmp_path / "bad").write_bytes(b"bad")
    before = len(os.listdir("/proc/self/fd"))
    images = [open_image(path) for _ in range(5)]
    for _ in range(5):
        with pytest.raises(FormatError):
            open_image(tmp_path / "bad")
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(images) == 5


def chunks(content):
    """Where the chunks of a PNG begin, with their kinds and lengths."""
    at = 8
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield at, kind, length
        at += 12 + length


@pytest.mark.parametrize("read", [open_image, image_header])
def test_wrong_checksums_of_pixels_are_not_passed_over(tmp_path, read):
    content = encoded(picture(size=(70, 50)), "PNG")
    [(at, length)] = [(at, length) for at, kind, length in chunks(content) if kind == b"IDAT"]
    middle = at + 8 + length // 2
    changed = {
        "sum": content[: at + 8 + length] + b"\0\0\0\0" + content[at + 12 + length :],
        "pixels": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }
    for name, damaged in changed.items():
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="damaged or cut off: .* checksum of IDAT"):
            read(path)


@pytest.mark.parametrize("late", [False, True])
def test_a_header_is_read_without_the_pixels_and_finds_how_to_turn_the_image(tmp_path, monkeypatch, late):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(picture(), "PNG", exif=exif)
    if late:  # which is allowed
        [(at, length)] = [(at, length) for at, kind, length in chunks(content) if kind == b"eXIf"]
        block = content[at : at + 12 + length]
        content = content.replace(block, b"")[:-12] + block + content[-12:]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert open_image(path).size == (5, 7)
    if not late:
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", None)
    found = image_header(path)
    assert (found["width"], found["height"], found["orientation"]) == (5, 7, 6)
    path.write_bytes(encoded(picture(), "PNG"))
    assert image_header(path)["orientation"] == 1


@pytest.mark.parametrize("chosen, kept", [(None, "8"), ("3", "3"), ("0", "0")])
def test_pillow_keeps_memory_unless_somebody_chose_how_much(tmp_path, chosen, kept):
    (tmp_path / "dot.pgm").write_bytes(b"P5 2 1 255 12")
    code = (
        "from minicnn.data.formats.images import open_image; from PIL import Image; "
        "open_image('dot.pgm'); print(Image.core.get_blocks_max())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PILLOW_BLOCKS_MAX"}
    environment |= {} if chosen is None else {"PILLOW_BLOCKS_MAX": chosen}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == kept, done.stderr
