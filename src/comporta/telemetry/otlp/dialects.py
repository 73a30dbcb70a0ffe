"""What instrumentations call things: OpenTelemetry's conventions, old and new, OpenInference, OpenLLMetry, `llm.*`.

Of each field the first name that a span has is taken. Another dialect is more names in these rows.
"""

from __future__ import annotations

from collections.abc import Mapping

#: What a span says of a call to a model.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor"),
    "asked": (
        "gen_ai.request.model", "llm.request.model_name", "llm.request.model", "llm.model_name", "llm.model",
        "embedding.model_name",
    ),
    "model": ("gen_ai.response.model", "llm.response.model_name", "llm.response.model"),
    "reply_id": ("gen_ai.response.id", "llm.response.id"),
    "input": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.prompt.tokens",
        "llm.usage.prompt_tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.completion.tokens", "llm.usage.completion_tokens",
    ),
    "total": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "llm.total.tokens"),
    "cached": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "cost_usd": ("gen_ai.usage.cost", "llm.cost.total", "comporta.cost_usd"),
    "first_s": ("gen_ai.response.time_to_first_chunk",),
    "stream": ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"),
    "latency_ms": ("llm.latency_ms",),
    "finish": ("gen_ai.response.finish_reasons", "llm.finish_reason", "llm.response.finish_reason"),
    "prompt_id": ("gen_ai.prompt.name", "prompt.id", "traceloop.prompt.key"),
    "prompt_version": ("gen_ai.prompt.version", "llm.prompt_template.version", "traceloop.prompt.version"),
    "temperature": ("gen_ai.request.temperature", "llm.temperature"),
    "max_tokens": ("gen_ai.request.max_tokens", "llm.request.max_tokens"),
    "error": ("error.type", "exception.type"),
    "preview": ("llm.prompt.preview",),
    "in_value": ("input.value", "traceloop.entity.input"),
    "out_value": ("output.value", "traceloop.entity.output"),
}  # fmt: skip
#: Of any span.
USER = ("user.id", "enduser.id", "traceloop.association.properties.user_id", "gen_ai.user.id")
SESSION = (
    "gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id", "langfuse.session.id",
)  # fmt: skip

#: What a span is, by words of the attributes below; what no row names is `other`.
KIND_BY = ("openinference.span.kind", "traceloop.span.kind", "gen_ai.operation.name", "llm.request.type")
KINDS: Mapping[str, str] = {
    "llm": "chat", "chat": "chat", "completion": "chat", "text_completion": "chat", "generate_content": "chat",
    "embedding": "embed", "embeddings": "embed",
    "tool": "tool", "execute_tool": "tool",
    "agent": "agent", "invoke_agent": "agent", "create_agent": "agent", "plan": "agent",
    "chain": "chain", "task": "chain", "workflow": "chain", "invoke_workflow": "chain", "prompt": "chain",
    "retriever": "retriever", "retrieval": "retriever", "search_memory": "retriever",
    "reranker": "reranker", "rerank": "reranker", "guardrail": "guardrail", "evaluator": "evaluator",
    "decision": "chain",
}  # fmt: skip
#: A span without such a word is a call to a model where it has one of these.
MODEL_MARKS = (
    "gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "llm.model", "llm.request.model",
    "gen_ai.system",
)  # fmt: skip

#: Attributes, by their beginnings, that hold what people and models wrote: kept as the configuration says of content.
CONTENT = (
    "gen_ai.input.", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.prompt.", "gen_ai.completion.",
    "gen_ai.prompt", "gen_ai.completion", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result",
    "gen_ai.tool.definitions", "gen_ai.retrieval.", "llm.input_messages", "llm.output_messages", "llm.prompts",
    "llm.choices", "llm.prompt.preview", "llm.prompt_template.", "llm.function_call", "llm.tools", "input.", "output.",
    "retrieval.documents", "reranker.", "embedding.embeddings", "document.", "tool.parameters", "traceloop.entity.",
    "message.", "exception.message", "exception.stacktrace", "llm.invocation_parameters", "metadata",
)  # fmt: skip
#: Of those, what is a name and no content.
NO_CONTENT = frozenset({
    "gen_ai.prompt.name", "gen_ai.prompt.version", "input.mime_type", "output.mime_type",
    "llm.prompt_template.version",
})  # fmt: skip
#: Vectors say nothing to people and fill the disk.
NEVER_KEPT = ("embedding.embeddings", "gen_ai.embeddings.vector")

#: Providers by their names there, and ours where they differ.
PROVIDERS: Mapping[str, str] = {
    "gcp.gemini": "gemini", "gcp.gen_ai": "gemini", "google": "gemini", "google_genai": "gemini",
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "mistral_ai": "mistral", "mistralai": "mistral",
    "x_ai": "xai", "aws.bedrock": "bedrock", "aws_bedrock": "bedrock", "gcp.vertex_ai": "vertex", "vertexai": "vertex",
    "moonshot_ai": "moonshot",
}  # fmt: skip
