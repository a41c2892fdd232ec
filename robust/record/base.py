"""The pydantic base of everything that is written to a record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RecordModel(BaseModel):
    """Immutable, and closed: an unknown field is an error. NaN is written as null nowhere: use None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
