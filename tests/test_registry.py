"""What the registry promises, checked against distributions made up on the spot."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import keras
import pytest

import keras_ar
from keras_ar import registry
from keras_ar.__main__ import main

pytestmark = pytest.mark.one_backend  # names are found in packaging metadata, whatever computes

LAYERS = '''
import keras

@keras.saving.register_keras_serializable(package="acme_ar")
class Shiny(keras.layers.Layer):
    """Adds a constant."""

    def __init__(self, shine=1.0, **kwargs):
        super().__init__(**kwargs)
        self.shine = shine

    def call(self, x):
        return x + self.shine

    def get_config(self):
        return {**super().get_config(), "shine": self.shine}

@keras.saving.register_keras_serializable(package="acme_ar")
class Whole(keras.Model):
    """A model, whose own part is no entry point."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.part = Unlisted()

    def build(self, input_shape):
        self.part.build(input_shape)

    def call(self, x):
        return self.part(x)

@keras.saving.register_keras_serializable(package="acme_ar")
class Unlisted(keras.layers.Layer):
    """A layer that no entry point names."""

    def call(self, x):
        return 2.0 * x
'''

# What a package looks like after it has renamed `Shiny` to `Bright`, and its argument `shine` to `brightness`.
RENAMED = '''
import keras

@keras.saving.register_keras_serializable(package="acme_ar")
class Bright(keras.layers.Layer):
    """Adds a constant."""

    def __init__(self, brightness=1.0, **kwargs):
        super().__init__(**kwargs)
        self.brightness = brightness

    def call(self, x):
        return x + self.brightness

    def get_config(self):
        return {**super().get_config(), "brightness": self.brightness}

    @classmethod
    def from_config(cls, config):
        if "shine" in config:
            config = {**config, "brightness": config["shine"]}
            del config["shine"]
        return cls(**config)

@keras.saving.register_keras_serializable(package="acme_ar")
class Shiny(Bright):
    """The name of `Bright` in files of version 1."""
