"""How a message leaves for a person at home: by mail, or to the country's own notification service. Named in the settings, nobody else is
reached. Blocking: for a worker thread.

Source: trust.md §3.5 (5); RFC 5321; RFC 3207.
"""

from __future__ import annotations

import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from isthmus.errors import NationalInfrastructureUnavailable

WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """A submission server; `tls`: STARTTLS is required, and its certificate verified."""

    host: str
    port: int
    sender: str
    tls: bool = True
    user: str = ""
    password: str = field(default="", repr=False)
    authority: str | None = None


def send_mail(server: MailServer, to: str, subject: str, text: str) -> None:
    """Raises NationalInfrastructureUnavailable, with nothing of the person in it."""
    message = EmailMessage()
    try:
        message["From"], message["To"], message["Subject"] = server.sender, to, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=server.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        with smtplib.SMTP(server.host, server.port, timeout=WAIT_S) as line:
            if server.tls:
                line.starttls(context=ssl.create_default_context(cafile=server.authority))
            if server.user:
                line.login(server.user, server.password)
            line.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NationalInfrastructureUnavailable(f"the mail server did not take it: {type(error).__name__}") from None


class _Straight(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """No redirect is followed."""


def post(url: str, body: bytes, headers: Mapping[str, str], authority: str | None) -> None:
    """Send JSON to a service. Raises NationalInfrastructureUnavailable unless it answers 2xx; its answer is not read."""
    context = ssl.create_default_context(cafile=authority)
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _Straight())
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})  # noqa: S310  # of the settings
    try:
        with urllib.request.build_opener(*handlers).open(asked, timeout=WAIT_S):
            return
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise NationalInfrastructureUnavailable(f"the service did not take it: {type(error).__name__}") from None
