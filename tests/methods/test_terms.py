"""What a loss learns or remembers over batches: relations, people, centres, and its own weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.special

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.losses import metric_learning, relation
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.tasks import BinaryTask, IdentityTask, MultilabelTask, Task, age_task
from keras_faceattr.training.checkpoint import load_checkpoint, save_checkpoint
from keras_faceattr.training.loop import track

NAN = float("nan")
WORN = MultilabelTask("worn", ("hat", "scarf", "beard", "glasses", "tie"))
PERSON = IdentityTask("person", 4, 3)
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(0, 1, (6, 4)).astype("float32")
PEOPLE = np.array([[0], [2], [2], [0], [1], [0]], "float32")
OF_PEOPLE = ["softmax", "arc_face", "center"]


def array(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def worn(rows: int, seed: int, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels in which the first three attributes go together, the last is always 1, and raw outputs."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 1)) * [3, 3, -3, 0, 0]
    labels = (rng.normal(size=(rows, 5)) + common > 0).astype("float32")
    labels[:, 4] = 1.0
    labels[rng.random(labels.shape) < missing] = NAN
    return labels, rng.normal(0, 1.5, (rows, 5)).astype("float32")


def decayed_correlation(batches: list[np.ndarray], decay: float) -> np.ndarray:
    """NumPy's correlations of each pair, averaged over the batches that define it, the latest counting most."""
    count = batches[0].shape[1]
    found = np.full((count, count), NAN)
    for i in range(count):
        for j in range(count):
            values: list[float] = []
            for labels in batches:
                both = labels[~np.isnan(labels[:, i] + labels[:, j])][:, [i, j]].astype("float64")
                if len(both) and (np.ptp(both, axis=0) > 0).all():
                    values.append(np.corrcoef(both.T)[0, 1])
            if values:
                found[i, j] = np.average(values, weights=decay ** np.arange(len(values))[::-1])
    return found


def obrl(**settings: float) -> TaskLoss:
    return TaskLoss(WORN, "obrl", MethodSettings(**settings))


def term_of(loss: TaskLoss, labels: np.ndarray, raw: np.ndarray) -> float:
    """What the term adds, by the difference to the same loss without it, where the cross-entropy is a sum (eq. 4)."""
    return len(WORN.attributes) * (float(loss(labels, raw)) - float(TaskLoss(WORN)(labels, raw)))


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_relations_add_their_weight_times_the_relation_loss(weight: float) -> None:
    labels, raw = worn(32, seed=1)
    matrix = decayed_correlation([labels], 0.99)
    expected = relation.relation_loss(
        scipy.special.expit(raw), np.nan_to_num(matrix).astype("float32"), (~np.isnan(matrix)).astype("float32")
    )
    pure = float(np.mean(array(expected)))
    assert pure > 0.01
    assert term_of(obrl(relation_weight=weight), labels, raw) == pytest.approx(weight * pure, rel=1e-4, abs=1e-6)


def test_the_thresholds_of_relations_reach_the_loss() -> None:
    labels, raw = worn(32, seed=1)
    nothing = term_of(obrl(positive_relation=1.0, negative_relation=-1.0), labels, raw)
    everything = term_of(obrl(positive_relation=-1.0, negative_relation=-1.0), labels, raw)
    # Of 16 defined pairs each pulls its probabilities together; those with themselves add nothing.
    chances = scipy.special.expit(raw.astype("float64"))[:, :4]
    apart = (chances[:, :, None] - chances[:, None]) ** 2
    assert everything == pytest.approx(0.5 * apart.sum(axis=(1, 2)).mean() / (2 * 25), rel=1e-4)
    assert nothing < 0.1 * everything


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_matrix_after_several_batches_is_numpys_decayed_average(missing: float) -> None:
    loss, batches = obrl(relation_decay=0.7), [worn(24, seed, missing) for seed in range(5)]
    batches[2][0][:, 3] = 0.0
    for labels, raw in batches:
        loss(labels, raw)
    expected = decayed_correlation([labels for labels, _ in batches], 0.7)
    np.testing.assert_allclose(loss.term.matrix(), expected, atol=2e-6)
    assert expected[0, 1] > 0.5
    assert expected[0, 2] < -0.5


def test_a_batch_is_judged_by_its_own_relations_too() -> None:
    (labels, raw), (others, _) = worn(24, seed=1), worn(24, seed=2)
    loss = obrl(relation_decay=0.5)
    loss(others, raw)
    matrix = decayed_correlation([others, labels], 0.5)
    expected = relation.relation_loss(
        scipy.special.expit(raw), np.nan_to_num(matrix).astype("float32"), (~np.isnan(matrix)).astype("float32")
    )
    assert term_of(loss, labels, raw) == pytest.approx(0.5 * float(np.mean(array(expected))), rel=1e-4)


