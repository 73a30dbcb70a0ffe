-- Responses that providers without a Responses API of their own gave: the gate keeps their conversations itself.
create table kept_response (
    id text primary key,
    -- The id of the conversation's first response: a conversation lives as long as its latest response.
    conversation text not null,
    previous text,
    key_id text not null,
    team text,
    asked text not null,
    route text not null,
    variant text not null,
    provider text not null,
    model text not null,
    credential text,
    created_at timestamptz not null default now(),
    -- JSON text; as bytes, since PostgreSQL's own JSON can't hold the character NUL.
    input bytea not null,
    response bytea not null
);

create index kept_response_conversation on kept_response (conversation, created_at);
create index kept_response_created on kept_response (created_at);

-- Which call gave a response or a piece of sealed thinking: what `span.attributes` names under `followups`.
create index span_followups on span using gin ((attributes -> 'followups')) where attributes ? 'followups';
