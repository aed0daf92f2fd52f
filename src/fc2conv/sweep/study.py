"""Random and Bayesian search with early stopping: an Optuna study in the sweep's folder.

Its journal file is shared by all shells and workers of the sweep, and survives them. Optuna has trials, too: each of
those stands for one of ours, and stays open in the journal until ours is finished. If our process dies, whoever comes
next finds it open, and goes on with our trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fc2conv.record.lock import claim, is_claimed
from fc2conv.sweep.search_space import SweepFile
from fc2conv.sweep.trials import FINISHED, Trial

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
IDENTITY = "identity"
"""An attribute of Optuna's trials: the identity of ours."""


def load(folder: Path, file: SweepFile | None = None, epochs: int = 1) -> optuna.Study:
    """The study of a sweep's folder, made if it is not there yet. `file` and `epochs` decide how it stops runs."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / JOURNAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if file and (stop := file.early_terminate):
        most = max(stop.max_iter or epochs, stop.min_iter)
        pruner = optuna.pruners.HyperbandPruner(stop.min_iter, most, stop.eta)
    return optuna.create_study(
        storage=storage, study_name=folder.name, direction="maximize", pruner=pruner, load_if_exists=True
    )


class Search:
    """Deals out trials, one for each of Optuna's, until there are `run_cap` of those.

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
        if force:
            (folder / JOURNAL).unlink(missing_ok=True)
        self.study = load(folder, file, epochs)
        self.unfinished: set[int] = set()
        """Numbers of Optuna's trials of which ours failed or was interrupted. They stay open, for the next time the
        command is given."""
        self.trained: set[Path] = set()
        self.ours: dict[Path, int] = {}
        """Folder of each trial that is dealt out -> number of Optuna's."""
        self._trials: dict[str, Trial] = {}

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        import optuna

        seed = self.seed + 7919 * number
        if self.file.method == "random":
            return optuna.samplers.RandomSampler(seed)
        return optuna.samplers.TPESampler(seed=seed)

    def take(self) -> Trial | None:
        """The next trial to train; None when all are dealt out. Other processes may still be training theirs."""
        import optuna

        with claim(self.folder, ".study.lock", wait=True):
            while True:
                optuna_trials = self.study.get_trials(deepcopy=False)
                for optuna_trial in optuna_trials:
                    if optuna_trial.state in self._open() and optuna_trial.number not in {
                        *self.ours.values(),
                        *self.unfinished,
                    }:
                        if not self._drawn(optuna_trial):  # whoever drew it was killed before it was written down
                            self.study.tell(optuna_trial.number, state=optuna.trial.TrialState.FAIL)
                            continue
                        trial = self._trial(optuna_trial.params)
                        if is_claimed(trial.folder):
                            continue
                        self.ours[trial.folder] = optuna_trial.number
                        if not self._settled(trial):
                            return trial
                if len(optuna_trials) >= (self.file.run_cap or 0):
                    return None
                self.study.sampler = self._sampler(len(optuna_trials))
                new = self.study.ask({p.key: p.distribution() for p in self.file.varied()})
                trial = self._trial(new.params)
                new.set_user_attr(IDENTITY, trial.folder.name)
                if trial.folder in self.ours or is_claimed(trial.folder):  # the same point again, still in training
                    self.study.tell(new.number, state=optuna.trial.TrialState.FAIL)
                    continue
                self.ours[trial.folder] = new.number
                if not self._settled(trial):
                    return trial

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