def test_a_constant_attribute_stays_undefined_and_others_do_not() -> None:
    loss = obrl()
    assert np.isnan(loss.term.matrix()).all()
    for seed in range(3):
        loss(*worn(16, seed))
    matrix = loss.term.matrix()
    assert np.isnan(matrix[4]).all()
    assert np.isnan(matrix[:, 4]).all()
    assert np.isfinite(matrix[:4, :4]).all()
    np.testing.assert_allclose(np.diag(matrix)[:4], 1.0, rtol=1e-5)


def test_photos_without_attributes_change_neither_the_loss_nor_the_relations() -> None:
    labels, raw = worn(20, seed=3, missing=0.2)
    labels[:, 0] = np.nan_to_num(labels[:, 0])
    padded = np.concatenate([labels, np.full((7, 5), NAN, "float32")]), np.concatenate([raw, np.full((7, 5), 9.0)])
    one, other = obrl(), obrl()
    assert float(other(*padded)) == pytest.approx(float(one(labels, raw)), rel=1e-5)
    np.testing.assert_allclose(other.term.matrix(), one.term.matrix(), atol=1e-6)


def test_a_batch_without_attributes_is_zero_and_is_not_remembered() -> None:
    loss, (labels, raw) = obrl(), worn(20, seed=4)
    loss(labels, raw)
    before = loss.term.matrix()
    assert float(loss(np.full_like(labels, NAN), raw)) == 0.0
    np.testing.assert_array_equal(loss.term.matrix(), before)


def people_losses(method: str, people: np.ndarray, raw: np.ndarray, loss: TaskLoss) -> np.ndarray:
    """(batch,) by NumPy, or by the pure function, from the weights that the loss has now."""
    index, weights = people[:, 0].astype(int), array(loss.term.weights)
    if method == "arc_face":
        lengths = np.linalg.norm(raw, axis=1, keepdims=True) * np.linalg.norm(weights, axis=0)
        return array(metric_learning.arc_face(index, raw @ weights / lengths, 0.5, 64.0))
    found = -scipy.special.log_softmax(raw @ weights, axis=1)[np.arange(len(index)), index]
    if method == "center":
        found = found + 0.003 * 0.5 * ((raw - array(loss.term.centers)[index]) ** 2).sum(axis=1)
    return np.asarray(found)


@pytest.mark.parametrize("method", OF_PEOPLE)
def test_telling_people_apart_is_the_mean_of_the_photos(method: str) -> None:
    loss = TaskLoss(PERSON, method)
    assert tuple(loss.term.weights.shape) == (4, 3)
    expected = people_losses(method, PEOPLE, VECTORS, loss)
    assert np.ptp(expected) > 0.1
    assert float(loss(PEOPLE, VECTORS)) == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.parametrize("method", OF_PEOPLE)
def test_a_photo_of_nobody_known_does_not_count(method: str) -> None:
    loss, missing = TaskLoss(PERSON, method), PEOPLE.copy()
    missing[[0, 4]] = NAN
    expected = people_losses(method, PEOPLE, VECTORS, loss)[[1, 2, 3, 5]].mean()
    assert float(loss(missing, VECTORS)) == pytest.approx(expected, rel=1e-4)
    assert float(loss(np.full_like(PEOPLE, NAN), VECTORS)) == 0.0


def test_the_margin_and_scale_of_angles_come_from_the_settings() -> None:
    loss = TaskLoss(PERSON, "arc_face", MethodSettings(angular_margin=0.0, angular_scale=2.0))
    weights = array(loss.term.weights)
    cosines = VECTORS @ weights / np.linalg.norm(VECTORS, axis=1, keepdims=True) / np.linalg.norm(weights, axis=0)
    expected = -scipy.special.log_softmax(2 * cosines, axis=1)[np.arange(6), PEOPLE[:, 0].astype(int)]
    assert float(loss(PEOPLE, VECTORS)) == pytest.approx(expected.mean(), rel=1e-4)


def test_centres_follow_their_photos_after_they_have_been_compared() -> None:
    settings = MethodSettings(center_rate=0.4, center_weight=10.0)
    loss, plain = TaskLoss(PERSON, "center", settings), TaskLoss(PERSON, "softmax")
    plain.term.weights.assign(loss.term.weights)
    people, centres = PEOPLE[:4, 0].astype(int), np.zeros((3, 4))
    for raw in (VECTORS[:4], VECTORS[2:]):
        distances = 0.5 * ((raw - centres[people]) ** 2).sum(axis=1)
        got = float(loss(PEOPLE[:4], raw)) - float(plain(PEOPLE[:4], raw))
        assert got == pytest.approx(10 * distances.mean(), rel=1e-4)
        for person in range(3):
            offsets = raw[people == person] - centres[person]
            centres[person] += 0.4 * offsets.sum(axis=0) / (1 + len(offsets))
        np.testing.assert_allclose(array(loss.term.centers), centres, rtol=1e-4, atol=1e-6)
    # Person 1 was in no batch.
    assert not centres[1].any()


