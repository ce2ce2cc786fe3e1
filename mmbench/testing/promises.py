"""The promises that every trainable component keeps, whatever its kind."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mmbench.testing.subject import Inputs, Subject, cast, close, identical, projected
from mmbench.together.members import Members
from mmbench.together.side_by_side import gathered, side_by_side, spread


def samples_do_not_see_each_other(subject: Subject) -> None:
    """A sample's output is the same alone and in a batch: attend over tokens, never over rows."""
    _each_alone(subject, subject.build().eval())


def training_does_not_mix_samples(subject: Subject) -> None:
    """So it is in training mode too, unless random numbers are drawn there."""
    module = subject.build().train()
    first, second = (subject.call(module, subject.inputs) for _ in range(2))
    if close(first, second):
        _each_alone(subject, module)


def _each_alone(subject: Subject, module: nn.Module) -> None:
    whole = subject.call(module, subject.inputs)
    mode = "training" if module.training else "evaluation"
    for i in range(len(whole[0])):
        alone = subject.call(module, {k: v[i : i + 1] for k, v in subject.inputs.items()})
        assert close(tuple(o[i : i + 1] for o in whole), alone), (
            f"{subject.what}: in {mode} mode the output of sample {i} depends on the other samples "
            f"of its batch. Attend over the token axis and use LayerNorm rather than BatchNorm."
        )


def every_tensor_is_registered(subject: Subject) -> None:
    """All weights are parameters or buffers, so that they train, move and are saved."""
    module = subject.build().eval()
    outputs = subject.call(module, subject.inputs)
    registered = {id(t) for t in [*module.parameters(), *module.buffers(), *module.modules()]}
    held = {
        f"{path}.{key}".lstrip(".")
        for path, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in ("_parameters", "_buffers", "_modules")
        and any(id(thing) not in registered for thing in _tensors_and_modules(value))
    }
    assert not held, (
        f"{subject.what}: {', '.join(sorted(held))} holds tensors or modules that are not "
        f"registered: they never train and are missing from the state dict. Use nn.Parameter, "
        f"register_buffer, nn.ParameterDict or nn.ModuleList, and keep nothing from forward."
    )
    hidden = [leaf for o in outputs for leaf in _trained_leaves(o) if id(leaf) not in registered]
    assert not hidden, (
        f"{subject.what}: a trained tensor of shape {tuple(hidden[0].shape)} is used but is not "
        f"among the parameters. Register it with nn.Parameter."
    )


