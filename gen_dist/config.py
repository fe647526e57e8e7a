"""The configuration of one run, as one value: it goes to workers, checkpoints and MLflow as one JSON string."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gen_dist.models.table import AnyModelConfig
from gen_dist.serialization import converter, from_json, to_json
from gen_dist.training.curriculum import stretched_stages
from gen_dist.training.settings import TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """What is trained, how, and from which seed. Which data it sees is named beside it, not in it.

    Attributes:
        model: which family, with its settings.
        training: settings of the loop.
        seed: of weights, noise and data order.
        foundation: bundle (a folder or s3:// prefix) of the first model of a two-stage family, which a fresh run of the
            second starts from; None for all other families.
    """

    model: AnyModelConfig
    training: TrainingConfig
    seed: int = 0
    foundation: str | None = None

    def to_json(self) -> str:
        """Canonical JSON; equal configurations give equal text."""
        return to_json(self, as_type=RunConfig)

    @staticmethod
    def from_json(text: str) -> "RunConfig":
        """Inverse of `to_json`; raises ValueError that names a wrong field."""
        return from_json(text, RunConfig)


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A copy with some fields changed, each named by its dotted path ("model.critic_optimizer.learning_rate").

    The stages of a curriculum keep their shares of the run when `training.images` is changed without them.

    Raises:
        ValueError: a path names no field (the message suggests the nearest one), or a value is not valid there.
    """
    tree = converter.unstructure(config, unstructure_as=RunConfig)
    for path, value in values.items():
        *parents, leaf = path.split(".")
        node = tree
        for name in [*parents, leaf]:
            if not isinstance(node, dict) or name not in node:
                raise ValueError(_unknown_path(config, path))
            if name is not leaf:
                node = node[name]
        node[leaf] = converter.unstructure(value)
    images = values.get("training.images")
    if isinstance(images, int) and images > 0 and config.training.stages and "training.stages" not in values:
        tree["training"]["stages"] = converter.unstructure(stretched_stages(config.training.stages, images))
    return RunConfig.from_json(_dump(tree))


def paths(value: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a configuration by dotted path, in the order of its fields."""
    if not dataclasses.is_dataclass(value):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = f"{prefix}.{field.name}" if prefix else field.name
        leaves.update(paths(getattr(value, field.name), inner))
    return leaves


def _dump(tree: Any) -> str:
    return to_json(tree)


def _unknown_path(config: RunConfig, path: str) -> str:
    known = list(paths(config))
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
    section: Any = config
    words: list[str] = []
    for name in path.split("."):
        inner = getattr(section, name, None) if dataclasses.is_dataclass(section) else None
        if not dataclasses.is_dataclass(inner):
            break
        section = inner
        words.append(name)
    fields = ", ".join(field.name for field in dataclasses.fields(section))
    return (
        f"the configuration has no field {path!r}; did you mean {near[0]!r}? "
        f"{'.'.join(words) or 'It'} has the fields {fields}"
    )
