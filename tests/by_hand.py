"""A training by hand, one batch at a time, that the tests of paradigms share."""

from dataclasses import replace

import torch

from mmbench.testing.practice import Practice
from mmbench.types import Column, Split


class Hand:
    """A tiny training in float64 whose gradients can be looked at before each update."""

    def __init__(self, cls, kind="classification", **settings):
        params = settings.pop("params", {})
        started = Practice(cls, kind, params, **settings).start()
        started = replace(started, train=in_float64(started.train), val=in_float64(started.val))
        self.model, self.objective = started.model.double(), started.trainer.objective.double()
        self.course, self.kind = started.course, kind
        self.model.train(), self.objective.train()
        self.batch = started.train.rows(torch.arange(32))

    def gradients(self):
        """By name, as they are when the objective asks for an update."""
        self.model.zero_grad()
        seen = {}

        def look():
            seen.update({n: p.grad.clone() for n, p in self.model.named_parameters()})

        self.objective.step(self.model, self.batch, look)
        return seen

    def steps(self):
        """By name, how far a step of gradient descent at a rate of one leads; it is taken back."""
        self.model.zero_grad()
        before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.objective.step(self.model, self.batch, self.descend)
        after = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.model.load_state_dict(before, strict=False)
        return {n: before[n] - after[n] for n in before}

    @torch.no_grad()
    def descend(self):
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad
                parameter.grad = None

    def turns(self):
        """The loss, and the gradients of each update that a step asks for; no weight changes."""
        self.model.zero_grad()
        seen = []

        def look():
            named = self.model.named_parameters()
            seen.append({n: p.grad.clone() for n, p in named if p.grad is not None})
            self.model.zero_grad()

        return self.objective.step(self.model, self.batch, look).item(), seen

    def slopes(self, loss, modality):
        """The gradient of a loss in the encoder of a modality, flat, by plain autograd."""
        parameters = list(self.model.encoders[modality].parameters())
        return flat(torch.autograd.grad(loss, parameters, retain_graph=True))

    def encoder(self, gradients, modality):
        return flat(g for n, g in gradients.items() if n.startswith(f"encoders.{modality}."))


def in_float64(split):
    columns = {m: Column(c.values.double(), c.index) for m, c in split.columns.items()}
    target = split.target.double() if split.target.is_floating_point() else split.target
    return Split(columns, target)


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


def outputs_of(hand):
    return hand.model.respond(hand.model.encode(hand.batch))