def _tensors_and_modules(value: object) -> Iterator[object]:
    if isinstance(value, Tensor | nn.Module):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors_and_modules(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors_and_modules(item)


def _trained_leaves(output: Tensor) -> Iterator[Tensor]:
    """All tensors that a backward pass from ``output`` would give a gradient to."""
    todo, seen = [output.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo.extend(before for before, _ in node.next_functions)
            if hasattr(node, "variable"):
                yield node.variable


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """No trainable parameter is dead weight: each is reached by the backward pass."""
    module = subject.build().eval()
    if not any(p.requires_grad for p in module.parameters()):
        return
    projected(subject.call(module, subject.inputs)).backward()
    dead = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert not dead, (
        f"{subject.what}: {', '.join(dead)} never gets a gradient. Use it in forward, remove it, "
        f"or set requires_grad to False."
    )


def state_dict_restores_the_output(subject: Subject) -> None:
    """A copy with the same state dict gives the same output: nothing that matters is outside."""
    module, other = subject.build().eval(), subject.build().eval()
    other.load_state_dict(module.state_dict())
    assert close(subject.call(module, subject.inputs), subject.call(other, subject.inputs)), (
        f"{subject.what}: after load_state_dict another instance gives another output. Something "
        f"random is made in __init__ and not registered as a parameter or buffer."
    )


def eval_is_deterministic(subject: Subject) -> None:
    """In eval mode the same input gives the same output, whatever the random state."""
    module = subject.build().eval()
    first = subject.call(module, subject.inputs)
    torch.manual_seed(1)
    assert close(first, subject.call(module, subject.inputs)), (
        f"{subject.what}: two calls in eval mode differ. Draw weights in __init__, not in forward; "
        f"use nn.Dropout, which stops in eval mode; keep no state between calls."
    )


def forward_keeps_no_state(subject: Subject) -> None:
    """A forward pass changes nothing in the module, in training mode too."""
    module = subject.build().train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    subject.call(module, subject.inputs)
    changed = [k for k, v in module.state_dict().items() if not torch.equal(v, before[k])]
    assert not changed, (
        f"{subject.what}: forward changes {', '.join(changed)}. Use LayerNorm, not BatchNorm, "
        f"and no running averages: members of a batched model share one forward pass."
    )


def inputs_are_never_modified(subject: Subject) -> None:
    """What it is given is left as it was: other parts of the model read it too."""
    for mode in (True, False):
        module = subject.build().train(mode)
        given = {k: v.clone() for k, v in subject.inputs.items()}
        subject.call(module, given)
        changed = [k for k, v in given.items() if not identical(v, subject.inputs[k])]
        assert not changed, (
            f"{subject.what}: forward modifies its input {', '.join(changed)} in place. Use x * w, "
            f"not x.mul_(w) or x[…] = …"
        )


def random_state_is_not_set(subject: Subject) -> None:
    """What is drawn after it depends on the trial's seed still: it sets no random state."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        subject.call(subject.build().train(), subject.inputs)
        drawn.append(torch.rand(()))
    assert drawn[0] != drawn[1], (
        f"{subject.what}: it sets torch's random state, so that all seeds of a trial are one. "
        f"Leave torch.manual_seed alone; what is always to be the same is drawn with "
        f"generator=torch.Generator().manual_seed(0)."
    )


def degenerate_inputs_stay_finite(subject: Subject) -> None:
    """Zeros and constants give finite outputs and gradients."""
    for value in (0.0, 1.0):
        module = subject.build().eval()
        inputs = {
            k: torch.full_like(v, value).requires_grad_() if v.is_floating_point() else v
            for k, v in subject.inputs.items()
        }
        outputs = subject.call(module, inputs)
        assert all(o.isfinite().all() for o in outputs), (
            f"{subject.what}: an input of all {value:g} gives an output that is not finite. Add an "
            f"epsilon where it divides or takes a logarithm."
        )
        if any(o.requires_grad for o in outputs):
            projected(outputs).backward()
        leaves = [*module.parameters(), *inputs.values()]
        assert all(t.grad.isfinite().all() for t in leaves if t.grad is not None), (
            f"{subject.what}: an input of all {value:g} gives a gradient that is not finite. A "
            f"root or a norm has an infinite slope at zero: add an epsilon inside it."
        )


def it_moves_between_precisions_and_devices(subject: Subject) -> None:
    """It runs in bfloat16, in float64 and on a CUDA device, and its output is there too."""
    for dtype in (torch.bfloat16, torch.float64):
        module = subject.build().eval().to(dtype)
        output = subject.call(module, cast(subject.inputs, dtype))[0]
        assert output.dtype == dtype, (
            f"{subject.what}: in {dtype} its output is {output.dtype}. Register constants as "
            f"buffers and make new tensors with x.new_zeros or torch.zeros_like."
        )
        assert output.isfinite().all(), f"{subject.what}: its output is not finite in {dtype}."
    if torch.cuda.is_available():
        cuda, module = torch.device("cuda"), subject.build().eval()
        expected = subject.call(module, subject.inputs)[0]
        output = subject.call(module.to(cuda), cast(subject.inputs, cuda))[0]
        assert output.is_cuda and torch.allclose(output.cpu(), expected, rtol=1e-2, atol=1e-2), (
            f"{subject.what}: on a CUDA device it gives another output than on the CPU."
        )


def members_train_together_under_vmap(subject: Subject) -> None:
    """Three members as one batched model give what each gives alone, and finite gradients.

    To mend: no in-place writes, no ``.item()``, no shapes or branches that depend on values; random
    numbers by ``nn.Dropout``, ``torch.rand`` and their like. Or declare ``batched=False`` and train
    alone.
    """
    members = [subject.build() for _ in range(3)]
    fed = [subject.inputs, *({k: v.roll(i, 0) for k, v in subject.inputs.items()} for i in (1, 2))]
    params, buffers = stack_module_state(members)
    for training in (False, True):
        for member in members:
            member.train(training)
        together = _side_by_side(subject, members[0], {**params, **buffers}, fed)
        mode = "training" if training else "evaluation"
        assert close(together, _one_by_one(subject, members, fed)), (
            f"{subject.what}: under torch.func.vmap its output in {mode} mode differs from "
            f"that of each member alone. {members_train_together_under_vmap.__doc__}"
        )
    if not any(p.requires_grad for p in params.values()):
        return
    projected(together).backward()
    assert all(p.grad.isfinite().all() for p in params.values() if p.grad is not None), (
        f"{subject.what}: under torch.func.vmap a gradient is not finite."
    )


def _side_by_side(
    subject: Subject, template: nn.Module, state: Inputs, fed: list[Inputs]
) -> tuple[Tensor, ...]:
    """The outputs of all members (members, batch, …), each with a random stream of its own."""
    n = len(fed)
    streams = [torch.Generator().manual_seed(seed) for seed in range(n)]
    stacked = {k: torch.stack([inputs[k] for inputs in fed]) for k in subject.inputs}
    with side_by_side(n), Members(streams):
        weights = {name: spread(tensor) for name, tensor in state.items()}
        read = {k: spread(v) for k, v in stacked.items()}
        outputs = subject.call(lambda *args: functional_call(template, weights, args), read)
        return tuple(gathered(output, n) for output in outputs)


def _one_by_one(
    subject: Subject, members: list[nn.Module], fed: list[Inputs]
) -> tuple[Tensor, ...]:
    alone = []
    for seed, (member, inputs) in enumerate(zip(members, fed, strict=True)):
        torch.manual_seed(seed)
        alone.append(subject.call(member, inputs))
    return tuple(torch.stack(outputs) for outputs in zip(*alone, strict=True))
