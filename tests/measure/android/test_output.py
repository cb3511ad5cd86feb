"""The printed output of `benchmark_model`, from its first form to LiteRT's; every number is set by hand."""

from __future__ import annotations

import pytest

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.android.output import failure, last_line, parse_output

OLD = """\
STARTING!
Log parameter values verbosely: [0]
Min num runs: [50]
Num threads: [4]
Graph: [model.tflite]
#threads used for CPU inference: [4]
Use xnnpack: [1]
Loaded model model.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 0.972
Initialized session in 12.345ms.
Running benchmark for at least 10 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=95 first=9321 curr=5210 min=5100 max=9321 avg=5400.7 std=410

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=188 first=5321 curr=5210 min=5100 max=6200 avg=5300.4 std=120

Inference timings in us: Init: 12345, First inference: 9321, Warmup (avg): 5400.7, Inference (avg): 5300.4
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE.
Memory footprint delta from the start of the tool (MB): init=8.97656 overall=18.7227
Overall peak memory footprint (MB) via periodic monitoring: 23.5
Memory status at the end of exeution:
- VmRSS              : 21 MB
"""

LITERT = """\
INFO: STARTING!
WARN: Unconsumed cmdline flags: --use_xnnpack=true --enable_op_profiling=true
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 30 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions.
INFO: The input model file size (MB): 0.972
INFO: Initialized session in 4.478ms.
INFO: Running benchmark for at least 10 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=1055 first=1033 curr=473 min=443 max=1033 avg=465.319 std=18 p5=459 median=463 p95=478

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=2112 first=463 curr=459 min=442 max=979 avg=464.545 std=13 p5=460 median=462 p95=478

INFO: [./litert/tools/benchmark_litert_model.h:81]\x20
========== BENCHMARK RESULTS ==========
INFO: [./litert/tools/benchmark_litert_model.h:82] Model initialization: 4.48 ms
INFO: [./litert/tools/benchmark_litert_model.h:88] Inference (avg):      0.46 ms (2112 runs)
INFO: [./litert/tools/benchmark_litert_model.h:112]\x20
Memory Usage:
INFO: [./litert/tools/benchmark_litert_model.h:114] Init footprint:       8.94 MB
INFO: [./litert/tools/benchmark_litert_model.h:118] Peak memory:          11.51 MB
INFO: [./litert/tools/benchmark_litert_model.h:126] ======================================
"""


def two(line: str) -> str:
    """The same line for warm-up and measurement."""
    return f"{line}\n\n{line}\n"


def delegates(*lines: str) -> str:
    return parse_output("\n".join([*lines, two("count=2 first=1 curr=3 min=1 max=3 avg=2 std=1")])).delegate


def test_the_second_line_of_times_is_the_measurement_and_microseconds_become_milliseconds() -> None:
    output = parse_output(OLD)
    assert (output.runs, output.warmup_runs) == (188, 95)
    assert (output.mean_ms, output.min_ms, output.max_ms, output.std_ms) == pytest.approx((5.3004, 5.1, 6.2, 0.12))
    assert output.init_ms == pytest.approx(12.345)
    assert output.peak_memory_mb == pytest.approx(23.5)
    assert output.delegate == "full"
    assert output.runtime == "not stated"
    assert output.ops == ()
    assert output.ignored_flags == ()


def test_a_percentile_that_was_not_printed_is_not_made_up() -> None:
    output = parse_output(OLD)
    assert (output.median_ms, output.p90_ms, output.p95_ms) == (None, None, None)


def test_litert_prints_median_and_p95_and_p95_is_not_p90() -> None:
    output = parse_output(LITERT)
    assert (output.median_ms, output.p95_ms) == pytest.approx((0.462, 0.478))
    assert output.p90_ms is None
    assert (output.runs, output.mean_ms, output.std_ms) == (2112, pytest.approx(0.464545), pytest.approx(0.013))
    assert output.init_ms == pytest.approx(4.478)
    assert output.peak_memory_mb == pytest.approx(11.51)


def test_flags_that_the_binary_did_not_understand_are_listed() -> None:
    assert parse_output(LITERT).ignored_flags == ("--use_xnnpack=true", "--enable_op_profiling=true")


def test_windows_line_ends_and_the_oldest_order_of_values_are_read() -> None:
    oldest = two("curr=66800 count=15 min=66699 max=66838 avg=66767.6 std=39")
    assert parse_output(oldest).mean_ms == pytest.approx(66.7676)
    assert parse_output(OLD.replace("\n", "\r\n")) == parse_output(OLD)


def test_a_mean_above_a_second_in_scientific_notation_is_read_whole() -> None:
    line = "count=4 first=1305650 curr=1208290 min=1173700 max=1305650 avg=1.22373e+06 std=49300"
    assert parse_output(two(line)).mean_ms == pytest.approx(1223.73)


