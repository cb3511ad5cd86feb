"""The words that data sets share: the 40 attributes of CelebA in the groups of OBRL, and seven expressions."""

from __future__ import annotations

from keras_faceattr.tasks import MultilabelTask

# OBRL, table "Attribute groups", with CelebA's spelling of the names.
ATTRIBUTE_GROUPS: dict[str, tuple[str, ...]] = {
    "hair": (
        "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Receding_Hairline",
        "Straight_Hair", "Wavy_Hair", "Wearing_Hat",
    ),
    "eye": ("Arched_Eyebrows", "Bags_Under_Eyes", "Bushy_Eyebrows", "Eyeglasses", "Narrow_Eyes"),
    "ear": ("Wearing_Earrings",),
    "nose": ("Big_Nose", "Pointy_Nose"),
    "mouth": ("Big_Lips", "Mouth_Slightly_Open", "Smiling", "Wearing_Lipstick"),
    "beard": ("5_o_Clock_Shadow", "Double_Chin", "Goatee", "Mustache", "No_Beard", "Sideburns"),
    "cheek": ("High_Cheekbones", "Rosy_Cheeks"),
    "neck": ("Wearing_Necklace", "Wearing_Necktie"),
    "global": ("Attractive", "Blurry", "Chubby", "Heavy_Makeup", "Male", "Oval_Face", "Pale_Skin", "Young"),
}  # fmt: skip

ATTRIBUTES: tuple[str, ...] = tuple(sorted(name for names in ATTRIBUTE_GROUPS.values() for name in names))

EXPRESSIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def attributes_task() -> MultilabelTask:
    """The 40 attributes of CelebA in the nine groups of OBRL."""
    return MultilabelTask("attributes", ATTRIBUTES, ATTRIBUTE_GROUPS)


RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
"""Classes of FairFace."""

APPEARANCES = ("smiling", "mouth_open", "eyeglasses", "sunglasses", "headwear", "facial_hair")
"""Attributes that this project has labelled on photos of FairFace."""
