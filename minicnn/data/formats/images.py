"""Image files: PNG, JPEG, WebP, GIF, BMP and PPM, decoded by Pillow with its other doors closed."""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from minicnn.data.formats.files import PathLike, damage, opened
from minicnn.errors import FormatError, OptionError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "decode",
    "decode_to",
    "header",
    "image_header",
    "open_image",
]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".pbm")
MAX_PIXELS = 64_000_000
# What tells how to turn an image, as chunks of a PNG begin.
_LATE = (b"eXIf", b"iTXtXML:com.adobe.xmp", b"zTXtRaw profile type exif", b"tEXtRaw profile type exif")
_MAY_HOLD_SEVERAL = ("PNG", "WEBP", "GIF")  # as a JPEG may: its first is the photograph
_ORIENTATION = 0x0112
_BLOCKS = 8  # most images are one, and two are alive while one is decoded
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


def open_image(path: PathLike, mode: str | None = None) -> Image.Image:
    """Read an image file.

    The file's EXIF orientation is applied: a photograph comes out as its viewer shows it. Transparency is
    dropped, palettes and CMYK become RGB, one bit and 16 bits per channel become 8.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG, WebP, GIF, BMP or PPM (also PGM, PBM) file.
    mode : {"L", "RGB"}, optional
        Convert to grey or colour. By default the image keeps being what it is of the two.

    Returns
    -------
    PIL.Image.Image
        Decoded, in mode ``"L"`` or ``"RGB"``.

    Raises
    ------
    FormatError
        If the file is of another format, damaged or cut off, has more than 64 million pixels or none, holds
        several images, as an animation does, or has floating point pixels.
    OptionError
        If ``mode`` is another one.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "dot.pgm")
    ...     _ = path.write_bytes(b"P5 2 1 255 " + bytes([0, 200]))
    ...     open_image(path).mode, open_image(path, "RGB").getpixel((1, 0))
    ('L', (200, 200, 200))
    """
    if mode not in (None, "L", "RGB"):
        raise OptionError(expected='a mode out of "L", "RGB" and None', got=repr(mode), op="open_image")
    with opened(path) as file:
        return decode(file, path, mode)


def decode(
    file: BinaryIO, path: PathLike, mode: str | None = None, least: tuple[int, int] | None = None
) -> Image.Image:
    """:func:`open_image` of an open file that errors call ``path``.

    Parameters
    ----------
    least : (int, int), optional
        Width and height that are asked for: a much larger JPEG may come at a half, a quarter or an eighth of
        its size, as long as it is twice as large as that; this is several times as fast.
    """
    from PIL import ImageOps

    image = _identify(file, path)
    with damage(path):
        if least is not None:
            side = 2 * max(least)  # the image may still be turned
            image.draft(None, (side, side))
        ImageOps.exif_transpose(image, in_place=True)
        return _to_eight_bits(image, path).convert(mode or ("L" if image.mode in _GREY else "RGB"))


def decode_to(file: BinaryIO, path: PathLike, image_shape: Sequence[int]) -> np.ndarray:
    """An open image file as bytes (H, W) or (H, W, 3): its middle, scaled so that the shorter side fits.

    Parameters
    ----------
    image_shape : (C, H, W)
    """
    channels, height, width = image_shape
    image = decode(file, path, "L" if channels == 1 else "RGB", (width, height))
    if image.size != (width, height):
        from PIL import Image, ImageOps

        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def image_header(path: PathLike) -> dict[str, Any]:
    """Format, mode, size and EXIF orientation of an image file, without decoding its pixels.

    Returns
    -------
    dict
        ``format``, ``mode`` (Pillow's), ``grey``, ``width``, ``height``, ``orientation`` (1 is upright).
        Width and height are those after the orientation is applied.

    Raises
    ------
    FormatError
        As for :func:`open_image`, as far as the header shows it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "dot.pgm")
    ...     _ = path.write_bytes(b"P5 2 1 255 " + bytes([0, 200]))
    ...     header = image_header(path)
    >>> header["format"], header["grey"], header["width"], header["height"]
    ('PPM', True, 2, 1)
    """
    with opened(path) as file:
        return header(file, path)


def header(file: BinaryIO, path: PathLike) -> dict[str, Any]:
    """:func:`image_header` of an open file that errors call ``path``."""
    image = _identify(file, path)
    with damage(path):  # the EXIF block has a parser of its own, and may come last
        orientation = _exif(image).get(_ORIENTATION, 1)
    # Orientations 5 to 8 are those that turn the image by 90 degrees.
    width, height = image.size if orientation not in (5, 6, 7, 8) else image.size[::-1]
    return {
        "format": image.format,
        "mode": image.mode,
        "grey": image.mode in _GREY,
        "width": width,
        "height": height,
        "orientation": orientation,
    }


@functools.cache
def _keep_memory() -> None:
    """Let Pillow keep the memory of images that are gone for those that come, if nobody has chosen how much.

    Fresh pages from the system take as long as decoding a photograph.
    """
    from PIL import Image

    if "PILLOW_BLOCKS_MAX" not in os.environ and not Image.core.get_blocks_max():
        Image.core.set_blocks_max(_BLOCKS)


def _identify(file: Any, path: PathLike) -> Image.Image:
    """The image, not decoded yet, its header checked."""
    from PIL import Image

    _keep_memory()
    with damage(path):
        if not file.read(1):
            raise FormatError("an empty file", path=path)
        file.seek(0)
        try:
            image = Image.open(file, formats=FORMATS)
            several = image.format in _MAY_HOLD_SEVERAL and getattr(image, "is_animated", False)
            if image.format == "PNG":
                _check_chunks(image)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise FormatError(f"more than {MAX_PIXELS} pixels", path=path) from error
        except Image.UnidentifiedImageError as error:
            text = f"not an image in one of the formats {', '.join(FORMATS)}"
            raise FormatError(text, path=path) from error
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise FormatError(f"{width} x {height} pixels, not 1 to {MAX_PIXELS}", path=path)
    if several:
        raise FormatError("an animation, or several images in one file: expected a single one", path=path)
    if image.mode == "F":
        raise FormatError("floating point pixels are not supported", path=path)
    return image


def _check_chunks(image: Any) -> None:
    """Hold the pixels of a PNG against their checksums, which Pillow passes over."""
    for kind, content, checksum in _late_chunks(image):
        if kind == b"IDAT" and zlib.crc32(content) != checksum:
            raise ValueError("wrong checksum of IDAT")


def _late_chunks(image: Any) -> Iterator[tuple[bytes, memoryview, int]]:
    """The chunks of a PNG from its pixels on: kind, kind with content, checksum."""
    place = image.fp.tell()
    image.fp.seek(image.tile[0].offset - 8)
    rest = memoryview(image.fp.read())
    image.fp.seek(place)
    at = 0
    while at < len(rest):
        length, kind = struct.unpack_from(">I4s", rest, at)
        end = at + 8 + length
        yield kind, rest[at + 4 : end], *struct.unpack_from(">I", rest, end)
        if kind == b"IEND":
            return
        at = end + 4


def _exif(image: Any) -> Any:
    """The EXIF block; for one behind the pixels of a PNG Pillow decodes them first, and only then."""
    from PIL import Image

    if image.format == "PNG" and not any(bytes(c[:30]).startswith(_LATE) for _, c, _ in _late_chunks(image)):
        return Image.Image.getexif(image)
    return image.getexif()


def _to_eight_bits(image: Image.Image, path: PathLike) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion would clip it."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise FormatError("grey values beyond 16 bits", path=path)
    return Image.fromarray((values >> 8).astype(np.uint8))
