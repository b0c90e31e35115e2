"""Whatever a public method is given, it answers rightly or refuses in words that name the argument.

Hypothesis draws calls: a model, a method, and arguments of which most are right and one or two are odd. `make test`
makes the same 100 calls each time, 40 where they are compiled; `make fuzz` makes 2,000 new ones on each backend.
"""

import contextlib
import dataclasses
import decimal
import fractions
import inspect
import itertools
import os
import re
import warnings

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption
from keras import ops
from kinds_of_data import (
    Batches,
    in_data_loader,
    in_data_loader_of_pairs,
    in_numpy,
    in_tf_data,
    in_tf_data_of_pairs,
)
from proofs.any_order_mlp import AnyOrderMLP
from proofs.heads import Geometric
from proofs.real_nvp import RealNVP
from proofs.toy_bound import ToyBound
from proofs.two_gaussians import TwoGaussians

from keras_ar import heads, layers, models, noise, registry

NUM_CALLS = int(os.environ.get("KERAS_AR_FUZZ", 100 if keras.backend.backend() == "torch" else 40))
NUM_EVENTS = 10

SMALL_IMAGE = {"filters": 12, "num_blocks": 1, "kernel_size": 3, "head": heads.Categorical(4)}
CHAIN = [layers.TriangularDense(4), keras.layers.ReLU()]
MODELS = {
    "fvsbn": models.FVSBN(4),
    "nade": models.NADE(3, units=4, head=heads.Categorical(4), num_classes=3),
    "made": models.MADE((2, 2), hidden_units=8, head="normal", condition_shape=2, ordering="random"),
    "pixel_cnn": models.PixelCNN((2, 2, 3), **SMALL_IMAGE),
    "pixel_rnn": models.PixelRNN((2, 3), variant="row", units=4),
    "wavenet": models.WaveNet(4, filters=4, dilations=(1, 2), head=heads.Categorical(3), condition_shape=(2, 2)),
    "transformer": models.TransformerDecoder(4, units=4, num_layers=1, num_heads=1, head=heads.Categorical(3), stop=0),
    "char_rnn": models.CharRNN(4, vocabulary="abc ", units=4, num_layers=1, embedding_dim=3),
    "causal_sequential": models.CausalSequential(3, layers=CHAIN, head="normal_mixture", num_classes=2),
    "window_mlp": models.WindowMLP(4, window=2, hidden_units=4, head="normal", condition_shape=2),
    "counts": models.FVSBN(2, head=Geometric()),
    "two_gaussians": TwoGaussians(2),
    "real_nvp": RealNVP(num_couplings=2, condition_shape=1),
    "any_order_mlp": AnyOrderMLP(3),
    "toy_bound": ToyBound(3),
}
WEIGHTS = {}
for built_name, built in MODELS.items():
    noise.randomize(built)
    built.compile(keras.optimizers.SGD(1e-3))
    WEIGHTS[built_name] = built.get_weights()


# What a call is given, as source text: `x`, `condition` and `known` are right for the model.


def put(x, value):
    """A copy of an array with another first entry."""
    is_real = isinstance(value, float) or x.dtype.kind == "f"
    x = np.array(x, "float64" if is_real else "uint64" if value >= 2**63 else "int64")
    x[(0,) * x.ndim] = value
    return x


def add_up(x, *rest):
    """The sum of each event, whatever comes with it."""
    return ops.sum(ops.reshape(ops.cast(x, "float32"), (x.shape[0], -1)), axis=-1)


def as_generator(*arrays):
    yield from (Batches(*arrays)[i] for i in range(2))


HELD = (in_numpy, Batches, as_generator, in_tf_data, in_data_loader, in_tf_data_of_pairs, in_data_loader_of_pairs)
NAMES = {
    **{function.__name__: function for function in (put, add_up, *HELD)},
    **{"np": np, "ops": ops, "keras": keras, "decimal": decimal, "fractions": fractions},
    **{"nan": np.nan, "inf": np.inf},
}

