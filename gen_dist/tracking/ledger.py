"""What was delivered to MLflow and what was not, remembered on disk across restarts.

A point is WAITING until its batch is about to leave, SENT while the answer is unknown, and then DELIVERED or REFUSED.
The change to SENT is on the disk before the first byte is on the wire, so a crash at any moment leaves a point in
doubt at worst, never one that is delivered and forgotten.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

from gen_dist.tracking import journal

SettingKind = Literal["param", "tag", "status"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    key TEXT NOT NULL, step INTEGER NOT NULL, value REAL, time_ms INTEGER NOT NULL, state INTEGER NOT NULL,
    PRIMARY KEY (key, step)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_points ON points (state, step, key) WHERE state < 2;
CREATE TABLE IF NOT EXISTS known_keys (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER NOT NULL,
    PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS errands (position INTEGER PRIMARY KEY, body TEXT NOT NULL, state INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refusals (text TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class State(IntEnum):
    """How far something is on its way."""

    WAITING = 0
    SENT = 1
    DELIVERED = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Point:
    """One metric value."""

    key: str
    step: int
    value: float
    time_ms: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter, a tag or the run's status."""

    kind: SettingKind
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that is delivered one at a time: a file, a data set record."""

    position: int
    body: journal.Record


class Ledger:
    """The delivery thread's memory. Every method that changes it commits, forced to the disk."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=30.0)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def fact(self, name: str) -> str | None:
        """A remembered fact, or None."""
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, **facts: str) -> None:
        """Remember facts by name."""
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def absorb(self, path: Path) -> None:
        """Take over what the journal has gained. A (key, step) pair that is known already adds nothing."""
        offset = int(self.fact("offset") or 0)
        end = offset
        with self._database:
            for record, end in journal.read(path, offset):
                if record is not None:
                    self._take(record, end)
            if end != offset:
                self._database.execute("INSERT OR REPLACE INTO facts VALUES ('offset', ?)", (str(end),))

    def _take(self, record: Mapping[str, Any], position: int) -> None:
        match record["kind"]:
            case "metrics":
                rows = [(key, record["step"], value, record["time_ms"]) for key, value in record["values"].items()]
                self._database.executemany("INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, 0)", rows)
            case "params":
                rows = list(record["values"].items())
                self._database.executemany("INSERT OR IGNORE INTO settings VALUES ('param', ?, ?, 0)", rows)
            case "tags":
                self._replace_settings("tag", record["values"])
            case "status":
                self._replace_settings("status", {"status": json.dumps([record["status"], record["time_ms"]])})
                started = str(record["time_ms"])
                self._database.execute("INSERT OR IGNORE INTO facts VALUES ('started_ms', ?)", (started,))
            case _:
                body = json.dumps(dict(record))
                self._database.execute("INSERT OR IGNORE INTO errands VALUES (?, ?, 0)", (position, body))

    def _replace_settings(self, kind: SettingKind, values: Mapping[str, str]) -> None:
        self._database.executemany(
            "INSERT INTO settings VALUES (?, ?, ?, 0) ON CONFLICT (kind, key) DO UPDATE SET "
            "state = 0, value = excluded.value WHERE value != excluded.value",
            [(kind, key, value) for key, value in values.items()],
        )

    def points(self, state: State, limit: int = -1) -> list[Point]:
        """Points in a state, oldest step first."""
        rows = self._database.execute(
            "SELECT key, step, value, time_ms FROM points WHERE state = ? AND state < 2 ORDER BY step, key LIMIT ?",
            (state, limit),
        )
        # sqlite stores NaN as NULL
        return [Point(key, step, math.nan if value is None else value, ms) for key, step, value, ms in rows]

    def mark_points(self, points: Iterable[Point], state: State) -> None:
        """Move points to a state."""
        with self._database:
            self._database.executemany(
                "UPDATE points SET state = ? WHERE key = ? AND step = ?", [(state, p.key, p.step) for p in points]
            )

    def reconcile(self, key: str, steps: Iterable[int]) -> None:
        """MLflow was asked: it has exactly these steps of a metric. What was in doubt is now certain."""
        with self._database:
            self._database.execute("UPDATE points SET state = 0 WHERE key = ? AND state = 1", (key,))
            self._database.executemany(
                "UPDATE points SET state = 2 WHERE key = ? AND step = ?", [(key, step) for step in steps]
            )
            self._database.execute("INSERT OR IGNORE INTO known_keys VALUES (?)", (key,))

    def unknown_keys(self, *, adopted: bool) -> list[str]:
        """Metrics whose history MLflow must be asked for: those in doubt, and all of a run that others have fed."""
        query = "SELECT DISTINCT key FROM points WHERE state = 1"
        if adopted:
            query += (
                " UNION SELECT DISTINCT key FROM points WHERE state = 0 AND key NOT IN (SELECT key FROM known_keys)"
            )
        return [str(key) for (key,) in self._database.execute(query)]

    def settings(self, kind: SettingKind, limit: int = -1) -> list[Setting]:
        """Settings of a kind that wait."""
        rows = self._database.execute(
            "SELECT kind, key, value FROM settings WHERE kind = ? AND state = 0 ORDER BY key LIMIT ?", (kind, limit)
        )
        return [Setting(*row) for row in rows]

    def mark_settings(self, settings: Iterable[Setting], state: State) -> None:
        """Move settings to a state, unless their value has changed meanwhile."""
        with self._database:
            self._database.executemany(
                "UPDATE settings SET state = ? WHERE kind = ? AND key = ? AND value = ?",
                [(state, s.kind, s.key, s.value) for s in settings],
            )

    def errands(self) -> list[Errand]:
        """Errands that wait, in the order in which they were given."""
        rows = self._database.execute("SELECT position, body FROM errands WHERE state = 0 ORDER BY position")
        return [Errand(position, json.loads(body)) for position, body in rows]

    def mark_errand(self, errand: Errand, state: State) -> None:
        """Move an errand to a state."""
        with self._database:
            self._database.execute("UPDATE errands SET state = ? WHERE position = ?", (state, errand.position))

    def refuse(self, text: str) -> None:
        """Remember why something will never be delivered."""
        with self._database:
            self._database.execute("INSERT OR IGNORE INTO refusals VALUES (?)", (text,))

    def forget_deliveries(self) -> None:
        """The run is gone from MLflow (another store, an erased one): all that is known waits again."""
        with self._database:
            self._database.execute("DELETE FROM facts WHERE name NOT IN ('offset', 'started_ms')")
            self._database.execute("DELETE FROM known_keys")
            self._database.execute("UPDATE points SET state = 0 WHERE state != 3")
            self._database.execute("UPDATE settings SET state = 0 WHERE state != 3")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts of what is not delivered, and what was refused."""

    points: int
    settings: int
    errands: int
    refusals: Sequence[str]


def remembered_run_id(ledger_path: Path) -> str | None:
    """The run's id in MLflow, as far as a ledger knows it, read beside the thread that may be delivering."""
    with closing(Ledger(ledger_path)) as ledger:
        return ledger.fact("run_id")


