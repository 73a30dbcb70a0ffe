"""Budgets and allocation tags as people write them, also in the shapes that they have from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.budgeting import channel_name, mistakes, tell_channels
from comporta.app.settings import Settings
from comporta.budget.declared import allocation, declared, sections
from comporta.config.loading import Loaded, load
from comporta.errors import ConfigError

SHAPE = """
budget_management:
  budgets:
    - name: engineering
      monthly_limit: $10000
      daily_limit: 500
      alert_thresholds: [50, 75, 90, 100]
      actions:
        at_75: notify_team
        at_90: notify_finance
        at_100: switch_to_cheaper_model
  cost_allocation:
    tags:
      - environment: [prod, staging, dev]
      - {team: [engineering, sales], required: true}
      - feature:
    showback:
      enabled: true
      dashboard_url: https://costs.example.com
"""


def read(folder: Path, text: str) -> Loaded[Settings]:
    path = folder / "comporta.yaml"
    path.write_text(text)
    return load(Settings, path, {})


def budgets_of(loaded: Loaded[Settings]) -> dict[str, tuple[str, int]]:
    found = sections(loaded.value.budgets, loaded.value.budget_management)
    return {budget.id: (budget.period, budget.limit_microusd) for budget in declared(found, lambda path: "here")}


def test_the_shape_that_people_have_already_loads_as_it_stands(tmp_path: Path) -> None:
    loaded = read(tmp_path, SHAPE)
    assert sorted(budgets_of(loaded).values()) == [("day", 500_000_000), ("month", 10_000_000_000)]
    tags = allocation(loaded.value.cost_allocation, loaded.value.budget_management).tags
    assert [(tag.name, tag.values, tag.required) for tag in tags] == [
        ("environment", ["prod", "staging", "dev"], False), ("team", ["engineering", "sales"], True),
        ("feature", [], False),
    ]  # fmt: skip
    assert mistakes(loaded, lambda name: True) == []


def test_a_budget_keeps_its_id_when_another_period_is_limited_too(tmp_path: Path) -> None:
    one = budgets_of(read(tmp_path, "budgets: [{name: a, monthly_limit: 10}]"))
    both = budgets_of(read(tmp_path, "budgets: [{name: a, daily_limit: 1, limit: 20}]"))
    assert set(one) < set(both)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: [{name: a}]", "needs a limit"),
        ("budgets: [{name: a, limit: 1, monthly_limit: 2}]", "two limits for a month"),
        ("budgets: [{name: a, limit: 1, actions: {at_x: team}}]", "write at_90"),
        ("budgets: [{name: a, limit: 1, alert_thresholds: [0]}]", "1 to 1000"),
        ("budgets: [{name: a, limit: 1, per: user, user: bob}]", "not both"),
        ("budgets: [{name: a, limit: 1, throttle: {share: 10%, requests_per_minute: 2}}]", "not both"),
        ("budgets: [{name: a, limit: 1}]\nbudget_management: {budgets: [{name: a, limit: 1}]}", "taken by an earlier"),
        ("cost_allocation: {tags: [{team: [a]}, {team: [b]}]}", "stands here twice"),
        ("cost_allocation: {showback: {dashboard_url: 'javascript:1'}}", "dashboard_url"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in caught.value.message
    assert "comporta.yaml:1" in caught.value.message or "comporta.yaml:2" in caught.value.message


def test_several_conditions_make_one_budget_of_calls_that_meet_all(tmp_path: Path) -> None:
    loaded = read(tmp_path, "budgets: [{name: a, limit: 1, team: red, environment: prod, tag: {centre: 4711}}]")
    (budget,) = declared(sections(loaded.value.budgets, loaded.value.budget_management), lambda path: "here")
    assert dict(budget.conditions) == {"team": "red", "environment": "prod", "tag": "centre=4711"}
    assert budget.whose == "team red, environment prod, tag centre=4711"


CHANNELS = """
notify: {channels: {team: {type: slack, url: 'https://hooks.example.com/x'}}}
budgets:
  - {name: a, limit: 1, actions: {at_90: notify_team}}
  - name: b
    limit: 1
    cheaper_model: nothing
    actions:
      at_50: notify_taem
"""


def test_a_channel_or_model_that_is_not_there_is_told_with_file_and_line(tmp_path: Path) -> None:
    wrong = mistakes(read(tmp_path, CHANNELS), lambda name: False)
    assert [line.partition(": ")[2] for line in wrong] == [
        "budgets[1].cheaper_model: there is no model 'nothing'",
        "budgets[1].actions.at_50: there is no channel 'notify_taem' under notify.channels",
    ]
    assert "comporta.yaml:7" in wrong[0]
    assert "comporta.yaml:9" in wrong[1]


def test_notify_team_means_the_channel_team(tmp_path: Path) -> None:
    settings = read(tmp_path, CHANNELS).value
    assert channel_name(settings, "notify_team") == "team"
    assert channel_name(settings, "team") == "team"
    assert channel_name(settings, "nobody") == "nobody"


def test_without_any_channel_it_is_told_once_that_nobody_would_hear(tmp_path: Path) -> None:
    loaded = read(tmp_path, SHAPE)
    told = tell_channels(loaded)
    assert told == {"notify_team", "notify_finance"}
    assert tell_channels(loaded, told) == told
