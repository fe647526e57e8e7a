"""One sentence on what to change, for every state that a run can end in."""


def healthy(improving: bool) -> str:
    """For a run that works."""
    if improving:
        return "It works and still improves: give it more images before comparing it with others."
    return "It works: train it again with other seeds to learn how much of this is luck."


def diverged(player: str) -> str:
    """For a run whose numbers left the finite range."""
    return (
        f"Lower the {player}'s learning rate by a factor of ten, or bound its steps with training.gradient_clip_norm; "
        "spectral normalisation of the critic keeps scores in range."
    )


def collapsed(objective: str | None) -> str:
    """For a generator that covers a part of the data only."""
    if objective in ("wasserstein", "wasserstein-clip", "wasserstein-gp"):
        return "Lower the generator's learning rate, or let the critic keep up with a larger k."
    return (
        "Lower the generator's learning rate or its beta1, and give the critic more steps (k) or spectral "
        "normalisation, so that it notices what is missing."
    )


def starved(objective: str | None) -> str:
    """For a generator that learns nothing because no gradient arrives."""
    if objective == "minimax":
        return "Use the non-saturating loss, whose gradient does not vanish when the critic is certain."
    return (
        "Lower both learning rates and check that the generator's outputs are not stuck at the ends of tanh; "
        "a normalised critic (spectral) or a gradient penalty keeps its slope alive."
    )


def overpowering(objective: str | None) -> str:
    """For a critic that leaves the generator no chance."""
    if objective == "wasserstein-gp":
        return "Raise the penalty weight or lower the critic's learning rate until its slopes stay near 1."
    if objective == "wasserstein-clip":
        return "Lower the clip value or the critic's learning rate, or raise the generator's."
    return (
        "Lower the critic's learning rate or k, restrain it with spectral normalisation, or raise the generator's "
        "learning rate or size."
    )


def not_converged(*, improving: bool, started: bool, swings: bool, weak_critic: bool) -> str:
    """For a run that broke nothing and reached too little."""
    if improving:
        return "It still improves: give it more images."
    if not started:
        return "The generator has hardly begun: raise its learning rate by a factor of ten, or give it more images."
    if weak_critic:
        return "The critic is fooled by nearly everything: raise its learning rate or k, so that it can teach."
    if swings:
        return "It swings around: lower both learning rates or beta1, or average the generator longer (ema_decay)."
    return (
        "It has stopped improving too early: move the two learning rates towards each other, or enlarge both networks."
    )
