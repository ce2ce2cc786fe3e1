"""The adapters of the transformers library, on tiny random models saved as it saves them."""

import json
import time
from pathlib import Path

import pytest
import torch

from mmbench.encoders import _hub
from mmbench.encoders._length import to_length
from mmbench.encoders.transformers_image import TransformersImage
from mmbench.encoders.transformers_text import TransformersText
from mmbench.errors import DataUnavailable, Incompatible, InvalidParameter
from mmbench.testing import check_encoder
from mmbench.types import Column, Encoded

TEXTS = ("what color is the circle ?", "is there a blue circle ?", "blue", "")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({w for t in TEXTS for w in t.split()})]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
FEED = {"intermediate_size": 24}
VISION = {**SMALL, **FEED, "image_size": 24, "patch_size": 8}
TEXT_MODELS = {
    "bert": ("BertConfig", {**SMALL, **FEED}),
    "distilbert": ("DistilBertConfig", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
    "gpt2": ("GPT2Config", {"n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": None}),
    "t5": ("T5Config", {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}),
}
IMAGE_MODELS = {
    "vit": ("ViTConfig", VISION),
    "resnet": ("ResNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
}


def save(folder: Path, config: str, settings: dict) -> Path:
    import transformers

    from mmbench.encoders._transformers import quiet

    torch.manual_seed(0)
    with quiet():
        made = transformers.AutoModel.from_config(getattr(transformers, config)(**settings))
        made.save_pretrained(folder)
    return folder


def save_tokeniser(folder: Path, *, special: bool) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokeniser = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, "[UNK]"))
    tokeniser.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokeniser.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(tokenizer_object=tokeniser).save_pretrained(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of each model, made when it is first asked for."""
    made: dict[str, Path] = {}

    def folder(name: str) -> str:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            if name in TEXT_MODELS:
                config, settings = TEXT_MODELS[name]
                save(made[name], config, {"vocab_size": len(VOCABULARY), **settings})
                save_tokeniser(made[name], special=name != "gpt2")
            else:
                save(made[name], *IMAGE_MODELS[name])
        return str(made[name])

    return folder


def text_encoder(folder: str, **params) -> TransformersText:
    return TransformersText(TransformersText.fit(Column(TEXTS)), model=folder, **params).eval()


def trained(encoder) -> set[str]:
    return {name for name, p in encoder.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_text_models_keep_the_contract(saved, name):
    partly = {"frozen": False, "last_blocks": 1} if name == "bert" else {}
    check_encoder(TransformersText, Column(TEXTS), model=saved(name), **partly)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_image_models_keep_the_contract(saved, name):
    images = Column(torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8))
    partly = {"frozen": False, "last_blocks": 1} if name == "vit" else {}
    check_encoder(TransformersImage, images, model=saved(name), **partly)


def test_pooled_is_the_mean_of_what_the_model_itself_says_of_one_text(saved):
    from transformers import AutoModel, AutoTokenizer

    encoder = text_encoder(saved("bert"))
    tokeniser, model = (
        AutoTokenizer.from_pretrained(saved("bert")),
        AutoModel.from_pretrained(saved("bert")),
    )
    encoded = encoder(encoder.prepare(TEXTS))
    for row, text in enumerate(TEXTS):
        ids = tokeniser(text, return_tensors="pt")["input_ids"]
        states = model.eval()(input_ids=ids).last_hidden_state[0]
        assert encoded.mask[row].sum() == len(states)
        factor = 8 / states.mean(0).norm()
        torch.testing.assert_close(encoded.tokens[row, : len(states)], states * factor)
        torch.testing.assert_close(encoded.pooled[row], states.mean(0) * factor)


def test_padding_costs_nothing_and_changes_nothing(saved):
    encoder = text_encoder(saved("bert"))
    ids = encoder.prepare(("blue",))
    wide = torch.nn.functional.pad(ids, (0, 9), value=-1)
    seen = []
    encoder.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    one, other = encoder(ids), encoder(wide)
    assert seen == [3, 3]
    assert other.tokens.shape == (1, 12, 16)
    torch.testing.assert_close(one.pooled, other.pooled)
    assert encoder(wide[:0]).pooled.shape == (0, 16)
    assert encoder.prepare(()).shape == (0, 1)


def test_texts_are_cut(saved):
    ids = text_encoder(saved("bert"), max_tokens=4).prepare(("blue circle " * 9,))
    assert ids.tolist() == [[2, VOCABULARY.index("blue"), VOCABULARY.index("circle"), 3]]


def test_what_trains_and_what_rests(saved):
    names = {n for n, _ in text_encoder(saved("bert")).model.named_parameters()}
    assert not any("pooler" in name for name in names)
    frozen = text_encoder(saved("bert")).train()
    assert frozen.frozen and not trained(frozen)
    assert not any(part.training for part in frozen.model.modules())
    partly = text_encoder(saved("bert"), frozen=False, last_blocks=1).train()
    assert trained(partly) == {n for n in names if n.startswith("encoder.layer.1.")}
    assert partly.model.encoder.layer[1].attention.self.dropout.training
    assert not partly.model.embeddings.dropout.training
    assert trained(text_encoder(saved("bert"), frozen=False)) == names
    with pytest.raises(InvalidParameter, match=r"there are 2.*from 1 to 2"):
        text_encoder(saved("bert"), frozen=False, last_blocks=3)


def test_images_are_normalised_as_published_and_resized(saved, tmp_path):
    save(tmp_path, *IMAGE_MODELS["vit"])
    published = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 1.0, 2.0]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(published))
    images = torch.randint(256, (2, 3, 24, 24), dtype=torch.uint8)
    fitted = TransformersImage.fit(Column(images))
    encoder = TransformersImage(fitted, model=str(tmp_path)).eval()
    mean, std = (torch.tensor(published[k]).reshape(3, 1, 1) for k in ("image_mean", "image_std"))
    output = encoder.model(pixel_values=(images / 255 - mean) / std)
    encoded = encoder(images)
    tokens = output.last_hidden_state
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    expected = to_length(Encoded(tokens, mask, output.pooler_output))
    torch.testing.assert_close(encoded.pooled, expected.pooled)
    torch.testing.assert_close(encoded.tokens, expected.tokens)
    large = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert encoder(large).tokens.shape == encoded.tokens.shape


# What can be wrong with a folder -----------------------------------------------------------------


def test_folders_that_are_no_models(saved, tmp_path):
    with pytest.raises(DataUnavailable, match=r"no config\.json"):
        text_encoder(str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"no config\.json"):
        text_encoder("./nowhere")
    with pytest.raises(Incompatible, match="ViTModel, which reads pixel_values, not input_ids"):
        text_encoder(saved("vit"))
    config = json.loads((Path(saved("bert")) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataUnavailable, match="no model that can be loaded"):
        text_encoder(str(tmp_path))
    save(tmp_path, "BertConfig", {**SMALL, **FEED, "vocab_size": len(VOCABULARY)})
    with pytest.raises(DataUnavailable, match="holds no vocabulary"):
        text_encoder(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataUnavailable, match="no readable tokeniser"):
        text_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(DataUnavailable, match=r"missing, such as 'encoder\.layer\.2"):
        text_encoder(str(tmp_path))


def test_images_of_other_channels_are_refused(saved):
    with pytest.raises(Incompatible, match="3 channels; these have 1"):
        TransformersImage(TransformersImage.fit(Column(torch.rand(2, 1, 8, 8))), model=saved("vit"))


def test_offline_fails_fast(monkeypatch):
    import huggingface_hub
    import transformers  # noqa: F401, imported before the clock starts

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"cannot be reached.*mmbench weights list"):
        text_encoder("someone/some-model")
    assert time.monotonic() - begun < 2 * _hub.PROBE_SECONDS


def test_a_cached_model_needs_no_network(saved, monkeypatch):
    import huggingface_hub

    config = str(Path(saved("bert")) / "config.json")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: config)
    assert text_encoder("someone/some-model").out_dim == 16


def test_a_malformed_name_is_an_error_of_ours():
    with pytest.raises(DataUnavailable, match="cannot be had from the hub"):
        text_encoder("a/b/c/d")
