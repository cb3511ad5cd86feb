"""What a run starts from: a start that has seen the test photos is refused, one that cannot say so is named."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from small import Quiet

from keras_faceattr.config import Experiment, ModelConfig
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import read_manifest
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.run import Run
from keras_faceattr.storage import write_json
from keras_faceattr.training.fit import fit
from keras_faceattr.training.start import (
    check_known,
    check_starts,
    check_unseen,
    starts_of,
    trained_on,
    write_trained_on,
)

SOURCE = {"reader": "synthetic", "options": {"count": 40, "size": 32, "seed": 5}}


class Told(Quiet):
    """Keeps what is told at the start."""

    told: list[str]

    def on_start(self, run: Any, data: Any, network: Any, told: list[str]) -> None:
        self.told = told


def experiment(name: str, tasks: list[str], split: dict[str, Any], **more: Any) -> Experiment:
    data = {"sources": [SOURCE], "split": split, "crop": {"size": 32}, "augmentation": None}
    plain = {
        "name": name,
        "data": data,
        "tasks": {task: {} for task in tasks},
        "training": {"epochs": 1, "batch_size": 8},
        "evaluation": {"bootstrap_samples": 0},
    }
    return parse_experiment(plain | more, "test")


STRATIFIED = {"method": "stratified", "test": 0.25, "validation": 0.2, "seed": 3}


def recorded(folder: Path, split: dict[str, Any], starts: list[Path] | None = None) -> Path:
    """A run folder that says what it was trained on."""
    folder.mkdir()
    manifest, _ = read_manifest(experiment("x", ["age"], split))
    write_trained_on(Run(folder), starts or [], manifest)
    return folder


@pytest.mark.parametrize("tasks", [["gender"], ["race", "age"], ["attributes"], ["age"]])
def test_what_is_learned_does_not_decide_which_photos_are_test_photos(tasks: list[str]) -> None:
    hashes = {read_manifest(experiment("x", names, STRATIFIED))[0].split_hash() for names in (tasks, ["expression"])}
    assert len(hashes) == 1


def test_a_start_with_the_same_split_says_nothing(tmp_path: Path) -> None:
    start = recorded(tmp_path / "start", STRATIFIED)
    manifest, _ = read_manifest(experiment("x", ["gender"], STRATIFIED))
    assert check_starts([start, start / "model.keras"], manifest) == []
    assert trained_on(start) == trained_on(start / "export" / "int8_qat" / "net.tflite")
    assert len(trained_on(start) or ()) == (manifest.rows["split"] == "train").sum()


def test_a_start_that_has_seen_test_photos_is_refused_with_a_count(tmp_path: Path) -> None:
    start = recorded(tmp_path / "start", {**STRATIFIED, "seed": 4})
    # A run that starts from it knows what it knows, whatever its own photos are.
    heir = recorded(tmp_path / "heir", STRATIFIED, [start])
    before, _ = read_manifest(experiment("x", ["age"], {**STRATIFIED, "seed": 4}))
    manifest, _ = read_manifest(experiment("x", ["gender"], STRATIFIED))
    train = set(before.rows["image"][before.rows["split"] == "train"])
    tests = manifest.rows["image"][manifest.rows["split"] == "test"]
    seen = [image for image in tests if image in train]
    assert seen
    for known in (start, heir):
        with pytest.raises(DataError) as error:
            check_starts([known], manifest)
        assert f"{known} was trained on {len(seen)} of {len(tests)} test photos" in str(error.value)
        assert seen[0] in str(error.value) and "data.split" in str(error.value)


def test_val_photos_that_a_start_has_seen_are_told(tmp_path: Path) -> None:
    start = recorded(tmp_path / "start", {**STRATIFIED, "validation": 0})
    manifest, _ = read_manifest(experiment("x", ["gender"], STRATIFIED))
    val = (manifest.rows["split"] == "val").sum()
    (told,) = check_starts([start], manifest)
    assert told.startswith(f"{start} was trained on {val} of {val} val photos (the first: synthetic/")


def test_a_start_that_says_nothing_about_its_photos_is_named(tmp_path: Path) -> None:
    manifest, _ = read_manifest(experiment("x", ["gender"], STRATIFIED))
    (told,) = check_starts([tmp_path / "net.keras"], manifest)
    assert told.startswith(f"{tmp_path / 'net.keras'} does not say which photos it was trained on")


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_text(""),
    "UTF-16": lambda path: path.write_text(path.read_text(), encoding="utf-16"),
    "upper case": lambda path: path.write_text(path.read_text().upper()),
    "shorter": lambda path: path.write_text("\n".join(path.read_text().split()[1:])),
    "other photos": lambda path: path.write_text("".join(f"{number:016x}\n" for number in range(28))),
}


def recorded_run(folder: Path) -> Run:
    """As `recorded`, with the provenance that `fit` writes."""
    folder.mkdir()
    run, (manifest, _) = Run(folder), read_manifest(experiment("x", ["age"], STRATIFIED))
    write_json(run.provenance_path, {"seed": 0, "trained_on": write_trained_on(run, [], manifest)})
    return run


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_list_of_photos_that_is_not_the_one_of_the_run_is_refused_wherever_it_is_looked_at(
    tmp_path: Path, damage: str
) -> None:
    run = recorded_run(tmp_path / "run")
    manifest, _ = read_manifest(experiment("x", ["age"], STRATIFIED))
    assert check_unseen(run.folder, manifest, "test") == check_known(run) == []
    DAMAGES[damage](run.trained_on_path)
    for look in (
        lambda: check_unseen(run.folder / "export" / "net.tflite", manifest, "test"),
        lambda: check_starts([run.model_path], manifest),
        lambda: check_known(run),
    ):
        with pytest.raises(RunError, match=r"trained_on\.txt.*restore the file, or train a new run") as error:
            look()
        assert "\n" not in str(error.value)


def test_line_ends_of_another_system_are_the_same_list(tmp_path: Path) -> None:
    run = recorded_run(tmp_path / "run")
    known = trained_on(run.folder)
    run.trained_on_path.write_bytes(run.trained_on_path.read_bytes().replace(b"\n", b"\r\n"))
    assert trained_on(run.folder) == known and len(known or ()) == 24  # 40 less 10 test less 20 % of 30


@pytest.mark.parametrize("record", [None, {}, {"photos": 24}, "24"])
def test_a_damaged_record_of_the_list_is_refused(tmp_path: Path, record: Any) -> None:
    run = recorded_run(tmp_path / "run")
    write_json(run.provenance_path, {"trained_on": record})
    with pytest.raises(RunError, match="not the list that provenance.json"):
        trained_on(run.folder)


def test_measuring_a_net_of_which_nobody_knows_what_it_learned_from_is_told(tmp_path: Path) -> None:
    manifest, _ = read_manifest(experiment("x", ["age"], STRATIFIED))
    old = Run(recorded(tmp_path / "old", STRATIFIED))
    write_json(old.provenance_path, {"seed": 0})
    assert check_unseen(old.folder, manifest, "test") == check_known(old) == []
    old.trained_on_path.unlink()
    for path in (old.folder, tmp_path / "elsewhere.tflite"):
        (line,) = check_unseen(path, manifest, "test")
        assert line.startswith(f"{path} does not say which photos it was trained on")
        assert check_unseen(path, manifest, "train") == []
    assert check_known(old) == [
        f"{old.folder} does not say which photos it was trained on: test photos may be among them"
    ]


def test_starts_of_every_form() -> None:
    assert starts_of(ModelConfig()) == [] and starts_of(ModelConfig(init_from="a")) == [Path("a")]
    assert starts_of(ModelConfig(init_from={"identity": "a", "age": "b"})) == [Path("a"), Path("b")]
    assert starts_of(ModelConfig.model_validate({"name": "net.keras", "weights": "w.h5"})) == [
        Path("w.h5"),
        Path("net.keras"),
    ]


def test_fit_records_its_photos_and_refuses_to_be_measured_on_them(tmp_path: Path) -> None:
    tiny = {"model": {"name": "tiny_age_net"}}
    first = fit(experiment("first", ["age"], STRATIFIED, **tiny), tmp_path, Told())
    known = trained_on(first.folder)
    assert known and len(known) == first.provenance()["photos"]["train"]
    # By hand: one line per photo, sorted, in hexadecimal.
    lines = "".join(f"{photo}\n" for photo in sorted(known)).encode()
    assert first.provenance()["trained_on"] == {"photos": len(known), "sha256": hashlib.sha256(lines).hexdigest()}

    def after(split: dict[str, Any]) -> Experiment:
        return experiment("next", ["gender"], split, model={"name": "tiny_age_net", "init_from": str(first.folder)})

    with pytest.raises(DataError, match="test photos"):
        fit(after({**STRATIFIED, "seed": 9}), tmp_path, Told())
    assert not (tmp_path / "next").exists()
    listener = Told()
    heir = fit(after(STRATIFIED), tmp_path, listener)
    assert not any("test photos" in line for line in listener.told) and "initialised" in listener.told[0]
    assert trained_on(heir.folder) == known