@pytest.mark.parametrize(
    ("line", "runs"),
    [("count=1 curr=123", 1), ("count=50 curr=123(all same)", 50), ("count=50 curr=123 (all same)", 50)],
)
def test_equal_times_and_a_single_one_are_printed_as_one_value(line: str, runs: int) -> None:
    output = parse_output(two(line))
    assert output.runs == runs
    assert (output.mean_ms, output.min_ms, output.max_ms) == pytest.approx((0.123, 0.123, 0.123))
    assert output.std_ms == 0
    assert output.median_ms is None


def test_equal_times_with_percentiles_keep_them() -> None:
    output = parse_output(two("count=50 curr=123(all same) p5=123 median=123 p95=123"))
    assert (output.median_ms, output.p95_ms) == (0.123, 0.123)


def test_a_failed_standard_deviation_is_none() -> None:
    line = "count=50 first=5 curr=5 min=4 max=5 avg=4.9 std=-9223372036854775808"
    assert parse_output(two(line)).std_ms is None


def test_the_profilers_own_times_are_no_measurement() -> None:
    profile = "Timings (microseconds): count=50 first=9 curr=9 min=9 max=10 avg=9.5 std=1\nMemory (bytes): count=0\n"
    assert parse_output(profile + OLD).mean_ms == pytest.approx(5.3004)
    with pytest.raises(BenchmarkError, match="no measurement"):
        parse_output(profile + profile)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "STARTING!\nERROR: Something else\n",
        "count=95 first=9321 curr=5210 min=5100 max=9321 avg=5400.7 std=410\n",
        two("count=0"),
        "count=1 curr=5\n\ncount=0\n",
        two("count=5 first=1 curr=2 min=1 max=2 avg=nan std=0"),
        "Some other tool says count is 5 and avg is 3\n" * 2,
    ],
)
def test_output_without_a_measurement_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BenchmarkError, match="holds no measurement, its last line is ") as error:
        parse_output(text)
    assert "\n" not in str(error.value)


def test_the_memory_of_the_oldest_builds_is_their_overall_peak() -> None:
    memory = "Peak memory footprint (MB): init=0 overall=12.8672\n"
    assert parse_output(two("count=1 curr=5") + memory).peak_memory_mb == pytest.approx(12.8672)


def test_what_the_process_grew_by_is_no_peak() -> None:
    memory = "Memory footprint delta from the start of the tool (MB): init=8.9 overall=18.7\n"
    assert parse_output(two("count=1 curr=5") + memory).peak_memory_mb is None
    missing = "INFO: [benchmark_litert_model.h:123] Peak memory usage not available. (peak_mem_mb <= 0)\n"
    assert parse_output(two("count=1 curr=5") + missing).peak_memory_mb is None


FULL = "Explicitly applied {} delegate, and the model graph will be completely executed by the delegate."
PARTIAL = (
    "Explicitly applied {} delegate, and the model graph will be partially executed by the delegate "
    "w/ 3 delegate kernels."
)
NONE = "Though {} delegate is explicitly applied, the model graph will not be executed by the delegate."
REPLACING = "VERBOSE: Replacing {} out of {} node(s) with delegate ({}) node, yielding 3 partitions for subgraph 0."
CREATED = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), "none"),
        ((FULL.format("XNNPACK"),), "full"),
        ((NONE.format("GPU"),), "none"),
        ((PARTIAL.format("XNNPACK"),), "partial: 3 delegate kernels"),
        ((REPLACING.format(12, 31, "TfLiteXNNPackDelegate"), PARTIAL.format("XNNPACK")), "partial: 12 of 31 nodes"),
        ((REPLACING.format(31, 31, "TfLiteGpuDelegateV2"), FULL.format("GPU")), "full"),
        ((CREATED,), "not stated"),
        ((CREATED, REPLACING.format(30, 31, "TfLiteXNNPackDelegate")), "partial: 30 of 31 nodes"),
        ((REPLACING.format(31, 31, "TfLiteXNNPackDelegate"),), "full"),
        ((REPLACING.format(31, 31, "LITERT_CL"),), "full"),
        ((FULL.format("GPU"), NONE.format("XNNPACK")), "GPU full, XNNPACK none"),
        (
            (
                REPLACING.format(20, 31, "TfLiteGpuDelegateV2"),
                PARTIAL.format("GPU"),
                REPLACING.format(11, 12, "TfLiteXNNPackDelegate"),
                PARTIAL.format("XNNPACK"),
            ),
            "GPU partial: 20 of 31 nodes, XNNPACK partial: 11 of 12 nodes",
        ),
    ],
)
def test_what_a_delegate_took_over_is_said(lines: tuple[str, ...], expected: str) -> None:
    assert delegates(*lines) == expected


def test_a_line_with_the_runtimes_version_is_kept() -> None:
    assert parse_output(OLD + "INFO: TFLite runtime version 2.17.0\n").runtime == "TFLite runtime version 2.17.0"


