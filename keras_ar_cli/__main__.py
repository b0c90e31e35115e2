"""`python -m keras_ar_cli` is `keras-ar`."""

from keras_ar_cli import main

if __name__ == "__main__":
    main()
