"""What every fusion promises of tokens: how many there are, which are padding, who reads them."""

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Fusion
from mmbench.testing.fusion_examples import junked, modalities_of, subjects
from mmbench.testing.subject import Inputs, Subject, cast, close


def modalities_may_differ_in_length(cls: type[Fusion], **params: Any) -> None:
    """Each modality has its own number of tokens: do not add or stack them along time.

    Unless it declares ``needs_sequences``, a modality may be a plain vector, one token long.
    """
    shortest = 2 if cls.capabilities.needs_sequences else 1
    for case in subjects(cls, **params):
        fusion, unequal = case.build().eval(), dict(case.inputs)
        for more, m in enumerate(modalities_of(case)):
            for key in (f"{m}.tokens", f"{m}.mask"):
                unequal[key] = unequal[key][:, : shortest + more]
        output = case.call(fusion, unequal)[0]
        assert output.shape[-1] == fusion.out_dim and output.isfinite().all(), (
            f"{case.what}: modalities of unequal lengths give {tuple(output.shape)}."
        )


def values_under_the_mask_do_not_matter(cls: type[Fusion], **params: Any) -> None:
    """Whatever stands in padding tokens, the output is the same."""
    for case in subjects(cls, **params):
        fusion = case.build().eval()
        expected = case.call(fusion, case.inputs)
        for junk in (1e3, torch.inf, torch.nan):
            got = case.call(fusion, junked(case.inputs, junk))
            assert close(expected, got), (
                f"{case.what}: with {junk} under the mask the output changes. Start from pooled, "
                f"or from torch.where(mask[..., None], tokens, 0), and mask the attention."
            )


def longer_padding_does_not_matter(cls: type[Fusion], **params: Any) -> None:
    """More padding tokens at the end change nothing."""
    for case in subjects(cls, **params):
        fusion = case.build().eval()
        longer = {
            k: v if k.endswith(".pooled") else torch.cat([v, torch.zeros_like(v)], 1)
            for k, v in case.inputs.items()
        }
        assert close(case.call(fusion, case.inputs), case.call(fusion, longer)), (
            f"{case.what}: more padding changes the output. Divide by the number of real tokens, "
            f"and never read the last position without looking at the mask."
        )


def attention_depends_on_its_query(cls: type[Fusion], **params: Any) -> None:
    """With ``needs_sequences``, one modality decides how another's tokens are read.

    Two tokens of b change in opposite ways, so that their mean stays: the output must change, and
    must change otherwise when the other modalities say something else.
    """
    if not cls.capabilities.needs_sequences:
        return
    for case in subjects(cls, **params):
        fusion, effects, others = case.build().eval().double(), [], []
        inputs = cast(case.inputs, torch.float64)
        for m in modalities_of(case):
            swapped = {k: v if k.startswith(f"{m}.") else v.flip(0) for k, v in inputs.items()}
            effect = _effect_of_tokens(case, fusion, inputs, m)
            other = _effect_of_tokens(case, fusion, swapped, m)
            assert effect.abs().max() > 1e-9, (
                f"{case.what}: only the mean of the tokens of {m!r} matters. Attention over a "
                f"single pooled key is always 1, whatever the query: attend to tokens."
            )
            effects.append(effect)
            others.append(other)
        assert len(effects) == 1 or not torch.allclose(
            torch.stack(effects), torch.stack(others), rtol=1e-6, atol=1e-9
        ), (
            f"{case.what}: how the tokens of one modality are read never depends on another. The "
            f"softmax must be over the keys, and the query must come from another modality."
        )


def _effect_of_tokens(case: Subject, fusion: nn.Module, inputs: Inputs, modality: str) -> Tensor:
    """What moving the first two tokens of a modality apart does to the output (batch, out_dim)."""
    key = f"{modality}.tokens"
    shift = torch.zeros_like(inputs[key])
    shift[:, 0], shift[:, 1] = 1.0, -1.0
    moved = {**inputs, key: inputs[key] + shift}
    return case.call(fusion, moved)[0] - case.call(fusion, inputs)[0]
