"""What every fusion promises. Authors call ``check_fusion(MyFusion)`` in one test."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from mmbench.contracts import Capabilities, Fusion
from mmbench.space import validate
from mmbench.testing import promises
from mmbench.testing.fusion_examples import (
    caller,
    features_of,
    junked,
    modalities_of,
    subjects,
    widened,
    with_junk_pooled,
    without,
)
from mmbench.testing.fusion_tokens import (
    attention_depends_on_its_query,
    longer_padding_does_not_matter,
    modalities_may_differ_in_length,
    values_under_the_mask_do_not_matter,
)
from mmbench.testing.fusion_training import (
    every_searched_parameter_matters,
    every_weight_matters,
    interaction_learns_exclusive_or,
    what_modalities_agree_on_is_learnt,
)
from mmbench.testing.reference import Reference, computes
from mmbench.testing.searched import settings
from mmbench.testing.subject import (
    Check,
    Subject,
    close,
    lifted,
    projected,
    promise,
)


def check_fusion(cls: type[Fusion], **params: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in fusion_checks():
        check(cls, **params)


def it_is_declared_in_full(cls: type[Fusion], **params: Any) -> None:
    """It has a name, a docstring, capabilities, and defaults that are within their ranges."""
    assert isinstance(getattr(cls, "name", None), str) and cls.name, (
        f'{cls.__qualname__} has no name. Write `name = "…"` in the class.'
    )
    assert isinstance(cls.capabilities, Capabilities), f"{cls.name}: use Capabilities(…)."
    assert not inspect.isabstract(cls), f"{cls.name}: define forward."
    assert cls.__doc__ or (inspect.getmodule(cls) or cls).__doc__, (
        f"{cls.name}: neither the class nor its file has a docstring. Say what it computes and "
        f"where it is from (authors, year, venue): `mmbench list` and `describe` show it."
    )
    validate(cls, params, cls.name)


def output_has_the_declared_width(cls: type[Fusion], **params: Any) -> None:
    """Its output is (batch, out_dim), a penalty (batch,) and weights (batch, modality)."""
    for case in subjects(cls, **params):
        fusion = case.build().eval()
        vector, *others = case.call(fusion, case.inputs)
        batch = len(vector)
        assert tuple(vector.shape) == (4, fusion.out_dim), (
            f"{case.what}: for a batch of 4 and out_dim = {fusion.out_dim} the output must be "
            f"{(4, fusion.out_dim)}, but is {tuple(vector.shape)}."
        )
        allowed = ((batch,), (batch, len(modalities_of(case))))
        assert all(tuple(o.shape) in allowed for o in others), (
            f"{case.what}: Fused.penalty must be (batch,) and Fused.weights (batch, modality)."
        )


def output_is_no_bottleneck(cls: type[Fusion], **params: Any) -> None:
    """Samples differ in more than one direction: a scalar, even repeated, is not a fused vector."""
    if not cls.reads(("a",), **params):
        return  # it reads nothing, and says so
    for case in subjects(cls, **params):
        vectors = case.call(case.build().eval(), case.inputs)[0].double()
        spread = torch.linalg.svdvals(vectors - vectors.mean(0))
        assert len(spread) > 1 and spread[1] > 1e-4 * spread[0], (
            f"{case.what}: all outputs lie on one line. Return a vector of many numbers."
        )


def modalities_go_by_name(cls: type[Fusion], **params: Any) -> None:
    """The order in which the features arrive does not matter: look them up by name."""
    for case in subjects(cls, **params):
        fusion = case.build().eval()
        turned = replace(case, call=caller(tuple(reversed(modalities_of(case)))))
        same = close(case.call(fusion, case.inputs), turned.call(fusion, case.inputs))
        assert same, (
            f"{case.what}: the order of the features matters. Use features[m] for m in dims."
        )


def features_stay_where_they_are(cls: type[Fusion], **params: Any) -> None:
    """The mapping it is given is left as it was: the objective reads the features too."""
    for case in subjects(cls, **params):
        for mode in (True, False):
            features = features_of(case.inputs, modalities_of(case))
            given = dict(features)
            case.build().train(mode)(features)
            changed = [m for m in given if features.get(m) is not given[m]]
            changed += sorted(features.keys() - given.keys())
            assert not changed, (
                f"{case.what}: it takes out of the mapping of features, or puts into it: "
                f"{', '.join(changed)}. Write dict(features) first."
            )


def every_modality_is_used(cls: type[Fusion], **params: Any) -> None:
    """The output changes with each modality that it reads."""
    for case in subjects(cls, **params):
        inputs = {
            k: v.clone().requires_grad_() if v.is_floating_point() else v
            for k, v in case.inputs.items()
        }
        outputs = case.call(case.build().eval(), inputs)
        projected(outputs[:1]).backward()
        for m in modalities_of(case):
            slopes = [inputs[f"{m}.{part}"].grad for part in ("tokens", "pooled")]
            assert any(s is not None and s.abs().max() > 0 for s in slopes), (
                f"{case.what}: it ignores modality {m!r}. Use it, or leave it out of `reads`."
            )


def missing_modality_leaves_no_trace(cls: type[Fusion], **params: Any) -> None:
    """With ``handles_missing``, a missing modality's values don't matter, and none is needed.

    The pooled vector of a missing modality is zeros; but at the decision level it is whatever that
    modality's own head said.
    """
    if not cls.capabilities.handles_missing:
        return
    for case in subjects(cls, **params):
        fusion, names = case.build().eval(), modalities_of(case)
        for gone in (*([m] for m in names), names):
            inputs = without(case.inputs, gone)
            got = case.call(fusion, junked(inputs, 1e3))
            if cls.capabilities.level == "decision":
                inputs = with_junk_pooled(inputs)
            assert close(got, case.call(fusion, junked(inputs, torch.nan))), (
                f"{case.what}: it says handles_missing, but the values of {gone}, all missing, "
                f"change the output or make it NaN. Use torch.where(present[:, None], x, neutral); "
                f"where a softmax has no key left, fill with the lowest number, then multiply."
            )


def scale_is_sane_at_initialisation(cls: type[Fusion], **params: Any) -> None:
    """For unit-variance inputs of any width the output's root mean square is 0.1 to 10."""
    for case in subjects(cls, **params):
        for width in (16, 1024):
            wide = widened(cls, case, width, **params)
            _assert_sane(wide, f"with inputs of width {width}")


