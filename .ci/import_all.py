"""Import every module of the package that is installed, and say how many."""

import importlib
import pkgutil

import keras_faceattr

# The first starts the command line; the second is a child process of the extra [tfmot].
SKIPPED = ("keras_faceattr.__main__", "keras_faceattr.quantization.tfmot_child")

names = [module.name for module in pkgutil.walk_packages(keras_faceattr.__path__, "keras_faceattr.")]
for name in names:
    if name not in SKIPPED:
        importlib.import_module(name)
print(f"{keras_faceattr.__file__}: {len(names)} modules imported")
