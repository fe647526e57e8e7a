"""The named search spaces."""

from gen_dist.tuning.space import (
    Choice,
    Condition,
    Dimension,
    Domain,
    Exclusion,
    IntRange,
    LogUniform,
    Space,
    Uniform,
    Value,
)

OBJECTIVE = "model.game.objective"
GENERATOR = "model.generator_optimizer"
CRITIC = "model.critic_optimizer"


def _objective(*options: Value) -> Dimension:
    return Dimension(name="objective", domain=Choice(options=options), paths=(OBJECTIVE,))


def _critic_updates(domain: Domain) -> Dimension:
    return Dimension(name="k", domain=domain, paths=("model.game.critic_updates",), mutable=True)


def _learning_rate(player: str, optimizer: str, low: float, high: float) -> Dimension:
    return Dimension(
        name=f"{player}_learning_rate",
        domain=LogUniform(low=low, high=high),
        paths=(f"{optimizer}.learning_rate",),
        mutable=True,
    )


def _beta(index: int, domain: Domain) -> Dimension:
    element = f"betas[{index}]"
    return Dimension(
        name=f"beta{index + 1}", domain=domain, paths=(f"{GENERATOR}.{element}", f"{CRITIC}.{element}"), mutable=True
    )


def _penalty_weight(low: float, high: float) -> Dimension:
    return Dimension(
        name="penalty_weight",
        domain=LogUniform(low=low, high=high),
        paths=("model.game.penalty_weight",),
        when=Condition(path=OBJECTIVE, among=("wasserstein-gp",)),
        mutable=True,
    )


def _clip_value(low: float, high: float) -> Dimension:
    return Dimension(
        name="clip_value",
        domain=LogUniform(low=low, high=high),
        paths=("model.game.clip_value",),
        when=Condition(path=OBJECTIVE, among=("wasserstein-clip",)),
    )


def _generator_normalization(*options: Value) -> Dimension:
    return Dimension(
        name="generator_normalization", domain=Choice(options=options), paths=("model.generator_normalization",)
    )


def _critic_normalization(*options: Value) -> Dimension:
    # The gradient penalty is a property of single samples, and batch norm couples the samples of a batch.
    penalised = Condition(path=OBJECTIVE, among=("wasserstein-gp",))
    excluding = (Exclusion(option="batch", condition=penalised),) if "batch" in options else ()
    return Dimension(
        name="critic_normalization",
        domain=Choice(options=options),
        paths=("model.critic_normalization",),
        excluding=excluding,
    )


STABILITY = Space(
    name="stability",
    summary="what makes a GAN stable: six objectives, k from 1 to 5, independent learning rates, betas, normalisation",
    num_trials=60,
    dimensions=(
        _objective("minimax", "non-saturating", "least-squares", "hinge", "wasserstein-clip", "wasserstein-gp"),
        _critic_updates(IntRange(low=1, high=5)),
        _learning_rate("generator", GENERATOR, 1e-5, 1e-2),
        _learning_rate("critic", CRITIC, 1e-5, 1e-2),
        _beta(0, Uniform(low=0.0, high=0.9)),
        _beta(1, Choice(options=(0.9, 0.99, 0.999))),
        _penalty_weight(0.1, 100.0),
        _clip_value(1e-3, 1.0),
        _generator_normalization("batch", "group", "spectral", "none"),
        _critic_normalization("batch", "group", "spectral", "none"),
    ),
)

LUCIC = Space(
    name="lucic",
    summary="the wide ranges of Are GANs Created Equal? (Lucic et al. 2018, arXiv:1711.10337), shared learning rate",
    num_trials=100,
    dimensions=(
        _objective("minimax", "non-saturating", "least-squares", "wasserstein-clip", "wasserstein-gp"),
        _critic_updates(Choice(options=(1, 5))),
        Dimension(
            name="learning_rate",
            domain=LogUniform(low=1e-5, high=1e-2),
            paths=(f"{GENERATOR}.learning_rate", f"{CRITIC}.learning_rate"),
            mutable=True,
        ),
        # The paper's interval is [0, 1]; Adam with beta1 = 1 never moves and is refused.
        _beta(0, Uniform(low=0.0, high=0.9999)),
        _penalty_weight(0.1, 100.0),
        _clip_value(1e-3, 1.0),
        _critic_normalization("batch", "none"),
    ),
)

QUICK = Space(
    name="quick",
    summary="narrow ranges around settings that work, for a search of a few minutes on small images",
    num_trials=12,
    dimensions=(
        _objective("non-saturating", "least-squares", "hinge", "wasserstein-gp"),
        _critic_updates(IntRange(low=1, high=3)),
        _learning_rate("generator", GENERATOR, 5e-4, 5e-3),
        _learning_rate("critic", CRITIC, 5e-4, 5e-3),
        _beta(0, Choice(options=(0.0, 0.5))),
        _penalty_weight(1.0, 20.0),
        _critic_normalization("batch", "spectral", "none"),
    ),
)

SPACES: dict[str, Space] = {space.name: space for space in (STABILITY, LUCIC, QUICK)}


def space(name: str) -> Space:
    """The space of that name.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in SPACES:
        raise ValueError(f"there is no search space {name!r}; choose from: {', '.join(SPACES)}")
    return SPACES[name]
