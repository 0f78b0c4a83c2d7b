"""A model from volumes and their labels."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from mitotools.errors import MachineError, MitotoolsError, ModelError
from mitotools.learn.augment.patch import recipe_named
from mitotools.learn.checkpoint import save_model
from mitotools.learn.device import chosen_device, memory_in_words, placed, prepare, resolved
from mitotools.learn.feed import Patches, batches, bytes_of_patch, loaders_for
from mitotools.learn.fit import Fit, Hooks, Row, fit, nothing
from mitotools.learn.metadata import read_metadata
from mitotools.learn.optimise import estimate_norms
from mitotools.learn.processes import Processes, joined
from mitotools.learn.training import Best, Training, load_training, save_training
from mitotools.run.budget import written
from mitotools.run.memory import resident_bytes_of_all
from mitotools.stages.blocks.resuming import (
    Unit,
    is_complete,
    is_worth_continuing,
    journal_for,
    made_of,
)
from mitotools.stages.training.log import TrainingLog, check_log
from mitotools.stages.training.plan import TrainingFiles, planned
from mitotools.stages.training.validation import Validation
from mitotools.volume.atomic import appearing, check_file, journal_of, unfinished_of
from mitotools.volume.outputs import check_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mitotools.learn.device import Device
    from mitotools.learn.feed import Images
    from mitotools.parameters import TrainParameters
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.stages.training.data import Labelled
    from mitotools.stages.training.plan import Plan
    from mitotools.volume.path import VolumePath

SAVED = Unit("checkpoint", "saved")
"""What an entry of a training's journal stands for."""

PATCHES_FOR_NORMS = 200
"""From which the statistics of batch norms are taken again for averaged weights, or a third of those seen:
with a tenth, after 16 steps of fine-tuning, the Jaccard index was .03 lower."""

NORMS_SEED = 2**32
"""Added to the seed, so that these patches are others than the training's."""


def train_model(
    data: Sequence[Labelled],
    target: Path,
    parameters: TrainParameters,
    running: Running,
    files: TrainingFiles = TrainingFiles(),  # noqa: B008 (it is frozen)
) -> Fit | None:
    """Train a network and save it.

    Parameters
    ----------
    data : sequence of Labelled
        Patches come equally often from each.
    target : Path
        The new model file.
    parameters : TrainParameters
    running : Running
    files : TrainingFiles

    Returns
    -------
    Fit, or None
        None where the model was complete already, and `running.resume` asks for no more.

    Raises
    ------
    InputError, TargetError, ModelError, MachineError, UsageError
    """
    check_apart([target, files.plot], _volumes(data, files))
    check_file(target, force=running.force, resume=bool(running.resume))
    # Where nothing was begun, what is there was told by another training.
    begun = any(path.exists() for path in (target, unfinished_of(target), journal_of(target)))
    check_log(files.log, files.plot, force=running.force, resume=bool(running.resume) and begun)
    recipe_named(parameters.recipe, parameters.augment or ())
    with ExitStack() as stack:
        device, precision = resolved(parameters.device, parameters.precision)
        processes = stack.enter_context(joined(device))
        if device == "cuda" and processes.count > 1:
            device = f"cuda:{processes.local_rank}"
        parameters = replace(parameters, device=device, precision=precision)
        prepare(running.threads, parameters.seed)
        plan = planned(data, parameters, running, files, stack, processes.count)
        records = plan.metadata.history
        if is_complete(
            target,
            lambda: read_metadata(target).history,
            records,
            running,
            is_there=target.exists(),
            or_copies=True,
        ):
            return None
        return _trained(target, plan, running, files, processes)


def _volumes(data: Sequence[Labelled], files: TrainingFiles) -> Iterator[VolumePath | Path | None]:
    """Yield what is read."""
    for one in data:
        yield from (one.raw, one.labels, one.ignore)
    for pair in files.validation:
        yield from pair
    yield files.config


def _trained(
    target: Path, plan: Plan, running: Running, files: TrainingFiles, processes: Processes
) -> Fit | None:
    parameters = plan.parameters
    device = chosen_device(parameters.device)
    can_continue = bool(running.resume) and is_worth_continuing(target, running)
    is_over = bool(processes.of_first(can_continue and _is_model(unfinished_of(target)), device))
    training = Training.begun(placed(plan.network, device), parameters)
    what = made_of(plan.metadata.history)
    if not processes.is_first:
        if is_over:
            return None
        if can_continue:
            load_training(unfinished_of(target), training)
        return _fitted(training, plan, running, Hooks(), processes)
    with (
        journal_for(target, what, running, SAVED, or_copies=True) as journal,
        appearing(
            target,
            force=running.force or bool(running.resume),
            is_continued=bool(journal.done),
            is_kept=lambda: is_worth_continuing(target, running),
        ) as path,
    ):
        if is_over:  # the run was killed when it was about to give the model its name
            return None
        if journal.done:
            load_training(path, training)
        with TrainingLog(files.log, training.iteration, files.plot, plan.metadata.history) as log:
            validation = (
                Validation(files.validation, parameters, running, plan.grey_values)
                if files.validation
                else None
            )
            share = parameters.batch // processes.count
            hooks = _Telling(path, journal, plan, running, log, validation, device, share).hooks
            try:
                result = _fitted(training, plan, running, hooks, processes)
            except (KeyboardInterrupt, MitotoolsError) as error:
                # A loss that is no number comes again; whatever else went wrong may not.
                if training.iteration and not isinstance(error, ModelError):
                    hooks.saved(training)
                raise
        hooks.saved(training)
        _save(path, training, plan, result, running, device, share)
    return result


