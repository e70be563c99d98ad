"""The tables of a study file beside its trainings: variants, frames of recordings, paper rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

from compare.trainings import Table, Training

Encoding = Literal["constant", "poisson", "poisson-signed", "poisson-total", "events"]


def _timesteps(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or any(t < 1 for t in value):
        raise ValueError("must be timesteps of at least 1")
    if len(set(value)) != len(value):
        raise ValueError("names one entry twice")
    return value


def _number(value: Any) -> int | float:
    """As it is written, so that 14 is not shown as 14.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


TrainTimesteps = Annotated[tuple[int, ...], AfterValidator(_timesteps)]
Number = Annotated[int | float, PlainValidator(_number)]


class Variant(Table):
    """A method under another name, with settings of its own."""

    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    training: Training = Training()
    train_timesteps: TrainTimesteps | None = None
    encoding: Encoding | None = None
    batch_norm: bool | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)

    def setting(self) -> dict[str, Any]:
        """What its network, and the ANN it may start from, have otherwise than the study's."""
        return self.model_dump(include={"encoding", "batch_norm", "dropout"}, exclude_none=True)


class Frames(Table):
    """How the recordings of an event data set become frames (compare.data.events.Binning)."""

    timesteps: int = Field(ge=1)
    size: int | None = Field(default=None, ge=1)
    window_ms: float | None = Field(default=None, gt=0)


class PaperRow(Table):
    """A published number beside ours (reports.tables.paper); what is absent may be anything."""

    model_config = ConfigDict(strict=True)

    dataset: str | None = None
    architecture: str | None = None
    method: str | None = None
    train_timesteps: int | None = Field(default=None, ge=1)
    measure: str | None = None
    value: Number | None = None
    unit: str | None = None
    source: str | None = None
    timestep: int | None = Field(default=None, ge=0)
    label: str | None = None
