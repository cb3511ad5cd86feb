"""The native engine: a fine-tuning that was killed goes on, a finished one is used again, another's is discarded."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small import Quiet

from keras_faceattr.convert import native
from keras_faceattr.convert.native import Integer, batches, draw, make_integer
from keras_faceattr.convert.recipe import ExportRecipe, load_recipe
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import ConfigError, DataError, ModelError
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization import fine_tune
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.layers import QUANTIZED, FakeQuantize
from keras_faceattr.run import Run

TWO_EPOCHS = ["integer.fine_tuning.epochs=2", "integer.calibration.photos=16"]


class KilledError(Exception):
    """In place of a kill."""


class Killing(Quiet):
    """Is killed after the first epoch."""

    def on_step(self, epoch: int, *_: Any) -> None:
        if epoch == 2:
            raise KilledError


@pytest.fixture(scope="module", autouse=True)
def cheap() -> Iterator[None]:
    """What comes behind the fine-tuning is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "convert", lambda body, **options: repr(options).encode())
        patch.setattr(native, "layer_noise", lambda *_: [])
        yield


def made(source: Source, recipe: ExportRecipe, folder: Path, listener: Quiet | None = None) -> tuple[Integer, Quiet]:
    listener = listener or Quiet()
    return make_integer(source, recipe, folder, listener, 1), listener


def same(one: Integer, other: Integer) -> bool:
    assert one.outputs is not None and other.outputs is not None
    return all(np.array_equal(one.outputs[name], other.outputs[name]) for name in one.outputs)


@dataclass(frozen=True)
class Made:
    """A fine-tuning that nothing interrupted."""

    folder: Path
    integer: Integer
    listener: Quiet


