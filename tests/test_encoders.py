"""Every built-in encoder: the contract kit, padding, what it learns from the training column."""

import importlib
import itertools
import json
import math
import pkgutil
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch import nn

import mmbench.encoders
from mmbench.contracts import Encoder
from mmbench.encoders import _hub, _words, timm_models
from mmbench.encoders._audio import LogMel
from mmbench.encoders._image import grid_tokens
from mmbench.encoders._length import to_length
from mmbench.encoders._training_column import SAMPLE, scale, used_values
from mmbench.encoders._transformer import sinusoids
from mmbench.encoders.cnn import CNN
from mmbench.encoders.conformer import Conformer
from mmbench.encoders.hashed_ngrams import HashedNgrams
from mmbench.encoders.hog import HistogramOfGradients, oriented_edges, pyramid
from mmbench.encoders.hog_colours import HOGColours
from mmbench.encoders.mel_cnn import MelCNN
from mmbench.encoders.mfcc_grid import MFCCGrid, spoken, stretches
from mmbench.encoders.mfcc_statistics import statistics
from mmbench.encoders.patches import Patches
from mmbench.encoders.pixels import Pixels
from mmbench.encoders.recurrent import TextGRU
from mmbench.encoders.regions import Regions, described
from mmbench.encoders.tabular import MLP, Vector
from mmbench.encoders.token_learner import TokenLearner
from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.features import within
from mmbench.optimizer import AdamW
from mmbench.space import params_of
from mmbench.testing import check_encoder, example_column
from mmbench.types import MISSING, Column, Encoded

MODULES = [m.name for m in pkgutil.iter_modules(mmbench.encoders.__path__) if m.name[0] != "_"]
ENCODERS: dict[str, type[Encoder]] = {
    cls.name: cls
    for name in MODULES
    for cls in importlib.import_module(f"mmbench.encoders.{name}").register_encoders()
    if not name.startswith(("transformers_", "torchaudio_"))  # tests of their own: large models
}
TIMM = ("timm", "timm-frames")
TEXTS = ("what color is the circle?", "is there a blue circle?", "blue", "no circle, no cry!")


def column(kind: str) -> Column:
    draw = torch.Generator().manual_seed(0)
    if kind == "text":
        return Column(TEXTS)
    shapes = {
        "image": (6, 3, 32, 32),
        "video": (6, 3, 3, 32, 32),
        "tabular": (6, 5),
        "series": (6, 9, 4),
        "audio": (6, 4000),
    }
    shape = shapes[kind]
    return Column(torch.rand(shape, generator=draw))


def built(cls: type[Encoder], train: Column, **params) -> Encoder:
    torch.manual_seed(0)
    target = torch.arange(len(train)).float()
    fitted = cls.fit_to_target(train, target, "regression")
    return cls(json.loads(json.dumps(fitted)), **params).eval()


def encode(encoder: Encoder, values) -> Encoded:
    with torch.no_grad():
        return encoder(encoder.prepare(values))


def of_kind(kind: str) -> list[str]:
    return [name for name, cls in ENCODERS.items() if cls.accepts == kind]


# All -----------------------------------------------------------------------------------------


def test_what_there_is():
    handmade = ["hog", "hog-colours", "pixels", "regions"]
    images = ["cnn", *handmade, "patches", "resnet", "timm", "token-learner"]
    assert sorted(of_kind("image")) == sorted(images)
    counted = ["bag-of-words", "fasttext", "hashed-ngrams", "tfidf"]
    texts = [*counted, "gru", "lstm", "text-transformer"]
    assert sorted(of_kind("text")) == sorted(texts)
    tables = ["boosted-trees", "ft-transformer", "mlp", "periodic", "vector"]
    assert sorted(of_kind("tabular")) == tables
    series = ["conv1d", "gru-series", "lstm-series", "series-statistics", "series-transformer"]
    assert sorted(of_kind("series")) == series
    audio = ["conformer", "mel-cnn", "mfcc-grid", "mfcc-statistics", "waveform-cnn"]
    assert sorted(of_kind("audio")) == audio
    assert sorted(of_kind("video")) == ["cnn-frames", "timm-frames"]
    assert len(ENCODERS) == 33


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_keeps_the_contract(name):
    small = {name: {"model": "test_resnet"} for name in TIMM} | {"resnet": {"model": "resnet10t"}}
    train = example_column(ENCODERS[name].accepts)
    check_encoder(ENCODERS[name], train, **small.get(name, {}))


@pytest.mark.parametrize("name", [n for n in ENCODERS if n not in (*TIMM, "resnet")])
def test_no_values_at_all(name):
    """A batch in which every row misses the modality."""
    encoder = built(ENCODERS[name], column(ENCODERS[name].accepts))
    values = column(ENCODERS[name].accepts).values
    nothing = values[:0]
    encoded = encode(encoder, nothing)
    assert encoded.pooled.shape == (0, encoder.out_dim)


