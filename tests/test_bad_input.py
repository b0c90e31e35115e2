"""What cannot be right is refused before anything is computed, in words that name it: argument, expected, received."""

import keras
import numpy as np
import pytest

from keras_ar import AutoregressiveModel, Support, heads, layers, models, registry
from keras_ar.heads import Head

BINARY = models.FVSBN((2, 2), name="binary")
LEVELS = models.FVSBN(3, head=heads.Categorical(17), name="levels")
REAL = models.FVSBN(3, head="normal", name="real")
CONDITIONAL = models.FVSBN(3, condition_shape=2, name="conditional")
for built in (BINARY, LEVELS, REAL, CONDITIONAL):
    built.compile("sgd")

EVENTS = np.zeros((5, 3), "int32")
CONDITION = np.zeros((5, 2), "float32")


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("The model was called before its input was checked.")

    for method in ("call", "prepare", "start", "step"):
        monkeypatch.setattr(models.FVSBN, method, refuse)


DRIVERS = {
    "score_samples": lambda model, x: model.score_samples(x),
    "score_conditionals": lambda model, x: model.score_conditionals(x),
    "fit": lambda model, x: model.fit(x, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "predict": lambda model, x: model.predict(x, verbose=0),
}
EVERYWHERE = pytest.mark.parametrize("take", DRIVERS.values(), ids=DRIVERS.keys())
pytestmark = pytest.mark.usefixtures("nothing_is_computed")


# Events.


@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 3), (2, 2), (5, 2, 2, 1), ()])
@pytest.mark.parametrize(
    "take", [*DRIVERS.values(), lambda model, x: model.log_prob(x)], ids=[*DRIVERS.keys(), "log_prob"]
)
def test_events_have_the_models_shape(take, shape):
    with pytest.raises(ValueError, match=r"`x` must have shape \(batch, 2, 2\)\. Received: x\.shape=\(") as raised:
        take(BINARY, np.zeros(shape, "float32"))
    assert str(shape) in str(raised.value)


@EVERYWHERE
@pytest.mark.parametrize(
    ("model", "value", "expected", "received"),
    [
        (BINARY, 2, r"integers from 0 to 1, the support of Bernoulli\(\)", r"x\[3, 1, 0\] = 2"),
        (BINARY, -1, "integers from 0 to 1", r"x\[3, 1, 0\] = -1"),
        (BINARY, 0.5, "integers from 0 to 1", r"x\[3, 1, 0\] = 0\.5"),
        (LEVELS, 17, r"integers from 0 to 16, the support of Categorical\(num_levels=17\)", r"x\[3, 1\] = 17"),
        (REAL, -np.inf, "finite", r"x\[3, 1\] = -inf"),
        (REAL, "a", "numbers", r"x\.dtype=<U"),
        (REAL, 1j, "numbers", r"x\.dtype=complex128"),
    ],
)
def test_events_lie_on_the_support_of_the_head(take, model, value, expected, received):
    x = np.zeros((5, *model.event_shape), np.array(value).dtype)
    x[(3, 1, 0)[: x.ndim]] = value
    with pytest.raises(ValueError, match=rf"`x` must .*{expected}.* Received.*{received}"):
        take(model, x)


@EVERYWHERE
@pytest.mark.parametrize("model", [LEVELS, REAL])
def test_a_hole_in_a_fixed_order_is_refused(take, model):
    x = np.zeros((5, *model.event_shape))
    x[3, 1] = np.nan
    finite, known = r"`x` must be finite.* Received x\[3, 1\] = nan", "`known` must be what comes first.*in event 3"
    with pytest.raises(ValueError, match=f"{finite}|{known}"):
        take(model, x)


@EVERYWHERE
def test_events_are_at_least_one(take):
    with pytest.raises(ValueError, match=r"`x` must hold at least one event. Received: x\.shape=\(0, 3\)"):
        take(REAL, np.zeros((0, 3), "float32"))


# Conditions.


