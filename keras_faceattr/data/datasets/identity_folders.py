"""Folders of photos, one a person, without labels: the layout of LFW."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.errors import ConfigError, DataError

CITATION = (
    "Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild: A Database for Studying Face Recognition in "
    "Unconstrained Environments, University of Massachusetts, Amherst, Technical Report 07-49, 2007"
)
LICENCE = "research only"


def read(root: Path, *, min_photos: int = 1) -> Manifest:
    """Read `<Person>/<photo>`; identity is the photo's folder below `root`.

    A photo that lies in `root` itself belongs to nobody and is quarantined.

    Args:
        min_photos: people with fewer photos are left out, as in DLDL-v2, section 4.1.

    Raises:
        ConfigError: a minimum below 1.
        DataError: the folder is missing, no photo lies in a folder of its own, or nobody has enough photos.
    """
    if min_photos < 1:
        raise ConfigError(f"identity_folders: option min_photos {min_photos} is below 1")
    found = find_photos(root)
    rows = pd.DataFrame({"image": pd.array(found.photos, dtype="string")})
    rows["identity"] = rows["image"].str.rpartition("/")[0].replace("", pd.NA)
    counts = rows["identity"].map(rows["identity"].value_counts())
    if counts.isna().all():
        raise DataError(f"identity_folders: all photos lie in {root} itself; put each person's photos in a folder")
    if counts.max() < min_photos:
        raise DataError(
            f"identity_folders: nobody in {root} has {min_photos} photos, the most are {int(counts.max())}: lower the "
            "option min_photos"
        )
    rows = rows[(counts.isna() | (counts >= min_photos)).to_numpy(bool)].reset_index(drop=True)
    nobody = rows["identity"].isna().to_numpy(bool).nonzero()[0]
    manifest = build_manifest(Source("identity_folders", root, CITATION, LICENCE), rows, [], found.skipped)
    return manifest.put_aside(list(nobody), ["lies in no person's folder"] * len(nobody))
