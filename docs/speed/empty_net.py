"""What training adds to a step that computes next to nothing: `python docs/speed/empty_net.py`, about a minute.

A net of a pooling and three heads on drawn faces of 32²: our `fit` and `train_on_batch` against Keras' own `fit` on a
batch in memory, in turns.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from keras import layers

from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.prepare import prepare
from keras_faceattr.models import MODELS, Architecture, shared
from keras_faceattr.models.layers import normalise
from keras_faceattr.tasks import age_task
from keras_faceattr.training import pipeline_benchmark as benchmark

STEPS = 1600
SETTINGS = [
    "data.sources.0.options.count=1200", "data.sources.0.options.size=40", "data.crop.size=32",
    "data.augmentation=null", "training.batch_size=32", "model.name=empty_net",
]  # fmt: skip


def empty(pixels: Any, pooling: str = "hybrid") -> Any:
    """The mean of each colour."""
    return layers.GlobalAveragePooling2D(name="features")(layers.MaxPooling2D(8, name="pool")(normalise(pixels)))


def main() -> None:
    """Prints milliseconds of a step, and ratios with the interval of the paired rounds."""
    MODELS["empty_net"] = Architecture(shared(empty), {}, {"age": (age_task(), None)})
    experiment = load_experiment("quickstart", SETTINGS)
    data = prepare(experiment, ("train",))
    model = benchmark.compiled(experiment, data)
    batch = next(benchmark.endless_batches(experiment, data.parts["train"], data.tasks, 0))
    images, labels = np.asarray(batch[0]), {name: np.asarray(value) for name, value in batch[1].items()}

    def on_batch(_: int) -> Generator[object, None, None]:
        while True:
            yield model.train_on_batch(images, labels, return_dict=True)

    parts = {
        "Keras' own fit": benchmark.keras_fit(model, experiment, data),
        "fit": benchmark.our_fit(model, experiment, data),
        "train_on_batch": benchmark.stepping(on_batch),
    }
    seconds = {name: np.array(times) for name, times in benchmark.measure_parts(parts, STEPS).items()}
    for name, times in seconds.items():
        ratios = times / seconds["Keras' own fit"]
        low, high = benchmark.paired_interval(ratios)
        print(f"{name}: {1000 * np.median(times):.2f} ms, × {np.median(ratios):.3f} ({low:.3f}–{high:.3f})")


if __name__ == "__main__":
    main()
