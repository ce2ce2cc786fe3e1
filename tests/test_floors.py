"""What hand-made features and a linear model reach on each task: the floors that the cards state.

Early is one model of all features side by side; late the product of the posteriors (the mean of
the predictions) of one model for each modality. Trained on the training part alone.
"""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from mmbench.datasets import (
    av_digits,
    captions,
    emoji,
    films,
    mfeat,
    speech_commands,
    vqa_relational,
    vqa_spoken,
    watch,
)
from mmbench.encoders.mfcc_statistics import MFCCStatistics
from mmbench.metrics.retrieval import MeanRecall
from mmbench.testing.dataset import content_is_as_the_card_says
from mmbench.types import Column, Split

pytestmark = pytest.mark.slow
NEAR = 0.015
"""How far a figure may be from its card: libraries differ in the last digits of a fit."""


def spread(split: Split, modality: str):
    column = split.columns[modality]
    index = torch.arange(len(column)) if column.index is None else column.index
    if isinstance(column.values, tuple):
        return [column.values[i] for i in index.tolist()]
    return column.values[index].numpy()


def hog(images: np.ndarray, cell: int = 8, angles: int = 8) -> np.ndarray:
    """Histograms of gradient directions in cells, each normalised (Dalal & Triggs, CVPR 2005)."""
    grey = images.astype(np.float32).mean(1)
    down, across = np.gradient(grey, axis=(1, 2))
    size, bins = np.hypot(down, across), (np.arctan2(down, across) % np.pi) * angles / np.pi
    place = np.floor(bins).astype(int) % angles
    votes = np.eye(angles, dtype=np.float32)[place] * size[..., None]
    n, height, width, _ = votes.shape
    cells = votes.reshape(n, height // cell, cell, width // cell, cell, angles).sum((2, 4))
    return (cells / np.sqrt((cells**2).sum(-1, keepdims=True) + 100.0)).reshape(n, -1)


def colours(images: np.ndarray) -> np.ndarray:
    """(images, 64) shares of pixels by two bits of each channel."""
    codes = (images >> 6).astype(int)
    codes = (codes[:, 0] * 16 + codes[:, 1] * 4 + codes[:, 2]).reshape(len(images), -1)
    return np.sqrt(np.stack([np.bincount(row, minlength=64) for row in codes]) / codes.shape[1])


def words(train: list[str], test: list[str]) -> tuple[np.ndarray, np.ndarray]:
    fitted = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit(train)
    return fitted.transform(train).toarray(), fitted.transform(test).toarray()


def moments(series: np.ndarray) -> np.ndarray:
    """Mean, deviation, extremes, zero crossings and low frequencies of each axis."""
    centred = series - series.mean(1, keepdims=True)
    crossings = (centred[:, 1:] * centred[:, :-1] < 0).mean(1)
    low = np.abs(np.fft.rfft(series, axis=1))[:, 1:12].reshape(len(series), -1) / series.shape[1]
    shape = [series.mean(1), series.std(1), series.min(1), series.max(1), np.median(series, 1)]
    return np.concatenate([*shape, crossings, low], axis=1)


Features = dict[str, tuple[np.ndarray, np.ndarray]]
"""By modality: of training and of test rows."""


def classified(features: Features, train: Split, test: Split, c: float) -> dict[str, float]:
    y, truth = train.target.numpy(), test.target.numpy()

    def posterior(x, x_test):
        model = make_pipeline(
            StandardScaler(with_std=False), LogisticRegression(C=c, max_iter=3000)
        )
        return model.fit(x, y).predict_log_proba(x_test), model.classes_

    found, total = {}, 0.0
    for modality, (x, x_test) in features.items():
        logs, classes = posterior(x, x_test)
        found[modality] = (classes[logs.argmax(1)] == truth).mean()
        total = total + logs
    found["late"] = (classes[total.argmax(1)] == truth).mean()
    both = (np.concatenate(part, axis=1) for part in zip(*features.values(), strict=True))
    logs, classes = posterior(*both)
    found["early"] = (classes[logs.argmax(1)] == truth).mean()
    found["majority"] = (truth == np.bincount(y).argmax()).mean()
    return found


def agrees(found: dict[str, float], card) -> None:
    print({name: round(float(score), 3) for name, score in found.items()})
    stated = {k.what.partition(":")[0]: k.score for k in card.known if k.source == "mmbench"}
    assert stated == pytest.approx({name: found[name] for name in stated}, abs=NEAR)


def cepstra(train: Split, test: Split, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """Standardised statistics of mel-frequency cepstral coefficients."""
    encoder = MFCCStatistics(MFCCStatistics.fit(train.columns[modality]))

    def of(column: Column) -> np.ndarray:
        return column.spread(encoder(column.values)).pooled.numpy()

    return of(train.columns[modality]), of(test.columns[modality])


def test_av_digits():
    train, test = av_digits.AVDigits().load("train"), av_digits.AVDigits().load("test")
    pixels = tuple(spread(s, "image").reshape(len(s), -1) / 16 for s in (train, test))
    heard = cepstra(train, test, "speech")
    found = classified({"image": pixels, "speech": heard}, train, test, c=0.01)
    agrees(found, av_digits.AVDigits.card)


def test_speech_commands():
    cls = speech_commands.SpeechCommands
    train, test = cls().load("train"), cls().load("test")
    found = classified({"speech": cepstra(train, test, "speech")}, train, test, c=0.03)
    agrees({k: found[k] for k in ("speech", "majority")}, cls.card)


@pytest.mark.parametrize("task", [emoji.Emoji, emoji.EmojiSubgroups])
def test_emoji(task):
    train, test = task().load("train"), task().load("test")
    images = [spread(s, "image") for s in (train, test)]
    seen = tuple(np.concatenate([normalize(hog(i)), colours(i)], axis=1) for i in images)
    named = words(spread(train, "name"), spread(test, "name"))
    agrees(classified({"image": seen, "name": named}, train, test, c=10.0), task.card)


def canonical(x, y, dims: int, ridge: float = 1.0):
    """Directions (dim, dims) of x and y whose projections correlate most, weighted by how much.

    Regularised canonical correlation (Hotelling, Biometrika 1936; Vinod, J. Econometrics 1976).
    """

    def whitening(of: np.ndarray) -> np.ndarray:
        covariance = of.T @ of / len(of)
        scale = np.trace(covariance) / len(covariance)
        values, vectors = np.linalg.eigh(covariance + ridge * scale * np.eye(len(covariance)))
        return vectors @ np.diag(values**-0.5) @ vectors.T

    x, y = x - x.mean(0), y - y.mean(0)
    of_x, of_y = whitening(x), whitening(y)
    u, strength, vt = np.linalg.svd(of_x @ (x.T @ y / len(x)) @ of_y, full_matrices=False)
    return of_x @ u[:, :dims] * strength[:dims], of_y @ vt[:dims].T * strength[:dims]


def retrieved(seen, named, test: Split, dims: int = 100) -> dict[str, float]:
    """The mean recall of regularised CCA by cosine, and what random embeddings have."""
    maps = canonical(seen[0], named[0], dims)
    sides = [normalize((s[1] - s[0].mean(0)) @ m) for s, m in zip((seen, named), maps, strict=True)]
    draw, metric = np.random.default_rng(0), MeanRecall()
    noise = [draw.normal(size=(20, len(s.unique()), 8)) for s in test.target.T]
    guesses = [
        torch.from_numpy(np.concatenate([a[test.target[:, 0]], b[test.target[:, 1]]], axis=1))
        for a, b in zip(*noise, strict=True)
    ]
    return {
        "CCA": metric(torch.from_numpy(np.concatenate(sides, axis=1)), test.target),
        "chance": np.mean([metric(guess, test.target) for guess in guesses]),
    }


@pytest.mark.parametrize("task", [emoji.EmojiRetrieval, captions.CaptionsRetrieval])
def test_retrieval(task):
    train, test = task().load("train"), task().load("test")
    image, text = task.task.modalities
    images = [spread(s, image) for s in (train, test)]
    seen = tuple(np.concatenate([normalize(hog(i)), colours(i)], axis=1) for i in images)
    named = words(spread(train, text), spread(test, text))
    agrees(retrieved(seen, named, test), task.card)


def told(seen, train: Split, test: Split) -> dict[str, float]:
    """Exact match of sentences known by heart, and of logistic regressions of what they are of."""
    forms = list(captions.PROMPTS)
    sentences = [[tuple(t) for t in s.target.tolist()] for s in (train, test)]

    def learnt(key):
        common = defaultdict(Counter)
        for row, sentence in enumerate(sentences[0]):
            common[key(row)][sentence] += 1
        best = {k: counts.most_common(1)[0][0] for k, counts in common.items()}
        return np.mean([best[key(row)] == s for row, s in enumerate(sentences[1])])

    right = {}
    for field in ("size", "colour", "shape", "place"):
        y, truth = (
            [getattr(c, field) for c in captions.captioned(part)[1]] for part in ("train", "test")
        )
        model = make_pipeline(
            StandardScaler(with_std=False), LogisticRegression(C=1, max_iter=3000)
        )
        right[field] = model.fit(seen[0], y).predict(seen[1]) == np.array(truth)
    asked = [[right[f] for f in right if f"{{{f}}}" in form] for form in captions.PROMPTS.values()]
    return {
        "commonest sentence": learnt(lambda row: None),
        "prompt alone": learnt(lambda row: row % len(forms)),
        "image alone, upper bound": 1 / len(forms),
        "HOG and colours": np.mean([np.all(parts, axis=0).mean() for parts in asked]),
    }


def test_captions():
    task = captions.Captions()
    train, test = task.load("train"), task.load("test")
    images = [s.columns["image"].values.numpy() for s in (train, test)]
    seen = tuple(np.concatenate([normalize(hog(i)), colours(i)], axis=1) for i in images)
    agrees(told(seen, train, test), task.card)


def test_watch():
    train, test = watch.Watch().load("train"), watch.Watch().load("test")
    features = {}
    for modality in ("acceleration", "rotation"):
        scaler = StandardScaler().fit(x := moments(spread(train, modality)))
        features[modality] = (
            scaler.transform(x),
            scaler.transform(moments(spread(test, modality))),
        )
    agrees(classified(features, train, test, c=0.1), watch.Watch.card)


def test_mfeat():
    """The figures of six views, and of the three weakest."""
    from mmbench.errors import DataUnavailable

    try:
        mfeat.MultipleFeatures.array()
    except DataUnavailable as error:
        pytest.skip(str(error))

    def reached(views: str) -> dict[str, float]:
        task = mfeat.MultipleFeatures(views=views)
        train, test = task.load("train"), task.load("test")
        features = {}
        for view in task.views:
            scaler = StandardScaler().fit(x := spread(train, view))
            features[view] = (scaler.transform(x), scaler.transform(spread(test, view)))
        return classified(features, train, test, c=0.1)

    three = reached("fou,zer,mor")
    agrees(reached(mfeat.ALL) | {"early of three": three["early"]}, mfeat.MultipleFeatures.card)


def test_films():
    train, test = films.Films().load("train"), films.Films().load("test")
    fitted = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    text = fitted.fit_transform(spread(train, "text")), fitted.transform(spread(test, "text"))
    table = [spread(s, "table") for s in (train, test)]
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import cross_val_predict

    y = train.target.numpy()
    models = {"text": Ridge(2.0), "table": HistGradientBoostingRegressor(random_state=0)}
    given = {"text": text, "table": table}
    held_out = [cross_val_predict(m, given[k][0], y, cv=5) for k, m in models.items()]
    said = [m.fit(given[k][0], y).predict(given[k][1]) for k, m in models.items()]
    stacked = Ridge(1.0).fit(np.stack(held_out, 1), y).predict(np.stack(said, 1))
    answers = {**dict(zip(models, said, strict=True)), "late": sum(said) / 2, "stacked": stacked}
    agrees({k: r2_score(test.target, v) for k, v in answers.items()}, films.Films.card)


@pytest.mark.parametrize(
    "task", [speech_commands.SpeechCommands, vqa_relational.VQARelational, vqa_spoken.SpokenVQA]
)
def test_large_content_is_as_pinned(task):
    content_is_as_the_card_says(task())
