"""Distributions of TensorFlow Probability: what they score and draw beside SciPy, and what is refused."""

import ast
import doctest
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_ar
import keras_ar_tfp
from keras_ar import backend, noise
from keras_ar.testing import parametrize_with_checks, tools
from keras_ar_tfp import TFPHead, tfp_head

BACKEND = keras.backend.backend()
LOC_SCALE = {"loc": "linear", "scale": "softplus"}


def is_there():
    """Whether TensorFlow Probability is there for the backend that runs."""
    try:
        return TFPHead("Normal", LOC_SCALE) is not None
    except (ImportError, RuntimeError):
        return False


IS_THERE = is_there()
needs_tfp = pytest.mark.skipif(not IS_THERE, reason="TensorFlow Probability is not there for this backend")

# Families and parameters; integers are cut off, mixtures have several components.
FAMILIES = [
    {"family": "Normal", "parameters": LOC_SCALE, "loc": 3.0, "scale": 2.0},
    {"family": "Laplace", "parameters": LOC_SCALE},
    {"family": "StudentT", "parameters": {"df": 4.0, **LOC_SCALE}},
    {"family": "Gumbel", "parameters": LOC_SCALE},
    {"family": "ExponentiallyModifiedGaussian", "parameters": {"rate": "softplus", **LOC_SCALE}},
    {"family": "Normal", "parameters": LOC_SCALE, "num_components": 3},
    {"family": "Gamma", "parameters": {"concentration": "above_one", "rate": "softplus"}, "scale": 2.0},
    {"family": "LogNormal", "parameters": LOC_SCALE},
    {"family": "Weibull", "parameters": {"concentration": "above_one", "scale": "exp"}},
    {"family": "Pareto", "parameters": {"concentration": "above_one", "scale": 1.0}},
    {"family": "Beta", "parameters": {"concentration1": "above_one", "concentration0": "above_one"}},
    {"family": "Kumaraswamy", "parameters": {"concentration1": "above_one", "concentration0": "above_one"}},
    {"family": "TruncatedNormal", "parameters": {"low": -1.0, "high": 2.0, **LOC_SCALE}},
    {"family": "Triangular", "parameters": {"peak": "sigmoid"}},
    {"family": "Bernoulli", "parameters": {"logits": "bounded"}, "num_levels": 2},
    {"family": "Poisson", "parameters": {"rate": "softplus"}, "num_levels": 30},
    {"family": "Poisson", "parameters": {"rate": "softplus"}, "num_levels": 30, "num_components": 3},
    {"family": "NegativeBinomial", "parameters": {"total_count": "softplus", "logits": "bounded"}, "num_levels": 30},
    {"family": "Binomial", "parameters": {"total_count": 9.0, "probs": "sigmoid"}, "num_levels": 10},
    {"family": "Geometric", "parameters": {"logits": "linear"}, "num_levels": 30},
    {"family": "Zipf", "parameters": {"power": "above_one"}, "num_levels": 30},
]
HEADS = [TFPHead(**arguments) for arguments in FAMILIES] if IS_THERE else []
MODELS = [
    keras_ar.models.MADE(3, hidden_units=(6,), head=head)
    for head in (
        *(head for head in HEADS if head.family in ("Gamma", "Binomial")),
        *(
            TFPHead("StudentT", FAMILIES[2]["parameters"], loc=[1.0, 2.0, 3.0], scale=[4.0, 5.0, 6.0])
            for _ in HEADS[:1]
        ),
    )
]


def opens_here_only(component):
    is_model = isinstance(component, keras_ar.DensityModel)
    return {"check_opens_on_other_backends": "TensorFlow Probability is not there for them all"} if is_model else {}


@parametrize_with_checks([*HEADS, *MODELS], expected_failures=opens_here_only)
def test_conformance(check):
    check()


# Beside SciPy, in double precision.


def softplus(y):
    return np.log1p(np.exp(y)) + 1e-3