def test_heavy_libraries_are_imported_late():
    code = (
        "import importlib, pkgutil, sys, mmbench.encoders, mmbench.metrics, mmbench.datasets\n"
        "for package in (mmbench.encoders, mmbench.metrics, mmbench.datasets):\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        if not module.name.startswith('_'):\n"  # as discovery does
        "            importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "heavy = {'timm', 'sklearn', 'scipy', 'PIL', 'transformers', 'torchaudio', 'easy_vqa'}\n"
        "heavy |= {'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Only the training column, and only what its rows use -------------------------------------------


def test_unused_values_are_not_learnt_from():
    texts = Column(("seen", "a test question", "seen too"), torch.tensor([0, 2, MISSING, 0]))
    assert TextGRU.fit(texts)["vocabulary"] == ["seen", "too"]
    numbers = torch.tensor([[1.0], [100.0], [3.0]])
    fitted = Vector.fit(Column(numbers, torch.tensor([0, 2, MISSING])))
    assert fitted == {"shape": [1], "mean": [2.0], "std": [1.0]}
    assert used_values(Column(numbers)).tolist() == [0, 1, 2]


class Lazy:
    """Values decoded on demand; remembers which."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.asked = values, []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        self.asked += index.tolist()
        return self.values[index]


def test_a_lazy_column_is_decoded_in_part():
    lazy = Lazy(torch.rand(2 * SAMPLE, 3, 4, 4))
    fitted = CNN.fit(Column(lazy))
    assert len(lazy.asked) == SAMPLE
    assert (min(lazy.asked), max(lazy.asked)) == (0, 2 * SAMPLE - 1)
    assert fitted["shape"] == [3, 4, 4]


def test_scale_skips_empty_cells_and_spares_constants():
    nan = float("nan")
    values = torch.tensor([[1.0, 0.1, nan], [nan, 0.1, nan], [3.0, 0.1, nan]])
    fitted = scale(values, 1)
    assert fitted["mean"] == pytest.approx([2.0, 0.1, 0.0])
    assert fitted["std"] == [1.0, 1.0, 1.0]
    encoded = encode(built(Vector, Column(values)), values)
    assert encoded.pooled.tolist() == [[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", ["image", "video", "tabular", "series", "audio"])
def test_wrong_shapes_are_named(kind):
    for name in of_kind(kind):
        with pytest.raises(TypeError, match=r"takes .*got \(2, 2, 2, 2, 2, 2\)"):
            ENCODERS[name].fit(Column(torch.zeros(2, 2, 2, 2, 2, 2)))
        with pytest.raises(TypeError, match="a column of tuple"):
            ENCODERS[name].fit(Column(("text",)))


def test_numbers_are_no_text():
    with pytest.raises(TypeError, match="tuple of strings"):
        TextGRU.fit(Column(torch.zeros(2)))


# Images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "patches"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 30, 45), (3, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_image_sizes_channels_and_types(name, shape, dtype):
    images = (255 * torch.rand(3, *shape)).to(dtype)
    encoded = encode(built(ENCODERS[name], Column(images)), images)
    assert encoded.tokens.shape[1] > 1
    assert encoded.mask.all()
    assert encoded.pooled.isfinite().all()


def test_cnn_standardises_each_channel():
    images = torch.randint(50, 90, (40, 3, 16, 16), dtype=torch.uint8)
    cnn = built(CNN, Column(images))
    seen = cnn.standardise(images)
    assert torch.allclose(seen.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(seen.std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_cnn_learns_a_small_shape_anywhere():
    """A lying or a standing bar, anywhere in the image."""
    draw = torch.Generator().manual_seed(0)
    images = 0.1 * torch.randn(256, 1, 16, 16, generator=draw)
    target = torch.arange(256) % 2
    for image, stands in zip(images, target, strict=True):
        row, col = torch.randint(8, (2,), generator=draw).tolist()
        image[0, row : row + (8 if stands else 2), col : col + (2 if stands else 8)] += 1.0
    encoder = built(CNN, Column(images), depth=2).train()
    head = nn.Linear(encoder.out_dim, 2)
    optimizer = AdamW([*encoder.parameters(), *head.parameters()], weight_decay=0.01)
    for rows in torch.arange(256).repeat(8).split(32):
        loss = nn.functional.cross_entropy(head(encoder(images[rows]).pooled), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(5e-3)
    assert loss.item() < 0.2


def test_cells_of_cnn_say_where_they_are():
    """The cells of an empty image differ in nothing but their place."""
    train = Column(torch.zeros(4, 3, 64, 40, dtype=torch.uint8))
    encoder = built(CNN, train, depth=2)
    encoder.place.data = torch.eye(2, encoder.out_dim)
    with torch.no_grad():
        cells = grid_tokens(encoder.maps(train.values)[1])
        added = encoder(train.values).tokens - encoder.token(cells)
    assert added.shape[1] == 8 * 5
    corners = added[0, [0, 4, -5, -1], :2]
    torch.testing.assert_close(corners, torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]))


def test_token_learner_finds_a_red_square_and_says_where():
    """The map that is drawn to red pixels averages the places, and the pixels, of red cells."""
    images = torch.zeros(3, 3, 64, 64)
    centres = torch.tensor([[12, 20], [44, 20], [28, 52]])
    for image, (y, x) in zip(images, centres.tolist(), strict=True):
        image[0, y - 8 : y + 8, x - 8 : x + 8] = 255
    encoder = built(TokenLearner, Column(images), tokens=4)
    encoder.where.weight.data[0, -3:] = torch.tensor([9.0, 0, 0])
    encoder.place.data = torch.eye(2, encoder.out_dim)
    for added in (*encoder.token.parameters(), *encoder.seen.parameters(), encoder.names):
        torch.nn.init.zeros_(added)
    found = encode(encoder, images).tokens[:, 0, :2]
    torch.testing.assert_close(found, centres / 32 - 1, atol=0.2, rtol=0)


def test_patches_see_positions():
    image = torch.zeros(2, 1, 16, 16)
    image[0, 0, :8, :8] = image[1, 0, 8:, 8:] = 1.0
    pooled = encode(built(Patches, Column(image)), image).pooled
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-4)


def test_hog_is_its_formula():
    """Pixel by pixel, in float64, on an image whose sides do not divide by the cells."""
    image = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0)).double()
    channels, height, width = image.shape
    edges = torch.zeros(9, height, width).double()
    for i, j in itertools.product(range(height), range(width)):
        up, down = max(i - 1, 0), min(i + 1, height - 1)
        left, right = max(j - 1, 0), min(j + 1, width - 1)
        slopes = [
            (float(image[c, i, right] - image[c, i, left]),
             float(image[c, down, j] - image[c, up, j]))
            for c in range(channels)
        ]  # fmt: skip
        dx, dy = max(slopes, key=lambda s: math.hypot(*s))
        place = (math.degrees(math.atan2(dy, dx)) % 180) / 20
        lower, share = math.floor(place), place - math.floor(place)
        edges[lower % 9, i, j] += (1 - share) * math.hypot(dx, dy)
        edges[(lower + 1) % 9, i, j] += share * math.hypot(dx, dy)
    expected = []
    for cells in (1, 2):
        rows = [(i * height // cells, (i + 1) * height // cells) for i in range(cells)]
        cols = [(j * width // cells, (j + 1) * width // cells) for j in range(cells)]
        boxes = [(slice(*r), slice(*c)) for r in rows for c in cols]
        sums = torch.stack([edges[:, r, c].mean((1, 2)) for r, c in boxes], 1)
        expected.append((sums / (sums.sum(0) + 1e-6)).sqrt().flatten())
        expected += [
            torch.stack([reduce(image[:, r, c], (1, 2)) for r, c in boxes], 1)
            for reduce in (torch.mean, torch.amax, torch.amin)
        ]
    expected = torch.cat([e.flatten() for e in expected])
    assert torch.allclose(pyramid(image[None], 2)[0], expected, atol=1e-6)


def test_hog_colours_is_its_formula():
    """Pixel by pixel: what each cell's edges are, which of 64 colours are how common."""
    images = torch.randint(256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)
    encoder = built(HOGColours, Column(images), cells=4)
    raw = []
    for image in images:
        scaled = image.double() / 255
        edges = oriented_edges(scaled[None])[0].reshape(9, 4, 2, 4, 2).mean((2, 4))
        cells = (edges / (edges.square().sum(0) + 1e-6).sqrt()).flatten()
        counts = [0.0] * 64
        for i, j in itertools.product(range(8), range(8)):
            shade = [min(3, int(float(scaled[c, i, j]) * 4)) for c in range(3)]
            counts[shade[0] + 4 * shade[1] + 16 * shade[2]] += 1 / 64
        raw.append(torch.cat([cells / cells.norm(), torch.tensor(counts).double().sqrt()]))
    centred = torch.stack(raw) - torch.stack(raw).mean(0)
    expected = 8 * centred / centred.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        encode(encoder, images).pooled.double(), expected, rtol=1e-4, atol=1e-4
    )