@pytest.fixture(scope="module")
def finished(tiny: Source, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("finished") / "qat"
    return Made(folder, *made(tiny, load_recipe("int8_qat", TWO_EPOCHS), folder))


@pytest.fixture
def copied(finished: Made, tmp_path: Path) -> Path:
    """What an earlier export left, to be changed."""
    return Path(shutil.copytree(finished.folder, tmp_path / "qat"))


@pytest.fixture(scope="module")
def broken(tiny: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an export left that was killed after its first epoch; copy it to change it."""
    folder, killing = tmp_path_factory.mktemp("broken") / "qat", Killing()
    with pytest.raises(KilledError):
        made(tiny, load_recipe("int8_qat", TWO_EPOCHS), folder, killing)
    assert killing.epochs == [1]
    return folder


def test_the_fine_tuned_model_is_left_as_a_run_of_its_own(tiny: Source, finished: Made) -> None:
    integer, listener, run = finished.integer, finished.listener, Run(finished.folder)
    assert listener.epochs == [1, 2]
    assert integer.details["engine"] == "native" and integer.details["calibration_photos"] == 16
    assert run.tasks() == tiny.tasks
    assert run.experiment().training.epochs == 2 and run.experiment().name == "tiny_int8_qat"
    stored = predict_split(keras_predictor(load_model(run.model_path)), tiny.held_out)
    assert integer.outputs is not None and stored.keys() == integer.outputs.keys()
    for name, values in stored.items():
        np.testing.assert_allclose(integer.outputs[name], values, atol=1e-6)


def test_what_is_integer_is_asked_of_the_converter_and_heads_stay_in_float(tiny: Source, tmp_path: Path) -> None:
    qat, _ = made(tiny, load_recipe("int8_qat", [*TWO_EPOCHS, "integer.fine_tuning=null"]), tmp_path / "qat")
    full, _ = made(tiny, load_recipe("int8_full", [*TWO_EPOCHS, "integer.fine_tuning=null"]), tmp_path / "full")
    assert "'integer_output': False" in qat.content.decode() and "'integer_output': True" in full.content.decode()
    assert {"attractiveness_raw", "gender_raw"} <= qat.float_layers and "conv" not in qat.float_layers
    assert full.float_layers == frozenset()


def test_a_fine_tuning_that_was_killed_goes_on_and_ends_as_an_unbroken_one(
    tiny: Source, finished: Made, broken: Path, tmp_path: Path
) -> None:
    shutil.copytree(broken, tmp_path / "qat")
    again, listener = made(tiny, load_recipe("int8_qat", TWO_EPOCHS), tmp_path / "qat")
    assert listener.epochs == [2]
    assert again.details == finished.integer.details
    assert again.outputs is not None and finished.integer.outputs is not None
    for name, values in finished.integer.outputs.items():
        np.testing.assert_allclose(again.outputs[name], values, atol=1e-5)


def test_a_finished_fine_tuning_is_used_again(tiny: Source, finished: Made, copied: Path) -> None:
    again, listener = made(tiny, load_recipe("int8_qat", TWO_EPOCHS), copied)
    assert listener.epochs == [] and any("an earlier export left" in line for line in listener.lines)
    assert same(finished.integer, again) and finished.integer.details == again.details


@pytest.fixture(scope="module")
def control(tiny: Source, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The control of `finished`, killed after its first epoch and gone on with; no epoch is thrown away."""
    folder, recipe = tmp_path_factory.mktemp("control") / "qat", load_recipe("int8_qat", TWO_EPOCHS).control()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "is_worse", lambda *_: False)
        with pytest.raises(KilledError):
            made(tiny, recipe, folder, Killing())
        return Made(folder, *made(tiny, recipe, folder))


def test_a_control_trains_the_folded_net_without_rounding(tiny: Source, control: Made) -> None:
    trained = load_model(Run(control.folder).model_path)
    assert not [x for x in trained.layers if isinstance(x, FakeQuantize) or type(x) in QUANTIZED.values()]
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in trained.layers)
    start = {weight.path: np.asarray(weight) for weight in tiny.folded.weights}
    assert start.keys() == {weight.path for weight in trained.weights}
    moved = {
        weight.path.split("/")[0] for weight in trained.weights if (start[weight.path] != np.asarray(weight)).any()
    }
    assert moved == {"conv", "last", "attractiveness_raw", "gender_raw"}
    # The run's own net is that of all recipes.
    np.testing.assert_array_equal(tiny.folded.get_layer("conv").kernel, start["conv/kernel"])
    said = predict_split(keras_predictor(trained), tiny.held_out)
    integer = control.integer
    assert integer.unrounded is not None and integer.outputs is not None and integer.details["fine_tuned"] is True
    for name, values in said.items():
        np.testing.assert_allclose(integer.unrounded[name], values, atol=1e-6)
    # Only then it is rounded, to the 255 steps of its kernels.
    gaps = [np.abs(integer.outputs[name] - said[name]).max() for name in said]
    assert max(gaps) > 0


def test_a_control_differs_from_its_recipe_by_the_rounding_alone(finished: Made, control: Made) -> None:
    rounded, floats = Run(finished.folder).experiment(), Run(control.folder).experiment()
    assert floats.name == "tiny_int8_qat_control"
    assert floats.model_copy(update={"name": rounded.name}) == rounded
    keys = ("calibration_photos", "calibration_sources")
    assert [control.integer.details[key] for key in keys] == [finished.integer.details[key] for key in keys]
    assert control.integer.content == finished.integer.content
    assert finished.integer.unrounded is None


def test_a_control_goes_on_after_a_kill_and_a_finished_one_is_used_again(tiny: Source, control: Made) -> None:
    assert control.listener.epochs == [2]
    again, listener = made(tiny, load_recipe("int8_qat", TWO_EPOCHS).control(), control.folder)
    assert listener.epochs == [] and any("an earlier export left" in line for line in listener.lines)
    assert same(control.integer, again) and control.integer.details == again.details


def test_what_an_export_left_before_a_key_was_added_is_used_again(tiny: Source, finished: Made, copied: Path) -> None:
    path = copied / "quantization.json"
    left = json.loads(path.read_text())
    del left["integer"]["fine_tuning"]["rounding"]
    path.write_text(json.dumps(left))
    again, listener = made(tiny, load_recipe("int8_qat", TWO_EPOCHS), copied)
    assert listener.epochs == [] and same(finished.integer, again)


