"""What was done for a claim, in a sentence or two: arms, data, budget, seeds."""

from __future__ import annotations

from collections.abc import Sequence

from fc2conv.claims.claim import SEARCHED, Claim
from fc2conv.claims.evidence import Arm, Evidence
from fc2conv.config.schema import DataConfig, TrainerConfig

DATA = {
    "fashion_mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "mnist1d": "MNIST-1D",
}
SAID = ("data", "data.train_size", "data.seed", "trainer.max_steps", "trainer.max_epochs", "optim", "logger")
"""Keys that the sentence says in words, or that say nothing of the experiment."""
MOST = 12
"""Values of a key that are listed."""


def experiment(claim: Claim, evidence: Evidence | None, planned: Sequence[Arm] = ()) -> list[str]:
    """The sentences.

    Args:
        planned: the claim's arms, where there is no evidence yet
    """
    arms = [arm for arm in evidence.arms if is_trained(arm)] if evidence else list(planned)
    found = [_trained(claim, arms)] if arms else []
    if evidence and (observed := [arm for arm in evidence.arms if not is_trained(arm)]):
        many = _numbers([len(arm.runs) for arm in observed])
        if claim.is_timed:
            where = f"{evidence.machine.get('cpu', 'this machine')}, {evidence.machine.get('cores', '?')} cores"
            found.append(f"{many} alternating repetitions of {len(observed)} arms, on {where}.")
        else:
            found.append(f"Nothing is trained; {many} values of each of {len(observed)} arms.")
    elif claim.is_timed and not evidence:
        found.append("Timed on the machine that it runs on.")
    if claim.checks:
        found.append("Identities, computed anew with the suite's own modules.")
    return found


def is_trained(arm: Arm) -> bool:
    """Whether it was trained, and not only timed."""
    return len(arm.overrides) > len(arm.name.split()) or any("test.acc" in run.figures for run in arm.runs)


def _trained(claim: Claim, arms: Sequence[Arm]) -> str:
    values = {key: _values(arms, key) for key in dict.fromkeys(o.partition("=")[0] for a in arms for o in a.overrides)}
    varied = {key: found for key, found in values.items() if len(found) > 1 and key not in SAID}
    model = [f"`model={values['model'][0]}`"] if len(values.get("model", ())) == 1 else []
    parts = model + [f"`{key}` {_listed(found)}" for key, found in varied.items()]
    many = "1 arm" if len(arms) == 1 else f"{len(arms)} arms"
    seeds = _numbers([len(arm.runs) for arm in arms if arm.runs] or [claim.seeds])
    rates = ", ".join(f"{rate:g}" for rate in claim.rates)
    search = f"; the learning rate is the best of {rates} by validation on {len(SEARCHED)} other seeds"
    return (
        f"{many}{': ' if parts else ''}{'; '.join(parts)}. {_data(values)}, {_budget(values)}, {seeds} seeds"
        f"{search if len(claim.rates) > 1 else ''}."
    )


def _values(arms: Sequence[Arm], key: str) -> list[str]:
    """The values of a key, "" where an arm does not set it."""
    return list(dict.fromkeys(arm.value_of(key) or "" for arm in arms))


def _listed(values: Sequence[str]) -> str:
    said = [value for value in values if value] + ["not set"] * ("" in values)
    return ", ".join(said[:MOST]) + (f" and {len(said) - MOST} more" if len(said) > MOST else "")


def _data(values: dict[str, list[str]]) -> str:
    names = [name or "fashion_mnist" for name in values.get("data", [""])]
    said = [
        DATA.get(name, f"the world `{name.removeprefix('world_')}`" if "world_" in name else name) for name in names
    ]
    sizes = values.get("data.train_size", [""])
    default = DataConfig().train_size
    known = sorted(int(size) for size in sizes if size not in ("", "null", "None", str(default)))
    counts = [f"{size:,}" for size in known] + ["all"] * (len(known) < len(sizes))
    return f"{' or '.join(said)}, {_listed(counts)} training images"


def _budget(values: dict[str, list[str]]) -> str:
    steps = [value for value in values.get("trainer.max_steps", ()) if value not in ("", "null", "None", "-1")]
    if steps:
        sizes = [size or str(DataConfig().batch_size) for size in values.get("data.batch_size", [""])]
        return f"{_listed(steps)} steps of {_listed(sizes)}"
    return f"{_listed([e or str(TrainerConfig().max_epochs) for e in values.get('trainer.max_epochs', [''])])} epochs"


def _numbers(counts: Sequence[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
