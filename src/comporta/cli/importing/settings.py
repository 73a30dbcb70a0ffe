"""LiteLLM's `router_settings`, `litellm_settings` and `general_settings` read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from msgspec import Struct, field

from comporta.cli.importing.source import Part, Variable
from comporta.config.values import parse_duration, show_duration, show_money

_MOST_ATTEMPTS = 20
_PERIODS = {"1h": "hour", "60m": "hour", "3600s": "hour", "1d": "day", "24h": "day", "7d": "week", "1w": "week",
            "30d": "month", "31d": "month", "1mo": "month"}  # fmt: skip
_STRATEGIES = frozenset({"simple-shuffle", "weighted-pick"})
_SENT_ELSEWHERE = "records stand in PostgreSQL and figures at /metrics; nothing is sent to other tools yet"
_ADMIN_KEY = (
    "the gate makes an admin key of its own (`admin.key` in the data folder); clients get keys by `comporta key create`"
)
_PER_PERSON = "there are no budgets for each user or key of their own accord: `comporta budget create --key`"


class Settings(Struct):
    """What the sections say, on its way."""

    sections: dict[str, Any] = field(default_factory=dict)
    limits: list[dict[str, Any]] = field(default_factory=list)
    timeouts: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    larger: dict[str, list[str]] = field(default_factory=dict)
    default_fallbacks: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    #: Where lists of fallbacks stand: section and line.
    places: dict[str, tuple[str, int]] = field(default_factory=dict)

    def put(self, section: str, key: str, value: Any) -> None:
        self.sections.setdefault(section, {})[key] = value


def settings_of(whole: Part) -> Settings:
    """All three; what both of the first say, the router's word decides."""
    found = Settings()
    library, router, general = (
        whole.part(name) for name in ("litellm_settings", "router_settings", "general_settings")
    )
    _library(library, found)
    for part in (library, router):
        _reliability(part, found)
    _router(router, found)
    _general(general, found)
    for part in (library, router, general):
        part.rest()
    return found


def _reliability(part: Part, found: Settings) -> None:
    """What LiteLLM takes in either section."""
    retries = part.number("num_retries")
    if retries is not None:
        found.put("retry", "attempts", min(int(retries) + 1, _MOST_ATTEMPTS))
    pause_s = part.number("retry_after")
    if pause_s:
        found.put("retry", "first_wait", show_duration(pause_s))
    for key, ours in (("request_timeout", "total"), ("timeout", "total"), ("stream_timeout", "first_token")):
        seconds = part.number(key, 0.001)
        if seconds is not None:
            found.timeouts[ours] = show_duration(seconds)
    fails = part.number("allowed_fails")
    if fails is not None:
        found.put("breaker", "failures", int(fails) + 1)
    rest_s = part.number("cooldown_time")
    if rest_s:
        found.put("breaker", "rest", show_duration(rest_s))
        found.put("breaker", "longest_rest", show_duration(max(rest_s, 60.0)))
    _fallbacks(part, found)


def _fallbacks(part: Part, found: Settings) -> None:
    section = str(part.path[-1])
    for key, lists in (("fallbacks", found.fallbacks), ("context_window_fallbacks", found.larger)):
        for entry in part.parts(key):
            for name in entry.names():
                lists[name] = entry.texts(name)
                found.places[key] = (section, part.line_of(key))
    if "default_fallbacks" in part:
        found.places.setdefault("fallbacks", (section, part.line_of("default_fallbacks")))
        found.default_fallbacks = part.texts("default_fallbacks")
    part.leave("content_policy_fallbacks", "what a provider's filter refused is not asked elsewhere here")
    part.leave("max_fallbacks", "every model of a route's `fallback` is tried, within the route's time")


def _library(part: Part, found: Settings) -> None:
    _cache(part, found)
    budget = part.number("max_budget")
    if budget:
        _budget(part, budget, found)
    if part.flag("turn_off_message_logging"):
        found.put("records", "content", "off")
    if part.flag("json_logs"):
        found.put("logging", "format", "json")
    if part.flag("set_verbose"):
        found.put("logging", "level", "debug")
    for key in ("default_key_generate_params", "upperbound_key_generate_params"):
        _keys(part.part(key), found)
    for key in ("success_callback", "failure_callback", "callbacks", "service_callback", "service_callbacks"):
        part.leave(key, _SENT_ELSEWHERE)
    for key in ("max_internal_user_budget", "max_end_user_budget", "default_internal_user_params",
                "internal_user_budget_duration", "default_team_settings", "max_user_budget"):  # fmt: skip
        part.leave(key, _PER_PERSON)
    part.leave(
        "drop_params", "hints that a provider can't do are dropped and reported; what changes an answer is refused"
    )
    part.leave("ssl_verify", "`outgoing.ca_file` adds certificate authorities; there is no way to check none")
    part.leave("enforced_params", "no parameter can be made obligatory here")


def _cache(part: Part, found: Settings) -> None:
    on = part.flag("cache")
    params = part.part("cache_params")
    if not on:
        return
    found.put("cache", "enabled", True)
    ttl_s = params.number("ttl", 0.001)
    if ttl_s is not None:
        found.put("cache", "ttl", show_duration(ttl_s))
    kind = params.word("type") or "local"
    if kind.startswith("redis"):
        _redis(params, "", found)
    if kind not in ("local", "redis"):
        params.tell("type", f"answers are kept in memory and PostgreSQL or Redis, by exact match; not in {kind}")
    params.leave("supported_call_types", "chat, completions, responses and embeddings are cached")
    params.leave("namespace", "keys have a prefix of their own")
    params.rest()