def test_layers_stay_in_float_by_pattern_and_the_details_say_why(tiny: Source, tmp_path: Path) -> None:
    untuned = [*TWO_EPOCHS, "integer.fine_tuning=null", "integer.calibration.observer=minmax"]
    kept, _ = made(tiny, load_recipe("int8_qat", [*untuned, "integer.keep_float=[^conv$]"]), tmp_path / "kept")
    plain, _ = made(tiny, load_recipe("int8_qat", untuned), tmp_path / "plain")
    kinds = [type(load_model(Run(tmp_path / name).model_path).get_layer("conv")) for name in ("kept", "plain")]
    assert kinds == [layers.Conv2D, QUANTIZED[layers.Conv2D]]
    why = kept.details["float_layers"]
    assert why["conv"] == "skipped by the pattern '^conv$'"
    # Its ReLU only passes on what a float layer gives.
    assert why.keys() - plain.details["float_layers"].keys() == {"conv", "relu"}
    assert plain.details["float_layers"]["gender_raw"].startswith("head: ")
    assert why.keys() == kept.exact_layers and kept.exact_layers <= kept.float_layers


def test_patterns_that_leave_nothing_integer_are_one_line(tiny: Source, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"recipe int8_ptq: no layer is left to be integer; use recipe float32, or"):
        made(tiny, load_recipe("int8_ptq", ["integer.keep_float=[.]"]), tmp_path)


def test_a_pattern_that_matches_no_layer_is_one_line_with_the_nearest(tiny: Source, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"keep_float: no layer's name matches 'convv'; did you mean 'conv'\?"
    ) as error:
        made(tiny, load_recipe("int8_ptq", ["integer.keep_float=[convv]"]), tmp_path)
    assert "\n" not in str(error.value)


def check_discarded(source: Source, recipe: ExportRecipe, folder: Path) -> None:
    """It begins with the first epoch, which is enough to see."""
    killing = Killing()
    with pytest.raises(KilledError):
        made(source, recipe, folder, killing)
    assert killing.epochs == [1]


def test_another_recipe_discards_it(tiny: Source, copied: Path) -> None:
    check_discarded(tiny, load_recipe("int8_qat", [*TWO_EPOCHS, "integer.fine_tuning.learning_rate=1e-3"]), copied)


def test_another_recipe_discards_what_was_killed(tiny: Source, broken: Path, tmp_path: Path) -> None:
    shutil.copytree(broken, tmp_path / "qat")
    check_discarded(tiny, load_recipe("int8_qat", [*TWO_EPOCHS, "integer.calibration.photos=8"]), tmp_path / "qat")


def test_another_model_discards_it(tiny: Source, copied: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    again = keras.models.clone_model(tiny.model)
    again.save(run.model_path)
    other = dataclasses.replace(tiny, run=run, model=again, folded=fold_batch_norm(again))
    check_discarded(other, load_recipe("int8_qat", TWO_EPOCHS), copied)


@pytest.mark.parametrize("name", ["finished.json", "quantization.json"])
@pytest.mark.parametrize("text", ["", "{"])
def test_damaged_notes_of_an_earlier_export_start_it_anew(tiny: Source, tmp_path: Path, name: str, text: str) -> None:
    recipe = load_recipe("int8_qat", ["integer.fine_tuning=null", "integer.calibration.photos=8"])
    made(tiny, recipe, tmp_path)
    (tmp_path / name).write_text(text)
    integer, listener = made(tiny, recipe, tmp_path)
    assert any("calibrating on 8 photos" in line for line in listener.lines)
    assert json.loads((tmp_path / "finished.json").read_text())["calibration_photos"] == 8
    assert integer.details["calibration_photos"] == 8


def test_the_details_count_the_photos_of_each_source(tiny: Source, tmp_path: Path) -> None:
    integer, _ = made(
        mixed(tiny, (3.0, 1.0)), load_recipe("int8_qat", [*TWO_EPOCHS, "integer.fine_tuning=null"]), tmp_path
    )
    assert integer.details["calibration_sources"] == {"many": 12, "few": 4}
    # Of the eight held-out photos six and two are of each: all that there are.
    assert integer.details["noise_sources"] == {"many": 6, "few": 2}


def test_without_training_photos_it_cannot_be_calibrated(tiny: Source, tmp_path: Path) -> None:
    parts = {"test": tiny.held_out}
    untrainable = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, parts=parts))
    with pytest.raises(DataError, match="no photos to calibrate with: the train split is empty"):
        made(untrainable, load_recipe("int8_ptq"), tmp_path)


