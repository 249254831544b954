"""What a person does at the practice identity service: follow the address, fill its form, be sent back."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests
from tests.engines.openid.real import PASSWORD


class Person:
    """A browser in front of the identity service; its session there stays."""

    def __init__(self, authority: Path) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(authority)
        self.forms = 0

    def sign_in(self, address: str, login: str, back: str, password: str = PASSWORD) -> str:
        """Go there, sign in when asked, and give the address that one is sent back to."""
        answer = self.session.get(address, allow_redirects=False)
        for _ in range(20):
            if answer.is_redirect:
                to = urljoin(answer.url, answer.headers["location"])
                if to.startswith(back):
                    return to
                answer = self.session.get(to, allow_redirects=False)
                continue
            form = re.search(r'action="([^"]+)"', answer.text)
            assert form is not None, f"{answer.status_code} {answer.text[:300]}"
            self.forms += 1
            fields = {"login": login, "password": password}
            answer = self.session.post(urljoin(answer.url, form[1]), data=fields, allow_redirects=False)
            assert answer.status_code != 403, "the identity service refuses"
        raise AssertionError("sent round in circles")


def said(address: str) -> dict[str, str]:
    """What the address says that one was sent back to."""
    return dict(parse_qsl(urlsplit(address).query))
