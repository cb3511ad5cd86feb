"""Checkpoints bring back every variable, and refuse what is not theirs."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_faceattr.errors import RunError
from keras_faceattr.run import Run
from keras_faceattr.training.callbacks import loop_state
from keras_faceattr.training.checkpoint import load_checkpoint, save_checkpoint


def compiled(units: int = 3, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((4,))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(units, name="dense")(pixels))
    model = keras.Model(pixels, x)
    model.compile(keras.optimizers.Adam(1e-2, use_ema=True), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 4)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")


def test_training_goes_on_exactly_where_the_checkpoint_was(tmp_path: Path) -> None:
    first, path = compiled(), tmp_path / "c.npz"
    for _ in range(3):
        first.train_on_batch(*batch())
    save_checkpoint(path, first, {"epoch": 3, "history": [{"loss": 0.5}]})
    second = compiled(seed=9)
    assert load_checkpoint(path, second) == {"epoch": 3, "history": [{"loss": 0.5}]}
    for model in (first, second):
        model.train_on_batch(*batch())
    for one, other in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert int(second.optimizer.iterations) == 4


def test_infinity_in_the_state_survives(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", compiled(), {"best_score": float("inf")})
    assert load_checkpoint(tmp_path / "c.npz", compiled())["best_score"] == float("inf")


def test_another_models_checkpoint_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", compiled(units=3), {})
    other = compiled(units=5)
    before = [np.array(v) for v in other.variables]
    with pytest.raises(RunError, match="another model"):
        load_checkpoint(tmp_path / "c.npz", other)
    for old, new in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", b"text"])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "c.npz", compiled())


def test_a_cut_checkpoint_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, compiled(), {})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path, compiled())


def changed(path: Path, **arrays: np.ndarray) -> None:
    """Replaces arrays of a checkpoint."""
    with np.load(path) as stored:
        whole = dict(stored) | arrays
    with path.open("wb") as stream:
        np.savez(stream, **whole)


def as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    "arrays",
    [
        {"state": as_bytes("[]")},
        {"state": as_bytes('"x"')},
        {"state": as_bytes("9" * 5000)},
        {"state": as_bytes("[" * 100_000)},
        {"state": as_bytes("")},
        {"state": np.ones(3)},
        {"model/dense/kernel": np.full((4, 3), "x")},
        {"model/dense/kernel": np.ones((4, 3), "complex64")},
        {"optimizer/0": np.float32(1.0)},
    ],
    ids=range(9),
)
def test_a_checkpoint_of_wrong_types_is_damaged_and_changes_nothing(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path, model = tmp_path / "c.npz", compiled()
    save_checkpoint(path, compiled(seed=5), {})
    changed(path, **arrays)
    before = [np.array(v) for v in model.variables]
    with pytest.raises(RunError, match=r"c\.npz is damaged: .*train a new run"):
        load_checkpoint(path, model)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_that_claims_more_than_the_file_has_is_damaged_before_memory_is_made(
    tmp_path: Path, compression: int
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "c.npz", "w", compression) as archive:
        archive.writestr("model/dense/kernel.npy", header.getvalue() + bytes(1000))
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "c.npz", compiled())


ROW = {"epoch": 1, "loss": 0.5, "val_age_mae": math.nan}
STATE = {"epoch": 2, "best_score": math.inf, "best_epoch": 1, "history": [ROW, ROW]}


def test_the_state_of_a_training_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, compiled(), STATE)
    state = loop_state(load_checkpoint(path, compiled()), path, 2)
    assert (state.epoch, state.best_score, state.best_epoch, len(state.history)) == (2, math.inf, 1, 2)


@pytest.mark.parametrize("value", [None, "x", -5, [1], {"a": 1}, 1e300, True, 0, 3, [{"epoch": "x"}]], ids=repr)
@pytest.mark.parametrize("key", ["epoch", "best_epoch", "history"])
def test_a_state_of_wrong_types_or_that_contradicts_itself_is_damaged(key: str, value: Any) -> None:
    with pytest.raises(RunError, match=r"c\.npz is damaged: .*train a new run"):
        loop_state({**STATE, key: value}, Path("c.npz"), 2)


@pytest.mark.parametrize("state", [{}, {**STATE, "x": 1}, {**STATE, "best_score": "x"}, {**STATE, "best_score": None}])
def test_a_state_with_other_keys_is_damaged(state: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="damaged"):
        loop_state(state, Path("c.npz"), 2)
    with pytest.raises(RunError, match="epoch 2 of 1"):
        loop_state(STATE, Path("c.npz"), 1)


def test_a_folder_in_the_place_of_weights_is_one_line(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.best_path(1).mkdir(parents=True)
    with pytest.raises(RunError, match=r"best-1\.npz is damaged"):
        load_checkpoint(run.best_path(1), compiled())
    with pytest.raises(RunError, match=r"cannot remove .*best-1\.npz: .*; remove it yourself"):
        run.drop_best_but(2)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint .*c.npz: train a new run"):
        load_checkpoint(tmp_path / "c.npz", compiled())


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "c.npz", compiled()
    save_checkpoint(path, model, {"epoch": 1})

    def full(stream, **arrays):  # type: ignore[no-untyped-def]
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match="No space left"):
        save_checkpoint(path, model, {"epoch": 2})
    assert load_checkpoint(path, model) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]