# Other forms of the same numbers, other shapes, other kinds of thing, other values.
ODD_FORMS = [
    *("{}.tolist()", "np.asfortranarray({})", "np.repeat({}, 2, axis=0)[::2]", "np.ma.array({})", "[*{}]"),
    *("ops.convert_to_tensor({})", "{}.astype(object)"),
    *("{}" + f".astype('{dtype}')" for dtype in ("float64", "float16", ">f4", ">i8", "int8", "uint64", "bool", "S4")),
]
ODD_SHAPES = [
    *("{}[0]", "{}[None]", "{}[..., None]", "{}[:, :1]", "{}[:0]", "{}[:3]", "{}.ravel()", "np.float32(1)", "0"),
    *("[]", "()", "[[]]", "[[0, 1], [1]]", "[0, 1]", "[[0, 1], [1, 0]]", "[None, None]", "[1, None]"),
    *("({}, {})", "[{}, {}]", "({},)", "({}, {}, {})"),
]
ODD_KINDS = [
    *("None", "True", "'abc'", "b'abc'", "dict()", "dict(x={})", "object()", "iter({})", "range(10)", "{0, 1}", "len"),
    *("{}.astype(str)", "{}.astype(complex)", "np.full({}.shape, None)", "np.full({}.shape, 'a')"),
    *("np.full({}.shape, np.datetime64('2026-01-01'))", "np.full({}.shape, np.timedelta64(1, 's'))"),
    *("np.ma.masked_equal({}, {}.flat[0])", "np.zeros(10, 'i4, f4')", "np.array(None)", "np.datetime64('2026-01-01')"),
]
VALUES = ["nan", "inf", "-inf", "-1", "0.5", "3", "4", "99", "2**31", "2**32", "2**63", "1e300", "-1e300", "1e38"]
ODD_ARRAYS = [*ODD_FORMS, *ODD_SHAPES, *ODD_KINDS, *("put({}, " + f"{value})" for value in VALUES)]

ODD_NUMBERS = [
    *("None", "True", "0", "1", "-1", "2", "0.5", "2.5", "2.0", "-0.0", "nan", "inf", "1e-300", "'8'", "'auto'", "''"),
    *("[]", "()", "dict()", "[1]", "object()", "len", "1j", "b'8'", "np.int64(2)", "np.uint8(2)", "np.float16(2)"),
    *("np.array(2)", "np.array([2])", "np.array([1, 2])", "ops.convert_to_tensor(2)", "np.bool_(True)", "np.str_('2')"),
    *(
        "np.datetime64('2026-01-01')",
        "fractions.Fraction(1, 2)",
        "decimal.Decimal(2)",
        "[None, 1]",
        "(2, 2)",
        "(2, -1)",
    ),
]
HUGE_NUMBERS = ["10**9", "2**31", "2**32", "2**63", "2**64", "10**30", "10**400", "1e300", "-(2**63)"]
UNBOUNDED = {"seed", "first_event", "temperature", "top_k", "top_p", "verbose", "method", "state"}