@pytest.mark.parametrize("method", OF_PEOPLE)
@pytest.mark.parametrize("people", [0, 1])
def test_fewer_than_two_people_cannot_be_told_apart(method: str, people: int) -> None:
    with pytest.raises(DataError, match=f"^{people} person in the train photos: .* needs two or more$"):
        TaskLoss(IdentityTask("person", 4, people), method)


@pytest.mark.parametrize("mining", ["hard", "semi_hard"])
def test_triplets_are_those_of_the_projected_vectors_and_average_over_anchors(mining: str) -> None:
    settings = MethodSettings(mining=mining, triplet_margin=0.7)
    for raw in (VECTORS, 2 * VECTORS):
        losses = array(metric_learning.triplet(PEOPLE[:, 0], raw, 0.7, mining))
        # The fifth photo is the only one of its person.
        expected = losses[[0, 1, 2, 3, 5]].mean()
        assert expected > 0.1
        assert float(TaskLoss(PERSON, "triplet", settings)(PEOPLE, raw)) == pytest.approx(expected, rel=1e-4)


def test_to_triplets_each_photo_of_nobody_known_is_a_stranger_of_its_own() -> None:
    missing, strangers = PEOPLE.copy(), PEOPLE.copy()
    missing[[0, 1, 4]] = NAN
    strangers[[0, 1, 4], 0] = [7, 8, 9]
    loss = TaskLoss(PERSON, "triplet", MethodSettings(triplet_margin=2.0))
    expected = float(loss(strangers, VECTORS))
    assert expected > 0
    assert float(loss(missing, VECTORS)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(np.full_like(PEOPLE, NAN), VECTORS)) == 0.0


def test_a_loss_without_memory_has_no_variables() -> None:
    assert TaskLoss(age_task()).variables == []
    assert TaskLoss(PERSON, "triplet").variables == []
    assert [v.shape for v in TaskLoss(age_task(), learned_weight=True).variables] == [()]


SMILE: dict[str, tuple[Task, str | None, np.ndarray, np.ndarray]] = {
    "binary": (BinaryTask("smile"), None, np.array([[1], [0], [1.0]]), np.array([[0.3], [1.0], [-2.0]])),
    "scalar": (age_task(), "mse", np.array([[30, 2], [40, 2.0]]), np.array([[0.1], [-0.5]])),
    "identity": (PERSON, "softmax", PEOPLE, VECTORS),
    "relations": (WORN, "obrl", *worn(8, seed=5)),
}
LEARNED = pytest.mark.parametrize("name", SMILE)


@LEARNED
@pytest.mark.parametrize("s", [0.0, 1.3, -0.7])
def test_a_learned_weight_makes_the_loss_l_over_variance_plus_log_deviation(name: str, s: float) -> None:
    task, method, labels, raw = SMILE[name]
    plain, learned = TaskLoss(task, method), TaskLoss(task, method, learned_weight=True)
    if name == "identity":
        plain.term.weights.assign(learned.term.weights)
    learned.log_variance.assign(s)
    expected = float(plain(labels, raw)) * np.exp(-s) + s / 2
    assert float(learned(labels, raw)) == pytest.approx(expected, rel=1e-5)


@LEARNED
def test_a_batch_without_labels_does_not_say_how_uncertain_they_are(name: str) -> None:
    task, method, labels, raw = SMILE[name]
    loss = TaskLoss(task, method, learned_weight=True)
    loss.log_variance.assign(2.0)
    assert float(loss(np.full_like(labels, NAN), raw)) == 0.0


def test_a_learned_weight_is_part_of_the_config_and_what_it_learned_is_not() -> None:
    loss = TaskLoss(age_task(), "mse", learned_weight=True)
    loss.log_variance.assign(2.0)
    again = TaskLoss.from_config(loss.get_config())
    assert float(array(again.log_variance)) == 0.0
    assert TaskLoss.from_config(TaskLoss(age_task()).get_config()).log_variance is None


TASKS: dict[str, tuple[Task, str | None, int]] = {
    "worn": (WORN, "obrl", 5),
    "person": (PERSON, "center", 4),
    "smile": (BinaryTask("smile"), None, 1),
}


