"""What every plugin of commands promises. Authors call ``check_commands(my_module)`` in a test."""

from typing import Any

import typer
from typer.testing import CliRunner

from mmbench.testing.subject import Check, promise

USAGE_ERROR = 2


def check_commands(plugin: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it.

    ``plugin`` is a module, or whatever else has the hook ``register_commands(app)``.
    """
    for check in command_checks():
        check(plugin)


def _app_of(plugin: Any) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)
    plugin.register_commands(app=app)
    app.callback()(lambda: None)  # so that a single command still makes a group
    return app


def _commands(app: typer.Typer) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def commands_have_names_of_their_own(plugin: Any) -> None:
    """It adds at least one command, and none that mmbench has."""
    from mmbench.cli.main import app as ours

    given = _commands(_app_of(plugin))
    assert given, "register_commands(app) adds no command. Use @app.command(…) inside it."
    taken = sorted(set(given) & set(_commands(ours)))
    assert not taken, (
        f"mmbench itself has the command {', '.join(taken)}: the plugin's is never reached. "
        f"Rename it."
    )


def commands_explain_themselves(plugin: Any) -> None:
    """``--help`` works; each command, argument and option says what it is for."""
    app = _app_of(plugin)
    for name, command in _commands(app).items():
        assert (command.help or "").strip(), f"command {name!r}: give its function a docstring."
        for parameter in getattr(command, "params", ()):
            assert getattr(parameter, "help", None), (
                f"command {name!r}: {parameter.name!r} says nothing of itself. Write help=…"
            )
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0, (
            f"command {name!r}: --help fails."
        )


def commands_refuse_unknown_options(plugin: Any) -> None:
    """A misspelt option is a usage error, exit code 2, and never swallowed."""
    app = _app_of(plugin)
    for name in _commands(app):
        code = CliRunner().invoke(app, [name, "--no-such-option"]).exit_code
        assert code == USAGE_ERROR, (
            f"command {name!r}: an unknown option ends with exit code {code}, not 2. Do not set "
            f"ignore_unknown_options, and end with 2 where the input is at fault."
        )


def command_checks() -> tuple[Check, ...]:
    """All promises of a plugin's commands, to parametrise a test: each takes the plugin."""
    own = (
        commands_have_names_of_their_own,
        commands_explain_themselves,
        commands_refuse_unknown_options,
    )
    return tuple(promise(check) for check in own)