RIGHT = {
    "x": ["x"],
    "condition": ["condition", "condition.tolist()"],
    "known": ["known"],
    "seed": ["0", "7", "2**64 - 1"],
    "num_samples": ["10"],
    "temperature": ["1.0", "0.5"],
    "top_k": ["None", "2"],
    "top_p": ["None", "0.9"],
    "first_event": ["0", "5"],
    "batch_size": ["4", "16", "10**9"],
    "return_log_prob": ["True", "False"],
    "verbose": ["0", "1"],
    "method": ["'auto'", "'stepwise'", "'parallel'", "'full'"],
    "length": ["4", "6"],
    "prompt": ["None", "x[0, :2]", "x[:, :2]"],
    "chunk": ["2"],
    "state": ["None"],
    "function": ["add_up"],
    "extra": ["()", "[x]"],
    "noise_shape": ["None", "(2,)", "()"],
    "held": ["in_numpy", "Batches", "as_generator", "in_tf_data", "in_data_loader"],
    "validation_data": ["None", "in_numpy(*batch)", "(in_numpy(*batch),)", "Batches(*batch)"],
    "sample_weight": ["None", "np.linspace(0, 1, 10)"],
    "epochs": ["1"],
    "shuffle": ["True", "False"],
    "steps": ["None", "1"],
    "return_dict": ["True"],
    "callbacks": ["None", "[]", "[keras.callbacks.Callback()]"],
    "y": ["None"],
    "class_weight": ["None"],
    "validation_split": ["0.0", "0.5"],
    "optimizer": ["'sgd'", "keras.optimizers.Adam()"],
    "loss": ["None"],
    "metrics": ["None"],
    "jit_compile": ["'auto'"],
    "run_eagerly": ["False"],
    "steps_per_execution": ["1", "2"],
}
ODD_HELD = [
    *("in_tf_data_of_pairs", "in_data_loader_of_pairs", "lambda *arrays: [*arrays]", "lambda *arrays: iter(arrays)"),
    *("lambda *arrays: {'x': arrays[0]}", "lambda *arrays: (*arrays, arrays[0])", "lambda *arrays: None"),
]
ODD = {
    **dict.fromkeys(
        ["x", "condition", "known", "prompt", "sample_weight", "extra", "validation_data", "y"], ODD_ARRAYS
    ),
    "held": ODD_HELD,
    "function": [text for text in ODD_NUMBERS if text != "len"],  # what a function does is its own affair
}

# The arguments that a call must have, and those that it may have.
DRAWS = "seed num_samples temperature top_k top_p method first_event batch_size return_log_prob verbose"
METHODS = {
    "score_samples": ("x condition", "batch_size verbose"),
    "score_conditionals": ("x condition", "batch_size verbose"),
    "log_prob": ("x condition", ""),
    "conditional_log_prob": ("x condition", ""),
    "sample": ("num_samples condition seed", DRAWS),
    "complete": ("x known condition seed", DRAWS.replace("num_samples", "").replace("first_event", "")),
    "stream": ("num_samples condition chunk seed", "temperature top_k top_p prompt return_log_prob state"),
    "write": ("length seed", DRAWS + " prompt condition"),
    "map_events": ("function x condition", "extra noise_shape seed batch_size verbose"),
    "check_batch": ("x condition", ""),
    "fit": (
        "held x condition",
        "batch_size epochs verbose sample_weight validation_data shuffle callbacks y class_weight validation_split",
    ),
    "evaluate": ("held x condition", "batch_size verbose sample_weight steps return_dict callbacks y"),
    "predict": ("held x condition", "batch_size verbose steps callbacks"),
    "train_on_batch": ("held x condition", "y sample_weight class_weight return_dict"),
    "test_on_batch": ("held x condition", "y sample_weight return_dict"),
    "predict_on_batch": ("held x condition", ""),
    "compile": ("optimizer", "loss metrics jit_compile run_eagerly steps_per_execution"),
    "__init__": ("", ""),
}
LEARNING = ("fit", "train_on_batch")
TRAINING = (*LEARNING, "evaluate", "predict", "test_on_batch", "predict_on_batch")


