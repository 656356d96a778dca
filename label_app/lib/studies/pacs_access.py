"""How the PACS is reached: user and password of the environment, the certificate that it is trusted by."""

import ipaddress
import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from monailabel.config import settings

logger = logging.getLogger(__name__)

USER_VARIABLE, PASSWORD_VARIABLE = "MONAI_LABEL_DICOMWEB_USERNAME", "MONAI_LABEL_DICOMWEB_PASSWORD"
UNKNOWN_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"  # of OpenSSL, in the text of every library's error


@dataclass(frozen=True)
class PacsAccess:
    """What the server shows to the PACS, and what the PACS must show.

    Attributes:
        user: name at the PACS; "" where it asks for none.
        password: its password.
        certificate: PEM file with the certificate of the PACS, or of who signed it; "" for the public authorities.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    certificate: str = ""

    @property
    def auth(self) -> tuple[str, str] | None:
        """For HTTP's basic authentication."""
        return (self.user, self.password) if self.user else None

    def session(self) -> requests.Session:
        """For requests to the PACS; nothing of the environment's proxies, passwords or certificates, no redirects."""
        session = requests.Session()
        session.max_redirects = 0  # one could leave https, or the PACS
        session.trust_env = False
        session.auth = self.auth
        session.verify = self.certificate or True
        return session

    def context(self) -> ssl.SSLContext | bool:
        """The same for `httpx`."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else True

    def tell(self, error: Exception | int) -> str:
        """The same for who uses the server: without users, files and settings; "" where nothing is known of it."""
        status = error if isinstance(error, int) else getattr(getattr(error, "response", None), "status_code", None)
        if status == 401:
            what = "it refuses this server's login"
        elif status == 403:
            what = "it does not allow this to this server"
        else:
            what = "this server is not set up for it" if self.explain(error) else ""
        return f"{what}; tell the administrator" if what else ""

    def explain(self, error: Exception | int) -> str:
        """Why the PACS cannot be used, for the person who started the server; "" where nothing is known of it.

        Args:
            error: of a request, or the status of its answer.
        """
        status = error if isinstance(error, int) else getattr(getattr(error, "response", None), "status_code", None)
        variables = f"{USER_VARIABLE} and {PASSWORD_VARIABLE}"
        if status in (401, 403) and not self.user:
            return f"it asks for a user and a password: set {variables}"
        if status == 401:
            return f"it refuses the user '{self.user}' or the password: see {variables}"
        if status == 403:
            return (
                f"it does not allow this to the user '{self.user}': give that user the right, or another in {variables}"
            )
        if isinstance(error, requests.TooManyRedirects) or status in (301, 302, 303, 307, 308):
            return "it sends requests on to another address, which is not followed: give that one as --studies"
        text = str(error)
        if UNKNOWN_CERTIFICATE in text:
            why = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0].rstrip(".") or "it is unknown"
            hint = (
                f"it is not the one in {Path(self.certificate).name}, or is made out for another name"
                if self.certificate
                else "give the file (PEM) with it, or with who signed it, as '--conf pacs_certificate FILE'"
            )
            return f"its certificate is not trusted ({why}): {hint}"
        return ""


def pacs_access(address: str, certificate: str = "", password_over_http: bool = False) -> PacsAccess:
    """Access to the PACS as the environment and the options say.

    Args:
        address: of the PACS.
        certificate: the option `pacs_certificate`.
        password_over_http: the option `pacs_password_over_http`.

    Raises:
        ValueError: a user without password or the other way round; a password that would go over http to another
            computer; the file holds no certificate, or the address is one of http, where no certificate is looked at.
    """
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    if bool(user) != bool(password):
        raise ValueError(f"{USER_VARIABLE} and {PASSWORD_VARIABLE} belong together: only one of them is set")
    encrypted = address.startswith("https://")
    if user and not encrypted and not _is_this_computer(address):
        if not password_over_http:
            raise ValueError(
                f"the password in {PASSWORD_VARIABLE} would cross the network unencrypted: give the address of the "
                "PACS as https://; or, where the network encrypts by itself (a VPN), '--conf pacs_password_over_http "
                "true'"
            )
        logger.warning("the password of the PACS goes over http to another computer, as pacs_password_over_http says")
    if certificate and not encrypted:
        raise ValueError("option pacs_certificate: the address of the PACS begins with http://, so nothing is checked")
    if not certificate:
        return PacsAccess(user, password)
    path = Path(certificate).expanduser().resolve()
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"option pacs_certificate: {path} is no PEM file with a certificate ({error})") from None
    return PacsAccess(user, password, str(path))


def access_of(app: Any) -> PacsAccess:
    """Access to the PACS of an app, which has `studies` and `options`; raises as `pacs_access`."""
    options = app.options
    return pacs_access(app.studies, options.pacs_certificate, options.pacs_password_over_http)


def _is_this_computer(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
