"""The same server when MONAI Label's own command starts the app."""

import atexit
import logging
import os
import sys
from typing import Any

from . import lifecycle
from .accounts import read_accounts
from .application import AccessOptions, create_application

logger = logging.getLogger(__name__)


def take_over(app: Any) -> bool:
    """Answer in place of `monailabel.app`, when that is what runs.

    MONAI Label makes the app while its server starts; from then on every request goes to ours. Accounts and origins
    come from the environment (`IGTV_ACCOUNTS` or `IGTV_PASSWORD`, `IGTV_ORIGINS`).

    Args:
        app: `IgtvApp`.

    Returns:
        Whether there was such a server.
    """
    stock = sys.modules.get("monailabel.app")
    if stock is None or getattr(app, "server_lock", None) is not None:
        return False
    access = access_from_environment()
    checks = lifecycle.begin(app)
    # a signal ends MONAI Label's server without this; what a training started ends by itself then
    atexit.register(lifecycle.end, app)
    # the lifespan that called us goes on in MONAI Label's application; requests come here from now on
    stock.app.middleware_stack = create_application(app, access, checks)
    return True


def access_from_environment() -> AccessOptions:
    """Accounts and origins of the environment."""
    origins = [origin.strip().rstrip("/") for origin in os.environ.get("IGTV_ORIGINS", "").split(",") if origin.strip()]
    return AccessOptions(read_accounts(None), origins)