def namespace(model):
    """What the source text of arguments may name."""
    x, *condition = model.random_batch(NUM_EVENTS)
    known = np.zeros(model.num_dims, bool)
    known[getattr(model, "ordering", [0])[0]] = True
    return {
        **NAMES,
        "model": model,
        "x": x,
        "condition": condition[0] if condition else np.zeros(NUM_EVENTS, "int32"),
        "batch": [x, *condition],
        "known": known.reshape(model.event_shape),
    }


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a method, its arguments as source text."""

    model: str
    method: str
    arguments: tuple[tuple[str, str], ...]

    def __str__(self):
        return f"{self.model}.{self.method}({', '.join(f'{name}={text}' for name, text in self.arguments)})"

    def evaluate(self):
        """The arguments."""
        names = namespace(MODELS[self.model])
        values = {name: eval(text, names) for name, text in self.arguments}
        if self.method in TRAINING:
            held, arrays = values.pop("held"), [values.pop(name) for name in ("x", "condition") if name in values]
            if held is not in_numpy:  # what a dataset itself cannot make is nobody's fault
                assert all(len(array[:5]) and hasattr(array, "shape") for array in arrays)
            values["x"] = held(*arrays)
        return values

    def run(self, values):
        """What the call returns; of a stream the first two chunks."""
        model = MODELS[self.model]
        if self.method == "__init__":
            return type(model)(**{**model.get_config(), **values})
        found = getattr(model, self.method)(**values)
        return [*itertools.islice(found, 2)] if self.method == "stream" else found

    def parameters(self):
        """What an error may name."""
        names = inspect.signature(getattr(MODELS[self.model], self.method)).parameters
        return {*names, *dict(self.arguments), "x", "condition", "loss", "layer", "characters"}


@st.composite
def calls(draw):
    """A call of which up to two arguments are odd, and now and then one is misspelt."""
    name = draw(st.sampled_from([*MODELS]))
    model = MODELS[name]
    method = draw(st.sampled_from([method for method in METHODS if hasattr(model, method)]))
    assume(method != "__init__" or type(model).__module__.startswith("keras_ar"))
    required, optional = arguments_of(model, method)
    usual = [name for name in optional if name in RIGHT and name != "condition"]
    others = draw(st.lists(st.sampled_from(usual), max_size=2)) if usual else []
    arguments = {name: draw(st.sampled_from(RIGHT[name])) for name in dict.fromkeys([*required, *others])}
    for odd in draw(st.lists(st.sampled_from([*required, *optional]), max_size=2, unique=True)):
        arguments[odd] = draw(odd_values(odd))
    if draw(st.integers(0, 30)) == 30:
        arguments["temprature"] = "0.5"
    return Call(name, method, tuple(arguments.items()))


def arguments_of(model, method):
    """The names of the arguments that a call must have, and of those that it may have."""
    required, optional = (names.split() for names in METHODS[method])
    if method == "__init__":
        return [], sorted({*model.get_config()} - {"name", "dtype"})
    if "condition" in required and model.condition_shape is None:
        required.remove("condition")
        optional.append("condition")
    names = inspect.signature(getattr(model, method)).parameters
    if "kwargs" not in names:
        optional = [name for name in optional if name in names]
    return required, optional


def odd_values(name):
    """Source text of what is unusual for an argument, or wrong."""
    if name in ODD:
        good = "known" if name == "known" else "x" if name in ("y", "validation_data", "extra") else RIGHT[name][-1]
        good = {"condition": "condition", "prompt": "x[0, :2]"}.get(name, good)
        return st.sampled_from(ODD[name]).map(lambda text: text.replace("{}", good))
    return st.sampled_from(ODD_NUMBERS + (HUGE_NUMBERS if name in UNBOUNDED else []))


# What is right.


def plain(value):
    """A float64 array of what may pass for numbers, by NumPy alone; `None` if nothing may."""
    if ops.is_tensor(value):
        value = ops.convert_to_numpy(value)
    if np.ma.is_masked(value):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array.astype("float64") if array.dtype.kind in "biuf" else None


def is_possible(model, x):
    """Whether each entry is possible."""
    support = model.support
    with np.errstate(over="ignore"):
        found = np.isfinite(x.astype("float32")) & (x >= support.low) & (x <= support.high)
    return found & (x == np.floor(x)) if support.is_discrete else found


def is_possible_condition(model, condition):
    """Whether each condition is possible."""
    if model.num_classes is None:
        with np.errstate(over="ignore"):
            return np.isfinite(condition.astype("float32"))
    return (condition >= 0) & (condition < model.num_classes) & (condition == np.floor(condition))


def batch_of(model, values):
    """Events, and conditions if there are any, as plain arrays of the model's own dtypes."""
    if isinstance(values["x"], tuple | list) and values.get("condition") is None and model.condition_shape is not None:
        values = dict(zip(("x", "condition"), values["x"], strict=True))
    x = plain(values["x"])
    assert x is not None, "what is no array of numbers was taken for events"
    arrays = [x.astype(model.support.dtype)] if is_possible(model, x).all() else [x]
    if values.get("condition") is not None:
        condition = plain(values["condition"])
        assert condition is not None, "what is no array of numbers was taken for conditions"
        assert is_possible_condition(model, condition).all(), "an impossible condition was taken"
        condition = condition.astype("float32" if model.num_classes is None else "int32")
        arrays.append(np.broadcast_to(condition, (len(x), *condition.shape)) if condition.ndim == 0 else condition)
    is_ours = type(model).__module__.startswith("keras_ar")
    assume(is_ours or all(np.abs(array).max() < 1e6 for array in arrays))  # the proofs are made for plain numbers
    return arrays


