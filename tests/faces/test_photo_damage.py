"""Damaged photos of every format are refused, whole ones with irregular headers are read, and neither by luck."""

from __future__ import annotations

import io
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import Image

from keras_faceattr.errors import PhotoError, ResourceError
from keras_faceattr.faces.photos import decode_photo, read_photo

EOI = b"\xff\xd9"


def face_like(side: int = 160) -> np.ndarray:
    """(side, side, 3) a smooth picture with some noise, so that every JPEG block holds a few coefficients."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:side, 0:side]
    smooth = np.stack([x + y // 2, 200 - x // 2, 40 + y], axis=-1) % 256
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


PIXELS = face_like()


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def cmyk_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("CMYK").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


JPEGS = {
    "baseline": encoded("JPEG", quality=85),
    "optimised": encoded("JPEG", quality=85, optimize=True),
    "progressive": encoded("JPEG", quality=85, progressive=True),
    "with restarts": encoded("JPEG", quality=85, restart_marker_blocks=4),
    "grey": encoded("JPEG", PIXELS[..., 0], quality=85),
    "cmyk": cmyk_jpeg(),
}


def half(data: bytes) -> int:
    """The middle of a JPEG's scans."""
    return (data.index(b"\xff\xda") + len(data)) // 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half with an end": lambda b: b[: half(b)] + EOI,
    "half": lambda b: b[: half(b)],
    "zeros in the second half": lambda b: b[: half(b)] + bytes(len(b) - half(b)),
    "zeros before the end": lambda b: b[: half(b)] + bytes(len(b) - half(b) - 2) + EOI,
    "a second photo behind a cut one": lambda b: b[: half(b)] + b,
    "half with an end and a film behind": lambda b: b[: half(b)] + EOI + os.urandom(3000),
    "a hole": lambda b: b[: half(b)] + b[half(b) + 400 :],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", JPEGS)
def test_half_a_jpeg_does_not_count_as_whole(kind: str, damage: str) -> None:
    with pytest.raises(PhotoError, match="^photo: cannot be decoded as jpeg: it is damaged or cut off"):
        decode_photo(DAMAGES[damage](JPEGS[kind]), "photo")


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused() -> None:
    data = JPEGS["progressive"]
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    tables = [match.start() for match in re.finditer(rb"\xff\xc4", data)]
    assert len(scans) > 5
    for scan in scans[1:]:
        # The tables of a scan stand before it.
        cut = min([table for table in tables if max(s for s in scans if s < scan) < table < scan] or [scan])
        with pytest.raises(PhotoError, match="scans are missing"):
            decode_photo(data[:cut] + EOI, "photo")


def test_a_hole_in_a_jpeg_with_restarts_is_noticed_wherever_it_lies() -> None:
    data = JPEGS["with restarts"]
    begin = data.index(b"\xff\xda") + 20
    for place in range(begin, len(data) - 700, (len(data) - begin) // 40):
        with pytest.raises(PhotoError):
            decode_photo(data[:place] + data[place + 400 :], "photo")


def test_surplus_bytes_between_the_scans_of_a_progressive_jpeg_are_lost_pixels() -> None:
    data = JPEGS["progressive"]
    first = data.index(b"\xff\xda")
    begin = first + 2 + int.from_bytes(data[first + 2 : first + 4])
    end = data.index(b"\xff\xc4", begin)
    middle = (begin + end) // 2
    with pytest.raises(PhotoError, match="extraneous bytes"):
        decode_photo(data[:middle] + bytes(end - middle) + data[end:], "photo")


def segments(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG's start, and all behind its JFIF segment."""
    end = 4 + int.from_bytes(data[4:6])
    return data[:end], data[end:]


def with_bytes_between_segments(data: bytes) -> bytes:
    start, rest = segments(data)
    return start + b"\x00\x01\x02 junk" + rest


def with_fill_bytes(data: bytes) -> bytes:
    start, rest = segments(data)
    return start + b"\xff" * 7 + rest


def with_a_marker_without_length(data: bytes) -> bytes:
    start, rest = segments(data)
    return start + b"\xff\x01" + rest


def with_an_unknown_jfif_version(data: bytes) -> bytes:
    return data.replace(b"JFIF\0\x01", b"JFIF\0\x07", 1)


def with_an_unknown_adobe_transform(data: bytes) -> bytes:
    start, rest = segments(data)
    return start + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x09" + rest


def with_odd_scan_parameters(data: bytes) -> bytes:
    scan = data.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4])
    return data[: end - 3] + b"\0\0\0" + data[end:]


IRREGULAR = [
    with_bytes_between_segments,
    with_fill_bytes,
    with_a_marker_without_length,
    with_an_unknown_jfif_version,
    with_an_unknown_adobe_transform,
    with_odd_scan_parameters,
]