def scipy_distributions(stats):
    """SciPy's distribution by an array of outputs, for each family it has too, with the same parameters."""
    return {
        "Normal": (LOC_SCALE, lambda a, b: stats.norm(a, softplus(b))),
        "StudentT": ({"df": 4.0, **LOC_SCALE}, lambda a, b: stats.t(4.0, a, softplus(b))),
        "Gumbel": (LOC_SCALE, lambda a, b: stats.gumbel_r(a, softplus(b))),
        "ExponentiallyModifiedGaussian": (
            {"rate": 0.5, **LOC_SCALE},
            lambda a, b: stats.exponnorm(2.0 / softplus(b), a, softplus(b)),
        ),
        "Gamma": (
            {"concentration": "above_one", "rate": "softplus"},
            lambda a, b: stats.gamma(1.0 + softplus(a), scale=1.0 / softplus(b)),
        ),
        "LogNormal": (LOC_SCALE, lambda a, b: stats.lognorm(softplus(b), scale=np.exp(a))),
        "Beta": (
            {"concentration1": "above_one", "concentration0": "softplus"},
            lambda a, b: stats.beta(1.0 + softplus(a), softplus(b)),
        ),
        "NegativeBinomial": (
            {"total_count": "softplus", "logits": "bounded"},
            lambda a, b: stats.nbinom(softplus(a), 1.0 / (1.0 + np.exp(b))),
        ),
        "Poisson": ({"rate": "exp"}, lambda a: stats.poisson(np.exp(a))),
    }


NAMES = tuple(scipy_distributions(None))


@needs_tfp
@pytest.mark.parametrize("name", NAMES)
def test_scores_and_draws_are_those_of_scipy(name):
    stats = pytest.importorskip("scipy.stats")
    parameters, make = scipy_distributions(stats)[name]
    is_discrete = name in ("NegativeBinomial", "Poisson")
    head = TFPHead(name, parameters, num_levels=40 if is_discrete else None)
    params = tools.random_params(head, 200)
    expected = make(*params.T.astype("float64"))
    u = noise.uniforms(1, 0, 200, (1,))
    drawn = tools.computed(head.sample, params, u)
    below = expected.cdf(39) if is_discrete else 1.0  # where it is cut off
    quantiles = expected.ppf(u[:, 0].astype("float64") * below)
    if is_discrete:
        assert (drawn != quantiles).mean() < 0.01  # a uniform next to a step
        log_probs = expected.logpmf(drawn) - np.log(below)
    else:
        np.testing.assert_allclose(drawn, quantiles, rtol=2e-4, atol=2e-4)
        log_probs = expected.logpdf(drawn.astype("float64"))
    np.testing.assert_allclose(tools.computed(head.log_prob, params, drawn), log_probs, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(
        tools.computed(head.cdf, params, drawn), expected.cdf(drawn.astype("float64")) / below, atol=2e-5
    )


@needs_tfp
def test_loc_and_scale_are_units_of_the_data():
    params = np.zeros((1, 2), "float32")
    head = TFPHead("Normal", LOC_SCALE, loc=10.0, scale=2.0)
    plain = TFPHead("Normal", LOC_SCALE)
    x = np.array([12.0], "float32")
    expected = float(plain.log_prob(params, (x - 10.0) / 2.0)[0]) - np.log(2.0)
    assert float(head.log_prob(params, x)[0]) == pytest.approx(expected, abs=1e-5)
    assert (
        str(TFPHead("Beta", {"concentration1": "exp", "concentration0": 2.0}, loc=-1.0, scale=3.0).support)
        == "real numbers from -1 to 2"
    )


# Compiled: what depends on a quantile, on a root of the CDF, and on the probabilities of all levels.

COMPILED = [
    i for i, arguments in enumerate(FAMILIES) if arguments["family"] in ("StudentT", "Gamma", "Beta", "Triangular")
]
COMPILED += [i for i, arguments in enumerate(FAMILIES) if arguments["family"] == "Poisson"]


@needs_tfp
@pytest.mark.parametrize("head", [HEADS[i] for i in COMPILED if IS_THERE], ids=repr)
def test_xla_computes_the_same(head):
    params = tools.random_params(head, 20)
    u = noise.uniforms(2, 0, 20, (1,))

    def compute(params, u):
        drawn = head.sample(params, u)
        found = {"sample": drawn, "log_prob": head.log_prob(params, drawn), "cdf": head.cdf(params, drawn)}
        found.update({name: getattr(head, name)(params) for name in ("mean", "mode") if name in head.capabilities})
        if "from_noise" in head.capabilities:
            found["from_noise"] = head.from_noise(params, u[:, 0])[0]
            found["to_noise"] = head.to_noise(params, drawn)[0]
        return found

    found = backend.compiled(None, compute)(params, u)
    for name, expected in tools.computed(compute, params, u).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-3, err_msg=name)
    variable = keras.Variable(params)
    drawn = ops.convert_to_tensor(tools.computed(head.sample, params, u))
    (gradient,) = backend.gradient_function(lambda x: ops.sum(head.log_prob(variable.value, x)), [variable])(drawn)
    assert np.isfinite(gradient).all()


