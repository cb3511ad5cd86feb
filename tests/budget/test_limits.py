"""Budgets: what a file must keep, judged by numbers that were measured and never by those that were not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from keras_faceattr.artifact.sidecar import CostSpec
from keras_faceattr.budget.devices import device_class, device_classes
from keras_faceattr.budget.gates import outcome
from keras_faceattr.budget.limits import (
    BUDGET_FOLDER,
    Budget,
    Ratio,
    Times,
    file_gates,
    load_budget,
    speed_gates,
    verdict_row,
)
from keras_faceattr.config_files import names_in
from keras_faceattr.errors import ConfigError
from keras_faceattr.metrics import metrics_of
from keras_faceattr.tasks import BinaryTask, Task, age_task

COST = CostSpec(
    parameters=1000, macs=2_000_000_000, file_bytes=3_000_000, weight_bytes=2_900_000, peak_activation_bytes=500_000
)


def refused(path: Path, text: str) -> str:
    """The line that a mistake is answered with."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_budget(str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", names_in(BUDGET_FOLDER))
def test_a_shipped_budget_loads_and_is_called_like_its_file(name: str) -> None:
    assert load_budget(name).name == name


def test_the_budget_of_tiny_att_net_holds_the_issues_targets() -> None:
    budget = load_budget("tiny_att_net")
    assert budget.file.max_parameters == 950_000
    assert budget.file.max_macs == 1e9
    assert isinstance(budget.file.max_bytes, dict)
    assert (budget.file.max_bytes["float32"], budget.file.max_bytes["int8"]) == (3.8e6, 1.0e6)
    assert {net: limit.minimum for net, limit in budget.speed_up.items()} == {"resnet50": 3.5, "vgg16": 12}
    assert "4.5 ×" in budget.speed_up["resnet50"].paper and "5.5 ×" in budget.speed_up["vgg16"].paper
    assert budget.latency["pixel_4"].max_p90_ms == 33


def test_every_shipped_class_of_devices_loads() -> None:
    classes = device_classes()
    assert {"host", "pixel_4"} <= set(classes)
    assert device_class("host").kind == "host" and device_class("pixel_4").kind == "android"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: own\nlatencies: {}\n", ("unknown key 'latencies'", "did you mean 'latency'?")),
        ("name: own\nfile: {max_byte: 3}\n", ("unknown key 'file.max_byte'", "did you mean 'max_bytes'?")),
        ("name: own\nspeed_up: {vgg16: {min: 3}}\n", ("speed_up.vgg16", "minimum")),
        ("name: own\nlatency: {pixel_4: {p90_ms: 3}}\n", ("latency.pixel_4", "max_p90_ms")),
        ("name: own\nlatency: {pixel_5: {max_p90_ms: 3}}\n", ("device class 'pixel_5'", "did you mean 'pixel_4'?")),
        ("name: own\nfile: {max_macs: 0}\n", ("file.max_macs = 0", "greater than 0")),
        ("name: own\nfile: {max_macs: .nan}\n", ("file.max_macs",)),
        ("name: own\ndrop: {mae: {relative: 0.1, absolute: 0.1}}\n", ("drop.mae", "either relative or absolute")),
        ("file: {}\n", ("missing key 'name'",)),
        # A limit under a wrong name would never be judged, which is a silent pass.
        ("name: own\nfile: {max_bytes: {in8: 3}}\n", ("file.max_bytes", "no precision 'in8'", "did you mean 'int8'?")),
        ("name: own\ndrop: {mea: {relative: 0.1}}\n", ("drop", "no metric 'mea'", "did you mean 'mae'?")),
        ("name: own\nspeed_up: {resnet: {minimum: 3}}\n", ("reference net 'resnet'", "did you mean 'resnet50'?")),
    ],
)
def test_a_wrong_budget_is_one_line_that_names_the_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    line = refused(tmp_path / "own.yaml", text)
    for word in words:
        assert word in line