def count_waiting(ledger_path: Path, journal_path: Path) -> Waiting:
    """What a spool still holds, read beside the thread that may be delivering it.

    A full disk has no room to open a database, not even to read it: then all that was ever journalled counts.
    """
    try:
        points, settings, errands, refusals, offset = _counts(ledger_path)
    except sqlite3.OperationalError:
        points, settings, errands, refusals, offset = 0, 0, 0, [], 0
    for record, _ in journal.read(journal_path, offset):
        values = 1 if record is None else len(record.get("values", "1"))
        kind = None if record is None else record["kind"]
        points += values if kind == "metrics" else 0
        settings += values if kind in ("params", "tags", "status") else 0
        errands += kind not in (None, "metrics", "params", "tags", "status")
    return Waiting(points, settings, errands, refusals)


def _counts(ledger_path: Path) -> tuple[int, int, int, list[str], int]:
    """Points, settings and errands that the ledger holds, refusals, and how far it has read the journal."""
    Ledger(ledger_path).close()  # it may not exist yet
    with closing(sqlite3.connect(ledger_path, timeout=30.0)) as database:
        points, settings, errands = (
            int(database.execute(f"SELECT count(*) FROM {table} WHERE state < 2").fetchone()[0])  # noqa: S608
            for table in ("points", "settings", "errands")
        )
        refusals = [str(text) for (text,) in database.execute("SELECT text FROM refusals")]
        row = database.execute("SELECT value FROM facts WHERE name = 'offset'").fetchone()
        return points, settings, errands, refusals, 0 if row is None else int(row[0])
