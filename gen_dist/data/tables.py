"""Small tables as Parquet, for people who go on with them in pandas or DuckDB."""

import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from gen_dist.data.storage import Storage

Cell = str | int | float | None


def write_table(storage: Storage, key: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Write rows as one Parquet file; columns are the union of the rows' names, in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    storage.write_bytes(key, buffer.getvalue())
