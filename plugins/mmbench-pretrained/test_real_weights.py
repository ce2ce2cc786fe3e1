"""The weights themselves, where they were fetched: `mmbench weights fetch lite0 minilm …` first."""

import pytest
import torch
from mmbench_pretrained import catalogue, lite0
from mmbench_pretrained.ge2e import GE2E
from mmbench_pretrained.glove import Glove
from mmbench_pretrained.lite0 import Lite0
from mmbench_pretrained.minilm import MiniLM
from mmbench_pretrained.package import MODEL
from mmbench_pretrained.store import require, verify
from mmbench_pretrained.whisper import WhisperBase, WhisperTiny
from torch.nn import functional as F

from mmbench.api import Column
from mmbench.testing import check_encoder

pytestmark = pytest.mark.slow
NEEDS = {
    Lite0: "lite0", MiniLM: "minilm", Glove: "glove", WhisperTiny: "whisper-tiny",
    WhisperBase: "whisper-base", GE2E: "ge2e",
}  # fmt: skip
SAID, SAID_OTHERWISE = "A man is playing the guitar.", "Somebody plays a guitar."
UNRELATED = "The stock market fell sharply today."


def fetched(cls):
    """``cls``, or a test that is left out with the command that would change that."""
    if verify(catalogue.named(NEEDS[cls])) != "intact":
        pytest.skip(f"mmbench weights fetch {NEEDS[cls]}")
    return cls


def photographs() -> list[torch.Tensor]:
    """A Chinese palace and a dahlia, from scikit-learn."""
    from sklearn.datasets import load_sample_images

    return [torch.from_numpy(i.copy()).permute(2, 0, 1) for i in load_sample_images().images]


def test_lite0_recognises_photographs():
    fetched(Lite0)
    import timm
    from safetensors.torch import load_file
    from timm.data import ImageNetInfo

    model, names = timm.create_model("tf_efficientnet_lite0").eval(), ImageNetInfo()
    model.load_state_dict(load_file(require(lite0.WEIGHTS) / MODEL))
    for image, expected in zip(photographs(), ("palace", "daisy"), strict=True):
        pixels = F.interpolate(image[None] / 127.5 - 1, (224, 224), mode="bicubic", antialias=True)
        best = model(pixels).topk(3).indices[0].tolist()
        assert expected in [names.index_to_description(i) for i in best]


def test_lite0_keeps_the_contract():
    images = torch.stack([i[:, :320, :320] for i in photographs()])
    check_encoder(fetched(Lite0), Column(images))


@pytest.mark.parametrize(("cls", "apart"), [(MiniLM, 0.6), (Glove, 0.1)])
def test_a_paraphrase_is_near(cls, apart):
    check_encoder(fetched(cls), Column((SAID, "a guitar")))
    encoder = cls({}).eval()
    one, same, other = F.normalize(
        encoder(encoder.prepare((SAID, SAID_OTHERWISE, UNRELATED))).pooled, dim=1
    )
    assert one @ same > 0.8 and one @ same - one @ other > apart


@pytest.mark.parametrize("cls", [WhisperTiny, WhisperBase])
def test_whisper_on_a_whole_window_is_that_of_the_transformers_library(cls):
    """30 s, the length it was trained on: the same weights in another implementation."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    ours = fetched(cls)({}).eval()
    width, layers = ours.out_dim, len(ours.model.layers)
    config = WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width,
    )  # fmt: skip
    theirs = WhisperEncoder(config).eval()
    theirs.load_state_dict(transformers_names(ours.model.state_dict(), width))
    mel = torch.randn(1, 80, 3000).clamp(-1, 1)
    with torch.no_grad():
        states, _ = ours.model(mel.transpose(1, 2), torch.ones(1, 3000, dtype=torch.bool))
        expected = theirs(mel).last_hidden_state
    torch.testing.assert_close(states, expected, rtol=1e-3, atol=2e-3)


def transformers_names(states: dict[str, torch.Tensor], width: int) -> dict[str, torch.Tensor]:
    names = {
        "attention_norm": "self_attn_layer_norm", "out": "self_attn.out_proj",
        "feed_norm": "final_layer_norm", "feed.0": "fc1", "feed.2": "fc2",
    }  # fmt: skip
    found = {}
    for name, value in states.items():
        path, _, leaf = name.rpartition(".")
        if name == "positions":
            found["embed_positions.weight"] = value
        elif path.endswith("query_key_value"):
            layer = path.removesuffix("query_key_value")
            for letter, part in zip("qkv", value.split(width), strict=True):
                if (letter, leaf) != ("k", "bias"):
                    found[f"{layer}self_attn.{letter}_proj.{leaf}"] = part
        elif path.startswith("layers."):
            _, layer, own = path.split(".", 2)
            found[f"layers.{layer}.{names[own]}.{leaf}"] = value
        else:
            found[f"{'layer_norm' if path == 'norm' else path}.{leaf}"] = value
    return found


@pytest.mark.parametrize("cls", [WhisperTiny, WhisperBase, GE2E])
def test_speech_encoders_keep_the_contract(cls):
    noise = 0.1 * torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))
    noise[1, 40_000:] = torch.nan
    check_encoder(fetched(cls), Column(noise))
