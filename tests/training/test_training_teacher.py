"""Teachers of a training: what several say together, what is refused, and that a student learns from them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from once import once
from small import Quiet, untrained_run

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import prepare, read_manifest
from keras_faceattr.errors import ConfigError, DataError, FaceAttrError, ModelError, RunError
from keras_faceattr.evaluation.predictions import Outputs
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.models.feature_taps import student_with_maps
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization.fine_tune import fine_tuning_experiment
from keras_faceattr.run import Run
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task, age_task
from keras_faceattr.training.checks import check_experiment
from keras_faceattr.training.fit import fit, network_of
from keras_faceattr.training.start import check_starts, trained_on, write_trained_on
from keras_faceattr.training.teacher import Teacher, Teachers, check_crop, open_teachers, shared_tasks

pytestmark = pytest.mark.usefixtures("small_net")

SOURCE = {"reader": "synthetic", "options": {"count": 40, "size": 32, "seed": 5}}
SPLIT = {"method": "stratified", "test": 0.25, "validation": 0.2, "seed": 3}


class Told(Quiet):
    def on_start(self, *_: Any) -> None:
        """Nothing."""


def config(name: str = "student", training: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    data = {"sources": [SOURCE], "split": SPLIT, "crop": {"size": 32}} | more.pop("data", {})
    return {
        "name": name,
        "data": data,
        "tasks": {"age": {}, "race": {}, "attributes": {}},
        "model": {"name": "two_blocks"},
        "training": {"epochs": 2, "batch_size": 8, "schedule": {"name": "constant"}} | (training or {}),
        "evaluation": {"bootstrap_samples": 0},
        **more,
    }


def experiment(*teachers: object, distillation: dict[str, Any] | None = None, **more: Any) -> Experiment:
    training = {"teacher": [str(path) for path in teachers] or None, "distillation": distillation or {}}
    return parse_experiment(config(training=training | more.pop("training", {}), **more), "test")


@pytest.fixture(scope="module")
def teacher(small_net: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not trained, with the list of photos that it would have learned from."""

    def fill(folder: Path) -> None:
        untrained_run(folder, config("teacher"))
        write_trained_on(Run(folder), [], read_manifest(parse_experiment(config(), "test"))[0])

    return once(tmp_path_factory, "teacher", fill)


def crops(count: int = 3, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype("float32")


SMILE, MOOD = BinaryTask("smile"), CategoricalTask("mood", ("a", "b", "c"))
TASKS: dict[str, Task] = {"smile": SMILE, "mood": MOOD, "age": age_task()}


def saying(name: str, side: int = 32, **outputs: Any) -> Teacher:
    """A teacher that gives the same outputs for every crop, or those that a function makes of the crops."""

    def predict(images: np.ndarray) -> Outputs:
        assert images.shape[1:] == (side, side, 3)
        told = {n: value(images) if callable(value) else [value] * len(images) for n, value in outputs.items()}
        return {n: np.asarray(value, "float32") for n, value in told.items()}

    known = {n: task for n, task in TASKS.items() if n in outputs}
    return Teacher(Path(name), predict, known, CropSpec(side), set(outputs))


def test_several_teachers_are_averaged_in_probability_each_in_what_it_knows() -> None:
    both = saying("a", smile=[0.8], mood=[0.6, 0.3, 0.1]), saying("b", smile=[0.4])
    said = Teachers(list(both), TASKS, {"smile": "answers", "mood": "classes"}, flips=False)(crops())
    np.testing.assert_allclose(said["smile"], np.full((3, 1), np.log(0.6 / 0.4)), rtol=1e-5)
    np.testing.assert_allclose(said["mood"], np.tile(np.log([0.6, 0.3, 0.1]), (3, 1)), rtol=1e-5)


def test_values_are_averaged_as_they_are() -> None:
    said = Teachers([saying("a", age=30.0), saying("b", age=50.0)], TASKS, {"age": "value"}, flips=False)(crops())
    assert said["age"].tolist() == [[40.0]] * 3


def test_a_flipped_teacher_is_the_mean_over_the_crop_and_its_mirror_image() -> None:
    def left(images: np.ndarray) -> np.ndarray:
        return images[:, 0, :1, 0] / 255

    images = crops()
    said = Teachers([saying("a", smile=left)], TASKS, {"smile": "answers"}, flips=True)(images)
    chance = (images[:, 0, :1, 0] + images[:, 0, -1:, 0]) / 510
    np.testing.assert_allclose(said["smile"], np.log(chance / (1 - chance)), rtol=1e-4)


def test_a_teacher_sees_the_students_crop_in_its_own_size() -> None:
    def mean(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3))[:, None] / 255

    images = crops(side=64)
    said = Teachers([saying("a", side=32, smile=mean)], TASKS, {"smile": "answers"}, flips=False)(images)
    # By areas, four pixels are one.
    chance = images.mean(axis=(1, 2, 3), dtype="float64")[:, None] / 255
    np.testing.assert_allclose(said["smile"], np.log(chance / (1 - chance)), atol=1e-4)


