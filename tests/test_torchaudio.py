"""Speech models of torchaudio in small: against its own forward, weights, what trains."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchaudio import models, pipelines

from mmbench.encoders.torchaudio_models import TorchaudioModel, known_models, standardised
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.testing import check_encoder
from mmbench.types import Column, Encoded

SMALL = {
    "extractor_mode": "group_norm", "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2)],
    "extractor_conv_bias": False, "encoder_embed_dim": 16, "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 4, "encoder_pos_conv_groups": 2, "encoder_num_layers": 3,
    "encoder_num_heads": 2, "encoder_attention_dropout": 0.1, "encoder_ff_interm_features": 24,
    "encoder_ff_interm_dropout": 0.1, "encoder_dropout": 0.1, "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.5, "aux_num_out": None,
}  # fmt: skip
LARGE = {**SMALL, "extractor_mode": "layer_norm", "encoder_layer_norm_first": True}
PLACES = {"encoder_num_buckets": 8, "encoder_max_distance": 20}
NAMES = ("wav2vec2_base", "hubert_large", "wavlm_base", "wavlm_large")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small models by the names of large ones, and no weights anywhere."""
    made = {
        "wav2vec2_base": lambda: models.wav2vec2_model(**SMALL),
        "hubert_large": lambda: models.wav2vec2_model(**LARGE),
        "wavlm_base": lambda: models.wavlm_model(**SMALL, **PLACES),
        "wavlm_large": lambda: models.wavlm_model(**LARGE, **PLACES),
    }
    for name, make in made.items():
        monkeypatch.setattr(models, name, make)
    bundle = pipelines.Wav2Vec2Bundle("published.pth", {**SMALL}, 16_000, False, "Wav2Vec2")
    monkeypatch.setattr(pipelines, "WAV2VEC2_BASE", bundle)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def clips(*lengths: int) -> torch.Tensor:
    """(clips, samples) of noise, NaN after the end of each."""
    draw = torch.Generator().manual_seed(0)
    found = 0.1 * torch.randn(len(lengths), max(lengths), generator=draw)
    beyond = torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1)
    return found.masked_fill(beyond, torch.nan)


def built(**params) -> TorchaudioModel:
    torch.manual_seed(0)
    return TorchaudioModel(TorchaudioModel.fit(Column(clips(400, 400))), **params).eval()


def encode(encoder: TorchaudioModel, inputs: torch.Tensor) -> Encoded:
    with torch.no_grad():
        return encoder(encoder.prepare(inputs))


@pytest.mark.parametrize("name", NAMES)
def test_they_keep_the_contract(name):
    check_encoder(TorchaudioModel, Column(clips(900, 900, 700, 400, 900)), model=name)