def test_hog_colours_takes_numbers_of_any_scale_and_many_channels():
    images = torch.randn(6, 5, 12, 12, generator=torch.Generator().manual_seed(1))
    features = encode(built(HOGColours, Column(images)), images).pooled
    again = encode(built(HOGColours, Column(images * 100 - 7)), images * 100 - 7).pooled
    assert features.shape == (6, 8 * 8 * 9 + 4 * 5)
    torch.testing.assert_close(again, features, rtol=1e-2, atol=1e-2)


def test_pixels_are_the_means_of_cells():
    images = torch.randint(256, (40, 3, 8, 12), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)
    means = images.double().reshape(40, 3, 4, 2, 4, 3).mean((3, 5)).flatten(1)
    expected = (means - means.mean(0)) / means.std(0, correction=0)
    features = encode(built(Pixels, Column(images), cells=4), images).pooled.double()
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_pixels_of_an_image_smaller_than_the_grid_are_repeated():
    images = torch.randn(9, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    features = encode(built(Pixels, Column(images), cells=8), images).pooled.reshape(9, 8, 8)
    assert torch.equal(features[:, ::2, ::2], features[:, 1::2, 1::2])


def test_hog_tells_a_triangle_from_a_square_of_any_colour():
    def drawn(three: bool, colour: int) -> torch.Tensor:
        image = torch.full((3, 32, 32), 230, dtype=torch.uint8)
        for row in range(8, 24):
            half = (row - 8) // 2 if three else 8
            image[colour, row, 16 - half : 16 + half] = 30
        return image

    images = torch.stack([drawn(three, c) for three in (True, False) for c in range(3)])
    features = encode(built(HistogramOfGradients, Column(images), levels=1), images).pooled
    edges = features[:, :9]
    within = torch.cdist(edges[:3], edges[:3]).max()
    assert torch.cdist(edges[:3], edges[3:]).min() > 3 * within
    assert torch.cdist(features[:3, 9:], features[:3, 9:]).fill_diagonal_(9).min() > 0.5


WHITE, RED, BLUE = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.9)