@pytest.mark.parametrize("task", [BinaryTask("hat"), age_task(bands=[(0, 2), (3, 9)])], ids=lambda task: task.kind)
def test_a_limit_may_name_every_metric_of_a_task(tmp_path: Path, task: Task) -> None:
    limits = {metric: {"absolute": 0.1} for metric in metrics_of(task)}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"name": "own", "drop": limits}), encoding="utf-8")
    assert load_budget(str(path)).drop.keys() == limits.keys()


def test_an_unknown_budget_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no budget 'tiny_at_net'.*did you mean 'tiny_att_net'"):
        load_budget("tiny_at_net")
    with pytest.raises(ConfigError, match="no device class 'pixel4'; did you mean 'pixel_4'"):
        device_class("pixel4")


def budget(**sections: object) -> Budget:
    return Budget.model_validate({"name": "own", **sections})


@pytest.mark.parametrize(
    ("limit", "value", "name"),
    [
        ("max_parameters", 1000, "parameters"),
        ("max_macs", 2e9, "MACs"),
        ("max_bytes", 3e6, "file size"),
        ("max_peak_activation_bytes", 5e5, "peak activations"),
    ],
)
def test_a_limit_is_met_up_to_itself_and_not_one_below(limit: str, value: float, name: str) -> None:
    for most, met in ((value, True), (value - 1, False)):
        (gate,) = file_gates(budget(file={limit: most}), COST, "int8")
        assert (gate.name, gate.met) == (name, met)


def test_bytes_are_judged_by_the_precision_of_the_file_and_one_number_holds_for_all() -> None:
    by_precision = budget(file={"max_bytes": {"float32": 4e6, "int8": 1e6}})
    verdicts = {p: [g.met for g in file_gates(by_precision, COST, p)] for p in ("float32", "int8")}
    assert verdicts == {"float32": [True], "int8": [False]}
    assert [g.met for g in file_gates(budget(file={"max_bytes": 1e6}), COST, "float16")] == [False]


@pytest.mark.parametrize("limits", [{"float32": 4e6, "int8": 1e6}, {}])
def test_a_size_limit_that_names_other_precisions_than_the_files_is_left_open_and_not_dropped(
    limits: dict[str, float],
) -> None:
    (gate,) = file_gates(budget(file={"max_bytes": limits}), COST, "float16")
    assert (gate.name, gate.limit, gate.measured, gate.met) == ("file size", "none for float16", "3.000 MB", None)
    assert outcome([gate]) == "not measured"


def test_multiply_adds_count_per_photo_as_ratios_do_and_memory_per_call() -> None:
    # Eight photos a call: 2 G in all are 0.25 G a photo; the 0.5 MB of the call are needed at once.
    limits = budget(file={"max_macs": 0.25e9, "max_peak_activation_bytes": 0.4e6, "max_parameters": 1000})
    found = {gate.name: (gate.limit, gate.measured, gate.met) for gate in file_gates(limits, COST, "int8", batch=8)}
    assert found == {
        "parameters": ("≤ 1,000", "1,000", True),
        "MACs": ("≤ 0.25 G per photo", "0.250 G", True),
        "peak activations": ("≤ 0.4 MB per call", "0.50 MB", False),
    }


def test_a_verdict_shows_the_limit_beside_what_was_measured() -> None:
    file = {"max_parameters": 950_000, "max_macs": 1e9, "max_bytes": 10_000, "max_peak_activation_bytes": 2e6}
    rows = [[g.name, g.limit, g.measured] for g in file_gates(budget(file=file), COST, "int8")]
    assert rows == [
        ["parameters", "≤ 950,000", "1,000"],
        ["MACs", "≤ 1 G", "2.000 G"],
        ["file size", "≤ 0.01 MB", "3.000 MB"],
        ["peak activations", "≤ 2 MB", "0.50 MB"],
    ]


def on(*classes: str, p90: tuple[float | None, float | None] = (None, None), **ratios: Ratio) -> Times:
    return Times(frozenset(classes), ratios, p90)


