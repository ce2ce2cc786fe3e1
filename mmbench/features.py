"""Frozen encoders run once per machine. Caching is a function from Split to Split.

Training never knows whether a modality was encoded live or read from the cache.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.feature_cache import FeatureCache
from mmbench.installed.contents import code_sha256
from mmbench.pieces import SHRINK, encode_in_pieces, joined, ran_out
from mmbench.spec import canonical_json
from mmbench.types import Column, Encoded, LazyValues, Split, Values

BATCH = {"cpu": 32, "cuda": 256}
"""Values that a frozen encoder reads at once. On a CPU more are slower: what a layer writes comes
from the operating system anew, page by page, once it is too large for the allocator to keep."""


def prepare(split: Split, encoders: Mapping[str, Encoder]) -> Split:
    """The columns that are read, each as its encoder wants it (text as token ids)."""
    columns = {m: _prepared(split.columns[m], encoder) for m, encoder in encoders.items()}
    return Split(columns, split.target, split.slices, split.source)


def _prepared(column: Column, encoder: Encoder) -> Column:
    return Column(encoder.prepare(column.values), column.index)


def precompute(
    split: Split,
    encoders: Mapping[str, Encoder],
    cache: FeatureCache,
    keys: Mapping[str, Mapping[str, object]],
    between_batches: Callable[[], None] = lambda: None,
) -> Split:
    """The columns that are read: what a frozen encoder says of them, the others prepared.

    ``split`` is as the dataset loaded it. ``keys`` says by modality which data it holds and how its
    encoder is set. Text that the cache knows the features of is not even cut into words.
    ``between_batches`` may raise to leave at once: a large encoder takes minutes.
    """
    columns = {}
    for modality, encoder in encoders.items():
        column = split.columns[modality]
        if not encoder.frozen or column.is_encoded:
            columns[modality] = _prepared(column, encoder)
            continue
        key = {
            **keys[modality],
            "modality": modality,
            "values": len(column.values),
            "encoder": encoder.name,
            "code": "+".join(code_digest(type(e)) for e in within(encoder)),
            "weights": weights(encoder),
        }
        compute = partial(_encodings_of, encoder, column.values, between_batches)
        features = cache.get_or_compute(key, len(column.values), compute, between_batches)
        columns[modality] = Column(features, column.index)
    return Split(columns, split.target, split.slices, split.source)


def _encodings_of(
    encoder: Encoder, values: Values, between_batches: Callable[[], None], first: int
) -> Iterator[Encoded]:
    """Of values as the dataset has them, from the ``first`` on."""
    prepared = encoder.prepare(values)
    if not isinstance(prepared, Tensor | LazyValues):
        raise TypeError(f"{encoder.name}.prepare must return tensors, not text.")
    yield from encodings(encoder, prepared, first, between_batches=between_batches)


def encode_in_batches(encoder: Encoder, values: Tensor | LazyValues) -> Encoded:
    """The features of all values, in memory."""
    return joined(list(encodings(encoder, values)))


def encodings(
    encoder: Encoder,
    values: Tensor | LazyValues,
    first: int = 0,
    *,
    size: int | None = None,
    between_batches: Callable[[], None] = lambda: None,
) -> Iterator[Encoded]:
    """Run ``encoder`` on its own device, batch after batch; the features land on the CPU."""
    encoder.eval()
    tensors = chain(encoder.parameters(), encoder.buffers())
    device = next((t.device for t in tensors), torch.device("cpu"))
    at_once = size = size or BATCH[device.type]
    for rows in torch.arange(first, len(values)).split(size):
        between_batches()
        inputs, features = values[rows].to(device), None
        while features is None:
            try:
                with torch.inference_mode():
                    features = encode_in_pieces(encoder, inputs, at_once).to(torch.device("cpu"))
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error) or at_once == 1:
                    raise
                at_once = max(1, at_once // SHRINK)
        yield features


def within(encoder: Encoder) -> list[Encoder]:
    """It and the encoders it is made of."""
    return [module for module in encoder.modules() if isinstance(module, Encoder)]


@lru_cache
def code_digest(encoder: type[Encoder]) -> str:
    """Of the modules that an encoder is written in: other code, other features.

    Of a plugin, all code of its distribution; of mmbench, which changes more often, what the
    encoder uses of its own.
    """
    own = [c for c in encoder.__mro__ if issubclass(c, Encoder) and c is not Encoder]
    modules = {c.__module__ for c in own}
    digest = hashlib.sha256()
    for cls in own:
        digest.update(strangers_code(cls).encode())
    for name in sorted(_with_helpers(modules)):
        digest.update(_source(name))
    return digest.hexdigest()


@cache
def strangers_code(cls: type) -> str:
    """A digest of the distribution, or the file, that a class of a plugin is from; else empty."""
    package = cls.__module__.partition(".")[0]
    if package == "mmbench":
        return ""
    return hashlib.sha256(code_sha256(package).encode() + _source(cls.__module__)).hexdigest()


def _source(module: str) -> bytes:
    """Its code, or its name if there is none."""
    try:
        return inspect.getsource(sys.modules[module]).encode()
    except (OSError, TypeError, KeyError):  # typed in, or no source is installed
        return module.encode()


def _with_helpers(modules: set[str]) -> set[str]:
    """And those of the same package whose functions and classes they use."""
    found, new = set[str](), modules
    while new:
        found |= new
        new = {helper for name in new for helper in _helpers(name)} - found
    return found


def _helpers(name: str) -> set[str]:
    package = name.rpartition(".")[0]
    module = sys.modules.get(name)
    if not package or module is None:
        return set()
    makers = (getattr(thing, "__module__", None) for thing in vars(module).values())
    return {m for m in makers if isinstance(m, str) and m.rpartition(".")[0] == package}


def weights(encoder: Encoder) -> str:
    """A digest of what the encoder learnt and holds: vocabulary, parameters, buffers.

    Taken once as long as nothing is written into them: of a large one it takes a while.
    """
    state = encoder.state_dict()
    written = [(tensor.data_ptr(), tensor._version) for tensor in state.values()]
    known = _WEIGHTS.get(encoder)
    if known is None or known[0] != written:
        text = canonical_json(dict(encoder.fitted)) + content_digest(state)
        known = _WEIGHTS[encoder] = written, hashlib.sha256(text.encode()).hexdigest()
    return known[1]


_WEIGHTS: WeakKeyDictionary[Encoder, tuple[list[tuple[int, int]], str]] = WeakKeyDictionary()


def content_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(plain.numpy().data)
    return digest.hexdigest()
