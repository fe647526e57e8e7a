"""Averages of metrics that stay on the device until somebody asks."""

from collections import defaultdict
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor


@final
class Meters:
    """Collects scalars by "<phase>/<name>" and averages each over the steps since the last reading."""

    def __init__(self) -> None:
        # One vector for each set of names: a step adds all its metrics at once.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, phase: str, metrics: Mapping[str, Tensor]) -> None:
        """Take in one step's metrics without waiting for the device."""
        keys = tuple(f"{phase}/{name}" for name in metrics)
        values = torch.stack([value.detach() for value in metrics.values()]).to(torch.float64)
        self._sums[keys] = self._sums[keys] + values if keys in self._sums else values
        self._counts[keys] = self._counts.get(keys, 0) + 1

    def read(self) -> dict[str, float]:
        """The averages, by name, and start afresh. The one place where the host waits for the device."""
        if not self._sums:
            return {}
        totals: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        names = [(name, self._counts[keys]) for keys in self._sums for name in keys]
        for (name, count), total in zip(names, torch.cat(list(self._sums.values())).tolist(), strict=True):
            totals[name] += total
            counts[name] += count
        self._sums.clear()
        self._counts.clear()
        return {name: total / counts[name] for name, total in totals.items()}
