"""Faces are found where they are, as the package `mtcnn` finds them, in photos of every size, without TensorFlow."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.data.synthetic import draw_scene, synthetic_photo
from keras_faceattr.errors import ConfigError, DetectionError
from keras_faceattr.faces import nets
from keras_faceattr.faces.boxes import overlaps
from keras_faceattr.faces.detector import Detector, DetectorPool, FixedDetector, reduction, windows
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.found import Faces
from keras_faceattr.faces.nets import Fixed, net_files
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.faces.pyramid import Layout, barrier, draw_pyramid, empty_canvas, plan_layout

SCENES = [
    (160, 160, 1), (181, 243, 2), (240, 714, 3), (333, 201, 1), (301, 299, 2), (57, 63, 2), (96, 255, 3), (401, 640, 3),
    (40, 40, 1), (200, 421, 2), (479, 300, 1), (128, 131, 1), (901, 1203, 2),
]  # fmt: skip
"""Height, width and number of faces."""
MIRRORED_POINTS = [1, 0, 2, 4, 3]

Oracle = Callable[[np.ndarray], Faces]


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    mtcnn = pytest.importorskip("mtcnn").MTCNN()

    def detect(photo: np.ndarray) -> Faces:
        found = mtcnn.detect_faces(photo, threshold_onet=0.7, postprocess=False, output_type="numpy", box_format="xyxy")
        rows = np.asarray(found, np.float64).reshape(-1, 16)
        return Faces(rows[:, 1:5], rows[:, 5], np.stack([rows[:, 6:11], rows[:, 11:16]], axis=-1))

    return detect


def scene(number: int, height: int, width: int, faces: int) -> tuple[np.ndarray, np.ndarray]:
    return draw_scene(7, number, height, width, faces)


def assert_same(first: Faces, second: Faces) -> None:
    for name in ("boxes", "scores", "points"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_every_face_of_a_scene_is_found_once_with_its_five_points(detector: Detector) -> None:
    errors = []
    for number in range(30):
        height, width, count = SCENES[number % 5]
        photo, landmarks = scene(number, height, width, count)
        faces = detector.detect(photo)
        assert len(faces) == count
        distances = np.linalg.norm(faces.points[:, None] - landmarks[None], axis=-1)
        nearest = distances.mean(axis=-1).argmin(axis=0)
        assert sorted(nearest) == list(range(count))
        between_eyes = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1, keepdims=True)
        errors.append(distances[nearest, range(count)] / between_eyes)
        middles = landmarks.mean(axis=1)
        boxes = faces.boxes[nearest]
        assert ((boxes[:, :2] < middles) & (middles < boxes[:, 2:])).all()
    all_errors = np.concatenate(errors)
    assert all_errors.mean(axis=1).max() < 0.2
    assert np.median(all_errors) < 0.06


def test_drawn_portraits_are_found(detector: Detector) -> None:
    counts = [len(detector.detect(synthetic_photo(4, index, 128)[0])) for index in range(100)]
    assert sum(count > 0 for count in counts) >= 95
    assert max(counts) == 1


def test_faces_are_given_best_first_in_the_documented_shapes(detector: Detector) -> None:
    faces = detector.detect(scene(2, 240, 714, 3)[0])
    assert (faces.boxes.shape, faces.scores.shape, faces.points.shape) == ((3, 4), (3,), (3, 5, 2))
    assert {faces.boxes.dtype, faces.scores.dtype, faces.points.dtype} == {np.dtype(np.float32)}
    assert (np.diff(faces.scores) <= 0).all()
    assert ((faces.scores > 0.7) & (faces.scores <= 1)).all()
    left_eye, right_eye, nose, left_mouth, right_mouth = faces.points.transpose(1, 2, 0)
    assert (left_eye[0] < right_eye[0]).all()
    assert (left_mouth[0] < right_mouth[0]).all()
    assert (np.maximum(left_eye[1], right_eye[1]) < nose[1]).all()
    assert (nose[1] < np.minimum(left_mouth[1], right_mouth[1])).all()


def assert_alike(ours: Faces, theirs: Faces) -> None:
    assert len(ours) == len(theirs)
    if not len(theirs):
        return
    shares = overlaps(theirs.boxes, ours.boxes)
    order = shares.argmax(axis=1)
    assert sorted(order) == list(range(len(ours)))
    assert shares.max(axis=1).min() >= 0.99
    np.testing.assert_allclose(ours.points[order], theirs.points, atol=0.1)
    np.testing.assert_allclose(ours.scores[order], theirs.scores, atol=1e-3)


@pytest.mark.parametrize(("number", "shape"), list(enumerate(SCENES)))
def test_the_mtcnn_package_finds_the_same(
    detector: Detector, oracle: Oracle, number: int, shape: tuple[int, int, int]
) -> None:
    photo, _ = scene(number, *shape)
    assert_alike(detector.detect(photo), oracle(photo))


def test_the_mtcnn_package_finds_the_same_faces_at_the_border(detector: Detector, oracle: Oracle) -> None:
    beyond = 0
    for number in range(8):
        photo, (points,) = draw_scene(13, number, 240, 240)
        left, top = (points.min(axis=0) - 6).astype(int)
        right, bottom = (points.max(axis=0) + 7).astype(int)
        for part in (photo[top:, left:], photo[:bottom, :right]):
            part = np.ascontiguousarray(part)
            faces = detector.detect(part)
            assert_alike(faces, oracle(part))
            outside = (faces.boxes < 0) | (faces.boxes > [*part.shape[1::-1]] * 2)
            beyond += int(outside.any(axis=1).sum())
    assert beyond >= 4


@pytest.mark.realdata
def test_the_mtcnn_package_finds_the_same_in_real_photos(detector: Detector, oracle: Oracle) -> None:
    data = os.environ.get("KERAS_FACEATTR_DATA")
    if not data:
        pytest.skip("KERAS_FACEATTR_DATA is not set: no real photos here")
    matched, errors, extra = [], [], 0
    for folder in ("scut-fbp5500", "utkface", "celeba", "lfw"):
        paths = sorted(path for path in (Path(data) / folder).rglob("*") if path.suffix.lower() in (".jpg", ".png"))
        for path in random.Random(folder).sample(paths, 8):
            photo = read_photo(path)
            ours, theirs = detector.detect(photo), oracle(photo)
            extra += max(0, len(ours) - len(theirs))
            for box, points in zip(theirs.boxes, theirs.points, strict=True):
                shares = overlaps(box[None], ours.boxes)[0]
                matched.append(bool(shares.size and shares.max() >= 0.95))
                if matched[-1]:
                    distance = np.linalg.norm(ours.points[shares.argmax()] - points, axis=-1).max()
                    errors.append(distance * 256 / max(photo.shape))
    assert len(matched) >= 25
    assert np.mean(matched) >= 0.99
    assert extra <= 0.01 * len(matched)
    assert max(errors) <= 1.5


NO_FACE_PHOTOS = {
    "black": np.zeros((120, 161, 3), np.uint8),
    "white": np.full((120, 161, 3), 255, np.uint8),
    "grey": np.full((333, 200, 3), 127, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (150, 211, 3), dtype=np.uint8),
    "ramp": np.tile(np.linspace(0, 255, 300)[None, :, None], (200, 1, 3)).astype(np.uint8),
    "one pixel": np.full((1, 1, 3), 90, np.uint8),
    "flat": np.random.default_rng(1).integers(0, 256, (5, 3000, 3), dtype=np.uint8),
    "thin": np.random.default_rng(2).integers(0, 256, (2000, 21, 3), dtype=np.uint8),
    "smallest": np.random.default_rng(3).integers(0, 256, (21, 21, 3), dtype=np.uint8),
    "too small": np.random.default_rng(4).integers(0, 256, (20, 20, 3), dtype=np.uint8),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", NO_FACE_PHOTOS)
def test_a_photo_without_a_face_gives_no_faces(detector: Detector, kind: str) -> None:
    faces = detector.detect(NO_FACE_PHOTOS[kind])
    assert len(faces) == 0
    assert (faces.boxes.shape, faces.scores.shape, faces.points.shape) == ((0, 4), (0,), (0, 5, 2))


def test_a_face_in_a_very_wide_photo_is_found(detector: Detector) -> None:
    photo = np.zeros((100, 33_000, 3), np.uint8)
    photo[:, 32_000:32_100] = scene(0, 100, 100, 1)[0]
    assert len(detector.detect(photo)) == 1


def test_nothing_remains_of_an_earlier_photo(detector: Detector) -> None:
    photos = [scene(number, *shape)[0] for number, shape in enumerate(SCENES[:4])]
    photos.append(NO_FACE_PHOTOS["grey"])
    alone = [Detector().detect(photo) for photo in photos]
    for number in (0, 1, 0, 2, 4, 3, 2, 2, 4, 1, 0):
        assert_same(detector.detect(photos[number]), alone[number])


def test_a_photo_is_left_as_it_is(detector: Detector) -> None:
    photo, _ = scene(1, 181, 243, 2)
    before = photo.copy()
    photo.setflags(write=False)
    detector.detect(photo)
    np.testing.assert_array_equal(photo, before)


def test_a_view_of_a_larger_photo_is_searched_as_its_copy(detector: Detector) -> None:
    photo, _ = scene(2, 240, 714, 3)
    view = photo[10:231, 240:480]
    assert len(detector.detect(view)) == 1
    assert_same(detector.detect(view), detector.detect(view.copy()))


def test_threads_with_a_detector_each_find_the_same(detector: Detector) -> None:
    photos = [scene(number, *shape)[0] for number, shape in enumerate(SCENES[:5])]
    expected = [detector.detect(photo) for photo in photos]

    def search(start: int) -> list[Faces]:
        own = Detector()
        return [own.detect(photos[(start + step) % 5]) for step in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for start, found in enumerate(pool.map(search, range(4))):
            for step, faces in enumerate(found):
                assert_same(faces, expected[(start + step) % 5])


def test_a_pool_finds_the_same_in_photos_of_all_sizes(detector: Detector) -> None:
    photos = [scene(number, *shape)[0] for number, shape in enumerate(SCENES)]
    pool = DetectorPool()
    for workers in (None, 1, 3):
        for photo, faces in zip(photos, pool.detect_batch(photos, workers), strict=True):
            assert_same(faces, detector.detect(photo))
    assert_same(pool.detect(photos[1]), detector.detect(photos[1]))
    assert pool.detect_batch([]) == []


def test_more_threads_of_the_runtime_find_the_same(detector: Detector) -> None:
    photo, _ = scene(2, 240, 714, 3)
    faces, threaded = detector.detect(photo), Detector(threads=2).detect(photo)
    np.testing.assert_allclose(threaded.boxes, faces.boxes, atol=0.01)
    np.testing.assert_allclose(threaded.points, faces.points, atol=0.01)


def test_a_mirrored_photo_shows_the_mirrored_faces(detector: Detector) -> None:
    shares, errors = [], []
    for number in range(9):
        height, width, count = SCENES[number % 5]
        photo, _ = scene(number, height, width, count)
        faces, mirrored = detector.detect(photo), detector.detect(np.ascontiguousarray(photo[:, ::-1]))
        assert len(mirrored) == len(faces)
        boxes, points = mirrored.boxes.copy(), mirrored.points[:, MIRRORED_POINTS].copy()
        boxes[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
        points[..., 0] = width - 1 - points[..., 0]
        found = overlaps(faces.boxes, boxes)
        shares += found.max(axis=1).tolist()
        between_eyes = np.linalg.norm(faces.points[:, 1] - faces.points[:, 0], axis=-1, keepdims=True)
        distances = np.linalg.norm(points[found.argmax(axis=1)] - faces.points, axis=-1) / between_eyes
        errors += distances.max(axis=1).tolist()
    assert np.median(shares) > 0.8
    assert np.median(errors) < 0.1


def test_a_larger_smallest_face_leaves_small_faces_out() -> None:
    small, large = draw_scene(7, 0, 80, 80, 1)[0], draw_scene(7, 1, 400, 400, 1)[0]
    for min_face, counts in ((20, (1, 1)), (100, (0, 1)), (399, (0, 0))):
        own = Detector(DetectorSpec(min_face=min_face))
        assert (len(own.detect(small)), len(own.detect(large))) == counts


@pytest.mark.parametrize(("min_face", "factor"), [(20, 1), (47, 1), (48, 2), (95, 2), (96, 4), (400, 16)])
def test_a_photo_is_reduced_as_far_as_the_smallest_face_allows(min_face: int, factor: int) -> None:
    """A window of 12 pixels shows the smallest face: 24 must be left of it in what the window is drawn from."""
    assert (reduction(min_face) == factor and min_face / factor >= 24) or factor == 1


@pytest.mark.parametrize(("min_face", "height", "width"), [(48, 901, 1203), (100, 1001, 1333), (20, 240, 714)])
def test_large_faces_are_found_where_they_are_in_a_reduced_photo(min_face: int, height: int, width: int) -> None:
    photo, _ = scene(12, height, width, 2)
    before = photo.copy()
    whole, reduced = (Detector(DetectorSpec(min_face=min_face), reduced=wanted).detect(photo) for wanted in (0, 1))
    assert len(whole) == len(reduced) > 0
    best = overlaps(whole.boxes, reduced.boxes).max(axis=1)
    assert best.min() > 0.85
    order = overlaps(whole.boxes, reduced.boxes).argmax(axis=1)
    sizes = (whole.boxes[:, 2:] - whole.boxes[:, :2]).max(axis=1)
    gaps = np.abs(whole.points - reduced.points[order]).max(axis=(1, 2)) / sizes
    assert gaps.max() < 0.04
    np.testing.assert_array_equal(photo, before)
    if min_face == 20:
        assert_same(whole, reduced)


def test_windows_of_whole_numbers_show_what_windows_of_floats_show() -> None:
    photo = np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8)
    boxes = np.array([[-9.5, 3, 30.5, 43], [10, 10, 40, 40], [50, 30, 90, 70], [0, 0, 79, 79]], np.float32)
    np.testing.assert_allclose(windows(photo, boxes, 24), windows(photo.astype("float32"), boxes, 24), atol=2.0)


def test_a_higher_threshold_leaves_doubtful_faces_out(detector: Detector) -> None:
    photo, _ = scene(2, 240, 714, 3)
    scores = detector.detect(photo).scores
    limit = float((scores[0] + scores[1]) / 2)
    found = Detector(DetectorSpec(thresholds=(0.6, 0.7, limit))).detect(photo)
    np.testing.assert_allclose(found.scores, scores[:1], atol=1e-5)
    for thresholds in ((0.9999, 0.7, 0.7), (0.6, 0.99999, 0.7)):
        assert len(Detector(DetectorSpec(thresholds=thresholds)).detect(photo)) < 3


@pytest.mark.parametrize("factor", [0.5, 0.8])
def test_another_factor_finds_the_same_faces(detector: Detector, factor: float) -> None:
    photo, _ = scene(2, 240, 714, 3)
    shares = overlaps(detector.detect(photo).boxes, Detector(DetectorSpec(factor=factor)).detect(photo).boxes)
    assert shares.shape == (3, 3)
    assert shares.max(axis=1).min() > 0.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_face": 11}, "crop min_face 11 is below the 12 pixels"),
        ({"thresholds": (0.6, 0.7)}, r"crop thresholds \[0.6, 0.7\] are not three numbers between 0 and 1"),
        ({"thresholds": ()}, r"crop thresholds \[\]"),
        ({"thresholds": (0.6, 0.7, 1.0)}, "crop thresholds"),
        ({"thresholds": (0.0, 0.7, 0.7)}, "crop thresholds"),
        ({"thresholds": (0.6, float("nan"), 0.7)}, "crop thresholds"),
        ({"factor": 0.29}, "crop factor 0.29 is not in 0.3 to 0.95"),
        ({"factor": 1.0}, "crop factor 1.0"),
        ({"factor": float("nan")}, "crop factor nan"),
    ],
)
def test_settings_that_find_nothing_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DetectorSpec(**wrong)


def test_the_nets_hold_builtin_operations_in_float32_only(detector: Detector) -> None:
    for path in net_files().values():
        file = read_tflite(path)
        assert not [op for op in file.ops if op.is_custom or op.kind.startswith("FLEX")]
        assert {op.kind for op in file.ops} <= {
            "CONV_2D", "PRELU", "MAX_POOL_2D", "ADD", "FULLY_CONNECTED", "RESHAPE", "TRANSPOSE", "SOFTMAX", "SHAPE",
            "STRIDED_SLICE", "PACK",
        }  # fmt: skip
        assert {file.tensors[index].dtype for index in (*file.inputs, *file.outputs)} == {"float32"}


def drawn(photo: np.ndarray, layout: Layout) -> np.ndarray:
    canvas = empty_canvas(layout)
    draw_pyramid(photo.astype(np.float32), layout, canvas)
    return canvas


def run_net(path: Path, *values: np.ndarray) -> dict[int, np.ndarray]:
    """Outputs by their number of channels."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    details = sorted(interpreter.get_input_details(), key=lambda entry: -entry["shape"][-1])
    for entry, value in zip(details, values, strict=True):
        if tuple(entry["shape"]) != value.shape:
            interpreter.resize_tensor_input(entry["index"], value.shape)
    interpreter.allocate_tensors()
    for entry, value in zip(details, values, strict=True):
        interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    return {int(e["shape"][-1]): interpreter.get_tensor(e["index"]) for e in interpreter.get_output_details()}