def near(found, expected, message, tolerance=1e-3):
    found = ops.convert_to_numpy(found)
    assert np.isfinite(found).all(), f"{message}: not finite"
    assert found.shape == np.shape(expected), f"{message}: shape {found.shape} in place of {np.shape(expected)}"
    scale = np.maximum(1.0, np.abs(expected))
    assert (np.abs(found - expected) <= tolerance * scale).all(), f"{message}: {found} in place of {expected}"


def check_scores(model, values, found):
    batch, found = batch_of(model, values), ops.convert_to_numpy(found)
    expected = model.score_samples(*batch)
    # Of a real value that is far from all others, or from where a huge condition moves them, the density is too small
    # for float32.
    largest = [np.abs(array.reshape(len(expected), -1).astype("float64")).max(axis=1) for array in batch]
    far = np.max(largest, axis=0) > 1e15
    assert found.shape == expected.shape, f"scores of shape {found.shape}"
    assert np.array_equal(found[far], expected[far]), "scores of huge values"
    near(found[~far], expected[~far], "scores")


def check_conditionals(model, values, found):
    found = ops.convert_to_numpy(found)
    check_scores(model, values, found.reshape(len(found), -1).sum(axis=1))


def check_possible_scores(check):
    """Pieces of a graph score `-inf` what is impossible, and NaN what is given an impossible condition."""

    def checked(model, values, found):
        found, x, condition = ops.convert_to_numpy(found), plain(values["x"]), plain(values.get("condition"))
        assert x is not None, "what is no array of numbers was scored"
        keep = is_possible(model, x).reshape(len(x), -1).all(axis=1)
        assert not np.isfinite(found[~keep].reshape(-1, found[0].size)).all(axis=1).any(), "scores what is impossible"
        if condition is not None:
            fits = is_possible_condition(model, condition).reshape(len(condition), -1).all(axis=1)
            assert not np.isfinite(found[~fits].reshape(-1, found[0].size)).all(axis=1).any(), "scores no condition"
            keep &= fits
            values = {**values, "condition": condition[keep]}
        if keep.any():
            check(model, {**values, "x": x[keep]}, found[keep])

    return checked


def check_events(model, events, shape):
    assert isinstance(events, np.ndarray), type(events)
    assert events.shape == shape, f"samples of shape {events.shape} in place of {shape}"
    assert events.dtype == model.support.dtype, f"samples of {events.dtype}"
    assert is_possible(model, events.astype("float64")).all(), "impossible samples"


