"""Several tasks at once: what cannot be learned is one line that says so, and what is only partly labelled trains."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small import CommandLine, Quiet

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.prepare import prepare
from keras_faceattr.errors import ConfigError, DataError, FaceAttrError
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import Run
from keras_faceattr.training.fit import fit, network_of
from keras_faceattr.training.loop import make_losses, train

DRAWN = [
    "data.sources=[{reader: synthetic, options: {count: 40, size: 40}}]", "data.split={method: given}",
    "data.crop={size: 32}", "data.augmentation=null", "training.epochs=1", "training.batch_size=8",
    "training.steps_per_epoch=2", "evaluation.bootstrap_samples=5",
]  # fmt: skip
"""A recipe of photos on 40 drawn faces."""

ALSO = {
    "tasks.attractiveness.method=mse": ["tasks.attractiveness.delta=0.3"],
    "tasks.gender={}": ["tasks.attributes.method=attribute_cross_entropy"],
}
"""What else must be set for a mistake to be the first."""

TinyCsv = Callable[..., Path]


class Listening(Quiet):
    """Keeps the loss of every step, and may do something after each epoch."""

    def __init__(self, then: Callable[[int], Any] = lambda epoch: None) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.then = then

    def decode_progress(self) -> Progress:
        return lambda done, total: None

    def on_start(self, *_: Any) -> None:
        """Nothing."""

    def on_step(self, epoch: int, step: int, steps: int, loss: float, *_: Any) -> None:
        self.losses.append(loss)

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        super().on_epoch(row, best)
        self.then(row["epoch"])


def own(csv: Path, tasks: dict[str, Any], **changes: Any) -> Experiment:
    """An experiment on a csv of one's own."""
    data = {
        "sources": [{"reader": "csv_file", "path": str(csv)}],
        "split": {"method": "given", "validation": 0.0},
        "crop": {"size": 32},
        "augmentation": None,
    }
    base: dict[str, Any] = {
        "name": "own",
        "data": data,
        "tasks": tasks,
        "training": {"epochs": 1, "batch_size": 8},
        "evaluation": {"bootstrap_samples": 5},
    }
    return parse_experiment(base | changes, "test")