@pytest.mark.parametrize("name", NAMES)
def test_each_clip_is_as_torchaudio_encodes_it_alone(name):
    encoder, lengths = built(model=name), (1000, 777, 430)
    found = encode(encoder, clips(*lengths))
    for row, length in enumerate(lengths):
        alone = clips(*lengths)[row, :length]
        if name.endswith("large"):
            alone = torch.nn.functional.layer_norm(alone, alone.shape)
        with torch.no_grad():
            states, _ = encoder.model(alone.unsqueeze(0))
        assert int(found.mask[row].sum()) == states.shape[1]
        torch.testing.assert_close(
            found.tokens[row, : states.shape[1]], states[0], atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(found.pooled[row], states[0].mean(0), atol=1e-5, rtol=1e-4)


def test_a_batch_is_as_torchaudio_encodes_it():
    """Where it takes lengths and normalises no padding."""
    encoder, lengths = built(model="hubert_large"), torch.tensor([1000, 777, 430])
    inputs = clips(*lengths.tolist())
    found = encode(encoder, inputs)
    given = standardised(inputs.nan_to_num(), ~inputs.isnan())
    with torch.no_grad():
        states, times = encoder.model(given, lengths)
    for row, count in enumerate(times.tolist()):
        torch.testing.assert_close(found.tokens[row, :count], states[row, :count])
        assert int(found.mask[row].sum()) == count


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_short_or_padded(name):
    encoder = built(model=name)
    inputs = clips(1000, 800, 5, 300)
    inputs[3] = torch.nan
    long = torch.nn.functional.pad(inputs, (0, 500), value=torch.nan)
    found, again = encode(encoder, inputs), encode(encoder, long)
    assert found.present.tolist() == [True, True, True, False]
    assert found.mask.sum(1).tolist() == again.mask.sum(1).tolist()
    assert int(found.mask[2].sum()) == 1, "shorter than a window: silence follows"
    torch.testing.assert_close(found.pooled, again.pooled, atol=1e-5, rtol=1e-4)
    assert not found.pooled[3].any()
    assert encode(encoder, inputs[:0]).pooled.shape == (0, 16)
    assert encode(encoder, inputs[2:3, :5]).pooled.isfinite().all()
    silent = encode(encoder, torch.zeros(1, 600))
    assert silent.pooled.isfinite().all()


def test_whole_numbers_and_other_rates():
    encoder = built()
    floats = clips(800, 800)
    whole = (floats * 2**15).round().to(torch.int16)
    torch.testing.assert_close(
        encode(encoder, whole).pooled, encode(encoder, floats).pooled, atol=0.02, rtol=0.02
    )
    from torchaudio.functional import resample

    slow, inputs = built(sample_rate=8_000), clips(900, 700)
    once = resample(inputs[:, :900].nan_to_num(), 8_000, 16_000)
    once[1, 1400:] = torch.nan
    torch.testing.assert_close(encode(slow, inputs).tokens, encode(encoder, once).tokens)
    with pytest.raises(InvalidParameter, match="sample_rate = 0"):
        built(sample_rate=0)
    with pytest.raises(TypeError, match="takes clips"):
        TorchaudioModel.fit(Column(torch.rand(2, 3, 4)))


def test_what_trains_and_what_rests():
    def trained(encoder: TorchaudioModel) -> set[str]:
        return {name for name, p in encoder.model.named_parameters() if p.requires_grad}

    names = {name for name, _ in built().model.named_parameters()}
    assert trained(built()) == names and not trained(built(frozen=True))
    last = built(last_blocks=1).train()
    assert trained(last) == {n for n in names if n.startswith("encoder.transformer.layers.2.")}
    assert last.model.encoder.transformer.layers[2].dropout.training
    assert not last.model.encoder.transformer.layers[1].dropout.training
    with pytest.raises(InvalidParameter, match=r"there are 3.*from 1 to 3"):
        built(last_blocks=4)


# Weights ----------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path) -> Path:
    """Weights of the small pipeline with a head on top, as torchaudio publishes them."""
    torch.manual_seed(1)
    weights = models.wav2vec2_model(**{**SMALL, "aux_num_out": 29}).state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(weights, folder / "published.pth")
    save_file(weights, folder / "same.safetensors")
    return folder


@pytest.mark.parametrize("weights", ["", "published.pth", "same.safetensors", "."])
def test_weights_come_from_this_machine(published, weights):
    given = str(published / weights) if weights else ""
    encoder = built(model="WAV2VEC2_BASE", weights=given)
    torch.manual_seed(1)
    whole = models.wav2vec2_model(**{**SMALL, "aux_num_out": 29})
    own, theirs = encoder.model.state_dict(), whole.state_dict()
    assert set(theirs) - set(own) == {"aux.weight", "aux.bias"}
    assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_weights_of_older_releases(published):
    """They have the two halves of the normalised convolution under other names."""
    file = published / "published.pth"
    halves = {"original0": "weight_g", "original1": "weight_v"}
    older = {}
    for key, value in torch.load(file, weights_only=True).items():
        before, found, half = key.partition("parametrizations.weight.")
        older[before + halves[half] if found else key] = value
    torch.save(older, file)
    assert any(key.endswith("weight_g") for key in older)
    built(model="WAV2VEC2_BASE")


def test_what_is_not_there_is_said_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it asked the network"))
    begun = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"Download https://.*/published\.pth to .*/hub/"):
        built(model="WAV2VEC2_BASE")
    with pytest.raises(DataUnavailable, match=r"There is no weights file .*nowhere\.pth"):
        built(model="WAV2VEC2_BASE", weights=str(tmp_path / "nowhere.pth"))
    with pytest.raises(DataUnavailable, match="There is no weights file"):
        built(weights=str(tmp_path))
    assert time.monotonic() - begun < 5


def test_files_that_are_not_its_weights(published):
    file = published / "published.pth"
    whole = torch.load(file, weights_only=True)
    lacks = {k: v for k, v in whole.items() if "layers.2.attention.k_proj" not in k}
    for content, said in (
        (lacks, r"lacks 2 of them, such as 'encoder\.transformer\.layers\.2\.attention\.k_proj"),
        ({**whole, "more": torch.zeros(1)}, "has 1 others, such as 'more'"),
        ({**whole, "encoder.feature_projection.projection.bias": torch.zeros(3)}, "size mismatch"),
        ([1, 2], "does not hold weights of WAV2VEC2_BASE"),
    ):
        torch.save(content, file)
        with pytest.raises(DataUnavailable, match=said):
            built(model="WAV2VEC2_BASE")
    file.write_bytes(b"no archive")
    with pytest.raises(DataUnavailable, match=r"published\.pth does not hold weights"):
        built(model="WAV2VEC2_BASE")


def test_names():
    known = known_models()
    assert {"wav2vec2_base", "hubert_base", "wavlm_base", "WAVLM_BASE_PLUS", "MMS_FA"} < set(known)
    for name in ("wav2vec2_model", "hubert_pretrain_base", "SQUIM_OBJECTIVE", "Conformer", "xyz"):
        with pytest.raises(InvalidParameter, match=f"no speech model '{name}'.*It has wav"):
            built(model=name)


def test_pipelines_standardise_what_we_standardise():
    """As the fixture leaves them: all but one are the library's own."""
    for name in known_models():
        if isinstance(bundle := getattr(pipelines, name, None), pipelines.Wav2Vec2Bundle):
            layered = bundle._params["extractor_mode"] == "layer_norm"
            assert bundle._normalize_waveform == layered, name
            assert bundle.sample_rate == 16_000