def drawing(*parts: tuple[tuple[float, ...], torch.Tensor]) -> torch.Tensor:
    """(3, 40, 60): each part is a colour and which pixels it covers, on white."""
    image = torch.ones(3, 40, 60)
    for colour, covered in parts:
        image[:, covered] = torch.tensor(colour).unsqueeze(1)
    return image


def box(top: int, left: int, height: int, width: int) -> torch.Tensor:
    covered = torch.zeros(40, 60, dtype=torch.bool)
    covered[top : top + height, left : left + width] = True
    return covered


def disc(row: float, column: float, radius: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_regions_of_a_drawing_by_hand():
    """A box of 10 × 6 pixels and a disc of radius 9; a dot of one pixel is no region."""
    covered = disc(20, 40, 9)
    image = drawing((RED, box(4, 6, 6, 10)), (BLUE, covered), (RED, box(30, 5, 1, 1)))
    found = described(image, [0.0, 1.0], levels=4, most=8)
    assert len(found) == 2
    circle, rectangle = found.tolist()
    area = int(covered.sum())
    assert circle[:2] == pytest.approx([(2 * 40.5) / 60 - 1, (2 * 20.5) / 40 - 1])
    assert circle[2:6] == pytest.approx([(area / 2400) ** 0.5, 19 / 60, 19 / 40, area / 361])
    assert circle[6:9] == pytest.approx([1 / (4 * math.pi)] * 2 + [0], abs=2e-3)  # of any disc
    assert rectangle[:2] == pytest.approx([22 / 60 - 1, 14 / 40 - 1])
    assert rectangle[2:6] == pytest.approx([(60 / 2400) ** 0.5, 10 / 60, 6 / 40, 1])
    assert rectangle[6:9] == pytest.approx([(100 - 1) / 12 / 60, (36 - 1) / 12 / 60, 0])
    angles = [math.pi / 2 * k * place for place in rectangle[:2] for k in (1, 2)]
    by_hand = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    assert rectangle[9:17] == pytest.approx(by_hand)
    assert circle[17:] == pytest.approx(BLUE)
    assert rectangle[17:] == pytest.approx(RED)


def test_a_smoothed_edge_is_of_the_area_that_covers_more_of_it():
    """A box whose edges lie within pixels: 0.7 of them on the left, 0.4 on the right."""
    image = drawing((BLUE, box(4, 6, 6, 10)), (RED, box(20, 30, 2, 12)))
    for column, share in ((5, 0.7), (16, 0.4)):
        edge = share * torch.tensor(BLUE) + (1 - share) * torch.tensor(WHITE)
        image[:, 4:10, column] = edge.unsqueeze(1)
    for levels in (4, 8):
        rectangle, line = described(image, [0.0, 1.0], levels=levels, most=8).tolist()
        assert rectangle[2:6] == pytest.approx([(66 / 2400) ** 0.5, 11 / 60, 6 / 40, 1])
        assert rectangle[:2] == pytest.approx([2 * 10.5 / 60 - 1, 14 / 40 - 1])
        assert line[17:] == pytest.approx(RED)  # as thin as an edge, but between no two colours


def test_regions_of_grey_images_and_of_bytes():
    grey = drawing((BLUE, box(4, 6, 6, 10)))[2:]
    found = described(grey, [0.9, 1.0], levels=2, most=8)
    inverse = described(1 - grey, [0.0, 0.1], levels=2, most=8)
    as_bytes = described((255 * grey).to(torch.uint8), [229.0, 255.0], levels=2, most=8)
    assert found.shape == (1, 9 + 8 + 1)
    for other in (inverse, as_bytes):
        assert torch.allclose(other[:, :-1], found[:, :-1])
    assert [x[0, -1].item() for x in (found, inverse, as_bytes)] == pytest.approx(
        [0, 1, 0], abs=0.02
    )


def test_regions_are_the_largest_in_front_of_the_background():
    boxes = [box(2, 2 + 9 * i, 3 + i, 7) for i in range(6)]
    ring = (RED, box(20, 10, 12, 12) & ~box(22, 12, 8, 8))  # what it encloses is background
    crowded = drawing(*((BLUE, b) for b in boxes), ring)
    images = torch.stack([drawing(), crowded, drawing((RED, boxes[0]))])
    encoder = built(Regions, Column(images), regions=4)
    encoded = encode(encoder, images)
    assert encoded.mask.sum(1).tolist() == [1, 4, 1]  # an image of one colour is one region
    sizes = described(crowded, [0.0, 1.0], levels=4, most=8)[:, 2] ** 2 * 2400
    assert sizes.tolist() == pytest.approx([80, 56, 49, 42, 35, 28, 21])
    mean = torch.stack([t[m].mean(0) for t, m in zip(encoded.tokens, encoded.mask, strict=True)])
    assert torch.allclose(encoded.pooled, mean, atol=1e-6)


def test_frames_are_images_and_the_mean_is_over_them():
    videos = torch.randint(256, (3, 4, 3, 32, 32), dtype=torch.uint8)
    encoder = built(ENCODERS["cnn-frames"], Column(videos), depth=3)
    assert encoder.fitted == CNN.fit(Column(videos.flatten(0, 1)))
    encoded = encode(encoder, videos)
    for video, tokens, pooled in zip(videos, encoded.tokens, encoded.pooled, strict=True):
        frames = [encode(encoder.image, frame[None]) for frame in video]
        cells = torch.cat([frame.tokens.mean(1) for frame in frames])
        assert torch.allclose(tokens, cells, atol=1e-5)
        whole = torch.cat([frame.pooled for frame in frames])
        assert torch.allclose(pooled, whole.mean(0), atol=1e-5)
    assert params_of(type(encoder)) == params_of(CNN)
    frozen = built(ENCODERS["timm-frames"], Column(videos), model="test_resnet", frozen=True)
    assert frozen.frozen and not any(m.training for m in frozen.train().image.model.modules())
    assert [type(e) for e in within(frozen)] == [type(frozen), timm_models.TimmModel]


# timm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "kind_of_tokens"),
    [
        ("test_resnet", "the last grid"),
        ("test_efficientnet", "a wider grid after it"),
        ("mobilenetv3_small_050", "cells through the head"),
        ("test_vit", "the last grid, at the model's own size"),
    ],
)
def test_timm_tokens_are_as_wide_as_pooled(model, kind_of_tokens):
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    encoder = built(timm_models.TimmModel, Column(images), model=model)
    encoded = encode(encoder, images)
    assert encoded.pooled.shape == (2, encoder.out_dim)
    assert encoded.tokens.shape[2] == encoder.out_dim
    assert encoded.tokens.shape[1] > 1
    if model in ("test_resnet", "mobilenetv3_small_050"):
        pooled = encoder.model.forward_head(
            encoder.model.forward_features(encoder.standardise(images)), pre_logits=True
        )
        assert torch.allclose(pooled, encoded.pooled, atol=1e-5)


