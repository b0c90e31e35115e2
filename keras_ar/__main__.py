"""`python -m keras_ar` lists the components that are installed; with `--check` it loads each of them."""

import argparse
import sys

from keras_ar import registry


def main(arguments=None):
    """Prints every component and where it comes from.

    Args:
        arguments: List of command-line arguments; those of the process by default.

    Returns:
        The exit status: 1 if `--check` found a broken component, else 0.

    Example:

    >>> from keras_ar.__main__ import main
    >>> main([])
    kind    name ...
    0
    """
    parser = argparse.ArgumentParser("python -m keras_ar", description="Lists the installed components of keras_ar.")
    parser.add_argument("--check", action="store_true", help="load each component; exit with 1 if any is broken")
    options = parser.parse_args(arguments)

    entries = registry.entries()
    _print_table(entries)
    if not options.check:
        return 0

    errors = [error for entry in entries if (error := _load_error(entry))]
    print(f"\n{len(entries)} components, {len(errors)} broken")
    for error in errors:
        print(f"\n{error}")
    return 1 if errors else 0


def _print_table(entries):
    rows = [("kind", "name", "provider", "version", "target")]
    rows += [(entry.kind, entry.name, entry.distribution, entry.version, entry.target) for entry in entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _load_error(entry):
    try:
        entry.load()
    except registry.PluginError as error:
        return error
    return None


if __name__ == "__main__":
    sys.exit(main())
