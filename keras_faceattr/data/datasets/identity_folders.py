"""Folders of photos, one a person, without labels: the layout of LFW."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.manifest import Manifest, Source, build_manifest, list_photos
from keras_faceattr.errors import DataError

CITATION = (
    "Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild: A Database for Studying Face Recognition in "
    "Unconstrained Environments, University of Massachusetts, Amherst, Technical Report 07-49, 2007"
)
LICENCE = "research only"


def read(root: Path) -> Manifest:
    """Reads `<Person>/<photo>`; identity is the photo's folder below `root`.

    A photo that lies in `root` itself belongs to nobody and is put aside.

    Raises:
        DataError: the folder is missing, or no photo lies in a folder of its own.
    """
    rows = pd.DataFrame({"image": pd.array(list_photos(root), dtype="string")})
    rows["identity"] = rows["image"].str.rpartition("/")[0].replace("", pd.NA)
    nobody = rows["identity"].isna().to_numpy(bool).nonzero()[0]
    if len(nobody) == len(rows):
        raise DataError(f"identity_folders: all photos lie in {root} itself; put each person's photos in a folder")
    manifest = build_manifest(Source("identity_folders", root, CITATION, LICENCE), rows, [])
    return manifest.put_aside(list(nobody), ["lies in no person's folder"] * len(nobody))
