"""Sequences: places said at once, metrics of whole answers, and a row from end to end."""

import json
import math
from dataclasses import replace

import pytest
import torch
from small_finals import concluded, trained
from ways import WORDS, Ways

from mmbench import sanity
from mmbench.datasets import captions
from mmbench.errors import Incompatible, InvalidSpec
from mmbench.evaluation.predictions import read_predictions, storable
from mmbench.explain.subject import subject
from mmbench.leaderboard.render import write_board
from mmbench.leaderboard.row_files import write_row
from mmbench.leaderboard.verify import verify
from mmbench.losses import supervised_loss
from mmbench.metrics.sequence import BLEU, ExactMatch, TokenAccuracy
from mmbench.plugins import load_plugins
from mmbench.predicting import Predictor
from mmbench.resolve import resolve
from mmbench.saved import load_model
from mmbench.search.candidates import find_candidates
from mmbench.search.propose import default_spec, reference_specs
from mmbench.search.request import SearchRequest
from mmbench.sequences import END, said
from mmbench.spec import Component
from mmbench.testing import check_dataset
from mmbench.types import Split

SEEDS = [1000, 1001, 1002]


@pytest.fixture(scope="module")
def plugins():
    own = load_plugins.__wrapped__()
    own.datasets.add(Ways, "mmbench")
    return own


@pytest.fixture(scope="module")
def spec(plugins):
    candidates = find_candidates(Ways.task, plugins, "cpu")
    train = {"max_epochs": 6, "learning_rate": 0.01}
    return default_spec(SearchRequest(Component("ways"), candidates, "cpu", train=train), plugins)


@pytest.fixture(scope="module")
def finals(plugins, spec, tmp_path_factory):
    """The row of a tiny task, and the folders of its seeds."""
    home = tmp_path_factory.mktemp("runs") / "study" / "finals"
    family, seeds = trained(spec, SEEDS, plugins, home)
    (row,) = concluded({family: seeds}, plugins, [("finished", 0.5)])
    return row, [seed.folder for seed in seeds]


# Formulas --------------------------------------------------------------------------------------


@pytest.fixture
def drawn():
    """Scores (rows, length × tokens) and targets of every length, some of them said rightly."""
    draw = torch.Generator().manual_seed(0)
    target = torch.randint(1, 4, (40, 6), generator=draw)
    for row in range(40):
        end = row % 7  # of length 6 there is no end
        target[row, end : end + 1] = END  # and behind it anything at all
    hot = torch.nn.functional.one_hot(target, 4).double()
    noise = torch.randn(hot.shape, generator=draw, dtype=torch.float64)
    noise[..., END] += 0.8  # what is said is rather too short
    return (hot * 1.8 + noise).flatten(1), target


def rows_of(scores, target):
    """Of each row: the logits at each place, what is said there, what is right up to its end."""
    for logits, tokens in zip(scores.tolist(), target.tolist(), strict=True):
        places = [logits[4 * i : 4 * i + 4] for i in range(6)]
        right = tokens[: tokens.index(END) + 1] if END in tokens else tokens
        yield places, [p.index(max(p)) for p in places], right


def test_the_loss_is_the_mean_cross_entropy_up_to_the_end(drawn):
    scores, target = drawn
    losses = supervised_loss("sequence", scores, target)
    for loss, (places, _, right) in zip(losses, rows_of(*drawn), strict=True):
        pairs = zip(places, right, strict=False)
        terms = [math.log(sum(math.exp(v) for v in p)) - p[token] for p, token in pairs]
        assert loss.item() == pytest.approx(sum(terms) / len(right))


def test_metrics_are_their_formulas(drawn):
    exact, share = [], []
    for _, spoken, right in rows_of(*drawn):
        hits = [s == r for s, r in zip(spoken, right, strict=False)]
        exact.append(all(hits))
        share.append(sum(hits) / len(right))
    assert 0 < sum(exact) < 40
    assert ExactMatch()(*drawn) == pytest.approx(sum(exact) / 40)
    assert TokenAccuracy()(*drawn) == pytest.approx(sum(share) / 40)


def test_bleu_is_its_formula(drawn):
    pairs = [
        [row[: row.index(END)] if END in row else row for row in (spoken, right)]
        for _, spoken, right in rows_of(*drawn)
    ]
    logs = 0.0
    for n in (1, 2, 3, 4):
        hits = tries = 0
        for spoken, right in pairs:
            left = [right[i : i + n] for i in range(len(right) - n + 1)]
            for i in range(len(spoken) - n + 1):
                tries += 1
                if spoken[i : i + n] in left:
                    left.remove(spoken[i : i + n])
                    hits += 1
        logs += math.log(hits / tries) / 4
    said_, right_ = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    assert said_ < right_, "the penalty for brevity takes part"
    assert BLEU()(*drawn) == pytest.approx(math.exp(1 - right_ / said_ + logs))


def test_bleu_of_a_known_pair():
    """Worked by hand: 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 fours, no penalty."""
    target = torch.tensor([[1, 2, 3, 4, 5, 0]])
    spoken = torch.nn.functional.one_hot(torch.tensor([[1, 2, 3, 4, 4, 0]]), 6).flatten(1).float()
    assert BLEU()(spoken, target) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert BLEU()(torch.zeros(1, 36), target) == 0.0, "nothing is said"


def test_bleu_of_short_answers_that_are_right_is_one():
    target = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])
    spoken = torch.nn.functional.one_hot(target, 6).flatten(1).float()
    assert BLEU()(spoken, target) == 1.0
    assert BLEU()(spoken.roll(1, 0), target) == 0.0


def test_what_is_said_behind_the_end_is_no_matter(drawn):
    scores, target = drawn
    behind = torch.where(target.eq(END).cumsum(1) - target.eq(END).long() > 0, 3, target)
    assert not torch.equal(behind, target)
    for metric in (ExactMatch(), TokenAccuracy(), BLEU()):
        assert metric(scores, behind) == metric(scores, target)
    losses = [supervised_loss("sequence", scores, t) for t in (target, behind)]
    assert torch.equal(*losses)


def test_scores_that_are_of_another_length_are_refused():
    with pytest.raises(InvalidSpec, match=r"scores \(rows, length × tokens\)"):
        ExactMatch()(torch.zeros(2, 7), torch.zeros(2, 3, dtype=torch.long))


# What fits -------------------------------------------------------------------------------------


def test_what_answers_all_places_takes_part(plugins, spec):
    check_dataset(Ways())
    found = find_candidates(Ways.task, plugins, "cpu", fusions=["all"], objectives=["all"])
    assert {"concat", "film", "product", "late-average"} <= set(found.fusions)
    assert "the task is sequence" in found.dropped["late-vote"]
    assert "the task is sequence" in found.dropped["dual"]
    assert set(found.objectives) == {"plain", "joint", "modality-dropout"}
    assert "fitted to numbers or classes; the task is sequence" in found.dropped["boosted-trees"]
    request = SearchRequest(Component("ways"), found, "cpu")
    names = {s.fusion_label for s in reference_specs(request, plugins)}
    assert names == {"only-point", "only-asked"}  # no prior of tokens is a sentence
    with pytest.raises(Incompatible, match="late-vote serves"):
        resolve(replace(spec, fusion=Component("late-vote")), plugins)


# A row, from training to the board ---------------------------------------------------------------


def test_a_row_says_how_much_is_right(finals, tmp_path):
    row, _ = finals
    main = row.quality["exact-match"]
    assert main["mean"] > 0.6 and main["low"] < main["mean"] < main["high"]
    assert main["mean"] <= row.quality["token-accuracy"]["mean"] <= 1
    assert "bleu" in row.quality
    assert set(row.slices["asked"]) == {"one", "both"}
    assert row.confusion is None and row.reliability is None
    alone = row.contribution["subsets"]
    assert alone["point+asked"] > alone["asked"]
    assert row.contribution["emap"] is not None
    assert set(row.robustness["conflict"]) == {"point", "asked"}
    board, _ = write_board(tmp_path, [row])
    assert "exact-match" in board.read_text()


def test_what_is_said_is_kept_and_verified(finals, plugins, tmp_path):
    row, folders = finals
    write_row(tmp_path, row, folders[0])
    kept = read_predictions(tmp_path / "ways" / row.predictions["file"], row.predictions["sha256"])
    assert all(set(k.unique().tolist()) == {0.0, 1.0} and k.shape == (80, 15) for k in kept)
    (checked,) = verify([tmp_path], plugins)
    assert checked.recomputed and not checked.problems
    file = tmp_path / "ways" / f"{row.id}.json"
    forged = json.loads(file.read_text())
    forged["quality"]["token-accuracy"]["per_seed"][0] += 0.1
    file.write_text(json.dumps(forged))
    (checked,) = verify([tmp_path], plugins)
    assert any("token-accuracy" in problem for problem in checked.problems)


def test_nothing_that_a_metric_asks_for_is_lost(drawn):
    scores, target = drawn
    task = replace(Ways.task, outputs=WORDS[:4], length=6)
    for metric in (ExactMatch(), TokenAccuracy(), BLEU()):
        assert metric(storable(scores, task).float(), target) == metric(scores, target)


def test_the_model_says_a_sentence(finals, plugins):
    _, folders = finals
    predictor = Predictor(load_model(folders[0] / "model", plugins, torch.device("cpu")))
    asked = [{"point": [-6.0, 6.0], "asked": [where]} for where in (-2.0, 2.0)]
    assert [one.value for one in predictor.predict_all(asked)] == ["down", "down left"]
    with pytest.raises(Incompatible, match="one answer at each place"):
        subject(folders[0] / "model", 0, plugins, torch.device("cpu"))


def test_chance_is_the_commonest_sentence_or_the_commonest_tokens():
    """Of 8 rows 2 say "2 3"; 5 begin with 1, each going on in its own way."""
    rows = [[2, 3, 0], [2, 3, 0], [2, 3, 4], [1, 0, 4], [1, 1, 0], [1, 2, 0], [1, 3, 1], [1, 4, 0]]
    split = Split({}, torch.tensor(rows))
    sentence, tokens = ways = sanity.constants(split, Ways.task)
    assert said(sentence, 3).tolist() == [[2, 3, 0]] * 8
    assert said(tokens, 3).tolist() == [[1, 3, 0]] * 8
    assert [ExactMatch()(way, split.target) for way in ways] == [2 / 8, 0]
    assert TokenAccuracy()(tokens, split.target) > TokenAccuracy()(sentence, split.target)
    for metric, best in ((ExactMatch(), sentence), (TokenAccuracy(), tokens)):
        level = sanity.chance_level([torch.zeros(8, 15)], split, Ways.task, metric)
        assert level == metric(best, split.target)


# captions --------------------------------------------------------------------------------------


def test_captions_say_what_the_prompt_asks_for():
    split = captions.Captions().load("val")
    _, told, _ = captions.captioned("val")
    asked = {"shape": ("shape",), "size and": ("size", "colour"), "place": ("place",),
             "everything": ("size", "colour", "shape", "place")}  # fmt: skip
    for row in range(0, len(split), 7):
        caption, prompt = told[row // 4], split.slices["prompt"][row]
        spoken = [captions.WORDS[t] for t in split.target[row].tolist()]
        assert spoken[-1] == "", "the end is always there"
        sentence = " ".join(word for word in spoken if word)
        (fields,) = (fields for name, fields in asked.items() if name in prompt)
        for field in ("size", "colour", "place"):
            assert (getattr(caption, field) in sentence) == (field in fields)
        noun = caption.shape if "shape" in fields else "shape"
        assert noun in sentence.split()