@needs_tfp
def test_what_is_not_a_number_is_not_hidden():
    head = TFPHead("Gumbel", LOC_SCALE)
    x = np.float32([1.0, -1e6])
    assert np.isnan(ops.convert_to_numpy(head.log_prob(np.float32([[np.nan, 0.0]]), x[:1]))).all()
    assert ops.convert_to_numpy(head.log_prob(np.zeros((2, 2), "float32"), x))[1] == np.float32(-1e30)


# In models.


@needs_tfp
def test_a_model_trains_is_saved_and_draws(tmp_path):
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.gamma(2.0, size=(500, 3)), axis=1).astype("float32")
    config = {"family": "Gamma", "parameters": {"concentration": "above_one", "rate": "exp"}, "scale": 3.0}
    head = {"class_name": "tfp", "config": config}
    model = keras_ar.models.get("made", event_shape=3, hidden_units=(16,), head=head)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=True)
    history = model.fit(x, epochs=8, batch_size=50, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "gamma.keras")
    again = keras_ar.load_model(tmp_path / "gamma.keras")
    np.testing.assert_array_equal(again.score_samples(x[:20]), model.score_samples(x[:20]))
    drawn = model.sample(200, seed=0)
    np.testing.assert_array_equal(again.sample(200, seed=0), drawn)
    assert np.abs(drawn.mean(axis=0) - x.mean(axis=0)).max() < 1.0


@needs_tfp
@pytest.mark.parametrize("arguments", [FAMILIES[2], FAMILIES[5], FAMILIES[6]], ids=str)
def test_a_model_is_a_map_that_can_be_undone(arguments):
    made = keras_ar.models.MADE(3, hidden_units=(8,), head=TFPHead(**arguments))
    assert {"to_noise", "from_noise"} <= made.head.capabilities
    flow = keras_ar.bijectors.Autoregressive(made)
    noise.randomize(made)
    z = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    x, log_det = flow.from_noise(z)
    back, same_log_det = flow(x)
    np.testing.assert_allclose(back, z, atol=2e-3)
    np.testing.assert_allclose(same_log_det, log_det, atol=1e-2)


# What a head can.


@needs_tfp
def test_what_a_head_can_depends_on_its_parameters():
    assert "mean" not in TFPHead("StudentT", {"df": "softplus", **LOC_SCALE}).capabilities
    assert "mean" in TFPHead("StudentT", {"df": "above_one", **LOC_SCALE}).capabilities
    gamma = TFPHead("Gamma", {"concentration": "softplus", "rate": "softplus"})  # may press its values to zero
    assert gamma.capabilities == {"cdf", "mean"}
    with pytest.raises(ValueError, match="`mode` needs a head with `mode`"):
        gamma.mode(np.zeros((1, 2), "float32"))


@needs_tfp
def test_outputs_are_in_the_order_of_the_family_whatever_that_of_the_dictionary():
    """Files need not keep the order."""
    one, other = (TFPHead("Normal", dict(items)) for items in (LOC_SCALE.items(), reversed(LOC_SCALE.items())))
    params = np.float32([[1.0, 2.0]])
    assert float(one.mean(params)[0]) == float(other.mean(params)[0]) == 1.0


@needs_tfp
def test_level_0_is_the_lowest_value_of_a_family():
    head = TFPHead("Zipf", {"power": "above_one"}, num_levels=3)
    weights = np.array([1.0, 2.0, 3.0]) ** -(1.0 + softplus(0.0))
    found = np.exp([float(head.log_prob(np.zeros((1, 1), "float32"), np.array([k]))[0]) for k in range(3)])
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-5)


# What is refused.