def whole_search_space_works(cls: type[Fusion], **params: Any) -> None:
    """Every end of every range, and every choice, builds and gives an output of sane scale."""
    _, *ends = settings(cls, params, cls.name)  # scale_is_sane_at_initialisation asks the first
    for given in ends:
        for case in subjects(cls, **given):
            _assert_sane(case, f"with {given}")


def _assert_sane(case: Subject, when: str) -> None:
    output = case.call(case.build().eval(), case.inputs)[0]
    scale = output.detach().square().mean().sqrt().item()
    assert 0.1 <= scale <= 10, (
        f"{case.what}: {when} its output has a root mean square of {scale:.3g} at initialisation, "
        f"outside 0.1 to 10. Scale the initial weights by fan-in, or end with LayerNorm."
    )


def _vmap_subjects(cls: type[Fusion], **params: Any) -> Iterator[Subject]:
    if cls.capabilities.batched:
        yield from subjects(cls, **params)


def fusion_checks(reference: Reference | None = None) -> tuple[Check, ...]:
    """All promises of a fusion, to parametrise a test: each takes the class and its parameters.

    ``reference(fusion, features)`` is its formula, written slowly; it adds a promise.
    """
    own = (
        it_is_declared_in_full,
        output_has_the_declared_width,
        modalities_may_differ_in_length,
        output_is_no_bottleneck,
        modalities_go_by_name,
        features_stay_where_they_are,
        every_modality_is_used,
        values_under_the_mask_do_not_matter,
        longer_padding_does_not_matter,
        attention_depends_on_its_query,
        missing_modality_leaves_no_trace,
        scale_is_sane_at_initialisation,
        whole_search_space_works,
        every_weight_matters,
        every_searched_parameter_matters,
        what_modalities_agree_on_is_learnt,
        interaction_learns_exclusive_or,
    )
    shared = (
        promises.every_tensor_is_registered,
        promises.eval_is_deterministic,
        promises.random_state_is_not_set,
        promises.samples_do_not_see_each_other,
        promises.training_does_not_mix_samples,
        promises.every_parameter_gets_a_gradient,
        promises.state_dict_restores_the_output,
        promises.forward_keeps_no_state,
        promises.inputs_are_never_modified,
        promises.degenerate_inputs_stay_finite,
        promises.it_moves_between_precisions_and_devices,
    )
    return (
        *(promise(check) for check in own),
        *(lifted(check, subjects) for check in shared),
        lifted(promises.members_train_together_under_vmap, _vmap_subjects),
        *([computes(reference, subjects)] if reference else ()),
    )
