"""A folder of crops is the same however often the work was stopped, and reads back as data."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from aligning import GREY, here, manifest_of, plain_photos, scene, written

from keras_faceattr.alignment import job
from keras_faceattr.alignment.engines import KILLER, Engine, local_engine
from keras_faceattr.alignment.job import Alignment, Finished, crop_names
from keras_faceattr.alignment.work import AlignedPhoto, Work, align_photos
from keras_faceattr.data.datasets import read_dataset
from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.errors import DataError, RunError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.found import POINTS
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask, Task

SPEC = CropSpec(32, "five_points")
FACES = Work(SPEC, "largest", "png")
SQUARES = Work(CropSpec(16, "centre_square"), "largest", "png")
"""Needs no detector."""

TASKS: list[Task] = [
    ScalarTask("age", 0, 100, 1, "years"),
    CategoricalTask("mood", ("happy", "sad")),
    MultilabelTask("hats", ("red", "blue")),
]


def aligned(
    folder: Path,
    manifest: Manifest,
    work: Work = SQUARES,
    engine: Engine = here,
    share: float = 0.5,
    carried: pd.DataFrame | None = None,
) -> Finished:
    alignment = Alignment(folder, manifest, work, carried)
    alignment.run(engine, lambda done: None)
    return alignment.finish(share)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "manifest.csv", dtype="string", keep_default_na=False)


def aside(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "quarantine.csv", dtype="string", keep_default_na=False)


def contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    paths = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def output(folder: Path) -> dict[str, bytes]:
    """What an alignment is judged by."""
    return contents(folder, "crops/**/*", "manifest.csv", "quarantine.csv")


def labelled(folder: Path) -> Manifest:
    """Six labelled photos, of which one shows no face and one is no photo, and a row without a photo."""
    for i in range(4):
        written(folder / "in" / f"{i}.png", scene(i))
    written(folder / "grey.png", GREY)
    (folder / "text.jpg").write_text("no photo")
    rows = {
        "image": [*(f"in/{i}.png" for i in range(4)), "grey.png", "text.jpg", "absent.png"],
        "row": range(2, 9),
        "age": ["30", "41.5", "", "7", "8", "9", "10"],
        "age_std": ["2", "", "", "", "", "", ""],
        "mood": ["sad", "happy", "sad", "", "sad", "sad", "sad"],
        "hats.red": ["1", "0", "", "1", "1", "1", "1"],
        "hats.blue": ["0", "0", "1", "", "1", "1", "1"],
        "split": ["train", "test", "val", "train", "train", "train", "train"],
        "identity": ["ann", "007", "bea", "", "x", "y", "z"],
        "gender": ["female", "male", "female", "", "male", "male", "male"],
        "race": ["", "", "Indian", "Black", "", "", ""],
        "fold": pd.array([1, 2, 3, 4, 5, 1, 2], dtype="Int64"),
    }
    frame = pd.DataFrame(rows).replace("", pd.NA)
    return build_manifest(Source("own", folder, "Ann, 2020", "CC0"), frame, TASKS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return labelled(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def finished(photos: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an alignment that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert aligned(folder, photos, FACES) == Finished(photos=6, crops=4, put_aside=3, cut_without_face=0)
    return folder


def test_a_folder_holds_crops_under_the_names_of_the_photos_and_the_tables(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert names == {
        *(f"crops/in/{i}.png" for i in range(4)),
        ".lock", "crop.json", "fit.yaml", "journal.jsonl", "manifest.csv", "plan.json", "quarantine.csv",
    }  # fmt: skip


def test_a_row_of_the_table_says_where_the_crop_comes_from_and_what_it_is_labelled_with(
    finished: Path, photos: Manifest
) -> None:
    rows = table(finished)
    points = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    assert list(rows.columns) == [
        "image", "source", "source_image", "source_sha256", "face", "left", "top", "right", "bottom", "face_score",
        *points, "age", "age_std", "mood", "hats.red", "hats.blue", "split", "identity", "gender", "race", "fold",
    ]  # fmt: skip
    assert rows["image"].tolist() == [f"crops/in/{i}.png" for i in range(4)]
    assert rows["source_image"].tolist() == [f"in/{i}.png" for i in range(4)]
    assert set(rows["source"]) == {"own"} and set(rows["face"]) == {"1"}
    assert rows["identity"].tolist() == ["ann", "007", "bea", ""]
    for row, path in zip(rows.to_dict("records"), photos.paths(), strict=False):
        (cut,) = Cropper(SPEC).cut(read_photo(path))
        assert cut.box is not None and cut.points is not None
        np.testing.assert_array_equal(read_photo(finished / row["image"]), cut.pixels)
        np.testing.assert_allclose(
            [float(row[edge]) for edge in ("left", "top", "right", "bottom")], cut.box, atol=0.01
        )
        np.testing.assert_allclose([float(row[name]) for name in points], cut.points.ravel(), atol=0.01)
        assert float(row["face_score"]) == pytest.approx(cut.score, abs=1e-5)


def test_what_has_no_crop_is_listed_with_the_reason(finished: Path) -> None:
    assert aside(finished).to_dict("records") == [
        {"source": "own", "image": "absent.png", "row": "8", "reason": "no such photo"},
        {"source": "own", "image": "grey.png", "row": "6", "reason": "no face found"},
        {
            "source": "own",
            "image": "text.jpg",
            "row": "7",
            "reason": "not a photo (its first bytes are of no known image format)",
        },
    ]


def test_the_folder_reads_back_as_the_data_that_was_aligned(finished: Path, photos: Manifest) -> None:
    for path in (finished, finished / "manifest.csv"):
        back = read_dataset("csv_file", path, {}, [])
        assert back.tasks == photos.tasks
        source = back.sources["own"]
        assert (source.citation, source.licence, source.crop) == ("Ann, 2020", "CC0", SPEC)
        assert not len(back.quarantine)
        columns = ["age", "age_std", "mood", "hats.red", "hats.blue", "split", "identity", "gender", "race", "fold"]
        pd.testing.assert_frame_equal(
            back.rows[columns], photos.rows[columns].iloc[:4].reset_index(drop=True), check_dtype=False
        )


def test_a_config_that_trains_on_the_crops_stands_beside_them(finished: Path) -> None:
    from keras_faceattr.config_files import load_experiment
    from keras_faceattr.data.prepare import prepare

    experiment = load_experiment(str(finished / "fit.yaml"))
    assert list(experiment.tasks) == ["age", "mood", "hats"]
    assert experiment.data.split.method == "given"
    data = prepare(experiment, ("train", "val", "test"))
    assert {split: len(part) for split, part in data.parts.items()} == {"train": 2, "val": 1, "test": 1}
    shown = data.parts["test"].crops.take(data.parts["test"].rows)
    np.testing.assert_array_equal(shown[0], read_photo(finished / "crops/in/1.png"))


def test_photos_without_labels_give_a_table_and_no_config(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 3)
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"))
    assert not (tmp_path / "out" / "fit.yaml").exists()
    assert len(read_dataset("csv_file", tmp_path / "out", {}, [])) == 3


def test_photos_whose_names_differ_in_suffix_or_case_have_crops_of_their_own(tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "A.png", "b.png", "c/a.png", "b.c.png", "ä ö/x y.png"]
    for grey, name in enumerate(names):
        written(tmp_path / "photos" / name, np.full((16, 16, 3), 20 * grey, np.uint8))
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"))
    rows = table(tmp_path / "out")
    assert len(set(rows["image"].str.lower())) == len(names)
    for row in rows.to_dict("records"):
        crop = read_photo(tmp_path / "out" / row["image"])
        assert abs(int(crop[0, 0, 0]) - 20 * names.index(row["source_image"])) <= 1, row
    by_photo = dict(zip(rows["source_image"], rows["image"], strict=True))
    assert by_photo["b.png"] == "crops/b.png" and by_photo["ä ö/x y.png"] == "crops/ä ö/x y.png"


def test_a_name_made_unlike_others_is_no_third_photos_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpg.0.png", "a.png"):
        written(tmp_path / name, np.zeros((16, 16, 3), np.uint8))
    assert len(set(crop_names(manifest_of(tmp_path)))) == 3


def test_a_face_of_a_photo_is_not_written_over_another_photos_crop(tmp_path: Path) -> None:
    written(tmp_path / "photos" / "a.png", scene(3, faces=2))
    written(tmp_path / "photos" / "a.1.png", scene(0))
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), Work(SPEC, "all", "png"))
    rows = table(tmp_path / "out")
    assert len(rows) == 3
    assert rows["image"].is_unique


def test_all_faces_of_a_photo_are_rows_that_no_split_can_part(tmp_path: Path) -> None:
    written(tmp_path / "photos" / "two.png", scene(3, faces=2))
    written(tmp_path / "photos" / "one.png", scene(0))
    done = aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), Work(SPEC, "all", "png"))
    assert (done.photos, done.crops) == (2, 3)
    rows = table(tmp_path / "out")
    assert rows["image"].tolist() == ["crops/one.1.png", "crops/two.1.png", "crops/two.2.png"]
    assert rows["face"].tolist() == ["1", "1", "2"]
    assert rows["identity"].tolist() == ["one.png", "two.png", "two.png"]
    assert rows["left"].is_unique
    assert {path.name for path in (tmp_path / "out" / "crops").iterdir()} == {
        "one.1.png", "two.1.png", "two.2.png"
    }  # fmt: skip


def test_faces_of_a_photo_stay_together_also_where_only_other_photos_have_an_identity(tmp_path: Path) -> None:
    for name, pixels in (("one.png", scene(0)), ("two.png", scene(3, faces=2))):
        written(tmp_path / "photos" / name, pixels)
    rows = pd.DataFrame({"image": ["one.png", "two.png"], "identity": ["ann", pd.NA]})
    manifest = build_manifest(Source("photos", tmp_path / "photos"), rows, [])
    aligned(tmp_path / "out", manifest, Work(SPEC, "all", "png"))
    first, second = table(tmp_path / "out")["identity"][1:]
    assert first == second != ""


def test_several_sources_have_folders_of_their_own_and_one_citation(tmp_path: Path) -> None:
    manifests = []
    for name, grey in (("one", 40), ("other", 90)):
        written(tmp_path / name / "a.png", np.full((16, 16, 3), grey, np.uint8))
        rows = pd.DataFrame({"image": ["a.png"], "age": [grey]})
        source = Source(name, tmp_path / name, f"{name}, 2020", f"licence of {name}")
        manifests.append(build_manifest(source, rows, TASKS[:1]))
    aligned(tmp_path / "out", concatenate(manifests))
    rows = table(tmp_path / "out")
    assert rows["image"].tolist() == ["crops/one/a.png", "crops/other/a.png"]
    assert rows["source"].tolist() == ["one", "other"]
    assert [int(read_photo(tmp_path / "out" / name)[0, 0, 0]) for name in rows["image"]] == [40, 90]
    back = read_dataset("csv_file", tmp_path / "out", {}, [])
    (source,) = back.sources.values()
    assert (source.name, source.citation, source.licence) == (
        "one+other", "one, 2020; other, 2020", "licence of one; licence of other"
    )  # fmt: skip
    assert back.rows["age"].tolist() == [40, 90]


def test_photos_cut_by_the_fallback_are_rows_without_a_face_and_listed(tmp_path: Path) -> None:
    written(tmp_path / "photos" / "grey.png", GREY)
    written(tmp_path / "photos" / "one.png", scene(0))
    work = Work(CropSpec(32, "five_points", fallback="centre_square"), "largest", "png")
    done = aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), work)
    assert (done.crops, done.put_aside, done.cut_without_face) == (2, 0, 1)
    empty, full = table(tmp_path / "out").to_dict("records")
    for name in ("left", "bottom", "face_score", "left_eye_x", "right_mouth_y"):
        assert empty[name] == "" and float(full[name]) > 0
    assert aside(tmp_path / "out")["reason"].tolist() == ["no face found; cut by centre_square instead"]


def test_further_columns_are_carried_row_by_row(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "001.png").write_text("no photo")
    carried = pd.DataFrame({"note": ["first", "lost", "third, with a comma"], "mood": ["sad", pd.NA, pd.NA]})
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), carried=carried)
    rows = table(tmp_path / "out")
    assert rows["note"].tolist() == ["first", "third, with a comma"]
    assert rows["mood"].tolist() == ["sad", ""]


def test_a_column_of_ones_own_that_is_called_as_one_of_the_tables_does_not_spoil_it(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 2)
    carried = pd.DataFrame({"face": ["round", "long"], "left": ["yes", "no"]})
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), carried=carried)
    assert len(read_dataset("csv_file", tmp_path / "out", {}, [])) == 2


class Remembering:
    """An engine that cuts each photo once, however often it is asked."""

    def __init__(self) -> None:
        self.known: dict[Path, AlignedPhoto] = {}
        self.asked: list[Path] = []

    def __call__(self, work: Work, chunks: Iterable[list[Path]]) -> Iterator[list[AlignedPhoto]]:
        for chunk in chunks:
            self.asked += chunk
            for path in chunk:
                if path not in self.known:
                    (self.known[path],) = align_photos(work, [path])
            yield [self.known[path] for path in chunk]


def interrupted(finished: Path, folder: Path, end: int) -> int:
    """What a killed alignment leaves whose journal ends after so many bytes; the number of photos in whole lines."""
    folder.mkdir()
    shutil.copy(finished / "plan.json", folder)
    journal = (finished / "journal.jsonl").read_bytes()[:end]
    (folder / "journal.jsonl").write_bytes(journal)
    done = journal.count(b"\n")
    names = [f"crops/in/{i}.png" for i in range(min(done, 4))]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished / name, folder / name)
    return done


def test_an_alignment_that_was_killed_anywhere_ends_as_one_that_was_not(
    finished: Path, photos: Manifest, tmp_path: Path
) -> None:
    engine, whole = Remembering(), (finished / "journal.jsonl").stat().st_size
    for end in [*range(0, whole, 11), whole - 1, whole]:
        folder = tmp_path / str(end)
        done = interrupted(finished, folder, end)
        alignment = Alignment(folder, photos, FACES)
        assert alignment.done == done
        engine.asked.clear()
        alignment.run(engine, lambda done: None)
        assert engine.asked == photos.paths()[done:], end
        alignment.finish(0.5)
        assert output(folder) == output(finished), end
        shutil.rmtree(folder)


def bomb(path: Path) -> Path:
    """A PNG that says that it is 100,000 pixels wide and high."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IEND\xaeB`\x82"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def test_a_line_torn_within_a_letter_is_mended_too(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    plain_photos(photos, 1)
    bomb(photos / "bomb.png")
    aligned(tmp_path / "whole", manifest_of(photos))
    reason = aside(tmp_path / "whole")["reason"][0]
    assert "100000 × 100000" in reason
    journal = (tmp_path / "whole" / "journal.jsonl").read_bytes()
    shutil.copytree(tmp_path / "whole", tmp_path / "torn", ignore=shutil.ignore_patterns("*.csv", "crop.json"))
    (tmp_path / "torn" / "journal.jsonl").write_bytes(journal[: journal.index("×".encode()) + 1])
    alignment = Alignment(tmp_path / "torn", manifest_of(photos), SQUARES)
    assert alignment.done == 1
    alignment.run(here, lambda done: None)
    alignment.finish(0.5)
    assert output(tmp_path / "torn") == output(tmp_path / "whole")


def never(work: Work, chunks: Iterable[list[Path]]) -> Iterator[list[AlignedPhoto]]:
    raise AssertionError("there is nothing to do")


def test_running_again_cuts_nothing_and_changes_nothing(finished: Path, photos: Manifest) -> None:
    def state() -> tuple[dict[str, bytes], dict[Path, int]]:
        untouched = [*finished.rglob("crops/**/*"), finished / "plan.json", finished / "journal.jsonl"]
        return contents(finished, "**/*"), {path: path.stat().st_mtime_ns for path in untouched}

    before = state()
    assert Alignment(finished, photos, FACES).done == 6
    assert aligned(finished, photos, FACES, never) == Finished(6, 4, 3, 0)
    assert state() == before


def test_two_alignments_cannot_fill_one_folder_at_once(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 40)
    manifest, refusals = manifest_of(tmp_path / "photos"), []

    def second(done: int) -> None:
        if done < 40:
            with pytest.raises(RunError) as error:
                aligned(tmp_path / "out", manifest)
            refusals.append(str(error.value))

    first = Alignment(tmp_path / "out", manifest, SQUARES)
    first.run(here, second)
    assert len(refusals) == 2 and "\n" not in refusals[0]
    assert first.finish(0.5).crops == 40


def test_a_kill_between_the_last_files_leaves_none_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_photos(tmp_path / "photos", 1)
    rows = pd.DataFrame({"image": ["000.png"], "age": [5]})
    manifest = build_manifest(Source("own", tmp_path / "photos"), rows, TASKS[:1])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, "write_text", killed)
        aligned(tmp_path / "out", manifest)
    aligned(tmp_path / "out", manifest)
    assert (tmp_path / "out" / "fit.yaml").exists()