REFUSED = [
    ({"family": "Norml", "parameters": LOC_SCALE}, "`family` must be the name .* Did you mean 'Normal'?"),
    ({"family": 3, "parameters": LOC_SCALE}, "`family` must be the name .* Received: family=3"),
    (
        {"family": "Dirichlet", "parameters": {"concentration": "exp"}},
        "`family` must be a distribution of single numbers",
    ),
    ({"family": "Mixture", "parameters": LOC_SCALE}, "`family` must be a distribution of single numbers"),
    ({"family": "LKJ", "parameters": {"concentration": "exp"}}, "`parameters` must be what a distribution of single"),
    (
        {"family": "Skellam", "parameters": {"rate1": "exp", "rate2": "exp"}, "num_levels": 9},
        "its values reach below 0",
    ),
    ({"family": "Bates", "parameters": {"total_count": 3.0, "low": "linear"}}, "XLA lacks"),
    ({"family": "Horseshoe", "parameters": {"scale": "exp"}}, "`family` must have a CDF"),
    ({"family": "VonMises", "parameters": {"loc": "linear", "concentration": "exp"}}, "`family` must have a CDF"),
    ({"family": "Normal", "parameters": "loc"}, "`parameters` must be a dictionary. Received: parameters='loc'"),
    ({"family": "Normal", "parameters": {"mean": "linear"}}, "Normal takes loc, scale. Received: 'mean'"),
    ({"family": "Normal", "parameters": {"loc": "linear"}}, "`parameters` must be .*: Normal takes loc, scale"),
    ({"family": "Normal", "parameters": {"loc": "linear", "scale": "square"}}, "'softplus'.* Received: 'square'"),
    (
        {"family": "Normal", "parameters": {"loc": "linear", "scale": None}},
        "`parameters\\['scale'\\]` must be a number or",
    ),
    (
        {"family": "Normal", "parameters": {"loc": 0.0, "scale": float("inf")}},
        "`parameters\\['scale'\\]` must be a finite",
    ),
    ({"family": "Normal", "parameters": {"loc": 0.0, "scale": 1.0}}, "at least one parameter"),
    ({"family": "Uniform", "parameters": {"low": "linear", "high": 9.0}}, "at which values Uniform begins and ends"),
    ({"family": "Poisson", "parameters": {"rate": "exp"}}, "`num_levels` must be an integer for Poisson"),
    (
        {"family": "Poisson", "parameters": {"rate": "exp"}, "num_levels": 1},
        "`num_levels` must be an integer of at least 2",
    ),
    ({"family": "Normal", "parameters": LOC_SCALE, "num_levels": 9}, "`num_levels` must be None for Normal"),
    ({"family": "Bernoulli", "parameters": {"logits": "linear"}, "num_levels": 3}, "`num_levels` must be at most"),
    (
        {"family": "Binomial", "parameters": {"total_count": 9.0, "logits": "linear"}, "num_levels": 11},
        "`num_levels` must be at most",
    ),
    (
        {"family": "Normal", "parameters": LOC_SCALE, "num_components": 0},
        "`num_components` must be an integer of at least 1",
    ),
    (
        {"family": "Beta", "parameters": {"concentration1": "exp", "concentration0": 2.0}, "scale": [1.0, 2.0]},
        "the same ends at all positions",
    ),
]


@needs_tfp
@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[str(arguments) for arguments, _ in REFUSED])
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TFPHead(**arguments)


@pytest.mark.skipif(IS_THERE, reason="TensorFlow Probability is there")
def test_on_other_backends_the_error_says_what_to_do():
    expected = (RuntimeError, "none for torch") if BACKEND == "torch" else (ImportError, "tfp-nightly")
    with pytest.raises(expected[0], match=expected[1]):
        TFPHead("Normal", LOC_SCALE)


def test_the_import_is_silent_and_cheap():
    code = "import sys, keras_ar_tfp; print('tensorflow_probability' in sys.modules, 'tf_keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# Documentation.


@needs_tfp
def test_examples_run():
    names = {"keras_ar": keras_ar, "keras_ar_tfp": keras_ar_tfp, "np": np}
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(exclude_empty=True).find(tfp_head, extraglobs=names):
        runner.run(test)
    assert runner.tries
    assert runner.failures == 0


@needs_tfp
def test_the_readme_runs(tmp_path, monkeypatch):
    """Runs its code; a line that ends in `# -> value` gives that value."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", BACKEND)  # to be restored
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL))
    lines, names = code.splitlines(), {}
    for statement in ast.parse(code).body:
        expected = re.search(r"# -> (.+)", lines[statement.end_lineno - 1])
        if expected is None:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
        else:
            found = repr(eval(compile(ast.Expression(statement.value), "README.md", "eval"), names))
            assert found == expected[1]
