"""Trained models of keras_ar. Each folder is that of a run of `keras-ar train`; there is no code."""
