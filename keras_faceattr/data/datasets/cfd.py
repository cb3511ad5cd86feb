"""Chicago Face Database: photos with normed attractiveness from 1 to 7, self-reported gender and race."""

from __future__ import annotations

import re
from pathlib import Path

from keras_faceattr.data.datasets.label_tables import find_tables, read_table, rename_columns
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import list_photos
from keras_faceattr.errors import DataError
from keras_faceattr.tasks import CategoricalTask, Task, attractiveness_task

CITATION = (
    "Ma, Correll, Wittenbrink: The Chicago Face Database: A Free Stimulus Set of Faces and Norming Data, Behavior "
    "Research Methods 47, 2015"
)
LICENCE = "non-commercial research only"
GENDERS = {"F": "female", "M": "male"}
RACES = {"A": "Asian", "B": "Black", "L": "Latino", "W": "White"}
COLUMNS = {
    "Target": "identity", "Model": "identity",
    "Gender": "gender", "GenderSelf": "gender",
    "Race": "race", "EthnicitySelf": "race",
    "Attractive": "attractiveness", "AttractiveSD": "attractiveness_std", "Attractive_SD": "attractiveness_std",
}  # fmt: skip
SHEET = "CFD U.S."  # version 3.0 has a sheet for each extension besides
# The extensions' raters answered another question (attractive at all, not among people of this gender and race).
EXTENSIONS = re.compile(r"CFD-(?:MR|I|INDIA)\b")
NEUTRAL = re.compile(r"(?:^|/)CFD-(?P<target>[A-Z]{2}-\d+)-\d+-N\.jpe?g$", re.IGNORECASE)


def read(root: Path) -> Manifest:
    """Read the neutral photos of the main set with its norming table; identity is the target.

    Args:
        root: holds `CFD … Norming Data….xlsx`, or the sheet `CFD U.S. Norming Data` saved as csv (rows above the
            header are skipped), and the photos `Images/CFD/<Target>/CFD-<Target>-<nnn>-N.jpg` at any depth.

    Raises:
        DataError: there is no norming table or more than one, it lacks a column, or there is no photo.
    """
    path = _find_norming(root)
    table = read_table(path, header_with=("Target", "Model"), sheet=SHEET)
    table = rename_columns(table, COLUMNS, path, optional=["attractiveness_std"])
    rows = table[[c for c in table.columns if c in {*COLUMNS.values(), "row"}]]
    rows = rows[rows["identity"].notna()].reset_index(drop=True)
    for column, names in (("gender", GENDERS), ("race", RACES)):
        rows[column] = rows[column].str.upper().map(names).fillna(rows[column])
    photos = {match["target"].upper(): photo for photo in list_photos(root) if (match := NEUTRAL.search(photo))}
    wanted = "Images/CFD/" + rows["identity"] + "/CFD-" + rows["identity"] + "-*-N.jpg"
    rows["image"] = rows["identity"].str.upper().map(photos).fillna(wanted)
    tasks: list[Task] = [
        attractiveness_task(maximum=7.0),
        CategoricalTask("gender", tuple(GENDERS.values())),
        CategoricalTask("race", tuple(RACES.values())),
    ]
    return build_manifest(Source("cfd", root, CITATION, LICENCE), rows, tasks)


def _find_norming(root: Path) -> Path:
    found = [path for path in find_tables(root, "**/CFD*Norming*") if not EXTENSIONS.search(path.name)]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"cfd: expected one table 'CFD … Norming Data' (csv or xlsx) in {root}, found {names}")
    return found[0]
