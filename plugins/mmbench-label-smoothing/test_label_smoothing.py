"""The contract kit, the formula written slowly, and the entry point."""

from importlib.metadata import entry_points

from mmbench_label_smoothing import LabelSmoothing

from mmbench.testing import objective_contract


def formula(objective, outputs, target):
    """One sample and one class at a time."""
    loss, classes = 0.0, outputs.scores.shape[1]
    for scores, wanted in zip(outputs.scores, target.tolist(), strict=True):
        log_p = scores - scores.exp().sum().log()
        for k in range(classes):
            q = (1 - objective.epsilon) * (k == wanted) + objective.epsilon / classes
            loss = loss - q * log_p[k]
    return loss / len(target)


TestContract = objective_contract(LabelSmoothing, reference=formula)


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = entry_points(group="mmbench", name="label-smoothing")
    assert entry.load().register_objectives() == [LabelSmoothing]
