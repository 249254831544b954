"""Tells a patient that an emergency was declared: by mail where they left an address, else by the country's notification service.

Source: trust.md §3.5 (5), §4.6; T110.
"""

from __future__ import annotations

import asyncio

import orjson

from isthmus.config import Settings
from isthmus.consent.emergency import Declared
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.transport.notice import MailServer, post, send_mail


class Notices:
    """The ways that the settings name. Without one nobody can be told, and no emergency is answered outside demo and test."""

    def __init__(self, settings: Settings) -> None:
        said = self._said = settings.notices
        authority = str(settings.path(said.authority)) if said.authority else None
        self._authority = authority
        self._server = MailServer(
            said.mail_server,
            said.mail_port,
            said.mail_from,
            said.mail_tls,
            said.mail_user,
            said.mail_password,
            authority,
        )

    @property
    def ways(self) -> bool:
        """Whether there is one at all."""
        return bool(self._said.mail_server or self._said.webhook)

    async def tell(self, declared: Declared, address: str | None) -> None:
        """Raises NationalInfrastructureUnavailable."""
        said = self._said
        text = said.text.replace("{page}", said.page).strip()
        if said.mail_server and address:
            await asyncio.to_thread(send_mail, self._server, address, said.subject, text)
        elif said.webhook:
            patient = {"system": declared.patient.system, "value": declared.patient.value}
            body = orjson.dumps({"patient": patient, "subject": said.subject, "text": text})
            headers = {"Authorization": said.webhook_authorization} if said.webhook_authorization else {}
            await asyncio.to_thread(post, said.webhook, body, headers, self._authority)
        else:
            raise NationalInfrastructureUnavailable("there is no way to tell this patient: neither address nor service")