def test_timm_size_and_grey_images():
    images = torch.rand(2, 1, 28, 28)
    plain = built(timm_models.TimmModel, Column(images), model="test_resnet")
    large = built(timm_models.TimmModel, Column(images), model="test_resnet", size=128)
    assert encode(large, images).tokens.shape[1] == 16
    assert encode(plain, images).tokens.shape[1] == 1


@pytest.fixture(scope="module", params=["safetensors", "pth"])
def weights(request, tmp_path_factory):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    states = timm.create_model("test_resnet", num_classes=1000).state_dict()
    path = tmp_path_factory.mktemp("weights") / f"model.{request.param}"
    save_file(states, path) if request.param == "safetensors" else torch.save(states, path)
    return path, states


@pytest.mark.parametrize("channels", [1, 3])
def test_timm_reads_a_local_file(weights, channels):
    path, states = weights
    images = torch.randint(256, (2, channels, 64, 64), dtype=torch.uint8)
    encoder = built(
        timm_models.TimmModel, Column(images), model="test_resnet", weights=str(path), frozen=True
    )
    for name, value in encoder.model.state_dict().items():
        assert value.shape != states[name].shape or torch.equal(value, states[name])
    assert encoder.frozen
    assert "state_dict" not in encoder.model.pretrained_cfg
    assert not any(p.requires_grad for p in encoder.parameters())
    whole = encode(encoder.train(), images)
    assert not any(module.training for module in encoder.modules())
    # published normalisation, of values from 0 to 1: the fitted one is not used
    same = encode(encoder, images.float() / 255)
    assert torch.allclose(whole.pooled, same.pooled, atol=1e-5)
    assert encoder.standardise.mean.max() <= 1


