"""The same server when MONAI Label's own command starts the app."""

import atexit
import logging
import sys
from typing import Any

from . import lifecycle
from .access_options import read_access
from .application import create_application

logger = logging.getLogger(__name__)


def take_over(app: Any) -> bool:
    """Answer in place of `monailabel.app`, when that is what runs.

    MONAI Label makes the app while its server starts; from then on every request goes to ours. Accounts, origins and
    the TLS proxy come from the environment (`IGTV_ACCOUNTS` or `IGTV_PASSWORD`, `IGTV_ORIGINS`,
    `IGTV_BEHIND_TLS_PROXY`). MONAI Label does not tell where it listens, so a start without TLS cannot be refused;
    what comes in the clear from other computers is (`Access`).

    Args:
        app: `IgtvApp`.

    Returns:
        Whether there was such a server.
    """
    stock = sys.modules.get("monailabel.app")
    if stock is None or getattr(app, "server_lock", None) is not None:
        return False
    access = read_access()
    checks = lifecycle.begin(app)
    # a signal ends MONAI Label's server without this; what a training started ends by itself then
    atexit.register(lifecycle.end, app)
    # the lifespan that called us goes on in MONAI Label's application; requests come here from now on
    stock.app.middleware_stack = create_application(app, access, checks)
    return True
