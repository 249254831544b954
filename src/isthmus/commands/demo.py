"""`isthmus demo`: two practice countries on this machine, or three."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.commands.output import show, table
from isthmus.errors import NationalInfrastructureUnavailable, SettingsProblem

if TYPE_CHECKING:
    from isthmus.demo.nodes import Demo

app = typer.Typer()


@app.command()
def demo(
    countries: Annotated[
        str, typer.Option("--countries", help="AA,BB, or AA,BB,CC: a third that offers reports only.")
    ] = "AA,BB",
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Keep their state here; else a temporary folder.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="F", help="Write addresses and accounts here.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the portal in a browser.")] = False,
    portal_port: Annotated[
        int | None, typer.Option("--portal-port", metavar="N", help="Port of the portal (8700; 0: any).")
    ] = None,
    port_base: Annotated[
        int | None, typer.Option("--port-base", metavar="N", help="Ports of the countries (8710; 0: any).")
    ] = None,
) -> None:
    """Country AA answers, Country BB asks: real mutual TLS between them, invented patients, real images.

    The same code as in production, with keys and passwords made for this folder. Ctrl-C ends it. In a kept folder the settings are yours: a
    later start changes ports and passwords alone.

    \b
    Example:
      isthmus demo
      isthmus demo --dir practice --no-browser
      isthmus demo --countries AA,BB,CC
    """
    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    from isthmus.demo.nodes import CHOICES, Demo, choose_ports, remove

    chosen = tuple(code.strip() for code in countries.split(","))
    if chosen not in CHOICES:
        raise SettingsProblem(f"--countries is {' or '.join(','.join(choice) for choice in CHOICES)}", reason="usage")
    ports = choose_ports(portal_port, port_base, _say, chosen)
    home = folder.resolve() if folder is not None else Path(tempfile.mkdtemp(prefix="isthmus-demo-"))
    running = Demo(home, ports, _say)
    try:
        running.prepare()
        if not stop.is_set():
            running.start()
            _announce(running, ready_file, no_browser)
            _wait(running, stop)
    finally:
        running.stop()
        if folder is None:
            remove(home)
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _say(words: str) -> None:
    sys.stderr.write(f"isthmus demo: {words}\n")
    sys.stderr.flush()


def _wait(running: Demo, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        country = running.ended()
        if country is not None:
            raise NationalInfrastructureUnavailable(
                f"the node of Country {country} ended: {running.last_words(country)}"
            )


def _announce(running: Demo, ready_file: Path | None, no_browser: bool) -> None:
    """Say where the portal is and who may sign in; write the ready file."""
    from isthmus.demo.stories import TOLD

    if ready_file is not None:
        running.write_ready(ready_file)
    ready = running.ready()
    print(f"\nPortal of Country BB   {ready['portal']}")
    for country in ready["countries"]:
        if country in TOLD:
            print(f"Border of Country {country}   {ready['countries'][country]['border']}")
        if home := ready["countries"][country].get("citizen"):
            who = ready["citizens"][0]
            print(
                f"Citizens of Country {country}  {home}  (sign in as {who['login']}, {who['password']}; the others stand in the ready file)"
            )
    print()
    accounts = table("sign in as", "password", "name", "role")
    for account in ready["accounts"]:
        accounts.add_row(account["login"], account["password"], account["name"], account["role"])
    show(accounts)
    patients = table("in", "look for", "family name", "born", "story")
    for patient in ready["patients"]:
        patients.add_row(
            patient["country"],
            patient["identifier"]["value"],
            patient["family"],
            patient["birthDate"],
            patient["story"],
        )
    show(patients)
    print("Invented patients, real images, throw-away keys. Not for primary diagnosis. Ctrl-C ends the demo.")
    sys.stdout.flush()
    if not no_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        import webbrowser

        webbrowser.open(ready["portal"])
