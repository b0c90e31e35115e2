"""Finds layers, heads, bijectors, models and trained models by name, ours and those of plugins, through entry points.

A distribution lists its components in its packaging metadata:

```toml
[project.entry-points."keras_ar.heads"]
skellam = "acme_ar.skellam:Skellam"
```

Scanning reads that metadata and imports nothing. A component is imported when
its name is asked for, or when a saved file needs its class.

In the group `keras_ar.zoo` stand trained models: an entry point names a package, which is the folder of a run of
`keras-ar train`, and holds no module.
"""

import dataclasses
import difflib
import functools
import importlib.metadata
import importlib.util
import operator
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

__all__ = [
    "KINDS",
    "ZOO",
    "AmbiguousNameError",
    "Entry",
    "PluginError",
    "UnknownNameError",
    "entries",
    "find",
    "get",
    "load_classes",
    "providers",
    "refresh",
    "without_provider",
]

# Each kind of component, and the base class of its components. The entry points of a kind are in `keras_ar.<kind>`.
KINDS = {
    "layers": "keras.layers:Layer",
    "heads": "keras_ar.heads.head:Head",
    "bijectors": "keras_ar.bijectors.bijector:Bijector",
    "models": "keras_ar.density:DensityModel",
}

# Trained models, which are no components.
ZOO = "zoo"

_GROUPS = {f"keras_ar.{kind}": kind for kind in (*KINDS, ZOO)}
_OURS = "keras-ar"

# Keras imports the classes of these packages by itself, from the module that the config names.
_IMPORTED_BY_KERAS = ("keras", "keras_hub", "keras_cv", "keras_nlp")


class UnknownNameError(LookupError):
    """No component has that name, or nothing that is installed has that class.

    Example:

    >>> keras_ar.registry.find("models", "mode")
    Traceback (most recent call last):
    ...
    keras_ar.registry.UnknownNameError: Unknown model 'mode'. Did you mean 'made'? ...
    """


class AmbiguousNameError(LookupError):
    """Two plugins have that name; the message says how to name each of them.

    Example:

    >>> issubclass(keras_ar.registry.AmbiguousNameError, LookupError)
    True
    """


# Not a TypeError: Keras answers a TypeError inside `from_config` with advice about something else.
class PluginError(ImportError):
    """A component is installed but cannot be used; the message says whose it is and why.

    Example:

    >>> entry = keras_ar.registry.Entry("heads", "lost", "no_such_module:Lost", "acme-ar", "1.0")
    >>> entry.load()
    Traceback (most recent call last):
    ...
    keras_ar.registry.PluginError: Cannot load the head 'lost' ...
    """


@dataclasses.dataclass(frozen=True)
class Entry:
    """One component, or one trained model, as packaging metadata describes it; nothing of it is imported.

    Args:
        kind: String, one of `KINDS`; of a trained model `ZOO`.
        name: String, the name that `get` takes.
        target: String, where the class is, as `"package.module:Class"`; of a trained model the package that is its
            folder, as `"package.folder"`.
        distribution: String, the normalized name of the distribution that lists it.
        version: String, the version of that distribution.

    Example:

    >>> entry = keras_ar.registry.find("models", "made")
    >>> entry.qualified_name, entry.registered_name
    ('keras-ar:made', 'keras_ar>MADE')
    >>> entry.load()
    <class 'keras_ar.models.made.MADE'>
    """

    kind: str
    name: str
    target: str
    distribution: str
    version: str

    @property
    def qualified_name(self) -> str:
        """The name that stays unique whatever else is installed: `"distribution:name"`."""
        return f"{self.distribution}:{self.name}"

    @property
    def registered_name(self) -> str:
        """The name of the class in saved files: `"top_module>Class"`."""
        module, _, attribute = self.target.partition(":")
        return f"{module.partition('.')[0]}>{attribute.rpartition('.')[2]}"

    @property
    def folder(self) -> pathlib.Path:
        """The folder of a trained model, without importing anything."""
        package, *below = self.target.split(".")
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            if (folder := pathlib.Path(place, *below)).is_dir():
                return folder
        raise PluginError(
            f"Cannot find the folder of the {_singular(self.kind)} {self.name!r} (entry point {self.target!r} of "
            f"{self.distribution} {self.version})."
        )

    def load(self) -> type:
        """Imports the class of a component, and checks its base and the name that it has in files."""
        base = None if self.kind == ZOO else _base(self.kind)
        try:
            if base is None:
                raise ValueError("It is a trained model: `keras_ar.load` opens it.")
            found = _import_target(self.target)
            _check_class(found, base)
            _check_registration(found, self.registered_name)
            return found
        # A plugin may fail in any way, and may even call `sys.exit`, while it is imported.
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"Cannot load the {_singular(self.kind)} {self.name!r} (entry point {self.target!r} "
                f"of {self.distribution} {self.version}). {type(error).__name__}: {error}"
            ) from error


