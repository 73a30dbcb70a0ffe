"""Makes `src/comporta/providers/catalogue.json` from the tables in two MIT-licensed wheels.

    pip download --no-deps litellm genai-prices
    python tools/catalogue.py litellm-*.whl genai_prices-*.whl

Only figures and yes/no facts are taken: context, output limit, capabilities, prices per token; OpenRouter's prices come
from the second wheel. What a table calls free is taken as unknown, since that is what it mostly means. Models that
ended over a year ago and rows that are no models (price classes by size, tools) are left out, and so are dated names
that say the same as the undated one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "src/comporta/providers/catalogue.json"
TABLE = "litellm/model_prices_and_context_window_backup.json"
#: Our row, the table's providers, the prefixes that its names carry, and which of its models are worth a row.
PROVIDERS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str], ...] = (
    ("openai", ("openai",), ("openai/",), r"(ft:)?(gpt|o\d|text-embedding|chat|davinci|babbage|computer)"),
    ("anthropic", ("anthropic",), (), r"claude"),
    ("gemini", ("gemini",), ("gemini/",), r"(gemini|gemma|learnlm)"),
    ("groq", ("groq",), ("groq/",), r""),
    ("mistral", ("mistral",), ("mistral/",), r""),
    ("deepseek", ("deepseek",), ("deepseek/",), r"deepseek"),
    ("xai", ("xai",), ("xai/",), r"grok"),
    ("perplexity", ("perplexity",), ("perplexity/",), r"(sonar|pplx)"),
    ("cerebras", ("cerebras",), ("cerebras/",), r""),
    ("sambanova", ("sambanova",), ("sambanova/",), r""),
    ("cohere", ("cohere", "cohere_chat"), ("cohere/",), r""),
    ("together", ("together_ai",), ("together_ai/",), r"[^/]+/"),
    ("fireworks", ("fireworks_ai",), ("fireworks_ai/",), r"accounts/fireworks/models/"),
)
MODES = {"chat", "responses", "completion", "embedding"}
CAPABILITIES = (
    ("tools", "supports_function_calling"),
    ("vision", "supports_vision"),
    ("json_schema", "supports_response_schema"),
    ("reasoning", "supports_reasoning"),
    ("prefill", "supports_assistant_prefill"),
    ("audio", "supports_audio_input"),
    ("audio_out", "supports_audio_output"),
    ("pdf", "supports_pdf_input"),
    ("caching", "supports_prompt_caching"),
    ("web_search", "supports_web_search"),
)
PRICES = (
    ("input", "input_cost_per_token"),
    ("cached", "cache_read_input_token_cost"),
    ("cache_write", "cache_creation_input_token_cost"),
    ("output", "output_cost_per_token"),
    ("reasoning", "output_cost_per_reasoning_token"),
    ("audio_in", "input_cost_per_audio_token"),
    ("image_in", "input_cost_per_image_token"),
    ("audio_out", "output_cost_per_audio_token"),
)
LONG = re.compile(r"input_cost_per_token_above_(\d+)k_tokens$")
NO_MODEL = re.compile(r"realtime|container|\d+b-to-\d+b")
OPENROUTER = (
    r"(openai|anthropic|google|mistralai|deepseek|x-ai|meta-llama|qwen|moonshotai|z-ai|minimax|cohere|amazon)/[^:]+$"
)
OPENROUTER_PRICES = (
    ("input", "input_mtok"),
    ("cached", "cache_read_mtok"),
    ("cache_write", "cache_write_mtok"),
    ("output", "output_mtok"),
    ("audio_in", "input_audio_mtok"),
)
DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")


def price_of(row: dict[str, Any], suffix: str = "") -> dict[str, int]:
    """Micro-dollars per million tokens."""
    found = {}
    for name, field in PRICES:
        value = row.get(field + suffix)
        if value:
            found[name] = int((Decimal(str(value)) * 10**12).to_integral_value())
    return found


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    mode = row["mode"]
    able = [word for word, field in CAPABILITIES if row.get(field) is True]
    able += {"embedding": ["embeddings"], "responses": ["responses_only"]}.get(mode, [])
    facts: dict[str, Any] = {"context": _count(row.get("max_input_tokens") or row.get("max_tokens"))}
    if mode != "embedding":
        facts["max_output"] = _count(row.get("max_output_tokens"))
    facts["capabilities"] = able
    facts["price"] = price_of(row)
    tiers = sorted(int(match[1]) for field in row if (match := LONG.match(field)))
    if tiers:
        facts["long_above"] = tiers[0] * 1000
        facts["long_price"] = {**facts["price"], **price_of(row, f"_above_{tiers[0]}k_tokens")}
    return {name: value for name, value in facts.items() if value}


def _count(value: Any) -> int | None:
    """The table holds numbers, and numbers as text; anything else is unknown."""
    text = str(value).removesuffix(".0")
    return int(text) if text.isdecimal() else None


Models = dict[str, dict[str, Any]]


def without_copies(models: Models) -> Models:
    """Sorted, and without the dated names that say the same as the undated one."""
    return {
        name: facts
        for name, facts in sorted(models.items())
        if not DATED.search(name) or facts != models.get(DATED.sub("", name))
    }


def models_of(
    table: dict[str, Any], sources: tuple[str, ...], prefixes: tuple[str, ...], wanted: str, oldest: str
) -> Models:
    found: Models = {}
    for name, row in table.items():
        ends = row.get("deprecation_date") or ""
        if row.get("litellm_provider") not in sources or row.get("mode") not in MODES or (ends and ends < oldest):
            continue
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        if not row.get("input_cost_per_token") or not re.match(wanted, name) or NO_MODEL.search(name):
            continue
        facts = facts_of(row)
        if ends:
            facts["ends"] = ends
        found.setdefault(name, facts)
    return without_copies(found)


def openrouter_of(wheel: Path) -> Models:
    """OpenRouter's models by the vendors that matter, with flat prices; tiers are left out, and so are batches."""
    sys.path.insert(0, str(wheel))
    found: Models = {}
    for provider in import_module("genai_prices.data").providers:
        for model in provider.models if provider.id == "openrouter" else ():
            if not re.match(OPENROUTER, model.id) or not hasattr(model.prices, "input_mtok"):
                continue
            price = {
                name: int(value * 10**6)
                for name, field in OPENROUTER_PRICES
                if isinstance(value := getattr(model.prices, field, None), Decimal) and value
            }
            if "input" in price:
                facts = {"context": model.context_window, "price": price}
                found[model.id] = {name: value for name, value in facts.items() if value}
    return without_copies(found)


