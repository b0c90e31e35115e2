"""Beyond one machine: models in workers, folders of results that many processes fill, weights split among devices."""

from keras_ar.scale.layouts import layout_map
from keras_ar.scale.rows import Rows
from keras_ar.scale.shards import Folder, SampleRange, ScoreRange, fill, fill_on_ray, ranges, read, shard
from keras_ar.scale.workers import Sampler, Scorer

__all__ = [
    "Folder",
    "Rows",
    "SampleRange",
    "Sampler",
    "ScoreRange",
    "Scorer",
    "fill",
    "fill_on_ray",
    "layout_map",
    "ranges",
    "read",
    "shard",
]
