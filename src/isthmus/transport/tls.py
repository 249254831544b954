"""TLS between Country A and what lies behind it: the authority and the certificate that a source's settings name.

The border's TLS is another thing: its authorities stand in the trust list (`trust/certificates.py`).

Source: interfaces.md §7; trust.md T83.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from isthmus.sources import Source

Locate = Callable[[str], Path]


def asking_context(source: Source, path: Locate) -> ssl.SSLContext:
    """For who asks: the source's certificate is verified, by its authority or those of the system; ours is shown if there is one."""
    return _dressed(ssl.create_default_context(cafile=_authority(source, path)), source, path)


def answering_context(source: Source, path: Locate) -> ssl.SSLContext:
    """For who is called back by a source: it must show a certificate of its authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=_authority(source, path))
    context.verify_mode = ssl.CERT_REQUIRED
    return _dressed(context, source, path)


def _authority(source: Source, path: Locate) -> str | None:
    return str(path(source.authority)) if source.authority else None


def _dressed(context: ssl.SSLContext, source: Source, path: Locate) -> ssl.SSLContext:
    if source.tls_certificate:
        context.load_cert_chain(path(source.tls_certificate), path(source.tls_key) if source.tls_key else None)
    return context
