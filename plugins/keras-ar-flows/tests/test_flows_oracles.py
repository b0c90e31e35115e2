"""What flows must equal: other libraries with the same weights, and the papers' equations in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import FlowModel, backend, heads, models, noise
from keras_ar.bijectors import Autoregressive
from keras_ar_flows import Coupling, Logit, LULinear, Planar, Radial, Shift

BACKEND = keras.backend.backend()


# zuko, with its weights.


class ZukoAffine(heads.RealHead):
    """zuko's affine map, `exp(a) x + b`, as a head."""

    num_params = 2

    def to_noise(self, params, x):
        log_slope = self._log_slope(params)
        return ops.exp(log_slope) * x + params[..., 0], log_slope

    def from_noise(self, params, z):
        log_slope = self._log_slope(params)
        return (z - params[..., 0]) * ops.exp(-log_slope), log_slope

    def _log_slope(self, params):
        return params[..., 1] / (1.0 + ops.abs(params[..., 1] / np.log(1e-3)))


class ZukoSpline(heads.RationalQuadraticSpline):
    """Our spline, through the knots and slopes that zuko makes of parameters."""

    def to_noise(self, params, x):
        return super().to_noise(self._ours(params), x)

    def from_noise(self, params, z):
        return super().from_noise(self._ours(params), z)

    def _ours(self, params):
        widths, heights, slopes = ops.split(params, [self.num_bins, 2 * self.num_bins], axis=-1)
        shares = [ops.softmax(each / (1.0 + ops.abs(2.0 * each / np.log(1e-3))), axis=-1) for each in (widths, heights)]
        slopes = ops.exp(slopes / (1.0 + ops.abs(slopes / np.log(1e-3))))
        # Of shares and slopes that are not too small, what our head would make them of.
        logits = [ops.log((share - 1e-3) / (1.0 - 1e-3 * self.num_bins)) for share in shares]
        slopes = ops.log(ops.expm1(slopes - 1e-3)) - np.log(np.expm1(1.0 - 1e-3))
        return ops.concatenate([*logits, slopes], axis=-1)


class ZukoMADE(models.MADE):
    """A MADE whose hidden units see what those of zuko's network do."""

    degrees_of_zuko = ()

    def make_hidden_degrees(self):
        return self.degrees_of_zuko


def from_zuko(transform, features, head, hidden):
    """Our MADE with the weights of one of zuko's masked autoregressive transforms, in units sorted by degree."""
    layers = [layer for layer in transform.hyper if hasattr(layer, "weight")]
    rank = np.argsort(transform.order.numpy())  # the feature of each step
    seen, sorted_units, degrees = np.arange(1, features + 1), [rank], []
    for layer in layers[:-1]:
        mask = layer.mask.numpy()[:, sorted_units[-1]]
        degree = np.array([seen[row].max() for row in mask])
        order = np.argsort(degree, kind="stable")
        sorted_units.append(order)
        seen = degree[order]
        degrees.append(seen)
    num_params = head.num_params
    outputs = (rank[:, None] * num_params + np.arange(num_params)).ravel()
    made_class = type("OfZuko", (ZukoMADE,), {"degrees_of_zuko": degrees})
    ordering = "natural" if (rank == np.arange(features)).all() else "reversed"
    made = made_class(features, hidden_units=hidden, head=head, ordering=ordering)
    for layer, ours, below, above in zip(
        layers, [*made.hidden, made.output_layer], sorted_units, [*sorted_units[1:], outputs], strict=True
    ):
        kernel = (layer.weight * layer.mask).detach().numpy()[above][:, below].T
        assert not kernel[ours.mask == 0].any()
        ours.kernel.assign(kernel)
        ours.bias.assign(layer.bias.detach().numpy()[above])
    return made


@pytest.mark.skipif(BACKEND != "torch", reason="zuko runs on torch")
@pytest.mark.parametrize("kind", ["MAF", "NSF"])
def test_masked_autoregressive_flows_are_those_of_zuko(kind):
    import torch

    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    features, hidden, bins = 5, (16, 12), {"bins": 6} if kind == "NSF" else {}
    flow = getattr(zuko.flows, kind)(features, transforms=3, hidden_features=hidden, **bins)
    for parameter in flow.parameters():
        parameter.data.mul_(2.0)
    head = ZukoSpline(6, bound=5.0) if kind == "NSF" else ZukoAffine()
    transforms = [part for part in flow.transform.transforms if hasattr(part, "hyper")]
    ours = FlowModel(
        features, bijectors=[Autoregressive(from_zuko(each, features, head, hidden)) for each in transforms]
    )
    x = 2.0 * torch.randn(200, features)
    with torch.no_grad():
        expected, z = flow().log_prob(x).numpy(), flow().transform(x)
        drawn = flow().transform.inv(z).numpy()
    np.testing.assert_allclose(ours.score_samples(x.numpy()), expected, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(ours.to_noise(x)[0]), z.numpy(), rtol=1e-4, atol=1e-4)
    back = ops.convert_to_numpy(ours.from_noise(z)[0])
    np.testing.assert_allclose(back, drawn, rtol=1e-3, atol=2e-3)


