"""Speech models of the torchaudio library (Yang et al., ICASSP 2022): wav2vec 2.0 and its kin.

wav2vec 2.0 (Baevski et al., NeurIPS 2020), HuBERT (Hsu et al., TASLP 2021), WavLM (Chen et al.,
JSTSP 2022) and others that torchaudio lists, with random weights or those that it publishes. The
weights are read from this machine; nothing is downloaded.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted, Offered
from mmbench.encoders._audio import RATE, AudioEncoder
from mmbench.encoders._partial import PartlyTrained, blocks_along, choose_trained
from mmbench.encoders._wav2vec2 import encoded, fewest_samples, first, is_standardised
from mmbench.errors import DataUnavailable, InvalidParameter, did_you_mean
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Encoded

PUBLISHED = "https://download.pytorch.org/torchaudio/models/"
LAYERS = "encoder.transformer.layers"
HEAD = "aux."
"""What reads letters off the states, where a model was trained to."""


class TorchaudioModel(PartlyTrained, AudioEncoder):
    """Tokens are the last states, one for every 20 ms; pooled is their mean.

    ``model``: one that ``torchaudio.models`` builds, such as ``wav2vec2_base``, with random
    weights, or one of ``torchaudio.pipelines``, such as ``WAV2VEC2_BASE``, with published ones.
    ``weights``: the path of a file with other weights of that model, or of the folder where the
    published file lies. ``frozen``, or only the ``last_blocks`` train (0: all do). Clips are
    floating point from −1 to 1 or int16, NaN is padding; ``sample_rate`` is theirs in hertz, other
    than 16,000 is resampled.
    """

    name = "torchaudio"
    emits_sequences = True
    offered: ClassVar[Offered] = "named"
    batched = False  # the library branches on values

    def __init__(
        self,
        fitted: Fitted,
        *,
        model: str = "wav2vec2_base",
        weights: str = "",
        frozen: bool = False,
        last_blocks: int = 0,
        sample_rate: int = RATE,
    ) -> None:
        super().__init__(fitted)
        if sample_rate < 1:
            raise InvalidParameter(f"{self.name}.sample_rate = {sample_rate}. Allowed: above 0.")
        self.model = build(model, weights)
        self.frozen, self.sample_rate = frozen, sample_rate
        self.shortest, self.standardised = fewest_samples(self.model), is_standardised(self.model)
        self.out_dim: int = self.model.encoder.feature_projection.projection.out_features
        blocks = blocks_along(self.model, LAYERS)
        choose_trained(self.name, self.model, blocks, frozen=frozen, last_blocks=last_blocks)
        self.train()

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Nothing: the scale of sound is known."""
        cls.sample(train)
        return {}

    def forward(self, inputs: Tensor) -> Encoded:
        if len(inputs) == 0:  # the library cannot reshape nothing
            nothing = inputs.new_zeros(0, 1, self.out_dim, dtype=torch.get_default_dtype())
            return Encoded(nothing, torch.zeros_like(nothing[..., 0], dtype=torch.bool))
        clips, lengths = self.clips(inputs)
        states, mask = encoded(self.model, clips, lengths.clamp(min=self.shortest))
        return Encoded(states, mask & (lengths > 0).unsqueeze(1))

    def clips(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, samples) at 16 kHz with zeros for padding, and how many of each are real."""
        if not inputs.is_floating_point():
            inputs = inputs / 2**15
        places = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
        lengths = (~inputs.isnan() * places).amax(1)
        clips = inputs.nan_to_num()
        if self.sample_rate != RATE:
            from torchaudio.functional import resample

            clips = resample(clips, self.sample_rate, RATE)
            lengths = (lengths * RATE).div(self.sample_rate, rounding_mode="floor")
        clips = torch.nn.functional.pad(clips, (0, max(0, self.shortest - clips.shape[1])))
        real = first(lengths, clips.shape[1])
        return (standardised(clips, real) if self.standardised else clips * real), lengths


def standardised(clips: Tensor, real: Tensor) -> Tensor:
    """Each clip to mean 0 and variance 1 over what is real of it, zeros elsewhere."""
    count = real.sum(1, keepdim=True).clamp(min=1)
    centred = (clips - (clips * real).sum(1, keepdim=True) / count) * real
    return centred * (centred.square().sum(1, keepdim=True) / count + 1e-5).rsqrt()


def build(name: str, weights: str) -> Any:
    """The model without a head, from torchaudio's factory or from the pipeline that it is of."""
    from torchaudio import models, pipelines

    bundle = getattr(pipelines, name, None)
    factory = getattr(models, name, None)
    if isinstance(bundle, pipelines.Wav2Vec2Bundle):
        makers = {"Wav2Vec2": models.wav2vec2_model, "WavLM": models.wavlm_model}
        model = makers[bundle._model_type](**{**bundle._params, "aux_num_out": None})
    elif factory is not None and name in known_models():
        model, bundle = factory(), None
    else:
        raise InvalidParameter(
            f"torchaudio has no speech model {name!r}.{did_you_mean(name, known_models())} It has "
            f"{', '.join(known_models())}."
        )
    if (file := weight_file(name, weights, bundle._path if bundle else "")) is not None:
        load(model, file, name)
    return model


def known_models() -> list[str]:
    """The factories of whole models, then the pipelines with published weights."""
    from torchaudio import models, pipelines

    made = ("wav2vec2_", "hubert_", "wavlm_")
    factories = [
        name
        for name in models.__all__
        if name.startswith(made) and "pretrain" not in name and not name.endswith("_model")
    ]
    published = [
        name
        for name in pipelines.__all__
        if isinstance(getattr(pipelines, name), pipelines.Wav2Vec2Bundle)
    ]
    return [*factories, *published]


def weight_file(name: str, weights: str, published: str) -> Path | None:
    """Where the weights of a model lie; None if they are to be random.

    ``published``: the file of torchaudio's that a pipeline has, or its address.
    """
    file = published.rpartition("/")[2]
    given = Path(weights).expanduser()
    if weights and (found := given / file if given.is_dir() and file else given).is_file():
        return found
    if not weights and not published:
        return None
    place = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not weights and place.is_file():
        return place
    missing = f"There is no weights file {given}" if weights else f"{place} is not there"
    source = published if "/" in published else f"{PUBLISHED}{published}"
    fetch = f" Download {source} to {place}, or give" if published else " Give"
    raise DataUnavailable(
        f"{name}: {missing}. Nothing is downloaded unasked.{fetch} the path of a file as weights."
    )


def load(model: Any, file: Path, name: str) -> None:
    """Every weight of ``model``; what the file holds for a head is left."""
    try:
        found = _read(file)
        found = {key: value for key, value in found.items() if not key.startswith(HEAD)}
        differ = model.load_state_dict(found, strict=False)
    except Exception as error:  # whatever a damaged or foreign file makes the readers raise
        raise DataUnavailable(f"{file} does not hold weights of {name}: {error}") from error
    for what, keys in (("lacks", differ.missing_keys), ("has", differ.unexpected_keys)):
        if keys:
            raise DataUnavailable(
                f"{file} does not hold the weights of {name}: it {what} {len(keys)} "
                f"{'of them' if what == 'lacks' else 'others'}, such as {keys[0]!r}."
            )


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    content: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return content


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TorchaudioModel]
