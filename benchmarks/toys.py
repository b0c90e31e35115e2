"""Distributions on the plane: flows of ours, of zuko and of flowjax, with the same data, steps and batches.

KERAS_BACKEND=jax python benchmarks/toys.py keras_ar moons rings roll checkerboard parabola
python benchmarks/toys.py zuko moons rings roll checkerboard parabola
python benchmarks/toys.py flowjax moons rings roll checkerboard parabola
KERAS_BACKEND=jax python benchmarks/toys.py closed

Prints nats of 50,000 fresh points, which are all from the same seed. Of the checkerboard and the parabola the entropy
is known, and no model can do better: ln 8 and 3.5310 nats. `closed` trains on these two alone, among others a MADE that
has the parabola in an order in which each conditional is normal, and in the other one.
"""

import argparse
import math
import time

import numpy as np

STEPS, BATCH, RATE = 6000, 500, 2e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=[*LIBRARIES, "closed"])
    parser.add_argument("data", nargs="*", choices=[*DATA, []])
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches; the data are always the same")
    options = parser.parse_args()
    if options.library == "closed":
        return closed_forms()
    for name in options.data:
        train, test = points(name)
        start = time.perf_counter()
        nats = LIBRARIES[options.library](train, test, options.seed)
        report(f"{options.library}, {name}", nats, time.perf_counter() - start)


def points(name):
    """Training and test points; the test points are others, always the same."""
    return DATA[name](np.random.default_rng(0), STEPS * BATCH // 10), DATA[name](np.random.default_rng(1), 50_000)


def report(what, nats, seconds):
    print(f"{what}: {nats.mean():.4f} ± {nats.std() / len(nats) ** 0.5:.4f} nats, {seconds:.0f} s", flush=True)


# The distributions.


def moons(rng, count):
    upper = rng.integers(0, 2, count)
    angle = math.pi * rng.uniform(size=count)
    x, y = np.cos(angle), np.sin(angle)
    x, y = np.where(upper, x, 1 - x), np.where(upper, y, 0.5 - y)
    return _noisy(rng, np.stack([x, y], axis=1), 0.1)


def rings(rng, count):
    angle, radius = 2 * math.pi * rng.uniform(size=count), rng.choice([0.5, 1.0, 1.5], count)
    return _noisy(rng, radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.06)


def roll(rng, count):
    angle = 1.5 * math.pi * (1 + 2 * rng.uniform(size=count))
    return _noisy(rng, angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) / 6.0, 0.06)


def checkerboard(rng, count):
    """Eight unit squares: the entropy is ln 8."""
    column, row = rng.integers(0, 4, count), rng.integers(0, 2, count)
    corner = np.stack([column, 2 * row + column % 2], axis=1) - 2.0
    return (corner + rng.uniform(size=(count, 2))).astype("float32")


def parabola(rng, count):
    """Papamakarios et al., 2017, figure 1: x2 is normal of scale 2, x1 of scale 1 around x2² / 4."""
    second = 2.0 * rng.normal(size=count)
    return np.stack([0.25 * second**2 + rng.normal(size=count), second], axis=1).astype("float32")


def _noisy(rng, x, scale):
    return (x + scale * rng.normal(size=x.shape)).astype("float32")


DATA = {each.__name__: each for each in (moons, rings, roll, checkerboard, parabola)}


# The libraries: three autoregressive layers of splines with nine bins, of networks of two layers of 64 units.


def keras_ar(train, test, seed):
    import keras

    import keras_ar_flows

    keras.utils.set_random_seed(seed)
    flow = keras_ar_flows.NeuralSplineFlow(
        2, kind="autoregressive", num_layers=3, hidden_units=(64, 64), num_bins=9, bound=5.0
    )
    return -fitted(flow, train, test)


