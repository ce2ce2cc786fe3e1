"""Looking at a model in training as it will be used: without dropout."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmbench.contracts import Model


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards it is as before."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
