"""Who may use the server, as the command line or the environment says; refused where a door would stay open."""

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .accounts import Accounts, read_accounts

PROXY_VARIABLE, ORIGINS_VARIABLE = "IGTV_BEHIND_TLS_PROXY", "IGTV_ORIGINS"


@dataclass(frozen=True)
class AccessOptions:
    """Who may use the server.

    Attributes:
        accounts: without any, this computer alone.
        origins: other origins whose pages may call the server.
        tls_proxies: addresses or networks of the reverse proxies that end TLS; what they say of a request is believed.
    """

    accounts: Accounts = field(default_factory=Accounts)
    origins: Sequence[str] = ()
    tls_proxies: Sequence[str] = ()


def read_access(
    accounts: str | Path = "", origins: str = "", tls_proxies: str = "", environment: Mapping[str, str] = os.environ
) -> AccessOptions:
    """Read the options; what is empty comes from the environment.

    Args:
        accounts: file of accounts; variables `IGTV_ACCOUNTS`, `IGTV_PASSWORD`.
        origins: with commas; variable `IGTV_ORIGINS`.
        tls_proxies: with commas; variable `IGTV_BEHIND_TLS_PROXY`.
        environment: the variables.

    Raises:
        ValueError: an account, origin or address that is none.
    """
    return AccessOptions(
        read_accounts(accounts, environment),
        [_origin(item) for item in _items(origins or environment.get(ORIGINS_VARIABLE, ""))],
        [_address(item) for item in _items(tls_proxies or environment.get(PROXY_VARIABLE, ""))],
    )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _origin(text: str) -> str:
    origin = text.rstrip("/")
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or "*" in origin:
        raise ValueError(
            f"--origins (or {ORIGINS_VARIABLE}): '{origin}' is no origin such as https://viewer.example (no path, no *)"
        )
    return origin


def _address(text: str) -> str:
    """An address or network as the proxy layer takes it; never "everybody", who could then say what they like."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or network.prefixlen == 0:
        raise ValueError(
            f"--behind_tls_proxy (or {PROXY_VARIABLE}): '{text}' is no address of a computer or network, such as "
            "192.0.2.10 or 192.0.2.0/28"
        )
    return str(network) if "/" in text else text
