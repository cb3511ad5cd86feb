"""Gates: how much worse a file may be, that every task of it is judged, and what a budget says of it anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.measured_file import MeasuredFile, model_file
from keras_faceattr.artifact.sidecar import NOT_JUDGED, GateSpec, Sidecar, status_of, unjudged
from keras_faceattr.budget.gates import (
    budget_gates,
    drop_gates,
    export_gates,
    outcome,
    proof_gates,
    reliability_gates,
    verdicts,
)
from keras_faceattr.budget.limits import Budget, Times, Verdict
from keras_faceattr.budget.tolerance import Tolerance
from keras_faceattr.convert.parity import parity
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ArtifactError
from keras_faceattr.storage import jsonable
from keras_faceattr.tasks import BinaryTask, IdentityTask, ScalarTask, Task

SCORE = ScalarTask("score", 0.0, 10.0, 1.0, tolerances=(1.0,))
SMILE = BinaryTask("smile")
LABELS = np.arange(12) % 10


def compared(before: np.ndarray, after: np.ndarray, labels: np.ndarray = LABELS) -> dict[str, Any]:
    """Parity of two models that tell a score and a smile; the smiles are right, the first half smiles."""
    smiles = np.repeat([1.0, 0.0], len(labels) // 2)
    rows = pd.DataFrame({"source": "own", "score": labels, "smile": smiles})
    outputs = {name: {"score": v, "smile": smiles[:, None]} for name, v in (("float", before), ("file", after))}
    return parity(Manifest(rows, TASKS, {}), TASKS, outputs, samples=5, seed=0)


TASKS: dict[str, Task] = {"score": SCORE, "smile": SMILE}
TOLERANCE = {"mae": Tolerance(relative=0.1), "pc": Tolerance(absolute=0.1), "accuracy": Tolerance(absolute=0.01)}


def by_hand(drop: dict[str, float | None], **values: float) -> dict[str, Any]:
    """A parity of the score alone, as `parity` gives it."""
    metrics = {name: {"value": value} for name, value in values.items()}
    return {"drop": {"score": drop}, "metrics": {"float": {"score": {"labelled": 12, "metrics": metrics}}}}


@pytest.mark.parametrize(
    ("drop", "tolerance", "met"),
    [
        (0.05, {"relative": 0.1}, True),
        (0.0501, {"relative": 0.1}, False),
        (0.05, {"absolute": 0.05}, True),
        (0.051, {"absolute": 0.05}, False),
        (-1.0, {"absolute": 0.0}, True),
        (0.0, {"relative": 0.0}, True),
    ],
)
def test_a_drop_up_to_the_tolerance_is_met(drop: float, tolerance: dict, met: bool) -> None:
    (gate,) = drop_gates(SCORE, by_hand({"mae": drop}, mae=0.5), {"mae": Tolerance(**tolerance)}, "recipe x")
    assert (gate.name, gate.met) == ("score mae (recipe x)", met)


def test_a_gate_says_how_much_and_which_way() -> None:
    limits = {"mae": Tolerance(relative=0.02), "pc": Tolerance(absolute=0.002), "accuracy": Tolerance(absolute=0.01)}
    gates = drop_gates(SCORE, by_hand({"mae": 0.03, "pc": -0.00001}, mae=0.5, pc=0.8), limits, "budget b")
    assert [(g.limit, g.measured) for g in gates] == [
        ("at most 0.0100 worse", "0.0300 worse"),
        # A difference too small for the metric's places is still not shown as none.
        ("at most 0.0020 worse", "0.00001 better"),
    ]


@pytest.mark.parametrize(
    ("drop", "limit", "measured"),
    [
        (0.025, "at most 1.0 pp worse", "2.5 pp worse"),
        (-0.0004, "at most 1.0 pp worse", "0.04 pp better"),
        (0.0, "at most 1.0 pp worse", "the same"),
    ],
)
def test_points_of_a_share_are_pp_and_per_cent_are_relative(drop: float, limit: str, measured: str) -> None:
    (gate,) = drop_gates(SMILE, of_smile(drop), {"accuracy": Tolerance(absolute=0.01)}, "recipe x")
    assert (gate.limit, gate.measured) == (limit, measured)
    # 2 % of an accuracy of 50 % are one point.
    (gate,) = drop_gates(SMILE, of_smile(drop), {"accuracy": Tolerance(relative=0.02)}, "recipe x")
    assert gate.limit == "at most 1.0 pp worse"
    (gate,) = drop_gates(
        SMILE, {"drop": {}, "metrics": {"float": {}}}, {"accuracy": Tolerance(relative=0.02)}, "recipe x"
    )
    assert gate.limit == "at most 2 % worse"


def of_smile(drop: float) -> dict[str, Any]:
    """A parity of smiles, half of which the float model tells."""
    metrics = {"accuracy": {"value": 0.5}}
    return {
        "drop": {"smile": {"accuracy": drop}},
        "metrics": {"float": {"smile": {"labelled": 12, "metrics": metrics}}},
    }


def test_a_drop_that_is_no_number_was_not_measured() -> None:
    # A correlation of constant predictions does not exist: the gate is neither met nor missed.
    constant = np.full(12, 4.0)
    found = compared(constant, constant)
    assert np.isnan(found["drop"]["score"]["pc"])
    (gate,) = drop_gates(SCORE, found, {"pc": Tolerance(absolute=0.1)}, "recipe x")
    assert (gate.met, gate.measured) == (None, "not measured")


def test_a_correlation_that_the_file_lost_is_not_met() -> None:
    found = compared(LABELS + 0.5, np.full(12, 4.0))
    for told in (found, jsonable(found)):
        (gate,) = drop_gates(SCORE, told, {"pc": Tolerance(absolute=0.1)}, "recipe x")
        assert (gate.met, gate.measured) == (False, "no number")


def proven(found: dict[str, Any], outputs: dict[str, np.ndarray], **limits: Tolerance) -> list[GateSpec]:
    return proof_gates(TASKS, found, outputs, limits or TOLERANCE, "recipe x")


FINE = {"score": np.zeros(12), "score_distribution": np.zeros((12, 11)), "smile": np.zeros((12, 1))}


def test_every_task_that_is_judged_and_within_its_tolerance_passes() -> None:
    gates = proven(compared(LABELS + 0.5, LABELS + 0.5), FINE)
    assert [(gate.name, gate.met) for gate in gates] == [
        ("finite outputs", True), ("score mae (recipe x)", True), ("score pc (recipe x)", True),
        ("smile accuracy (recipe x)", True),
    ]  # fmt: skip
    assert status_of(gates) == "passed" and unjudged(gates) == []


def test_a_task_without_labelled_test_photos_is_not_proven_however_good_the_others_are() -> None:
    gates = proven(compared(LABELS + 0.5, LABELS + 0.5, np.full(12, np.nan)), FINE)
    (gate,) = unjudged(gates)
    assert (gate.name, gate.met) == ("score (recipe x)", None)
    assert gate.measured == "not judged: no labelled test photos"
    assert [g.name for g in gates if g.met] == ["finite outputs", "smile accuracy (recipe x)"]
    assert status_of(gates) == "not proven"


def test_outputs_that_are_no_numbers_fail_also_where_no_photo_is_labelled() -> None:
    # 30 photos without age, all of whose ages are no numbers in the file, were once passed for the gender alone.
    unlabelled = np.full(12, np.nan)
    gates = proven(compared(LABELS + 0.5, unlabelled, unlabelled), {**FINE, "score": unlabelled})
    assert (gates[0].met, gates[0].measured) == (False, "score not on 12 photos")
    assert status_of(gates) == "failed"
    some = FINE["score_distribution"].copy()
    some[3, 7], some[3, 8], some[5, 0] = np.nan, np.inf, -np.inf
    (finite, *_) = proven(compared(LABELS, LABELS), {**FINE, "score_distribution": some})
    assert (finite.met, finite.measured) == (False, "score_distribution not on 2 photos")


def test_why_a_task_is_not_judged_is_said() -> None:
    found = compared(LABELS + 0.5, LABELS + 0.5)
    (gate,) = unjudged(proven(found, FINE, accuracy=Tolerance(absolute=0.01)))
    assert gate.measured.startswith("not judged: no tolerance of mae, rmse, pc")
    (gate,) = unjudged(proven(compared(np.full(12, 4.0), LABELS), FINE, pc=TOLERANCE["pc"], accuracy=TOLERANCE["mae"]))
    assert gate.measured == "not judged: the float model's metrics are no numbers"
    # A single person gives no pairs.
    face: dict[str, Task] = {"face": IdentityTask("face")}
    alone = {"drop": {"face": {}}, "metrics": {"float": {"face": {"labelled": 5, "metrics": {}}}}}
    (gate,) = unjudged(proof_gates(face, alone, {"face": np.zeros((5, 2))}, TOLERANCE, "recipe x"))
    assert gate.measured == "not judged: the labelled test photos give no metric"


BUDGET = Budget.model_validate(
    {
        "name": "own",
        "file": {"max_parameters": 3e6, "max_macs": 1, "max_bytes": {"float32": 9e6, "int8": 1e6}},
        "drop": {"mae": {"relative": 0.5}, "auc": {"absolute": 0.01}},
        "speed_up": {"resnet50": {"minimum": 3}},
        "latency": {"pixel_4": {"max_p90_ms": 33}},
    }
)


def test_coverage_and_calibration_error_are_judged_by_what_was_measured_of_the_file() -> None:
    budget = Budget(name="b", min_coverage={"age": 0.88, "height": 0.5}, max_ece={"gender": 0.03})

    def numbers(value: float | None) -> dict[str, Any]:
        return {"value": value, "low": value, "high": value}

    def said(coverage: float | None, ece: float) -> list[bool | None]:
        told = {"age": {"reliability": {"metrics": {"coverage": numbers(coverage)}}}}
        told["gender"] = {"reliability": {"metrics": {"ece": numbers(ece)}}}
        return [gate.met for gate in reliability_gates(budget, {"metrics": {"file": told}})]

    assert said(0.88, 0.03) == [True, None, True]
    assert said(0.87, 0.031) == [False, None, False]
    assert said(None, 0.01) == [None, None, True]
    gates = reliability_gates(budget, {})
    assert [(gate.name, gate.limit, gate.measured) for gate in gates] == [
        ("age coverage (budget b)", "≥ 88 %", "not measured"),
        ("height coverage (budget b)", "≥ 50 %", "not measured"),
        ("gender ece (budget b)", "≤ 3 %", "not measured"),
    ]


def test_a_budget_that_nothing_is_known_of_has_every_limit_and_meets_or_misses_none() -> None:
    gates = budget_gates(BUDGET, None, None, 1, {}, {}, Times())
    assert [(gate.name, gate.limit) for gate in gates] == [
        ("parameters", "≤ 3e+06"), ("MACs", "≤ 1e-09 G"), ("file size", "≤ 9 MB or less, by precision"),
        ("mae (budget own)", "at most 50 % worse"), ("auc (budget own)", "at most 0.0100 worse"),
        ("speed against resnet50", "≥ 3 ×"), ("p90 on pixel_4", "≤ 33 ms"),
    ]  # fmt: skip
    assert {(gate.measured, gate.met) for gate in gates} == {("not measured", None)}
    assert status_of(gates) == "not proven" and outcome(gates) == "not measured"


@pytest.mark.parametrize(
    ("met", "applies", "said"),
    [
        ([True, True], [True, True], "met"),
        ([True, None], [True, True], "not measured"),
        ([True, None], [True, False], "met"),
        ([None, False], [True, True], "not met"),
        ([True, False], [True, False], "met"),
        ([], [], "met"),
    ],
)
def test_limits_that_apply_are_met_only_if_every_one_was_judged_and_met(
    met: list[bool | None], applies: list[bool], said: str
) -> None:
    gates = [Verdict(name="x", limit="1", measured="2", met=m, applies=a) for m, a in zip(met, applies, strict=True)]
    assert outcome(gates) == said


@pytest.fixture(scope="module")
def sidecar(exported: dict[str, Artifact]) -> Sidecar:
    return exported["float32"].sidecar


@pytest.fixture(scope="module")
def file(exported: dict[str, Artifact]) -> MeasuredFile:
    return model_file(exported["float32"].path, "net.tflite")


def told(file: MeasuredFile | None, sidecar: Sidecar | None) -> dict[str, bool | None]:
    return {gate.name: gate.met for gate in verdicts(BUDGET, file, sidecar, Times())}


def test_every_limit_of_a_budget_is_judged_by_the_file_and_its_sidecar(file: MeasuredFile, sidecar: Sidecar) -> None:
    assert told(file, sidecar) == {
        "parameters": True, "MACs": False, "file size": True, "attractiveness mae (budget own)": True,
        "age mae (budget own)": True, "auc (budget own)": None, "speed against resnet50": None,
        "p90 on pixel_4": None, "gates of the export": True,
    }  # fmt: skip
    assert told(file, None)["gates of the export"] is None and told(file, None)["mae (budget own)"] is None


@pytest.mark.parametrize(("drop", "met"), [(1e9, False), (None, False), (0.0, True)])
def test_the_drop_is_that_of_the_sidecar(sidecar: Sidecar, drop: float | None, met: bool) -> None:
    changed = {**sidecar.parity, "drop": {**sidecar.parity["drop"], "age": {"mae": drop}}}
    assert told(None, sidecar.model_copy(update={"parity": changed}))["age mae (budget own)"] is met


@pytest.mark.parametrize(
    ("status", "met", "measured", "said"),
    [
        # Of a constant float model's correlation nothing can be lost.
        ("passed", None, "not measured", "met"),
        ("failed", False, "2 worse", "not met"),
        ("not proven", None, NOT_JUDGED, "not measured"),
    ],
)
def test_an_export_and_a_later_benchmark_of_the_same_file_agree(
    file: MeasuredFile, sidecar: Sidecar, status: str, met: bool | None, measured: str, said: str
) -> None:
    limits = {"file": {"max_bytes": 9e6}, "latency": {"pixel_4": {"max_p90_ms": 1}}}
    budget, times = Budget.model_validate({"name": "own", **limits}), Times(frozenset({"host"}), {}, (1.0, 1.0))
    more = GateSpec(name="beauty pc (recipe float32)", limit="at most 1 worse", measured=measured, met=met)
    judged = budget_gates(budget, sidecar.cost, file.precision, 1, {}, {}, Times())
    gates = (*sidecar.gates, more, *judged)
    assert status_of(gates) == status
    exported = sidecar.model_copy(update={"status": status, "gates": gates})
    assert outcome(export_gates(exported, budget, times)) == outcome(verdicts(budget, file, exported, times)) == said


def test_a_sidecar_that_wrote_points_in_per_cent_is_as_good_as_before(file: MeasuredFile, sidecar: Sidecar) -> None:
    before = tuple(gate.model_copy(update={"limit": gate.limit.replace(" pp", " %")}) for gate in sidecar.gates)
    assert before != sidecar.gates
    assert last_of(sidecar.model_copy(update={"gates": before})).met is True


def test_a_drop_that_the_sidecar_does_not_know_is_not_measured(sidecar: Sidecar) -> None:
    changed = {**sidecar.parity, "drop": {**sidecar.parity["drop"], "age": {}}}
    found = told(None, sidecar.model_copy(update={"parity": changed}))
    assert found["age mae (budget own)"] is None and found["attractiveness mae (budget own)"] is True


def last_of(sidecar: Sidecar) -> GateSpec:
    return verdicts(BUDGET, None, sidecar, Times())[-1]


def test_what_the_export_itself_said_is_part_of_the_verdict(sidecar: Sidecar) -> None:
    missed = GateSpec(name="age mae (recipe x)", limit="at most 1 worse", measured="2 worse", met=False)
    unproven = GateSpec(name="smile (recipe x)", limit="judged", measured="not judged: no labels", met=None)
    for more, met, measured in (
        ([missed], False, "failed: age mae (recipe x)"),
        ([unproven], None, "not proven: smile (recipe x)"),
        ([], True, "passed"),
    ):
        # The word in the sidecar counts for nothing.
        changed = sidecar.model_copy(update={"status": "passed", "gates": (*sidecar.gates, *more)})
        last = last_of(changed)
        assert (last.name, last.met, last.measured) == ("gates of the export", met, measured)


def test_a_gate_that_its_numbers_do_not_bear_out_proves_nothing(sidecar: Sidecar) -> None:
    kept = tuple(gate for gate in sidecar.gates if gate.name != "age mae (recipe float32)")
    finite = tuple(gate for gate in sidecar.gates if gate.name != "finite outputs")
    recipe = {**sidecar.quantization["recipe"], "tolerance": {"mae": {"relative": 10.0}}}
    for change, words in (
        ({"gates": kept}, "not proven: age mae (recipe float32)"),
        ({"gates": finite}, "not proven: finite outputs"),
        (
            {"quantization": {"recipe": {**recipe, "tolerance": {"mea": {"relative": 1}}}}},
            "not proven: tolerance of the",
        ),
        # The limits in the gates are those of another tolerance, and gender has none.
        ({"quantization": {"recipe": recipe}}, "not proven: attractiveness mae (recipe float32)"),
    ):
        last = last_of(sidecar.model_copy(update=change))
        assert last.met is None and last.measured.startswith(words)


@pytest.mark.parametrize("damaged", [{}, {"drop": []}, {"drop": {"age": 3}, "metrics": {"float": {}}}])
def test_a_sidecar_whose_comparison_is_damaged_is_one_line(sidecar: Sidecar, damaged: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="parity: damaged in the sidecar; export it again") as error:
        told(None, sidecar.model_copy(update={"parity": damaged}))
    assert "\n" not in str(error.value)