def refused(folder: Path, manifest: Manifest, work: Work) -> str:
    with pytest.raises(DataError) as error:
        Alignment(folder, manifest, work)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_of_other_settings_or_other_photos_is_refused(
    finished: Path, photos: Manifest, tmp_path: Path
) -> None:
    before = output(finished)
    for work in (
        Work(CropSpec(48, "five_points"), "largest", "png"),
        Work(CropSpec(32, "face_box"), "largest", "png"),
        Work(CropSpec(32, "five_points", min_face=40), "largest", "png"),
        Work(SPEC, "all", "png"),
        Work(SPEC, "largest", "jpg"),
    ):
        assert "choose another --out" in refused(finished, photos, work)
    fewer = photos.select(np.arange(len(photos)) > 0)
    plain_photos(tmp_path, 6)
    for manifest in (fewer, manifest_of(tmp_path)):
        assert "choose another --out" in refused(finished, manifest, FACES)
    assert output(finished) == before


def test_labels_that_changed_since_are_written(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 1)

    def manifest(age: int) -> Manifest:
        rows = pd.DataFrame({"image": ["000.png"], "age": [age]})
        return build_manifest(Source("own", tmp_path / "photos"), rows, TASKS[:1])

    aligned(tmp_path / "out", manifest(30))
    aligned(tmp_path / "out", manifest(40), engine=never)
    assert float(table(tmp_path / "out")["age"][0]) == 40