def written(head: dict[str, str], providers: dict[str, Models]) -> str:
    """One model a line, so that a new table shows as a small difference."""
    blocks = []
    for provider, models in providers.items():
        rows = ",\n".join(f"{json.dumps(m)}: {json.dumps(f, separators=(',', ':'))}" for m, f in models.items())
        blocks.append(f"{json.dumps(provider)}: {{\n{rows}\n}}")
    return json.dumps(head)[:-1] + ', "providers": {\n' + ",\n".join(blocks) + "\n}}\n"


def source_of(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')} {version}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("litellm", type=Path)
    parser.add_argument("genai_prices", type=Path)
    parser.add_argument("--date", default=date.today(), type=date.fromisoformat, help="as of when; default: today")
    options = parser.parse_args()
    with zipfile.ZipFile(options.litellm) as wheel:
        table = json.loads(wheel.read(TABLE))
    table.pop("sample_spec", None)
    oldest = (options.date - timedelta(days=365)).isoformat()
    providers = {
        name: models_of(table, sources, prefixes, wanted, oldest) for name, sources, prefixes, wanted in PROVIDERS
    }
    providers["openrouter"] = openrouter_of(options.genai_prices)
    wheels = f"{source_of(options.litellm)} and {source_of(options.genai_prices)}"
    text = written({"date": options.date.isoformat(), "source": f"tables of {wheels} (MIT licence)"}, providers)
    json.loads(text)
    OUT.write_text(text, encoding="utf-8")
    for name, models in providers.items():
        print(f"{name}: {len(models)} models")
    print(f"{OUT.name}: {sum(map(len, providers.values()))} models, {len(text) // 1024} KiB")


if __name__ == "__main__":
    main()