@pytest.mark.parametrize(
    ("recipe", "override", "words"),
    [
        (
            "hmtnet_mobile",
            "model.branches={race: block9}",
            [
                "model.branches.race",
                "did you mean 'block5'",
                "valid: aggregate, block1, block2, block3, block4, block5",
            ],
        ),
        (
            "hmtnet_mobile",
            "model.branches={rase: block5}",
            ["no task 'rase'", "did you mean 'race'", "valid: attractiveness, gender, race"],
        ),
        ("hmtnet_mobile", "model.aggregatr=none", ["no option 'aggregatr'", "did you mean 'aggregator'"]),
        ("hmtnet_mobile", "model.aggregator=mean", ["'mean'", "valid: average, concat, none"]),
        ("hmtnet_mobile", "model.maps=[block3, conv5]", ["no map 'conv5'", "valid: block1, block2"]),
        ("quickstart", "model.aggregator=none", ["no option 'aggregator'"]),
        (
            "hmtnet_mobile",
            "tasks.gender.method=dldl_v2",
            ["'dldl_v2' is not for categorical tasks such as 'gender'", "valid: cross_entropy"],
        ),
        ("hmtnet_mobile", "tasks.gender.delta=0.2", ["tasks.gender.delta", "'cross_entropy'", "label_smoothing"]),
        (
            "hmtnet_mobile",
            "tasks.attractiveness.method=mse",
            ["tasks.attractiveness", "'mse' does not look at it", "it has no settings"],
        ),
        ("crnet", "tasks.attractiveness.cut_points=[3, 2]", ["cut_points [3.0, 2.0] must ascend between 1 and 5"]),
        ("crnet", "tasks.attractiveness.cut_points=[0.5, 2]", ["cut_points [0.5, 2.0] must ascend between 1 and 5"]),
        ("attribute_net", "tasks.gender={}", ["attribute_net learns attributes", "'gender' is categorical"]),
        ("tree_cnn", "data.crop.method=centre_square", ["data.crop.method=five_points", "keras-faceattr align"]),
        ("quickstart", "tasks={age: null, gender: null}", ["tasks", "at least 1 item"]),
    ],
    ids=lambda value: value.partition("=")[0] + value[-12:] if isinstance(value, str) and "=" in value else None,
)
def test_what_several_tasks_can_get_wrong_is_one_line_before_a_run_is_made(
    command_line: CommandLine, tmp_path: Path, recipe: str, override: str, words: list[str]
) -> None:
    settings = [*DRAWN, *ALSO.get(override, []), override]
    code, _, shown = command_line(
        "fit", recipe, *(part for setting in settings for part in ("--set", setting)), "--runs", tmp_path / "runs"
    )
    (line,) = [line for line in shown.splitlines() if line.startswith("error: ")]
    assert code == 2 and "Traceback" not in shown
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_what_does_not_fit_a_task_is_refused_before_photos_are_decoded(
    tmp_path: Path, tiny_csv: TinyCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("photos were decoded")

    monkeypatch.setattr("keras_faceattr.data.prepare.load_crops", decode)
    csv = tiny_csv(tmp_path / "own", 8, beauty=range(8), split=["train", "test"] * 4)
    scalar = {"kind": "scalar", "minimum": 0, "maximum": 7, "step": 1}
    for tasks, changes, words in (
        ({"beauty": scalar | {"method": "l1", "delta": 2}}, {}, "does not look at it"),
        ({"beauty": scalar | {"method": "cross_entropy"}}, {}, "is not for scalar tasks"),
        ({"beauty": scalar}, {"model": {"pooling": "mean"}}, "mean"),
        (
            {"beauty": scalar | {"method": "l1"}},
            {"training": {"epochs": 2, "first_stage_epochs": 1}},
            "no method of beaut",
        ),
    ):
        with pytest.raises(FaceAttrError, match=words):
            fit(own(csv, tasks, **changes), tmp_path / "runs", Listening())
    assert not (tmp_path / "runs").exists()


def test_a_task_of_which_no_train_photo_is_labelled_is_refused(tmp_path: Path, tiny_csv: TinyCsv) -> None:
    train = [True] * 12 + [False] * 4
    csv = tiny_csv(
        tmp_path / "photos", 16,
        score=[i % 5 for i in range(16)],
        mask=["" if part else i % 2 for i, part in enumerate(train)],
        split=["train" if part else "test" for part in train],
    )  # fmt: skip
    tasks = {"score": {"kind": "scalar", "minimum": 0, "maximum": 4, "step": 1}, "mask": {"kind": "binary"}}
    with pytest.raises(DataError) as raised:
        fit(own(csv, tasks), tmp_path / "runs", Listening())
    assert "none of 12 train photos is labelled with mask: leave the task out" in str(raised.value)
    assert "\n" not in str(raised.value) and not (tmp_path / "runs").exists()


def test_batches_without_a_label_of_a_task_are_masked(tmp_path: Path, tiny_csv: TinyCsv, small_net: str) -> None:
    # An epoch visits 32 photos once, in four batches: three hold no label of the mask, and just one holds the label.
    csv = tiny_csv(
        tmp_path / "photos", 40,
        score=[i % 5 for i in range(40)],
        mask=[1 if i == 5 else "" if i < 32 else i % 2 for i in range(40)],
        split=["train"] * 32 + ["test"] * 8,
    )  # fmt: skip
    tasks = {"score": {"kind": "scalar", "minimum": 0, "maximum": 4, "step": 1}, "mask": {"kind": "binary"}}
    for weights in ("fixed", "learned"):
        listener = Listening()
        training = {"epochs": 1, "batch_size": 8, "loss_weights": weights}
        run = fit(own(csv, tasks, model={"name": small_net}, training=training), tmp_path / weights, listener)
        assert len(listener.losses) == 4 and all(map(math.isfinite, listener.losses))
        start = network_of(run.experiment(), run.tasks()).trainable
        for name in ("score_raw", "mask_raw"):
            before, after = (np.asarray(net.get_layer(name).kernel) for net in (start, load_model(run.model_path)))
            assert np.isfinite(after).all() and np.abs(after - before).max() > 0
        values = pd.read_csv(run.predictions_path)["mask_predicted"]
        assert len(values) == 8 and values.between(0, 1).all()


def test_null_leaves_a_recipes_task_out(command_line: CommandLine, tmp_path: Path) -> None:
    settings = [*DRAWN, "tasks.race=null"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    code, _, shown = command_line("fit", "hmtnet_mobile", *arguments, "--runs", tmp_path)
    assert code == 0, shown
    run = Run(tmp_path / "hmtnet_mobile")
    assert set(run.tasks()) == set(run.experiment().tasks) == {"attractiveness", "gender"}
    columns = pd.read_csv(run.predictions_path).columns
    assert "gender_predicted" in columns and "race_predicted" not in columns
    code, _, shown = command_line(
        "fit", "hmtnet_mobile", *arguments, "--set", "model.branches={race: block5}", "--runs", tmp_path / "second"
    )
    assert code == 2 and "no task 'race'" in shown


def test_attributes_that_all_photos_share_are_refused_by_name_and_spoil_no_relation_of_others(
    tmp_path: Path, tiny_csv: TinyCsv
) -> None:
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 2, (2, 40))
    csv = tiny_csv(
        tmp_path / "photos", 40, hat=first, smile=second, young=[1] * 40, bald=[0] * 40,
        split=["train"] * 32 + ["test"] * 8,
    )  # fmt: skip
    names = ["hat", "smile", "young", "bald"]
    looks = {"kind": "multilabel", "attributes": names, "groups": {"top": names[:2], "rest": names[2:]}}
    experiment = own(
        csv,
        {"looks": looks | {"method": "obrl", "relation_weight": 5.0}},
        model={"name": "attribute_net_mobile", "nets": ["net0"]},
    )
    with pytest.raises(DataError, match="young, bald is undefined: .*method=attribute_cross_entropy") as raised:
        fit(experiment, tmp_path / "runs", Listening())
    assert "\n" not in str(raised.value) and not (tmp_path / "runs").exists()
    # A batch may be alike where the photos are not: the loss itself must bear it.
    data, listener, run = prepare(experiment, ("train",)), Listening(), Run(tmp_path / "run")
    run.folder.mkdir()
    losses = make_losses(experiment, data.tasks)
    network = network_of(experiment, data.tasks)
    train(experiment, data, network, run, listener, losses=losses)
    assert len(listener.losses) == 4 and all(map(math.isfinite, listener.losses))
    matrix = losses["looks"].term.matrix()  # type: ignore[union-attr]
    assert np.isnan(matrix[2:]).all() and np.isnan(matrix[:, 2:]).all()
    assert np.isfinite(matrix[:2, :2]).all()
    assert all(np.isfinite(np.asarray(weight)).all() for weight in network.trainable.weights)


@pytest.mark.parametrize("method", ["softmax", "center", "arc_face"])
def test_one_person_alone_cannot_be_told_from_anybody(tmp_path: Path, tiny_csv: TinyCsv, method: str) -> None:
    csv = tiny_csv(
        tmp_path / "photos", 12, identity=["ann"] * 8 + ["bob"] * 4, split=["train"] * 8 + ["test"] * 4
    )  # fmt: skip
    tasks = {"person": {"kind": "identity", "dimension": 8, "method": method}}
    with pytest.raises(DataError) as raised:
        fit(own(csv, tasks), tmp_path / "runs", Listening())
    assert str(raised.value) == "1 person in the train photos: telling people apart needs two or more"


def test_photos_of_one_person_cannot_be_split(tmp_path: Path, tiny_csv: TinyCsv) -> None:
    experiment = own(
        tiny_csv(tmp_path / "photos", 12, identity=["ann"] * 12), {"person": {"kind": "identity", "dimension": 8}}
    )
    data = experiment.data.model_copy(
        update={"split": experiment.data.split.model_copy(update={"method": "stratified"})}
    )
    with pytest.raises(DataError, match="leaves no test rows of 12 photos in 1 groups") as raised:
        fit(experiment.model_copy(update={"data": data}), tmp_path / "runs", Listening())
    assert "\n" not in str(raised.value) and not (tmp_path / "runs").exists()


def test_learned_loss_weights_go_on_where_they_stopped(tmp_path: Path, small_net: str) -> None:
    sources = [{"reader": "synthetic", "options": {"count": 40, "size": 40}}]
    optimizer = {"name": "adamw", "learning_rate": 1e-2, "epsilon": 1e-7}
    training = {
        "epochs": 2, "batch_size": 8, "steps_per_epoch": 2, "loss_weights": "learned", "optimizer": optimizer,
        "weight_average": 0.5,
    }  # fmt: skip
    experiment = parse_experiment(
        {
            "name": "learned",
            "data": {"sources": sources, "split": {"method": "given"}, "crop": {"size": 32}},
            "tasks": {"attractiveness": {"method": "dldl_v2"}, "age": {"method": "l1"}, "gender": {}},
            "model": {"name": small_net},
            "training": training,
        },
        "test",
    )
    data, whole, stopped = prepare(experiment, ("train", "val")), Run(tmp_path / "whole"), Run(tmp_path / "stopped")

    def keep(epoch: int) -> None:
        """What a kill after the first epoch leaves."""
        if epoch == 1:
            shutil.copytree(whole.folder, stopped.folder)

    first, second = Listening(keep), Listening()
    nets = [network_of(experiment, data.tasks) for _ in range(2)]
    train(experiment, data, nets[0], whole, first)
    train(experiment, data, nets[1], stopped, second, resume=True)
    assert (first.epochs, second.epochs) == ([1, 2], [2])
    assert all(map(math.isfinite, first.losses)) and len(first.losses) == 4
    np.testing.assert_allclose(second.losses, first.losses[2:], rtol=1e-4)
    with np.load(whole.checkpoint_path) as expected, np.load(stopped.checkpoint_path) as got:
        learned = [name for name in expected.files if "log_variance" in name]
        assert len(learned) == 3
        for name in learned:
            # Each has left 0, and none has started again.
            assert abs(float(expected[name])) > 1e-3
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-3)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    expected_outputs, outputs = (net.inference.predict_on_batch(images) for net in nets)
    for name, values in expected_outputs.items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-2, atol=1e-2)


def test_a_wrong_value_of_loss_weights_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="'fixed' or 'learned'"):
        parse_experiment(
            {
                "name": "x",
                "data": {"sources": [{"reader": "synthetic"}]},
                "tasks": {"age": {}},
                "training": {"loss_weights": "learn"},
            },
            "test",
        )
