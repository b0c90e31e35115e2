"""GraphNetwork: what couplings of the edges of a graph compute with."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar_flows.chain import make_weights
from keras_ar_flows.graphs import pairs

__all__ = ["GraphNetwork"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class GraphNetwork(keras.layers.Layer):
    """Messages from the edges to the nodes of a complete graph and back: a network for couplings.

    In each block a node hears from all of its edges, and an edge from both of its nodes. If the nodes change places,
    the outputs of the edges do too, and nothing else happens.

    Args:
        num_nodes: Integer, the number of nodes. Edges are in the order of `graphs.pairs`.
        units: Integer, number of features. Defaults to `64`.
        num_blocks: Integer, number of blocks. Defaults to `3`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, edges, features)`.

    Returns:
        Tensor of shape `(batch, edges, units)`.

    Example:

    >>> network = keras_ar_flows.GraphNetwork(num_nodes=4, units=8, num_blocks=1)
    >>> tuple(network(np.zeros((1, 6, 3), "float32")).shape)
    (1, 6, 8)

    Reference:
        [Lippe and Gavves, 2021](https://arxiv.org/abs/2006.09790), section 3.3, for the idea of such a network.
    """

    def __init__(self, num_nodes, units=64, num_blocks=3, **kwargs):
        super().__init__(**kwargs)
        self.num_nodes = arguments.integer(num_nodes, "num_nodes", least=2)
        self.units = arguments.integer(units, "units")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks")
        first, second = pairs(num_nodes).T
        self._is_end = np.zeros((num_nodes, len(first)), "float32")  # whether an edge ends in a node
        self._is_end[first, np.arange(len(first))] = self._is_end[second, np.arange(len(first))] = 1.0

        dtype = {"dtype": self.dtype_policy}
        self.first = keras.layers.Dense(units, name="first", **dtype)
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}", **dtype) for i in range(num_blocks + 1)]
        self.messages = [
            keras.layers.Dense(units, activation="gelu", name=f"message_{i}", **dtype) for i in range(num_blocks)
        ]
        self.hidden = [
            keras.layers.Dense(2 * units, activation="gelu", name=f"hidden_{i}", **dtype) for i in range(num_blocks)
        ]
        self.outputs = [keras.layers.Dense(units, name=f"output_{i}", **dtype) for i in range(num_blocks)]

    def build(self, x_shape):
        num_edges = self._is_end.shape[1]
        if len(x_shape) != 3 or x_shape[1] != num_edges:
            raise ValueError(
                f"`x` must be (batch, edges, features), with the {num_edges} edges of {self.num_nodes} nodes. "
                f"Received: shape {tuple(x_shape)}."
            )
        make_weights(self.first, x_shape)
        features = (*x_shape[:-1], self.units)
        for layer in (*self.norms, *self.messages):
            make_weights(layer, features)
        for hidden, output in zip(self.hidden, self.outputs, strict=True):
            make_weights(hidden, (*x_shape[:-1], 3 * self.units))
            make_weights(output, (*x_shape[:-1], 2 * self.units))

    def call(self, x):
        h = self.first(x)
        is_end = ops.cast(self._is_end, h.dtype)
        for norm, message, hidden, output in zip(self.norms, self.messages, self.hidden, self.outputs, strict=False):
            edges = norm(h)
            heard = ops.matmul(is_end, message(edges)) / (self.num_nodes - 1)  # (batch, nodes, units)
            # The sum of what both ends have heard, and of its squares, which tell unlike ends from like ones.
            both = [ops.matmul(ops.transpose(is_end), of_nodes) for of_nodes in (heard, ops.square(heard))]
            h = h + output(hidden(ops.concatenate([edges, *both], axis=-1)))
        return self.norms[-1](h)

    def get_config(self):
        return {
            **super().get_config(),
            "num_nodes": self.num_nodes,
            "units": self.units,
            "num_blocks": self.num_blocks,
        }