def test_an_answer_that_is_no_number_is_refused() -> None:
    with pytest.raises(ModelError, match="teacher a: its answer for mood is no number"):
        Teachers([saying("a", mood=[0.5, np.nan, 0.5])], TASKS, {"mood": "classes"}, flips=False)(crops())


def test_another_crop_is_refused_and_another_size_is_not() -> None:
    one = saying("a", smile=[0.5])
    check_crop(one, CropSpec(224))
    with pytest.raises(ConfigError, match=r"teacher a: its photos are cut otherwise, by data\.crop\.method=centre_squ"):
        check_crop(one, CropSpec(32, "whole_photo"))


WORN = MultilabelTask("worn", ("hat", "tie"))
GROUPED = MultilabelTask("worn", ("hat", "tie"), {"head": ("hat",), "neck": ("tie",)})


@pytest.mark.parametrize(
    ("known", "own", "differs"),
    [
        (
            CategoricalTask("x", ("a", "b")),
            CategoricalTask("x", ("b", "a")),
            r"classes \('a', 'b'\), here \('b', 'a'\)",
        ),
        (ScalarTask("x", 0, 10, 1), ScalarTask("x", 0, 100, 1), r"maximum 10, here 100"),
        (ScalarTask("x", 0, 10, 1), BinaryTask("x"), "kind scalar, here binary"),
        (MultilabelTask("x", ("a", "b")), MultilabelTask("x", ("a", "c")), "attributes"),
    ],
)
def test_a_task_that_means_something_else_is_refused_by_name(known: Task, own: Task, differs: str) -> None:
    with pytest.raises(ConfigError, match=f"teacher t: its task 'x' means something else: {differs}") as error:
        shared_tasks(Path("t"), {"x": known, "smile": SMILE}, {"x": own, "smile": SMILE})
    assert "\n" not in str(error.value)


def test_what_a_teacher_does_not_know_is_left_to_labels_and_one_that_knows_nothing_is_refused() -> None:
    assert shared_tasks(Path("t"), {"smile": SMILE}, TASKS) == ["smile"]
    assert shared_tasks(Path("t"), {"worn": GROUPED}, {"worn": WORN}) == ["worn"]
    with pytest.raises(ConfigError, match="teacher t: knows worn, and none of smile, mood, age"):
        shared_tasks(Path("t"), {"worn": WORN}, TASKS)


def test_answers_of_a_run_are_its_own_predictions(teacher: Path) -> None:
    student = experiment(teacher)
    _, tasks = read_manifest(student)
    opened = open_teachers(student, tasks)
    assert opened is not None and opened.lessons == {"age": "distribution", "race": "classes", "attributes": "answers"}
    images = crops()
    said, own = opened(images), load_model(Run(teacher).model_path).predict_on_batch(images)
    np.testing.assert_allclose(said["age"], np.log(own["age_distribution"]), rtol=1e-4)
    np.testing.assert_allclose(said["race"], np.log(own["race"]), rtol=1e-4, atol=1e-5)
    chance = np.asarray(own["attributes"], "float64")
    np.testing.assert_allclose(said["attributes"], np.log(chance / (1 - chance)), rtol=1e-4, atol=1e-5)


def test_a_teacher_of_values_cannot_teach_a_distribution_and_is_told_by_name(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "values", config(tasks={"age": {"method": "l1"}}))
    student = experiment(run)
    _, tasks = read_manifest(student)
    with pytest.raises(ConfigError, match=r"gives a value of age and no distribution: .* tasks\.age\.method=l1"):
        open_teachers(student, tasks)
    values = experiment(run, tasks={"age": {"method": "l1"}})
    opened = open_teachers(values, {"age": tasks["age"]})
    assert opened is not None
    own = load_model(Run(run).model_path).predict_on_batch(crops())["age"]
    np.testing.assert_allclose(opened(crops())["age"][:, 0], own, rtol=1e-5)


