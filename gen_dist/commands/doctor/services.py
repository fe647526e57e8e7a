"""Checks of the services that runs talk to: Ray, MLflow, and their clocks."""

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from gen_dist.cluster.reach import ray_version, reach, token_state
from gen_dist.commands.doctor.finding import Finding, Question, Severity, error, ok, warning
from gen_dist.tracking.location import redact, sqlite_file, store_uri
from gen_dist.tracking.server_check import ask_database, ask_server, is_server, mlflow_version

UNAUTHORIZED, FORBIDDEN, FOUND = 401, 403, 200
CLOCK_WARNING_SECONDS = 30.0
CLOCK_ERROR_SECONDS = 15 * 60.0
"""S3 refuses requests whose time is further off."""


def check_ray(_: Question) -> Finding:
    """Its version, and whether the cluster that RAY_ADDRESS names lets us join."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return ok(f"{ray_version()}; no RAY_ADDRESS, so it is started on this machine when it is needed")
    try:
        return ok(f"{ray_version()}; {address}: {reach(address)}")
    except ConnectionError as cause:
        return error(f"{ray_version()}; {cause}")


def check_token(_: Question) -> Finding:
    """Whether there is a token, where there must be one. Ray looks for it in three places."""
    state = token_state(os.environ)
    joins = bool(os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_API_SERVER_ADDRESS"))
    make = "put the cluster's token into a file and name it: RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE"
    if state.mode == "disabled":
        text = "RAY_AUTH_MODE=disabled: whoever reaches Ray's ports runs code there; " + make
        return warning(text)
    if state.problem == "missing" and (state.mode == "token" or joins):
        needed = error if state.mode == "token" else warning
        return needed(f"there is no token (RAY_AUTH_MODE is {state.mode or 'not set'}): {make}")
    if state.problem in ("unreadable", "empty"):
        return error(f"the token of {state.source} is {state.problem}: Ray gives up with it; {make}")
    if state.problem == "missing":
        return ok("none yet: Ray makes one for a cluster of this machine")
    if state.readable_by_others:
        return warning(f"{state.source} can be read by other users of this machine: chmod 600 {state.source}")
    if joins and state.mode != "token":
        return warning(
            f"from {state.source}, but RAY_AUTH_MODE is not set: set RAY_AUTH_MODE=token here and on the head"
        )
    return ok(f"from {state.source}")


def check_mlflow(question: Question) -> Finding:
    """Whether the store answers, and whether it lets us in."""
    uri = store_uri(question.tracking_uri)
    found = f"{mlflow_version()}; {redact(uri)}"
    try:
        if not is_server(uri):
            path = sqlite_file(uri)
            if ask_database(uri):
                return ok(f"{found} can be read")
            writable = path is not None and os.access(_nearest(path.parent), os.W_OK)
            return ok(f"{found} will be made") if writable else error(f"{found} can't be made: choose another folder")
        answer = ask_server(uri)
    except ConnectionError as cause:
        return error(f"{found}: {cause}: check MLFLOW_TRACKING_URI and the network; runs go on and deliver later")
    question.hear_clock("MLflow", answer.date)
    found = f"{found} runs {answer.version}"
    if answer.status == UNAUTHORIZED:
        return error(f"{found} and wants a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    if answer.status == FORBIDDEN:
        return error(
            f"{found} and refuses (403): this user may not, or the host is not in the server's --allowed-hosts"
        )
    if answer.status != FOUND:
        return error(f"{found} and answers with status {answer.status}: is this MLflow? look at its log")
    if answer.anonymous and not _is_loopback(uri):
        return warning(f"{found} and lets anybody in: start it with --app-name basic-auth")
    if uri.startswith("http://") and not answer.anonymous and not _is_loopback(uri):
        return warning(f"{found}; the password travels unencrypted: use https:// unless the network is your own")
    return ok(f"{found} and lets us in")


def check_clock(question: Question) -> Finding:
    """How far the servers' clocks are from this machine's; the checks before have heard them."""
    if not question.clocks:
        return ok("not compared: no server has told its time")
    found = ", ".join(f"{name} is {_apart(seconds)}" for name, seconds in question.clocks.items())
    worst = max(abs(seconds) for seconds in question.clocks.values())
    if worst < CLOCK_WARNING_SECONDS:
        return ok(found)
    severity = Severity.ERROR if worst >= CLOCK_ERROR_SECONDS else Severity.WARNING
    return Finding(severity, f"{found}: let NTP set the clocks (timedatectl set-ntp true); S3 refuses 15 minutes")


def _apart(seconds: float) -> str:
    if abs(seconds) < CLOCK_WARNING_SECONDS:
        return "in time"
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def _is_loopback(uri: str) -> bool:
    host = urlsplit(uri).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that exists."""
    return folder if folder.is_dir() else _nearest(folder.parent)
