-- Answers found by what their questions mean. Logged, unlike cache_entry: what was seeded, and what was learnt of how
-- often a hit is wrong, must outlive a crash.
create table semantic_entry (
    id bigint generated always as identity primary key,
    -- Of scope and question: the same question again takes the old one's place.
    key bytea not null unique,
    -- A digest of all that must be the same before two questions are compared at all.
    scope bytea not null,
    tenant text not null,
    route text not null,
    key_id text,
    embedder text not null,
    question text not null,
    language text not null,
    -- float32, little endian, of length one.
    vector bytea not null,
    tags text[] not null,
    seeded boolean not null,
    user_sha256 bytea,
    stored_at timestamptz not null,
    expires_at timestamptz not null,
    writer bigint not null,
    body bytea not null
);
create index semantic_entry_scope on semantic_entry (scope);
create index semantic_entry_tags on semantic_entry using gin (tags);
create index semantic_entry_stored on semantic_entry (stored_at);
create index semantic_entry_expires on semantic_entry (expires_at);
create index semantic_entry_key on semantic_entry (key_id) where key_id is not null;
create index semantic_entry_user on semantic_entry (user_sha256) where user_sha256 is not null;

-- For look-ups while a worker has not read the vectors yet; the server may be without pgvector.
do $$
begin
    if to_regtype('vector') is not null then
        alter table semantic_entry add column likeness vector;
        create index semantic_entry_likeness on semantic_entry
            using hnsw ((likeness::vector(384)) vector_cosine_ops) where embedder = 'all-minilm-l6-v2';
    end if;
end
$$;

-- How alike questions must be on a route by now, and how many hits it had since that was changed.
create table semantic_route (
    route text primary key,
    threshold double precision not null,
    changed_at timestamptz not null default now(),
    why text not null default '',
    hits bigint not null default 0,
    hits_since bigint not null default 0
);

-- What became of hits that were looked at again: by a fresh answer (shadow), or because somebody said so (feedback).
create table semantic_check (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    route text not null,
    -- How sure the hit was: the highest threshold at which it would have been one.
    confidence double precision not null,
    -- What held when the hit was given: a sample speaks of the hits that this let through.
    threshold double precision not null,
    wrong boolean not null,
    source text not null check (source in ('shadow', 'feedback')),
    call_id uuid not null,
    entry bigint,
    unique (source, call_id)
);
create index semantic_check_route on semantic_check (route, source, confidence);

-- Tags whose answers of before are not given any more, in either cache.
create table cache_cleared (
    tag text primary key,
    at timestamptz not null
);