@pytest.mark.parametrize("other", ["crops/a.png", "manifest.csv", "fit.yaml", "quarantine.csv"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, other: str) -> None:
    plain_photos(tmp_path / "photos", 1)
    path = tmp_path / "out" / other
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert "of something else" in refused(tmp_path / "out", manifest_of(tmp_path / "photos"), SQUARES)
    assert path.read_text() == "mine"


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 1)
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"))
    (tmp_path / "out" / "plan.json").write_text("{")
    assert "choose another --out" in refused(tmp_path / "out", manifest_of(tmp_path / "photos"), SQUARES)


def test_too_many_photos_without_a_crop_are_refused_and_a_higher_share_goes_on(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / "002.png").write_text("no photo")
    manifest = manifest_of(tmp_path / "photos")
    with pytest.raises(DataError, match=r"1 of 4 .* allowed 24\.0%; the first: 002\.png: not a photo.*--max-bad-share"):
        aligned(tmp_path / "out", manifest, share=0.24)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    assert aligned(tmp_path / "out", manifest, engine=never_asked, share=0.25).crops == 3


def never_asked(work: Work, chunks: Iterable[list[Path]]) -> Iterator[list[AlignedPhoto]]:
    assert list(chunks) == []
    return iter([])


def test_photos_that_are_all_bad_are_refused_whatever_share_is_allowed(tmp_path: Path) -> None:
    written(tmp_path / "photos" / "grey.png", GREY)
    with pytest.raises(DataError, match=r"no photo has a crop; the first: grey\.png: no face found"):
        aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), FACES, share=1)
    assert not (tmp_path / "out" / "crop.json").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 2)
    manifest = manifest_of(tmp_path / "photos")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*plan\.json"):
        aligned(tmp_path / "file", manifest)
    with pytest.raises(RunError, match=r"cannot write .*plan\.json"):
        aligned(Path("/proc/out"), manifest)
    Alignment(tmp_path / "out", manifest, SQUARES)
    (tmp_path / "out" / "crops").touch()
    with pytest.raises(RunError, match=r"cannot write .*000\.png"):
        aligned(tmp_path / "out", manifest)


