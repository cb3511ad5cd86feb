"""Checkpoints bring back every variable, and refuse what is not theirs."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_faceattr.errors import RunError
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
