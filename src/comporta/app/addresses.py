"""Where a provider is, and with which keys it is asked: the configuration's word, else the environment's."""

from __future__ import annotations

from collections.abc import Mapping

from comporta.app.ollama import ollama_url
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.providers.credentials import Credentials, Source
from comporta.providers.rows import Row
from comporta.providers.settings import ProviderSection


def url_of(row: Row, environment: Mapping[str, str]) -> str:
    """The row's address, or what its variable says."""
    if row.name == "ollama":
        return ollama_url(environment)
    return next((environment[name] for name in row.url_env if environment.get(name)), row.base_url)


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