def test_what_lies_beside_a_level_does_not_change_what_its_windows_show(detector: Detector) -> None:
    layout = plan_layout(181, 243, 20, 0.709)
    canvas = drawn(scene(1, 181, 243, 2)[0], layout)
    wall = barrier(layout)[None]
    path = net_files()["pnet"]
    maps = run_net(path, canvas[None], wall)
    for level in layout.levels:
        noise = np.random.default_rng(0).uniform(0, 255, canvas.shape).astype(np.float32)
        place = slice(level.top, level.top + level.height), slice(level.left, level.left + level.width)
        noise[place] = canvas[place]
        beside = run_net(path, noise[None], wall)
        for channels, values in maps.items():
            np.testing.assert_allclose(beside[channels][0][level.cells], values[0][level.cells], atol=1e-5)


@pytest.fixture(scope="session")
def fixed() -> Fixed:
    # Large enough that the detector that resizes looks at P-Net's canvas in parts.
    return Fixed((601, 803), 20, 0.709, (4, 2))


@pytest.fixture(scope="session")
def fixed_files(fixed: Fixed, session_cache: Path) -> dict[str, Path]:
    return net_files(fixed)


@pytest.mark.slow
def test_nets_of_fixed_shapes_agree_with_those_that_resize(fixed: Fixed, fixed_files: dict[str, Path]) -> None:
    resized, layout, rng = net_files(), fixed.layout(), np.random.default_rng(0)
    inputs = {
        "pnet": drawn(scene(1, *fixed.photo, 2)[0], layout)[None],
        "rnet": rng.uniform(0, 255, (4, 24, 24, 3)).astype(np.float32),
        "onet": rng.uniform(0, 255, (2, 48, 48, 3)).astype(np.float32),
    }
    for name, value in inputs.items():
        file = read_tflite(fixed_files[name])
        assert [file.tensors[index].shape for index in file.inputs] == [value.shape]
        assert not any(tensor.is_dynamic for tensor in file.tensors)
        walls = (barrier(layout)[None],) if name == "pnet" else ()
        expected, given = run_net(resized[name], value, *walls), run_net(fixed_files[name], value)
        assert set(given) == set(expected)
        for channels, values in expected.items():
            np.testing.assert_allclose(given[channels], values, atol=1e-4)


