"""GraphCNF: small graphs by categorical flows. https://arxiv.org/abs/2006.09790"""

import math

import keras
from keras import ops

from keras_ar import BoundedModel, FlowModel, Support, arguments
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.categorical_flow import CategoricalFlow
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.graph_network import GraphNetwork
from keras_ar_flows.graphs import pairs
from keras_ar_flows.invertible_conv1x1 import InvertibleConv1x1
from keras_ar_flows.logistic_mixture import LogisticMixture
from keras_ar_flows.parts import without_shapes
from keras_ar_flows.set_flow import SetFlow

__all__ = ["GraphCNF"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class GraphCNF(BoundedModel):
    """Small graphs: first the types of all nodes, then those of the edges between them, each by a `CategoricalFlow`.

    An event is a vector of types, of the nodes and then of the edges in the order of `graphs.pairs`; let one type, such
    as 0, stand for no node and no edge, and graphs may be smaller. The order of the nodes does not matter: the networks
    are attention among nodes, and messages between nodes and edges, which do not know where a node stands.

    Args:
        num_nodes: Integer, the most nodes that a graph has.
        num_types: Integer, the number of types of nodes, or of edges, whichever is larger.
        latent_dims: Integer, dimensions of the spaces that types have their places in. Defaults to `4`.
        num_layers: Integer, number of couplings of each of the two flows. Defaults to `6`.
        units: Integer, features of their networks. Defaults to `64`.
        num_blocks: Integer, blocks of their networks. Defaults to `3`.
        num_components: Integer, components of each mixture of logistics. Defaults to `8`.
        **kwargs: `objective` and `num_draws`, as in `BoundedModel`, `name` and `dtype`.

    Example:

    >>> x = keras_ar_flows.graphs.molecules(64, num_nodes=3)
    >>> model = keras_ar_flows.GraphCNF(num_nodes=3, num_types=5, latent_dims=2, num_layers=2, units=8)
    >>> model.compile("adam")
    >>> history = model.fit(x, verbose=0)
    >>> model.sample(10, seed=0).shape
    (10, 6)

    Reference:
        [Lippe and Gavves, 2021](https://arxiv.org/abs/2006.09790), section 3.3: there the edges come in two stages.
    """

    def __init__(
        self,
        num_nodes,
        num_types,
        *,
        latent_dims=4,
        num_layers=6,
        units=64,
        num_blocks=3,
        num_components=8,
        **kwargs,
    ):
        self.num_nodes = arguments.integer(num_nodes, "num_nodes", least=2)
        self._pairs = pairs(num_nodes)
        super().__init__(num_nodes + len(self._pairs), **kwargs)
        self.num_types = arguments.integer(num_types, "num_types", least=2)
        self.latent_dims = arguments.integer(latent_dims, "latent_dims", least=2)
        self.num_layers = arguments.integer(num_layers, "num_layers")
        self.units = arguments.integer(units, "units")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks")
        self.num_components = arguments.integer(num_components, "num_components")

        dtype = {"dtype": self.dtype_policy}
        mixture = LogisticMixture(num_components)
        of_nodes = SetFlow(
            (num_nodes, latent_dims),
            num_layers=num_layers,
            units=units,
            num_blocks=num_blocks,
            num_components=num_components,
            name="flow_of_nodes",
            **dtype,
        )
        layers = []
        for i in range(num_layers):
            network = GraphNetwork(num_nodes, units, num_blocks, **dtype)
            layers += [ActNorm(**dtype), InvertibleConv1x1(seed=i, **dtype)]
            layers.append(Coupling("channels", i % 2 == 1, mixture, network, **dtype))
        of_edges = FlowModel(
            (len(self._pairs), latent_dims),
            bijectors=layers,
            condition_shape=(len(self._pairs), num_types),
            name="flow_of_edges",
            **dtype,
        )
        self.nodes = CategoricalFlow(of_nodes, num_levels=num_types, name="nodes", **dtype)
        self.edges = CategoricalFlow(of_edges, num_levels=num_types, name="edges", **dtype)

    @property
    def support(self):
        return Support.levels(self.num_types)

    @property
    def hidden_shape(self):
        """Shape of the uniforms of a place for each node and each edge."""
        return (self.num_dims, self.latent_dims)

    def initialize_from_data(self, x, condition=None):
        x = ops.cast(x, "int32")
        self.nodes.initialize_from_data(x[:, : self.num_nodes])
        self.edges.initialize_from_data(x[:, self.num_nodes :], self.types_of_ends(x[:, : self.num_nodes]))

    def log_weight(self, x, noise, training=None):
        n = self.num_nodes
        of_nodes = self.nodes.log_weight(x[:, :n], noise[:, :n], training=training)
        ends = self.types_of_ends(x[:, :n])
        return of_nodes + self.edges.log_weight(x[:, n:], noise[:, n:], ends, training=training)

    def types_of_ends(self, nodes):
        """How many of the two nodes of each edge have a type: what the flow of the edges is told.

        Args:
            nodes: Integer tensor of shape `(batch, num_nodes)`.

        Returns:
            Tensor of shape `(batch, edges, num_types)`.
        """
        each = ops.one_hot(ops.cast(nodes, "int32"), self.num_types, dtype="float32")
        return ops.take(each, self._pairs[:, 0], axis=1) + ops.take(each, self._pairs[:, 1], axis=1)

    @property
    def noise_shape(self):
        """Shape of the uniforms of one graph: those of its nodes, then those of its edges."""
        return (math.prod(self.nodes.noise_shape) + math.prod(self.edges.noise_shape),)

    def draw_events(self, noise, condition=None):
        count = math.prod(self.nodes.noise_shape)
        nodes = self.nodes.draw_events(noise[:, :count])
        edges = self.edges.draw_events(noise[:, count:], self.types_of_ends(nodes))
        return ops.concatenate([nodes, edges], axis=1)

    def get_config(self):
        return {
            **without_shapes(super().get_config()),
            "num_nodes": self.num_nodes,
            "num_types": self.num_types,
            "latent_dims": self.latent_dims,
            "num_layers": self.num_layers,
            "units": self.units,
            "num_blocks": self.num_blocks,
            "num_components": self.num_components,
        }
