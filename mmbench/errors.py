"""Every error mmbench raises on purpose, named by its cause.

A message says what was given, what is allowed, and the next step. The command line prints it
without a traceback and exits with code 2.
"""

import difflib
import re
from collections.abc import Iterable

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tabs and line ends, and those that turn the direction of writing."""
LONGEST = 10_000
"""Characters of a message that is shown."""


class MMBenchError(Exception):
    """Base class of all errors that are the input's fault, not a bug's."""


class UnknownName(MMBenchError):
    """A component, task, modality or row is named that does not exist here."""


class DuplicateName(MMBenchError):
    """Two plugins registered one name for the same kind of component."""


class BrokenPlugin(MMBenchError):
    """A plugin that must work does not."""


class PluginDiffers(MMBenchError):
    """What a result was made with is not installed, or not as it was."""


class InvalidParameter(MMBenchError):
    """A hyperparameter is unknown, of the wrong type, or outside its range."""


class InvalidSpec(MMBenchError):
    """A spec, row or option cannot be read or contradicts itself."""


class Incompatible(MMBenchError):
    """The parts exist but cannot be combined: their capabilities do not match."""


class DeviceUnavailable(MMBenchError):
    """The device asked for is not on this machine."""


class DataUnavailable(MMBenchError):
    """Data or pretrained weights cannot be found or are damaged."""


class UnusableData(MMBenchError):
    """A user's own data has a fault that only its owner can mend; the message names its place."""


class Leak(MMBenchError):
    """Two parts of a data set share a source or a row: a score on one would flatter."""


class StorageError(MMBenchError):
    """A file, folder or database cannot be read or written."""


class SearchFailed(MMBenchError):
    """No trial or no final evaluation came to a result."""


class TrainingDiverged(MMBenchError):
    """A loss or a score became NaN or infinite."""


def brief(error: BaseException) -> str:
    """Its name and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def first_line(error: BaseException) -> str:
    """Of what it says; its name if it says nothing."""
    return f"{error}".partition("\n")[0] or type(error).__name__


def visible(text: object) -> str:
    """With the characters written out that would move the cursor, or turn a line of text round.

    A message may quote a stranger's file, or its name, which may also be megabytes long.
    """
    said = UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
    if len(said) <= LONGEST:
        return said
    return f"{said[:LONGEST]}… and {len(said) - LONGEST:,} more characters"


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the nearest match, or an empty string if none is near.

    ``given`` may be anything, such as the number that YAML makes of a column's name.
    """
    near = difflib.get_close_matches(str(given), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