HEAD = "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]\n"
RULE = "============================== Summary by node type ==============================\n"
END = "\nTimings (microseconds): count=50 first=5 curr=5 min=4 max=6 avg=5 std=1\nMemory (bytes): count=0\n"
INITIALISATION = (
    "Profiling Info for Benchmark Initialization:\n"
    + RULE
    + HEAD
    + "\t         AllocateTensors\t        1\t     7.000\t   100.000%\t   100.000%\t   452.000\t        1\n"
    + END
)
ORDER = (
    "============================== Run Order ==============================\n"
    "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]\n"
    "\t                 CONV_2D\t    3.100\t    3.000\t 60.000%\t 60.000%\t     0.000\t        1\t[a/Conv2D]:0\n\n"
)


def op(kind: str, ms: float) -> str:
    return f"\t{kind:>24}\t        2\t{ms:10.3f}\t    12.345%\t    67.890%\t     0.000\t        2\n"


def profiled(*parts: str) -> tuple[tuple[str, float, float], ...]:
    return parse_output(OLD + "".join(parts)).ops


def test_the_ops_of_the_inferences_are_read_and_not_those_of_the_initialisation() -> None:
    ops = profiled(
        INITIALISATION,
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n",
        ORDER + RULE + HEAD,
        op("CONV_2D", 3) + op("Fully Connected (NC, QS8, QC8W)", 1),
        END,
    )
    assert ops == (("CONV_2D", 3.0, 0.75), ("Fully Connected (NC, QS8, QC8W)", 1.0, 0.25))


def test_what_ran_inside_a_delegate_takes_the_place_of_its_own_row() -> None:
    ops = profiled(
        INITIALISATION,
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n" + RULE + HEAD,
        op("TfLiteXNNPackDelegate", 4.1) + op("SOFTMAX", 1) + END,
        "Delegate internal: \n" + ORDER + RULE + HEAD,
        op("Convolution (NHWC, QC8) IGEMM", 3) + op("SOFTMAX", 1) + END,
    )
    assert ops == (("Convolution (NHWC, QC8) IGEMM", 3.0, 0.6), ("SOFTMAX", 2.0, 0.4))


def test_of_two_delegates_the_rows_stay_as_printed() -> None:
    ops = profiled(
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n" + RULE + HEAD,
        op("TfLiteGpuDelegateV2", 3) + op("TfLiteXNNPackDelegate", 1) + END,
        "Delegate internal: \n" + RULE + HEAD + op("Convolution", 1) + END,
    )
    assert [kind for kind, _, _ in ops] == ["TfLiteGpuDelegateV2", "TfLiteXNNPackDelegate"]


def test_the_table_of_litert_stands_alone_and_its_rows_without_time_are_left_out() -> None:
    litert = "INFO: [./litert/tools/benchmark_litert_model.h:179] \n" + ORDER + RULE + HEAD
    rows = op("LiteRT::Run[Buffer sync]", 1) + op("Fully Connected (NC, F32) GEMM", 4) + op("AllocateTensors", 0)
    assert profiled(litert, rows, END) == (
        ("Fully Connected (NC, F32) GEMM", 4.0, 0.8),
        ("LiteRT::Run[Buffer sync]", 1.0, 0.2),
    )


def test_the_column_of_calls_that_old_tables_lack_is_not_needed() -> None:
    row = "\t                 CONV_2D\t       94\t   244.899\t    88.952%\t    88.952%\t 35869.953\n"
    assert profiled(RULE, HEAD, row) == (("CONV_2D", 244.899, 1.0),)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (139, "x\n", "ended with SIGSEGV: 'x'; try another build"),
        (134, "x\nAborted \n", "ended with SIGABRT: 'Aborted'; try"),
        (
            1,
            "ERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\n",
            "GPU delegate.'; measure without this",
        ),
        (126, "sh: ./benchmark_model: not executable: 64-bit ELF file\n", "; get the binary for arm64-v8a"),
        (126, "sh: ./benchmark_model: Exec format error\n", "; get the binary for arm64-v8a"),
        (127, "sh: ./benchmark_model: No such file or directory\n", "built for Linux, not for Android"),
        (127, "sh: taskset: inaccessible or not found\n", "has no taskset; leave the CPU mask out"),
        (1, 'CANNOT LINK EXECUTABLE "./b": library "libLiteRt.so" not found\n', "needs no libraries of its own"),
        (3, "", "ended with status 3; try another build"),
    ],
)
def test_how_a_binary_failed_is_said_with_its_last_line_and_the_mend(status: int, text: str, expected: str) -> None:
    line = failure(text, status, "arm64-v8a")
    assert expected in line
    assert "\n" not in line


def test_the_last_line_is_cut_so_that_an_error_stays_readable() -> None:
    assert last_line("first\n" + "x" * 1000 + "\n\n") == "x" * 200