# scikit-learn.


def test_a_linear_flow_is_a_normal_distribution():
    """`LULinear`, whose matrix whitens a covariance, scores as scikit-learn does."""
    mixture = pytest.importorskip("sklearn.mixture")
    gaussian, x = fitted_gaussian(mixture)
    linear = LULinear(seed=2)
    linear(x)
    # x @ whiten has no correlations: `lower` takes the place of the factor, of the entries in the layer's order.
    whiten = np.linalg.cholesky(np.linalg.inv(gaussian.covariances_[0][np.ix_(linear.order, linear.order)])).T
    linear.log_diagonal.assign(np.log(np.diag(whiten)))
    linear.upper.assign(whiten)
    linear.bias.assign(-whiten @ gaussian.means_[0][linear.order])
    flow = FlowModel(4, bijectors=[linear])
    np.testing.assert_allclose(flow.score_samples(x), gaussian.score_samples(x), rtol=1e-4, atol=1e-4)


def test_a_masked_autoregressive_flow_of_one_linear_layer_is_a_normal_distribution():
    """A MADE of direct links alone, with the regressions of each entry on those before it."""
    mixture = pytest.importorskip("sklearn.mixture")
    gaussian, x = fitted_gaussian(mixture)
    made = models.MADE(4, hidden_units=3, head="normal", direct=True)
    # Of the Cholesky factor of the precision: noise[t] = factor[t, t] (x[t] - mean[t] + what those before it say).
    factor = np.linalg.inv(np.linalg.cholesky(gaussian.covariances_[0]))
    weights = -np.tril(factor, -1) / np.diag(factor)[:, None]
    kernel, bias = np.zeros((4, 4, 2)), np.zeros((4, 2))
    kernel[..., 0] = weights.T
    bias[:, 0] = gaussian.means_[0] - weights @ gaussian.means_[0]
    bias[:, 1] = -np.log(np.diag(factor))
    made.set_weights([np.zeros_like(weight) for weight in made.get_weights()])
    made.direct_layer.kernel.assign(kernel.reshape(4, 8))
    made.output_layer.bias.assign(bias.ravel())
    flow = FlowModel(4, bijectors=[Autoregressive(made)])
    np.testing.assert_allclose(flow.score_samples(x), gaussian.score_samples(x), rtol=1e-4, atol=1e-4)


def fitted_gaussian(mixture):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)).astype("float32")
    return mixture.GaussianMixture(1, reg_covar=0.0).fit(x.astype("float64")), x


# TensorFlow Probability.


@pytest.fixture
def tfb():
    if BACKEND != "tensorflow":
        pytest.skip("TensorFlow Probability runs on TensorFlow")
    return pytest.importorskip("tensorflow_probability").bijectors


def compare(ours, theirs, x):
    """Both ways, and the log-determinants; `theirs` maps from noise."""
    z, log_det = ours(x)
    np.testing.assert_allclose(z, theirs.inverse(x), rtol=1e-4, atol=1e-4)
    expected = theirs.inverse_log_det_jacobian(x, event_ndims=1)
    np.testing.assert_allclose(log_det, np.broadcast_to(expected, log_det.shape), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.from_noise(z)[0], theirs.forward(z), rtol=1e-4, atol=1e-4)


def test_a_coupling_is_the_real_nvp_of_tensorflow_probability(tfb):
    coupling = Coupling("half", network=(7,), head="normal")
    x = normals(20, 5)
    coupling(x)
    noise.randomize(coupling)

    def shift_and_log_scale(kept, output_units, **_):
        params = ops.reshape(coupling.output_layer(coupling.features(kept)), (-1, 2, 2))
        return params[..., 0], params[..., 1]

    compare(coupling, tfb.RealNVP(num_masked=3, shift_and_log_scale_fn=shift_and_log_scale), x)


def test_a_made_is_the_masked_autoregressive_flow_of_tensorflow_probability(tfb):
    made = models.MADE(5, hidden_units=9, head="normal")
    noise.randomize(made)

    def shift_and_log_scale(x):
        params = made(x)
        return params[..., 0], params[..., 1]

    compare(Autoregressive(made), tfb.MaskedAutoregressiveFlow(shift_and_log_scale), normals(20, 5))