def test_features_of_pretrained_networks_are_cut_to_one_length(weights):
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    encoder = built(
        timm_models.TimmModel, Column(images), model="test_resnet", weights=str(weights[0])
    )
    encoded = encode(encoder, images)
    assert encoded.pooled.norm(dim=1).tolist() == pytest.approx([8.0, 8.0])
    assert torch.allclose(encoded.tokens.mean(1), encoded.pooled, atol=1e-5)


def test_each_value_is_cut_by_itself_and_nothing_stays_nothing():
    tokens = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [7.0, 7.0]]])
    mask = torch.tensor([[True, False], [False, False]])
    cut = to_length(Encoded(tokens.requires_grad_(), mask))
    assert cut.pooled.tolist() == [pytest.approx([4.8, 6.4]), [0.0, 0.0]]
    assert cut.tokens[0].tolist() == [pytest.approx([4.8, 6.4]), [0.0, 0.0]]
    cut.pooled.sum().backward()
    assert tokens.grad is not None and tokens.grad.isfinite().all()


def test_timm_refuses_files_that_are_not_its_weights(weights, tmp_path):
    path, states = weights
    images = Column(torch.rand(2, 3, 32, 32))
    with pytest.raises(DataUnavailable, match="does not hold"):
        built(timm_models.TimmModel, images, model="test_vit", weights=str(path))
    torch.save(dict(list(states.items())[:4]), tmp_path / "part.pth")
    with pytest.raises(DataUnavailable, match="missing, such as"):
        built(
            timm_models.TimmModel, images, model="test_resnet", weights=str(tmp_path / "part.pth")
        )
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(DataUnavailable, match="does not hold weights"):
        built(
            timm_models.TimmModel, images, model="test_resnet", weights=str(tmp_path / "noise.pth")
        )
    with pytest.raises(DataUnavailable, match="There is no weights file"):
        built(timm_models.TimmModel, images, model="test_resnet", weights="nowhere.pth")


def test_timm_offline_fails_fast(monkeypatch, tmp_path):
    import huggingface_hub
    import timm  # noqa: F401, imported before the clock starts

    images = Column(torch.rand(2, 3, 32, 32))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"not in the local cache and .* be reached"):
        built(timm_models.ResNet, images, weights="hub")
    assert time.monotonic() - begun < 2 * _hub.PROBE_SECONDS


def test_a_name_server_that_hangs_does_not_hang_us(monkeypatch):
    monkeypatch.setattr(_hub, "PROBE_SECONDS", 0.1)
    release = threading.Event()

    def hang(*_, **__):
        release.wait(10)
        raise OSError

    monkeypatch.setattr("urllib.request.urlopen", hang)
    begun = time.monotonic()
    assert not _hub.reachable("http://example.org")
    assert time.monotonic() - begun < 5
    release.set()


def test_timm_trains_its_last_blocks_alone():
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    encoder = built(timm_models.TimmModel, Column(images), model="test_resnet", last_blocks=1)
    trained = {n for n, p in encoder.model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in encoder.model.named_parameters() if n.startswith("layer4.")}
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    encoder.train()(images)  # batch statistics move in what trains, and nowhere else
    changed = {k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(name.startswith("model.layer4.") for name in changed)
    check_encoder(timm_models.TimmModel, Column(images), model="test_resnet", last_blocks=1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"last_blocks": 6}, "there are 5"), ({"last_blocks": 1, "frozen": True}, "nothing to train")],
)
def test_last_blocks_must_exist(given, problem):
    with pytest.raises(InvalidParameter, match=f"{problem}.*from 1 to 5"):
        built(timm_models.TimmModel, Column(torch.rand(2, 3, 32, 32)), model="test_resnet", **given)


def test_timm_uses_the_cached_file_of_the_hub(weights, monkeypatch):
    import huggingface_hub

    path, _ = weights
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    assert timm_models.weight_file("test_resnet", "hub") == path


def test_timm_unknown_model():
    with pytest.raises(InvalidParameter, match="Did you mean 'resnet18'"):
        built(timm_models.TimmModel, Column(torch.rand(2, 3, 32, 32)), model="resnet_18")


# Text ------------------------------------------------------------------------------------------


def test_words_and_vocabulary():
    assert _words.words("Is it 2.5, naïve?") == ["is", "it", "2", ".", "5", ",", "naïve", "?"]
    assert _words.vocabulary(["b a", "b c", "d a"]) == ["a", "b", "c", "d"]
    known = {"a": 2, "b": 3}
    ids = _words.word_ids(("a b b", "", "never seen"), known, limit=2)
    assert ids.tolist() == [[2, 3], [1, 0], [1, 1]]
    assert _words.word_ids((), known, limit=2).shape == (0, 1)


