"""What the user says of plugins: environment variables, which worker processes inherit."""

import os

ONLY = "MMBENCH_PLUGINS"
"""Only these, by the name of the plugin or its distribution."""
DISABLED = "MMBENCH_DISABLE_PLUGINS"
"""Not these; ``all``: none."""
STRICT = "MMBENCH_STRICT_PLUGINS"
"""One that is broken ends the program."""
FILES = "MMBENCH_PLUGIN_FILES"
"""The paths of files to use as plugins: what ``--plugin`` sets."""


def listed(variable: str) -> list[str]:
    """The names in a variable, separated by commas."""
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def named_paths() -> list[str]:
    """The paths in ``FILES``."""
    return [path for path in os.environ.get(FILES, "").split(os.pathsep) if path]


def is_strict() -> bool:
    return os.environ.get(STRICT, "") not in ("", "0")
