"""The benchmark: one row a file and number of threads, ratios to nets of the same precision, plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_faceattr.artifact.measured_file import model_file
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.benchmark_models import run_benchmark_models
from keras_faceattr.cli.benchmark_options import BenchmarkOptions
from keras_faceattr.errors import ArtifactError, BenchmarkError, ConfigError
from keras_faceattr.measure import benchmark
from keras_faceattr.measure.benchmark import benchmark_models, file_names, write_result
from keras_faceattr.measure.latency import Latency

SIDE = 32
MACS = SIDE * SIDE * 3 * 3 * 3 * 64 + SIDE * SIDE * 64 * 64
"""Of the tiny net, by hand: a 3 × 3 convolution of 3 to 64 channels, and a 1 × 1 one of 64 to 64."""
SIDECAR = {
    "metrics": {
        "beauty": {"metrics": {"pc": {"value": 0.8664}, "mae": {"value": 0.25}}, "rows": 2200},
        "gender": {"metrics": {"accuracy": {"value": 0.98}}},
    }
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny net in every precision, in one folder."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("nets")
    rng = np.random.default_rng(0)
    kernels = [tf.constant(rng.normal(size=(size, size, i, 64)), tf.float32) for size, i in ((3, 3), (1, 64))]

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)])
    def serve(pixels):
        features = tf.nn.relu(tf.nn.conv2d(pixels, kernels[0], 1, "SAME"))
        return tf.reduce_mean(tf.nn.conv2d(features, kernels[1], 1, "SAME"), axis=(1, 2))

    def converter(optimize: bool) -> tf.lite.TFLiteConverter:
        made = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
        made.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
        return made

    int8, float16 = converter(True), converter(True)
    int8.representative_dataset = lambda: ([rng.uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)] for _ in "abc")
    int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    int8.inference_input_type = tf.uint8
    float16.target_spec.supported_types = [tf.float16]
    for name, made in {
        "float32": converter(False), "int8": int8, "float16": float16, "dynamic": converter(True)
    }.items():  # fmt: skip
        (folder / f"{name}.tflite").write_bytes(made.convert())
    for name, shape in (("wide", (1, 2 * SIDE, 2 * SIDE, 3)), ("eight", (8, SIDE, SIDE, 3))):
        function = tf.function(serve.python_function, input_signature=[tf.TensorSpec(shape, tf.float32)])
        made = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
        (folder / f"{name}.tflite").write_bytes(made.convert())
    (folder / "int8.json").write_text(json.dumps(SIDECAR), encoding="utf-8")
    return folder


@pytest.mark.parametrize("precision", ["float32", "int8", "float16", "dynamic"])
def test_the_precision_is_that_of_the_files_own_types(nets: Path, precision: str) -> None:
    file = model_file(nets / f"{precision}.tflite", "x")
    assert file.precision == precision
    assert file.reference_precision == ("int8" if precision == "int8" else "float32")
    assert file.side == SIDE
    assert file.cost.macs == MACS


def test_a_sidecar_gives_the_first_metric_of_each_task(nets: Path, tmp_path: Path) -> None:
    assert model_file(nets / "int8.tflite", "x").metrics == [
        {"task": "beauty", "name": "pc", "value": 0.8664},
        {"task": "gender", "name": "accuracy", "value": 0.98},
    ]
    assert model_file(nets / "float32.tflite", "x").metrics is None
    path = tmp_path / "copy.tflite"
    path.write_bytes((nets / "float32.tflite").read_bytes())
    for text in ("", "[]", "{", '{"metrics": {"beauty": {"metrics": {"pc": 3}}}}', '{"metrics": [1]}'):
        (tmp_path / "copy.json").write_text(text, encoding="utf-8")
        with pytest.raises(ArtifactError, match=r"copy\.json: not the sidecar") as error:
            model_file(path, "x")
        assert "\n" not in str(error.value)
    (tmp_path / "copy.json").write_text(json.dumps({**SIDECAR, "file": {"sha256": "0"}}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"copy\.json describes another file than copy\.tflite"):
        model_file(path, "x")
    for text in ("{}", '{"metrics": {}}', '{"metrics": {"beauty": {"metrics": {"pc": {"value": null}}}}}'):
        (tmp_path / "copy.json").write_text(text, encoding="utf-8")
        assert model_file(path, "x").metrics is None


@pytest.mark.slow
def test_models_and_real_reference_nets_run_together(nets: Path, tmp_path: Path) -> None:
    models = [nets / "float32.tflite", nets / "int8.tflite"]
    said: list[str] = []
    result = benchmark_models(models, ["mobilenet_v3_small"], [1], seconds=0.5, say=said.append)
    names = [(row["name"], row["kind"], row["precision"]) for row in result["rows"]]
    assert names == [
        ("float32.tflite", "model", "float32"),
        ("int8.tflite", "model", "int8"),
        ("mobilenet_v3_small", "reference", "float32"),
        ("mobilenet_v3_small", "reference", "int8"),
    ]
    for row, reference in zip(result["rows"][:2], result["rows"][2:], strict=True):
        # The median over rounds, not the ratio of two medians: near it on any machine.
        ratio = row["ratios"]["mobilenet_v3_small"]
        assert 0.5 < ratio * row["p50_ms"] / reference["p50_ms"] < 2
        low, high = row["ratio_bounds"]["mobilenet_v3_small"]
        assert low <= ratio <= high
        assert reference["ratios"] == {"mobilenet_v3_small": pytest.approx(1)}
        assert (reference["side"], reference["device"], reference["threads"]) == (SIDE, "host", 1)
    assert said[-1] == "measuring 4 files on 1 thread, about 0 s"
    path = write_result(result, tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}_host_[a-z0-9-]+_float32\.json", path.name)
    assert str(nets) not in path.read_text(encoding="utf-8")
    assert set(result["environment"]) >= {"date", "cpu", "cores", "os", "runtime", "runtime_version", "load_average"}


Measure = Callable[..., dict[str, Latency]]


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch, nets: Path) -> dict[str, list[float]]:
    """Replaces measuring: seconds by file name, times the threads; reference nets are the tiny net under a name."""
    seconds: dict[str, list[float]] = {}

    def measure(models: dict[str, Path], threads: int, budget_s: float) -> dict[str, Latency]:
        # A round of each.
        return {key: Latency.of([[s / threads] for s in seconds[path.stem]], 1) for key, path in models.items()}

    def build(name: str, precision: str, side: int) -> Path:
        path = nets / f"{name}_{precision}_{side}.tflite"
        path.write_bytes((nets / (f"{precision}.tflite" if side == SIDE else "wide.tflite")).read_bytes())
        return path

    monkeypatch.setattr(benchmark, "measure_latencies", measure)
    monkeypatch.setattr(benchmark, "reference_net", build)
    return seconds


def test_ratios_compare_the_same_precision_and_threads(nets: Path, times: dict[str, list[float]]) -> None:
    times |= {"float32": [0.010] * 9, "int8": [0.002] * 9, "dynamic": [0.008] * 9}
    times |= {"resnet50_float32_32": [0.040] * 9, "resnet50_int8_32": [0.012] * 9}
    times |= {"vgg16_float32_32": [0.160] * 9, "vgg16_int8_32": [0.030] * 9}
    models = [nets / f"{name}.tflite" for name in ("float32", "int8", "dynamic")]
    result = benchmark_models(models, ["resnet50", "vgg16"], [1, 1])
    assert [row["ratios"] for row in result["rows"][:3]] == [
        {"resnet50": pytest.approx(4), "vgg16": pytest.approx(16)},
        {"resnet50": pytest.approx(6), "vgg16": pytest.approx(15)},
        {"resnet50": pytest.approx(5), "vgg16": pytest.approx(20)},
    ]
    assert len(result["rows"]) == 7
    assert result["warnings"] == []


def test_each_number_of_threads_is_measured_apart(nets: Path, times: dict[str, list[float]], monkeypatch) -> None:
    monkeypatch.setattr(benchmark, "pinned", lambda count: __import__("contextlib").nullcontext())
    times |= {"int8": [0.002] * 9, "resnet50_int8_32": [0.012] * 9}
    rows = benchmark_models([nets / "int8.tflite"], ["resnet50"], [1, 2])["rows"]
    assert [(row["name"], row["threads"], round(row["p50_ms"], 6)) for row in rows] == [
        ("int8.tflite", 1, 2.0), ("resnet50", 1, 12.0), ("int8.tflite", 2, 1.0), ("resnet50", 2, 6.0)
    ]  # fmt: skip


def test_a_ratio_is_the_median_over_rounds_with_its_interval(nets: Path, times: dict[str, list[float]]) -> None:
    # In each round the net takes 2, 3, … 11 times as long, however long that is.
    model = [0.010, 0.020, 0.011, 0.013, 0.010, 0.040, 0.010, 0.010, 0.015, 0.010]
    times |= {"float32": model, "resnet50_float32_32": [s * (n + 2) for n, s in enumerate(model)]}
    row, _ = benchmark_models([nets / "float32.tflite"], ["resnet50"], [1])["rows"]
    assert row["ratios"] == {"resnet50": pytest.approx(6.5)}
    # By hand: of ten values the 2nd and the 9th, since P(at most 1 of 10 lies below the median) = 11 / 1024.
    assert row["ratio_bounds"] == {"resnet50": pytest.approx((3, 10))}


def test_warnings_name_what_a_reader_must_know(nets: Path, times: dict[str, list[float]]) -> None:
    times |= {"int8": [0.002] * 5 + [0.003] * 4, "resnet50_float32_32": [0.01] * 9}
    busy, unmatched = benchmark_models([nets / "int8.tflite"], ["resnet50"], [1], precisions=["float32"])["warnings"]
    assert "up to 50 % above the median (int8.tflite, int8, threads: 1), and far above it in 1 of 2 rows" in busy
    assert "no limit in ms is judged" in busy
    assert unmatched == (
        "int8.tflite (int8, 32², batch 1) is compared with no reference net: those measured are float32, 32², batch 1"
    )
    warnings = benchmark_models([nets / "int8.tflite"], [], [1])["warnings"]
    assert "no reference net was measured" in warnings[-1]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("float32", {"side": 64}, "float32.tflite (float32, 32², batch 1) is compared with no reference net"),
        ("float32", {"precisions": ["int8"]}, "those measured are int8, 32², batch 1"),
        ("eight", {}, "eight.tflite (float32, 32², batch 8) is compared with no reference net"),
    ],
)
def test_a_reference_net_of_another_side_precision_or_batch_gives_no_ratio(
    nets: Path, times: dict[str, list[float]], model: str, options: dict[str, object], words: str
) -> None:
    slow = {f"resnet50_{p}_{s}": [0.4] * 9 for p in ("float32", "int8") for s in (32, 64)}
    times |= {"float32": [0.01] * 9, "eight": [0.08] * 9, **slow}
    result = benchmark_models([nets / f"{model}.tflite"], ["resnet50"], [1], **options)
    assert len(result["rows"]) == 2
    assert (result["rows"][0]["ratios"], result["rows"][0]["ratio_bounds"]) == ({}, {})
    assert words in result["warnings"][-1]


def test_multiply_adds_of_a_file_for_several_photos_count_per_photo(nets: Path, times: dict[str, list[float]]) -> None:
    times |= {"eight": [0.08] * 9, "float32": [0.01] * 9}
    eight, one = benchmark_models([nets / "eight.tflite", nets / "float32.tflite"], [], [1])["rows"]
    assert (eight["batch"], eight["macs"], one["macs"]) == (8, MACS, MACS)


def test_two_files_of_one_name_keep_their_folder(nets: Path, tmp_path: Path, times: dict[str, list[float]]) -> None:
    times |= {"int8": [0.002] * 9}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "int8.tflite").write_bytes((nets / "int8.tflite").read_bytes())
    rows = benchmark_models([nets / "int8.tflite", tmp_path / "other" / "int8.tflite"], [], [1])["rows"]
    assert [row["name"] for row in rows] == [f"{nets.name}/int8.tflite", "other/int8.tflite"]


def test_every_file_has_a_name_of_its_own() -> None:
    one, other = (Path(f"/runs/{run}/export/int8_qat/quickstart.tflite") for run in ("quickstart", "quickstart-2"))
    alone = Path("/runs/else.tflite")
    assert file_names([one, alone, other]) == [
        "quickstart/export/int8_qat/quickstart.tflite", "else.tflite", "quickstart-2/export/int8_qat/quickstart.tflite"
    ]  # fmt: skip
    assert file_names([alone, alone.parent / "x" / ".." / alone.name, alone]) == [
        "else.tflite", "else.tflite (2)", "else.tflite (3)"
    ]  # fmt: skip


def test_what_cannot_be_measured_is_refused_before_anything_is_built(nets: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(benchmark, "reference_net", lambda *_: pytest.fail("built a net for nothing"))
    model = nets / "int8.tflite"
    for arguments, kind, message in [
        (([], [], [1]), BenchmarkError, "nothing to measure"),
        (([model], [], []), BenchmarkError, "nothing to measure"),
        (([model], ["vgg16"], [0]), BenchmarkError, "--threads 0: "),
        (([model], ["vgg"], [1]), ConfigError, "did you mean 'vgg16'"),
        (([model], ["vgg16"], [1], ["int16"]), ConfigError, "unknown precision 'int16'"),
        (([tmp_path / "pipelin"], ["vgg16"], [1]), ArtifactError, "pipelin: no such file"),
    ]:
        with pytest.raises(kind, match=message) as error:
            benchmark_models(*arguments)
        assert "\n" not in str(error.value)


def options(
    models: list[Path], against: list[str], threads: list[str], out: Path | None = None, json: bool = False
) -> BenchmarkOptions:
    """What the command line asks for on this computer, without a budget."""
    phone = {"benchmark_binary": None, "serial": None, "gpu": False, "xnnpack": True, "cpu_mask": None}
    return BenchmarkOptions(
        models, against, threads, [], None, 1.0, budget=None, device="host", ops=False, out=out, json=json, **phone
    )


def test_the_table_and_the_json_show_the_same(
    nets: Path, tmp_path: Path, times: dict[str, list[float]], capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    # The sidecar here holds metrics alone.
    monkeypatch.setattr("keras_faceattr.api.benchmarking.load_artifact", lambda path: None)
    monkeypatch.setattr("keras_faceattr.api.benchmarking._end_to_end", lambda *_: {})
    times |= {"int8": [0.002] * 9, "float32": [0.01] * 9, "resnet50_int8_32": [0.012] * 9}
    times |= {"resnet50_float32_32": [0.04] * 9}
    models = [nets / "int8.tflite", nets / "float32.tflite"]

    def size(name: str) -> str:
        return f"{(nets / f'{name}.tflite').stat().st_size / 1e6:.2f}"

    run_benchmark_models(options(models, ["resnet50"], ["1"]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:7]] == [
        ["int8.tflite", "int8", "32²", "1", f"{size('int8')}", "6.0", "2.00", "2.00", "500.0", "6.00"],
        ["beauty", "pc", "0.8664"],
        ["gender", "accuracy", "0.98"],
        ["float32.tflite", "float32", "32²", "1", f"{size('float32')}", "6.0", "10.00", "10.00", "100.0", "4.00"],
        ["metrics", "not", "measured"],
    ]
    table = " ".join(lines)
    assert "ai_edge_litert" in table
    run_benchmark_models(options(models, ["resnet50"], ["1"], tmp_path / "results", json=True))
    shown = json.loads(capsys.readouterr().out)
    (written,) = (tmp_path / "results").glob("*.json")
    assert json.loads(written.read_text(encoding="utf-8")) == shown
    assert shown["rows"][0]["ratios"] == {"resnet50": pytest.approx(6)}


def test_options_take_several_values_in_two_ways() -> None:
    assert listed(["resnet50,vgg16", " mobilenet_v2 "]) == ["resnet50", "vgg16", "mobilenet_v2"]
    with pytest.raises(ConfigError, match="--threads 'two'"):
        run_benchmark_models(options([Path("x")], ["none"], ["1,two"]))
