"""Names of OpenTelemetry's GenAI conventions, as our own constants: the packages mark them as moved.

`Names` holds what differs between v1.41 of the semantic conventions, their last release in the main repository, and
the repository of their own (github.com/open-telemetry/semantic-conventions-genai), which
`OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST = "gen_ai_latest_experimental"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"
STREAM = "gen_ai.request.stream"
CONVERSATION = "gen_ai.conversation.id"
PROMPT_NAME = "gen_ai.prompt.name"
OUTPUT_TYPE = "gen_ai.output.type"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 (a name)
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105 (a name)
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
ERROR_TYPE = "error.type"
SERVER, SERVER_PORT = "server.address", "server.port"
USER = "user.id"
EVALUATION = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_VALUE = "gen_ai.evaluation.score.value"
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
EVALUATION_WHY = "gen_ai.evaluation.explanation"

#: What a request asked for: the attribute, and the field of `Input`.
REQUEST: Mapping[str, str] = {
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.choice.count": "n",
}
#: Operations by the kind of our calls.
OPERATIONS: Mapping[str, str] = {"chat": "chat", "embed": "embeddings"}
#: Providers whose well-known name is not that of our row.
PROVIDERS: Mapping[str, str] = {
    "gemini": "gcp.gemini", "azure": "azure.ai.openai", "mistral": "mistral_ai", "xai": "x_ai",
    "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai", "moonshot": "moonshot_ai",
}  # fmt: skip

#: The conventions' bounds, in seconds (of durations and of times to the first chunk) and in tokens.
DURATION_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))


class Names(Struct, frozen=True):
    """What is called differently in the two."""

    schema: str
    duration: str
    #: Of what is no inference: embeddings.
    other_duration: str
    first_chunk: str
    #: One histogram of tokens with their type as an attribute, or (`input_tokens`, `output_tokens`) one for each.
    token_usage: str | None
    input_tokens: str
    output_tokens: str
    cache_write_tokens: str
    #: What the names of counters of tokens begin with; empty where there are none.
    usage: str = ""
    #: None where the conventions have no name for it.
    prompt_version: str | None = None
    reasoning_level: str | None = None
    audio_in_tokens: str | None = None
    image_in_tokens: str | None = None
    audio_out_tokens: str | None = None


V1_41 = Names(
    schema="https://opentelemetry.io/schemas/1.41.0",
    duration="gen_ai.client.operation.duration",
    other_duration="gen_ai.client.operation.duration",
    first_chunk="gen_ai.client.operation.time_to_first_chunk",
    token_usage="gen_ai.client.token.usage",  # noqa: S106 (a name)
    input_tokens="",
    output_tokens="",
    cache_write_tokens="gen_ai.usage.cache_creation.input_tokens",
)
NEWEST = Names(
    schema="",
    duration="gen_ai.client.inference.duration",
    other_duration="gen_ai.client.operation.duration",
    first_chunk="gen_ai.client.inference.time_to_first_chunk",
    token_usage=None,
    input_tokens="gen_ai.client.inference.operation.input_tokens",
    output_tokens="gen_ai.client.inference.operation.output_tokens",
    cache_write_tokens="gen_ai.usage.cache_write.input_tokens",
    usage="gen_ai.client.inference.usage.",
    prompt_version="gen_ai.prompt.version",
    reasoning_level="gen_ai.request.reasoning.level",
    audio_in_tokens="gen_ai.usage.audio.input_tokens",
    image_in_tokens="gen_ai.usage.image.input_tokens",
    audio_out_tokens="gen_ai.usage.audio.output_tokens",
)


def names_for(environment: Mapping[str, str]) -> Names:
    """The names that `OTEL_SEMCONV_STABILITY_OPT_IN` asks for: a list of words, of which one concerns us."""
    words = {word.strip() for word in environment.get(OPT_IN, "").split(",")}
    return NEWEST if LATEST in words else V1_41
