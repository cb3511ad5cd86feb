"""The latent description of one drawn face."""

from __future__ import annotations

from dataclasses import dataclass

GENDERS: tuple[str, ...] = ("female", "male")
RACES: tuple[str, ...] = ("Asian", "Black", "Caucasian", "Indian")
HAIR_TEXTURES: tuple[str, ...] = ("straight", "wavy", "curly")


@dataclass(frozen=True)
class Face:
    """Everything about a photo that is decided before it is drawn.

    Levels run from 0 to 1 unless said otherwise, and above 0.5 the attribute of that name counts as present;
    offsets run from -1 to 1 around the average face. The defaults are a plain, front-facing young woman.

    Attributes:
        age: years, 0 to 100; sets the proportions of the face.
        expression: one of `keras_faceattr.tasks.EXPRESSIONS`; moves brows and lids.
        skin_tone: offset of the lightness within the race's range.
        undertone: offset from cool to warm skin.
        wrinkles: depth of all lines of age.
        asymmetry: offset between image left and image right of eyes, nose, mouth and chin.
        smile: offset; -1 draws the mouth's corners down, 1 is a broad smile.
        mouth_open: gap between the lips.
        hair_color: a key of `palette.HAIR_COLORS`.
        hair_texture: one of `HAIR_TEXTURES`.
        hair_length: 0 cropped, 0.4 to the jaw, 1 over the shoulders.
        clothes_hue, background_hue, backdrop_brightness: turn of the colour circle, and lightness.
        light_x, light_y: offset from which the light comes; negative is image left and top.
        light_strength: how much darker the far side is.
        roll_degrees: rotation in the image plane, positive is clockwise.
        yaw: offset of the head's turn; positive turns to image right.
        scale: size of the head against the average framing, about 0.9 to 1.1.
        shift_x, shift_y: displacement of the head as a fraction of the image.
        noise: standard deviation of the sensor noise, in grey levels at 8 bits.
        softness: blur of lens and compression, in thousandths of the image's width.
    """

    gender: str = "female"
    race: str = "Caucasian"
    age: float = 27.0
    expression: str = "neutral"

    skin_tone: float = 0.0
    undertone: float = 0.0
    paleness: float = 0.1
    rosiness: float = 0.1
    wrinkles: float = 0.0
    blemishes: float = 0.1

    asymmetry: float = 0.0
    face_width: float = 0.0
    ovalness: float = 0.2
    jaw_width: float = 0.0
    chubbiness: float = 0.2
    double_chin: float = 0.0
    cheekbones: float = 0.2

    eye_size: float = 0.5
    eye_spacing: float = 0.0
    eye_narrowness: float = 0.1
    eye_bags: float = 0.0
    iris_color: str = "brown"
    brow_arch: float = 0.2
    brow_bushiness: float = 0.2

    nose_size: float = 0.2
    nose_pointiness: float = 0.2
    lip_size: float = 0.2
    smile: float = 0.0
    mouth_open: float = 0.0

    hair_color: str = "brown"
    hair_texture: str = "straight"
    hair_length: float = 0.2
    bald: bool = False
    bangs: float = 0.0
    hairline_recession: float = 0.0
    stubble: float = 0.0
    mustache: float = 0.0
    goatee: float = 0.0
    sideburns: float = 0.0
    full_beard: float = 0.0

    makeup: float = 0.0
    lipstick: float = 0.0
    hat: bool = False
    glasses: bool = False
    earrings: bool = False
    necklace: bool = False
    necktie: bool = False

    clothes_hue: float = 0.6
    background_hue: float = 0.55
    backdrop_brightness: float = 0.6
    light_x: float = -0.3
    light_y: float = -0.5
    light_strength: float = 0.4
    roll_degrees: float = 0.0
    yaw: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    blur: float = 0.0
    noise: float = 2.0
    softness: float = 2.0
