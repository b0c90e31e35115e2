"""How well hidden values are predicted: models of any order beside particles and beside what people use.

KERAS_BACKEND=jax python benchmarks/imputation.py dna.npz --preset dna-deep_nade --made hidden_units=[500]

Of test events 10, 50 and 90 % of the values are hidden at random, or with `--hole` a square of 10 by 10 pixels. Printed
are nats per hidden value, of all hidden values of an event together, and the share of hidden values that are the
predicted ones. IterativeImputer gives one number for each value: clipped, it counts as a probability.
"""

import argparse
import warnings

import keras
import matplotlib.figure
import numpy as np
from any_order import PRESETS, load, setting, trained

import keras_ar


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="an npz file")
    parser.add_argument("--preset", choices=PRESETS, metavar="NAME", help="of the model of any order")
    parser.add_argument("--model", help="a .keras file of the model of any order, in place of training")
    parser.add_argument("--made", nargs="*", type=setting, default=[], metavar="NAME=VALUE", help="arguments of MADE")
    parser.add_argument("--made-epochs", type=int, default=100)
    parser.add_argument("--events", type=int, default=1000, help="how many test events")
    parser.add_argument("--orderings", type=int, default=16)
    parser.add_argument("--hole", action="store_true", help="a square hole in images of 28 by 28, too")
    parser.add_argument("--half", action="store_true", help="train once more, with half of all values missing")
    parser.add_argument("--picture", help="a .png of images of 28 by 28 with four kinds of holes, and nothing else")
    options = parser.parse_args()
    train, _, test = load(options.data)
    test = test[np.random.default_rng(2).permutation(len(test))[: options.events]]
    preset = {name: value for name, value in PRESETS.get(options.preset, {}).items() if name != "orderings"}
    settings = preset.pop("set", {})
    model = keras_ar.load_model(options.model) if options.model else trained(train, settings=settings, **preset)
    if options.picture:
        draw(model, test, options.picture)
        return
    settings_of_made = {"ordering": "random", **dict(options.made)}
    made = trained(train, "made", settings_of_made, epochs=options.made_epochs)
    print("| hidden | independent | IterativeImputer | MADE, 64 particles (effective) | any order |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    patterns = {f"{share:.0%}": rng.random(test.shape) >= share for share in (0.1, 0.5, 0.9)}
    if options.hole:
        image = np.ones((len(test), 28, 28), "bool")
        for event, (row, column) in enumerate(rng.integers(0, 19, (len(test), 2))):
            image[event, row : row + 10, column : column + 10] = False
        patterns["10 by 10"] = image.reshape(test.shape)
    for name, known in patterns.items():
        known[known.all(axis=1), 0] = False
        found = [
            independent(train, test, known),
            iterative(train, test, known),
            by_particles(made, test, known),
            by_any_order(model, test, known, options.orderings),
        ]
        print(f"| {name} | " + " | ".join(found) + " |", flush=True)
    if test.shape[1] == 16:
        print(pairs(model, train))
    if options.half:
        nats = score(model, test, options.orderings)
        holes = np.where(np.random.default_rng(1).random(train.shape) < 0.5, np.nan, train).astype("float32")
        del model
        keras.backend.clear_session()
        half = score(trained(holes, settings=settings, **preset), test, options.orderings)
        print(f"trained on all values {nats:.2f} nats, with half of them missing {half:.2f}: {half / nats - 1:+.1%}")


def draw(model, test, path):
    """A picture of four kinds of holes in two images each, five times completed."""
    known = np.ones((8, 28, 28), "bool")
    known[0:2, 9:19, 9:19] = False
    known[2:4, :, 14:] = False
    known[4:6] = np.random.default_rng(3).random((2, 28, 28)) < 0.1
    known[6:8, 14:] = False
    completed = model.complete(test[:8], known.reshape(8, -1), num_draws=5, seed=1, ordering="random")
    images = (each.reshape(*each.shape[:-1], 28, 28, 1) for each in (test[:8], known.reshape(8, -1), completed))
    title = "The truth, what is known, and five completions"
    figure = matplotlib.figure.Figure((7, 6.2), layout="constrained")
    keras_ar.plots.completions(*images, num_levels=2, title=title, ax=figure.subplots())
    figure.savefig(path)


def score(model, test, count):
    return -model.score_samples(test, num_orderings=count).mean()


def row(nats, right, more=""):
    return f"{nats:.3f}, {100 * right:.1f} %{more}"


def independent(train, test, known):
    """Each value by the frequency of its column."""
    p = (train.sum(axis=0) + 0.5) / (len(train) + 1)
    return of_probabilities(np.broadcast_to(p, test.shape), test, known)


def of_probabilities(p, test, known):
    hidden = ~known
    nats = -np.where(test == 1, np.log(p), np.log1p(-p))
    per_event = np.where(hidden, nats, 0).sum(axis=1) / hidden.sum(axis=1)
    return row(per_event.mean(), ((p > 0.5) == test)[hidden].mean())


def iterative(train, test, known):
    """Linear regressions of each column on the others, in turn, by scikit-learn."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    imputer = IterativeImputer(max_iter=10, n_nearest_features=min(50, test.shape[1] - 1), random_state=0)
    rng = np.random.default_rng(0)
    some = train[rng.permutation(len(train))[:2000]].astype("float64")
    some[rng.random(some.shape) < (~known).mean()] = np.nan  # it learns from as many holes as it will see
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        imputer.fit(some)
        p = imputer.transform(np.where(known, test, np.nan))
    if p.shape != test.shape:
        return "a column is empty"
    return of_probabilities(p.clip(0.01, 0.99), test, known)


def by_particles(made, test, known):
    """A MADE of one order: what is known, and all, by 64 particles; predicted is what most of 25 draws hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few particles are effective
        marginal = made.score_samples(test, known=known, num_particles=64)
        options = {"num_particles": 64, "num_draws": 25, "seed": 0, "return_effective_size": True}
        draws, sizes = made.complete(test, known, **options)
    nats = (marginal - made.score_samples(test)) / (~known).sum(axis=1)
    right = ((draws.mean(axis=0) > 0.5) == test)[~known].mean()
    return row(nats.mean(), right, f" ({np.median(sizes):.0f})")


def by_any_order(model, test, known, count):
    given = -model.score_samples(test, given=known, num_orderings=count) / (~known).sum(axis=1)
    logits = model.conditionals_of(test, known)[..., 0]
    right = ((logits > 0) == test)[~known].mean()
    return row(given.mean(), right)


def pairs(model, train):
    """All pairs of 16 columns: their scores beside sums over all events, and beside the data."""
    every = (np.arange(2**16)[:, None] >> np.arange(16) & 1).astype("uint8")
    error, natural, distance = 0.0, 0.0, 0.0
    joint = np.exp(model.score_samples(every, batch_size=4096).astype("float64"))
    for i in range(16):
        for j in range(i):
            known = np.isin(np.arange(16), (i, j))
            order = np.concatenate([[i, j], np.flatnonzero(~known)])
            in_order = np.exp(model.score_samples(every, ordering=order, batch_size=4096).astype("float64"))
            cells = every[:, i] * 2 + every[:, j]
            sums, of_natural = (np.bincount(cells, of) for of in (in_order, joint))
            four = np.zeros((4, 16), "uint8")
            four[:, i], four[:, j] = (0, 0, 1, 1), (0, 1, 0, 1)
            found = np.exp(model.score_samples(four, known=known, ordering=order).astype("float64"))
            counted = np.bincount(train[:, i] * 2 + train[:, j], minlength=4) / len(train)
            error = max(error, np.abs(found - sums).max())
            natural = max(natural, np.abs(found - of_natural).max())
            distance = max(distance, np.abs(found - counted).max())
    return (
        f"120 pairs: at most {error:.1e} from the sum over all events in the order that begins with them, "
        f"{natural:.3f} from that in the natural order, {distance:.3f} from the frequencies of the training part"
    )


if __name__ == "__main__":
    main()