def _redis(part: Part, prefix: str, found: Settings) -> None:
    """One address of host, port and password, or the address as it is given."""
    url, host, port, password = (part.text(f"{prefix}{name}") for name in ("url", "host", "port", "password"))
    if isinstance(password, str):
        part.tell(f"{prefix}password", "a secret stands in the file: put it into the variable REDIS_PASSWORD")
        password = Variable("REDIS_PASSWORD")
    if isinstance(url, str):
        part.tell(f"{prefix}url", "the address may hold a password: put it into the variable REDIS_URL")
        url = Variable("REDIS_URL")
    if url is not None:
        found.put("redis", "url", f"${{{url.name}}}")
    elif host is not None:
        found.put("redis", "url", f"redis://{_auth(password)}{_plain(host)}:{_plain(port or '6379')}")


def _auth(password: Variable | None) -> str:
    return "" if password is None else f":{_plain(password)}@"


def _plain(value: str | Variable) -> str:
    return f"${{{value.name}}}" if isinstance(value, Variable) else quote(value, safe=".-_:[]")


def _budget(part: Part, dollars: float, found: Settings) -> None:
    said = part.word("budget_duration")
    period = _PERIODS.get(said or "30d")
    if period is None:
        part.tell("budget_duration", f"budgets last an hour, a day, a week or a month, not {said}: a month here")
    found.sections["budgets"] = [
        {"name": "all", "limit": show_money(round(dollars * 1_000_000)), "period": period or "month"}
    ]
    # A budget here refuses models without a price, where theirs takes them for free.
    found.put("spending", "unpriced", "allow")
    part.tell(
        "max_budget",
        "models without a price are asked uncounted, as they were: give them one under `models`, "
        "then set `spending.unpriced` to `refuse`",
    )


def _keys(given: Part, found: Settings) -> None:
    """Limits of every key."""
    theirs = {
        "rpm_limit": "requests_per_minute",
        "tpm_limit": "tokens_per_minute",
        "max_parallel_requests": "concurrent",
    }
    figures = {ours: figure for name, ours in theirs.items() if (figure := given.count(name)) is not None}
    if figures:
        found.limits.append({"per": "key", **figures})
    given.leave("max_budget", _PER_PERSON)
    given.leave("budget_duration", _PER_PERSON)
    given.leave("duration", "say it when a key is made: `comporta key create --expires`")
    given.leave("models", "say it when a key is made: `comporta key create --allow`")
    given.leave("team_id", "say it when a key is made: `comporta key create --team`")
    given.rest()


def _router(part: Part, found: Settings) -> None:
    strategy = part.word("routing_strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        part.tell("routing_strategy", f"variants are chosen by weight here, not by '{strategy}'")
    below = part.part("model_group_alias")
    for alias in below.names():
        group = _group(below.part(alias)) if below.is_mapping(alias) else below.word(alias)
        if group is not None:
            found.aliases[alias] = group
    if "redis" not in found.sections:
        _redis(part, "redis_", found)
    for key in ("redis_url", "redis_host", "redis_port", "redis_password"):
        part.leave(key, "the cache's Redis serves for all")
    part.leave("enable_pre_call_checks", "what is too long is told by the provider, and goes to `larger_context`")
    part.leave("retry_policy", "every failure that may pass is retried alike: `retry`")
    part.leave("allowed_fails_policy", "failures count alike: `breaker`")
    part.leave("cache_responses", "use `cache`")


def _group(given: Part) -> str | None:
    found = given.word("model")
    given.rest("every name is listed here, to keys that may use it")
    return found


def _general(part: Part, found: Settings) -> None:
    part.leave("master_key", _ADMIN_KEY)
    part.leave(
        "database_url", "it is LiteLLM's own database: give the gate another by `database.url`, or let it run its own"
    )
    megabytes = part.number("max_request_size_mb", 0.001)
    if megabytes is not None:
        found.put("server", "max_body", f"{megabytes:g}MB")
    _keep(part, found)
    for key in ("alerting", "alerting_threshold", "alert_types", "alert_to_webhook_url"):
        part.leave(key, "there are no alerts here yet: watch /metrics")
    for key in ("custom_auth", "enable_jwt_auth", "litellm_jwtauth"):
        part.leave(key, "callers are known by virtual keys here")
    for key in ("max_parallel_requests", "global_max_parallel_requests"):
        part.leave(key, "say it for each key, team or model under `limits`: `concurrent`")
    part.leave("pass_through_endpoints", "there are no paths here that pass through unread")
    part.leave("store_model_in_db", "models are registered while running by `comporta models add`")


def _keep(part: Part, found: Settings) -> None:
    said = part.word("maximum_spend_logs_retention_period")
    if said is None:
        return
    try:
        found.put("records", "keep", show_duration(parse_duration(said)))
    except ValueError:
        part.tell("maximum_spend_logs_retention_period", "is not a duration such as 30d: 30 days hold here")
