"""The site: every file that the page asks for under the name that it asks for, whatever the artifacts are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_site import Built, MakeArtifact, write_files
from small_site import detectors as detectors
from small_site import make_artifact as make_artifact

import keras_faceattr
from keras_faceattr.demo import bundle
from keras_faceattr.demo.bundle import build_site, find_artifacts, unique_names
from keras_faceattr.errors import ArtifactError, ConfigError, DemoError
from keras_faceattr.faces.detector_spec import DetectorSpec


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def index_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "data/demo.json").read_text(encoding="utf-8")))


def test_the_index_says_where_everything_lies(detectors: Built, make_artifact: MakeArtifact, tmp_path: Path) -> None:
    models = [make_artifact("x/a.tflite", name="one"), make_artifact("y/b.tflite", name="two", min_face=40)]
    site = build_site(tmp_path / "site", models, post=True)
    index = index_of(site.folder)
    assert {key: index[key] for key in ("format", "kind", "package", "litert", "post")} == {
        "format": 2, "kind": "keras-faceattr demo", "package": keras_faceattr.__version__, "litert": "2.5.3",
        "post": True,
    }  # fmt: skip
    assert index["artifacts"][1] == {
        "id": "1",
        "name": "two",
        "recipe": "int8_qat",
        "tasks": ["t"],
        "model": "data/artifacts/1/model.tflite",
        "sidecar": "data/artifacts/1/sidecar.json",
        "golden": "data/artifacts/1/golden/",
        "detector": "1",
    }
    assert index["detectors"]["1"] == {"live": "data/detectors/1/live/", "photo": "data/detectors/1/photo/"}
    assert set(index["files"]) == files_in(site.folder) - {"data/demo.json", "sw.js"}
    for row, model in zip(index["artifacts"], models, strict=True):
        assert (site.folder / row["model"]).read_bytes() == model.read_bytes()
        assert (site.folder / row["sidecar"]).read_bytes() == model.with_suffix(".json").read_bytes()
        assert (site.folder / row["golden"] / "photos" / "0.png").read_text() == "photo"


def test_the_site_holds_the_page_without_what_is_for_people(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    site = build_site(tmp_path / "site", [make_artifact()], post=False)
    files = files_in(site.folder)
    assert {name for name in files if not name.startswith("data/")} == {
        "index.html", "sw.js", "app/main.js", "vendor/litert/core.js", "vendor/litert/wasm/a.wasm",
        "vendor/litert/LICENSE",
    }  # fmt: skip
    assert index_of(site.folder)["post"] is False


def test_a_detector_is_built_once_for_each_spec_and_use(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    models = [make_artifact("x/a.tflite"), make_artifact("y/b.tflite"), make_artifact("z/c.tflite", min_face=40)]
    said: list[str] = []
    site = build_site(tmp_path / "site", models, post=True, say=said.append)
    build_site(tmp_path / "again", models, post=True, say=said.append)
    assert detectors == [
        ((320, 320), DetectorSpec(20), (16, 4)), ((640, 640), DetectorSpec(20), (16, 4)),
        ((320, 320), DetectorSpec(40), (16, 4)), ((640, 640), DetectorSpec(40), (16, 4)),
    ]  # fmt: skip
    assert len(said) == 4
    assert [row["detector"] for row in index_of(site.folder)["artifacts"]] == ["0", "0", "1"]
    assert "640" in (site.folder / "data/detectors/1/photo/pnet.tflite").read_text()


def test_a_damaged_detector_in_the_cache_is_built_anew(
    detectors: Built, own_cache: Path, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    build_site(tmp_path / "site", [make_artifact()], post=True)
    next(own_cache.rglob("pnet.tflite")).write_text("damaged")
    build_site(tmp_path / "again", [make_artifact()], post=True)
    assert len(detectors) == 3


def test_a_killed_detector_build_leaves_nothing(
    detectors: Built, own_cache: Path, make_artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, *_: object) -> Path:
        write_files(folder, {"pnet.tflite": "half"})
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "export_detector", killed)
    with pytest.raises(KeyboardInterrupt):
        build_site(tmp_path / "site", [make_artifact()], post=True)
    assert not files_in(own_cache) and not (tmp_path / "site").exists()


def test_the_version_changes_with_any_file_and_with_nothing_else(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    model = make_artifact()
    first = build_site(tmp_path / "a", [model], post=True).version
    assert len(first) == 16 and build_site(tmp_path / "b", [model], post=False).version == first
    (tmp_path / "web" / "sw.js").write_text("// another worker")
    assert build_site(tmp_path / "c", [model], post=True).version != first


def test_an_earlier_site_is_brought_up_to_date_and_foreign_files_stay(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    build_site(folder, [make_artifact("x/a.tflite"), make_artifact("y/b.tflite")], post=False)
    write_files(folder, {"CNAME": "example.org", ".git/HEAD": "main"})
    build_site(folder, [make_artifact("x/a.tflite")], post=False)
    assert not [name for name in files_in(folder) if name.startswith("data/artifacts/1/")]
    assert {"CNAME", ".git/HEAD", "data/artifacts/0/model.tflite"} <= files_in(folder)


def test_an_index_from_elsewhere_deletes_nothing_outside(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    write_files(
        tmp_path / "site", {"data/demo.json": json.dumps({"files": ["../precious.txt", str(precious), "data", "."]})}
    )
    build_site(tmp_path / "site", [make_artifact()], post=False)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("files", [{"thesis.txt": "x"}, {"data/demo.json": "{"}, {"data/demo.json": "[]"}])
def test_a_folder_with_something_else_is_refused_and_left_alone(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path, files: dict[str, str]
) -> None:
    folder = write_files(tmp_path / "site", files)
    with pytest.raises(DemoError, match="neither empty nor an earlier site"):
        build_site(folder, [make_artifact()], post=False)
    assert files_in(folder) == set(files)


def test_odd_names_become_neither_paths_nor_anything_but_text(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    odd = '"><img src=x> ../ä%2e\u202e'
    model = make_artifact("odd <b>&'\" ü/it's.tflite", name=odd)
    write_files(model.parent, {"golden/<script>.png": "x", "golden/..png": "x"})
    site = build_site(tmp_path / "site", [model], post=True)
    assert site.names == (odd,) and index_of(site.folder)["artifacts"][0]["name"] == odd
    assert all(
        name.isascii() and name.replace("/", "").replace(".", "").replace("-", "").isalnum() for name in site.files
    )


def test_a_golden_crop_that_links_elsewhere_is_not_published(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    model = make_artifact()
    (tmp_path / "key").write_text("private")
    (model.parent / "golden" / "1.png").symlink_to(tmp_path / "key")
    with pytest.raises(DemoError, match=r"1\.png is a symbolic link"):
        build_site(tmp_path / "site", [model], post=True)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", ["run", "run/export", "run/export/int8"])
def test_a_run_an_export_and_a_recipe_stand_for_their_artifacts(
    make_artifact: MakeArtifact, tmp_path: Path, name: str
) -> None:
    models = [make_artifact("run/export/float32/b.tflite"), make_artifact("run/export/int8/a.tflite")]
    write_files(tmp_path / "run/export/detector", {"pnet.tflite": "net", "detector.json": "{}"})
    found = [artifact.path for artifact in find_artifacts([tmp_path / name])]
    assert found == (models[1:] if name.endswith("int8") else models)


def test_an_artifact_named_twice_is_shown_once(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    model = make_artifact("run/export/int8/a.tflite")
    assert [artifact.path for artifact in find_artifacts([model, tmp_path / "run", model])] == [model]


def test_a_batch_of_several_is_refused(make_artifact: MakeArtifact) -> None:
    with pytest.raises(DemoError, match="--batch 1"):
        find_artifacts([make_artifact(batch=4)])


def test_a_damaged_file_and_a_missing_one_are_refused(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    model = make_artifact()
    model.write_text("another net")
    with pytest.raises(ArtifactError, match="SHA-256"):
        find_artifacts([model])
    with pytest.raises(ArtifactError, match="no file"):
        find_artifacts([tmp_path / "none.tflite"])


def test_an_artifact_without_golden_crops_is_refused(make_artifact: MakeArtifact) -> None:
    model = make_artifact()
    (model.parent / "golden" / "expected.json").unlink()
    with pytest.raises(DemoError, match="golden crops"):
        find_artifacts([model])


def test_a_folder_without_artifacts_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="keras-faceattr export RUN"):
        find_artifacts([tmp_path])
    with pytest.raises(DemoError, match="no file or folder"):
        find_artifacts([tmp_path / "none"])


def test_equal_names_are_told_apart() -> None:
    assert unique_names(["a", "a", "b", "a"]) == ("a", "a (2)", "b", "a (3)")
    assert len(set(unique_names(["a (2)", "a", "a", "a (2)"]))) == 4


@pytest.mark.parametrize("name", ["core.js", "wasm/a.wasm"])
def test_a_runtime_that_is_not_the_pinned_one_is_not_bundled(
    detectors: Built, make_artifact: MakeArtifact, tmp_path: Path, name: str
) -> None:
    (tmp_path / "litert" / name).write_text("alert(1)")
    with pytest.raises(DemoError, match=f"vendor/litert/{name} is not the file that was fetched: run "):
        build_site(tmp_path / "site", [make_artifact()], post=True)
    assert not (tmp_path / "site" / "data" / "demo.json").exists()


def with_tasks(model: Path, **sensitive: bool) -> Path:
    """The artifact with further tasks in its sidecar, each sensitive or not."""
    path = model.with_suffix(".json")
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    task = sidecar["tasks"]["t"]
    sidecar["tasks"] = {name: {**task, "name": name, "sensitive": mark} for name, mark in sensitive.items()}
    sidecar["experiment"]["tasks"] = {name: {} for name in sensitive}
    sidecar["outputs"] = {name: {**sidecar["outputs"]["t"], "task": name} for name in sensitive}
    path.write_text(json.dumps(sidecar), encoding="utf-8")
    return model


@pytest.fixture
def two(make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An artifact with a sensitive task, and one without."""
    # The files have one output each.
    monkeypatch.setattr("keras_faceattr.artifact.loading.disagreement", lambda sidecar, file: None)
    first = with_tasks(make_artifact("x/a.tflite", name="first"), race=True, smile=False)
    return [first, with_tasks(make_artifact("y/b.tflite", name="second"), smile=False, glasses=False)]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([], [["smile"], ["smile", "glasses"]]),
        (["smile"], [["smile"], ["smile"]]),
        (["race", "glasses"], [["race"], ["glasses"]]),
    ],
)
def test_the_page_answers_a_sensitive_task_only_where_it_is_named(
    detectors: Built, two: list[Path], tmp_path: Path, named: list[str], expected: list[list[str]]
) -> None:
    said: list[str] = []
    site = build_site(tmp_path / "site", two, post=False, tasks=named, say=said.append)
    assert [row["tasks"] for row in index_of(site.folder)["artifacts"]] == expected
    assert ("first: race is sensitive and not answered: name it by --task race" in said) == (not named)


def test_the_version_changes_with_what_is_answered(detectors: Built, two: list[Path], tmp_path: Path) -> None:
    versions = [build_site(tmp_path / "site", two[:1], post=False, tasks=names).version for names in ([], ["race"])]
    assert versions[0] != versions[1]


@pytest.mark.parametrize(
    ("named", "words"),
    [(["rase"], "the net has no task 'rase'; did you mean 'race'"), (["race"], "b.tflite: the net has no task 'race'")],
)
def test_a_task_that_no_file_or_one_of_them_cannot_answer_is_refused_before_anything_is_written(
    detectors: Built, two: list[Path], tmp_path: Path, named: list[str], words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        build_site(tmp_path / "site", two, post=False, tasks=named)
    assert words in str(error.value) and not (tmp_path / "site").exists() and not detectors