@pytest.mark.slow
def test_a_detector_of_fixed_shapes_finds_the_same(fixed: Fixed, fixed_files: dict[str, Path]) -> None:
    spec = DetectorSpec(min_face=fixed.min_face, factor=fixed.factor)
    detector, resizing = FixedDetector(fixed, fixed_files, spec), Detector(spec)
    for number, count in enumerate((1, 3)):
        photo, _ = scene(number, *fixed.photo, count)
        faces, expected = detector.detect(photo), resizing.detect(photo)
        assert len(faces) == len(expected) > 0
        np.testing.assert_allclose(faces.boxes, expected.boxes, atol=0.01)
        np.testing.assert_allclose(faces.points, expected.points, atol=0.01)
    assert len(detector.detect(np.full((*fixed.photo, 3), 127, np.uint8))) == 0


@pytest.fixture
def copied_cache(detector: Detector, session_cache: Path, own_cache: Path) -> Path:
    """Only this test's, with the nets of the session."""
    shutil.copytree(session_cache / "mtcnn", own_cache / "mtcnn")
    return own_cache


def test_whole_nets_are_taken_from_the_cache(copied_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert all(path.is_relative_to(copied_cache) for path in net_files().values())


def test_damaged_and_missing_nets_are_built_again(
    detector: Detector, copied_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = net_files()
    built = {name: path.read_bytes() for name, path in files.items()}

    def build(fixed: Fixed | None, folder: Path) -> None:
        assert fixed is None
        for name, content in built.items():
            (folder / f"{name}.tflite").write_bytes(content)

    monkeypatch.setattr(nets, "_build_in_child", build)
    files["rnet"].unlink()
    content = bytearray(files["onet"].read_bytes())
    content[len(content) // 2] ^= 255
    files["onet"].write_bytes(content)
    photo, _ = scene(1, 181, 243, 2)
    assert_same(Detector().detect(photo), detector.detect(photo))
    stamps = {path: path.stat().st_mtime_ns for path in files.values()}
    net_files()
    assert {path: path.stat().st_mtime_ns for path in files.values()} == stamps


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pnet": "0"}'])
def test_nets_without_their_hashes_are_not_trusted(
    copied_cache: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (net_files()["pnet"].parent / "sha256.json").write_text(content)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DetectionError, match=r"which TensorFlow builds once, cannot be built: its process .* with 1"):
        net_files()


def test_a_missing_package_is_said_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise nets.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(nets.metadata, "version", missing)
    with pytest.raises(DetectionError, match="pip install mtcnn; or choose a crop without faces"):
        Detector()


SEARCH = """
import sys
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.detector import Detector
print(len(Detector().detect(draw_scene(7, 2, 240, 714, 3)[0])))
print(sorted({'tensorflow', 'keras', 'mtcnn', 'jax'} & set(sys.modules)))
"""


def search() -> subprocess.CompletedProcess[str]:
    # At this level the runtime would keep to itself what it prints elsewhere.
    talkative = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", SEARCH], env=talkative, capture_output=True, text=True, check=True, timeout=120
    )


def test_finding_faces_imports_no_tensorflow_and_prints_nothing(detector: Detector) -> None:
    done = search()
    assert done.stdout.splitlines() == ["3", "[]"]
    assert done.stderr == ""


def test_a_pool_keeps_its_detectors_from_call_to_call() -> None:
    pool, photos = DetectorPool(), [scene(number, 96, 120, 1)[0] for number in range(6)]
    for _ in range(3):
        pool.detect_batch(photos, workers=2)
    assert 1 <= len(pool.idle) <= 2
