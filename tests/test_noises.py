"""Noise of every kind: what each severity does, against slow and obvious formulas."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mmbench.evaluation.robustness.audio import silence, white_noise
from mmbench.evaluation.robustness.document import NOISES
from mmbench.evaluation.robustness.image import IMAGE, blur, contrast, gaussian, occlusion
from mmbench.evaluation.robustness.noise import SHARES, Noise
from mmbench.evaluation.robustness.numbers import (
    SERIES,
    TABULAR,
    dropped_cells,
    exchanged,
    permuted_cells,
    permuted_steps,
)
from mmbench.evaluation.robustness.text import dropped, misspelt, swapped, typos
from mmbench.testing import check_noise

WORDS = (
    *("is", "there", "a", "small", "blue", "circle", "behind", "the"),
    *("large", "yellow", "triangle", "or", "beside", "it"),
)


def stream(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def series() -> Tensor:
    """(50, 12, 3), the last two steps of half of them padding."""
    values = torch.randn(50, 12, 3, generator=stream(1))
    values[::2, -2:] = torch.nan
    return values


VALUES: dict[str, Any] = {
    "image": torch.randint(256, (20, 3, 48, 40), generator=stream(1), dtype=torch.uint8),
    "video": torch.rand(3, 2, 3, 40, 40, generator=stream(1)),
    "text": tuple(" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))) * 4,
    "audio": torch.randn(20, 400, generator=stream(1)),
    "tabular": torch.randn(300, 4, generator=stream(1)) * torch.tensor([1.0, 10.0, 0.1, 3.0]),
    "series": series(),
}
CASES = [
    pytest.param(kind, noise, id=f"{kind}-{noise.name}")
    for kind, noises in NOISES.items()
    for noise in noises
]


@pytest.mark.parametrize(("kind", "noise"), CASES)
def test_every_noise_keeps_its_promises(kind: str, noise: Noise[Any]) -> None:
    check_noise(noise, VALUES[kind])
    assert noise(VALUES[kind], 0, stream()) is VALUES[kind], "severity 0 costs nothing"


# ---- images


def test_gaussian_noise_has_the_standard_deviation_it_says() -> None:
    grey = torch.full((4, 1, 100, 100), 128, dtype=torch.uint8)
    for level in (0.04, 0.08):  # so little that nothing is clipped
        std = gaussian(grey, level, stream()).double().std().item()
        assert std == pytest.approx(level * 255, rel=0.02)


def test_floating_images_keep_their_own_range() -> None:
    images = torch.rand(5, 3, 16, 16, generator=stream()) * 4 - 2
    for noise in IMAGE:
        noisy = noise(images, 5, stream())
        assert noisy.min() >= images.min() and noisy.max() <= images.max()


def test_contrast_is_scaled_about_each_channels_mean() -> None:
    images = torch.rand(3, 2, 8, 8, generator=stream())
    lower = contrast(images, 0.3, stream())
    assert torch.allclose(lower.mean((-2, -1)), images.mean((-2, -1)), atol=1e-6)
    assert torch.allclose(lower.std((-2, -1)), 0.3 * images.std((-2, -1)), atol=1e-6)


def test_blur_spreads_a_point_as_a_gaussian_would() -> None:
    image = torch.zeros(1, 1, 65, 65)
    image[0, 0, 32, 32] = 1.0
    smooth = blur(image, 4 / 65, stream())[0, 0]  # a standard deviation of 4 pixels
    offset = torch.arange(65.0) - 32
    assert smooth.sum() == pytest.approx(1.0, abs=1e-4)
    assert (smooth.sum(0) * offset.square()).sum().sqrt() == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("share", SHARES)
def test_occlusion_covers_its_share_by_one_rectangle_inside(share: float) -> None:
    images = torch.rand(30, 3, 40, 50, generator=stream()) * 0.4  # the grey of 0.5 is not in them
    images[0, 0, 0, 0] = 1.0
    covered = (occlusion(images, share, stream()) != images).all(1)
    assert covered.float().mean((1, 2)).tolist() == pytest.approx([share] * 30, abs=0.03)
    for one in covered:
        rows, columns = one.any(1).sum(), one.any(0).sum()
        assert int(one.sum()) == int(rows * columns)
    wider = (occlusion(images, share + 0.1, stream()) != images).all(1)
    assert (wider | ~covered).all(), "a higher severity covers what a lower one did"


def test_blur_is_measured_by_the_shorter_side() -> None:
    image = torch.randint(256, (1, 3, 40, 80), generator=stream(), dtype=torch.uint8)
    smooth = blur(image, 0.05, stream()).float()
    for other in (
        blur(image.mT, 0.05, stream()).mT,
        blur(image.reshape(3, 1, 40, 80), 0.05, stream()).reshape(image.shape),
    ):
        torch.testing.assert_close(other.float(), smooth, atol=1, rtol=0)


def test_occlusion_may_lie_anywhere() -> None:
    images = torch.rand(400, 1, 8, 10, generator=stream()) * 0.4
    images[0, 0, 0, 0] = 1.0
    covered = (occlusion(images, 0.25, stream()) != images).all(1).float().mean(0)
    assert (covered > 0).all() and (covered < 1).all()
    assert torch.allclose(covered, covered.flip(0, 1), atol=0.1)


# ---- texts


def luck(texts: Sequence[str], draws: int) -> list[list[list[float]]]:
    draw = stream()
    return [torch.rand(len(t.split()), draws, generator=draw).tolist() for t in texts]


@pytest.mark.parametrize("share", SHARES)
def test_just_the_words_that_are_hit_are_dropped(share: float) -> None:
    texts = VALUES["text"]
    expected = []
    for text, numbers in zip(texts, luck(texts, 1), strict=True):
        kept = [w for w, (u,) in zip(text.split(), numbers, strict=True) if not u < share]
        expected.append(" ".join(kept))
    found = dropped(texts, share, stream())
    assert list(found) == expected
    lost = 1 - sum(len(t.split()) for t in found) / sum(len(t.split()) for t in texts)
    assert lost == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("share", SHARES)
def test_just_the_words_that_are_hit_are_misspelt_by_one_slip(share: float) -> None:
    texts = VALUES["text"]
    found = typos(texts, share, stream())
    for text, wrong, numbers in zip(texts, found, luck(texts, 4), strict=True):
        for before, after, (u, *_) in zip(text.split(), wrong.split(), numbers, strict=True):
            assert slips(before, after) == (1 if u < share else 0)


def slips(a: str, b: str) -> int:
    """Damerau's distance where it is 0 or 1; else 2."""
    if a == b:
        return 0
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    one = {a[:i] + a[i + 1 :] for i in range(len(a))}
    one |= {a[:i] + c + a[i:] for i in range(len(a) + 1) for c in alphabet}
    one |= {a[:i] + c + a[i + 1 :] for i in range(len(a)) for c in alphabet}
    one |= {a[:i] + a[i + 1] + a[i] + a[i + 2 :] for i in range(len(a) - 1)}
    return 1 if b in one else 2