def test_a_linear_layer_is_that_of_tensorflow_probability(tfb):
    linear = LULinear(seed=1)
    x = normals(20, 4)
    linear(x)
    noise.randomize(linear)
    lower, upper, diagonal = (np.array(w) for w in (linear.lower, linear.upper, linear.log_diagonal))
    packed = np.tril(lower, -1) + np.triu(upper, 1) + np.diag(np.exp(diagonal))
    theirs = tfb.Chain([tfb.Shift(np.array(linear.bias)), tfb.ScaleMatvecLU(packed, np.arange(4))])
    compare(linear, tfb.Invert(tfb.Chain([theirs, tfb.Permute(linear.order)])), x)


def test_a_logit_is_that_of_tensorflow_probability(tfb):
    x = np.random.default_rng(0).uniform(-1.0, 3.0, (20, 4)).astype("float32")
    compare(Logit(-1.0, 3.0), tfb.Sigmoid(low=-1.0, high=3.0), x)


# The papers' equations, in float64.


def test_planar_is_equation_10():
    """Rezende and Mohamed, 2015: z = x + u h(w.x + b), with u as in appendix A.1."""
    planar, x = Planar(), normals(50, 3).astype("float64")
    planar(x)
    noise.randomize(planar)
    u, w, b = (np.array(planar.vectors[name]).astype("float64") for name in ("u", "w", "b"))
    u = u + (np.log1p(np.exp(w @ u)) - 1 + 1e-3 - w @ u) * w / (w @ w)  # 0.001 of ours, that no slope be zero
    tanh = np.tanh(x @ w + b)
    z, log_det = (ops.convert_to_numpy(each) for each in planar(x))
    np.testing.assert_allclose(z, x + tanh[:, None] * u, atol=1e-5)
    np.testing.assert_allclose(log_det, np.log(np.abs(1 + (1 - tanh**2) * (w @ u))), atol=1e-5)


def test_radial_is_equation_14():
    """Z = x + beta h(alpha, r) (x - x0), with h = 1 / (alpha + r)."""
    radial, x = Radial(), normals(50, 3).astype("float64")
    radial(x)
    noise.randomize(radial)
    center, alpha, both = (np.array(radial.vectors[name]).astype("float64") for name in radial.vectors)
    alpha, both = np.log1p(np.exp(alpha)) + 1e-3, np.log1p(np.exp(both)) + 1e-3
    beta, radius = both - alpha, np.linalg.norm(x - center, axis=1)
    h, slope = 1 / (alpha + radius), -1 / (alpha + radius) ** 2
    z, log_det = (ops.convert_to_numpy(each) for each in radial(x))
    np.testing.assert_allclose(z, x + (beta * h)[:, None] * (x - center), atol=1e-5)
    expected = 2 * np.log(1 + beta * h) + np.log(1 + beta * h + beta * slope * radius)
    np.testing.assert_allclose(log_det, expected, atol=1e-5)


def test_the_inverse_of_a_planar_map_has_the_gradient_of_the_implicit_function():
    """Of x by z it is the inverse of the Jacobian of z by x."""
    planar = Planar()
    x = normals(4, 3)
    planar(x)
    noise.randomize(planar, seed=1)
    z = ops.convert_to_numpy(planar(x)[0])
    there, back = (
        jacobian.reshape(4, 3, 4, 3)[np.arange(4), :, np.arange(4)]
        for jacobian in (
            backend.jacobian(lambda x: planar.to_noise(x)[0], x),
            backend.jacobian(lambda z: planar.from_noise(z)[0], z),
        )
    )
    np.testing.assert_allclose(there @ back, np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-4)


def test_additive_couplings_stretch_nothing():
    coupling = Coupling("alternate", head=Shift(), network=(8,))
    x = normals(10, 6)
    coupling(x)
    noise.randomize(coupling)
    np.testing.assert_array_equal(ops.convert_to_numpy(coupling(x)[1]), np.zeros(10))


@pytest.mark.parametrize("side", [4, 8])
def test_a_pixel_is_given_the_part_of_a_larger_condition_that_is_at_it(side):
    coupling = Coupling("channels", network=keras.layers.Dense(5))
    x, condition = normals(1, 4, 4, 2), normals(1, side, side, 3)
    coupling(x, condition)
    noise.randomize(coupling)
    other = condition.copy()
    other[0, side // 2, side - 1] += 1.0  # in the third row of four, and the last column
    z, changed = (ops.convert_to_numpy(coupling(x, each)[0])[0] for each in (condition, other))
    assert np.argwhere((z != changed).any(axis=-1)).tolist() == [[2, 3]]


def normals(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")