def check_samples(model, values, found):
    events, log_prob = found if values.get("return_log_prob") else (found, None)
    num_samples, length = values.get("num_samples", 1), values.get("length")
    shape = model.event_shape if length is None else (length, *model.event_shape[1:])
    check_events(model, events, (num_samples, *shape))
    again = model.sample(**{**values, "verbose": 0})
    if values["seed"] is not None:
        assert np.array_equal(events, again[0] if log_prob is not None else again), "a seed gives two samples"
    if log_prob is not None:
        assert np.isfinite(log_prob).all(), "log-probabilities that are not finite"
    is_shaped = values.get("temperature", 1) != 1 or any(values.get(name) is not None for name in ("top_k", "top_p"))
    if log_prob is None or is_shaped or values.get("prompt") is not None or not num_samples:
        return
    condition = plain(values.get("condition"))
    if condition is not None and condition.ndim == len(model.condition_data_shape):
        condition = np.broadcast_to(condition, (num_samples, *condition.shape))  # one for all
    near(log_prob, model.score_samples(events, condition), "log-probabilities of samples")


def check_completions(model, values, found):
    events, log_prob = found if values.get("return_log_prob") else (found, None)
    x, known = plain(values["x"]), plain(values["known"])
    check_events(model, events, x.shape)
    kept = np.broadcast_to(known.astype(bool), x.shape)
    assert (events[kept] == x[kept].astype(events.dtype)).all(), "what is known has changed"
    assert log_prob is None or np.isfinite(log_prob).all(), "log-probabilities that are not finite"


def check_chunks(model, values, found):
    chunks = [chunk[0] if values.get("return_log_prob") else chunk for chunk in found]
    for chunk in chunks:
        check_events(model, chunk, (values["num_samples"], chunk.shape[1], *model.event_shape[1:]))
        assert 1 <= chunk.shape[1] <= values["chunk"], f"a chunk of {chunk.shape[1]} steps"
    if values["seed"] is None or not chunks:
        return
    names = ("num_samples", "condition", "seed", "temperature", "top_k", "top_p", "prompt")
    options = {name: values[name] for name in names if name in values}
    num_drawn = sum(chunk.shape[1] for chunk in chunks)
    prompt = values.get("prompt")
    num_known = 0 if prompt is None else plain(model.encode_prompt(prompt)).shape[-len(model.event_shape)]
    whole = model.sample(**options, length=num_known + num_drawn, batch_size=values["num_samples"])
    near(np.concatenate(chunks, axis=1), whole[:, num_known:], "a stream and a sample")


def check_texts(model, values, found):
    texts = [found] if values.get("num_samples") is None else found
    assert isinstance(texts, list), type(texts)
    assert all(isinstance(text, str) and len(text) == values["length"] for text in texts), texts


def check_map(model, values, found):
    x, *_ = batch_of(model, values)
    near(found, x.reshape(len(x), -1).sum(axis=1), "what was mapped")


def check_arrays(model, values, found):
    for array, expected in zip(found, batch_of(model, values), strict=True):
        near(array, expected, "arrays")


def check_history(model, values, found):
    assert all(np.isfinite(series).all() for series in found.history.values()), found.history


def check_loss(model, values, found):
    loss = found["loss"] if values.get("return_dict") else found[0]
    assert np.isfinite(loss), f"a loss of {loss}"
    weights = values.get("sample_weight")
    if isinstance(values["x"], np.ndarray | tuple) and values.get("steps") is None:
        batch = values["x"] if isinstance(values["x"], tuple) else [values["x"]]
        nats = -model.score_samples(*map(plain, batch))
        near(loss, np.mean(nats * (1.0 if weights is None else plain(weights).ravel())), "loss")


def check_loss_before(model, values, found):
    (name,) = (name for name, other in MODELS.items() if other is model)
    model.set_weights(WEIGHTS[name])
    if name != "any_order_mlp":  # it learns something else than it scores
        check_loss(model, values, found)


