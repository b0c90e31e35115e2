"""NeuralSplineFlow. https://arxiv.org/abs/1906.04032"""

import keras

from keras_ar import FlowModel, arguments, heads, models, noise
from keras_ar.bijectors import Autoregressive
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.elementwise_spline import ElementwiseSpline
from keras_ar_flows.lu_linear import LULinear
from keras_ar_flows.maf import begin_near_identity

__all__ = ["NeuralSplineFlow"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class NeuralSplineFlow(FlowModel):
    """Rational-quadratic splines, by couplings or by MADEs, with a linear layer before each and at the end.

    Couplings draw in one pass; MADEs fit better at the same size. Data should be standardized: splines reach as far as
    `bound`, and are the identity beyond. Where entries are heavy-tailed or in clumps, as columns of tables are,
    `elementwise_bins=64` helps, with `initialize_from_data` before training.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        kind: `"coupling"` or `"autoregressive"`. Defaults to `"coupling"`.
        num_layers: Integer, number of couplings or MADEs. Defaults to `5`.
        hidden_units: Integer or tuple, units of the hidden layers of each network. Defaults to `(128, 128)`.
        num_bins: Integer, bins of each spline. Defaults to `8`.
        bound: Float, how far splines reach. Defaults to `4.0`.
        elementwise_bins: Integer, bins of an `ElementwiseSpline` that comes before all else, or `None` for none.
            Defaults to `None`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        seed: Integer, of the permutations in the linear layers. Defaults to `0`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.NeuralSplineFlow(2, num_layers=2, hidden_units=16)
    >>> flow.compile("adam")
    >>> history = flow.fit(np.random.default_rng(0).normal(size=(64, 2)), verbose=0)
    >>> flow.sample(3, seed=0).shape
    (3, 2)

    Reference:
        [Durkan et al., 2019](https://arxiv.org/abs/1906.04032).
    """

    def __init__(
        self,
        event_shape,
        *,
        kind="coupling",
        num_layers=5,
        hidden_units=(128, 128),
        num_bins=8,
        bound=4.0,
        elementwise_bins=None,
        activation="relu",
        seed=0,
        **kwargs,
    ):
        kind = arguments.one_of(kind, "kind", ("coupling", "autoregressive"))
        num_layers, seed = arguments.integer(num_layers, "num_layers"), noise.check_seed(seed)
        hidden_units = arguments.integers(hidden_units, "hidden_units")
        spline = heads.RationalQuadraticSpline(num_bins, bound)
        dtype = {"dtype": kwargs.get("dtype")}
        network = {"head": spline, "activation": activation, **dtype}
        condition_shape = kwargs.get("num_classes") or kwargs.get("condition_shape")
        layers = []
        if elementwise_bins is not None:
            elementwise_bins = arguments.integer(elementwise_bins, "elementwise_bins", least=2)
            layers.append(ElementwiseSpline(elementwise_bins, bound, **dtype))
        for i in range(num_layers):
            layers.append(LULinear(seed + i, **dtype))
            if kind == "coupling":
                layers.append(Coupling("alternate", flip=i % 2 == 1, network=hidden_units, **network))
            else:
                made = models.MADE(event_shape, hidden_units=hidden_units, condition_shape=condition_shape, **network)
                begin_near_identity(made)
                layers.append(Autoregressive(made, **dtype))
        layers.append(LULinear(seed + num_layers, **dtype))
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.kind, self.num_layers, self.hidden_units = kind, num_layers, hidden_units
        self.num_bins, self.bound, self.seed = spline.num_bins, spline.bound, seed
        self.elementwise_bins = elementwise_bins
        self.activation = keras.activations.get(activation)

    def get_config(self):
        return {
            **self.config_of_flow(),
            "kind": self.kind,
            "num_layers": self.num_layers,
            "hidden_units": self.hidden_units,
            "num_bins": self.num_bins,
            "bound": self.bound,
            "elementwise_bins": self.elementwise_bins,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }
