"""The decoder: every kind of photo becomes upright 8-bit RGB, every damaged one is refused in one line."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_faceattr.errors import PhotoError
from keras_faceattr.faces import photos
from keras_faceattr.faces.photos import decode_photo, read_photo

HEIGHT, WIDTH = 40, 64


def smooth_photo() -> np.ndarray:
    """(40, 64, 3) smooth RGB without any symmetry, so that JPEG changes little and a turned photo is noticed."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [40 + 2 * x + y, 220 - 2 * x, 30 + 4 * y]
    return np.stack(channels, axis=-1).astype(np.uint8)


PHOTO = smooth_photo()


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(**options) -> bytes:
    return encoded(Image.fromarray(PHOTO), "JPEG", quality=95, **options)


def noisy(kind: str, **options) -> bytes:
    """A photo whose pixels fill the file, so that a cut at any share cuts pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind, **options)


def assert_close(pixels: np.ndarray, expected: np.ndarray, mean: float) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() <= mean


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_rgb_is_read_exactly_in_rgb_order(kind: str) -> None:
    np.testing.assert_array_equal(decode_photo(encoded(Image.fromarray(PHOTO), kind), "photo"), PHOTO)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_read_nearly_exactly(options: dict) -> None:
    assert_close(decode_photo(jpeg(**options), "photo"), PHOTO, 2.0)


def test_lossless_webp_is_read_exactly() -> None:
    data = encoded(Image.fromarray(PHOTO), "WEBP", lossless=True)
    np.testing.assert_array_equal(decode_photo(data, "photo"), PHOTO)


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    data = encoded(Image.fromarray(PHOTO[..., 0]), kind)
    np.testing.assert_array_equal(decode_photo(data, "photo"), np.repeat(PHOTO[..., :1], 3, axis=-1))


def test_16_bit_grey_and_rgb_keep_their_high_byte() -> None:
    # v · 257 is the 16-bit value whose 8-bit value is v.
    grey = encoded(Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), "PNG")
    np.testing.assert_array_equal(decode_photo(grey, "photo"), np.repeat(PHOTO[..., :1], 3, axis=-1))
    written, rgb = cv2.imencode(".png", PHOTO[..., ::-1].astype(np.uint16) * 257)
    assert written
    np.testing.assert_array_equal(decode_photo(rgb.tobytes(), "photo"), PHOTO)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_transparency_is_dropped_and_colours_stay(kind: str, options: dict) -> None:
    alpha = (np.arange(HEIGHT * WIDTH) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH, 1)
    data = encoded(Image.fromarray(np.concatenate([PHOTO, alpha], axis=-1)), kind, **options)
    np.testing.assert_array_equal(decode_photo(data, "photo"), PHOTO)


def test_palette_png_becomes_rgb() -> None:
    four = np.where(PHOTO > 127, 255, 0).astype(np.uint8)
    data = encoded(Image.fromarray(four).quantize(8), "PNG")
    np.testing.assert_array_equal(decode_photo(data, "photo"), four)


def test_cmyk_jpeg_becomes_rgb() -> None:
    data = encoded(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert_close(decode_photo(data, "photo"), PHOTO, 4.0)


# Undoes what each EXIF orientation says about the stored pixels.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


LOSSLESS_AVIF = {"quality": 100, "subsampling": "4:4:4"}


def with_exif_prefix(webp: bytes) -> bytes:
    """As older writers leave it: the EXIF chunk begins as that of a JPEG does."""
    place = webp.index(b"EXIF")
    (length,) = struct.unpack_from("<I", webp, place + 4)
    content = b"Exif\0\0" + webp[place + 8 : place + 8 + length]
    chunk = b"EXIF" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    body = webp[8:place] + chunk + webp[place + 8 + length + length % 2 :]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP with a prefix", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", LOSSLESS_AVIF),
    ],
)
def test_a_photo_is_turned_upright_by_its_exif_orientation(orientation: int, kind: str, options: dict) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encoded(Image.fromarray(PHOTO), kind.split()[0], exif=exif, **options)
    if "prefix" in kind:
        data = with_exif_prefix(data)
        assert b"Exif\0\0" in data
    assert_close(decode_photo(data, "photo"), UPRIGHT[orientation](PHOTO), 2.0)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(value: int) -> None:
    exif = Image.Exif()
    exif[0x112] = value
    assert_close(decode_photo(jpeg(exif=exif), "photo"), PHOTO, 2.0)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True})])
def test_the_first_frame_of_an_animation_counts(kind: str, options: dict) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ((200, 40, 10), (0, 0, 255), (0, 255, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert_close(decode_photo(data, "photo"), np.full((HEIGHT, WIDTH, 3), (200, 40, 10)), 0.0)


CUTS = {"nothing but the head": 0.05, "half": 0.5, "90 %": 0.9, "all but 10 bytes": -10, "all but 4 bytes": -4}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {}), ("PPM", {})],
    ids=["jpeg", "progressive", "png", "webp", "gif", "bmp", "ppm"],
)
def test_a_truncated_photo_is_refused_wherever_it_is_cut(tmp_path: Path, kind: str, options: dict, cut: str) -> None:
    data = noisy(kind, **options)
    length = int(len(data) * CUTS[cut]) if CUTS[cut] > 0 else len(data) + int(CUTS[cut])
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[:length])
    with pytest.raises(PhotoError) as error:
        read_photo(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "PPM"])
def test_a_photo_that_lacks_its_last_byte_is_refused(kind: str) -> None:
    with pytest.raises(PhotoError):
        decode_photo(noisy(kind)[:-1], "photo")


def test_the_end_of_an_embedded_thumbnail_does_not_pass_for_the_end_of_the_photo() -> None:
    thumbnail = encoded(Image.fromarray(PHOTO[:16, :16].copy()), "JPEG")
    exif = b"Exif\0\0" + thumbnail
    data = jpeg()
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert_close(decode_photo(whole, "photo"), PHOTO, 2.0)
    with pytest.raises(PhotoError):
        decode_photo(whole[: -len(data) // 3], "photo")


def test_a_png_with_damaged_pixels_is_refused() -> None:
    data = bytearray(noisy("PNG"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    with pytest.raises(PhotoError, match="photo: cannot be decoded as png"):
        decode_photo(bytes(data), "photo")


def test_a_png_whose_chunk_claims_gigabytes_takes_no_such_memory() -> None:
    data = bytearray(noisy("PNG"))
    assert data[37:41] == b"IDAT"
    data[33] = 0x7F
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PhotoError, match="photo: cannot be decoded as png: it is damaged or cut off"):
        decode_photo(bytes(data), "photo")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_a_motion_photo_with_a_film_behind_the_jpeg_is_read() -> None:
    assert_close(decode_photo(jpeg() + bytes(10_000), "photo"), PHOTO, 2.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"This is text, whatever its name says.\n", "not a photo"),
        (b"<html><body>404 Not Found</body></html>", "not a photo"),
        (b"\xff\xd8\xff", "cannot be decoded as jpeg: it is damaged or cut off"),
        (b"GIF89a and then text", "pixels are too many|cannot be decoded"),
        (b"BM and then text that is longer than the head of a bitmap", "bytes cannot hold them"),
        (b"P6 and then text", "cannot be decoded"),
        (bytes(100), "not a photo"),
    ],
)
def test_what_is_no_photo_is_refused_whatever_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=message) as error:
        read_photo(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    for name in ("none.jpg", "folder.jpg"):
        with pytest.raises(PhotoError, match=f"{name}: ") as error:
            read_photo(tmp_path / name)
        assert "\n" not in str(error.value)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge(kind: str) -> bytes:
    """A small file that declares 60,000 × 60,000 pixels."""
    if kind == "png":
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
        pixels = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        return b"\x89PNG\r\n\x1a\n" + head + pixels + png_chunk(b"IEND", b"")
    if kind == "jpeg":
        # A comment, 0xFF fill bytes and a table stand before the frame header, as they may.
        before = b"\xff\xd8\xff\xfe\x00\x04ab\xff\xff\xc4\x00\x03\x00"
        frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 60_000, 60_000, 3) + b"\1\x22\0\2\x11\1\3\x11\1"
        return before + frame + b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0" + bytes(100) + b"\xff\xd9"
    if kind == "gif":
        frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\1\0\0"
        return b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + frame + b";"
    if kind == "ppm":
        return b"P6 60000 60000 255\n" + bytes(100)
    if kind == "tiff":
        # Width, height, 8 bits, no compression, black is 0, one strip.
        tags = ((256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 60_000), (279, 100))
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(100)
    head = struct.pack("<IiiHHIIiiII", 40, 60_000, -60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + head + bytes(100)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "ppm", "tiff"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(kind: str) -> None:
    start = time.perf_counter()
    # Formats that do not compress cannot hold so many pixels in so few bytes.
    reason = "its header says {}, and its 1.. bytes cannot hold them" if kind in ("bmp", "ppm") else "{} are too many"
    with pytest.raises(PhotoError, match="bomb: " + reason.format("60000 × 60000 pixels")):
        decode_photo(huge(kind), "bomb")
    assert time.perf_counter() - start < 1.0


def test_a_webp_of_the_largest_sides_that_the_format_has_is_refused_before_it_is_decoded() -> None:
    # 14 bits of width − 1 and of height − 1.
    picture = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(101)
    chunk = b"VP8L" + struct.pack("<I", len(picture)) + picture
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    with pytest.raises(PhotoError, match="bomb: 16383 × 16383 pixels are too many"):
        decode_photo(data, "bomb")


@pytest.mark.filterwarnings("ignore:::PIL.TiffImagePlugin")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF"])
def test_a_damaged_header_is_refused_in_one_line_or_does_not_matter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 1_000_000)
    whole = noisy(kind)
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, 60, 3):
            data[place] = rng.integers(0, 256)
        try:
            pixels = decode_photo(bytes(data), "photo")
        except PhotoError as error:
            assert str(error).startswith("photo: ") and "\n" not in str(error)
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3
