"""Whether MLflow's server answers, and lets us in: one request, quickly, without a retry."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import final

from mlflow import __version__ as client_version
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from gen_dist.tracking.location import redact, sqlite_file
from gen_dist.tracking.store import short_message

TIMEOUT_SECONDS = 5
ASKED = "/api/2.0/mlflow/experiments/search?max_results=1"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ServerAnswer:
    """What MLflow's server said.

    Attributes:
        status: of HTTP; 200 when it lets us in.
        version: of its MLflow, or "unknown".
        anonymous: whether it was asked without a name, a password or a token.
        date: the server's time, or None when it told none.
    """

    status: int
    version: str
    anonymous: bool
    date: datetime | None


def is_server(uri: str) -> bool:
    """Whether the store is reached over HTTP."""
    return uri.startswith(("http://", "https://"))


def ask_server(uri: str) -> ServerAnswer:
    """Ask for one experiment, as MLflow's own client would: its variables and its credentials file are honoured.

    Raises:
        ConnectionError: there is no answer; the message has no credentials.
    """
    credentials = get_default_host_creds(uri)
    try:
        answer = http_request(credentials, ASKED, "GET", max_retries=0, timeout=TIMEOUT_SECONDS, raise_on_status=False)
        version = http_request(
            credentials, "/version", "GET", max_retries=0, timeout=TIMEOUT_SECONDS, raise_on_status=False
        )
    except MlflowException as error:
        raise ConnectionError(short_message(error)) from error
    date = answer.headers.get("Date")
    return ServerAnswer(
        status=answer.status_code,
        version=version.text.strip()[:20] if version.status_code == 200 else "unknown",
        anonymous=not (credentials.username or credentials.token or redact(uri) != uri),
        date=parsedate_to_datetime(date) if date else None,
    )


def ask_database(uri: str) -> bool:
    """Ask a store that is no server for one experiment; an sqlite file that is missing is not made.

    Returns:
        Whether there is a store yet.

    Raises:
        ConnectionError: it can't be used; the message has no credentials.
    """
    path = sqlite_file(uri)
    if path is not None and not path.exists():
        return False
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        raise ConnectionError(short_message(error)) from error
    return True


def mlflow_version() -> str:
    """Of the client."""
    return str(client_version)
