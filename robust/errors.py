"""The exception tree: every error a user can cause is one of these.

::

    RobustError
    ├── UsageError                    the command line or a call was used wrongly
    │   └── PlanError                 the plan file: unknown key, wrong type, impossible value
    ├── InstallationError             something needed is missing, or a stranger has a sibling's name
    ├── SubjectError                  the trained model under audit
    │   ├── ModelFileError            missing, truncated, not what its ending says
    │   ├── UntrustedModelError       loading it could run code and nobody said that it may
    │   ├── ModelShapeError           input or output shape is not what the data or the plan says
    │   ├── NonFiniteError            NaN or infinite weights or outputs
    │   ├── InputBoxError             the input box that was assumed is not the model's
    │   ├── ChanceAccuracyError       no better than guessing: wrong preprocessing, labels or weights
    │   ├── DisagreementError         two runtimes of the same model give different answers
    │   └── NotExplainableError       a way of explaining that does not fit the model
    ├── DataError                     the samples, labels or groups
    │   ├── DataFileError             missing, unreadable, wrong format
    │   ├── DataShapeError            wrong rank or size
    │   ├── DataTypeError             wrong dtype
    │   ├── DataRangeError            outside the input box, or NaN
    │   ├── LabelError                labels do not fit the classes
    │   ├── EmptyClassError           a class without a single sample
    │   └── MissingColumnError        a table lacks a named column
    ├── GraphError                    the network as an operation graph
    │   ├── UnsupportedOperatorError  an operator without a rule
    │   └── ControlFlowError          control flow that depends on the input
    ├── PropertyError                 an input set or unsafe set that makes no sense
    └── RecordError                   a record or store that cannot be read or does not fit
        ├── StoreError                the run directory cannot be written, read or locked
        └── RunInUseError             another process works in the same run directory

Each says what was wanted, what was got and what to do. ``str(error)`` is the whole message, in lines.
"""

from __future__ import annotations


class RobustError(Exception):
    """Base of the tree.

    Args:
        message: one sentence that says what is wrong and where (file, key, column).
        wanted: what would have been right.
        got: what was found instead.
        hint: what the user can do about it.
    """

    def __init__(
        self, message: str, *, wanted: object | None = None, got: object | None = None, hint: str | None = None
    ) -> None:
        self.message = message
        self.wanted = None if wanted is None else str(wanted)
        self.got = None if got is None else str(got)
        self.hint = hint
        lines = [message]
        for label, text in (("wanted", self.wanted), ("got", self.got), ("what to do", hint)):
            if text is not None:
                lines.append(f"  {label}: {text}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.wanted, self.got, self.hint)


def _rebuild(
    kind: type[RobustError], message: str, wanted: str | None, got: str | None, hint: str | None
) -> RobustError:
    return kind(message, wanted=wanted, got=got, hint=hint)


class UsageError(RobustError):
    """The command line or a Python call was used wrongly."""


class PlanError(UsageError):
    """The plan has an unknown key, a wrong type or an impossible value."""


class InstallationError(RobustError):
    """Something needed is not installed, or another package has taken a sibling's name."""


class SubjectError(RobustError):
    """The trained model under audit cannot be used as it is."""


class ModelFileError(SubjectError):
    """The model file is missing, truncated or not what its ending says."""


class UntrustedModelError(SubjectError):
    """Loading the file could run code, and nobody said that it may."""


class ModelShapeError(SubjectError):
    """The model's input or output shape is not what the data or the plan says."""


class NonFiniteError(SubjectError):
    """The model has NaN or infinite weights, or answers with them."""


class InputBoxError(SubjectError):
    """No input box was declared, and the one that was assumed is not the model's."""


class ChanceAccuracyError(SubjectError):
    """The model is no better than guessing on the data it was given."""


class DisagreementError(SubjectError):
    """Two runtimes of the same model give different answers."""


class NotExplainableError(SubjectError):
    """An explanation was asked for that this model cannot give, such as gradients of a black box."""


class DataError(RobustError):
    """The samples, labels or groups cannot be used as they are."""


class DataFileError(DataError):
    """The data file is missing, unreadable or of another format."""


class DataShapeError(DataError):
    """An array has the wrong rank or size."""


class DataTypeError(DataError):
    """An array has a dtype that is not a number of the wanted kind."""


class DataRangeError(DataError):
    """A value is NaN, infinite or outside the input box."""


class LabelError(DataError):
    """The labels do not fit the classes of the model."""


class EmptyClassError(DataError):
    """A class of the model has no sample."""


class MissingColumnError(DataError):
    """A table lacks a column that was named."""


class GraphError(RobustError):
    """The network cannot be turned into an operation graph."""


class UnsupportedOperatorError(GraphError):
    """An operator of the network has no rule in the engine that was asked."""


class ControlFlowError(GraphError):
    """The network's control flow depends on its input."""


class PropertyError(RobustError):
    """An input set or an unsafe set makes no sense."""


class RecordError(RobustError):
    """A record or a store cannot be read, or does not fit the run."""


class StoreError(RecordError):
    """The run directory cannot be written, read or locked: full, read-only, or damaged. Ends the audit."""


class RunInUseError(RecordError):
    """Another process works in the same run directory."""
