"""``mmbench list`` and ``mmbench describe``: what there is, and what one thing is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json, terminal
from mmbench.errors import InvalidParameter, did_you_mean

if TYPE_CHECKING:
    from mmbench.contracts import Card
    from mmbench.plugins import Plugins
    from mmbench.types import Task

KINDS = {
    "tasks": "dataset",
    "encoders": "encoder",
    "fusions": "fusion",
    "heads": "head",
    "objectives": "objective",
    "metrics": "metric",
}


def list_components(
    kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))], as_json: AsJson = False
) -> None:
    """List the tasks, encoders, fusions, heads, objectives or metrics that are installed."""
    from mmbench.catalogue import catalogue, refuse_broken

    if kind not in KINDS:
        raise InvalidParameter(
            f"There is no kind {kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}."
        )
    known = catalogue()
    refuse_broken(known)
    found = known["components"][KINDS[kind]]
    if as_json:
        print_json(found)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("name", "owner", "what it is"):
        table.add_column(title)
    for item in found:
        table.add_row(*(Text(item[key]) for key in ("name", "owner", "summary")))
    terminal().print(table)


def describe(
    kind: Annotated[str, typer.Argument(help="task, encoder, fusion, head, objective or metric.")],
    name: Annotated[str, typer.Argument(help="Its name, as `mmbench list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Say what one component is: its source, its search space, what it needs and promises."""
    from mmbench.plugins import load_plugins

    singular = {plural.removesuffix("s"): registry for plural, registry in KINDS.items()}
    if kind not in singular:
        raise InvalidParameter(
            f"There is no kind {kind!r}.{did_you_mean(kind, singular)} "
            f"Kinds: {', '.join(singular)}."
        )
    plugins = load_plugins()
    document = description(plugins, singular[kind], name)
    if as_json:
        print_json(document)
        return
    typer.secho(f"{kind} {document['name']}", bold=True, nl=False)
    typer.echo(f"   ({document['owner']}, {document['class']})\n\n{document['about']}\n")
    for title in ("facts", "capabilities"):
        for key, value in document.get(title, {}).items():
            typer.echo(f"  {key:20} {value}")
    if document.get("known"):
        typer.echo("\nknown figures")
    for known in document.get("known", ()):
        typer.echo(f"  {known['score']:<20} {known['what']} ({known['source']})")
    typer.echo("\nhyperparameters" if document["space"] else "\nno hyperparameters")
    for line in document["space"]:
        typer.echo(f"  {line}")


def description(plugins: "Plugins", registry: str, name: str) -> dict[str, Any]:
    """Everything that is known of a component without running it."""
    import inspect
    import sys
    from dataclasses import asdict

    from mmbench.space import params_of

    found = next(r for r in plugins.registries if r.kind == registry)
    cls: Any = found[name]
    about = [sys.modules[cls.__module__].__doc__, cls.__doc__]
    document: dict[str, Any] = {
        "name": name,
        "owner": found.owner(name),
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "about": "\n\n".join(inspect.cleandoc(text) for text in about if text),
        "space": [str(param) for param in params_of(cls)],
    }
    if registry == "fusion":
        targets = ", ".join(sorted(cls.capabilities.targets))
        document["capabilities"] = {
            **asdict(cls.capabilities), "targets": targets, "offered": cls.offered,
        }  # fmt: skip
    elif registry == "encoder":
        document["facts"] = {
            "reads": cls.accepts, "sequences": cls.emits_sequences, "offered": cls.offered,
        }  # fmt: skip
    elif registry in ("head", "objective", "metric"):
        document["facts"] = {"targets": ", ".join(sorted(cls.targets))}
    elif registry == "dataset":
        document["facts"] = _facts_of(cls)
        document["known"] = _known_figures(cls.card) if cls.card else []
    return document


def _facts_of(cls: Any) -> dict[str, Any]:
    """What is known of a task as it is by default, or what it needs before anything is."""
    from mmbench.errors import DataUnavailable

    card = _card_facts(cls.card) if cls.card else {}
    try:
        return {**_task_facts(cls()), **card}
    except DataUnavailable as error:
        return {"needs": str(error), **card}


def _task_facts(dataset: Any) -> dict[str, Any]:
    task = dataset.task
    return {
        "version": dataset.version,
        "modalities": ", ".join(f"{m} ({kind})" for m, kind in task.modalities.items()),
        "target": task.target + _outputs(task),
        "main metric": task.metric,
        **({} if task.optimum is None else {"best possible": f"{task.optimum:.4f}"}),
        **({"means the same mirrored": ", ".join(task.mirrored)} if task.mirrored else {}),
    }


def _outputs(task: "Task") -> str:
    if task.target == "sequence":
        return f" of up to {task.length} tokens, {len(task.outputs)} different ones"
    return f", {task.n_outputs} outputs" if task.outputs else ""


def _card_facts(card: "Card") -> dict[str, Any]:
    rows = ", ".join(f"{part} {n:,}" for part, n in card.rows.items())
    content = ", ".join(f"{part} {sha256[:12]}" for part, sha256 in card.content.items())
    facts = {
        "source": card.source,
        "licence": card.licence,
        "rows": rows,
        "split": card.split,
        "content (SHA-256)": content,
        "note": card.note,
    }
    return {key: value for key, value in facts.items() if value}


def _known_figures(card: "Card") -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [
        {**asdict(k), "what": f"{k.what}, {k.within}" if k.within else k.what} for k in card.known
    ]