@pytest.mark.parametrize(
    "name", [n for n in of_kind("text") if n not in ("hashed-ngrams", "tfidf")]
)
def test_padding_changes_nothing(name):
    encoder = built(ENCODERS[name], Column(TEXTS))
    ids = encoder.prepare(TEXTS)
    with torch.no_grad():
        short, long = encoder(ids), encoder(nn.functional.pad(ids, (0, 7)))
    time_steps = short.tokens.shape[1]
    assert torch.allclose(short.pooled, long.pooled, atol=1e-5)
    where = short.mask
    assert torch.equal(where, long.mask[:, :time_steps])
    assert torch.allclose(short.tokens[where], long.tokens[:, :time_steps][where], atol=1e-5)
    assert not long.mask[:, time_steps:].any()


@pytest.mark.parametrize("name", of_kind("text"))
def test_strange_texts(name):
    encoder = built(ENCODERS[name], Column(TEXTS))
    encoded = encode(encoder, ("", "   ", "zyx wvu", "blue " * 1000))
    assert encoded.present.all()
    assert encoded.pooled.isfinite().all()
    assert torch.allclose(encoded.pooled[0], encoded.pooled[1])


def test_word_order_matters_but_to_a_bag():
    for name in of_kind("text"):
        encoder = built(ENCODERS[name], Column(TEXTS))
        one, other = encode(encoder, ("blue is the circle", "circle the is blue")).pooled
        bag = name in (
            "bag-of-words",
            "fasttext",
            "tfidf",
        )  # these terms are too rare to be pairs of words
        assert torch.allclose(one, other, atol=1e-5) == bag


