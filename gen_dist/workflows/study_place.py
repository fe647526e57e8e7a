"""Where a study lies, for those who work on it for hours: a store that is away for a while doesn't end their work."""

from gen_dist.data.storage import Storage, open_storage
from gen_dist.tuning.ledger import Ledger, open_ledger

PATIENCE_SECONDS = 900.0


def study_folder(uri: str) -> Storage:
    """The study's folder; requests that it doesn't answer are repeated for a quarter of an hour."""
    return open_storage(uri).patient(PATIENCE_SECONDS)


def study_at(uri: str) -> Ledger:
    """The ledger of the study in that folder."""
    return open_ledger(study_folder(uri))
