"""Where a provider is, and with which keys it is asked: the configuration's word, else the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from comporta.app.ollama import ollama_url
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.providers.credentials import Credentials, Source
from comporta.providers.rows import ROWS, Row
from comporta.providers.settings import ProviderSection


def url_of(row: Row, environment: Mapping[str, str]) -> str:
    """The row's address, or what its variable says."""
    if row.name == "ollama":
        return ollama_url(environment)
    return next((environment[name] for name in row.url_env if environment.get(name)), row.base_url)


def servers_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Host and port of every provider that has an address, by its name in the configuration, or else of its kind."""
    urls = {name: url_of(row, environment) for name, row in ROWS.items()}
    for name, section in settings.providers.items():
        urls[name] = section.base_url or urls.get(section.kind or name, "")
    return {name: place for name, url in urls.items() if (place := _place(url)) is not None}


def _place(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and "{" not in parts.hostname else None


def credentials_of(section: ProviderSection, row: Row, loaded: Loaded[Settings]) -> Credentials:
    """What the configuration gives, else the first of the row's environment variables that is set."""
    sources: list[Source] = []
    if section.api_key is not None:
        sources.append(Source("default", value=section.api_key.get_secret_value()))
    for given in section.credentials:
        sources.append(
            Source(
                given.name,
                value=given.key.get_secret_value() if given.key else None,
                env=given.env,
                file=(loaded.folder / given.file) if given.file else None,
                weight=given.weight,
            )
        )
    if not sources:
        sources = [Source(env, env=env) for env in row.env if loaded.environment.get(env)][:1]
    return Credentials(sources, loaded.environment)
