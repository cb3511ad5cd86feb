"""`python -m keras_faceattr` is the command `keras-faceattr`."""

from keras_faceattr.cli import main

if __name__ == "__main__":
    main()