def test_a_full_disk_stops_the_work_and_more_room_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_photos(tmp_path / "photos", 40)
    manifest, done = manifest_of(tmp_path / "photos"), []

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    alignment = Alignment(tmp_path / "out", manifest, SQUARES)
    with monkeypatch.context() as patch, pytest.raises(RunError, match="No space left on device"):

        def progress(number: int) -> None:
            done.append(number)
            patch.setattr(os, "replace", full)

        alignment.run(here, progress)
    assert done == [16] and alignment.done == 16
    assert not list((tmp_path / "out").rglob(".writing-*"))
    aligned(tmp_path / "out", manifest)
    aligned(tmp_path / "whole", manifest)
    assert output(tmp_path / "out") == output(tmp_path / "whole")


DEADLY = """
import os
import cv2

whole = cv2.imdecode


def imdecode(data, flags):
    if b"deadly" in data.tobytes():
        os._exit(1)
    return whole(data, flags)


cv2.imdecode = imdecode
"""


def test_a_photo_that_ends_its_process_is_listed_and_no_other_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = plain_photos(tmp_path / "photos", 40)
    aligned(tmp_path / "whole", manifest_of(tmp_path / "photos"))
    with photos[20].open("ab") as stream:
        stream.write(b"deadly")
    (tmp_path / "site").mkdir()
    # What Python imports by itself when a worker starts.
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    done = aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), engine=local_engine(2))
    assert (done.crops, done.put_aside) == (39, 1)
    assert aside(tmp_path / "out")[["image", "reason"]].to_numpy().tolist() == [["020.png", KILLER]]
    crops, expected = (contents(tmp_path / name, "crops/*") for name in ("out", "whole"))
    del expected["crops/020.png"]
    assert crops == expected


