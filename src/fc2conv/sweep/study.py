"""Random and Bayesian search with early stopping: an Optuna study in the sweep's folder.

Its journal file is shared by all shells and workers of the sweep, and survives them. Optuna has trials, too: each of
those stands for one of ours, and stays open in the journal until ours is finished. If our process dies, whoever comes
next finds it open, and goes on with our trial.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fc2conv.record import terminal
from fc2conv.record.lock import claim, is_claimed
from fc2conv.sweep.search_space import SweepFile
from fc2conv.sweep.trials import FINISHED, Trial

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
IDENTITY = "identity"
"""An attribute of Optuna's trials: the name of our trial's folder."""
LOCK = ".study.lock"
REDRAWS = 10
"""Draws by the method that may repeat earlier points, until a point is taken from those that are left."""
MOST_POINTS = 100_000
"""A larger space is not listed: what is left of it is looked for at random."""
MORE_DRAWS = 1_000
"""At random, before a space counts as exhausted."""


def load(folder: Path, file: SweepFile | None = None, epochs: int = 1) -> optuna.Study:
    """The study of a sweep's folder, made if it is not there yet. `file` and `epochs` decide how it stops runs."""
    import optuna

    from fc2conv.sweep.journal import open_storage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if file and (stop := file.early_terminate):
        most = max(stop.max_iter or epochs, stop.min_iter)
        pruner = optuna.pruners.HyperbandPruner(stop.min_iter, most, stop.eta)
    storage = open_storage(folder / JOURNAL)
    with suppress(KeyError):  # there is none; to make one is an entry, also where it turns out to be there
        return optuna.load_study(study_name=folder.name, storage=storage, pruner=pruner)
    return optuna.create_study(
        storage=storage, study_name=folder.name, direction="maximize", pruner=pruner, load_if_exists=True
    )


