"""Making the integer model of an export with the native engine: calibrate, fine-tune, convert."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.recipe import ExportRecipe, FineTuningConfig
from keras_faceattr.convert.source import ExportListener, Source
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.mixing import mixed_order, source_weights
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.fine_tune import fine_tune, fine_tuning_experiment
from keras_faceattr.quantization.noise import layer_noise
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network
from keras_faceattr.run import Run
from keras_faceattr.storage import replacing, sha256, write_json
from keras_faceattr.training.checkpoint import best_checkpoint, load_loss_memory
from keras_faceattr.training.loop import make_losses
from keras_faceattr.training.provenance import provenance

CALIBRATION_BATCH = 10
NOISE_PHOTOS = 40
IDENTITY = "quantization.json"
"""File that says what recipe and model a fine-tuning belongs to."""
FINISHED = "finished.json"


@dataclass(frozen=True)
class Integer:
    """An integer model.

    Attributes:
        content: of the `.tflite` file.
        outputs: of the fake-quantized model on the held-out photos; None where there is no such model.
        float_layers: layers that were left in float on purpose.
        details: for the sidecar.
        exact_heads: whether these layers must not be integer either.
    """

    content: bytes
    outputs: Outputs | None
    float_layers: frozenset[str]
    details: dict[str, Any]
    exact_heads: bool = True


def make_integer(source: Source, recipe: ExportRecipe, folder: Path, listener: ExportListener, batch: int) -> Integer:
    """Quantizes natively; the fake-quantized model is left in `folder` as a run of its own.

    Args:
        folder: of that run; a call that was killed goes on there, and one that finished is used again.
    """
    settings = recipe.integer
    assert settings is not None
    tuning = settings.fine_tuning
    learned = tuning is not None and tuning.learned_ranges
    quantized = quantize_network(source.folded, source.tasks, all_integer=settings.heads, learned_ranges=learned)
    run = Run(folder)
    finished = _open(run, source, recipe)
    details: dict[str, Any] = {"engine": "native"}
    seed, weights = source.experiment.seed, source_weights(source.experiment.data.sources)
    if finished is None:
        drawn = draw(source.data.parts.get("train"), settings.calibration.photos, seed, weights)
        listener.say(f"{recipe.name}: calibrating on {len(drawn)} photos")
        calibrate(quantized, source.folded, batches(drawn), settings.calibration.observer)
        details |= {"calibration_photos": len(drawn), "calibration_sources": _by_source(source, drawn)}
        if tuning:
            experiment = run.experiment()
            listener.say(f"{recipe.name}: fine-tuning for {tuning.epochs} epochs")
            losses = make_losses(experiment, source.tasks, source.data.forms)
            # People are told apart by weights that only the losses have, as the run left them.
            load_loss_memory(best_checkpoint(source.run), [v for loss in losses.values() for v in loss.variables])
            details["fine_tuned"] = fine_tune(
                quantized, experiment, source.data, run, listener,
                frozen_epochs=tuning.frozen_epochs, range_rate=tuning.range_rate, losses=losses,
            )  # fmt: skip
        round_biases(quantized.network.inference)
        with replacing(run.model_path) as temporary:
            quantized.network.inference.save(temporary)
        write_json(folder / FINISHED, details)
    else:
        listener.say(f"{recipe.name}: using the model that an earlier export left in {folder}")
        details = finished
        quantized.network.inference.set_weights(load_model(run.model_path).get_weights())
    listener.say(f"{recipe.name}: converting")
    content = convert(quantized.body, batch=batch, weights="int8", integer_input=True, integer_output=settings.heads)
    outputs = predict_split(keras_predictor(quantized.network.inference), source.held_out)
    looked_at = draw(source.held_out, NOISE_PHOTOS, seed, weights)
    details |= {"layers": _noise(quantized, source, looked_at), "noise_sources": _by_source(source, looked_at)}
    return Integer(content, outputs, quantized.plan.float_nodes, details)


def draw(part: LabelledCrops | None, photos: int, seed: int, weights: np.ndarray | None) -> LabelledCrops:
    """Photos drawn at random, without their labels, mixed as training mixes its sources.

    Args:
        photos: there are fewer where a source has not as many as its share asks for.
        weights: (sources,) of `source_weights`.

    Raises:
        DataError: there are none.
    """
    if part is None:
        raise DataError("no photos to calibrate with: the train split is empty")
    if weights is None or part.sources is None:
        at = np.random.default_rng(seed).permutation(len(part))[:photos]
    else:
        order = mixed_order(part.sources, weights, photos, 1, seed, 0)
        at = np.array(list(dict.fromkeys(order.tolist())))
    sources = None if part.sources is None else part.sources[at]
    return dataclasses.replace(part, labels={}, rows=part.rows[at], sources=sources)


def batches(part: LabelledCrops) -> list[np.ndarray]:
    """The photos of a part, (b, side, side, 3) from 0 to 255 each."""
    pixels = part.crops.take(part.rows).astype("float32")
    return [pixels[start : start + CALIBRATION_BATCH] for start in range(0, len(pixels), CALIBRATION_BATCH)]


def _open(run: Run, source: Source, recipe: ExportRecipe) -> dict[str, Any] | None:
    """Makes the run ready to start or to go on; returns its details if it has finished.

    What another recipe or another model left there is thrown away.
    """
    assert recipe.integer is not None
    identity = {
        "model": sha256(source.run.model_path),
        "heads": list(source.tasks),
        "integer": recipe.integer.model_dump(mode="json"),
        "labels": source.data.manifest.label_hash(),
        "photos": source.data.manifest.photo_hash(),
        "splits": source.data.manifest.split_hash(),
    }
    path = run.folder / IDENTITY
    try:
        if json.loads(path.read_text(encoding="utf-8")) == identity:
            if run.model_path.exists():
                return dict(json.loads((run.folder / FINISHED).read_text(encoding="utf-8")))
            return None
    except (OSError, ValueError):
        pass
    start_run(run.folder, source, recipe)
    # Last, because it says that all the others belong to this recipe.
    write_json(path, identity)
    return None


def start_run(folder: Path, source: Source, recipe: ExportRecipe) -> Run:
    """A run for the fine-tuning of a recipe, without anything that another recipe or model left there."""
    assert recipe.integer is not None
    run = Run(folder)
    for stale in (run.model_path, run.checkpoint_path, run.history_path, folder / FINISHED, folder / IDENTITY):
        stale.unlink(missing_ok=True)
    run.drop_best_but(0)
    tuning = recipe.integer.fine_tuning or FineTuningConfig()
    name = f"{source.experiment.name}_{recipe.name}"
    experiment = fine_tuning_experiment(source.experiment, name, tuning.epochs, tuning.learning_rate, tuning.augmented)
    run.write_config(experiment, source.tasks)
    write_json(run.provenance_path, provenance(experiment, source.data))
    return run


def _by_source(source: Source, part: LabelledCrops) -> dict[str, int]:
    names = list(source.data.manifest.sources)
    numbers = np.zeros(len(part), "int64") if part.sources is None else part.sources
    return dict(zip(names, np.bincount(numbers, minlength=len(names)).tolist(), strict=True))


def _noise(quantized: QuantizedNetwork, source: Source, part: LabelledCrops) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in layer_noise(quantized, source.folded, batches(part))]
