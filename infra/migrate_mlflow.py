#!/usr/bin/env python
"""Bring MLflow's database to the schema of the installed MLflow: `python migrate_mlflow.py postgresql://user@host/name`.

Several servers may start together, and MLflow's migrations must not run twice at once: whoever comes first holds a lock
of PostgreSQL's, which also ends with its connection. The password comes from PGPASSWORD, which libpq reads.
"""

import subprocess
import sys
import time

import psycopg

LOCK = 0x67656E64  # any number that nobody else locks in this database
WAIT_SECONDS = 120.0


def connect(uri: str) -> psycopg.Connection:
    """The database, as soon as it answers: it may be starting too."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return psycopg.connect(uri, connect_timeout=10, autocommit=True)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting for the database: {str(error).strip()}", flush=True)
            time.sleep(2)


def main(uri: str) -> None:
    """Migrate MLflow's tables, then those of its users."""
    connection = connect(uri)
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    for command in (["mlflow", "db", "upgrade", uri], ["mlflow.server.auth", "db", "upgrade", "--url", uri]):
        subprocess.run([sys.executable, "-m", *command], check=True)  # noqa: S603  our own interpreter, no shell
    connection.close()
    print("the database is up to date")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} postgresql://user@host:port/name")
    main(sys.argv[1])
