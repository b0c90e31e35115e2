"""Trains a variational autoencoder within a budget of processor time, and reports bounds of its likelihood.

KERAS_BACKEND=jax python benchmarks/latent.py nltcs.npz --latent 8 --units 200 200 --core-minutes 3
KERAS_BACKEND=tensorflow python benchmarks/latent.py binarized_mnist.npz --flow iaf --convolutions --units 256 ...
KERAS_BACKEND=tensorflow python benchmarks/latent.py binarized_mnist.npz --start FILE --objective iwae --num-draws 50
KERAS_BACKEND=jax python benchmarks/latent.py digits --model pixel_vae --warm-up 20 --core-minutes 10

The data are what `keras_ar.datasets.load` takes, a name or a path. The learning rate falls to zero along a cosine over
the budget, which is counted in minutes of processor time over all cores. The weights are those of the epoch that is
best on `valid`, by a bound of one guess for each event, the same ones each time. `test` is scored once, at the end.
"""

import argparse
import json
import math

import keras
import numpy as np
from images import fit

import keras_ar
import keras_ar_latent
from keras_ar.bijectors import Autoregressive, Inverse, Permute


def main():
    options = parse_options()
    keras.utils.set_random_seed(options.seed)
    data = keras_ar.datasets.load(options.data)
    train, valid, test = data.train, data.valid, data.test
    model = make(options, train.shape[1:], data.num_levels)
    if options.bias and options.model == "vae" and options.decoder == "factorized" and not options.convolutions:
        start_from_means(model, train)
    start_near_identity(model)
    if options.start:
        model.set_weights(keras_ar.load_model(options.start).get_weights())
    model.compile(keras.optimizers.AdamW(options.learning_rate, weight_decay=options.weight_decay))
    is_warmed_up = options.warm_up and options.objective == "elbo"
    callbacks = [keras_ar_latent.KLWarmUp(options.warm_up)] if is_warmed_up else []
    history, took = fit(model, train, valid, options, options.epochs, callbacks)

    bounds = {str(n): -model.score_samples(test, num_draws=n, seed=1).astype("float64") for n in options.test_draws}
    result = {
        **took,
        **{name: min(history["val_loss"]) if name == "val_loss" else history[name][-1] for name in sorted(history)},
        "test_nats_at_most": {n: nats.mean() for n, nats in bounds.items()},
        "standard_errors": {n: nats.std() / math.sqrt(len(test)) for n, nats in bounds.items()},
        "bits_per_dim_at_most": {n: nats.mean() / (model.num_dims * math.log(2)) for n, nats in bounds.items()},
    }
    print(json.dumps({**result, "settings": vars(options), "backend": keras.backend.backend()}), flush=True)
    if options.save:
        model.save(options.save)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a name or a path that `keras_ar.datasets.load` takes")
    parser.add_argument("--model", default="vae", choices=["vae", "pixel_vae"])
    parser.add_argument("--latent", type=int, default=32, help="latent variables")
    parser.add_argument("--units", type=int, nargs="+", default=[400], help="hidden units of encoder and decoder")
    parser.add_argument("--decoder", default="factorized", choices=["factorized", "fvsbn", "made"])
    parser.add_argument("--convolutions", action="store_true", help="in encoder and decoder, of images of bits")
    parser.add_argument("--filters", type=int, default=32, help="features of a PixelVAE, or of convolutions")
    parser.add_argument("--num-blocks", type=int, default=1, help="blocks of the decoder of a PixelVAE")
    parser.add_argument("--dropout", type=float, default=0.0, help="rate in the encoder, and in a dense decoder")
    parser.add_argument("--flow", default="none", choices=["none", "iaf", "planar"], help="what bends the posterior")
    parser.add_argument("--num-flows", type=int, default=2)
    parser.add_argument("--flow-units", type=int, nargs="+", default=[320])
    parser.add_argument("--objective", default="elbo", choices=["elbo", "iwae"])
    parser.add_argument("--num-draws", type=int, default=1, help="guesses for each event in training")
    parser.add_argument("--free-bits", type=float, default=0.0)
    parser.add_argument("--warm-up", type=int, default=0, metavar="EPOCHS", help="of the divergence")
    parser.add_argument("--no-bias", dest="bias", action="store_false", help="do not start from the means of values")
    parser.add_argument("--start", help="a .keras file with weights to start from: those of another objective")
    parser.add_argument("--core-minutes", type=float, default=math.inf)
    parser.add_argument("--epochs", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--test-draws", type=int, nargs="+", default=[1, 5, 100], help="guesses for each test event")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a .keras file for the trained model")
    options = parser.parse_args()
    if options.convolutions and (options.model, options.decoder) != ("vae", "factorized"):
        parser.error("--convolutions is for a VAE with a factorized decoder")
    return options