def test_without_limits_nothing_is_judged() -> None:
    times = on("host", "pixel_4", p90=(1, 1), resnet50=Ratio(1, 1, 1))
    assert file_gates(budget(), COST, "int8") == [] == speed_gates(budget(), times)


@pytest.mark.parametrize(
    ("ratio", "met", "measured"),
    [
        (Ratio(3.7, 3.5, 3.9), True, "3.70 × (3.50–3.90)"),
        (Ratio(3.7, 3.49, 9.0), None, "3.70 × (3.49–9.00)"),  # the machine was busy in some of the rounds
        (Ratio(3.4, 3.3, 3.5), None, "3.40 × (3.30–3.50)"),
        (Ratio(3.4, 3.3, 3.49), False, "3.40 × (3.30–3.49)"),
        (Ratio(99.0, None, None), None, "99.00 × (too few rounds)"),
    ],
)
def test_a_ratio_is_met_or_missed_only_where_its_whole_interval_says_so(
    ratio: Ratio, met: bool | None, measured: str
) -> None:
    limits = budget(speed_up={"resnet50": {"minimum": 3.5, "paper": "4.5 × on a GPU"}})
    (gate,) = speed_gates(limits, on("host", resnet50=ratio))
    assert (gate.name, gate.met, gate.measured) == ("speed against resnet50", met, measured)
    # The paper's ratio is shown, and never judged.
    assert gate.limit == "≥ 3.5 × (paper: 4.5 × on a GPU)"


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    limits = budget(speed_up={"resnet50": {"minimum": 1}}, latency={"host": {"max_p90_ms": 33}})
    for gate in speed_gates(limits, on("host", vgg16=Ratio(99, 99, 99))):
        assert (gate.measured, gate.met, gate.applies) == ("not measured", None, True)
        assert verdict_row(**gate.model_dump())[-1] == "not measured"


def test_a_limit_of_another_class_of_devices_is_listed_and_not_counted() -> None:
    classes = ("host", "pixel_4", "raspberry_pi_5")
    limits = budget(speed_up={"resnet50": {"minimum": 1}}, latency={name: {"max_p90_ms": 9} for name in classes})
    for measured, expected in [
        (("host",), [True, True, False, False]),
        (("host", "raspberry_pi_5"), [True, True, False, True]),
        (("pixel_4",), [False, False, True, False]),
        ((), [False, False, False, False]),
    ]:
        gates = speed_gates(limits, on(*measured, p90=(8.0, 8.5), resnet50=Ratio(2, 2, 2)))
        assert [gate.applies for gate in gates] == expected
        # What was measured here says nothing of another class.
        assert [gate.met for gate in gates] == [True if applies else None for applies in expected]
        assert outcome(gates) == "met"
    (*_, pi) = speed_gates(limits, on("host"))
    assert verdict_row(**pi.model_dump())[2:] == ["not measured", "not measured (another device)"]


@pytest.mark.parametrize(
    ("median", "p95", "met", "measured"),
    [
        (33.0, 33.0, True, "33.0 ms"),
        (33.1, 33.1, False, "33.1 ms"),
        (20.0, 33.0, True, "20.0 ms to 33.0 ms"),
        (20.0, 34.0, None, "20.0 ms to 34.0 ms"),
        (34.0, 50.0, False, "34.0 ms to 50.0 ms"),
        (20.0, None, None, "20.0 ms"),
        (34.0, None, False, "34.0 ms"),
        (None, None, None, "not measured"),
    ],
)
def test_a_p90_between_median_and_p95_is_met_or_missed_only_where_both_bounds_say_so(
    median: float | None, p95: float | None, met: bool | None, measured: str
) -> None:
    limits = budget(latency={"pixel_4": {"max_p90_ms": 33}})
    (gate,) = speed_gates(limits, on("pixel_4", p90=(median, p95)))
    assert (gate.met, gate.measured) == (met, measured)