def _is_model(path: Path) -> bool:
    """Whether a training was over: the model is written where the training was saved."""
    try:
        read_metadata(path)
    except ModelError:
        return False
    return True


def _fitted(training: Training, plan: Plan, running: Running, hooks: Hooks, processes: Processes) -> Fit:
    parameters = plan.parameters
    patch_bytes = bytes_of_patch(plan.metadata.patch_voxels, plan.targets)
    threads = max(running.threads // processes.count, 1)
    loaders = loaders_for(parameters, patch_bytes, threads, parameters.device)
    patches = Patches(plan.mixture, plan.targets, parameters)
    first = training.iteration * parameters.accumulate
    with closing(batches(patches, parameters, processes, loaders, first)) as feed:
        return fit(training, feed, plan.targets, parameters, hooks, processes)


class _Telling:
    """What the first process does beside the steps: it saves, scores and logs."""

    def __init__(
        self,
        path: Path,
        journal: Journal,
        plan: Plan,
        running: Running,
        log: TrainingLog,
        validation: Validation | None,
        device: Device,
        share: int,
    ) -> None:
        self._path, self._journal, self._plan = path, journal, plan
        self._running, self._log, self._validation = running, log, validation
        self._device, self._share = device, share
        self._iterations = 0

    @property
    def hooks(self) -> Hooks:
        validated = self.validated if self._validation else nothing
        return Hooks(self._running.status, self.logged, self.saved, validated)

    def logged(self, row: Row) -> None:
        self._log.trained(row)
        self._iterations += 1
        # A step frees nothing for good: the first ones show what it takes.
        if self._iterations > 1 and self._iterations.bit_count() == 1 and self._running.memory_bytes:
            self._check_memory(self._running.memory_bytes)

    def _check_memory(self, budget: int) -> None:
        taken = resident_bytes_of_all()
        if taken > budget:
            why = f"{written(budget)} is too little for this training, which takes {written(taken)}"
            raise MachineError(
                "--memory", why, "Give it more, or begin again with a smaller --patch or --batch"
            )

    def saved(self, training: Training) -> None:
        save_training(self._path, training)
        self._journal.add((training.iteration,))

    def validated(self, training: Training) -> None:
        assert self._validation is not None  # noqa: S101
        _with_norms(training, self._plan, self._running, self._device, self._share)
        network = training.average.network
        was_training = network.training
        score = self._validation.score(network.eval(), self._plan.metadata)
        network.train(was_training)
        placed(network, self._device)
        self._log.validated(
            {"iteration": training.iteration, "ap75": score.ap, "jaccard": score.jaccard, **score.decode}
        )
        best = training.best
        if best is None or (score.ap, score.jaccard) >= (best.score, best.jaccard):
            tensors = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            training.best = Best(score.ap, score.jaccard, training.iteration, score.decode, tensors)


def _with_norms(training: Training, plan: Plan, running: Running, device: Device, share: int) -> None:
    """Give the averaged weights the statistics of their own norms: of batches as one process learns from."""
    seen = training.iteration * plan.parameters.accumulate * plan.parameters.batch
    count = -(-min(PATCHES_FOR_NORMS, max(seen // 3, 1)) // share)
    parameters = replace(plan.parameters, seed=plan.parameters.seed + NORMS_SEED, batch=share)
    if training.average.network is training.network or parameters.norm != "batch":
        return

    def images() -> Iterator[Images]:
        patches = Patches(plan.mixture, plan.targets, parameters)
        with closing(batches(patches, parameters, Processes(), 0)) as feed:
            for _ in running.track(range(count), count, "statistics of the norms", "batches"):
                yield next(feed).images.to(device)

    with memory_in_words(device, "End other programs that use it"):
        estimate_norms(training.average.network, images(), parameters.precision)


def _save(
    path: Path, training: Training, plan: Plan, result: Fit, running: Running, device: Device, share: int
) -> None:
    """Write the model where the training was saved: the best of the validation, else the average."""
    network = training.average.network
    metadata = plan.metadata
    done = {**metadata.training, "iterations_done": result.iterations, "final_loss": result.loss}
    if training.best is None:
        _with_norms(training, plan, running, device, share)
    else:
        best = training.best
        network.load_state_dict(best.tensors)
        done |= {"best_iteration": best.iteration, "validation_ap75": best.score}
        metadata = replace(metadata, decode=best.decode)
    save_model(path, network.cpu(), replace(metadata, training=done))