@pytest.mark.parametrize("change", IRREGULAR)
def test_a_whole_jpeg_with_an_irregular_header_is_read_and_half_of_it_is_not(
    change: Callable[[bytes], bytes],
) -> None:
    whole = JPEGS["baseline"]
    data = change(whole)
    assert data != whole
    np.testing.assert_array_equal(decode_photo(data, "photo"), decode_photo(whole, "photo"))
    for damage in DAMAGES.values():
        with pytest.raises(PhotoError, match="damaged or cut off"):
            decode_photo(damage(data), "photo")


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("change", [lambda b: b[:-2], lambda b: b[:-1], lambda b: b[:-2] + bytes(9) + EOI])
def test_a_jpeg_whose_pixels_are_all_there_is_read_without_an_end_or_with_padding(
    kind: str, change: Callable[[bytes], bytes]
) -> None:
    np.testing.assert_array_equal(decode_photo(change(JPEGS[kind]), "p"), decode_photo(JPEGS[kind], "p"))


def test_whole_jpegs_have_the_pixels_that_opencv_gives_them() -> None:
    for data in JPEGS.values():
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(decode_photo(data, "photo"), expected)


def damaged_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + np.random.default_rng(1).bytes(60) + data[middle + 60 :]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("AVIF", {}),
        ("PNG", {}),
        ("GIF", {}),
    ],
)
def test_damage_in_the_middle_is_noticed_where_the_format_can_tell(kind: str, options: dict) -> None:
    data = encoded(kind, **options)
    assert decode_photo(data, "photo").shape == PIXELS.shape
    with pytest.raises(PhotoError, match="it is damaged or cut off"):
        decode_photo(damaged_middle(data), "photo")


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_photo_of_a_rarer_format_is_refused(kind: str, share: float) -> None:
    data = encoded(kind)
    with pytest.raises(PhotoError, match="it is damaged or cut off"):
        decode_photo(data[: int(share * len(data))], "photo")


def test_a_png_that_lacks_pixels_behind_valid_checksums_is_refused() -> None:
    data = encoded("PNG")
    assert data[37:41] == b"IDAT"
    (length,) = struct.unpack(">I", data[33:37])
    body = b"IDAT" + data[41 : 41 + length // 2]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(PhotoError, match="it is damaged or cut off"):
        decode_photo(data[:33] + chunk + data[45 + length :], "photo")


def test_lossless_formats_of_other_suffixes_are_read_exactly() -> None:
    for kind, options in (("JPEG2000", {"irreversible": False}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})):
        np.testing.assert_array_equal(decode_photo(encoded(kind, **options), "photo"), PIXELS)


def test_a_whole_photo_of_a_kind_that_opencv_does_not_know_is_not_only_called_damaged() -> None:
    # The short header of OS/2 2.0.
    head = struct.pack("<IIIHH", 16, 32, 32, 1, 24)
    with pytest.raises(PhotoError, match="damaged or cut off, or of a rare kind; save it again as PNG"):
        decode_photo(os2_bitmap(head), "photo")


def test_avif_is_read() -> None:
    pixels = decode_photo(encoded("AVIF", quality=95, subsampling="4:4:4"), "photo").astype(int)
    assert np.abs(pixels - PIXELS).mean() < 3


def test_heic_is_read_upright_or_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif: pip install keras-faceattr[heic]")
    exif = Image.Exif()
    exif[0x112] = 6
    buffer = io.BytesIO()
    picture = heif.from_pillow(Image.fromarray(PIXELS[:120]))
    picture[0].info["exif"] = exif.tobytes()
    picture.save(buffer, quality=95, chroma=444)
    pixels = decode_photo(buffer.getvalue(), "photo.jpg").astype(int)
    assert np.abs(pixels - np.rot90(PIXELS[:120], -1)).mean() < 3
    with pytest.raises(PhotoError, match="photo: cannot be decoded as heic: it is damaged or cut off"):
        decode_photo(buffer.getvalue()[:-2000], "photo")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PhotoError, match=re.escape("pip install keras-faceattr[heic]")):
        decode_photo(buffer.getvalue(), "photo.jpg")


