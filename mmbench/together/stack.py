"""K models of one structure as one: their weights side by side, run as ``torch.func.vmap`` does.

What trains lies in one matrix (members, numbers), so that clipping is one operation over all
members, and what a member holds is one row: its optimiser, its best weights.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mmbench.contracts import Objective
from mmbench.model import FusionModel
from mmbench.optimizer import adamw
from mmbench.together.batches import MemberBatch, as_split
from mmbench.together.draws import Rates
from mmbench.together.members import Members
from mmbench.together.side_by_side import gathered, side_by_side, spread

State = Mapping[str, Tensor]
Slot = tuple[dict[str, Any], str]
"""Where a module holds a tensor: one of its dictionaries, and a key."""
Asked = Literal["loss", "scores"]


class NotTogether(Exception):
    """These members are not one model with other weights; each is to be trained alone."""


class Learner(nn.Module):
    """A model and its objective as one function of a batch: its loss, or its scores."""

    def __init__(self, model: FusionModel, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Mapping[str, Tensor], asked: Asked) -> Tensor:
        split = as_split(batch)
        if asked == "loss":
            return self.objective.loss(self.model, split)
        return self.model(split).scores  # type: ignore[no-any-return]


class Held(NamedTuple):
    """Some numbers of one member, their gradients and both moments: (numbers,) each; views."""

    state: list[Tensor]
    decays: bool

    def step(self, steps: Tensor, rate: float, weight_decay: float) -> None:
        """``steps`` counts this one."""
        row, gradient, mean, square = ([tensor] for tensor in self.state)
        decay = weight_decay if self.decays else 0.0
        adamw(row, gradient, mean, square, [steps], rate, decay)


class Stack:
    """The learners of all members. ``rows`` (members, numbers) is what trains, a row each."""

    def __init__(
        self,
        learners: Sequence[Learner],
        generators: Sequence[torch.Generator],
        weight_decays: Sequence[float],
    ) -> None:
        """Raises ``NotTogether`` if the learners differ by more than weights and numbers."""
        self.differing = differing_numbers(learners)
        self.template = copy.deepcopy(learners[0])
        self.slots = _slots(self.template)
        self.generators, self.weight_decays = list(generators), list(weight_decays)
        self.fixed, self.shared = _fixed(learners)
        weights = [dict(_trained(learner)) for learner in learners]
        self._lay_out({n: torch.stack([w[n].detach() for w in weights]) for n in weights[0]})

    def _lay_out(self, weights: State) -> None:
        """Side by side in ``rows``, the objective's own last; beside each what AdamW holds."""
        self.shapes = {name: tensor.shape[1:] for name, tensor in weights.items()}
        self.rows = torch.cat([t.reshape(len(t), -1) for t in weights.values()], dim=1)
        self.gradients, self.means, self.squares = (torch.zeros_like(self.rows) for _ in range(3))
        self.steps = self.rows.new_zeros(())
        self.decaying = sum(s.numel() for n, s in self.shapes.items() if n.startswith("model."))
        self.numbers = self._set_rates()
        self.held = self._by_member()

    def __len__(self) -> int:
        return len(self.rows)

    def losses(self, batch: MemberBatch) -> Tensor:
        """(members,), detached; the gradients of all members are in ``gradients``."""
        leaves = {name: part.requires_grad_() for name, part in self.unpacked(self.rows).items()}
        with torch.enable_grad():
            losses = self._run(leaves, batch, "loss")
        found = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
        gradients = dict(zip(leaves, found, strict=True))
        if unused := [name for name, gradient in gradients.items() if gradient is None]:
            self._set_aside(unused)
        parts = [g.reshape(len(g), -1) for g in found if g is not None]
        torch.cat(parts, dim=1, out=self.gradients)
        return losses.detach()

    def _set_aside(self, unused: Sequence[str]) -> None:
        """What has no part in the loss stays as it is, without decay, as in a training alone."""
        weights = self.unpacked(self.rows)
        self.fixed |= {name: weights.pop(name).clone() for name in unused}
        self._lay_out({name: tensor.clone() for name, tensor in weights.items()})

    def scores(self, batch: MemberBatch) -> Tensor:
        """(members, rows, n_outputs)."""
        with torch.inference_mode():
            return self._run(self.unpacked(self.rows), batch, "scores")

    def update(self, clips: Tensor, rates: Sequence[float]) -> None:
        """Clip each member's gradient to its norm in ``clips`` (members,), then use it."""
        norms = self.gradients.norm(dim=1)
        self.gradients.mul_((clips / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1))
        self.steps += 1
        for parts, rate, decay in zip(self.held, rates, self.weight_decays, strict=True):
            for part in parts:
                part.step(self.steps, rate, decay)

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members, by their present numbers."""
        chosen = torch.tensor(members, dtype=torch.long, device=self.rows.device)
        self.rows, self.gradients = self.rows[chosen], self.gradients[chosen]
        self.means, self.squares = self.means[chosen], self.squares[chosen]
        self.fixed = {n: t if n in self.shared else t[chosen] for n, t in self.fixed.items()}
        self.differing = {at: [values[k] for k in members] for at, values in self.differing.items()}
        self.numbers = self._set_rates()
        self.held = self._by_member()
        self.generators = [self.generators[k] for k in members]
        self.weight_decays = [self.weight_decays[k] for k in members]

    def _by_member(self) -> list[list[Held]]:
        """For the optimiser of each, what decays and what does not, where there is any."""
        state = (self.rows, self.gradients, self.means, self.squares)
        halves = ((slice(self.decaying), True), (slice(self.decaying, None), False))
        parts = [(half, decays) for half, decays in halves if self.rows[:, half].numel()]
        return [
            [Held([t[k, half] for t in state], decays) for half, decays in parts]
            for k in range(len(self))
        ]

    def unpacked(self, rows: Tensor) -> dict[str, Tensor]:
        """Rows (members, numbers) as parameters (members, *shape) by name; views."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        return {
            name: part.view(len(rows), *shape)
            for (name, shape), part in zip(
                self.shapes.items(), rows.split(sizes, dim=1), strict=True
            )
        }

    def write(self, row: Tensor, learner: Learner) -> None:
        """What a row (numbers,) holds, as the weights of a learner."""
        weights = {name: part[0] for name, part in self.unpacked(row.unsqueeze(0)).items()}
        learner.load_state_dict(weights, strict=False)

    def _run(self, trained: State, batch: MemberBatch, asked: Asked) -> Tensor:
        if self.template.training != (asked == "loss"):
            self.template.train(asked == "loss")
        with side_by_side(len(self)), Members(self.generators):
            for name, tensor in trained.items():
                self._fill(name, spread(tensor))
            for name, tensor in self.fixed.items():
                self._fill(name, tensor if name in self.shared else spread(tensor))
            for at, values in self.numbers.items():
                _assign(self.template, at, spread(values))
            return gathered(self.template(batch.seen(), asked), len(self))

    def _fill(self, name: str, tensor: Tensor) -> None:
        """``functional_call`` would take it out again: a twentieth of a step."""
        for holder, key in self.slots[name]:
            holder[key] = tensor

    def _set_rates(self) -> dict[str, Tensor]:
        """Dropout rates are set for all members at once; other numbers are set in each pass."""
        numbers = {}
        for at, values in self.differing.items():
            module = self.template.get_submodule(at.rpartition(".")[0])
            if isinstance(module, nn.Dropout):
                module.p = Rates(values)  # type: ignore[assignment]
            else:
                numbers[at] = self.rows.new_tensor(values)
        return numbers


