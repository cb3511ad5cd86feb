"""The profile by op comes from the runtime itself, of which the first table is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_faceattr.errors import ArtifactError, BenchmarkError
from keras_faceattr.measure import operators as module
from keras_faceattr.measure.operators import op_profile, parse_summary

REPORT = """\
=================== Run Order ==================
                  [node type]  [start]  [first]  [avg ms]      [%]   [cdf%]  [mem KB] [times called]  [Name]
                     QUANTIZE    0.000    0.010     0.010   0.547%   0.547%     0.000             20  [Builtin]:0
Delegate/Convolution (NHWC, QC8) IGEMM  0.000  0.100  0.106  5.606%  6.154%     0.000             20  [Delegate]:0
      Delegate/Constant Pad (ND, X8)    0.000    0.012     0.084   0.648%   6.801%     0.000        20  [Delegate]:1

=================== Top by Computation Time ==================
                  [node type]  [start]  [first]  [avg ms]      [%]   [cdf%]  [mem KB] [times called]  [Name]
Delegate/Convolution (NHWC, QC8) IGEMM  0.000  0.100  0.106  5.606%  6.154%     0.000             20  [Delegate]:0
"""


def test_the_first_table_is_read_and_shares_add_up() -> None:
    ops = parse_summary(REPORT)
    assert [(op.kind, op.name, op.ms) for op in ops] == [
        ("QUANTIZE", "[Builtin]:0", 0.010),
        ("Convolution (NHWC, QC8) IGEMM", "[Delegate]:0", 0.106),
        ("Constant Pad (ND, X8)", "[Delegate]:1", 0.084),
    ]
    assert [op.share for op in ops] == pytest.approx([0.05, 0.53, 0.42])
    assert parse_summary("") == []


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions, of which the second has 16 times the work of the first."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    first = tf.constant(rng.normal(size=(3, 3, 3, 16)), tf.float32)
    second = tf.constant(rng.normal(size=(3, 3, 16, 48)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 64, 64, 3), tf.float32)])
    def serve(pixels):
        return tf.nn.conv2d(tf.nn.conv2d(pixels, first, 1, "SAME"), second, 1, "SAME")

    path = tmp_path_factory.mktemp("nets") / "two.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    path.write_bytes(converter.convert())
    return path


def test_the_op_with_most_work_takes_most_time(net: Path) -> None:
    ops = [op for op in op_profile(net, 1) if "Convolution" in op.kind]
    assert len(ops) == 2
    assert ops[1].share > ops[0].share > 0


def test_what_the_runtime_cannot_profile_is_one_line(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(net.read_bytes()[:300])
    with pytest.raises(ArtifactError):
        op_profile(cut, 1)
    with pytest.raises(BenchmarkError, match="--threads 0"):
        op_profile(net, 0)
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(BenchmarkError, match="gives no op profile of it") as error:
        op_profile(net, 1)
    assert "\n" not in str(error.value)
