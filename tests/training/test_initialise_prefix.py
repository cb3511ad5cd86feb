"""Starting one net from several runs, each of which fills the layers that have its name in front."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from keras_faceattr.errors import ModelError
from keras_faceattr.models.network import build_network
from keras_faceattr.tasks import CategoricalTask, IdentityTask, MultilabelTask, age_task
from keras_faceattr.training.initialise import initialise

WORN = MultilabelTask("worn", ("hat", "scarf"), {"head": ("hat",), "neck": ("scarf",)})


def face_net(name: str, seed: int) -> keras.Model:
    task = {"identity": IdentityTask("person", 8, 3), "age": age_task(), "race": CategoricalTask("race", ("a", "b"))}
    method = {"identity": "center", "age": "mse"}.get(name)
    tasks = {task[name].name: (task[name], method)}
    return build_network(f"{name}_net_mobile", tasks, size=32, seed=seed).inference


def attribute_net(seed: int = 9) -> keras.Model:
    return build_network("attribute_net_mobile", {"worn": (WORN, None)}, size=32, seed=seed).trainable


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {v.path: np.array(v) for v in model.weights}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder of IdentityNet, a file of AgeNet, and a file of a net that is none of them."""
    folder = tmp_path_factory.mktemp("starts")
    paths = {"identity": folder / "run", "age": folder / "age.keras", "other": folder / "other.keras"}
    paths["identity"].mkdir()
    face_net("identity", 1).save(paths["identity"] / "model.keras")
    face_net("age", 2).save(paths["age"])
    build_network("tiny_age_net", {"age": (age_task(), None)}, size=32, seed=3).inference.save(paths["other"])
    return paths


def test_each_run_fills_the_layers_that_have_its_name_in_front(stored: dict[str, Path]) -> None:
    model = attribute_net()
    before = values(model)
    report = initialise(model, {"identity": str(stored["identity"]), "age": str(stored["age"])}, {})
    after = values(model)
    starts = {"identity": values(face_net("identity", 1)), "age": values(face_net("age", 2))}
    filled = set()
    for name, start in starts.items():
        for path, value in start.items():
            if path.startswith("conv"):
                np.testing.assert_array_equal(after[f"{name}_{path}"], value)
                filled.add(f"{name}_{path}")
    # Five convolutions, each with a kernel and four numbers of batch norm a channel.
    assert len(filled) == 2 * 5 * 5
    assert not np.array_equal(after["identity_conv1_conv/kernel"], after["age_conv1_conv/kernel"])
    for path in before.keys() - filled:
        np.testing.assert_array_equal(after[path], before[path])
    assert filled <= set(report.matched)


def test_the_report_names_what_was_taken_what_was_not_there_and_what_was_left(stored: dict[str, Path]) -> None:
    report = initialise(attribute_net(), {"identity": str(stored["identity"])}, {})
    assert {path.split("_")[0] for path in report.matched if "conv" in path} == {"identity"}
    assert "age_conv1_conv/kernel" in report.absent
    assert "worn_head_conv/kernel" in report.absent
    assert "identity_person_raw/kernel" in report.unused


def test_one_run_can_start_several_nets(stored: dict[str, Path]) -> None:
    model = attribute_net()
    initialise(model, {"race": str(stored["age"]), "age": str(stored["age"])}, {})
    after = values(model)
    np.testing.assert_array_equal(after["race_conv3_conv/kernel"], after["age_conv3_conv/kernel"])
    assert not np.array_equal(after["identity_conv3_conv/kernel"], after["age_conv3_conv/kernel"])


def test_a_prefix_that_no_layer_has_is_refused_with_the_prefix_and_the_file(stored: dict[str, Path]) -> None:
    model = attribute_net()
    before = values(model)
    with pytest.raises(ModelError) as error:
        initialise(model, {"identity": str(stored["identity"]), "gender": str(stored["age"])}, {})
    message = str(error.value)
    assert message.startswith(f"{stored['age']} is another model: ")
    assert message.endswith("fits into layers gender_…")
    assert "\n" not in message
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_another_net_behind_a_prefix_is_refused_with_the_prefix(stored: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="is another model: none of its .* variables fits into layers identity_…"):
        initialise(attribute_net(), {"identity": str(stored["other"])}, {})


def test_without_prefix_the_names_must_be_the_same(stored: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="is another model: none of its [0-9]+ variables fits$"):
        initialise(attribute_net(), str(stored["age"]), {})
    model = face_net("race", 5)
    initialise(model, str(stored["age"]), {})
    expected = values(face_net("age", 2))["conv2_conv/kernel"]
    np.testing.assert_array_equal(values(model)["conv2_conv/kernel"], expected)


def test_a_file_that_is_not_there_is_named(stored: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="no model file .*nowhere.keras"):
        initialise(attribute_net(), {"age": str(stored["age"].with_name("nowhere.keras"))}, {})


def test_a_head_whose_classes_stand_in_another_order_keeps_its_random_weights(tmp_path: Path) -> None:
    stored, net = CategoricalTask("race", ("a", "b")), CategoricalTask("race", ("b", "a"))
    build_network("race_net_mobile", {"race": (stored, None)}, size=32, seed=1).inference.save(tmp_path / "model.keras")
    (tmp_path / "tasks.yaml").write_text(
        yaml.safe_dump({"race": {"kind": "categorical", "classes": ["a", "b"], "name": "race"}})
    )
    for task, left_out in ((stored, set()), (net, {"race_raw/kernel", "race_raw/bias"})):
        model = build_network("race_net_mobile", {"race": (task, None)}, size=32, seed=2).trainable
        report = initialise(model, str(tmp_path), {"race": task})
        assert set(report.other_meaning) == left_out
        assert len(report.matched) == len(model.variables) - len(left_out)
        assert any("other meaning: race_raw/kernel" in line for line in report.lines()) == bool(left_out)