def entries(kind: str | None = None) -> list[Entry]:
    """Lists the components that can be found, without importing them.

    The environment variable `KERAS_AR_PLUGINS` says whose: unset means every
    distribution's, empty means only ours, `"a,b"` means ours and those of the
    distributions `a` and `b`.

    Args:
        kind: String, one of `KINDS`, or `ZOO` for trained models; `None` for all of `KINDS`. Defaults to `None`.

    Returns:
        Sorted list of `Entry`, ours first in each kind.

    Example:

    >>> "made" in [entry.name for entry in keras_ar.registry.entries("models")]
    True
    """
    kinds = KINDS if kind is None else (_check_kind(kind, (*KINDS, ZOO)),)
    return [entry for entry in _installed() if _is_enabled(entry.distribution) and entry.kind in kinds]


def find(kind: str, name: str) -> Entry:
    """Finds a component, or a trained model, by name, without importing it.

    A bare name means ours if we have it, else the one plugin that has it. So
    installing a package never changes what `"made"` means.

    Args:
        kind: String, one of `KINDS`, or `ZOO`.
        name: String, a bare name or `"distribution:name"`.

    Returns:
        An `Entry`.

    Example:

    >>> keras_ar.registry.find("models", "made").target
    'keras_ar.models.made:MADE'
    >>> keras_ar.registry.find("models", "keras-ar:made").distribution
    'keras-ar'
    """
    distribution, colon, bare_name = name.rpartition(":")
    found = [entry for entry in entries(kind) if entry.name == bare_name]
    if colon:
        found = [entry for entry in found if entry.distribution == _normalize(distribution)]
    found = [entry for entry in found if entry.distribution == _OURS] or found
    if not found:
        raise UnknownNameError(_unknown_name(kind, name))
    if len(found) > 1:
        choices = " or ".join(repr(entry.qualified_name) for entry in found)
        raise AmbiguousNameError(f"Several plugins have a {_singular(kind)} named {name!r}. Use {choices}.")
    return found[0]


def get(kind: str, identifier: Any, /, **kwargs) -> Any:
    """Makes a component from whatever describes it.

    Args:
        kind: String, one of `KINDS`.
        identifier: A name, a class, a config (Keras' serialised form, or
            `{"class_name": name, "config": arguments}`), or an instance,
            which is returned as it is.
        **kwargs: Arguments of the constructor, for a name or a class.

    Returns:
        An instance of the base class of its kind.

    Example:

    >>> head = keras_ar.registry.get("heads", "categorical", num_levels=4)
    >>> keras_ar.registry.get("heads", head) is head
    True
    >>> keras_ar.registry.get("heads", {"class_name": "categorical", "config": {"num_levels": 4}})
    Categorical(num_levels=4)
    """
    _check_kind(kind)
    if isinstance(identifier, str):
        return find(kind, identifier).load()(**kwargs)
    if isinstance(identifier, type) and issubclass(identifier, _base(kind)):
        return identifier(**kwargs)
    if kwargs:
        raise ValueError(
            f"Arguments can only go with the name or the class of a {_singular(kind)}. "
            f"Received: identifier={identifier!r} and {', '.join(kwargs)}."
        )
    if isinstance(identifier, dict) and isinstance(identifier.get("class_name"), str):
        identifier = _from_config(kind, identifier)
    if isinstance(identifier, _base(kind)):
        return identifier
    raise ValueError(
        f"`{_singular(kind)}` must be a name, a config, a class or an instance of a {_singular(kind)} "
        f"({KINDS[kind].replace(':', '.')}). Received: {identifier!r}."
    )


def load_classes(config: Any, custom_objects: dict[str, type] | None = None) -> None:
    """Imports the plugins whose classes a serialised config names, and no others.

    A config can only name what an installed distribution lists as an entry
    point, never a module to import.

    Args:
        config: Anything that Keras serialises to; plain JSON types.
        custom_objects: Dictionary of classes by registered name, which count as known. Defaults to `None`.

    Raises:
        UnknownNameError: Names every class that nothing provides, and what to install.
        PluginError: A plugin that the config needs is broken.

    Example:

    >>> keras_ar.registry.load_classes({"class_name": "Skellam", "registered_name": "acme_ar>Skellam"})
    Traceback (most recent call last):
    ...
    keras_ar.registry.UnknownNameError: Unknown class 'Skellam' of the package 'acme_ar': ...
    """
    import keras

    names = sorted(set(_registered_names(config)))

    # First load, then look for what is missing: a plugin's module may register helper classes too.
    for name in names:
        known = keras.saving.get_registered_object(name, custom_objects)
        if isinstance(known, _StandIn):
            known.entry.load()

    missing = [name for name in names if keras.saving.get_registered_object(name, custom_objects) is None]
    if missing:
        raise UnknownNameError("\n".join(map(_unknown_class, missing)) + _what_hides_plugins())


