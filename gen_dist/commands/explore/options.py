"""Options that several of the `gen-dist explore` commands have."""

from typing import Annotated

import tyro

Model = Annotated[str, tyro.conf.Positional]
Log = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Numbers = tuple[int, ...]
