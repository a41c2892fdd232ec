"""An attack on a data set that can be gone on with: what is found, in a file that is written after every block."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from robust.audit.attacking import AttackRun
from robust.audit.run_directory import keep_file
from robust.audit.witnesses import npz_bytes
from robust.errors import DataFileError, UsageError

_TABLES = ("broken", "attacked", "distances", "answers", "forward", "backward")


def key_of(run: AttackRun) -> str:
    """What a state is of: model, data, question and seed, as JSON."""
    question = {name: value for name, value in dataclasses.asdict(run.question).items() if name != "diagnosis"}
    context = run.context
    named = {"model": context.classifier.digest, "data": context.data.digest, "seed": context.seed}
    return json.dumps({**named, **question}, sort_keys=True)


def save_state(run: AttackRun, through: int, path: Path) -> None:
    """Write what is found of the first ``through`` samples: the old file or the new one.

    Raises:
        StoreError: it cannot be written.
    """
    found = sorted(run.witnesses)
    empty = np.zeros((0, *run.context.data.sample_shape), np.float32)
    keep_file(
        path,
        npz_bytes(
            {
                "key": np.array(key_of(run)),
                "through": np.array(through),
                "seconds": np.array(run.seconds),
                **{name: getattr(run, name) for name in _TABLES},
                "stages": np.array(run.stages, dtype=np.str_),
                "indices": np.array(found, dtype=np.int64),
                "witnesses": np.stack([run.witnesses[index] for index in found]) if found else empty,
                "found_at": np.array([run.found_at[index] for index in found]),
            }
        ),
    )


def restore(run: AttackRun, path: Path) -> int:
    """Fill a fresh run from a file, and say how many samples are through; 0 where there is no file.

    Raises:
        DataFileError: it is no such file, or a damaged one.
        UsageError: it is of another model, other data, another question or seed.
    """
    if not path.exists():
        return 0
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        key, through = str(arrays["key"].item()), int(arrays["through"].item())
        tables = {name: arrays[name].astype(getattr(run, name).dtype) for name in _TABLES}
        indices = [int(index) for index in arrays["indices"]]
        witnesses = dict(zip(indices, arrays["witnesses"].astype(np.float32), strict=True))
        found_at = dict(zip(indices, arrays["found_at"].tolist(), strict=True))
        stages, seconds = [str(name) for name in arrays["stages"]], float(arrays["seconds"].item())
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataFileError(
            f"cannot go on from {path}", wanted="a file that `robust attack --resume` wrote", got=error
        ) from error
    if key != key_of(run):
        own, other = json.loads(key_of(run)), json.loads(key)
        apart = [name for name in own if own[name] != other.get(name)]
        raise UsageError(
            f"{path} is of another attack",
            wanted="the same model, data, radii, norm, tier, limit and seed",
            got=f"another {', '.join(apart)}",
            hint="give the options of the first run, or another file",
        )
    if any(table.shape != getattr(run, name).shape for name, table in tables.items()) or len(stages) != len(run.stages):
        raise DataFileError(f"cannot go on from {path}", wanted="tables of this data set's size", got="other sizes")
    for name, table in tables.items():
        setattr(run, name, table)
    run.stages, run.witnesses, run.found_at, run.seconds = stages, witnesses, found_at, seconds
    return through
