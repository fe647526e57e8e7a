"""Checkpoints: one directory of safetensors and JSON, made visible by a manifest that is written last.

    <samples_seen, 15 digits>/
        learner.safetensors     weights and persistent buffers
        ema.safetensors         averaged weights
        optimizers.safetensors  moments, as "<player>/<parameter>/<moment>"
        memory.safetensors      what micro-batches remember, as "<micro-batch>/<entry>"
        state.json              configuration, clock, updates, threads, data digest, history
        manifest.json           sha256 and size of every file above

An object store has no rename, so a checkpoint exists when its manifest does. A file that is missing, cut short or
edited makes its checkpoint refused by name, and the one before it is used.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from gen_dist.data.errors import DamagedError
from gen_dist.data.storage import Storage
from gen_dist.training.training import Row, Training
from gen_dist.types import Moment

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_GROUPS = ("learner", "ema", "optimizers", "memory")


class CheckpointError(ValueError):
    """A checkpoint can't be used; the message names its file and the cause."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A run at one moment, on the host.

    Attributes:
        config: the run's configuration as JSON text.
        data_digest: digest of the dataset that it trains on.
        moment: the clock.
        updates: steps taken by each player.
        num_threads: CPU threads of each worker; results are bit-equal only at equal counts.
        num_workers: how many workers there were.
        seconds: training time so far.
        history: every report so far.
        evaluations: every evaluation so far.
        tensors: by group, then by name.
    """

    config: str
    data_digest: str
    moment: Moment
    updates: dict[str, int]
    num_threads: int
    num_workers: int
    seconds: float
    history: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The directory's name; sorting names sorts by time."""
        return f"{self.moment.samples_seen:015d}"

    @property
    def digest(self) -> str:
        """sha256 of weights, buffers and optimizer moments: what a run takes over that goes on from another's."""
        digest = hashlib.sha256()
        for group in ("learner", "optimizers"):
            for name, tensor in sorted(self.tensors[group].items()):
                digest.update(f"{group}/{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def capture(training: Training, *, config: str, data_digest: str, evaluations: list[Row]) -> Checkpoint:
    """Copy a run to the host. Every worker must call it: memories travel to worker 0."""
    state = training.state
    names: dict[Tensor, str] = {parameter: name for name, parameter in state.learner.named_parameters()}
    optimizers = {
        f"{player}/{names[parameter]}/{moment}": tensor
        for player, optimizer in state.optimizers.items()
        for parameter, moments in optimizer.state.items()
        for moment, tensor in moments.items()
        if isinstance(tensor, Tensor)
    }
    groups = {
        "learner": state.learner.state_dict(),
        "ema": state.ema.weights,
        "optimizers": optimizers,
        "memory": _gather_memory(training),
    }
    return Checkpoint(
        config=config,
        data_digest=data_digest,
        moment=state.moment,
        updates=dict(state.updates),
        num_threads=torch.get_num_threads(),
        num_workers=training.world.size,
        seconds=training.seconds,
        history=list(training.history),
        evaluations=list(evaluations),
        tensors={group: {name: _to_host(t) for name, t in tensors.items()} for group, tensors in groups.items()},
    )


@torch.no_grad()
def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put a freshly built run where a checkpoint left off. Learning rates and the like stay as now configured.

    Raises:
        CheckpointError: names or shapes don't fit the model.
    """
    state, tensors = training.state, checkpoint.tensors
    state.moment = checkpoint.moment
    _fill(dict(state.learner.state_dict(keep_vars=True)), tensors["learner"], "learner")
    _fill(state.ema.weights, tensors["ema"], "ema")
    parameters = dict(state.learner.named_parameters())
    for name, saved in tensors["optimizers"].items():
        player, rest = name.split("/", 1)
        parameter_name, moment = rest.rsplit("/", 1)
        if player not in state.optimizers or parameter_name not in parameters:
            raise CheckpointError(f"checkpoint {checkpoint.key}: optimizer moment {name!r} belongs to no parameter")
        parameter = parameters[parameter_name]
        # A moment takes the parameter's own strides: fused optimizers read both with the same index.
        like = (
            parameter
            if saved.shape == parameter.shape
            else saved.to(_counter_device(state.optimizers[player], parameter))
        )
        state.optimizers[player].state[parameter][moment] = torch.empty_like(like, dtype=saved.dtype).copy_(saved)
    for name, saved in tensors["memory"].items():
        micro_batch, entry = name.split("/", 1)
        if int(micro_batch) in training.micro_batches:
            state.memory.setdefault(int(micro_batch), {})[entry] = saved.to(training.device)
    state.updates = {player: checkpoint.updates[player] for player in state.updates}
    training.seconds = checkpoint.seconds
    training.history = list(checkpoint.history)


def write_checkpoint(storage: Storage, checkpoint: Checkpoint) -> str:
    """Write a checkpoint below `storage`, manifest last, and return its key."""
    files = {f"{group}.safetensors": save_tensors(checkpoint.tensors[group]) for group in _GROUPS}
    state = {name: getattr(checkpoint, name) for name in _STATE_FIELDS} | {"moment": asdict(checkpoint.moment)}
    files["state.json"] = json.dumps(state, sort_keys=True).encode()
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "files": {n: {"sha256": hashlib.sha256(b).hexdigest(), "size_bytes": len(b)} for n, b in files.items()},
    }
    files[MANIFEST] = json.dumps(manifest, sort_keys=True, indent=1).encode()
    for name, content in files.items():
        storage.write_bytes(f"{checkpoint.key}/{name}", content)
    return checkpoint.key


def read_checkpoint(storage: Storage, key: str) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises:
        CheckpointError: a file is missing, cut short or edited; the message names it.
    """
    where = f"{storage.uri}/{key}"
    try:
        manifest = json.loads(storage.read_bytes(f"{key}/{MANIFEST}").decode(errors="replace"))  # a flipped bit
        listed = {name: (entry["sha256"], entry["size_bytes"]) for name, entry in manifest["files"].items()}
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise CheckpointError(f"{where}/{MANIFEST} has schema version {manifest['schema_version']}, not 1")
        if set(listed) != {*(f"{group}.safetensors" for group in _GROUPS), "state.json"}:
            raise CheckpointError(f"{where}/{MANIFEST} lists the files {sorted(listed)}")
    except (FileNotFoundError, DamagedError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}/{MANIFEST} is missing or damaged: {error}") from error
    files = {name: _read_verified(storage, key, name, *facts) for name, facts in listed.items()}
    try:
        state = json.loads(files["state.json"])
        tensors = {group: load_tensors(files[f"{group}.safetensors"]) for group in _GROUPS}
        return Checkpoint(**{**state, "moment": Moment(**state["moment"])}, tensors=tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where} fits its manifest and is no checkpoint: {error}") from error


def complete_keys(storage: Storage) -> list[str]:
    """Keys of the checkpoints that have a manifest, newest first. Whether they are sound shows when they are read."""
    suffix = f"/{MANIFEST}"
    return sorted((key.removesuffix(suffix) for key in storage.list() if key.endswith(suffix)), reverse=True)


_STATE_FIELDS = (
    "config", "data_digest", "updates", "num_threads", "num_workers", "seconds", "history", "evaluations",
)  # fmt: skip


def _read_verified(storage: Storage, key: str, name: str, sha256: str, size_bytes: int) -> bytes:
    where = f"{storage.uri}/{key}/{name}"
    try:
        content: bytes = storage.read_bytes(f"{key}/{name}")
    except FileNotFoundError as error:
        raise CheckpointError(f"{where} is missing") from error
    except DamagedError as error:
        raise CheckpointError(f"{where} was changed or cut short after it was written, says its store") from error
    if len(content) != size_bytes:
        raise CheckpointError(f"{where} is cut short: {len(content)} of {size_bytes} bytes")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{where} was changed after it was written: its sha256 differs from the manifest's")
    return content


def _gather_memory(training: Training) -> dict[str, Tensor]:
    """Every micro-batch's memory by "<micro-batch>/<entry>", on every worker."""
    world, gathered = training.world, {}
    for m in range(training.span.num_micro_batches):
        owner = m % world.size
        mine = training.state.memory.get(m, {})
        described = {name: (list(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in mine.items()}
        for name, (shape, dtype) in world.tell(described, source=owner).items():
            tensor = mine[name] if owner == world.rank else torch.empty(shape, dtype=getattr(torch, dtype))
            tensor = tensor.to(world.device, copy=True)
            world.broadcast_([tensor], source=owner)
            gathered[f"{m}/{name}"] = tensor
    return gathered


def _to_host(tensor: Tensor) -> Tensor:
    """A contiguous copy on the host: safetensors stores only those, and the run goes on meanwhile."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _fill(targets: dict[str, Any], saved: dict[str, Tensor], group: str) -> None:
    if targets.keys() != saved.keys():
        difference = sorted(targets.keys() ^ saved.keys())[:5]
        raise CheckpointError(f"{group}.safetensors does not fit the model: it differs in {', '.join(difference)}")
    for name, target in targets.items():
        if target.shape != saved[name].shape:
            raise CheckpointError(
                f"{group}.safetensors does not fit the model: {name} has shape {tuple(saved[name].shape)}, "
                f"the model wants {tuple(target.shape)}"
            )
        target.copy_(saved[name])


def _counter_device(optimizer: torch.optim.Optimizer, parameter: Tensor) -> torch.device:
    """Fused optimizers keep step counters beside the weights, the others on the host."""
    return parameter.device if optimizer.defaults.get("fused") else torch.device("cpu")