def test_maps_of_a_teacher_are_those_of_its_layers_and_the_student_leads_to_their_channels(teacher: Path) -> None:
    matches = [{"layer": "pool", "teacher_layer": "pool"}, {"layer": "pool", "teacher_layer": "block2_1_relu"}]
    student = experiment(teacher, distillation={"features": matches})
    _, tasks = read_manifest(student)
    opened = open_teachers(student, tasks)
    assert opened is not None and opened.subjects.maps == {"features.0": (8, 8, 16), "features.1": (8, 8, 32)}
    model = load_model(Run(teacher).model_path)
    expected = keras.Model(model.input, model.get_layer("block2_1_relu").output).predict_on_batch(crops())
    np.testing.assert_allclose(opened(crops())["features.1"], expected, rtol=1e-5, atol=1e-6)
    plain = network_of(student, tasks)
    shown = student_with_maps(plain, student.training.distillation.features, opened.subjects.maps, 0)
    assert {name: value.shape[1:] for name, value in shown.trainable.output.items() if "." in name} == {
        "features.0": (8, 8, 16),
        "features.1": (8, 8, 32),
    }
    # A 1×1 convolution from 16 to 32 channels is all that training adds, and nothing that is shipped.
    added = {v.path for v in shown.trainable.variables} - {v.path for v in plain.trainable.variables}
    assert {path.rsplit("/", 1)[1] for path in added} == {"kernel", "bias"} and len(added) == 2
    assert shown.inference is plain.inference


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"layer": "features", "teacher_layer": "nowhere"}, "the teacher .* has no layer 'nowhere'; valid: .*block2_1"),
        ({"layer": "nowhere", "teacher_layer": "pool"}, "the student has no layer 'nowhere'"),
        ({"layer": "features", "teacher_layer": "pool"}, "features is 32, and the teacher's pool 8 × 8 × 16"),
    ],
)
def test_maps_that_are_not_there_or_of_other_sides_are_refused(
    teacher: Path, match: dict[str, str], message: str
) -> None:
    student = experiment(teacher, distillation={"features": [match]})
    _, tasks = read_manifest(student)
    with pytest.raises(ConfigError, match=message) as error:
        opened = open_teachers(student, tasks)
        assert opened is not None
        network = network_of(student, tasks)
        student_with_maps(network, student.training.distillation.features, opened.subjects.maps, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teachers": 0, "distillation": {"share": 0.9}}, r"distillation is set, but there is nobody to learn from"),
        ({"teachers": 2, "distillation": {"features": [{"layer": "pool"}]}}, "feature maps are those of one teacher"),
        ({"distillation": {"features": [{"layer": "pool"}], "crops": 2}}, r"set training\.distillation\.crops=0"),
        (
            {"distillation": {"crops": 4}, "data": {"augmentation": None}},
            "without data.augmentation they are all alike",
        ),
        ({"distillation": {"crop": 4}}, "unknown key 'training.distillation.crop'; did you mean 'crops'"),
        ({"distillation": {"temperature": 0}}, r"training\.distillation\.temperature = 0"),
        ({"distillation": {"share": 1.5}}, r"training\.distillation\.share = 1\.5"),
        ({"training": {"teacher": []}}, r"training\.teacher"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(teacher: Path, settings: dict[str, Any], message: str) -> None:
    given = dict(settings)
    with pytest.raises(ConfigError, match=message) as error:
        check_experiment(experiment(*[teacher] * given.pop("teachers", 1), **given))
    assert "\n" not in str(error.value)


def test_a_teacher_that_is_not_there_is_refused_before_any_photo_is_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no teacher .*gone: name the folder of a run, or an exported .tflite file"):
        check_experiment(experiment(tmp_path / "gone"))


def test_a_teacher_that_learned_from_test_photos_is_refused(teacher: Path, tmp_path: Path) -> None:
    other = experiment(teacher, data={"split": {**SPLIT, "seed": 9}})
    with pytest.raises(DataError, match=r"was trained on \d+ of 10 test photos .*or learn from another"):
        fit(other, tmp_path, Told())
    assert not (tmp_path / "student").exists()
    manifest, _ = read_manifest(experiment())
    assert check_starts([teacher], manifest, "learn from") == []


def test_photos_without_any_label_are_learned_from_a_teacher_and_measured_by_none(
    teacher: Path, tmp_path: Path
) -> None:
    alone = {"sources": [{**SOURCE, "labels": {"race": dict.fromkeys(("Asian", "Black"))}}]}
    plain = prepare(experiment(data=alone, tasks={"race": {}}), ("train", "val", "test"))
    taught = prepare(experiment(teacher, data=alone, tasks={"race": {}}), ("train", "val", "test"))
    everything = read_manifest(experiment(data={"sources": [SOURCE]}))[0].rows["split"].value_counts()
    assert len(plain.parts["train"]) < len(taught.parts["train"]) == everything["train"]
    assert np.isnan(taught.parts["train"].labels["race"]).sum() == len(taught.parts["train"]) - len(
        plain.parts["train"]
    )
    for split in ("val", "test"):
        np.testing.assert_array_equal(taught.parts[split].labels["race"], plain.parts[split].labels["race"])


def test_fine_tuning_of_integers_needs_no_teacher(teacher: Path) -> None:
    tuned = fine_tuning_experiment(experiment(teacher, distillation={"share": 0.9}), "tuned", 2, 1e-5)
    assert tuned.training.teachers == []
    parse_experiment(tuned.model_dump(mode="json"), "test")


@pytest.mark.slow
@pytest.mark.parametrize(
    "distillation", [{"features": [{"layer": "pool"}, {"layer": "block2_1_relu"}], "flips": True}, {"crops": 2}]
)
def test_a_killed_student_goes_on_to_the_same_weights_and_knows_its_teacher(
    teacher: Path, tmp_path: Path, distillation: dict[str, Any]
) -> None:
    own = shutil.copytree(teacher, tmp_path / "teacher")
    with Run(own).trained_on_path.open("a") as stream:
        stream.write("0123456789abcdef\n")
    student = experiment(own, distillation=distillation, training={"epochs": 3})
    whole = fit(student, tmp_path / "whole", Told())

    class Killed(Told):
        def on_epoch(self, row: dict[str, Any], best: bool) -> None:
            if row["epoch"] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(student, tmp_path / "killed", Killed())
    run = Run(tmp_path / "killed" / "student")
    fit(run.experiment(), tmp_path / "killed", Told(), resume=run)
    for ours, theirs in zip(*(load_model(r.model_path).get_weights() for r in (whole, run)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    maps = len(distillation.get("features", []))
    shown = {column for column in pd.read_csv(whole.history_path) if column.startswith("features.")}
    assert shown == {f"features.{number}_loss" for number in range(maps)}
    assert whole.provenance()["distilled_from"].keys() == {str(own)}
    known = trained_on(whole.folder)
    assert known == trained_on(own) and "0123456789abcdef" in (known or ())
    Run(own).model_path.write_bytes(Run(own).model_path.read_bytes() + b" ")
    with pytest.raises(RunError, match=r"the teacher of .*student has changed since it started"):
        fit(run.experiment(), tmp_path / "killed", Told(), resume=run)


@pytest.mark.slow
def test_a_student_without_labels_comes_near_its_teacher(teacher: Path, tmp_path: Path) -> None:
    """The teacher's answers alone, with a share of 1, move the student's to them."""
    learning = {"epochs": 60, "optimizer": {"learning_rate": 0.01}}
    student = experiment(teacher, distillation={"share": 1.0, "temperature": 1.0}, training=learning, seed=7)
    run = fit(student, tmp_path, Told())
    data = prepare(student, ("train",))
    images = data.parts["train"].crops.take(data.parts["train"].rows).astype("float32")
    said, learned = (load_model(Run(p).model_path).predict_on_batch(images) for p in (teacher, run.folder))
    fresh = network_of(student, data.tasks).inference.predict_on_batch(images)
    for name in ("attributes", "race"):
        before, after = (np.abs(np.asarray(o[name]) - np.asarray(said[name])).mean() for o in (fresh, learned))
        assert after < 0.5 * before, name


@pytest.mark.slow
def test_an_exported_file_says_what_its_run_says(small_run: Path, exported: dict[str, Any]) -> None:
    run = Run(small_run)
    base = run.experiment()

    def answers(path: Path) -> dict[str, np.ndarray]:
        training = base.training.model_copy(update={"teacher": str(path)})
        opened = open_teachers(base.model_copy(update={"training": training}), run.tasks())
        assert opened is not None
        return opened(crops())

    of_run, of_file = answers(small_run), answers(exported["float32"].path)
    assert of_run.keys() == of_file.keys() and of_run
    for name, values in of_run.items():
        np.testing.assert_allclose(of_file[name], values, rtol=1e-3, atol=1e-3)
    features = base.training.model_copy(
        update={
            "teacher": str(exported["float32"].path),
            "distillation": base.training.distillation.model_validate({"features": [{"layer": "features"}]}),
        }
    )
    with pytest.raises(FaceAttrError, match="shows no feature maps: name the run it is of"):
        open_teachers(base.model_copy(update={"training": features}), run.tasks())