@pytest.mark.parametrize(
    ("model", "condition", "received"),
    [
        (CONDITIONAL, None, r"condition=None, condition_shape=\(2,\)"),
        (REAL, CONDITION, "condition=an array, condition_shape=None"),
    ],
    ids=["missing", "superfluous"],
)
@pytest.mark.parametrize(
    "take",
    [
        lambda model, x, condition: model.score_samples(x, condition),
        lambda model, x, condition: model.log_prob(x, condition),
        lambda model, x, condition: model.sample(5, condition),
        lambda model, x, condition: model.fit(x if condition is None else (x, condition), verbose=0),
        lambda model, x, condition: model.evaluate(x if condition is None else (x, condition), verbose=0),
    ],
    ids=["score_samples", "log_prob", "sample", "fit", "evaluate"],
)
def test_a_condition_is_given_if_and_only_if_the_model_has_one(take, model, condition, received):
    with pytest.raises(ValueError, match=rf"`condition` must be given if and only if .*Received: {received}"):
        take(model, EVENTS, condition)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.zeros((4, 2)), r"`condition` must have shape \(5, 2\).*Received: condition\.shape=\(4, 2\)"),
        (np.zeros((5, 3)), r"`condition` must have shape \(5, 2\).*Received: condition\.shape=\(5, 3\)"),
        (np.full((5, 2), np.nan), r"`condition` must be finite"),
    ],
    ids=["one-too-few", "too-wide", "nan"],
)
@pytest.mark.parametrize(
    "take",
    [
        lambda condition: CONDITIONAL.score_samples(EVENTS, condition),
        lambda condition: CONDITIONAL.sample(5, condition),
        lambda condition: CONDITIONAL.fit((EVENTS, condition), verbose=0),
        lambda condition: CONDITIONAL.evaluate((EVENTS, condition), verbose=0),
    ],
    ids=["score_samples", "sample", "fit", "evaluate"],
)
def test_a_condition_fits_its_events(take, condition, message):
    with pytest.raises(ValueError, match=message):
        take(condition)


def test_one_condition_for_all_is_for_draws_only():
    with pytest.raises(ValueError, match=r"`condition` must have shape \(5, 2\).*Received: condition\.shape=\(2,\)"):
        CONDITIONAL.score_samples(EVENTS, CONDITION[0])


@pytest.mark.parametrize("take", [CONDITIONAL.fit, CONDITIONAL.evaluate, CONDITIONAL.log_prob])
def test_a_batch_is_events_or_a_pair(take):
    with pytest.raises(ValueError, match=r"must be events, or the pair \(events, conditions\). Received 3 arrays"):
        take((EVENTS, CONDITION, CONDITION))


# Draws.


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        *[("num_samples", value, "an integer of at least 0") for value in (-1, 2.0, "2", None, True)],
        *[("seed", value, r"an integer from 0 to 2\*\*64 - 1, or None") for value in (-1, 2**64, 0.5, "0", True)],
        *[("temperature", value, "a finite number") for value in (np.nan, np.inf, "hot", None)],
        *[("temperature", value, "0, for the most probable values, or at least 1e-20") for value in (-1.0, 1e-39)],
        ("first_event", 2**63, "at most 9223372036854775807"),
        ("return_log_prob", 2, "True or False"),
        ("temperature", 10**400, "a finite number"),
        ("method", "fast", "'auto', 'stepwise', 'parallel' or 'full'"),
        ("method", None, "'auto', 'stepwise', 'parallel' or 'full'"),
    ],
)
def test_draws_are_asked_for_in_terms_that_mean_something(argument, value, expected):
    with pytest.raises(ValueError, match=rf"`{argument}` must be {expected}. Received: {argument}={value!r}"):
        BINARY.sample(**{argument: value})


class OnlyWhole(layers.CausalLayer):
    """A causal layer that cannot run one position at a time."""

    strict = True

    def call(self, x):
        return keras.ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])

    def compute_output_shape(self, shape):
        return shape


def test_a_model_with_a_part_without_step_is_not_drawn_stepwise():
    model = AutoregressiveModel.from_layers([OnlyWhole()], event_shape=3, name="whole")
    assert not model.steppable
    with pytest.raises(ValueError, match="`method` must not be 'stepwise': whole has a part without `step`"):
        model.sample(method="stepwise")


# Training.