def providers(config: Any) -> dict[str, str]:
    """The distributions, ours among them, whose classes a serialised config names, with their versions.

    Args:
        config: Anything that Keras serialises to; plain JSON types.

    Example:

    >>> config = keras.saving.serialize_keras_object(keras_ar.models.FVSBN(3))
    >>> list(keras_ar.registry.providers(config))
    ['keras-ar']
    """
    packages = set(map(_package, _registered_names(config)))
    return {e.distribution: e.version for e in entries() if _package(e.registered_name) in packages}


def without_provider(config: Any) -> list[str]:
    """The classes that a serialised config names and no distribution provides, as `"package>Class"`.

    Args:
        config: Anything that Keras serialises to; plain JSON types.

    Example:

    >>> keras_ar.registry.without_provider({"class_name": "Mine", "registered_name": "Custom>Mine"})
    ['Custom>Mine']
    """
    provided = {_package(entry.registered_name) for entry in entries()}
    return sorted({name for name in _registered_names(config) if _package(name) not in provided})


def _package(registered_name):
    return registered_name.partition(">")[0]


def refresh() -> None:
    """Looks again at what is installed, and tells Keras which classes it can find.

    `import keras_ar` does this once; call it after installing a plugin into a
    running process, or after changing `KERAS_AR_PLUGINS`. It warns of entry-point groups whose
    names are misspelt, such as `keras_ar.head`.

    Example:

    >>> keras_ar.registry.refresh()
    """
    importlib.invalidate_caches()
    _installed.cache_clear()
    _install_stand_ins()


class _StandIn:
    """Takes the place of a class in Keras' look-ups until the class is imported.

    Keras finds the classes that a file names in one dictionary, and asks them
    for nothing but `from_config`. A stand-in imports the class at that moment.
    The class' own `register_keras_serializable` then replaces the stand-in,
    except in the copies of the dictionary that Keras made meanwhile.
    """

    def __init__(self, entry):
        self.entry = entry

    def from_config(self, config):
        return self.entry.load().from_config(config)

    def __repr__(self):
        return f"<{self.entry.registered_name} of {self.entry.distribution}>"


def _install_stand_ins():
    import keras

    classes = keras.saving.get_custom_objects()
    for name in [name for name, known in classes.items() if isinstance(known, _StandIn)]:
        del classes[name]
    for entry in entries():
        classes.setdefault(entry.registered_name, _StandIn(entry))


@functools.cache
def _installed() -> list[Entry]:
    """All entries of all kinds, of enabled distributions or not."""
    found: dict[tuple[str, str], Entry] = {}
    for distribution in importlib.metadata.distributions():
        for entry in _read(distribution):
            # An editable install shows up twice. As with modules, what comes first on `sys.path` counts.
            found.setdefault((entry.kind, entry.qualified_name), entry)
    return sorted(found.values(), key=_listing_order)


def _read(distribution):
    # Any package may have left unreadable metadata behind. That must not break `import keras_ar`.
    try:
        name, version, points = distribution.name, distribution.version, list(distribution.entry_points)
        name = _normalize(name)
    except Exception:
        return []
    if _is_enabled(name):
        for group in sorted({point.group for point in points} - set(_GROUPS)):
            _warn_if_misspelt(group, name, version)
    return [
        Entry(
            kind=_GROUPS[point.group],
            name=point.name,
            target=re.sub(r"\s|\[.*", "", point.value),  # without extras, which the standard allows but discourages
            distribution=name,
            version=version,
        )
        for point in points
        if point.group in _GROUPS
    ]


def _warn_if_misspelt(group, distribution, version):
    """Warns of a group that begins with `keras_ar.` or looks like one of ours: nobody reads it."""
    looks_alike = re.fullmatch(r"keras[-_.]?ar[-_.](\w+)", group.lower())
    meant = difflib.get_close_matches(looks_alike[1], _GROUPS.values(), 1) if looks_alike else []
    if meant or group.startswith("keras_ar."):
        advice = f"Did you mean 'keras_ar.{meant[0]}'?" if meant else f"There are {', '.join(map(repr, _GROUPS))}."
        warnings.warn(
            f"{distribution} {version} has entry points in the group {group!r}, which keras_ar does not read. {advice}",
            stacklevel=2,
        )


def _listing_order(entry):
    return list(_GROUPS.values()).index(entry.kind), entry.distribution != _OURS, entry.distribution, entry.name


