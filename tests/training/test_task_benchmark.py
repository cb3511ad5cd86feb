"""`benchmark tasks` from the outside: what tasks, memories and mixed data sets cost, and how sure that is."""

from __future__ import annotations

import json

import pytest
from small import CommandLine

from keras_faceattr.cli.benchmark import print_tasks

SOURCES = (
    "data.sources=[{reader: synthetic, name: one, weight: 0.5, options: {count: 40, size: 40, seed: 0}}, "
    "{reader: synthetic, name: two, weight: 0.5, options: {count: 40, size: 40, seed: 1}}]"
)
SMALL = [
    "model.name=two_blocks",
    "data.crop.size=32",
    "training.batch_size=8",
    "tasks={attributes: {method: obrl}, gender: {}}",
]


@pytest.mark.slow
@pytest.mark.usefixtures("small_net")
def test_each_task_memory_and_data_set_has_its_share(
    command_line: CommandLine, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = [part for override in (*SMALL, SOURCES) for part in ("--set", override)]
    code, out, shown = command_line("benchmark", "tasks", "quickstart", *overrides, "--steps", "5", "--json")
    assert code == 0, shown
    result = json.loads(out)
    assert list(result["shares"]) == ["task attributes", "task gender", "memory of attributes"]
    assert list(result["mac_shares"]) == list(result["shares"]) and result["mac_shares"]["memory of attributes"] == 0
    assert 0 < result["mac_shares"]["task gender"] < result["mac_shares"]["task attributes"] < 0.01
    assert list(result["step_ms"]) == ["all tasks", "all tasks again", *result["shares"]]
    assert min(result["step_ms"].values()) > 0 and max(result["shares"].values()) < 1 and result["noise"] >= 0
    assert list(result["images_per_s"]) == ["mixed", "one", "two"] and result["mixed_to_single"] > 0
    print_tasks(result)
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert any(line.startswith("without task gender ") and line.endswith("%") for line in lines)
    assert f"noise: {result['noise']:.1%}, between two nets that are built alike" in lines
