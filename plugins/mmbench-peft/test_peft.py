"""On tiny random models: the contract, what trains, the formula, and saving."""

from pathlib import Path

import pytest
import torch
from mmbench_peft import SCALE, TimmLoRA, TransformersImageLoRA, TransformersLoRA
from torch import nn

from mmbench.api import Column, Incompatible, InvalidParameter
from mmbench.testing import check_encoder, check_installed

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "blue", "red", "circle"]
TEXTS = ("a blue circle", "red", "a red circle a")
IMAGES = torch.randint(
    256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TIMM = {"model": "test_resnet"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A tiny BERT, GPT-2 and ViT, as transformers saves them."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokeniser = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "[UNK]"))
    tokeniser.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    made = {}
    for name, config in {
        "bert": transformers.BertConfig(**SMALL, intermediate_size=24, vocab_size=len(WORDS)),
        "gpt2": transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=len(WORDS)),
        "vit": transformers.ViTConfig(**SMALL, intermediate_size=24, image_size=16, patch_size=8),
    }.items():
        folder = tmp_path_factory.mktemp(name)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        if name != "vit":
            transformers.PreTrainedTokenizerFast(tokenizer_object=tokeniser).save_pretrained(folder)
        made[name] = str(folder)
    return made


def trained(encoder: nn.Module) -> set[str]:
    return {name for name, p in encoder.named_parameters() if p.requires_grad}


def test_they_keep_the_contract(folders):
    check_encoder(TimmLoRA, Column(IMAGES), **TIMM)
    check_encoder(TransformersLoRA, Column(TEXTS), model=folders["bert"], last_blocks=1)
    check_encoder(TransformersImageLoRA, Column(IMAGES[..., :16, :16]), model=folders["vit"])


@pytest.mark.parametrize("name", ["timm", "bert", "gpt2", "vit"])
def test_only_adapters_train(folders, name):
    build = {
        "timm": lambda: TimmLoRA(TimmLoRA.fit(Column(IMAGES)), dropout=0.2, **TIMM),
        "bert": lambda: TransformersLoRA({}, model=folders["bert"]),
        "gpt2": lambda: TransformersLoRA({}, model=folders["gpt2"]),
        "vit": lambda: TransformersImageLoRA(
            TransformersImageLoRA.fit(Column(IMAGES)), model=folders["vit"]
        ),
    }[name]
    encoder = build().train()
    assert trained(encoder) and all("lora_" in parameter for parameter in trained(encoder))
    assert not encoder.frozen
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    values = IMAGES if name in ("timm", "vit") else encoder.prepare(TEXTS)
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], 0.1)
    for _ in range(2):  # A moves once B is no longer zero
        optimizer.zero_grad()
        encoder(values).pooled[:, ::2].square().sum().backward()
        optimizer.step()
    changed = {k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and changed <= trained(encoder)
    if name != "timm":  # whose residual branches start at zero and pass nothing back at first
        assert changed == trained(encoder)
    other = build()
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other.eval()(values).pooled, encoder.eval()(values).pooled)


def test_an_adapter_adds_a_product_of_rank_r(folders):
    encoder = TransformersLoRA({}, model=folders["bert"], rank=3).eval()
    layer = encoder.model.encoder.layer[0].attention.self.query
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape == (3, 16) and b.shape == (16, 3) and not b.any()
    x = torch.randn(2, 16)
    torch.testing.assert_close(layer(x), layer.base_layer(x))
    b.data = torch.randn_like(b)
    torch.testing.assert_close(layer(x), layer.base_layer(x) + SCALE * (x @ a.T) @ b.T)


def test_adapters_in_the_last_blocks_alone(folders):
    bert = TransformersLoRA({}, model=folders["bert"], last_blocks=1)
    assert all(name.startswith("model.encoder.layer.1.") for name in trained(bert))
    timm = TimmLoRA(TimmLoRA.fit(Column(IMAGES)), last_blocks=1, **TIMM).train()
    assert all(name.startswith("model.layer4.") for name in trained(timm))
    assert not any(m.training for m in timm.modules() if isinstance(m, nn.BatchNorm2d))
    with pytest.raises(InvalidParameter, match="there are 2"):
        TransformersLoRA({}, model=folders["bert"], last_blocks=3)


def test_a_model_without_layers_to_adapt():
    from mmbench_peft import adapt

    with pytest.raises(Incompatible, match="LayerNorm has no linear layer"):
        adapt("lora", nn.LayerNorm(3), rank=2, dropout=0.0)


def test_they_are_found_by_their_entry_point():
    classes = (TimmLoRA, TransformersLoRA, TransformersImageLoRA)
    check_installed("mmbench-peft", *classes)
    assert all(cls.offered == "named" for cls in classes)


def test_peft_is_imported_late():
    source = (Path(__file__).parent / "mmbench_peft.py").read_text()
    assert not any(line.startswith(("import peft", "from peft")) for line in source.splitlines())