@pytest.mark.parametrize(("kind", "line"), [("AVIF", "AVIF"), ("GIF", "GIF"), ("JPEG2000", "JPEG 2000")])
def test_a_format_that_is_not_installed_is_not_called_damaged(
    kind: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, built = encoded(kind), cv2.getBuildInformation()
    assert re.search(rf"{line}: +\S", built)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    for without in (re.sub(rf"{line}: +\S.*", f"{line}:    NO", built), re.sub(rf".*{line}: .*", "", built)):
        monkeypatch.setattr(cv2, "getBuildInformation", lambda text=without: text)
        with pytest.raises(PhotoError, match="OpenCV or Pillow is installed without .*; install newer ones"):
            decode_photo(data, "photo")


def test_exif_data_behind_the_frame_header_and_of_either_byte_order_counts() -> None:
    data = JPEGS["baseline"]
    frame = data.index(b"\xff\xc0")
    behind = frame + 2 + int.from_bytes(data[frame + 2 : frame + 4])
    for order, mark in (("<", b"II"), (">", b"MM")):
        tags = mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
        segment = b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags
        for place in (2, behind):
            pixels = decode_photo(data[:place] + segment + data[place:], "photo")
            np.testing.assert_array_equal(pixels, np.rot90(decode_photo(data, "photo"), -1))


@pytest.mark.parametrize(("maximum", "layout"), [(1, "u1"), (15, "u1"), (100, "u1"), (255, "u1"), (1000, ">u2")])
@pytest.mark.parametrize("colours", [1, 3])
def test_pnm_of_any_maximum_fills_the_range(maximum: int, layout: str, colours: int) -> None:
    values = np.linspace(0, maximum, 12).round().reshape(3, 4, 1).repeat(colours, axis=2)
    head = b"P%d\n# a comment\n4 3\n%d\n" % (5 if colours == 1 else 6, maximum)
    pixels = decode_photo(head + values.astype(layout).tobytes(), "photo")
    assert pixels.shape == (3, 4, 3)
    np.testing.assert_allclose(pixels, np.broadcast_to(values * 255 / maximum, (3, 4, 3)), atol=0.51)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P1\n3 1\n1 0 1\n", [0, 255, 0]),
        (b"P2\n3 1\n15\n0 7 15\n", [0, 119, 255]),
        (b"P4\n3 1\n\xa0", [0, 255, 0]),
    ],
)
def test_plain_and_two_coloured_pnm_are_read(data: bytes, expected: list[int]) -> None:
    assert decode_photo(data, "photo")[0, :, 1].tolist() == expected


def os2_bitmap(head: bytes) -> bytes:
    pixels = PIXELS[:32, :32]
    begin = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", begin + 3072, 0, 0, begin) + head + pixels[::-1, :, ::-1].tobytes()


def test_a_bitmap_of_os2_is_read_and_one_with_an_impossible_size_is_not_called_too_large() -> None:
    for head in (struct.pack("<IHHHH", 12, 32, 32, 1, 24), struct.pack("<IIIHH", 64, 32, 32, 1, 24) + bytes(48)):
        np.testing.assert_array_equal(decode_photo(os2_bitmap(head), "photo"), PIXELS[:32, :32])
    # The fields of the small header in one that calls itself the large one: 32 × 32 as one number.
    mixed = struct.pack("<IHHHH", 40, 32, 32, 1, 24) + bytes(28)
    with pytest.raises(PhotoError, match="its header says 2097184 × 1572865 pixels, and its .* bytes cannot hold them"):
        decode_photo(os2_bitmap(mixed), "photo")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "AVIF", "JPEG2000"])
def test_the_limits_of_pillow_do_not_decide(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_photo(encoded(kind), "photo").shape == PIXELS.shape


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "PPM", "GIF", "AVIF", "JPEG2000"])
def test_our_own_limit_holds_whatever_pillow_allows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr("keras_faceattr.faces.photos.MAX_PIXELS", 160 * 160 - 1)
    with pytest.raises(PhotoError, match="photo: 160 × 160 pixels are too many"):
        decode_photo(encoded(kind), "photo")


LIMITED = """
import resource, sys
from pathlib import Path
from keras_faceattr.errors import FaceAttrError
from keras_faceattr.faces.photos import read_photo
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 16_000_000,) * 2)
for path in sys.argv[1:]:
    try:
        read_photo(Path(path))
    except FaceAttrError as error:
        print(type(error).__name__, error)
"""


def test_a_good_photo_for_which_memory_is_short_is_not_called_damaged(tmp_path: Path) -> None:
    flat = np.full((2400, 2400, 3), 90, np.uint8)
    paths = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "PPM"):
        paths.append(tmp_path / f"{kind}.jpg")
        paths[-1].write_bytes(encoded(kind, flat))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)],
        capture_output=True, text=True, check=True, env={**os.environ, "OPENCV_LOG_LEVEL": "OFF"},
    )  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ResourceError"] * 5, done.stdout
    assert "out of memory; free some or allow more, and run it again" in done.stdout


def test_too_many_open_files_say_nothing_of_a_photo(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded("PNG"))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(ResourceError, match="photo.png: Too many open files"):
            read_photo(tmp_path / "photo.png")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(PhotoError, match=f"{name}: no regular file"):
            read_photo(tmp_path / name)
