"""What mixed precision costs or saves on every model: KERAS_BACKEND=jax python benchmarks/precision.py [model ...]

For each model and policy one line of JSON: seconds of a training step, and of scoring, beside float32, and by how many
nats the scores of the same weights differ. Parameters and likelihoods are float32 under all policies. All run in turn
in one process, and each figure is the best of several rounds.
"""

import json
import sys

import keras
import numpy as np
from speed import NAME, best

from keras_ar import heads, models, noise

LEVELS = heads.Categorical(16)
MODELS = {
    "FVSBN 784": (lambda dtype: models.FVSBN(784, dtype=dtype), 100),
    "NADE 784/100": (lambda dtype: models.NADE(784, units=100, dtype=dtype), 50),
    "MADE 784-500-500-784": (lambda dtype: models.MADE(784, hidden_units=(500, 500), dtype=dtype), 100),
    "PixelCNN 16x16": (lambda dtype: models.PixelCNN((16, 16, 1), filters=32, num_blocks=3, dtype=dtype), 16),
    "GatedPixelCNN 16x16": (lambda dtype: models.GatedPixelCNN((16, 16, 1), filters=16, num_blocks=3, dtype=dtype), 16),
    "PixelCNNPlusPlus 8x8": (
        lambda dtype: models.PixelCNNPlusPlus((8, 8, 1), filters=16, num_resnets=1, head="bernoulli", dtype=dtype),
        16,
    ),
    "PixelRNN row 16x16": (lambda dtype: models.PixelRNN((16, 16, 1), variant="row", units=16, dtype=dtype), 16),
    "PixelRNN diagonal 16x16": (lambda dtype: models.PixelRNN((16, 16, 1), units=16, dtype=dtype), 16),
    "WaveNet 10x32": (
        lambda dtype: models.WaveNet(1024, filters=32, dilations=[2**i for i in range(10)], head=LEVELS, dtype=dtype),
        4,
    ),
    "CharRNN 128": (lambda dtype: models.CharRNN(64, vocabulary="abcdefgh", units=128, dtype=dtype), 16),
    "TransformerDecoder 2x64": (
        lambda dtype: models.TransformerDecoder(64, vocabulary="abcdefgh", units=64, num_layers=2, dtype=dtype),
        16,
    ),
    "PixelSNAIL 8x8": (
        lambda dtype: models.PixelSNAIL((8, 8, 1), filters=16, num_blocks=1, num_resnets=1, num_heads=2, dtype=dtype),
        16,
    ),
    "DeepNADE 784-200-200": (lambda dtype: models.DeepNADE(784, hidden_units=(200, 200), dtype=dtype), 100),
}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def main():
    for name in sys.argv[1:] or MODELS:
        for figure in measure(name):
            print(json.dumps({"backend": NAME, **figure}), flush=True)


def measure(name):
    """The figures of one model under each policy."""
    make, batch_size = MODELS[name]
    twins = [make(policy) for policy in POLICIES]
    (events,) = twins[0].random_batch(4 * batch_size)
    noise.randomize(twins[0])
    for model in twins:
        model.set_weights(twins[0].get_weights())
    scores = [model.score_samples(events) for model in twins]
    scoring = best(*(lambda model=model: model.score_samples(events) for model in twins), rounds=3)
    for model in twins:
        model.compile(keras.optimizers.Adam(1e-5))

    def fit(model):
        return lambda: model.fit(events, batch_size=batch_size, verbose=0)

    training = best(*map(fit, twins), rounds=3)
    for i, policy in enumerate(POLICIES):
        yield {
            "what": f"{name}, {policy}",
            "a training step, seconds": training[i] / 4,
            "beside float32": training[i] / training[0],
            "scoring beside float32": scoring[i] / scoring[0],
            "nats": float(np.mean(scores[0])),
            "largest difference of a score, nats": float(np.abs(scores[i] - scores[0]).max()),
            "is float32": scores[i].dtype == "float32" and all(v.dtype == "float32" for v in twins[i].weights),
        }


if __name__ == "__main__":
    main()
