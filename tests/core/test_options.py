from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_infosam.core.options import FinetuneOptions


def test_the_defaults_are_valid():
    options = FinetuneOptions()
    assert (options.stage, options.method, options.distill) == (
        "quick",
        "adapter",
        "infosam",
    )
    assert (options.lambda_r, options.lambda_d) == (1.0, 0.05)


def test_the_published_recipe_has_the_papers_values():
    options = FinetuneOptions.published()
    assert (options.lambda_r, options.lambda_d) == (1.0, 0.5)
    assert (options.learning_rate, options.encoder_rate) == (2e-4, 1.0)
    assert (options.max_epochs, options.relation_bank, options.seed) == (10, 0, 42)


@given(
    st.builds(
        FinetuneOptions,
        stage=st.sampled_from(["quick", "full", "auto"]),
        method=st.sampled_from(["decoder", "adapter"]),
        seed=st.integers(0, 2**63 - 1),
        max_seconds=st.floats(min_value=1e-3, max_value=1e9),
        learning_rate=st.floats(1e-9, 0.5),
        lambda_r=st.floats(0, 1e9),
    )
)
def test_a_run_folder_keeps_them_exactly(options):
    assert FinetuneOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stage", "slow"),
        ("method", "magic"),
        ("distill", "yes"),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 0.5),
        ("max_seconds", 0),
        ("max_seconds", float("nan")),
        ("max_epochs", 0),
        ("learning_rate", 0),
        ("learning_rate", 1),
        ("lambda_r", -0.1),
        ("lambda_d", float("inf")),
        ("epochs", 3),
    ],
)
def test_a_wrong_value_or_an_unknown_name_is_refused_by_name(name, value):
    with pytest.raises(ValidationError) as caught:
        FinetuneOptions(**{name: value})
    assert caught.value.errors()[0]["loc"] == (name,)


def test_options_can_not_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        FinetuneOptions().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({}, ("quick",)),
        ({"stage": "full"}, ("quick", "full")),
        ({"stage": "full", "method": "decoder"}, ("quick",)),
        ({"stage": "auto", "max_seconds": 60}, ("quick",)),
        ({"stage": "auto", "max_seconds": 300}, ("quick", "full")),
    ],
)
def test_stages_of_a_run(options, stages) -> None:
    assert FinetuneOptions(**options).stages == stages
