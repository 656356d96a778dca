"""`python -m label_app`: the annotation server; `models` and `account` as first word do what their names say."""

import os
import sys
from pathlib import Path

APP_DIR = Path(__file__).resolve().parent
# the app's package is called `lib`, whoever loads it; loaded once, see `lib.server.start`
sys.path.insert(0, str(APP_DIR))
os.environ["MONAI_LABEL_RELOAD_APP_LIB"] = "false"
# threads that wait for work must not take the processor from those that have some; read when torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: list[str]) -> int:
    """Run a verb; without one, the server."""
    verb, rest = (
        (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("start", arguments)
    )
    if verb == "models":
        from lib.models_cli import main as models

        return models(rest)
    if verb not in ("start", "account"):
        print(f"label_app: there is no verb '{verb}'; there are start, models, account", file=sys.stderr)
        return 2
    from lib.server import start

    return start.add_account(rest) if verb == "account" else start.run(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
