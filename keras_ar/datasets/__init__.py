"""Data sets, built in or from your own files, with their splits, levels and a line of description."""

from keras_ar.datasets.catalogue import load, names
from keras_ar.datasets.dataset import Dataset

__all__ = ["Dataset", "load", "names"]