def test_bag_of_words_is_a_linear_layer_on_counts():
    encoder = built(ENCODERS["bag-of-words"], Column(TEXTS))
    ids = encoder.prepare(("blue blue circle",))
    counts = torch.bincount(ids[0], minlength=len(encoder.embed.weight)).float()
    hidden = counts @ encoder.embed.weight / 3**0.5 + encoder.bias
    expected = encoder.out(nn.functional.gelu(hidden))
    assert torch.allclose(encoder(ids).pooled[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_pools_the_last_word(name):
    encoded = encode(built(ENCODERS[name], Column(TEXTS)), TEXTS)
    last = encoded.mask.sum(1) - 1
    assert torch.equal(encoded.pooled, encoded.tokens[torch.arange(len(TEXTS)), last])


def test_sinusoids_by_hand():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0, 0, 1, 1]
    expected = torch.tensor([2.0, 0.02])
    assert torch.allclose(table[2], torch.cat([expected.sin(), expected.cos()]))


# Tables and hashes -----------------------------------------------------------------------------


def test_mlp_by_hand():
    values = torch.randn(5, 3)
    encoder = built(MLP, Column(values))
    inner, _, outer = encoder.net
    standard = (values - values.mean(0)) / values.std(0, unbiased=False)
    expected = nn.functional.gelu(standard @ inner.weight.T + inner.bias) @ outer.weight.T
    assert torch.allclose(encode(encoder, values).pooled, expected + outer.bias, atol=1e-5)


def test_hashed_ngrams_of_kin_are_near():
    texts = ("clapping hands", "clapped hand", "red apple", "green apples")
    encoder = built(HashedNgrams, Column(texts))
    near = encode(encoder, texts).pooled / encoder.out_dim**0.5
    similar = near @ near.T
    assert similar.diagonal() == pytest.approx(torch.ones(4), abs=1e-4)
    assert min(similar[0, 1], similar[2, 3]) > 2 * similar[:2, 2:].abs().max()


def test_hashed_ngrams_weigh_what_is_rare():
    """Of two words the one that most training texts have counts less."""
    train = Column(tuple(f"often word{i}" for i in range(50)))
    encoder = built(HashedNgrams, train)
    whole, often, rare = encode(encoder, ("often word7", "often", "word7")).pooled
    assert whole @ rare > whole @ often


# Audio -----------------------------------------------------------------------------------------


def tones(*pitches: float, samples: int = 4000) -> torch.Tensor:
    """(clips, samples) of 16 kHz."""
    time_ = torch.arange(samples) / 16_000
    return torch.stack([torch.sin(2 * torch.pi * pitch * time_) for pitch in pitches])


@pytest.mark.parametrize("name", of_kind("audio"))
def test_padding_of_clips_changes_nothing(name):
    clips = torch.cat([tones(300.0, 500.0, 900.0), torch.full((3, 3200), torch.nan)], dim=1)
    clips[2] = torch.nan  # missing
    encoder = built(ENCODERS[name], Column(clips))
    long, short = encode(encoder, clips), encode(encoder, clips[:, :4000])
    assert torch.allclose(long.pooled, short.pooled, atol=1e-4)
    assert long.present.tolist() == [True, True, False]
    assert int(long.mask[0].sum()) == int(short.mask[0].sum())
    assert not long.pooled[2].any()


@pytest.mark.parametrize("name", of_kind("audio"))
def test_the_scale_of_clips_does_not_matter(name):
    floats = tones(300.0, 500.0, 900.0) * 0.5
    whole = (floats * 32767).round().to(torch.int16)
    pooled = [
        encode(built(ENCODERS[name], Column(clips)), clips).pooled for clips in (floats, whole)
    ]
    assert torch.allclose(*pooled, atol=0.02)


def test_a_tone_is_loudest_in_its_band():
    from torchaudio.functional import melscale_fbanks

    mel = LogMel()(tones(440.0, 3000.0))
    bands = melscale_fbanks(201, 0.0, 8000.0, 40, 16_000)
    for clip, pitch in zip(mel, (440.0, 3000.0), strict=True):
        assert clip[10].argmax() == bands[round(pitch / 40)].argmax()
    assert mel.shape == (2, 26, 40)


def test_mfcc_are_those_of_torchaudio():
    """The same window, power and bands; ours has a floor instead of a cut at 80 dB."""
    import torchaudio

    clips = tones(440.0) + 0.3 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    theirs = (
        torchaudio.transforms.MelSpectrogram(
            16_000, n_fft=400, hop_length=160, n_mels=40, pad_mode="constant"
        )(clips)
        / 400
    )  # (clips, bands, frames)
    assert torch.allclose(LogMel()(clips), (theirs + 1e-4).log().transpose(1, 2), atol=1e-3)
    cosines = torchaudio.functional.create_dct(20, 40, norm="ortho")
    mean = LogMel()(clips).mean(1) @ cosines
    found = statistics(LogMel()(clips) @ cosines, torch.ones(1, 26, dtype=torch.bool))
    assert torch.allclose(found[:, :20], mean, atol=1e-4)


def test_stretches_are_means_over_equal_times():
    values = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    found = stretches(values, torch.tensor([0, 2]), torch.tensor([9, 7]), 4)
    for row, first, last in ((0, 0, 9), (1, 2, 7)):
        fine = values[row, first:last].repeat_interleave(4, 0)  # each frame in four equal pieces
        expected = fine.view(4, last - first, 3).mean(1)
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


def test_what_is_said_lies_between_silences_unless_noise_hides_it():
    draw = torch.Generator().manual_seed(0)
    clip = 1e-3 * torch.randn(1, 16_000, generator=draw)
    clip[:, 4_000:9_600] += torch.randn(1, 5_600, generator=draw)
    first, last = spoken(LogMel()(clip).mean(2), torch.ones(1, 101, dtype=torch.bool))
    assert abs(int(first) - 25) <= 1 and abs(int(last) - 61) <= 1
    noisy = clip + 2 * torch.randn(1, 16_000, generator=draw)
    first, last = spoken(LogMel()(noisy).mean(2), torch.ones(1, 101, dtype=torch.bool))
    assert (int(first), int(last)) == (0, 101)


def test_a_word_is_the_same_early_and_late_and_however_much_silence_follows():
    draw = torch.Generator().manual_seed(0)
    hiss = torch.randn(1, 8_000, generator=draw)
    word = torch.cat([hiss[:, :4_000], 0.1 * hiss[:, 4_000:].cumsum(1)], 1)  # white, then red
    clips = 1e-3 * torch.randn(2, 24_000, generator=draw)
    clips[0, 1_600 : 1_600 + word.shape[1]] += word[0]
    clips[1, 11_200 : 11_200 + word.shape[1]] += word[0]
    encoder = built(MFCCGrid, Column(clips), parts=12)
    early, late = encode(encoder, clips).pooled
    assert (early - late).norm() < 0.15 * early.norm()
    padded = torch.cat([clips, torch.full((2, 3_200), torch.nan)], 1)
    torch.testing.assert_close(
        encode(encoder, padded).pooled, encode(encoder, clips).pooled, atol=0.1, rtol=0.05
    )


def test_conformer_is_torchaudios_on_a_clip_alone():
    encoder = built(Conformer, Column(tones(300.0, 500.0)), layers=2)
    clips = torch.cat([tones(300.0, 900.0), torch.full((2, 2400), torch.nan)], dim=1)
    found = encode(encoder, clips)
    with torch.no_grad():
        mel = encoder.standardise(encoder.mel(clips[:, :4000] / encoder.fitted["level"]))
        mel = torch.nn.functional.pad(mel[:, :25], (0, 0, 0, 3))  # the last is centred on padding
        tokens = encoder.token(mel.reshape(2, 7, 160))
        for row in (0, 1):
            alone, _ = encoder.layers(tokens[row : row + 1], torch.tensor([7]))
            torch.testing.assert_close(found.tokens[row, :7], alone[0], atol=1e-5, rtol=1e-4)
    assert found.mask.sum(1).tolist() == [7, 7]


def test_spec_augment_hides_in_training_only():
    encoder = built(MelCNN, Column(tones(300.0, 500.0)), hidden=0.2)
    mel = torch.ones(50, 26, 40)
    assert torch.equal(encoder.eval().augmented(mel), mel)
    hidden = (encoder.train().augmented(mel) == 0).float()
    bands, frames = hidden.amin(1).mean(1), hidden.amin(2).mean(1)
    assert 0 < bands.max() <= 0.2 + 1 / 40
    assert 0 < frames.max() <= 0.2 + 1 / 26