def check_outputs(model, values, found):
    assert all(np.isfinite(output).all() for output in keras.tree.flatten(found)), "outputs that are not finite"


def check_compiled(model, values, found):
    history = model.fit(tuple(batch) if len(batch := model.random_batch(NUM_EVENTS)) == 2 else batch[0], verbose=0)
    check_history(model, values, history)


def check_model(model, values, found):
    scores = found.score_samples(*found.random_batch(2))
    assert np.isfinite(scores).all(), "a model that scores nothing"


CHECKS = {
    "score_samples": check_scores,
    "score_conditionals": check_conditionals,
    "log_prob": check_possible_scores(check_scores),
    "conditional_log_prob": check_possible_scores(check_conditionals),
    "sample": check_samples,
    "complete": check_completions,
    "stream": check_chunks,
    "write": check_texts,
    "map_events": check_map,
    "check_batch": check_arrays,
    "fit": check_history,
    "evaluate": check_loss,
    "predict": check_outputs,
    "train_on_batch": check_loss_before,
    "test_on_batch": check_loss,
    "predict_on_batch": check_outputs,
    "compile": check_compiled,
    "__init__": check_model,
}


# What Keras says of names, of batches that it cannot make tensors of, and of layers that are built for other inputs.
WORDS_OF_KERAS = (
    *("Could not interpret", "Invalid dtype", "Unsupported dtype", "given numpy array has byte order"),
    *("When passing a dataset to a Keras model", "is incompatible with the layer: expected"),
)


def is_clear(call, error):
    """Whether an error says which argument is wrong, and what came."""
    text = str(error)
    if "temprature" in dict(call.arguments) and "temprature" in text:
        return True
    if isinstance(error, registry.UnknownNameError) or any(words in text for words in WORDS_OF_KERAS):
        return True
    names_it = any(re.search(rf"`{name}[`\[]|\b{name}=", text) for name in call.parameters())
    says_what_came = re.search(r"Received|Found|\(of type", text)  # the latter two are words of Keras
    return isinstance(error, ValueError | NotImplementedError) and names_it and says_what_came


def judge(call):
    """The class of a call, `"right"`, `"clear"`, `"obscure"` or `"wrong"`, and why."""
    model = MODELS[call.model]
    with contextlib.suppress(Exception), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = call.evaluate()  # what cannot even be made is nobody's fault
    assume("values" in locals())
    try:
        try:
            found = call.run(values)
        except Exception as error:
            return ("clear" if is_clear(call, error) else "obscure"), f"{type(error).__name__}: {error}"
        changed = [(a != b).any() for a, b in zip(model.get_weights(), WEIGHTS[call.model], strict=True)]
        assert call.method in LEARNING or not any(changed), "the weights have changed"
        CHECKS[call.method](model, call.evaluate(), found)
    except UnsatisfiedAssumption:
        raise
    except Exception as error:  # `compile` leaves some of its checks to `fit`
        is_late = not isinstance(error, AssertionError) and is_clear(call, error)
        return ("clear" if is_late else "wrong"), f"{type(error).__name__}: {error}"
    finally:
        survived = all(np.isfinite(w).all() for w in model.get_weights())
        model.set_weights(WEIGHTS[call.model])
        if call.method == "compile":
            model.compile(keras.optimizers.SGD(1e-3))
        assert survived, f"{call} has spoilt the weights"
    return "right", ""


@settings(
    max_examples=NUM_CALLS,
    derandomize="KERAS_AR_FUZZ" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
    phases=[Phase.generate, Phase.shrink],
)
@given(calls())
@pytest.mark.filterwarnings("ignore::UserWarning:keras")  # about shuffling, and data that run out
def test_every_call_is_right_or_refused_in_words_that_name_the_argument(call):
    verdict, why = judge(call)
    event(f"{call.method}: {verdict}")
    if verdict in ("wrong", "obscure"):
        pytest.fail(f"{verdict}: {call}\n{why}")
