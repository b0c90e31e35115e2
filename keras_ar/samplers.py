"""Rules of one's own for drawing: what shapes the distribution of each step before it is drawn from."""

from keras import ops

from keras_ar import arguments

__all__ = ["MinP", "RepetitionPenalty", "Sampler", "Together"]

_NEVER = -1e30  # the logit of a level that is not to be drawn


class Sampler:
    """A rule that changes the parameters of a step, given what was drawn before: the base, which changes nothing.

    A subclass writes `shape`; and `start` and `update`, if it remembers anything. All are pieces of a compiled loop:
    tensors in, tensors out. The randomness is the model's, so that an event of a seed is the same one whatever the
    batch size, the method and the backend. `temperature`, `top_k` and `top_p` apply after it.

    A compiled loop belongs to one sampler: make it once, and use it for many draws.

    Example:

    >>> class Never(keras_ar.samplers.Sampler):
    ...     def __init__(self, level):
    ...         self.level = level
    ...     def shape(self, head, params, state, t):
    ...         return keras.ops.where(keras.ops.arange(params.shape[-1]) == self.level, -1e30, params)
    >>> model = keras_ar.models.TransformerDecoder(30, head=keras_ar.heads.Categorical(3), units=8, num_heads=1)
    >>> sorted(set(model.sample(4, sampler=Never(2), seed=0).ravel().tolist()))
    [0, 1]
    """

    def start(self, head, batch_size):
        """What is remembered before the first step: a nest of tensors."""
        return ()

    def shape(self, head, params, state, t):
        """The parameters to draw from.

        Args:
            head: The head of the step.
            params: float32 tensor of shape `(batch, num_params)`.
            state: From `start`, or from `update`.
            t: Integer or scalar tensor, the number of the step.
        """
        return params

    def update(self, state, value, t):
        """What is remembered once `value`, of shape `(batch, ...)`, is the value of step `t`."""
        return state


class MinP(Sampler):
    """Draws from the levels that are at least some part as probable as the most probable one.

    Args:
        least: Float from 0 to 1, the part.

    Example:

    >>> sampler = keras_ar.samplers.MinP(0.5)
    >>> logits = np.log(np.array([[0.5, 0.3, 0.2]], "float32"))
    >>> keras.ops.convert_to_numpy(sampler.shape(None, logits, (), 0) > -1e9)[0].tolist()
    [True, True, False]

    Reference:
        [Nguyen et al., 2024](https://arxiv.org/abs/2407.01082).
    """

    def __init__(self, least):
        self.least = arguments.number(least, "least", above=0)
        if self.least > 1:
            raise ValueError(f"`least` must be at most 1. Received: least={least}.")

    def shape(self, head, params, state, t):
        log_probs = ops.log_softmax(params, axis=-1)
        enough = ops.max(log_probs, axis=-1, keepdims=True) + ops.log(ops.cast(self.least, "float32"))
        return ops.where(log_probs >= enough, params, _NEVER)


class RepetitionPenalty(Sampler):
    """Makes levels that were drawn before less probable: their positive logits are divided, the negative multiplied.

    What is known from a prompt counts as drawn. For heads with a logit for each level.

    Args:
        penalty: Float of at least 1.

    Example:

    >>> sampler = keras_ar.samplers.RepetitionPenalty(2.0)
    >>> state = sampler.start(keras_ar.heads.Categorical(3), batch_size=1)
    >>> state = sampler.update(state, np.array([1]), 0)
    >>> keras.ops.convert_to_numpy(sampler.shape(None, np.ones((1, 3), "float32"), state, 1))[0].tolist()
    [1.0, 0.5, 1.0]

    Reference:
        [Keskar et al., 2019](https://arxiv.org/abs/1909.05858), section 4.1.
    """

    def __init__(self, penalty):
        self.penalty = arguments.number(penalty, "penalty")
        if self.penalty < 1:
            raise ValueError(f"`penalty` must be at least 1. Received: penalty={penalty}.")

    def start(self, head, batch_size):
        if head.num_params != head.support.num_levels:
            raise ValueError(f"`sampler` must fit the head: a penalty needs a logit for each level. Received: {head}.")
        return ops.zeros((batch_size, head.num_params), "bool")

    def shape(self, head, params, state, t):
        lowered = ops.where(params > 0, params / self.penalty, params * self.penalty)
        return ops.where(state, lowered, params)

    def update(self, state, value, t):
        return ops.logical_or(state, ops.one_hot(ops.cast(value, "int32"), state.shape[-1], dtype="bool"))


class Together(Sampler):
    """Several samplers, one after the other.

    Args:
        samplers: List of samplers.

    Example:

    >>> rules = [keras_ar.samplers.RepetitionPenalty(1.3), keras_ar.samplers.MinP(0.1)]
    >>> model = keras_ar.models.TransformerDecoder(30, head=keras_ar.heads.Categorical(3), units=8, num_heads=1)
    >>> model.sample(4, sampler=keras_ar.samplers.Together(rules), seed=0).shape
    (4, 30)
    """

    def __init__(self, samplers):
        self.samplers = list(samplers)
        if not all(isinstance(sampler, Sampler) for sampler in self.samplers):
            raise ValueError(f"`samplers` must be a list of samplers. Received: samplers={samplers!r}.")

    def start(self, head, batch_size):
        return [sampler.start(head, batch_size) for sampler in self.samplers]

    def shape(self, head, params, state, t):
        for sampler, of_sampler in zip(self.samplers, state, strict=True):
            params = sampler.shape(head, params, of_sampler, t)
        return params

    def update(self, state, value, t):
        return [sampler.update(of, value, t) for sampler, of in zip(self.samplers, state, strict=True)]