def test_progress_counts_photos_of_earlier_calls_too(finished: Path, photos: Manifest, tmp_path: Path) -> None:
    lines = (finished / "journal.jsonl").read_text().splitlines(keepends=True)
    assert [bool(json.loads(line)["faces"]) for line in lines] == [True] * 4 + [False] * 2
    folder, seen = tmp_path / "out", []
    done = interrupted(finished, folder, len("".join(lines[:3]).encode()))
    Alignment(folder, photos, FACES).run(here, seen.append)
    assert (done, seen) == (3, [6])


def test_crops_in_jpg_read_back(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 2)
    aligned(tmp_path / "out", manifest_of(tmp_path / "photos"), Work(CropSpec(16, "centre_square"), "largest", "jpg"))
    assert table(tmp_path / "out")["image"].tolist() == ["crops/000.jpg", "crops/001.jpg"]
    assert cv2.imread(str(tmp_path / "out" / "crops" / "001.jpg")).shape == (16, 16, 3)


def test_a_label_that_is_called_as_a_column_of_the_table_is_refused(tmp_path: Path) -> None:
    plain_photos(tmp_path / "photos", 2)
    rows = pd.DataFrame({"image": ["000.png", "001.png"], "face": [7, 8]})
    manifest = build_manifest(Source("own", tmp_path / "photos"), rows, [ScalarTask("face", 0, 10, 1)])
    with pytest.raises(DataError, match="'face'.*rename"):
        aligned(tmp_path / "out", manifest)