def test_each_slip_is_what_it_says() -> None:
    assert misspelt("word", 0.0, 0.25, 0.0) == "wrod"
    assert misspelt("word", 0.25, 0.25, 0.0) == "wrd"
    assert misspelt("word", 0.5, 0.25, 0.0) == "woord"
    assert misspelt("word", 0.75, 0.25, 0.0) == "ward"
    assert misspelt("a", 0.25, 0.0, 0.0) == "aa", "a word never vanishes"
    assert misspelt("aab", 0.0, 0.0, 0.0) == "aaab", "a word always changes"


@pytest.mark.parametrize("share", SHARES)
def test_just_the_pairs_that_are_hit_are_swapped(share: float) -> None:
    texts = VALUES["text"]
    for text, wrong, numbers in zip(
        texts, swapped(texts, share, stream()), luck(texts, 2), strict=True
    ):
        expected, at = text.split(), 1 if numbers[0][1] >= 0.5 else 0
        while at + 1 < len(expected):
            if numbers[at][0] < share:
                expected[at : at + 2] = [expected[at + 1], expected[at]]
            at += 2
        assert wrong.split() == expected


def test_texts_without_words_stay() -> None:
    for noise in NOISES["text"]:
        assert noise(("", "  "), 5, stream()) == ("", "  ")


# ---- sound


@pytest.mark.parametrize("decibels", [20.0, 0.0, -5.0])
def test_the_signal_to_noise_ratio_is_met_in_every_clip(decibels: float) -> None:
    clips = torch.randn(6, 500, generator=stream(2)) * torch.tensor(
        [[1.0], [9], [0.1], [1], [1], [0]]
    )
    clips[3, 300:] = torch.nan  # padding
    noise = white_noise(clips, decibels, stream()) - clips
    for clip, added in zip(clips[:5], noise[:5], strict=True):
        power = clip[~clip.isnan()].square().mean()
        ratio = 10 * torch.log10(power / added[~added.isnan()].square().mean())
        assert ratio.item() == pytest.approx(decibels, abs=0.01)
    assert (noise[5] == 0).all(), "silence has no power to compare with"


