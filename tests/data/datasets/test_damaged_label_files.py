"""Label files of every reader that are damaged: one line that names the file, and never a traceback."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.vocabulary import ATTRIBUTES
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import BinaryTask

ATTRIBUTE_LINES = "".join(f"{name}{' 1' * len(ATTRIBUTES)}\n" for name in ("1.jpg", "2.jpg"))
ATTRIBUTE_TEXT = f"2\n{' '.join(ATTRIBUTES)}\n{ATTRIBUTE_LINES}"
PEOPLE = ["Ann_Bee/Ann_Bee_0001.jpg", "Carl_D/Carl_D_0001.jpg"]
SCUT, SCUT_SPLIT = "train_test_files", "train_test_files/split_of_60%training and 40%testing"
SCUT_FOLDS = "train_test_files/5_folders_cross_validations_files"
SCORES = "AF1.jpg 3.5\nCM2.jpg 2.0\n"
FER = f"emotion,pixels,Usage\n0,{'7 ' * 2304},Training\n3,{'9 ' * 2304},PrivateTest\n"
MANUAL = "Annotation/manual/{}_manu_attri.txt"


def matlab(**variables: object) -> bytes:
    stream = io.BytesIO()
    pytest.importorskip("scipy.io").savemat(stream, variables)
    return stream.getvalue()


def sheet(text: str) -> bytes:
    pytest.importorskip("openpyxl")
    stream = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_excel(stream, index=False)
    return stream.getvalue()


def lfwa_matlab() -> bytes:
    cells = {"AttrName": ATTRIBUTES, "name": PEOPLE}
    return matlab(
        label=np.ones((2, len(ATTRIBUTES))),
        **{key: np.array(values, dtype=object).reshape(-1, 1) for key, values in cells.items()},
    )


def imdb_matlab() -> bytes:
    texts = {"full_path": ["01/1.jpg", "01/2.jpg"], "name": ["Ann", "Bea"]}
    numbers = {"dob": [700000.0] * 2, "photo_taken": [2000.0] * 2, "gender": [0.0, 1.0], "face_score": [3.0] * 2}
    struct = {key: np.array([values]) for key, values in (numbers | {"second_face_score": [np.nan] * 2}).items()}
    for key, values in texts.items():
        struct[key] = np.empty((1, 2), dtype=object)
        struct[key][0, :] = [np.array([text]) for text in values]
    return matlab(imdb=struct)


Content = str | Callable[[], bytes]

LAYOUTS: list[tuple[str, dict[str, Content], list[str]]] = [
    ("csv_file", {"labels.csv": "image,smile\n1.jpg,1\n2.jpg,0\n"}, ["1.jpg", "2.jpg"]),
    (
        "scut_fbp5500",
        {
            f"{SCUT}/All_labels.txt": SCORES,
            "All_Ratings.csv": "Rater,Filename,Rating\n1,AF1.jpg,3\n2,AF1.jpg,4\n1,CM2.jpg,2\n2,CM2.jpg,2\n",
            f"{SCUT_SPLIT}/train.txt": "AF1.jpg 3.5\n",
            f"{SCUT_SPLIT}/test.txt": "CM2.jpg 2.0\n",
            **{f"{SCUT_FOLDS}/cross_validation_{n}/test_{n}.txt": SCORES for n in range(1, 6)},
        },
        ["Images/AF1.jpg", "Images/CM2.jpg"],
    ),
    (
        "scut_fbp",
        {
            "Rating_Collection/Attractiveness label.csv": "Image,Attractiveness label\n1,2.8\n2,4.1\n",
            "Rating_Collection/All Ratings.csv": "Rater,Image,Rating\n1,1,2\n1,2,5\n2,1,3\n2,2,4\n",
        },
        ["Data_Collection/SCUT-FBP-1.jpg", "Data_Collection/SCUT-FBP-2.jpg"],
    ),
    (
        "scut_fbp",
        {
            "Rating_Collection/Attractiveness label.xlsx": lambda: sheet("Image,Attractiveness label\n1,2.8\n2,4.1\n"),
        },
        ["Data_Collection/SCUT-FBP-1.jpg", "Data_Collection/SCUT-FBP-2.jpg"],
    ),
    (
        "cfd",
        {"CFD 3.0 Norming Data.csv": "Model,EthnicitySelf,GenderSelf,Attractive\nAF-200,A,F,3.1\nBM-001,B,M,4.5\n"},
        ["Images/CFD/AF-200/CFD-AF-200-228-N.jpg", "Images/CFD/BM-001/CFD-BM-001-014-N.jpg"],
    ),
    (
        "chalearn",
        {"train_gt.csv": "image,mean,stdv\n1.jpg,30,2\n2.jpg,40,3\n", "valid_gt.csv": "image,mean,stdv\n3.jpg,30,2\n"},
        ["train/1.jpg", "train/2.jpg", "valid/3.jpg"],
    ),
    (
        "morph",
        {"MORPH_Album2.csv": "id_num,race,gender,age,photo\n1,B,M,40,1.jpg\n2,W,F,30,2.jpg\n"},
        ["Album2/1.jpg", "Album2/2.jpg"],
    ),
    (
        "celeba",
        {
            "list_attr_celeba.txt": ATTRIBUTE_TEXT,
            "identity_CelebA.txt": "1.jpg 7\n2.jpg 8\n",
            "list_eval_partition.txt": "1.jpg 0\n2.jpg 2\n",
        },
        ["img_align_celeba/1.jpg", "img_align_celeba/2.jpg"],
    ),
    (
        "celeba",
        {
            "list_attr_celeba.csv": f"image_id,{','.join(ATTRIBUTES)}\n{ATTRIBUTE_LINES.replace(' ', ',')}",
            "identity_CelebA.csv": "image_id,id\n1.jpg,7\n2.jpg,8\n",
        },
        ["img_align_celeba/1.jpg", "img_align_celeba/2.jpg"],
    ),
    ("lfwa", {"list_attr_lfwa.txt": ATTRIBUTE_TEXT.replace("1.jpg", PEOPLE[0]).replace("2.jpg", PEOPLE[1])}, PEOPLE),
    (
        "lfwa",
        {
            "lfw_att_40.mat": lfwa_matlab,
            "indices_train_test.mat": lambda: matlab(
                indices_img_train=np.array([[1.0]]), indices_img_test=np.array([[2.0]])
            ),
        },
        PEOPLE,
    ),
    ("imdb_wiki", {"imdb_crop/imdb.mat": imdb_matlab}, ["imdb_crop/01/1.jpg", "imdb_crop/01/2.jpg"]),
    (
        "fairface",
        {
            "fairface_label_train.csv": "file,age,gender,race\ntrain/1.jpg,20-29,Male,Black\n",
            "fairface_label_val.csv": "file,age,gender,race\nval/1.jpg,3-9,Female,White\n",
        },
        ["train/1.jpg", "val/1.jpg"],
    ),
    ("fer2013", {"fer2013.csv": FER}, []),
    (
        "raf_db",
        {
            "EmoLabel/list_patition_label.txt": "train_1.jpg 1\ntest_1.jpg 2\n",
            **{MANUAL.format(name): "1\t2\n" * 5 + "0\n1\n0\n" for name in ("train_1", "test_1")},
        },
        ["Image/aligned/train_1_aligned.jpg", "Image/aligned/test_1_aligned.jpg"],
    ),
]
"""By reader: its label files with good content, and the photos that they name."""

WITHOUT_LABEL_FILES = {"synthetic", "utkface", "class_folders", "identity_folders"}

NOISE = random.Random(0).randbytes(5000)


def in_the_middle(content: bytes, what: bytes) -> bytes:
    return content[: len(content) // 2] + what + content[len(content) // 2 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda content: NOISE,
    "noise inside": lambda content: in_the_middle(content, NOISE),
    "zeros": lambda content: bytes(2000),
    "nothing": lambda content: b"",
    "blanks": lambda content: b" \n\n  \n",
    "UTF-16": lambda content: content.decode("latin-1").encode("utf-16"),
    "Latin-1": lambda content: in_the_middle(content, "é".encode("latin-1")),
    "an open quote": lambda content: in_the_middle(content, b'\n"').rstrip() + b"\nx",
    "a half": lambda content: content[: len(content) // 2],
}
FILES = [
    (number, name)
    for number, (_, files, _) in enumerate(LAYOUTS)
    for name in files
    # One of several that are read in the same way.
    if name.rpartition("/")[2] not in {*(f"test_{n}.txt" for n in range(2, 6)), "test_1_manu_attri.txt"}
]


def test_every_reader_with_label_files_is_damaged_here() -> None:
    assert {name for name, *_ in LAYOUTS} | WITHOUT_LABEL_FILES == set(READERS), "add a row to LAYOUTS"


@pytest.mark.parametrize(
    ("number", "file"), FILES, ids=[f"{LAYOUTS[number][0]}-{file.rpartition('/')[2]}" for number, file in FILES]
)
def test_a_damaged_label_file_is_one_line_that_names_it(
    tmp_path: Path, write_photos, own_cache: Path, number: int, file: str
) -> None:
    reader, files, photos = LAYOUTS[number]
    write_photos(tmp_path, *(photo if "lfw" not in reader else f"lfw/{photo}" for photo in photos))
    whole = {name: content.encode() if isinstance(content, str) else content() for name, content in files.items()}
    for name, content in whole.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    good = read_dataset(reader, tmp_path, {}, [BinaryTask("smile")])
    assert len(good) >= 2 and not len(good.quarantine)
    for name, damage in DAMAGES.items():
        (tmp_path / file).write_bytes(damage(whole[file]))
        try:
            read = read_dataset(reader, tmp_path, {}, [BinaryTask("smile")])
        except DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 1500, name
            assert file.rpartition("/")[2] in str(error) or "rows can be used; the first: " in str(error), (name, error)
        else:
            # Half a file may be a whole table of fewer rows, a name may hold a quote, and not all lines are read.
            same = read.label_hash() == good.label_hash() and name == "Latin-1"
            assert same or name in ("a half", "an open quote"), name
            assert set(read.rows["image"]) <= set(good.rows["image"])
