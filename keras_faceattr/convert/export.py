"""`export`: from a run to files that are proven to be as good as the model they come from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import keras_faceattr
from keras_faceattr.artifact.consistency import output_meaning
from keras_faceattr.artifact.cost import cost_of, integer_share, op_counts
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.loading import Artifact, write_golden
from keras_faceattr.artifact.measured_file import precision_of
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.artifact.sidecar import (
    CALIBRATION_FILE,
    CalibrationSpec,
    CostSpec,
    FactorSpec,
    FileSpec,
    GateSpec,
    InputSpec,
    OutputSpec,
    Sidecar,
    calibration_text,
    status_of,
)
from keras_faceattr.budget.gates import budget_gates, proof_gates
from keras_faceattr.budget.limits import Budget, Times
from keras_faceattr.calibration.conformal import conformal_intervals
from keras_faceattr.convert.card import artifact_card
from keras_faceattr.convert.conversion import INPUT, convert
from keras_faceattr.convert.engines import engine
from keras_faceattr.convert.inspection import check_operations
from keras_faceattr.convert.metadata import described
from keras_faceattr.convert.page import plot_differences
from keras_faceattr.convert.parity import parity
from keras_faceattr.convert.recipe import ExportRecipe
from keras_faceattr.convert.source import SPLIT, ExportListener, Source, task_of
from keras_faceattr.convert.temperatures import Temperatures
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.data.targets import labelled
from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.model_card import notices_of
from keras_faceattr.evaluation.predictions import predict_split
from keras_faceattr.run import PHOTO_PARTS, safe_name
from keras_faceattr.storage import jsonable, locked, replacing, sha256, write_json, write_text
from keras_faceattr.tasks import ScalarTask, task_to_dict
from keras_faceattr.training.provenance import installed_versions


def export_recipe(
    source: Source,
    recipe: ExportRecipe,
    folder: Path,
    listener: ExportListener,
    budget: Budget | None = None,
    batch: int = 1,
) -> Artifact:
    """Quantizes, converts, proves and writes one artifact.

    Args:
        folder: of this artifact.
        budget: judged beside the recipe's own tolerance.
        batch: fixed size of the batch.

    Returns:
        The artifact, whose sidecar says whether all gates were met and every task was judged.

    Raises:
        ModelError: a layer has no int8 kernel, or an operation is no builtin; it is named.
        RunError: another process exports to this folder, or it holds the export of another run.
    """
    path = folder / f"{safe_name(f'{source.experiment.name}_{recipe.name}')}.tflite"
    lock = folder.parent / f".{folder.name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}; choose another folder by --out") from None
    # Two exports of one run would delete each other's checkpoints.
    with locked(lock, folder):
        for other in folder.glob("*.tflite"):
            if other != path and other.with_suffix(".json").is_file():
                raise RunError(
                    f"{folder} holds {other.name} of another run, whose golden crops this export would replace: "
                    "choose another --out"
                )
        return _export(source, recipe, path, listener, budget, batch)


def _export(
    source: Source,
    recipe: ExportRecipe,
    path: Path,
    listener: ExportListener,
    budget: Budget | None,
    batch: int,
) -> Artifact:
    folder = path.parent
    outputs, float_layers, details, exact_layers = {"float": source.outputs}, None, {}, frozenset[str]()
    temperatures = source.temperatures
    if recipe.integer:
        integer = engine(recipe.engine)(source, recipe, folder / "qat", listener, batch)
        content, float_layers, details = integer.content, integer.float_layers, integer.details
        exact_layers = integer.exact_layers
        temperatures = integer.temperatures or temperatures
        if integer.outputs is not None:
            outputs["fake_quantized"] = integer.outputs
        if integer.unrounded is not None:
            outputs["unrounded"] = integer.unrounded
    else:
        content = convert(source.folded, batch=batch, weights=recipe.weights)
    listener.say(f"{recipe.name}: proving {len(content) / 1e6:.2f} MB on {len(source.held_out)} photos")
    _write(path, content)
    calibration = _calibration(source, path, temperatures, listener)
    _write(path, _described(source, recipe, path, content, calibration))
    file = read_tflite(path)
    names = {layer.name for layer in source.folded.layers} | (float_layers or frozenset())
    check_operations(file, names, float_layers, exact_layers)
    if recipe.integer:
        details["integer_share"] = integer_share(file)
    runtime = LiteRTModel(path)
    outputs["file"] = predict_split(runtime.predict, source.held_out)
    manifest = source.data.manifest.split(SPLIT)
    evaluation = source.experiment.evaluation
    samples, seed = evaluation.bootstrap_samples, source.experiment.seed
    intervals = {name: spec.object() for name, spec in calibration.items() if spec.intervals}
    compared = parity(manifest, source.tasks, outputs, samples, seed, source.held_out.labels, intervals)
    cost = CostSpec(**dataclasses.asdict(cost_of(file)))
    gates = proof_gates(source.tasks, compared, outputs["file"], recipe.tolerance, f"recipe {recipe.name}")
    if budget:
        gates += budget_gates(budget, cost, precision_of(file), batch, source.tasks, compared, Times())
    write_golden(folder / "golden", runtime, crop_spec(source.experiment))
    sidecar = _sidecar(source, recipe, path, file, runtime, cost, gates, compared, details, calibration)
    artifact = Artifact(path, sidecar)
    differences = {name: outputs["file"][name] - outputs["float"][name] for name in source.tasks}
    plot_differences(artifact.differences_path, differences)
    write_text(artifact.model_card_path, artifact_card(source.experiment, sidecar))
    # Last, because it says that all the others belong to this file.
    write_json(path.with_suffix(".json"), sidecar.model_dump(mode="json"))
    return artifact


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _calibration(
    source: Source, path: Path, temperatures: Temperatures, listener: ExportListener
) -> dict[str, CalibrationSpec]:
    """The temperatures that the file has, and intervals of each scalar task with a distribution.

    Intervals are measured on what the file itself says of the validation photos.
    """
    found = {
        name: CalibrationSpec(photos=temperatures.photos[name], temperature=factor)
        for name, factor in temperatures.factors.items()
    }
    part, scalars = source.data.parts.get("val"), []
    for name, task in source.tasks.items():
        if isinstance(task, ScalarTask) and f"{name}_distribution" in source.outputs:
            scalars.append(task)
    if not scalars or part is None:
        if scalars:
            listener.say(f"{path.stem}: no validation photos to measure intervals on: answers have none")
        return found
    outputs = predict_split(LiteRTModel(path).predict, part)
    for task in scalars:
        labels = part.labels[task.name]
        known = labelled(task, labels)
        values, distributions = outputs[task.name][known], outputs[f"{task.name}_distribution"][known]
        intervals = conformal_intervals(task, values.reshape(-1), distributions, labels[known])
        if intervals is None:
            listener.say(
                f"{path.stem}: {task.name} has no intervals: {int(known.sum())} labelled validation photos are too few"
            )
            continue
        entries = tuple(FactorSpec(level=level, factor=factor) for level, factor in intervals.factors.items())
        found[task.name] = CalibrationSpec(intervals=entries, photos=intervals.photos)
    return found


def _described(
    source: Source, recipe: ExportRecipe, path: Path, content: bytes, calibration: dict[str, CalibrationSpec]
) -> bytes:
    """The file with metadata for the tools that read them."""
    file, runtime = read_tflite(path), LiteRTModel(path)
    specs, pixels = _output_specs(source, runtime), file.tensors[file.inputs[0]]
    named = {index: name for name, index in file.signature_outputs.items()}
    data = ", ".join(f"{name}: {terms['licence']}" for name, terms in source.run.provenance()["sources"].items())
    return described(
        content,
        name=path.stem,
        description=f"{source.experiment.model.title}, recipe {recipe.name}, for {', '.join(source.tasks)}; made by "
        "keras-faceattr. The sidecar (.json) has everything that was measured on this file.",
        licence=f"Code: Apache-2.0. Data that it was trained on: {data}.",
        version=keras_faceattr.__version__,
        taken=_input_spec(runtime),
        quantized=(pixels.scale[0], pixels.zero_point[0]) if pixels.scale else None,
        given={named[index]: specs[named[index]] for index in file.outputs},
        files={CALIBRATION_FILE: calibration_text(calibration).encode()} if calibration else {},
    )


def _input_spec(runtime: LiteRTModel) -> InputSpec:
    shape = tuple(map(int, runtime.input["shape"]))
    return InputSpec(name=INPUT, shape=shape, dtype=np.dtype(runtime.input["dtype"]).name)


def _sidecar(
    source: Source,
    recipe: ExportRecipe,
    path: Path,
    file: TFLiteFile,
    runtime: LiteRTModel,
    cost: CostSpec,
    gates: list[GateSpec],
    compared: dict[str, Any],
    details: dict[str, Any],
    calibration: dict[str, CalibrationSpec],
) -> Sidecar:
    experiment = source.experiment
    provenance = source.run.provenance(*PHOTO_PARTS)
    # As it will be read back: what is no number is null.
    plain_parity = jsonable(compared)
    plain = experiment.model_dump(mode="json")
    for entry in plain["data"]["sources"]:
        # Where the data lay is nobody's business, and the next machine has it elsewhere.
        entry["path"] = None
        entry["exclude"] = Path(entry["exclude"]).name if entry["exclude"] else None
    starts = plain["model"]["init_from"]
    names = (
        {key: Path(path).name for key, path in starts.items()} if isinstance(starts, dict) else Path(starts or "").name
    )
    plain["model"]["init_from"] = names or None
    plain["model"]["name"] = experiment.model.title
    teachers = [Path(path).name for path in experiment.training.teachers]
    plain["training"]["teacher"] = teachers or None
    for entry in plain["tasks"].values():
        if entry["teacher"]:
            entry["teacher"]["path"] = Path(entry["teacher"]["path"]).name
    return Sidecar(
        name=path.stem,
        recipe=recipe.name,
        status=status_of(gates),
        gates=tuple(gates),
        file=FileSpec(name=path.name, bytes=path.stat().st_size, sha256=sha256(path)),
        model=experiment.model.title,
        input=_input_spec(runtime),
        outputs=_output_specs(source, runtime),
        tasks={name: task_to_dict(task) for name, task in source.tasks.items()},
        crop=crop_spec(experiment).to_dict(),
        quantization=jsonable({"recipe": recipe.model_dump(mode="json"), **details}),
        calibration=calibration,
        metrics=plain_parity["metrics"]["file"],
        protocol={
            "split": SPLIT,
            "photos": compared["photos"],
            "tta": "none",
            "seed": experiment.seed,
            # Of these photos alone, as in a run's `metrics.json`.
            "split_hash": source.data.manifest.split(SPLIT).split_hash(),
        },
        parity=plain_parity,
        cost=cost,
        operations=op_counts(file),
        licences={"code": "Apache-2.0", "data": provenance["sources"]},
        training={key: provenance[key] for key in ("photos", "label_hash", "split_hash", "sources")},
        notices=tuple(notices_of(source.tasks)),
        versions=installed_versions(),
        experiment=plain,
    )


def _output_specs(source: Source, runtime: LiteRTModel) -> dict[str, OutputSpec]:
    specs = {}
    for name, entry in runtime.outputs.items():
        task_name = task_of(name, source.tasks)
        assert task_name is not None
        task = source.tasks[task_name]
        meaning, labels = output_meaning(name, task)
        integer = np.dtype(entry["dtype"]).kind != "f"
        specs[name] = OutputSpec(
            task=task_name,
            meaning=meaning,  # type: ignore[arg-type]
            unit=getattr(task, "unit", "") if meaning == "value" else "",
            shape=tuple(map(int, entry["shape"])),
            dtype=np.dtype(entry["dtype"]).name,
            labels=labels,
            scale=float(entry["quantization"][0]) if integer else None,
            zero_point=int(entry["quantization"][1]) if integer else None,
        )
    return specs
