"""`python -m label_app`: options, refusals that can be told before anything runs, then the server."""

import argparse
import getpass
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance

from ..paths import APP_DIR, DataFolders, data_folders, is_remote
from ..studies.data_folder import FolderTaken, looking, take
from . import lifecycle
from .access import is_loopback
from .access_options import AccessOptions, read_access
from .accounts import write_account
from .application import create_application
from .self_check import check_app

logger = logging.getLogger(__name__)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line of the server."""
    parser = argparse.ArgumentParser(
        "python -m label_app",
        description="Annotation server for IGTV on PET/CT. Further verbs: 'models' (their versions), 'account'.",
    )
    parser.add_argument("--studies", "-s", required=True, help="folder of cases, or address of a DICOMweb server")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    parser.add_argument("--port", "-p", type=int, default=8000)
    parser.add_argument("--data_dir", default="", help="where labels, models and logs go (default: <studies>/igtv)")
    parser.add_argument("--accounts", default="", help="file of accounts, see 'python -m label_app account --help'")
    parser.add_argument("--origins", default="", help="further web sites whose pages may use the server, with commas")
    parser.add_argument("--ssl_certfile", default=None, help="certificate for https")
    parser.add_argument("--ssl_keyfile", default=None, help="its key")
    parser.add_argument(
        "--behind_tls_proxy",
        default="",
        metavar="ADDRESS",
        help="address of the computer whose reverse proxy ends TLS for this server; several with commas",
    )
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    parser.add_argument("--conf", "-c", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--log_level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("--check", action="store_true", help="check everything, print it, start nothing")
    return parser.parse_args(arguments)


def run(arguments: Sequence[str]) -> int:
    """Start the server and stay until it is stopped.

    Args:
        arguments: of the command line.

    Returns:
        Exit status: 0, or 2 with the reason on stderr.
    """
    chosen, lock = options(arguments), None
    try:
        access = access_options(chosen)
        folders = configure(chosen)
        if chosen.check:
            return _check()
        # before the app is made, which puts labels right and talks to the PACS
        lock = take(folders.root)
        log_to_file(folders)
        app = app_instance()
        app.server_lock = lock
        checks = lifecycle.begin(app)
    except (ValueError, OSError, FolderTaken, lifecycle.StartRefused) as error:
        print(f"label_app: {error}", file=sys.stderr)
        if lock is not None:
            lock.close()
        return 2
    scheme = "https" if chosen.ssl_certfile else "http"
    logger.info("serving %s on %s://%s:%d/", chosen.studies, scheme, chosen.host, chosen.port)
    try:
        uvicorn.run(
            create_application(app, access, checks),
            host=chosen.host,
            port=chosen.port,
            ssl_certfile=chosen.ssl_certfile,
            ssl_keyfile=chosen.ssl_keyfile,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
    finally:
        lifecycle.end(app)
    return 0


def _check() -> int:
    """Print the checks; exit status as of `run`. A server may be running meanwhile."""
    with looking():
        checks = check_app(app_instance())
    print(*checks, sep="\n")
    return 2 if any(check.fatal and not check.ok for check in checks) else 0


def access_options(chosen: argparse.Namespace) -> AccessOptions:
    """Accounts and origins, refused where they leave a door open.

    Raises:
        ValueError: when the server could be reached from elsewhere without a password, or with passwords in the clear;
            an account, origin or address that is none.
    """
    access = read_access(chosen.accounts, chosen.origins, chosen.behind_tls_proxy)
    if chosen.host == "localhost" or is_loopback(chosen.host):
        return access
    if not access.accounts:
        raise ValueError(
            f"--host {chosen.host} can be reached by other computers, so the server needs accounts: "
            "make one with 'python -m label_app account NAME --file FILE' and start with --accounts FILE"
        )
    if not chosen.ssl_certfile and not access.tls_proxies:
        raise ValueError(
            f"--host {chosen.host} can be reached by other computers, and passwords and images would cross the network "
            "unencrypted: give --ssl_certfile and --ssl_keyfile; or --behind_tls_proxy ADDRESS where a reverse proxy "
            "on another computer ends TLS; one on this computer reaches the server without --host"
        )
    return access


def configure(chosen: argparse.Namespace) -> DataFolders:
    """Hand the options to MONAI Label, which keeps its settings in one place.

    Returns:
        The folders that the server writes to, which are there then.

    Raises:
        FileNotFoundError: the folder of studies does not exist.
    """
    if not is_remote(chosen.studies):
        if not Path(chosen.studies).is_dir():
            raise FileNotFoundError(f"--studies {chosen.studies}: there is no such folder")
        chosen.studies = str(Path(chosen.studies).resolve())
    conf = dict(chosen.conf)
    if chosen.data_dir:
        conf["data_dir"] = str(Path(chosen.data_dir).resolve())
    if chosen.device:
        conf["device"] = chosen.device
    settings.MONAI_LABEL_APP_DIR = str(APP_DIR)
    settings.MONAI_LABEL_STUDIES = chosen.studies
    settings.MONAI_LABEL_APP_CONF = conf
    settings.MONAI_LABEL_SERVER_PORT = chosen.port
    # MONAI Label would throw `lib` away and load it again: two copies of every class
    os.environ["MONAI_LABEL_RELOAD_APP_LIB"] = "false"
    logging.basicConfig(level=chosen.log_level, format=LOG_FORMAT, handlers=[logging.StreamHandler()], force=True)
    return data_folders(chosen.studies, conf.get("data_dir")).make()


def log_to_file(folders: DataFolders) -> None:
    """Log into the data folder too, once it is this server's: two processes would rotate each other's log away."""
    file = logging.handlers.RotatingFileHandler(folders.logs / "server.log", maxBytes=10**7, backupCount=5)
    file.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.getLogger().addHandler(file)


def add_account(arguments: Sequence[str]) -> int:
    """`python -m label_app account NAME --file FILE`: asks for the password."""
    parser = argparse.ArgumentParser("python -m label_app account", description="Add a user or change a password.")
    parser.add_argument("name")
    parser.add_argument("--file", required=True, help="file of accounts, made where missing")
    chosen = parser.parse_args(arguments)
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if sys.stdin.isatty() and getpass.getpass("Again: ") != password:
        print("label_app: the two are not the same", file=sys.stderr)
        return 2
    try:
        write_account(chosen.file, chosen.name, password)
    except (ValueError, OSError) as error:
        print(f"label_app: {error}", file=sys.stderr)
        return 2
    print(f"account '{chosen.name}' is in {chosen.file}")
    return 0