'''

HEADS = """
import keras
from keras_ar.heads.head import Head

@keras.saving.register_keras_serializable(package="acme_ar")
class Plain(Head):
    pass
"""

UNREGISTERED = "import keras\nclass Bad(keras.layers.Layer): pass"
ELSEWHERE = f"{UNREGISTERED}\nkeras.saving.register_keras_serializable(package='acme')(Bad)"

SHINY = {"layers": {"shiny": "acme_ar.layers:Shiny"}}


class Site:
    """A folder on `sys.path` that distributions are installed into."""

    def __init__(self, path):
        self.path = path

    def install(self, distribution, entry_points, version="1.0", modules=None):
        """Writes what pip would: packages, and a `.dist-info` folder."""
        for name, source in (modules or {}).items():
            module = self.path.joinpath(*name.split(".")).with_suffix(".py")
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(source)
        metadata = self._metadata(distribution, version)
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        packages = {name.partition(".")[0] for name in modules or {}}
        (metadata / "top_level.txt").write_text("\n".join(sorted(packages)))
        lines = []
        for group, points in entry_points.items():
            header = group if "." in group else f"keras_ar.{group}"
            lines += [f"[{header}]", *(f"{name} = {target}" for name, target in points.items())]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        registry.refresh()

    def uninstall(self, distribution, version="1.0"):
        """Removes the metadata, as pip would."""
        shutil.rmtree(self._metadata(distribution, version))
        registry.refresh()

    def _metadata(self, distribution, version):
        return self.path / f"{distribution}-{version}.dist-info"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site that leaves nothing behind: no module, no class, no environment variable."""
    classes = keras.saving.get_custom_objects()
    classes_before, modules_before = dict(classes), set(sys.modules)
    monkeypatch.delenv("KERAS_AR_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    monkeypatch.undo()
    for name in set(sys.modules) - modules_before:
        if name.startswith("acme"):
            del sys.modules[name]
    classes.clear()
    classes.update(classes_before)
    registry.refresh()


def python(code, site):
    """Runs code in a fresh interpreter that sees the site."""
    environment = {**os.environ, "PYTHONPATH": str(site.path)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


# Names


@pytest.mark.parametrize("kind", registry.KINDS)
def test_ours_stand_first_in_each_kind(kind, site):
    site.install("aaa-ar", {kind: {"aaa": "acme_ar:Shiny"}})
    distributions = [entry.distribution for entry in registry.entries(kind)]
    ours = distributions.count("keras-ar")
    assert distributions[:ours] == ["keras-ar"] * ours
    assert "aaa-ar" in distributions[ours:]


def test_entries_of_no_kind_are_all_entries():
    assert registry.entries() == [entry for kind in registry.KINDS for entry in registry.entries(kind)]


def test_a_bare_name_means_ours(site):
    site.install("aaa-ar", {"models": {"made": "acme_ar.models:MADE"}})
    assert registry.find("models", "made").target == "keras_ar.models.made:MADE"
    assert registry.find("models", "aaa-ar:made").target == "acme_ar.models:MADE"


def test_a_bare_name_means_the_one_plugin_that_has_it(site):
    site.install("acme-ar", SHINY, version="2.3")
    entry = registry.find("layers", "shiny")
    assert entry == registry.Entry("layers", "shiny", "acme_ar.layers:Shiny", "acme-ar", "2.3")


def test_a_name_of_two_plugins_asks_which(site):
    site.install("acme-ar", SHINY)
    site.install("zeta-ar", {"layers": {"shiny": "zeta_ar:Shiny"}})
    with pytest.raises(registry.AmbiguousNameError, match="'acme-ar:shiny' or 'zeta-ar:shiny'"):
        registry.find("layers", "shiny")
    assert registry.find("layers", "zeta-ar:shiny").target == "zeta_ar:Shiny"


def test_distributions_are_named_in_any_spelling(site):
    site.install("Acme_AR", SHINY)
    assert registry.find("layers", "acme.ar:shiny").qualified_name == "acme-ar:shiny"


def test_a_distribution_found_twice_is_listed_once(site, tmp_path, monkeypatch):
    site.install("acme-ar", SHINY)
    monkeypatch.syspath_prepend(tmp_path / "again")
    (tmp_path / "again").mkdir()
    Site(tmp_path / "again").install("Acme.AR", SHINY)
    assert [entry.name for entry in registry.entries("layers")].count("shiny") == 1


def test_refresh_sees_what_is_installed_and_uninstalled_meanwhile(site):
    site.install("acme-ar", SHINY)
    assert registry.find("layers", "shiny")
    assert "acme_ar>Shiny" in keras.saving.get_custom_objects()
    site.uninstall("acme-ar")
    assert "acme_ar>Shiny" not in keras.saving.get_custom_objects()
    with pytest.raises(registry.UnknownNameError):
        registry.find("layers", "shiny")


def test_an_unknown_name_suggests_near_ones(site):
    site.install("acme-ar", SHINY)
    with pytest.raises(registry.UnknownNameError, match=r"Unknown model 'MAED'\. Did you mean 'made'\?"):
        registry.find("models", "MAED")
    with pytest.raises(registry.UnknownNameError, match=r"Did you mean 'shiny'\? Known layers: .*acme-ar:shiny"):
        registry.find("layers", "shinny")


def test_a_distribution_without_that_name_is_an_unknown_name(site):
    site.install("acme-ar", SHINY)
    with pytest.raises(registry.UnknownNameError, match="'acme-ar:made'"):
        registry.find("models", "acme-ar:made")


# Trained models


def trained(site, name="coin", distribution="acme-zoo", package="acme_zoo"):
    """Installs a distribution with one trained model; returns its folder."""
    folder = site.path / package / name
    folder.mkdir(parents=True)
    (site.path / package / "__init__.py").write_text("raise RuntimeError('nobody needs this module')")
    keras_ar.models.FVSBN(2).save(folder / "model.keras")
    digest = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    (folder / "metrics.json").write_text(json.dumps({"sha256": digest}))
    (folder / "README.md").write_text("# A coin")
    site.install(distribution, {"zoo": {name: f"{package}.{name}"}})
    return folder


def test_a_trained_model_is_found_by_its_name_and_imports_nothing(site):
    folder = trained(site)
    entry = registry.find(registry.ZOO, "coin")
    assert (entry.folder, entry.qualified_name) == (folder, "acme-zoo:coin")
    assert entry in registry.entries("zoo")
    assert entry not in registry.entries()
    assert "coin" in keras_ar.zoo.names()
    assert keras_ar.load("acme-zoo:coin").event_shape == (2,)
    assert keras_ar.zoo.card("coin") == "# A coin"
    assert "acme_zoo" not in sys.modules


def test_trained_models_of_two_distributions_are_told_apart(site):
    trained(site)
    trained(site, distribution="zeta-zoo", package="zeta_zoo")
    with pytest.raises(registry.AmbiguousNameError, match=r"trained model named 'coin'\. Use 'acme-zoo:coin' or 'zeta"):
        keras_ar.load("coin")
    assert {"acme-zoo:coin", "zeta-zoo:coin"} <= set(keras_ar.zoo.names())


def test_a_trained_model_with_other_bytes_is_damaged(site):
    folder = trained(site)
    with (folder / "model.keras").open("ab") as file:
        file.write(b"0")
    with pytest.raises(ValueError, match=r"model.keras' is damaged: its SHA-256 must be "):
        keras_ar.load("coin")


def test_a_trained_model_whose_folder_is_gone_is_named(site):
    shutil.rmtree(trained(site))
    with pytest.raises(registry.PluginError, match=r"Cannot find the folder of the trained model 'coin'.*of acme-zoo"):
        keras_ar.load("coin")
    with pytest.raises(registry.PluginError, match="Cannot find the folder of the model 'made'"):
        _ = registry.find("models", "made").folder


def test_trained_models_of_hidden_distributions_are_hidden(site, monkeypatch):
    trained(site)
    monkeypatch.setenv("KERAS_AR_PLUGINS", "")
    with pytest.raises(registry.UnknownNameError, match=r"Known trained models: none.*hides the plugins of acme-zoo"):
        keras_ar.load("coin")


def test_without_any_trained_models_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [importlib.metadata.distribution("keras-ar")])
    registry.refresh()
    with pytest.raises(registry.UnknownNameError, match="pip install keras-ar-zoo"):
        keras_ar.load("made-digits")
    monkeypatch.undo()
    registry.refresh()


def test_a_trained_model_is_no_component(site):
    trained(site)
    with pytest.raises(ValueError, match="`kind` must be one of 'layers'"):
        registry.get("zoo", "coin")
    with pytest.raises(registry.PluginError, match=r"It is a trained model: `keras_ar\.load` opens it"):
        registry.find("zoo", "coin").load()


def test_keras_layers_are_not_ours_to_find():
    with pytest.raises(registry.UnknownNameError, match="Unknown layer 'Dense'"):
        registry.find("layers", "Dense")


@pytest.mark.parametrize("look_up", [registry.entries, lambda kind: registry.find(kind, "made")])
def test_an_unknown_kind_names_the_kinds(look_up):
    with pytest.raises(
        ValueError,
        match=r"`kind` must be one of 'layers', 'heads', 'bijectors', 'models', 'zoo'. Received: kind='model'",
    ):
        look_up("model")


def test_without_installation_the_error_asks_for_it(site, monkeypatch):
    site.install("acme-ar", SHINY)
    theirs = [found for found in importlib.metadata.distributions() if found.name == "acme-ar"]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: theirs)
    registry.refresh()
    with pytest.raises(registry.UnknownNameError, match=r"keras-ar is only on sys.path"):
        registry.find("models", "made")


# KERAS_AR_PLUGINS


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (None, {"acme-ar", "zeta-ar"}),
        ("", set()),
        ("Acme_AR", {"acme-ar"}),
        ("zeta-ar, acme-ar", {"acme-ar", "zeta-ar"}),
    ],
)
def test_an_environment_variable_says_whose_plugins_count(value, seen, site, monkeypatch):
    if value is not None:
        monkeypatch.setenv("KERAS_AR_PLUGINS", value)
    site.install("acme-ar", SHINY)
    site.install("zeta-ar", {"layers": {"dull": "zeta_ar:Dull"}})
    found = {entry.distribution for entry in registry.entries("layers")}
    assert found & {"keras-ar", "acme-ar", "zeta-ar"} == {"keras-ar"} | seen
    assert ("zeta_ar>Dull" in keras.saving.get_custom_objects()) == ("zeta-ar" in seen)


def test_an_unknown_name_mentions_what_the_environment_variable_hides(site, monkeypatch):
    site.install("acme-ar", SHINY)
    monkeypatch.setenv("KERAS_AR_PLUGINS", "zeta-ar")
    with pytest.raises(registry.UnknownNameError, match="KERAS_AR_PLUGINS='zeta-ar' hides the plugins of acme-ar"):
        registry.find("layers", "shiny")


# Broken plugins


@pytest.mark.parametrize(
    ("target", "source", "cause"),
    [
        ("acme_bad:Bad", None, "No module named 'acme_bad'"),
        ("acme_bad:Bad", "import no_such_dependency", "No module named 'no_such_dependency'"),
        ("acme_bad:Bad", "raise TypeError('boom')", "TypeError: boom"),
        ("acme_bad:Bad", "raise SystemExit('bye')", "SystemExit: bye"),
        ("acme_bad:Bad", "def Bad(: pass", "invalid syntax"),
        ("acme_bad:Bad", "", "no attribute 'Bad'"),
        ("acme_bad:Bad", "Bad = 3", "must be a class"),
        ("acme_bad:Bad", "class Bad: pass", "must be a subclass of .*Layer"),
        ("acme_bad", "", "must read 'package.module:Class'"),
        ("acme_bad:Bad", UNREGISTERED, r'write `@keras.*\(package="acme_bad"\)` above the class Bad.* not registered'),
        ("acme_bad:Bad", ELSEWHERE, r"registered with Keras as 'acme_bad>Bad'.* it is registered as 'acme>Bad'"),
    ],
)
def test_a_broken_plugin_breaks_only_its_own_name(target, source, cause, site):
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": LAYERS})
    site.install("acme-bad", {"layers": {"bad": target}}, "0.7", {} if source is None else {"acme_bad": source})
    entry = registry.find("layers", "bad")
    with pytest.raises(registry.PluginError, match=cause) as raised:
        entry.load()
    assert f"the layer 'bad' (entry point {target!r} of acme-bad 0.7)" in str(raised.value)
    assert raised.value.__cause__ is not None
    assert registry.find("layers", "shiny").load().__name__ == "Shiny"


def test_unreadable_metadata_of_one_package_is_passed_over(site):
    site.install("acme-ar", SHINY)
    site.install("acme-bad", {"layers": {"bad": "acme_bad:Bad"}})
    (site.path / "acme-bad-1.0.dist-info" / "entry_points.txt").write_text("[keras_ar.layers]\nno equals sign")
    registry.refresh()
    assert registry.find("layers", "shiny")


# Misspelt groups


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("keras_ar.head", "Did you mean 'keras_ar.heads'"),
        ("keras_ar.model", "Did you mean 'keras_ar.models'"),
        ("keras-ar.bijectors", "Did you mean 'keras_ar.bijectors'"),
        ("Keras_AR.Layer", "Did you mean 'keras_ar.layers'"),
        ("keras_ar.mine", "There are 'keras_ar.layers', 'keras_ar.heads', 'keras_ar.bijectors', 'keras_ar.models'"),
    ],
)
def test_a_misspelt_group_is_warned_of(group, meant, site):
    with pytest.warns(UserWarning, match=rf"acme-ar 1.0 has entry points in the group '{group}'.*{meant}"):
        site.install("acme-ar", {group: {"plain": "acme_ar.heads:Plain"}})


@pytest.mark.parametrize("group", ["keras_ar.heads", "keras_ar_zoo.models", "keras_ar.bijectors", "acme.layers"])
def test_other_groups_are_nobodys_mistake(group, site, recwarn):
    site.install("acme-ar", {group: {"plain": "acme_ar.heads:Plain"}})
    assert not recwarn.list


def test_a_misspelt_group_of_a_disabled_plugin_is_not_warned_of(site, monkeypatch, recwarn):
    monkeypatch.setenv("KERAS_AR_PLUGINS", "")
    site.install("acme-ar", {"keras_ar.head": {"plain": "acme_ar.heads:Plain"}})
    assert not recwarn.list


# Making components


def test_a_component_is_made_from_a_name_a_class_a_config_or_itself(site):
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": LAYERS})
    layer = registry.get("layers", "acme-ar:shiny", shine=3.0)
    assert registry.get("layers", layer) is layer
    assert registry.get("layers", type(layer), shine=3.0).shine == 3.0
    assert registry.get("layers", {"class_name": "shiny", "config": {"shine": 3.0}}).shine == 3.0
    assert registry.get("layers", {"class_name": "shiny"}).shine == 1.0
    assert registry.get("layers", keras.saving.serialize_keras_object(layer)).shine == 3.0


def test_a_config_of_a_keras_layer_is_left_to_keras():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(3))
    assert registry.get("layers", config).units == 3


@pytest.mark.parametrize(
    "identifier", [3, None, object, keras.losses.MeanSquaredError, {"units": 3}, {"class_name": 3}]
)
def test_what_describes_no_component_is_named(identifier):
    with pytest.raises(ValueError, match="`head` must be a name, a config, a class or an instance of a head"):
        registry.get("heads", identifier)


def test_a_config_of_another_kind_is_refused():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"an instance of a head .* Received: <Dense"):
        registry.get("heads", config)


def test_arguments_for_something_made_already_are_refused():
    with pytest.raises(ValueError, match=r"Arguments can only go with the name or the class .* and units"):
        registry.get("layers", keras.layers.Dense(3), units=4)


@pytest.mark.parametrize(
    "config", [{"class_name": "shiny"}, {"class_name": "Shiny", "registered_name": "acme_ar>Shiny"}]
)
def test_a_config_that_does_not_fit_is_no_type_error(config, site):
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": LAYERS})
    with pytest.raises(ValueError, match=r"Cannot make a layer from the config .*glitter"):
        registry.get("layers", {**config, "config": {"glitter": 3.0}})


def test_a_config_of_an_unknown_class_says_what_to_install():
    config = {"module": "acme_ar.heads", "class_name": "Plain", "config": {}, "registered_name": "acme_ar>Plain"}
    with pytest.raises(registry.UnknownNameError, match=r"'Plain' of the package 'acme_ar': install .*") as raised:
        registry.get("heads", config)
    assert "install the distribution that provides the module 'acme_ar'" in str(raised.value)
    assert "pip" not in str(raised.value)  # anybody may have taken that name on PyPI


def test_a_config_of_a_hidden_plugin_says_what_hides_it(site, monkeypatch):
    monkeypatch.setenv("KERAS_AR_PLUGINS", "")
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": LAYERS})
    with pytest.raises(registry.UnknownNameError, match="KERAS_AR_PLUGINS='' hides the plugins of acme-ar"):
        registry.load_classes({"registered_name": "acme_ar>Shiny"})


@pytest.mark.parametrize("registered_name", ["Custom>Mine", "my models>Mine"])
def test_nothing_is_to_be_installed_for_a_class_without_package(registered_name):
    with pytest.raises(registry.UnknownNameError, match="import the module that registers it first"):
        registry.load_classes([{"registered_name": registered_name}])


def test_a_class_that_an_installed_distribution_lacks_asks_for_its_upgrade(site):
    site.install("Acme_Plugin", {}, modules={"acme_ar.layers": LAYERS})
    with pytest.raises(registry.UnknownNameError, match=r"acme-plugin, which is installed and provides .* Upgrade it"):
        registry.load_classes({"registered_name": "acme_ar>NotYet"})
    with pytest.raises(registry.UnknownNameError, match=r"keras-ar, which is installed and provides .* Upgrade it"):
        registry.load_classes({"registered_name": "keras_ar>NotYet"})


def test_a_class_of_a_module_that_no_distribution_provides_is_to_be_registered(site):
    (site.path / "acme_loose.py").write_text("")
    with pytest.raises(registry.UnknownNameError, match=r"has no entry point for it\. Import what registers the class"):
        registry.load_classes({"registered_name": "acme_loose>Mine"})


# Saved files


def test_scanning_runs_no_plugin_code(site):
    site.install("acme-ar", SHINY, modules={"acme_ar.__init__": "raise SystemExit", "acme_ar.layers": LAYERS})
    assert registry.find("layers", "shiny")
    assert not any(name.startswith("acme_ar") for name in sys.modules)


def test_keras_finds_a_head_of_a_plugin(site):
    site.install("acme-ar", {"heads": {"plain": "acme_ar.heads:Plain"}}, modules={"acme_ar.heads": HEADS})
    head = keras.saving.deserialize_keras_object(
        {"module": "anything", "class_name": "Plain", "config": {}, "registered_name": "acme_ar>Plain"}
    )
    assert type(head).__module__ == "acme_ar.heads"
    assert keras.saving.get_registered_object("acme_ar>Plain") is type(head)


def test_a_class_that_is_known_already_is_left_alone(site):
    known = keras.saving.get_custom_objects()["acme_ar>Shiny"] = keras.layers.ReLU
    site.install("acme-ar", SHINY)
    assert keras.saving.get_custom_objects()["acme_ar>Shiny"] is known


def test_a_config_cannot_name_a_module_to_import(site):
    site.install("acme-ar", {}, modules={"acme_ar.layers": LAYERS})
    config = {"module": "acme_ar.layers", "class_name": "Shiny", "config": {}, "registered_name": "acme_ar>Shiny"}
    with pytest.raises(registry.UnknownNameError, match=r"acme-ar, .* has no entry point for it\. Upgrade it"):
        registry.get("layers", config)
    assert "acme_ar.layers" not in sys.modules


def test_keras_reports_a_broken_plugin_as_such(site):
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": "raise TypeError('boom')"})
    config = {"module": "acme_ar", "class_name": "Shiny", "config": {}, "registered_name": "acme_ar>Shiny"}
    with pytest.raises(registry.PluginError, match=r"of acme-ar 1.0.*boom"):
        keras.layers.deserialize(config)


def test_plain_keras_opens_a_file_in_a_fresh_process_and_imports_just_its_plugin(site):
    points = {"layers": {"shiny": "acme_ar.layers:Shiny", "whole": "acme_ar.layers:Whole"}}
    site.install("acme-ar", points, modules={"acme_ar.layers": LAYERS})
    site.install("acme-bad", {"layers": {"bad": "acme_bad:Bad"}}, modules={"acme_bad": "raise SystemExit"})
    shiny, whole = registry.find("layers", "shiny").load(), registry.find("layers", "whole").load()
    keras.Sequential([keras.Input((2,)), shiny(3.0)]).save(site.path / "nested.keras")
    model = whole()
    model.build((None, 2))
    model.save(site.path / "whole.keras")
    output = python(
        f"""
import sys, keras, keras_ar, numpy as np
assert not [name for name in sys.modules if name.startswith("acme")]
for file in ("nested.keras", "whole.keras"):
    model = keras.saving.load_model({str(site.path)!r} + "/" + file)
    print(float(keras.ops.sum(model(np.ones((1, 2))))))
assert "acme_bad" not in sys.modules
""",
        site,
    ).stdout
    assert output.split() == ["8.0", "4.0"]


def test_importing_prints_nothing(site):
    done = python("import warnings; warnings.simplefilter('error', UserWarning); import keras_ar.registry", site)
    assert not done.stdout


# What a package has renamed


@pytest.fixture
def file_of_version_1(site):
    """A file that a package has written before it renamed a class and an argument of it."""
    site.install("acme-ar", SHINY, modules={"acme_ar.layers": LAYERS})
    model = keras.Sequential([keras.Input((2,)), registry.find("layers", "shiny").load()(3.0)])
    path = site.path / "version_1.keras"
    model.save(path)
    site.uninstall("acme-ar")
    return path


def test_a_renamed_class_and_argument_open_under_their_old_names(file_of_version_1, site):
    points = {"layers": {"bright": "acme_ar.layers:Bright", "shiny": "acme_ar.layers:Shiny"}}
    site.install("acme-ar", points, version="2.0", modules={"acme_ar.layers": RENAMED})
    code = f"""
import keras, keras_ar, numpy as np
model = keras_ar.load_model({str(file_of_version_1)!r})
print(*[base.__name__ for base in type(model.layers[0]).__mro__[:2]])
print(float(keras.ops.sum(model(np.ones((1, 2))))))
"""
    assert python(code, site).stdout.split() == ["Shiny", "Bright", "8.0"]


def test_a_renamed_class_without_its_old_name_is_unknown(file_of_version_1, site):
    site.install("acme-ar", {"layers": {"bright": "acme_ar.layers:Bright"}}, "2.0", {"acme_ar.layers": RENAMED})
    code = f"""
import keras_ar
try:
    keras_ar.load_model({str(file_of_version_1)!r})
except keras_ar.registry.UnknownNameError as error:
    print(error)
"""
    assert "Unknown class 'Shiny' of the package 'acme_ar': acme-ar, which is installed" in python(code, site).stdout


def test_listing_needs_no_keras(site):
    source = registry.__file__
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("registry", {source!r})
registry = importlib.util.module_from_spec(spec)
sys.modules["registry"] = registry
spec.loader.exec_module(registry)
print(registry.find("models", "made").target, "keras" in sys.modules, "numpy" in sys.modules)
"""
    assert python(code, site).stdout.split() == ["keras_ar.models.made:MADE", "False", "False"]


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.qualified_name)
def test_every_entry_point_is_the_class_that_files_name(entry):
    assert keras.saving.get_registered_name(entry.load()) == entry.registered_name


# The command line


def test_the_command_line_lists_every_component_in_columns(site, capsys):
    site.install("acme-ar", SHINY)
    assert main([]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["kind", "name", "provider", "version", "target"]
    assert len(lines) == len(registry.entries())
    assert ["layers", "shiny", "acme-ar", "1.0", "acme_ar.layers:Shiny"] in [line.split() for line in lines]
    assert {line.index(":") > header.index("target") for line in lines} == {True}


def test_the_command_line_checks_that_all_components_load(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_AR_PLUGINS", "")
    assert main(["--check"]) == 0
    assert "0 broken" in capsys.readouterr().out


def test_the_command_line_prints_why_a_component_is_broken(site, capsys):
    site.install("acme-ar", SHINY)
    assert main(["--check"]) == 1
    assert "Cannot load the layer 'shiny'" in capsys.readouterr().out
