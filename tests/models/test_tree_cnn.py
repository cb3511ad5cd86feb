"""TreeCNN: where the parts of a face are cut, who votes, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_faceattr.errors import ModelError
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.models.tree_cnn import PARTS, part_box
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.tasks import BinaryTask, CategoricalTask, Task, age_task

MOOD = CategoricalTask("expression", ("sad", "calm", "happy"))
TASKS: dict[str, tuple[Task, str | None]] = {
    "age": (age_task(), None),
    "expression": (MOOD, None),
    "smile": (BinaryTask("smile"), None),
}
# Eyes 40 pixels apart; the mouth's corners have (50, 79.75) as their middle.
POINTS = np.array([[30.25, 40.25], [70.25, 40.25], [50.0, 60.0], [35.0, 79.5], [65.0, 80.0]])
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")


def tree_cnn(size: int = 32, tasks: dict[str, tuple[Task, str | None]] = TASKS, **options: Any) -> Network:
    return build_network("tree_cnn_mobile", tasks, size=size, seed=0, **options)


@pytest.fixture(scope="module")
def network() -> Network:
    return tree_cnn()


# An eye is 40 × 32 about its point, the nose 32 × 36, the mouth 56 × 32. A pixel's middle is a whole number, so that
# the edges of the left eye, x from 10.25 to 50.25, lie a quarter short of the pixel edges 10.5 and 50.5.
@pytest.mark.parametrize(
    ("part", "box"),
    [
        ("left_eye", (25, 57, 11, 51)),
        ("right_eye", (25, 57, 51, 91)),
        ("nose", (42, 78, 34, 66)),
        ("mouth", (64, 96, 22, 78)),
    ],
)
def test_a_part_is_cut_about_its_points_in_distances_of_the_eyes(part: str, box: tuple[int, ...]) -> None:
    assert part_box(POINTS, 100, part) == box


def test_parts_grow_and_move_with_the_face() -> None:
    top, bottom, left, right = part_box(POINTS, 100, "left_eye")
    assert part_box(POINTS + np.array([3, 7]), 200, "left_eye") == (top + 7, bottom + 7, left + 3, right + 3)
    doubled = part_box(2 * POINTS, 200, "left_eye")
    assert (doubled[1] - doubled[0], doubled[3] - doubled[2]) == (64, 80)


def test_a_part_ends_where_the_crop_ends() -> None:
    # The left eye would begin at x = −9.5 and y = −5.5.
    assert part_box(POINTS - [20, 30], 60, "left_eye") == (0, 27, 0, 31)
    assert part_box(POINTS, 85, "mouth") == (64, 85, 22, 78)


def test_in_a_usual_crop_the_parts_mirror_each_other_and_lie_inside(network: Network) -> None:
    left, right = (network.trainable.get_layer(name).cropping for name in ("left_eye", "right_eye"))
    assert left[0] == right[0]
    assert left[1] == right[1][::-1]
    assert all(edge >= 0 for name in PARTS for pair in network.trainable.get_layer(name).cropping for edge in pair)


@pytest.mark.parametrize(("landmarks", "size"), [(None, 32), (0.32 * POINTS, 32), (POINTS, 112)])
def test_the_crops_are_slices_of_the_normalised_photo(landmarks: np.ndarray | None, size: int) -> None:
    model = tree_cnn(size, landmarks=landmarks).trainable
    pixels = np.random.default_rng(1).uniform(0, 255, (2, size, size, 3)).astype("float32")
    parts = keras.Model(model.input, [model.get_layer(name).output for name in PARTS])(pixels, training=False)
    # The template of a face without margin, of 112 pixels, as it stands in the published code of ArcFace.
    usual = np.array([[38.38, 51.6], [73.62, 51.6], [56, 71.74], [41.41, 92.29], [70.59, 92.29]]) * size / 112 - 0.5
    points = usual if landmarks is None else landmarks
    for name, part in zip(PARTS, parts, strict=True):
        top, bottom, left, right = part_box(points, size, name)
        np.testing.assert_allclose(np.asarray(part), pixels[:, top:bottom, left:right] / 127.5 - 1, atol=1e-6)


def test_the_face_and_its_four_parts_vote_each_by_a_net_of_its_own(network: Network) -> None:
    nodes = read_graph(network.inference).nodes
    voters = ["features", "left_eye_features", "right_eye_features", "nose_features", "mouth_features"]
    assert [nodes[f"expression_raw_{i}"].inputs for i in range(1, 6)] == [(name,) for name in voters]
    assert nodes["expression_raw"].inputs == tuple(f"expression_raw_{i}" for i in range(1, 6))
    assert network.trainable.output["expression"].shape == (None, 15)
    assert network.inference.output["expression"].shape == (None, 3)


def test_other_tasks_read_the_face_alone(network: Network) -> None:
    nodes = read_graph(network.inference).nodes
    for task in ("age", "smile"):
        assert nodes[f"{task}_raw"].inputs == ("features",)


@pytest.mark.parametrize("part", PARTS)
def test_the_net_of_a_part_changes_its_own_vote_and_nothing_else(network: Network, part: str) -> None:
    def predicted() -> dict[str, np.ndarray]:
        return {name: np.asarray(x) for name, x in network.trainable(PIXELS, training=False).items()}

    kernel, before = network.trainable.get_layer(f"{part}_1_conv").kernel, predicted()
    weights = np.array(kernel)
    kernel.assign(np.random.default_rng(1).normal(0, 1, kernel.shape))
    after = predicted()
    kernel.assign(weights)
    changed = (after["expression"] != before["expression"]).reshape(2, 5, 3).any(axis=(0, 2))
    assert changed.tolist() == [name == part for name in ["face", *PARTS]]
    for task in ("age", "smile"):
        np.testing.assert_array_equal(after[task], before[task])


def test_another_task_of_classes_can_be_voted_on() -> None:
    network = tree_cnn(tasks=TASKS | {"race": (CategoricalTask("race", ("a", "b")), None)}, voted="race")
    assert network.trainable.output["race"].shape == (None, 10)
    assert network.trainable.output["expression"].shape == (None, 3)


def test_the_way_to_vote_is_chosen_by_name() -> None:
    kinds = {
        vote: type(tree_cnn(vote=vote).inference.get_layer("expression")).__name__ for vote in ("majority", "soft")
    }
    assert kinds == {"majority": "Add", "soft": "GlobalAveragePooling1D"}


def test_a_crop_too_small_for_its_parts_is_refused_with_their_size() -> None:
    # A distance of the eyes of 7.5 pixels makes the nose 6 wide.
    points = POINTS * 7.5 / 40
    with pytest.raises(
        ModelError, match="in a crop of 32, and needs 8: raise data.crop.size or lower data.crop.margin"
    ):
        tree_cnn(landmarks=points)
    with pytest.raises(ModelError, match=r"tree_cnn: the nose has 7 × 6 pixels in a crop of 32"):
        part_box(points + 0.1, 32, "nose")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voted": "expresion"}, "model.voted: there is no task 'expresion'; did you mean 'expression'\\? valid: age"),
        ({"voted": "age"}, "model.voted: 'age' is scalar; a vote is on classes"),
        ({"voted": "smile"}, "model.voted: 'smile' is binary; a vote is on classes"),
        ({"tasks": {"age": (age_task(), None)}}, "model.voted: there is no task 'expression'; valid: age"),
    ],
)
def test_what_cannot_be_voted_on_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        tree_cnn(**options)
    assert "\n" not in str(error.value)


def test_the_mobile_variant_stays_below_one_and_a_half_million_parameters(network: Network) -> None:
    assert profile_model(network.inference).parameters < 1.5e6
