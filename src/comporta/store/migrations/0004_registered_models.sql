create table registered_model (
    name text primary key,
    provider text not null,
    model text not null,
    price jsonb,
    context integer check (context > 0),
    max_output integer check (max_output > 0),
    capabilities text[] not null default '{}',
    params jsonb not null default '{}',
    source text not null default 'api',
    created_at timestamptz not null default now(),
    created_by text not null default ''
);
