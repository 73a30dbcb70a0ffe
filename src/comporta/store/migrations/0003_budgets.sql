create table budget (
    id text primary key,
    name text not null unique,
    scope text not null check (scope in ('key', 'team', 'environment', 'feature', 'all')),
    value text check ((scope = 'all') = (value is null)),
    period text not null check (period in ('hour', 'day', 'week', 'month')),
    limit_microusd bigint not null check (limit_microusd > 0),
    created_at timestamptz not null default now(),
    created_by text not null default ''
);