def _is_enabled(distribution):
    allowed = os.environ.get("KERAS_AR_PLUGINS")
    return allowed is None or distribution in {_OURS, *map(_normalize, allowed.split(","))}


def _normalize(distribution):
    """The one spelling of a distribution's name, as PEP 503 defines it."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _import_target(target):
    module, _, attribute = target.partition(":")
    if not (module and attribute):
        raise ValueError("The entry point must read 'package.module:Class'.")
    return operator.attrgetter(attribute)(importlib.import_module(module))


def _base(kind):
    return _import_target(KINDS[kind])


def _check_class(found, base):
    if not isinstance(found, type):
        raise ValueError(f"It must be a class. Received: {found!r}.")
    if not issubclass(found, base):
        raise ValueError(f"It must be a subclass of {base.__module__}.{base.__name__}. Received: {found!r}.")


def _check_registration(found, expected):
    """Raises a `ValueError` unless Keras writes the name into files under which they will look for the class."""
    import keras

    name = keras.saving.get_registered_name(found)
    if name != expected:
        package, _, class_name = expected.partition(">")
        received = f"it is registered as {name!r}" if ">" in name else "it is not registered"
        raise ValueError(
            f"It must be registered with Keras as {expected!r}, else no saved file finds it: write "
            f'`@keras.saving.register_keras_serializable(package="{package}")` above the class {class_name}. '
            f"Received: {received}."
        )


def _from_config(kind, config):
    import keras

    try:
        if "module" not in config and "registered_name" not in config:
            return find(kind, config["class_name"]).load().from_config(config.get("config") or {})
        load_classes(config)
        return keras.saving.deserialize_keras_object(config)
    except TypeError as error:
        raise ValueError(f"Cannot make a {_singular(kind)} from the config {config!r}. {error}") from error


def _registered_names(config: Any) -> Iterator[str]:
    """Yields each `"package>Class"` that a nest of configs names."""
    if isinstance(config, dict):
        name = config.get("registered_name")
        package = str(config.get("module")).partition(".")[0]
        if isinstance(name, str) and ">" in name and package not in _IMPORTED_BY_KERAS:
            yield name
        config = config.values()
    elif not isinstance(config, list | tuple):
        return
    for child in config:
        yield from _registered_names(child)


def _check_kind(kind, known=tuple(KINDS)):
    if kind not in known:
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, known))}. Received: kind={kind!r}.")
    return kind


def _singular(kind):
    return "trained model" if kind == ZOO else kind.removesuffix("s")


def _unknown_name(kind, name):
    known = entries(kind)
    listing = ", ".join(entry.name if entry.distribution == _OURS else entry.qualified_name for entry in known)
    message = f"Unknown {_singular(kind)} {name!r}."
    if near := _near_names(name, known):
        message += f" Did you mean {' or '.join(map(repr, near))}?"
    message += f" Known {_singular(kind)}s: {listing or 'none'}." + _what_hides_plugins()
    if kind == ZOO and not any(entry.kind == ZOO for entry in _installed()):
        message += " Ours come in a distribution of their own: pip install keras-ar-zoo."
    if not any(entry.distribution == _OURS for entry in _installed()):
        message += " Ours are unknown because keras-ar is only on sys.path: install it with pip (`pip install -e .`)."
    return message


def _near_names(name, known):
    spellings = {spelling.lower(): spelling for entry in known for spelling in (entry.name, entry.qualified_name)}
    return [spellings[near] for near in difflib.get_close_matches(name.lower(), spellings)]


def _unknown_class(registered_name):
    package, _, class_name = registered_name.partition(">")
    return f"Unknown class {class_name!r} of the package {package!r}: {_how_to_provide(package)}."


def _how_to_provide(package):
    # "Custom" is what Keras writes for a class whose author named no package.
    if package == "Custom" or not package.isidentifier():
        return "import the module that registers it first"
    providers = sorted(set(map(_normalize, importlib.metadata.packages_distributions().get(package, ()))))
    if providers:
        return (
            f"{' and '.join(providers)}, which is installed and provides that module, has no entry point for it. "
            f"Upgrade it, or import the module that registers the class first"
        )
    if package in sys.modules or importlib.util.find_spec(package):
        return "the module of that name has no entry point for it. Import what registers the class first"
    return f"install the distribution that provides the module {package!r}"


def _what_hides_plugins():
    hidden = sorted({entry.distribution for entry in _installed() if not _is_enabled(entry.distribution)})
    if not hidden:
        return ""
    return f" KERAS_AR_PLUGINS={os.environ['KERAS_AR_PLUGINS']!r} hides the plugins of {', '.join(hidden)}."
