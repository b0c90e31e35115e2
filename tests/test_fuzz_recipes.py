"""Whatever a recipe holds, it makes a model, or is refused in words that name the key.

`make test` tries the same 60 recipes each time; `make fuzz` tries 2,000 new ones.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from keras_ar import registry
from keras_ar_cli import recipe as recipes
from keras_ar_cli import run

pytestmark = pytest.mark.one_backend

NUM_RECIPES = int(os.environ.get("KERAS_AR_FUZZ", "60"))
BASES = ("fvsbn-digits", "nade-digits", "made-digits", "pixel-cnn-digits")
KEYS = [
    *("seed", "title", "data.name", "data.binary", "data.length", "data.labels", "model.name", "model.head"),
    *("train.epochs", "train.batch_size", "train.learning_rate", "train.schedule", "train.patience", "train.average"),
    *("train.clip_norm", "train.weight_decay", "result.test_nats", "result.note"),
    *("model.units", "model.hidden_units", "model.direct", "model.dropout", "model.ordering", "model.activation"),
    *("model.filters", "model.kernel_size", "model.num_blocks", "model.condition_shape", "model.num_classes"),
    *("model.seed", "model.name_of_nothing", "model.dtype", "model.degrees", "train.nothing", "nothing", "data", ""),
]
VALUES = [
    *("0", "1", "2", "-1", "3.5", "1e400", "-0.0", "nan", "inf", "1e-30", "99999999999999999999", "true", "false"),
    *("''", "'x'", "'made'", "'digits'", "'bernoulli'", "'categorical'", "'reversed'", "'random'", "'relu'", "'ü'"),
    *("[]", "[1]", "[3, 2]", "[0]", "[-1]", "['a']", "[1.5]", "[[2]]", "[true]", "{}", "{a = 1}", "2026-11-26", "="),
    *("{name = 'normal'}", "{name = 'categorical', num_levels = 3}", "{name = 'normal', scale = -1}", "{name = 3}"),
    *("", "no quotes", "[1, 2", "'/nowhere/x.csv'", "'~nobody/x.csv'", "'.'", "'\\u0000'"),
]
SETTINGS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=3)


@settings(
    max_examples=NUM_RECIPES,
    deadline=None,
    database=None,
    derandomize="KERAS_AR_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(base=st.sampled_from(BASES), changes=SETTINGS)
def test_a_recipe_makes_a_model_or_is_refused_in_words(base, changes):
    texts = [f"{key}={value}" for key, value in changes]
    small = ["model.hidden_units=[5]"] if base == "made-digits" else []
    try:
        recipe = recipes.changed(recipes.find(base), [*small, *texts])
        assert recipes.whole(recipe, "again") == recipe, "a recipe that is whole is whole"
        data, model = run.prepare(recipe)
        run.compile_model(model, recipe["train"], steps=10)
    except (ValueError, OSError, registry.UnknownNameError, ImportError, NotImplementedError) as error:
        said = str(error)
        names = {part for key, _ in changes for part in (key, key.rpartition(".")[2], key.partition(".")[0]) if part}
        assert any(name in said for name in (*names, "--set", "head", "events", "x")), f"{texts}: {said}"
        assert "\n" not in said.strip() or len(said) < 2000, f"{texts}: {said}"
    else:
        events = run.events(data, "train", recipe["data"]["labels"] is not False)
        assert np.isfinite(model.score_samples(*(array[:2] for array in events))).all(), texts
