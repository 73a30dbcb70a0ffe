"""LiteLLM's words for providers, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comporta.providers.catalogue import Catalogue
from comporta.providers.rows import ROWS

#: What stands before the slash in LiteLLM's `model`, and our kind of provider.
KINDS: Final[Mapping[str, str]] = {
    **{name: name for name in ROWS if not ROWS[name].local},
    "ollama_chat": "ollama",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "nvidia_nim": "nvidia",
    "hosted_vllm": "vllm",
    "cohere_chat": "cohere",
    "lm_studio": "lmstudio",
    "llamafile": "llamacpp",
    "openai_like": "openai",
    "custom_openai": "openai",
    "litellm_proxy": "openai",
    "text-completion-openai": "openai",
    "azure_text": "azure",
}
#: The variable that LiteLLM reads a key from where none is given, where it is not the one that we read.
KEYS: Final[Mapping[str, str]] = {
    "azure": "AZURE_API_KEY",
    "fireworks": "FIREWORKS_AI_API_KEY",
    "huggingface": "HUGGINGFACE_API_KEY",
    "nvidia": "NVIDIA_NIM_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "together": "TOGETHERAI_API_KEY",
}
#: Providers that LiteLLM reaches in ways of their own. Nothing to carry over, but worth a word on how to get there.
ELSEWHERE: Final[Mapping[str, str]] = {
    "bedrock": "Amazon Bedrock is not spoken here yet",
    "sagemaker": "Amazon SageMaker is not spoken here yet",
    "vertex_ai": "Vertex AI is not spoken here yet; the same models are at `gemini` with an API key",
    "azure_ai": "write it as a provider of `kind: openai` with its own `base_url`",
    "databricks": "write it as a provider of `kind: openai` with its own `base_url`",
}
#: Modes of LiteLLM's models that our doors serve.
MODES: Final = frozenset({"chat", "completion", "embedding", "responses"})


def split(model: str, said: str | None, catalogue: Catalogue) -> tuple[str | None, str]:
    """LiteLLM's provider and the provider's own name of a model; None where the name alone doesn't tell."""
    if said is not None:
        return said, model.removeprefix(f"{said}/")
    provider, slash, rest = model.partition("/")
    if slash and (provider in KINDS or provider in ELSEWHERE):
        return provider, rest
    for kind in ("openai", "anthropic"):
        if catalogue.find(kind, model) is not None:
            return kind, model
    return (provider, rest) if slash else (None, model)
