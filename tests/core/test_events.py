from __future__ import annotations

import json
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_infosam.core.events import (
    EVENT_VERSION,
    Gate,
    Metrics,
    Notice,
    Step,
    TrainingEvent,
    parse_event,
)

KINDS = get_args(get_args(TrainingEvent)[0])
events = st.one_of(
    [
        # all fields are drawn by their type, the time instead of its default
        st.builds(kind, **dict.fromkeys(kind.model_fields, ...) | {"time": st.floats()})
        for kind in KINDS
    ]
)


def without_nan(value):
    """Return a copy in which NaN equals itself."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@given(events)
def test_every_event_survives_its_json_line(event):
    line = event.model_dump_json()
    assert "\n" not in line
    json.loads(line, parse_constant=lambda name: pytest.fail(f"no JSON: {name}"))
    back = parse_event(line.encode())
    assert type(back) is type(event)
    assert without_nan(back.model_dump()) == without_nan(event.model_dump())


def test_every_kind_has_its_own_name():
    names = [kind.model_fields["kind"].default for kind in KINDS]
    assert len(set(names)) == len(names) == 10


@given(events)
def test_fields_of_a_later_version_are_ignored(event):
    record = json.loads(event.model_dump_json())
    record["version"] = EVENT_VERSION + 1
    record["from_the_future"] = {"a": [1]}
    back = parse_event(json.dumps(record))
    assert type(back) is type(event)
    assert not hasattr(back, "from_the_future")


def test_later_fields_inside_the_metrics_are_ignored_too():
    metrics = dict.fromkeys(Metrics.model_fields, 0) | {"nod99": 3}
    gate = {"kind": "gate", "version_id": "v001", "accepted": True, "reason": "better"}
    line = json.dumps({**gate, "base": metrics, "active": None, "candidate": metrics})
    event = parse_event(line)
    assert isinstance(event, Gate)
    assert event.base == event.candidate
    assert event.active is None


def test_a_diverging_loss_can_be_read_back():
    event = Step(
        stage="full", step=1, steps=9, loss=math.nan, parts={"relation": math.inf}
    )
    back = parse_event(event.model_dump_json())
    assert isinstance(back, Step)
    assert back.loss is not None
    assert math.isnan(back.loss)
    assert back.parts == {"relation": math.inf}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"kind": "unheard of"}',
        '{"kind": "step", "stage": "quick"}',
        '{"kind": "step", "stage": "slow", "step": 1, "steps": 2}',
        Notice(message="a line that is cut", time=1.0).model_dump_json()[:-4],
    ],
)
def test_a_broken_line_is_refused(line):
    with pytest.raises(ValidationError):
        parse_event(line)


def test_an_event_says_when_it_happened():
    first, second = Notice(message="a"), Notice(message="b")
    assert 0 <= second.time - first.time < 60
    assert first.version == EVENT_VERSION