def _slots(module: nn.Module) -> dict[str, list[Slot]]:
    """Where each of its tensors stands, by name; one that parts share stands in several places."""
    places: dict[int, list[Slot]] = {}
    for part in module.modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                places.setdefault(id(tensor), []).append((holder, key))
    named = chain(module.named_parameters(), module.named_buffers())
    return {name: places[id(tensor)] for name, tensor in named}


def _assign(module: nn.Module, at: str, value: Any) -> None:
    path, _, name = at.rpartition(".")
    setattr(module.get_submodule(path), name, value)


def _trained(learner: Learner) -> Iterator[tuple[str, nn.Parameter]]:
    return ((n, p) for n, p in learner.named_parameters() if p.requires_grad)


def _fixed(learners: Sequence[Learner]) -> tuple[dict[str, Tensor], set[str]]:
    """Buffers and what else does not train: once where all members hold the same, else stacked."""
    fixed, shared = {}, set()
    states = [
        {
            name: tensor
            for name, tensor in chain(learner.named_parameters(), learner.named_buffers())
            if not tensor.requires_grad
        }
        for learner in learners
    ]
    for name, first in states[0].items():
        if all(torch.equal(first, state[name]) for state in states[1:]):
            fixed[name] = first.detach()
            shared.add(name)
        else:
            fixed[name] = torch.stack([state[name].detach() for state in states])
    return fixed, shared


def differing_numbers(learners: Sequence[nn.Module]) -> dict[str, list[float]]:
    """The float attributes in which the learners differ, by path; each member's value.

    Raises ``NotTogether`` at any other difference: they are not one function of their weights.
    """
    found = {}
    named = [dict(learner.named_modules()) for learner in learners]
    for path, first in named[0].items():
        parts = [modules.get(path) for modules in named]
        if any(_structure(part) != _structure(first) for part in parts):
            raise NotTogether(f"The members differ in {path or 'what they are'}.")
        for name, value in _attributes(first).items():
            values = [_attributes(part)[name] for part in parts if part is not None]
            if all(_same(value, other) for other in values):
                continue
            if not all(isinstance(v, float) for v in values):
                raise NotTogether(f"The members differ in {path}.{name}.")
            found[f"{path}.{name}"] = [float(v) for v in values]
    return found


def _structure(module: nn.Module | None) -> Any:
    """Its class, its parts, what each of its tensors looks like."""
    if module is None:
        return None
    tensors = {**module._parameters, **module._buffers}
    looks = {n: t if t is None else (t.shape, t.dtype, t.requires_grad) for n, t in tensors.items()}
    return type(module), list(module._modules), looks, list(_attributes(module))


def _attributes(module: nn.Module) -> dict[str, Any]:
    own = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
    return {k: v for k, v in vars(module).items() if k not in own and k != "training"}


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except (ValueError, RuntimeError):  # arrays say it of each element
        return False
