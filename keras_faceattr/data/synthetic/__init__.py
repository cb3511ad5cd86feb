"""Photos of drawn faces with known labels: default data, quickstart and tests."""

from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.labels import face_labels
from keras_faceattr.data.synthetic.render import render_face, synthetic_photo
from keras_faceattr.data.synthetic.sampling import sample_face
from keras_faceattr.data.synthetic.scene import draw_scene

__all__ = ["Face", "draw_scene", "face_labels", "render_face", "sample_face", "synthetic_photo"]