def model_and_losses(seed: int = 0, tracked: bool = True) -> tuple[keras.Model, dict[str, TaskLoss]]:
    """A dense layer a task, trained by plain descent."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((3,))
    model = keras.Model(pixels, {name: keras.layers.Dense(n, name=name)(pixels) for name, (*_, n) in TASKS.items()})
    losses = {name: TaskLoss(task, method, learned_weight=True) for name, (task, method, _) in TASKS.items()}
    if tracked:
        track(model, losses)
    model.compile(keras.optimizers.SGD(0.1), loss=losses, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model, losses


def batch(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    smile = np.array([[0], [1], [NAN], [1], [0], [1]], "float32")
    pixels = np.random.default_rng(seed).normal(0, 1, (6, 3)).astype("float32")
    return pixels, {"worn": worn(6, seed)[0], "person": PEOPLE, "smile": smile}


def remembered(losses: dict[str, TaskLoss]) -> dict[str, np.ndarray]:
    return {variable.path: array(variable) for loss in losses.values() for variable in loss.variables}


def test_the_trained_model_tracks_what_its_losses_learn_and_remember() -> None:
    model, losses = model_and_losses()
    trainable = {id(v) for v in model.trainable_variables}
    fixed = {id(v) for v in model.non_trainable_variables}
    for loss in losses.values():
        assert id(loss.log_variance) in trainable
    person, relations = losses["person"].term, losses["worn"].term
    assert id(person.weights) in trainable
    assert {id(person.centers), id(relations.sums), id(relations.weights)} <= fixed
    # Three dense layers, three variances, and a term's own.
    assert len(model.weights) == 6 + 3 + 2 + 2
    assert len({v.path for v in model.weights}) == len(model.weights)


def test_another_model_over_the_same_layers_does_not_hold_them() -> None:
    model, losses = model_and_losses()
    shipped = keras.Model(model.input, model.output)
    assert not {id(v) for v in shipped.variables} & {id(v) for loss in losses.values() for v in loss.variables}
    assert len(shipped.weights) == 6


def test_losses_without_memory_add_nothing_to_the_model() -> None:
    model, _ = model_and_losses(tracked=False)
    track(model, {"smile": TaskLoss(BinaryTask("smile"))})
    assert len(model.weights) == 6


def test_a_training_step_moves_all_that_is_learned_and_remembered() -> None:
    model, losses = model_and_losses()
    before = remembered(losses)
    model.train_on_batch(*batch())
    after = remembered(losses)
    assert len(after) == 7
    for path, value in after.items():
        assert np.isfinite(value).all(), path
        assert (value != before[path]).any(), f"{path} stands still"


def test_relations_are_remembered_over_training_steps() -> None:
    model, losses = model_and_losses()
    for seed in range(3):
        model.train_on_batch(*batch(seed))
    expected = decayed_correlation([batch(seed)[1]["worn"] for seed in range(3)], 0.99)
    np.testing.assert_allclose(losses["worn"].term.matrix(), expected, atol=2e-6)


@pytest.mark.parametrize("s", [0.0, 0.8])
def test_a_step_moves_a_log_variance_by_its_gradient(s: float) -> None:
    model, losses = model_and_losses()
    variance, (pixels, labels) = losses["smile"].log_variance, batch()
    variance.assign(s)
    raw = array(model(pixels)["smile"])[:, 0]
    known = ~np.isnan(labels["smile"][:, 0])
    entropy = (np.logaddexp(0, raw) - raw * labels["smile"][:, 0])[known].mean()
    model.train_on_batch(pixels, labels)
    assert float(array(variance)) == pytest.approx(s - 0.1 * (0.5 - entropy * np.exp(-s)), rel=1e-4)


def test_a_step_without_labels_of_a_task_leaves_its_variance_alone() -> None:
    model, losses = model_and_losses()
    pixels, labels = batch()
    labels["smile"] = np.full_like(labels["smile"], NAN)
    losses["smile"].log_variance.assign(0.6)
    before = float(array(losses["person"].log_variance))
    model.train_on_batch(pixels, labels)
    assert float(array(losses["smile"].log_variance)) == pytest.approx(0.6, abs=1e-7)
    assert float(array(losses["person"].log_variance)) != before


def test_a_checkpoint_brings_back_what_was_learned_and_remembered(tmp_path: Path) -> None:
    model, losses = model_and_losses()
    for seed in range(3):
        model.train_on_batch(*batch(seed))
    save_checkpoint(tmp_path / "c.npz", model, {"epoch": 1})
    again, fresh = model_and_losses(seed=9)
    load_checkpoint(tmp_path / "c.npz", again)
    for (_, expected), (path, got) in zip(remembered(losses).items(), remembered(fresh).items(), strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=path)
    for each in (model, again):
        each.train_on_batch(*batch(7))
    for one, other in zip(remembered(losses).values(), remembered(fresh).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_without_what_the_losses_remember_is_refused(tmp_path: Path) -> None:
    model, _ = model_and_losses(tracked=False)
    save_checkpoint(tmp_path / "c.npz", model, {}, with_optimizer=False)
    with pytest.raises(RunError, match="of another model: model/.* is missing"):
        load_checkpoint(tmp_path / "c.npz", model_and_losses()[0], with_optimizer=False)
