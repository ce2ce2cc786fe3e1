"""What every encoder promises. Authors call ``check_encoder(MyEncoder, column)`` in one test.

An encoder reads raw values, so the kit cannot make them up: give it a column of a few training rows
with at least two values of different content (and, for text or audio, of different length), as
large as real ones: what divides a series or an image does nothing where there is nothing to divide.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.testing import promises
from mmbench.testing.reference import Reference, computes
from mmbench.testing.searched import assert_all_matter, from_one_seed, settings
from mmbench.testing.subject import Check, Inputs, Subject, close, identical, lifted, promise
from mmbench.testing.weights import assert_none_idle, unsearched
from mmbench.types import Column, Encoded, Values

MOST_VALUES = 8
ALL_BUT_ONE = 1 - 1e-9
"""The share of a matrix's rows that may be idle: a vocabulary is large."""


def check_encoder(cls: type[Encoder], column: Column, **params: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in encoder_checks():
        check(cls, column, **params)


def _fitted(cls: type[Encoder], column: Column) -> Fitted:
    """What it learns of a column whose rows have the numbers 0, 1, 2 … as their target."""
    target = torch.arange(len(column)).float()
    return cls.fit_to_target(_copied(column), target, "regression")


def _copied(column: Column) -> Column:
    """One that may be written into without harm; of values that cannot be, the same ones."""
    values, index = column.values, column.index
    return Column(
        values.clone() if isinstance(values, Tensor) else values,
        None if index is None else index.clone(),
    )


def _built(cls: type[Encoder], column: Column, **params: Any) -> Encoder:
    return cls(json.loads(json.dumps(_fitted(cls, column))), **params)


def _values(column: Column) -> Values:
    """The first few unique values."""
    return Column(column.values).rows(torch.arange(min(len(column.values), MOST_VALUES))).values


def _prepared(encoder: Encoder, values: Values) -> Tensor:
    prepared = encoder.prepare(values)
    assert not isinstance(prepared, Encoded | tuple), (
        f"encoder {encoder.name!r}: prepare must give what forward reads: a tensor, or lazy values."
    )
    return prepared[torch.arange(len(prepared))]


def _call(encoder: Callable[..., Encoded], inputs: Inputs) -> tuple[Tensor, ...]:
    encoded = encoder(inputs["inputs"])
    real = encoded.mask.unsqueeze(-1)
    return encoded.pooled, torch.where(real, encoded.tokens, 0.0), encoded.mask.double()


def _subjects(cls: type[Encoder], column: Column, **params: Any) -> Iterator[Subject]:
    fitted = json.loads(json.dumps(_fitted(cls, column)))
    build: Callable[[], Encoder] = lambda: cls(fitted, **params)
    inputs = {"inputs": _prepared(build(), _values(column))}
    yield Subject(f"encoder {cls.name!r}", build, inputs, _call)


def _vmap_subjects(cls: type[Encoder], column: Column, **params: Any) -> Iterator[Subject]:
    if cls.batched:
        yield from _subjects(cls, column, **params)


def what_is_fitted_is_json(cls: type[Encoder], column: Column, **params: Any) -> None:
    """``fit`` gives JSON that says all that is needed to rebuild the encoder without the data."""
    fitted = _fitted(cls, column)
    text = json.dumps(fitted)
    assert json.dumps(_fitted(cls, column)) == text, f"encoder {cls.name!r}: two fits differ."
    direct, rebuilt = cls(fitted, **params).eval(), cls(json.loads(text), **params).eval()
    rebuilt.load_state_dict(direct.state_dict())
    values = _values(column)
    outputs = [_call(e, {"inputs": _prepared(e, values)}) for e in (direct, rebuilt)]
    assert close(*outputs), (
        f"encoder {cls.name!r}: rebuilt from its JSON and state dict it encodes otherwise. JSON "
        f"turns tuples into lists and keys into strings; keep all else in buffers."
    )


def raw_values_are_left_alone(cls: type[Encoder], column: Column, **params: Any) -> None:
    """Neither ``fit`` nor ``prepare`` writes into the column: later trials read it too."""
    encoder = _built(cls, column, **params)
    calls: dict[str, Callable[[Column, Tensor], object]] = {
        "fit": lambda given, target: cls.fit_to_target(given, target, "regression"),
        "prepare": lambda given, _: encoder.prepare(given.values),
    }
    for method, call in calls.items():
        given, target = _copied(column), torch.arange(len(column)).float()
        call(given, target)
        pairs = [(given.value_of_row, column.value_of_row), (target, torch.arange(len(column)))]
        if isinstance(given.values, Tensor) and isinstance(column.values, Tensor):
            pairs.append((given.values, column.values))
        assert all(identical(now, before) for now, before in pairs), (
            f"encoder {cls.name!r}: {method} writes into what it is given. Use x.nan_to_num(), not "
            f"x.nan_to_num_(), and x - mean, not x.sub_(mean)."
        )


def shapes_are_as_declared(cls: type[Encoder], column: Column, **params: Any) -> None:
    """One entry per value, tokens and pooled of width ``out_dim``, all finite.

    So it is with its defaults, and at every end of the search space.
    """
    for given in settings(cls, params, cls.name):
        for case in _subjects(cls, column, **given):
            what = f"{case.what} with {given}" if given else case.what
            _assert_as_declared(case, what, len(_values(column)))


def _assert_as_declared(case: Subject, what: str, n: int) -> None:
    encoder = case.build().eval()
    encoded, dim = encoder(case.inputs["inputs"]), encoder.out_dim
    shapes = (tuple(encoded.tokens.shape[::2]), tuple(encoded.pooled.shape))
    assert shapes == ((n, dim), (n, dim)), (
        f"{what}: {n} values and out_dim = {dim} must give tokens ({n}, time, {dim}) and "
        f"pooled ({n}, {dim}); got {tuple(encoded.tokens.shape)} and {shapes[1]}."
    )
    assert encoded.mask.dtype == torch.bool, f"{what}: the mask must be boolean."
    pooled, tokens, _ = case.call(encoder, case.inputs)
    assert pooled.isfinite().all() and tokens.isfinite().all(), (
        f"{what}: it gives numbers that are not finite."
    )
    assert not pooled[~encoded.present].any(), (
        f"{what}: a value without a token must pool to zeros: it counts as missing."
    )


def sequences_are_as_declared(cls: type[Encoder], column: Column, **params: Any) -> None:
    """``emits_sequences`` is true if, and only if, there is more than one token."""
    for case in _subjects(cls, column, **params):
        tokens = case.call(case.build().eval(), case.inputs)[1]
        assert (tokens.shape[1] > 1) == cls.emits_sequences, (
            f"{case.what}: emits_sequences = {cls.emits_sequences}, but it gives "
            f"{tokens.shape[1]} token(s) per value."
        )


def values_are_told_apart(cls: type[Encoder], column: Column, **params: Any) -> None:
    """Different values have different encodings."""
    for case in _subjects(cls, column, **params):
        pooled = case.call(case.build().eval(), case.inputs)[0]
        differ = (pooled - pooled[:1]).abs().max() > 0
        assert differ, f"{case.what}: all values of the column have the same pooled vector."


def a_value_is_encoded_the_same_alone(cls: type[Encoder], column: Column, **params: Any) -> None:
    """Neither ``prepare`` nor ``forward`` lets one value's encoding depend on the others."""
    encoder, values = _built(cls, column, **params).eval(), _values(column)
    whole = encoder(_prepared(encoder, values))
    for i in range(len(values)):
        one = Column(values).rows(torch.tensor([i])).values
        alone = encoder(_prepared(encoder, one))
        pairs = (
            (whole.pooled[i], alone.pooled[0]),
            (whole.tokens[i][whole.mask[i]], alone.tokens[0][alone.mask[0]]),
        )
        assert all(a.shape == b.shape and close((a,), (b,)) for a, b in pairs), (
            f"encoder {cls.name!r}: value {i} is encoded otherwise alone than beside others. Mask "
            f"padding, normalise with what `fit` found in training data, and avoid BatchNorm in "
            f"training mode."
        )


def frozen_is_as_declared(cls: type[Encoder], column: Column, **params: Any) -> None:
    """A frozen encoder has no trainable parameter; one that is not frozen has some."""
    encoder = _built(cls, column, **params)
    trains = any(p.requires_grad for p in encoder.parameters())
    assert trains != encoder.frozen, (
        f"encoder {cls.name!r}: frozen = {encoder.frozen}, but it has "
        f"{'some' if trains else 'no'} trainable parameters. Frozen features are cached, so set "
        f"requires_grad to False on all parameters, or frozen = False."
    )


def every_weight_matters(cls: type[Encoder], column: Column, **params: Any) -> None:
    """No trained matrix is without influence on every value.

    One row of it may be: a few values have not every word, nor every position.
    """
    for case in _subjects(cls, column, **unsearched(cls, params)):
        assert_none_idle(case, case.build().eval(), case.inputs, most=ALL_BUT_ONE)


def every_searched_parameter_matters(cls: type[Encoder], column: Column, **params: Any) -> None:
    """No parameter that is searched may have any value: outputs or gradients change with it."""
    cases = partial(_subjects, cls, _with_many_words(column))
    assert_all_matter(cls, params, cls.name, from_one_seed(cases))


def _with_many_words(column: Column) -> Column:
    """A few texts never fill a vocabulary: some more, with each word and its neighbour in two."""
    if not isinstance(column.values, tuple):
        return column
    words = [f"word{i}" for i in range(2400)]
    more = (" ".join(words[start : start + 40]) for start in range(0, 2400, 20))
    return Column((*column.values, *more))


def encoder_checks(reference: Reference | None = None) -> tuple[Check, ...]:
    """All promises of an encoder: each takes the class, a train column and parameters.

    ``reference(encoder, inputs)`` is its formula, written slowly; it adds a promise.
    """
    own = (
        what_is_fitted_is_json,
        raw_values_are_left_alone,
        shapes_are_as_declared,
        sequences_are_as_declared,
        values_are_told_apart,
        a_value_is_encoded_the_same_alone,
        frozen_is_as_declared,
        every_weight_matters,
        every_searched_parameter_matters,
    )
    shared = (
        promises.every_tensor_is_registered,
        promises.eval_is_deterministic,
        promises.random_state_is_not_set,
        promises.samples_do_not_see_each_other,
        promises.every_parameter_gets_a_gradient,
        promises.state_dict_restores_the_output,
        promises.inputs_are_never_modified,
        promises.degenerate_inputs_stay_finite,
    )
    return (
        *(promise(check) for check in own),
        *(lifted(check, _subjects) for check in shared),
        lifted(promises.members_train_together_under_vmap, _vmap_subjects),
        *([computes(reference, _subjects)] if reference else ()),
    )