def fitted(flow, train, test):
    """Log-likelihoods of test points, after the same steps as everywhere."""
    import keras

    rate = keras.optimizers.schedules.PolynomialDecay(RATE, STEPS, 0.0)
    flow.compile(keras.optimizers.Adam(rate, global_clipnorm=5.0))
    loc, scale = train.mean(axis=0), train.std(axis=0)
    flow.fit((train - loc) / scale, batch_size=BATCH, epochs=STEPS * BATCH // len(train), verbose=0)
    return flow.score_samples((test - loc) / scale, batch_size=5000) - np.log(scale).sum()


def zuko(train, test, seed):
    import torch
    import zuko

    torch.manual_seed(seed)
    loc, scale = train.mean(axis=0), train.std(axis=0)
    x, test = torch.from_numpy((train - loc) / scale), torch.from_numpy((test - loc) / scale)
    flow = zuko.flows.NSF(2, transforms=3, bins=9, hidden_features=(64, 64))
    optimizer = torch.optim.Adam(flow.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    order = torch.randperm(len(x))
    for step in range(STEPS):
        if step * BATCH % len(x) == 0:
            order = torch.randperm(len(x))
        first = step * BATCH % len(x)
        loss = -flow().log_prob(x[order[first : first + BATCH]]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return -flow().log_prob(test).numpy() + np.log(scale).sum()


def flowjax(train, test, seed):
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax
    import paramax
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import masked_autoregressive_flow

    loc, scale = train.mean(axis=0), train.std(axis=0)
    x, test = jnp.asarray((train - loc) / scale), jnp.asarray((test - loc) / scale)
    flow = masked_autoregressive_flow(
        jax.random.key(seed),
        base_dist=Normal(jnp.zeros(2)),
        transformer=RationalQuadraticSpline(knots=8, interval=5),  # inner knots
        flow_layers=3,
        nn_width=64,
        nn_depth=2,
    )
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(optax.linear_schedule(RATE, 0.0, STEPS)))

    def log_prob(params, x):
        return paramax.unwrap(eqx.combine(params, static)).log_prob(x)

    @jax.jit
    def step(params, state, x):
        gradient = jax.grad(lambda params: -log_prob(params, x).mean())(params)
        updates, state = optimizer.update(gradient, state, params)
        return eqx.apply_updates(params, updates), state

    state, rng = optimizer.init(params), np.random.default_rng(seed)
    for i in range(STEPS):
        first = i * BATCH % len(x)
        if first == 0:
            order = rng.permutation(len(x))
        params, state = step(params, state, x[order[first : first + BATCH]])
    return -np.asarray(jax.jit(log_prob)(params, test)) + np.log(scale).sum()


LIBRARIES = {each.__name__: each for each in (keras_ar, zuko, flowjax)}


# Where the entropy is known.


def closed_forms():
    import keras_ar_flows
    from keras_ar import models

    networks = {"hidden_units": (64, 64)}
    cases = [
        ("parabola", "MADE, order (x2, x1)", models.MADE(2, head="normal", ordering="reversed", **networks)),
        ("parabola", "MADE, order (x1, x2)", models.MADE(2, head="normal", **networks)),
        ("parabola", "MAF(5), first order (x1, x2)", keras_ar_flows.MAF(2, num_layers=5, **networks)),
        ("checkerboard", "NSF, couplings", keras_ar_flows.NeuralSplineFlow(2, num_layers=5, **networks)),
        ("checkerboard", "RealNVP(10)", keras_ar_flows.RealNVP(2, num_layers=10, **networks)),
    ]
    for name, what, model in cases:
        start = time.perf_counter()
        train, test = points(name)
        # Beside the true density of the same points: an estimate of the divergence.
        report(
            f"{name}, {what}, beyond the truth",
            TRUTH[name](test) - fitted(model, train, test),
            time.perf_counter() - start,
        )


def _of_parabola(x):
    x = x.astype("float64")
    squares = (x[:, 0] - 0.25 * x[:, 1] ** 2) ** 2 + (0.5 * x[:, 1]) ** 2
    return -0.5 * squares - math.log(2 * math.pi) - math.log(2.0)


TRUTH = {"parabola": _of_parabola, "checkerboard": lambda x: np.full(len(x), -math.log(8))}


if __name__ == "__main__":
    main()