def test_calibration_photos_are_drawn_from_the_training_photos_alone_and_by_the_seed(tiny: Source) -> None:
    train = tiny.data.parts["train"]
    drawn = [np.concatenate(batches(draw(train, 13, seed, None))) for seed in (0, 0, 1)]
    assert drawn[0].shape == (13, 16, 16, 3)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    known = {photo.tobytes() for photo in train.crops.take(train.rows).astype("float32")}
    assert all(photo.tobytes() in known for photo in drawn[0])
    assert len({photo.tobytes() for photo in drawn[0]}) == 13
    assert sum(map(len, batches(draw(train, 10_000, 0, None)))) == len(train)


def mixed(source: Source, weights: tuple[float | None, float | None]) -> Source:
    """The same photos as of two data sets, three in four of the first; they lie one set behind the other."""
    parts = {
        split: dataclasses.replace(part, sources=(np.arange(len(part)) >= 3 * len(part) // 4).astype("int64"))
        for split, part in source.data.parts.items()
    }
    (own,), (config,) = source.data.manifest.sources.values(), source.experiment.data.sources
    manifest = dataclasses.replace(source.data.manifest, sources={"many": own, "few": own})
    sources = [
        config.model_copy(update={"name": n, "weight": w}) for n, w in zip(("many", "few"), weights, strict=True)
    ]
    settings = source.experiment.data.model_copy(update={"sources": sources})
    return dataclasses.replace(
        source,
        experiment=source.experiment.model_copy(update={"data": settings}),
        data=dataclasses.replace(source.data, manifest=manifest, parts=parts),
    )


def test_photos_are_drawn_from_every_source_wherever_it_lies(tiny: Source) -> None:
    train = mixed(tiny, (None, None)).data.parts["train"]
    counts = [Counter(draw(train, 12, seed, None).sources.tolist()) for seed in range(20)]
    assert all(count[0] + count[1] == 12 for count in counts)
    # By chance: 12 photos of 28, of which 7 are of the second source, hold three of them on average.
    assert 2 < np.mean([count[1] for count in counts]) < 4


def test_photos_are_drawn_by_the_weights_of_their_sources(tiny: Source) -> None:
    train = mixed(tiny, (None, None)).data.parts["train"]
    drawn = draw(train, 12, 3, np.array([0.5, 0.5]))
    assert Counter(drawn.sources.tolist()) == {0: 6, 1: 6}
    assert len(set(drawn.rows.tolist())) == 12
    place = {row: number for number, row in enumerate(train.rows.tolist())}
    np.testing.assert_array_equal(train.sources[[place[row] for row in drawn.rows.tolist()]], drawn.sources)
    # A moving range follows the batches, of which none must be of one source alone.
    assert set(drawn.sources[:3].tolist()) == {0, 1}
    np.testing.assert_array_equal(drawn.rows, draw(train, 12, 3, np.array([0.5, 0.5])).rows)
    assert drawn.rows.tolist() != draw(train, 12, 4, np.array([0.5, 0.5])).rows.tolist()
    pixels = np.concatenate(batches(drawn))
    np.testing.assert_array_equal(pixels, train.crops.take(drawn.rows))


def test_a_source_with_too_few_photos_gives_each_once(tiny: Source) -> None:
    train = mixed(tiny, (None, None)).data.parts["train"]
    drawn = draw(train, 20, 0, np.array([0.5, 0.5]))
    assert Counter(drawn.sources.tolist()) == {0: 10, 1: 7}
    assert len(set(drawn.rows.tolist())) == 17
