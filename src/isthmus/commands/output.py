"""What a command says: a result as JSON or for people, progress, an error as one sentence.

Results go to standard output; progress, log and errors to standard error. Source: interfaces.md §2.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from isthmus.errors import IsthmusError, SettingsProblem, Unavailable

if TYPE_CHECKING:
    from rich.table import Table

    from isthmus.config import Settings

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
T = TypeVar("T")
REPLACEMENT = "\ufffd"
WIDE = 1000


@dataclass(frozen=True)
class Options:
    """What stands before the command."""

    config: Path | None = None
    verbose: bool = False


def settings_of(ctx: typer.Context) -> Settings:
    """The settings of the node that `--config` names. Raises SettingsProblem."""
    from isthmus.config import read_settings

    options = ctx.find_root().obj
    if not isinstance(options, Options) or options.config is None:
        raise SettingsProblem("this command needs a node's settings; say isthmus --config FILE before it")
    return read_settings(options.config)


def verbose_of(ctx: typer.Context) -> bool:
    """Whether more was asked for."""
    options = ctx.find_root().obj
    return isinstance(options, Options) and options.verbose


def refuse_stand_in(ctx: typer.Context) -> None:
    """Refuse a stand-in for sign-in outside demo and test, before any other doubt about the settings.

    Source: interfaces.md §4, §5.
    """
    import os
    import tomllib

    options = ctx.find_root().obj
    if not isinstance(options, Options) or options.config is None:
        return
    with contextlib.suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raw = tomllib.loads(options.config.read_text(encoding="utf-8"))
        if os.environ.get("ISTHMUS_ENV", raw.get("env")) not in ("demo", "test"):
            raise SettingsProblem(
                'nobody is spoken for without sign-in, save in env = "demo" or "test"', reason="stand-in"
            )


def emit(value: Any, as_json: bool, human: Callable[[Any], None]) -> None:
    """Print a result: as JSON, or by `human`."""
    if not as_json:
        human(value)
        return
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()


def say_error(error: IsthmusError, *, as_json: bool) -> None:
    """One sentence on standard error, what happened and what to do; with --json the same as a document on standard output."""
    from isthmus.commands.next_steps import sentence

    message = sentence(error)
    if as_json:
        exchange_id = error.facts.get("exchange_id")
        retry = isinstance(error, Unavailable)
        emit(
            {"error": {"code": error.meaning.code, "message": message, "exchange_id": exchange_id, "retry": retry}},
            True,
            print,
        )
    number = error.facts.get("exchange_id")
    told = f"{message} (exchange {number})" if number and str(number) not in message else message
    sys.stderr.write(f"isthmus: {printable(told)}\n")


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text without signs that a terminal obeys or that turn the reading round: names in files are not ours. Source: T74."""
    return _UNSEEN.sub(REPLACEMENT, text)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table for people: what stands in it is text, never markup, and never cut: the next command needs it whole."""
    from rich.box import SIMPLE
    from rich.table import Table

    class Plain(Table):
        def add_row(self, *cells: Any, **more: Any) -> None:
            super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **more)

    made = Plain(box=SIMPLE, title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show(renderable: object) -> None:
    """Print for people, on standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE  # a file or pipe has no edge to wrap at
    console = Console(markup=False, emoji=False, width=width)
    console.print(printable(renderable) if isinstance(renderable, str) else renderable)


@contextlib.contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while work goes on; gives the function that says how much more is done.

    Where standard error is no terminal there is no bar.
    """
    if not sys.stderr.isatty():
        yield lambda more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)