def make(options, event_shape, num_levels):
    """The model, by the options."""
    head = "bernoulli" if num_levels == 2 else keras_ar.heads.Categorical(num_levels)
    common = {"objective": options.objective, "num_draws": options.num_draws, "free_bits": options.free_bits}
    if options.model == "pixel_vae":
        return keras_ar_latent.PixelVAE(
            event_shape,
            latent_dims=options.latent,
            filters=options.filters,
            num_blocks=options.num_blocks,
            posterior=flow(options, 8 * options.latent),
            head=head,
            **common,
        )
    networks = {} if options.decoder == "fvsbn" else {"hidden_units": options.units[::-1], "dropout": options.dropout}
    if options.convolutions:
        networks = {"network": growing(event_shape, options)}
    decoder = keras_ar.models.get(
        options.decoder, event_shape=event_shape, head=head, condition_shape=options.latent, name="decoder", **networks
    )
    return keras_ar_latent.VAE(
        event_shape,
        latent_shape=options.latent,
        encoder=shrinking(options),
        posterior=flow(options, options.units[-1]),
        decoder=decoder,
        **common,
    )


def shrinking(options):
    """The encoder: dense, or two convolutions, each of which halves rows and columns, before what is dense."""
    layers = keras.layers
    found = [layers.Flatten()]
    if options.convolutions:
        first, second = (layers.Conv2D(n * options.filters, 5, 2, "same", activation="relu") for n in (1, 2))
        found = [first, second, layers.Flatten()]
    for units in options.units:
        found += [layers.Dense(units, activation="relu"), layers.Dropout(options.dropout)]
    return keras.Sequential(found, name="encoder")


def growing(event_shape, options):
    """The network of the decoder of images of bits, the encoder turned round."""
    layers = keras.layers
    small = (*(size // 4 for size in event_shape[:2]), 2 * options.filters)
    return keras.Sequential(
        [
            *(layers.Dense(units, activation="relu") for units in [*options.units[::-1], math.prod(small)]),
            layers.Reshape(small),
            layers.Conv2DTranspose(options.filters, 5, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 5, 2, "same"),
        ],
        name="growing",
    )


def flow(options, features):
    """The bijectors of the posterior, given the number of features of the encoder."""
    if options.flow == "planar":
        return ["keras-ar-flows:planar" for _ in range(options.num_flows)]
    layers = []
    for i in range(options.num_flows if options.flow == "iaf" else 0):
        made = keras_ar.models.MADE(
            options.latent,
            hidden_units=options.flow_units,
            head="normal",
            condition_shape=features,
            name=f"posterior_made_{i}",
        )
        layers += [Inverse(Autoregressive(made)), Permute("reversed")]
    return layers


def start_near_identity(model):
    """Makes all but the last bijector of the posterior small: a flow that begins with wild maps loses the features."""
    for bijector in model.posterior.bijectors[:-1]:
        for weight in bijector.weights:
            if "/output/" in weight.path:
                weight.assign(0.1 * weight)


def start_from_means(model, train):
    """Sets the bias of a decoder of bits to the frequencies of the values in the data."""
    if model.support.num_levels == 2:
        means = train.reshape(len(train), -1).mean(axis=0).clip(1e-3, 1 - 1e-3)
        model.decoder.output_layer.bias.assign(np.log(means / (1 - means)))


if __name__ == "__main__":
    main()