class Search:
    """Deals out trials, one for each of Optuna's, until `run_cap` different ones are drawn.

    A point that was drawn before is no new run, so another is drawn in its place. The search ends early where the space
    has no new point.

    Args:
        compose: overrides of the varied keys -> trial
        seed: of the sampler. A draw depends on it, on the number of Optuna's trial and on the draws before, so that a
            sweep whose jobs run one at a time proceeds alike however often it is interrupted.
        force: begin a new study, and train trials that are finished once more
    """

    def __init__(
        self,
        folder: Path,
        file: SweepFile,
        compose: Callable[[list[str]], Trial],
        seed: int,
        epochs: int,
        force: bool = False,
    ):
        self.folder, self.file, self.compose, self.seed, self.force = folder, file, compose, seed, force
        with claim(folder, LOCK, wait=True):
            if force:
                (folder / JOURNAL).unlink(missing_ok=True)
            self.study = self._open_study(epochs)
        self.unfinished: set[int] = set()
        """Numbers of Optuna's trials of which ours failed or was interrupted. They stay open, for the next time the
        command is given."""
        self.trained: set[Path] = set()
        self.ours: dict[Path, int] = {}
        """Folder of each trial that is dealt out -> number of Optuna's."""
        self._trials: dict[str, Trial] = {}
        self._exhausted = False
        """Whether the space has no new point."""

    def _open_study(self, epochs: int) -> optuna.Study:
        """As `load`; a damaged journal is replaced by one with its draws, and the screen says so."""
        from fc2conv.sweep import journal

        path = self.folder / JOURNAL
        damage = journal.find_damage(path) if path.exists() else None
        if damage is None:
            return load(self.folder, self.file, epochs)
        aside, draws = journal.set_aside(path, IDENTITY)
        study = load(self.folder, self.file, epochs)
        study.add_trials(draws)
        terminal.console.print(
            f"{path} is damaged ({damage}) and was set aside as {aside.name}; "
            f"the search goes on with the {len(draws)} draws that could be read",
            markup=False,
            soft_wrap=True,
        )
        return study

    def take(self) -> Trial | None:
        """The next trial to train; None when all are dealt out. Other processes may still be training theirs."""
        import optuna

        with claim(self.folder, LOCK, wait=True):
            while True:
                optuna_trials = self.study.get_trials(deepcopy=False)
                for optuna_trial in optuna_trials:
                    if optuna_trial.state in self._open() and optuna_trial.number not in {
                        *self.ours.values(),
                        *self.unfinished,
                    }:
                        if not self._drawn(optuna_trial):  # not by us, or by an earlier version that was killed
                            self.study.tell(optuna_trial.number, state=optuna.trial.TrialState.FAIL)
                            continue
                        trial = self._trial(optuna_trial.params)
                        if is_claimed(trial.folder):
                            continue
                        self.ours[trial.folder] = optuna_trial.number
                        if not self._settled(trial):
                            return trial
                known = {t.user_attrs[IDENTITY] for t in optuna_trials if self._drawn(t)}
                if self._exhausted or len(known) >= (self.file.run_cap or 0):
                    return None
                if (new := self._draw(optuna_trials, known)) is None:
                    self._exhausted = True
                    self._say_exhausted(len(known))
                    return None
                trial, params = new
                self._add(trial, params)
                self.ours[trial.folder] = len(optuna_trials)
                if not self._settled(trial):
                    return trial

    def _draw(
        self, optuna_trials: Sequence[optuna.trial.FrozenTrial], known: set[str]
    ) -> tuple[Trial, dict[str, Any]] | None:
        """A new trial, and its parameters as Optuna has them; None if there is none. `known` are the folders of those
        that were drawn before."""
        points = itertools.chain(
            itertools.islice(self._sampled(optuna_trials), REDRAWS), self._remaining(len(optuna_trials))
        )
        for params in points:
            trial = self._trial(params)
            if trial.folder.name not in known:
                return trial, params
        return None

    def _sampled(self, optuna_trials: Sequence[optuna.trial.FrozenTrial]) -> Iterator[dict[str, Any]]:
        """What the method draws. From a copy of the study in memory: in the journal, a draw is one entry or none, for
        whoever is killed in between."""
        import optuna

        for attempt in itertools.count():
            copy = optuna.create_study(
                study_name=self.folder.name,
                direction="maximize",
                pruner=self.study.pruner,
                sampler=self._sampler(len(optuna_trials), attempt),
            )
            copy.add_trials(optuna_trials)
            yield copy.ask(self._distributions()).params

    def _sampler(self, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        import optuna

        seed = self.seed + 7919 * number + 104729 * attempt
        if self.file.method == "random":
            return optuna.samplers.RandomSampler(seed)
        return optuna.samplers.TPESampler(seed=seed)

    def _remaining(self, number: int) -> Iterator[dict[str, Any]]:
        """All points in a random order where they can be listed, else so many at random."""
        import optuna

        shuffled = random.Random(self.seed + 7919 * number)
        values = [_listed(d) for d in self._distributions().values()]
        if all(v is not None for v in values) and math.prod(len(v or ()) for v in values) <= MOST_POINTS:
            points = list(itertools.product(*(v or () for v in values)))
            shuffled.shuffle(points)
            yield from (dict(zip(self._distributions(), point, strict=True)) for point in points)
            return
        for _ in range(MORE_DRAWS):
            sampler = optuna.samplers.RandomSampler(shuffled.randrange(2**32))
            yield optuna.create_study(sampler=sampler).ask(self._distributions()).params

    def _distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        return {p.key: p.distribution() for p in self.file.varied()}

    def _add(self, trial: Trial, params: Mapping[str, Any]) -> None:
        import optuna

        self.study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(params),
                distributions=self._distributions(),
                user_attrs={IDENTITY: trial.folder.name},
            )
        )

    def _say_exhausted(self, count: int) -> None:
        terminal.console.print(
            f"{self.file.path}: there are {count} different points, all of them drawn; the search ends with these in "
            f"place of run_cap={self.file.run_cap}",
            markup=False,
            soft_wrap=True,
        )

    def left(self) -> bool:
        """Whether other processes still train what we may have to take over."""
        optuna_trials = self.study.get_trials(deepcopy=False)
        return any(t.state in self._open() and t.number not in self.unfinished for t in optuna_trials)

    def back(self, trial: Trial) -> None:
        self.ours.pop(trial.folder, None)

    def trials(self) -> list[Trial]:
        """All so far, each once."""
        found = [self._trial(t.params) for t in self.study.get_trials(deepcopy=False) if self._drawn(t)]
        return list({trial.folder: trial for trial in found}.values())

    def _drawn(self, optuna_trial: optuna.trial.FrozenTrial) -> bool:
        """Whether its parameters are all there, and the identity of ours, which is written last."""
        return all(p.key in optuna_trial.params for p in self.file.varied()) and IDENTITY in optuna_trial.user_attrs

    def _trial(self, params: Mapping[str, Any]) -> Trial:
        point = [f"{p.key}={rounded(params[p.key])}" for p in self.file.varied()]
        label = " ".join(point)
        if label not in self._trials:
            self._trials[label] = self.compose(point)
        return self._trials[label]

    @staticmethod
    def _open() -> tuple[optuna.trial.TrialState, ...]:
        import optuna

        return optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING

    def _settled(self, trial: Trial) -> bool:
        """Whether there is nothing to train; then the study has been told."""
        if trial.impossible:
            trial.end("skipped", trial.impossible)
        found = trial.result()
        if not trial.impossible and (found is None or found.status not in FINISHED):
            return False
        if self.force and not trial.impossible and trial.folder not in self.trained:
            return False
        self.done(trial)
        return True

    def done(self, trial: Trial) -> None:
        """What became of a trial: its best validation accuracy."""
        import optuna

        result, number = trial.result(), self.ours.pop(trial.folder, None)
        states = {
            "done": optuna.trial.TrialState.COMPLETE,
            "pruned": optuna.trial.TrialState.PRUNED,
            "skipped": optuna.trial.TrialState.FAIL,
        }
        if number is None:
            return
        if result is None or result.status not in states:
            self.unfinished.add(number)
            return
        self.trained.add(trial.folder)
        state = states[result.status]
        value = result.val["acc"] if result.val and result.status == "done" else None
        self.study.tell(number, value, state, skip_if_finished=True)