def test_integer_samples_stay_integers_within_their_range() -> None:
    clips = (torch.randn(3, 2, 1000, generator=stream(2)) * 3000).to(torch.int16)
    noisy = white_noise(clips, 10.0, stream())
    assert noisy.dtype == torch.int16
    noise = (noisy.double() - clips.double()).square().mean((1, 2))
    ratio = 10 * torch.log10(clips.double().square().mean((1, 2)) / noise)
    assert ratio.tolist() == pytest.approx([10.0] * 3, abs=0.01)
    ends = white_noise(5 * clips, -5.0, stream()).unique()
    assert (ends[0], ends[-1]) == (-(2**15), 2**15 - 1), "loud noise is cut off and never wraps"
    loud = white_noise(5 * clips, -5.0, stream()).double() - 5 * clips.double()
    ratio = 10 * torch.log10((5 * clips.double()).square().mean() / loud.square().mean())
    assert -5 < ratio < 0, "which leaves less of it"


def test_a_silent_span_is_one_span() -> None:
    clips = torch.ones(40, 2, 90)
    silent = silence(clips, 0.3, stream()) == 0
    assert (silent.sum(2) == 27).all() and torch.equal(silent[:, 0], silent[:, 1])
    edges = silent[:, 0].int().diff().abs().sum(1)
    assert (edges <= 2).all() and len(silent[:, 0].int().argmax(1).unique()) > 10


# ---- tables and series


def test_noise_is_measured_in_standard_deviations_of_the_feature() -> None:
    table = torch.randn(4000, 3, generator=stream(1)) * torch.tensor([1.0, 100.0, 0.0])
    for noise, wanted in zip(
        [TABULAR[0](table, s, stream()) - table for s in (1, 5)], (0.1, 2.0), strict=True
    ):
        assert noise[:, 0].std() == pytest.approx(wanted, rel=0.05)
        assert noise[:, 1].std() == pytest.approx(100 * wanted, rel=0.05)
        assert (noise[:, 2] == 0).all(), "a constant has no scale"


def test_dropped_cells_are_at_the_mean_of_those_that_are_there() -> None:
    table = torch.randn(500, 3, generator=stream(1))
    table[::5, 1] = torch.nan
    found = dropped_cells(table, 0.4, stream())
    hit = (found != table) & ~table.isnan()
    means = torch.stack([column[~column.isnan()].mean() for column in table.T])
    assert torch.allclose(found[hit], means.expand_as(table)[hit], atol=1e-6)
    assert hit.sum() / (~table.isnan()).sum() == pytest.approx(0.4, abs=0.05)


def test_integer_tables_become_numbers() -> None:
    table = torch.arange(40).reshape(20, 2)
    for noise in TABULAR[:2]:
        assert noise(table, 3, stream()).dtype == torch.float32


def test_permuted_cells_stay_in_their_feature_and_truly_move() -> None:
    table = torch.randn(400, 3, generator=stream(1))
    found = permuted_cells(table, 0.3, stream())
    assert torch.allclose(found.sort(0).values, table.sort(0).values, atol=1e-6)
    moved = (found != table).float().mean(0)
    assert moved.tolist() == pytest.approx([0.3] * 3, abs=0.08)
    assert not torch.equal(found[:, 0] != table[:, 0], found[:, 1] != table[:, 1])


def test_permuted_steps_move_whole_and_padding_stays() -> None:
    values = series()
    found = permuted_steps(values, 0.5, stream())
    for before, after in zip(values, found, strict=True):
        steps = {tuple(s.tolist()) for s in before if not s.isnan().any()}
        assert {tuple(s.tolist()) for s in after if not s.isnan().any()} == steps


def test_the_order_is_a_permutation_of_what_is_hit() -> None:
    movable = torch.rand(30, 25, generator=stream(3)) < 0.8
    order = exchanged(movable, 0.4, stream())
    hit = (torch.rand(movable.shape, generator=stream()) < 0.4) & movable
    for line, places in zip(order.tolist(), hit.tolist(), strict=True):
        assert sorted(line) == list(range(25))
        for at, source in enumerate(line):
            assert source == at if not places[at] else places[source]


def test_dropped_steps_are_dropped_from_all_features() -> None:
    values = torch.randn(60, 10, 4, generator=stream(1))
    changed = SERIES[1](values, 4, stream()) != values
    assert torch.equal(changed.any(2), changed.all(2))
    assert changed.float().mean() == pytest.approx(SHARES[3], abs=0.06)
