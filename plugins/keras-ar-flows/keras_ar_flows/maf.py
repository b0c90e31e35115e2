"""MAF: the masked autoregressive flow. https://arxiv.org/abs/1705.07057"""

import keras

from keras_ar import FlowModel, arguments, heads, models, noise
from keras_ar.bijectors import Autoregressive
from keras_ar_flows.act_norm import ActNorm

__all__ = ["MAF", "stacked_mades"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class MAF(FlowModel):
    """MADEs, each of which models the noise of the one before.

    It scores in one pass for each layer, and draws at the arithmetic of one pass for each, too, in as many steps as an
    event has entries. With `base=keras_ar.models.MADE(n, head="normal_mixture")` it is a MAF MoG.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_layers: Integer, number of MADEs. Defaults to `5`.
        hidden_units: Integer or tuple, units of the hidden layers of each MADE. Defaults to `(512,)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        head: Name, instance, class or config of a head with `to_noise` and `from_noise`: how each entry is mapped.
            Defaults to `Affine()`, a mean and a scale.
        ordering: `"alternate"`: the natural order and its reverse in turns; or `"random"`: an order for each MADE, from
            the seed. Defaults to `"alternate"`.
        act_norm: Boolean, whether there is an `ActNorm` before each MADE. Defaults to `False`.
        seed: Integer. Defaults to `0`.
        **kwargs: `base`, `resolution`, `condition_shape`, `num_classes`, `name` and `dtype`, as in `FlowModel`.

    Example:

    >>> flow = keras_ar_flows.MAF(3, num_layers=2, hidden_units=16)
    >>> flow.compile("adam")
    >>> history = flow.fit(np.random.default_rng(0).normal(size=(64, 3)), verbose=0)
    >>> events, log_prob = flow.sample(4, seed=0, return_log_prob=True)
    >>> bool(np.allclose(flow.score_samples(events), log_prob, atol=1e-4))
    True

    Reference:
        [Papamakarios et al., 2017](https://arxiv.org/abs/1705.07057).
    """

    def __init__(
        self,
        event_shape,
        *,
        num_layers=5,
        hidden_units=(512,),
        activation="relu",
        head="keras-ar-flows:affine",
        ordering="alternate",
        act_norm=False,
        seed=0,
        **kwargs,
    ):
        mades = stacked_mades(event_shape, num_layers, hidden_units, activation, head, ordering, seed, **kwargs)
        layers = [Autoregressive(made, dtype=kwargs.get("dtype")) for made in mades]
        if arguments.boolean(act_norm, "act_norm"):
            layers = [layer for pair in layers for layer in (ActNorm(dtype=kwargs.get("dtype")), pair)]
        super().__init__(event_shape, bijectors=layers, **kwargs)
        self.num_layers, self.hidden_units, self.head = num_layers, mades[0].hidden_units, mades[0].head
        self.activation = keras.activations.get(activation)
        self.ordering, self.act_norm, self.seed = ordering, act_norm, noise.check_seed(seed)

    def get_config(self):
        return {
            **self.config_of_flow(),
            "num_layers": self.num_layers,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "head": keras.saving.serialize_keras_object(self.head),
            "ordering": self.ordering,
            "act_norm": self.act_norm,
            "seed": self.seed,
        }


def stacked_mades(
    event_shape,
    num_layers,
    hidden_units,
    activation,
    head,
    ordering,
    seed,
    *,
    condition_shape=None,
    num_classes=None,
    dtype=None,
    **_,
):
    """MADEs of different orders for a flow of the same arguments.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        num_layers: Integer, how many.
        hidden_units: Integer or tuple, units of the hidden layers of each.
        activation: Activation of the hidden units.
        head: Name, instance, class or config of a head.
        ordering: `"alternate"` or `"random"`.
        seed: Integer, of random orders.
        condition_shape: As in `FlowModel`. Defaults to `None`.
        num_classes: As in `FlowModel`; a MADE is given one-hot vectors. Defaults to `None`.
        dtype: As in `FlowModel`. Defaults to `None`.
        **_: What else the flow takes.

    Example:

    >>> mades = keras_ar_flows.maf.stacked_mades(3, 2, (16,), "relu", "normal", "alternate", 0)
    >>> [made.ordering.tolist() for made in mades]
    [[0, 1, 2], [2, 1, 0]]
    """
    num_layers, seed = arguments.integer(num_layers, "num_layers"), noise.check_seed(seed)
    ordering = arguments.one_of(ordering, "ordering", ("alternate", "random"))
    mades = [
        models.MADE(
            event_shape,
            hidden_units=hidden_units,
            activation=activation,
            head=heads.get(head),
            ordering="random" if ordering == "random" else ("natural", "reversed")[i % 2],
            condition_shape=num_classes if num_classes is not None else condition_shape,
            seed=seed + i,
            dtype=dtype,
        )
        for i in range(num_layers)
    ]
    for made in mades:
        begin_near_identity(made)
    return mades


def begin_near_identity(made):
    """Makes the parameters that a MADE predicts nearly zero at first: a stack of maps begins as hardly any map at all.

    Args:
        made: The `MADE`.

    Example:

    >>> made = keras_ar.models.MADE(3, hidden_units=8, head="normal")
    >>> keras_ar_flows.maf.begin_near_identity(made)
    >>> z, log_det = keras_ar.bijectors.Autoregressive(made)(np.array([[1.0, 2.0, 3.0]], "float32"))
    >>> bool(keras.ops.max(keras.ops.abs(log_det)) < 0.1)
    True
    """
    kernel = made.output_layer.kernel
    kernel.assign(0.01 * kernel)
