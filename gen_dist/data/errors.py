"""The two ways in which data goes wrong for a user: where it lies, and what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(ValueError):
    """A place could not be read or written. The message names the URI, the cause and what to do."""


class AwayError(StorageError):
    """A place does not answer, or asks to be left in peace: the same request may succeed later."""


class DamagedError(StorageError):
    """A place can be read, and itself says that what it holds there is not what was written."""


class DataError(ValueError):
    """A file or a dataset does not hold what it should. The message names the file and the cause."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Puts the file's name before the cause that a DataError inside tells."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
