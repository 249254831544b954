"""The table of commands, and what happens when one goes wrong: exit status, one sentence, or one JSON document.

Source: interfaces.md §2.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from isthmus import __version__
from isthmus.commands.output import Options, say_error
from isthmus.errors import IsthmusError, SettingsProblem

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Two demo countries on this machine, with invented patients and real images."),
    "serve": ("serve", "One country's node as its settings say: border, portal, or both."),
    "import": ("import_", "Images and reports into Country A's embedded archive."),
    "import-patients": ("import_patients", "Patients into Country A's embedded register."),
    "archive": ("archive", "What the embedded archive keeps."),
    "visit": ("visit", "Country B at the command line: find, list, get, images."),
    "convert": ("convert", "A manifest into its other encoding, a report into the European document."),
    "check": ("check", "Conformance of files, folders or a live border: what is wrong, where, and what to do."),
    "token": ("token", "An access token for your own client (demo and test only)."),
    "pki": ("pki", "Keys and certificates: for practice countries, or a real one for this node."),
    "trust": ("trust", "The trust list: who is at the other end."),
    "keys": ("keys", "The node's own keys: turn one over without a restart."),
    "connector": ("connector", "What lies behind Country A: try its sources."),
    "consent": ("consent", "A patient's directives in Country A."),
    "terminology": ("terminology", "Codes and words: import, list, and which are not mapped yet."),
    "backup": ("backup", "A copy of the node's state, trail and archive, while it serves."),
    "restore": ("restore", "A backup put back, with what was there kept aside."),
    "doctor": ("doctor", "Everything about this node that will hurt: what, how bad, and what to do."),
    "audit": ("audit", "The trail: show it, prove it."),
}
"""Name on the command line: module of this room, and a line of help."""

UsageProblem: type[Exception] = typer.BadParameter.__mro__[1]  # click's UsageError, which typer carries inside
INTERRUPTED = 130


class Table(TyperGroup):
    """The commands by name. Listing them imports nothing; `--help` answers at once."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        place = COMMANDS.get(cmd_name)
        return None if place is None else TyperCommand(cmd_name, help=place[1], rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name is None:
            return name, command, rest
        return name, _loaded(name), rest


def _loaded(name: str) -> Any:
    module = importlib.import_module(f"isthmus.commands.{COMMANDS[name][0]}")
    _plain(module.app)
    command = typer.main.get_command(module.app)
    command.name = name
    return command


def _plain(app: typer.Typer) -> None:
    """Help as plain text, so that an example can be copied whole."""
    app.rich_markup_mode = None
    app._add_completion = False
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _plain(group.typer_instance)


root = typer.Typer(
    cls=Table, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


@root.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", envvar="ISTHMUS_CONFIG", help="The node's settings, isthmus.toml."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="On an error, say the rest too; on a visit, what was forgiven.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Say the version.")] = False,
) -> None:
    """Isthmus: find, read and see a patient's imaging studies and reports that another country holds.

    \b
    Example:
      isthmus demo
      isthmus --config bb/isthmus.toml visit --as radiologist --country AA --identifier 'urn:oid:2.999.1.2.1|…' list
    """
    if version:
        typer.echo(f"isthmus {__version__}")
        raise typer.Exit
    ctx.obj = Options(config=config, verbose=verbose)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def run(argv: Sequence[str]) -> int:
    """Run one command and give its exit status. Nothing it raises gets past here.

    0 done · 1 internal fault · 2 wrong usage or settings · 3 refused · 4 nothing found · 5 unavailable · 6 incomplete · 130 interrupted.
    """
    as_json, verbose = "--json" in argv, "--verbose" in argv
    try:
        code = typer.main.get_command(root).main(list(argv), prog_name="isthmus", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except IsthmusError as error:
        if verbose:
            traceback.print_exc()
        say_error(error, as_json=as_json)
        return error.meaning.exit_status
    except UsageProblem as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":
            typer.echo(str(problem))
            return 2
        say_error(_usage(problem), as_json=as_json)
        return 2
    except Exception as fault:
        if verbose:
            traceback.print_exc()
        else:
            kind = type(fault).__name__
            say_error(
                IsthmusError(f"internal fault ({kind}); run again with --verbose before the command to see where"),
                as_json=as_json,
            )
        return 1


def _usage(problem: Any) -> SettingsProblem:
    """A wrong option or argument, in one sentence with the way to the help."""
    where = problem.ctx.command_path if problem.ctx is not None else "isthmus"
    return SettingsProblem(f"{problem.format_message().rstrip('.')}; see `{where} --help`", reason="usage")