@pytest.mark.parametrize(
    ("argument", "value"),
    [("loss", "mse"), ("metrics", ["mse"]), ("weighted_metrics", ["mse"]), ("loss_weights", [2.0])],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_loss_is_the_likelihood_and_no_other(argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` must be None in `compile`: .* Received: {argument}="):
        REAL.compile("sgd", **{argument: value})


@pytest.mark.parametrize("take", [REAL.fit, REAL.evaluate], ids=["fit", "evaluate"])
@pytest.mark.parametrize("y", [np.ones((5, 3)), np.zeros(5)], ids=["others", "classes"])
def test_targets_are_refused(take, y):
    with pytest.raises(ValueError, match=r"`y` must be None: events are their own targets.*Received: y of shape"):
        take(np.zeros((5, 3)), y)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("optimizer", None, "the name, the config or an instance of a Keras optimizer"),
        ("optimizer", [1], "the name, the config or an instance of a Keras optimizer"),
        ("optimizer", {}, "the name, the config or an instance of a Keras optimizer"),
        ("jit_compile", "yes", "'auto', True or False"),
        ("run_eagerly", np.ones(2), "True or False"),
        ("steps_per_execution", 1.5, "an integer of at least 1"),
    ],
)
def test_training_is_configured_in_terms_that_mean_something(argument, value, expected):
    with pytest.raises(ValueError, match=rf"`{argument}` must be {expected}. Received: {argument}="):
        REAL.compile(**{argument: value})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("methods", "argument", "value", "expected"),
    [
        (("fit", "evaluate", "predict"), "batch_size", "8", "must be an integer of at least 1"),
        (("fit", "evaluate", "predict"), "callbacks", [None, 1], "must be a list of Keras callbacks"),
        (("evaluate", "predict"), "steps", 0.5, "must be an integer of at least 1"),
        (("fit",), "epochs", None, "must be an integer of at least 1"),
        (("fit",), "validation_steps", "2", "must be an integer of at least 1"),
        (("fit",), "validation_split", 1, "must be at least 0 and below 1"),
        (("fit", "evaluate", "predict"), "verbose", [1, 2], "must be 'auto', 0, 1 or 2"),
        (("evaluate", "train_on_batch", "test_on_batch"), "return_dict", np.ones(2), "must be True or False"),
        (("fit", "evaluate"), "sample_weight", np.ones(4), "must hold a number for each of the 5 events"),
    ],
)
def test_trainers_are_given_numbers_that_mean_something(methods, argument, value, expected):
    for method in methods:
        with pytest.raises(ValueError, match=rf"`{argument}` {expected}.* Received: {argument}"):
            getattr(REAL, method)(np.ones((5, 3)), **{argument: value})


@pytest.mark.one_backend
@pytest.mark.parametrize("weight", [np.nan, 1e300])
def test_sample_weights_are_finite(weight):
    for method in (REAL.fit, REAL.evaluate):
        with pytest.raises(ValueError, match=r"`sample_weight` must be finite.* Received sample_weight\[0\] = "):
            method(np.ones((5, 3)), sample_weight=np.full(5, weight))


@pytest.mark.one_backend
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("x", [None, "abc", {"x": EVENTS}], ids=["nothing", "text", "dictionary"])
def test_what_is_neither_array_nor_dataset_is_refused(method, x):
    with pytest.raises(ValueError, match="`x` must hold numbers"):
        getattr(REAL, method)(x)


@pytest.mark.one_backend
@pytest.mark.parametrize("argument", ["y", "sample_weight"])
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_dataset_holds_all_there_is(method, argument):
    with pytest.raises(ValueError, match=rf"`{argument}` must be None beside a dataset.*Received: x of type generator"):
        getattr(REAL, method)((batch for batch in [EVENTS]), **{argument: np.ones(5)})


def test_class_weights_are_refused():
    with pytest.raises(ValueError, match=r"`class_weight` must be None.*Give `sample_weight=`.*Received: class_weight"):
        REAL.fit(np.zeros((5, 3)), class_weight={0: 1.0})


@EVERYWHERE
@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 1, 0], [1, 1]], r"`x` must be an array: lists of one length. Received: x=\[\[0, 1, 0\], \[1, 1\]\]"),
        (np.array([["a", "b", "c"]]), r"`x` must hold numbers. Received: x.dtype=<U1"),
        (np.array([["2026-01-01"] * 3], "datetime64[D]"), "`x` must hold numbers"),
        (np.ones((2, 3), complex), "`x` must hold numbers. Received: x.dtype=complex128"),
        (
            np.ma.masked_equal([[0.0, 1.0, 2.0]], 1.0),
            "`x` must have no masked entries|`known` must be what comes first",
        ),
        (np.full((2, 3), 1e300), r"`x` must be finite, in float32. Received x\[0, 0\] = 1e\+300"),
    ],
    ids=["ragged", "strings", "dates", "complex", "masked", "beyond float32"],
)
def test_events_are_an_array_of_numbers(take, x, message):
    with pytest.raises(ValueError, match=message):
        take(REAL, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([["a", "b", "c"]]), r"`x` must hold numbers. Received: x.dtype=<U1"),
        (np.ones((2, 3), complex), r"`x` must hold numbers. Received: x.dtype=complex128"),
        (np.ma.masked_equal([[0.0, 1.0, 2.0]], 1.0), "`x` must have no masked entries"),
        (np.ones((0, 3)), r"`x` must hold at least one event. Received: x.shape=\(0, 3\)"),
        ([1.0, 2.0, 3.0], r"`x` must be events, or the pair .*Received 3 arrays"),
    ],
    ids=["strings", "complex", "masked", "empty", "list"],
)
@pytest.mark.parametrize("take", [REAL.log_prob, REAL.conditional_log_prob])
def test_in_a_graph_events_are_numbers_too(take, x, message):
    with pytest.raises(ValueError, match=message):
        take(x)


@pytest.mark.parametrize("take", [CONDITIONAL.log_prob, CONDITIONAL.conditional_log_prob])
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (CONDITION[:4], r"`condition` must have an entry for each of the 5 events. Received: condition.shape=\(4, 2\)"),
        (CONDITION.astype(str), "`condition` must hold numbers"),
        ([[0.0, 1.0], [0.0]], "`condition` must be an array: lists of one length"),
    ],
    ids=["one-too-few", "strings", "ragged"],
)
def test_in_a_graph_conditions_fit_their_events(take, condition, message):
    with pytest.raises(ValueError, match=message):
        take(EVENTS, condition)


def test_a_condition_is_finite_in_float32():
    with pytest.raises(
        ValueError, match=r"`condition` must be finite, in float32. Received condition\[0, 0\] = 1e\+300"
    ):
        CONDITIONAL.score_samples(EVENTS, np.full((5, 2), 1e300))


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": None}, "`function` must be a function of tensors. Received: function=None"),
        ({"extra": 0}, "`extra` must be a list of arrays. Received: extra of type int"),
        ({"extra": [np.ones(4)]}, r"`extra` must hold arrays with an entry for each of the 5 .*\[\(4,\)\]"),
        ({"noise_shape": 0.5}, "`noise_shape` must be an integer.*Received: noise_shape=0.5"),
        ({"verbose": [1, 2]}, r"`verbose` must be an integer.*Received: verbose=\[1, 2\]"),
    ],
)
def test_what_is_mapped_over_events_fits_them(arguments, message):
    with pytest.raises(ValueError, match=message):
        REAL.map_events(**{"function": REAL.log_prob, "x": EVENTS, **arguments})


# Models.


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: models.MADE(4, hidden_units=3, direct="no"), "direct"),
        (lambda: layers.CausalConv1D(3, 2, strict=1), "strict"),
        (lambda: layers.MaskedConv2D(3, 3, use_bias=None), "use_bias"),
        (lambda: layers.RowLSTM(3, residual="yes"), "residual"),
    ],
)
def test_a_switch_is_true_or_false(make, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be True or False. Received: {argument}="):
        make()


class Triple(Head):
    """Draws three values together."""

    num_params = 1
    support = Support.levels(2)
    event_shape = (3,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: models.FVSBN(0),
            r"`event_shape` must be an integer of at least 1, or a tuple.*Received: event_shape=0",
        ),
        (lambda: models.MADE(3, dropout=1), r"`dropout` must be at least 0 and below 1. Received: dropout=1"),
        (
            lambda: models.CausalSequential(3, layers=layers),
            r"`layers` must be a list of layers. Received: layers=<module",
        ),
        (lambda: models.FVSBN(()), r"`event_shape` must hold .*Received: event_shape=\(\)"),
        (lambda: models.FVSBN((2, -1)), r"`event_shape` must be .*Received: event_shape=\(2, -1\)"),
        (lambda: models.FVSBN((2, 0.5)), r"`event_shape` must be .*Received: event_shape=\(2, 0.5\)"),
        (lambda: models.FVSBN(2, condition_shape=0), r"`condition_shape` must be .*Received: condition_shape=0"),
        (lambda: models.FVSBN((2, 4), head=Triple()), r"`event_shape` must end in \(3,\), which .*=\(2, 4\)"),
        (lambda: models.FVSBN(3, ordering=[0, 0, 1]), r"`ordering` must be a permutation.*ordering=\[0, 0, 1\]"),
        (lambda: models.FVSBN(3, ordering=[0, 1]), r"`ordering` must order the model's 3 positions. Received .* of 2"),
        (lambda: models.FVSBN(3, ordering="spiral"), r"`ordering` must be 'natural', .*Received: ordering='spiral'"),
        (
            lambda: models.MADE(3, hidden_units=()),
            r"`hidden_units` must hold at least one.*Received: hidden_units=\(\)",
        ),
        (lambda: models.Factorized(3, network=keras.layers.Dense(3)), "`network` must be None for a model without a"),
        (lambda: models.Factorized(3, network=(8,), condition_shape=2), "`network` must be a Keras layer"),
        (
            lambda: models.Factorized(3, network=keras.layers.Dense(3), hidden_units=4, condition_shape=2),
            r"`network` must be None where `hidden_units`.*Received: .*hidden_units=\(4,\)",
        ),
        (
            lambda: models.Factorized(3, network=keras.layers.Dense(3), activation="tanh", condition_shape=2),
            r"`network` must be None where .*`activation`.*Received: .*activation=tanh",
        ),
        (
            lambda: models.Factorized(3, network=keras.layers.Dense(4), condition_shape=2),
            r"`network` must return 3 parameters for an event, 1 for each.*Received: .*\(4,\)",
        ),
        (lambda: models.MADE(3, hidden_units=0), r"`hidden_units` must be an integer.*Received: hidden_units=0"),
        (lambda: models.MADE(3, hidden_units=(4, 0.5)), r"`hidden_units` must be .*Received: .*\(4, 0.5\)"),
        (lambda: models.MADE(3, degrees="odd"), r"`degrees` must be 'even' or 'random'. Received: degrees='odd'"),
        (lambda: models.MADE(3, seed=-1), r"`seed` must be an integer .*Received: seed=-1"),
    ],
)
def test_a_model_is_made_of_arguments_that_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("chain", "received"),
    [
        ([], r"0 of them in \[\]"),
        ([keras.layers.Dense(2, name="one")], r"0 of them in \['one'\]"),
        ([layers.TriangularDense(2, name=name) for name in ("one", "two")], r"2 of them in \['one', 'two'\]"),
    ],
    ids=["none", "none-strict", "two"],
)
def test_a_chain_has_one_layer_that_hides_a_position_from_itself(chain, received):
    with pytest.raises(ValueError, match=rf"`layers` must have exactly one strict layer .*Received {received}"):
        AutoregressiveModel.from_layers(chain, event_shape=4)


RGB = heads.DiscretizedLogisticMixture(256, num_channels=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: models.PixelCNN((8, 8, 3), filters=64),
            r"`filters` must be a multiple of `2 \* num_colors` = 6, such as 60 or 66. Received: filters=64",
        ),
        (
            lambda: models.GatedPixelCNN((8, 8, 3), filters=64),
            r"`filters` must be a multiple of `num_colors` = 3, such as 63 or 66. Received: filters=64",
        ),
        (lambda: models.PixelCNN((8, 8), kernel_size=4), r"`kernel_size` must be odd.*Received: kernel_size=4"),
        (lambda: models.GatedPixelCNN((8, 8), kernel_size=2), r"`kernel_size` must be odd.*Received: kernel_size="),
        (
            lambda: models.PixelCNN(64),
            r"`event_shape` must be that of an image, \(rows, columns\).*event_shape=\(64,\)",
        ),
        (lambda: models.GatedPixelCNN((2, 2, 2, 2)), r"`event_shape` must be that of an image.*\(2, 2, 2, 2\)"),
        (lambda: models.PixelCNN((8, 8), head=RGB), r"`event_shape` must end in \(3,\), which Disc.*\(8, 8\)"),
        (lambda: models.PixelCNN((8, 3), head=RGB), r"`event_shape` must be that of an image.*\(8, 3\), with Disc"),
        (
            lambda: models.PixelCNNPlusPlus((8, 8, 3), head="categorical"),
            r"`head` must draw the 3 colors of a pixel together, as Disc.* Received: head=Categorical",
        ),
        (lambda: models.PixelCNNPlusPlus((8, 8), num_levels=0), r"`num_levels` must be an integer .*num_levels=0"),
        (lambda: models.PixelRNN((8, 8), variant="column"), r"`variant` must be 'row' or 'diagonal'.*'column'"),
        (
            lambda: models.PixelRNN((8, 8, 3), units=32),
            r"`units` must be a multiple of `num_colors` = 3, such as 30 or 33",
        ),
        (lambda: models.MultiScalePixelRNN((8, 8), factor=1), r"`factor` must be an integer of at least 2"),
        (lambda: models.MultiScalePixelRNN((1, 1, 3)), r"`event_shape` must have more than one pixel.*\(1, 1, 3\)"),
        (lambda: models.PixelCNN((8, 8), num_blocks=-1), r"`num_blocks` must be an integer of at least 0"),
    ],
)
def test_a_model_of_images_is_made_of_arguments_that_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


SMALL = {"filters": 4, "num_blocks": 0, "kernel_size": 3, "head": heads.Categorical(4)}
IMAGES = models.PixelCNN((4, 5), num_classes=3, **SMALL)
VECTORS = models.PixelCNN((4, 5), condition_shape=3, **SMALL)


@pytest.mark.parametrize(
    ("x", "condition", "message"),
    [
        (np.ones((2, 5, 4)), [0, 1], r"`x` must have shape \(batch, 4, 5\). Received: x.shape=\(2, 5, 4\)"),
        (np.full((2, 4, 5), 4), [0, 1], r"`x` must hold integers from 0 to 3.*Received x\[0, 0, 0\] = 4"),
        (np.ones((2, 4, 5)), [0, 3], r"`condition` must hold classes, integers from 0 to 2.*Received class 3"),
        (np.ones((2, 4, 5)), [-1, 0], r"`condition` must hold classes, integers from 0 to 2.*Received class -1"),
        (np.ones((2, 4, 5)), [0, 1, 2], r"`condition` must have shape \(2,\): a class for each event.*shape=\(3,\)"),
        (np.ones((2, 4, 5)), [0.5, 1], r"`condition` must hold classes, integers from 0 to 2.*Received class 0.5"),
        (np.ones((2, 4, 5)), np.eye(3, dtype=int)[:2], r"`condition` must have shape \(2,\)"),
        (np.ones((2, 4, 5)), None, r"`condition` must be given if and only if"),
    ],
)
def test_images_and_conditions_fit_the_model(x, condition, message):
    condition = None if condition is None else np.asarray(condition)
    with pytest.raises(ValueError, match=message):
        IMAGES.score_samples(x, condition)


def test_integers_are_never_taken_for_classes_by_their_dtype():
    with pytest.raises(ValueError, match=r"`condition` must have shape \(3, 3\).*For classes, .*`num_classes`"):
        VECTORS.score_samples(np.ones((3, 4, 5)), [0, 1, 2])


def test_a_condition_is_a_class_or_an_array():
    with pytest.raises(ValueError, match="`num_classes` must come without `condition_shape`"):
        models.FVSBN(3, num_classes=2, condition_shape=3)


class Coins(AutoregressiveModel):
    """Fair coins, whose class nobody asks for."""

    def call(self, x):
        return keras.ops.zeros((*x.shape, 1))


@pytest.mark.parametrize("condition", [{"num_classes": 2}, {"condition_shape": (3,)}], ids=str)
def test_a_condition_that_no_model_looks_at_is_refused(condition):
    assert Coins(3, head="bernoulli").condition_shape is None
    with pytest.raises(ValueError, match="a Coins takes no condition"):
        Coins(3, head="bernoulli", **condition)


# Heads and layers.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heads.Categorical(1), r"`num_levels` must be an integer of at least 2. Received: num_levels=1"),
        (lambda: heads.Categorical(2.0), r"`num_levels` must be an integer .*Received: num_levels=2\.0"),
        (lambda: heads.Categorical(True), r"`num_levels` must be an integer .*Received: num_levels=True"),
        (
            lambda: heads.NormalMixture(0),
            r"`num_components` must be an integer of at least 1. Received: num_components=0",
        ),
        (lambda: heads.NormalMixture(scale=-1.0), r"`scale` must be a finite number above 0. Received: scale=-1\.0"),
        (lambda: heads.Normal(scale=0), r"`scale` must be a finite number above 0. Received: scale=0"),
        (lambda: heads.Normal(resolution=0.0), r"`resolution` must be .*above 0. Received: resolution=0\.0"),
        (lambda: layers.MaskedConv2D(4, 2), r"`kernel_size` must be odd.*Received: kernel_size=2"),
        (lambda: layers.MaskedConv2D(4, (3, 4)), r"`kernel_size` must be odd.*Received: kernel_size=\(3, 4\)"),
        (lambda: layers.MaskedConv2D(4, (3, 3, 3)), r"`kernel_size` must be an integer, or a pair.*\(3, 3, 3\)"),
        (lambda: layers.MaskedConv2D(4, 3, "C"), r"`mask_type` must be 'A' or 'B'. Received: mask_type='C'"),
        (lambda: layers.MaskedConv2D(4, 1, "A"), r"`kernel_size` must be more than 1 .*Received: kernel_size=1"),
        (
            lambda: layers.MaskedConv2D(4, 3, num_colors=3),
            r"`filters` must be a multiple of `num_colors` = 3, such as 3 or 6",
        ),
        (
            lambda: layers.MaskedConv2D(6, 3, num_colors=3).build((None, 5, 5, 4)),
            r"`inputs.shape\[-1\]` must be a multiple of `num_colors` = 3, such as 3 or 6. Received: .*=4",
        ),
        (
            lambda: layers.MaskedConv2D(6, 3, num_colors=3).build((None, 5, 5, 2, 3)),
            r"`inputs` must have shape \(batch, rows, columns, channels\), or .*Received: .*\(None, 5, 5, 2, 3\)",
        ),
        (lambda: layers.ShiftedConv2D(4, (2, 2), "down"), r"`kernel_size` must have odd columns for 'down'"),
        (lambda: layers.ShiftedConv2D(4, 2, "up"), r"`direction` must be 'down' or 'down_right'. Received: .*'up'"),
        (
            lambda: layers.ShiftedConv2D(4, (2, 3), "down", strides=2, strict=True),
            r"`strides` must be 1 where `strict` is true. Received: strides=2",
        ),
        (
            lambda: layers.ShiftedConv2DTranspose(4, (2, 3), "down_right", size=6),
            r"`kernel_size` must have `strides` = 2 rows and 2 columns for 'down_right'. Received: .*\(2, 3\)",
        ),
        (
            lambda: layers.ShiftedConv2DTranspose(4, (2, 3), "down", size=(7, 6)).build((None, 3, 3, 2)),
            r"`inputs` must have \(4, 3\) rows and columns, for an output of size \(7, 6\)",
        ),
        (lambda: layers.RowLSTM(4, kernel_size=2), r"`kernel_size` must be odd.*Received: kernel_size="),
        (lambda: layers.RowLSTM(4, num_colors=3), r"`units` must be a multiple of `num_colors` = 3, such as 3 or 6"),
        (
            lambda: layers.DiagonalBiLSTM(4).build((None, 5, 5, 4)),
            r"`inputs` must have 2 \* units = 8 channels.*Received: inputs\.shape=\(None, 5, 5, 4\)",
        ),
        (lambda: layers.MaskedDense(3, np.ones((2, 4))), r"`mask` .*\(inputs, 3\). Received: mask\.shape=\(2, 4\)"),
        (lambda: layers.MaskedDense(3, np.full((2, 3), 2)), r"`mask` must hold zeros and ones .*from 2\.0 to 2\.0"),
        (lambda: layers.MaskedDense(3, np.ones((2, 3))).build((None, 4)), r"mask is for 2 inputs.*\(None, 4\)"),
    ],
)
def test_a_head_or_layer_is_made_of_arguments_that_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.ShiftedConv2D(4, (2, 3), "down", name="rows"), r"must not see a row .* as a whole.*\['rows'\]"),
        (layers.ShiftedConv2D(4, 2, "down_right", strides=2, name="coarse"), r"must keep the positions .* coarse"),
        (layers.GatedBlock(4, name="stacks"), r"`inputs` must be the pair of vertical and horizontal features"),
        (keras.layers.Flatten(name="flat"), r"must keep the positions .*\(4, 5\). Received: flat"),
    ],
)
def test_a_chain_keeps_each_position_where_it_is(layer, message):
    with pytest.raises(ValueError, match=message):
        AutoregressiveModel.from_layers([layers.MaskedConv2D(4, 3, "A"), layer], event_shape=(4, 5))


@pytest.mark.parametrize(
    ("get", "name", "near"),
    [
        (heads.get, "bernouli", "bernoulli"),
        (layers.get, "nade_dens", "nade_dense"),
        (models.get, "mades", "made"),
        (lambda name: models.FVSBN(3, head=name), "categorial", "categorical"),
    ],
    ids=["heads", "layers", "models", "head-of-a-model"],
)
def test_an_unknown_name_is_named_with_those_near_it(get, name, near):
    with pytest.raises(registry.UnknownNameError, match=rf"'{name}'.*'{near}'"):
        get(name)


def test_bad_validation_data_is_refused_before_training():
    with pytest.raises(ValueError, match="`validation_data`"):
        LEVELS.fit(np.ones((5, 3)), validation_data=(np.full((5, 3), 17),), verbose=0)
    assert int(LEVELS.optimizer.iterations) == 0


def test_a_target_is_refused():
    with pytest.raises(ValueError, match=r"`y` must be None: .*Received: y of shape \(5,\)"):
        LEVELS.fit(np.ones((5, 3)), np.ones(5), verbose=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.NADE(3, units=0),
        lambda: models.NADE(3, units=2.5),
        lambda: models.FVSBN(True),
        lambda: layers.TriangularDense(0),
        lambda: heads.Normal(scale="a"),
        lambda: heads.Normal(loc=np.nan),
        lambda: BINARY.sample(2, batch_size=0),
        lambda: REAL.score_samples(np.ones((2, 3)), batch_size=-1),
    ],
)
def test_numbers_that_mean_nothing_are_refused(build):
    with pytest.raises(ValueError, match=r"must be .* Received: \w+="):
        build()


@pytest.mark.parametrize("layer", [layers.TriangularDense(2), layers.NADEDense(2, 1)])
def test_flat_layers_want_positions_and_features(layer):
    with pytest.raises(
        ValueError, match=r"`inputs` must have shape \(batch, positions, features\)\. Received: .*8, 8, 1"
    ):
        layer.build((None, 8, 8, 1))


@pytest.mark.parametrize(
    ("chain", "shape", "other"),
    [
        ([layers.TriangularDense(4), keras.layers.ReLU()], 3, 5),
        ([layers.NADEDense(4, 2)], 3, 5),
        ([layers.MaskedConv2D(4, 3, "A")], (2, 3, 1), (2, 4, 1)),
        ([layers.ShiftedConv2D(4, (2, 3), "down_right", strict=True)], (2, 3, 1), (2, 4, 1)),
    ],
)
def test_layers_that_are_built_for_other_events_are_refused(chain, shape, other):
    models.CausalSequential(shape, layers=chain)
    with pytest.raises(ValueError, match=r"incompatible with the layer: expected "):
        models.CausalSequential(other, layers=chain)