def rounded(value: Any) -> str:
    """A draw as the command line has it: four digits of a number are enough, and readable."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _listed(distribution: optuna.distributions.BaseDistribution) -> Sequence[Any] | None:
    """All values that can be drawn; None where there is no end of them, or too many."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        low, high, step = distribution.low, distribution.high, distribution.step
        count = round((high - low) / step) + 1
        return [min(low + i * step, high) for i in range(count)] if count <= MOST_POINTS else None
    return None


class ShouldPrune:
    """Tells the study of each epoch of a run, and says whether the run should stop.

    Holds plain values only, since it travels to other processes.
    """

    def __init__(self, folder: Path, number: int, file: SweepFile, epochs: int):
        self.folder, self.number, self.file, self.epochs = folder, number, file, epochs
        self._optuna_trial: optuna.Trial | None = None

    def __call__(self, epoch: int, accuracy: float) -> bool:
        import optuna

        if self._optuna_trial is None:
            study = load(self.folder, self.file, self.epochs)
            found = study.get_trials(deepcopy=False)[self.number]
            self._optuna_trial = optuna.Trial(study, found._trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an epoch that is done over has been reported before
            self._optuna_trial.report(accuracy, epoch)
        return self._optuna_trial.should_prune()


def should_prune(trial: Trial, file: Path | None) -> ShouldPrune | None:
    """Asks the study in the sweep's folder, if the trial belongs to one that stops runs early."""
    from fc2conv.sweep.search_space import read

    folder = trial.folder.parent
    if file is None or trial.config is None or not (folder / JOURNAL).exists():
        return None
    search = read(file)
    if search.early_terminate is None:
        return None
    epochs = trial.config.trainer.max_epochs
    study = load(folder, search, epochs)
    numbers = [t.number for t in study.get_trials(deepcopy=False) if t.user_attrs.get(IDENTITY) == trial.folder.name]
    return ShouldPrune(folder, numbers[-1], search, epochs) if numbers else None
